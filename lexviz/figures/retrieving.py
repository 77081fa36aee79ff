"""Chapter 11: landmarks at work. What far text is worth, pass keys found, blocks fetched for each digit, search, costs.

Nothing is run here. Each function takes what `lexviz.runs.results()` holds, or what a chapter has measured, and gives
the function that `lexviz.explore` takes. Runs are found by name, and any of them may be missing: then what they would
show is left out. Layers and heads count from 1 where a reader sees them. Text is data: see `inside.shown`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from lexviz import evaluate
from lexviz.corpus import PassKey
from lexviz.figures import palette
from lexviz.figures.inside import MONO, colours, heatmap, percent, shown, thousandths
from lexviz.figures.landmarks import FIRST, OWN
from lexviz.figures.lengths import PERPLEXITY, beyond
from lexviz.inside import Written

GREEN, VIOLET, GREY = "#4f9d6d", "#8a1fff", palette.REFERENCE


def _line(name: str, x, y, line: dict, mode: str = "lines") -> dict:
    return {"type": "scatter", "mode": mode, "name": name, "x": x, "y": y, "line": line}


# ---- perplexity by length ---------------------------------------------------------------------------------------

WITHOUT = {  # how the name of a mask begins: what it is called
    "causal": "RoPE, all at once",
    "block_causal": "RoPE, block causal",
    "segment_recurrent": "RoPE, segments with memory",
    "sliding_window": "RoPE, sliding window",
}
BY_K, BY_CHOICE, BY_POSITIONS, TUNED = "how many", "chosen per", "positions", "RoPE given landmarks"
SHADES_OF_K = {1: "#e3b78f", 2: "#d98d4b", 4: OWN, 8: "#7d3503"}


def without(about: dict) -> dict[str, dict[int, float]]:
    """{what it is called: {length: perplexity}} of a model without landmarks."""
    found = {}
    for row in about["results"].get("windows", ()):
        found.setdefault(WITHOUT[row["mask"].partition("(")[0]], {})[row["length"]] = row["perplexity"]
    return found


def fetching(about: dict, k: int | None, choose: str = "head and token", stingy: bool = True) -> dict[int, float]:
    """{length: perplexity} of a landmark model that fetches k blocks; with None, of one that reads all at once."""
    rows = about["results"].get("retrieval", about["results"].get("reach", ()))
    if k is None:
        return {row["length"]: row["perplexity"] for row in rows if row["k"] is None}
    how = (k, choose, stingy)
    return {row["length"]: row["perplexity"] for row in rows if (row["k"], row["choose"], row["stingy"]) == how}


def comparisons(recorded: dict) -> list[str]:
    """What `far_reading` can compare, of what is recorded."""
    return [BY_K, BY_CHOICE, BY_POSITIONS, *([TUNED] if "landmark-from-rope-0" in recorded else [])]


def compared(recorded: dict, by: str) -> dict[str, tuple[dict[int, float], str, str]]:
    """{what a line is called: ({length: perplexity}, colour, dash)}; what was not measured is left out."""
    about = recorded.get("landmark-0", {"results": {}})
    if by == BY_K:
        lines = {f"k = {k}": (fetching(about, k), SHADES_OF_K[k], "solid") for k in SHADES_OF_K}
    elif by == BY_CHOICE:
        ways = (("head and token", OWN, "solid"), ("head", VIOLET, "dash"), ("token", GREEN, "dashdot"))
        lines = {f"per {choose}": (fetching(about, 4, choose), colour, dash) for choose, colour, dash in ways}
    elif by == BY_POSITIONS:
        lines = {"stingy positions": (fetching(about, 4), OWN, "solid")}
        lines["true positions"] = fetching(about, 4, stingy=False), VIOLET, "dash"
        lines["landmarks, all at once"] = fetching(about, None), GREEN, "dashdot"
    else:
        tuned = recorded["landmark-from-rope-0"]
        lines = {"landmarks from the start, k = 4": (fetching(about, 4), OWN, "solid")}
        lines["RoPE given landmarks, k = 4"] = fetching(tuned, 4), VIOLET, "dash"
        lines["RoPE given landmarks, all at once"] = fetching(tuned, None), GREEN, "dashdot"
    return {name: line for name, line in lines.items() if line[0]}


def far(recorded: dict):
    """Perplexity at 1 to 32 training lengths."""
    trained = recorded["rope-0"]["settings"]["length"]
    beside = without(recorded["rope-0"])
    ticks = [trained * 2**e for e in range(6)]

    def far_reading(compare, beside_it, close):
        """Perplexity by the length of the text that is read at a time, trained at 256 bytes (the dashed line). Of
        landmark models k blocks are fetched for each query; whatever the length, no query sees more tokens than in
        training, but where a model reads all at once.

        The number of blocks is 4 where nothing else is said, chosen for each head and token, at stingy positions. Every
        length predicts the same bytes. Grey lines are the model without landmarks: dotted, all at once; solid, block
        causal; with the switch on also segments with a memory, dashed, and a sliding window, dash-dotted. The last
        switch enlarges the part of the axis where the lines are close.
        """
        lines = compared(recorded, compare)
        grey = dict(zip(beside, ("dot", "solid", "dash", "dashdot"), strict=False))
        for name in list(beside)[: 4 if beside_it else 2]:
            lines[name] = beside[name], GREY, grey[name]
        traces = []
        for name, (of, colour, dash) in lines.items():
            x, y = np.array(sorted(of)), np.array([of[n] for n in sorted(of)])
            looks = {"color": colour, "dash": dash, "width": 2}
            told = {"hovertemplate": f"%{{x:,}} bytes: %{{y:.3f}}<extra>{name}</extra>"}
            traces.append(_line(name, x, y, looks, "lines+markers") | told)
        every = [y for of, _, _ in lines.values() for y in of.values()]
        near = [
            y for name, (of, _, _) in lines.items() for y in of.values() if "at once" not in name and "true" not in name
        ]
        low, high = (0.99 * min(near), 1.015 * max(near)) if close else (0.9 * min(every), 1.15 * max(every))
        upright, shade, label = beyond(trained, 1.15 * ticks[-1], low, high, log=True)
        values = [3.2, 3.3, 3.4, 3.5, 3.6, 3.7, 3.8, 3.9, 4, 4.2, 4.5] if close else PERPLEXITY["tickvals"]
        layout = {
            "xaxis": {"title": "bytes read at a time", "type": "log", "tickvals": ticks}
            | {"ticktext": [f"{n:,}" for n in ticks], "range": np.log10([trained / 1.15, 1.15 * ticks[-1]]).tolist()},
            "yaxis": PERPLEXITY | {"range": np.log10([low, high]).tolist(), "tickvals": values},
            "shapes": [shade], "annotations": [label], "height": 470,
        }  # fmt: skip
        longest = {name: (max(of), of[max(of)]) for name, (of, _, _) in list(lines.items())[:2]}
        return go.Figure([*traces, upright], layout), [
            (f"{place} line", f"{name.replace(' = ', '=')}: {y:.2f} at {n:,} bytes", "")
            for place, (name, (n, y)) in zip(("first", "second"), longest.items(), strict=False)
        ]

    return far_reading


# ---- pass keys found --------------------------------------------------------------------------------------------

FILLERS = ("sentences", "source code")
LANDMARKS, TRUE = "landmarks", "landmarks, true positions"
RUNS = {  # run: what its rows are called; of dense models, with each mask
    "passkey-0": LANDMARKS,
    "passkey-1": "landmarks, another seed",
    "passkey-long-0": "landmarks, trained for longer",
    "passkey-distractors-0": "landmarks, trained among other numbers",
    "passkey-from-rope-0": "RoPE given landmarks",
    "passkey-dense-0": "RoPE",
}
Rights = dict[tuple[int, str], list[str]]  # {(length, filler): for each pad, 1 or 0 for each depth}


def keys_of(recorded: dict) -> dict[str, Rights]:
    """Pass keys by length, for everything that is recorded: {what is asked: rows}."""
    found = {}
    for run, name in RUNS.items():
        for row in recorded.get(run, {"results": {}})["results"].get("passkeys", ()):
            mask = row.get("mask", "").partition("(")[0]
            called = WITHOUT[mask] if mask else name
            found.setdefault(called, {})[row["length"], row["filler"]] = row["right"]
    for row in ways_of(recorded, "passkey-0"):
        if not row["stingy"]:
            found.setdefault(TRUE, {})[row["length"], row["filler"]] = row["right"]
    return found


def ways_of(recorded: dict, run: str) -> list[dict]:
    """The rows of a run that ask for pass keys in other ways than the usual one."""
    return recorded.get(run, {"results": {}})["results"].get("passkey_ways", [])


def share(right: Sequence[str]) -> tuple[int, int, float, float]:
    """How many keys were found, of how many, and Wilson's interval of the share.

    >>> right, asked, low, high = share(["1111111111"] * 4 + ["1111111110"])
    >>> right, asked, round(low, 2), round(high, 2)
    (49, 50, 0.9, 1.0)
    """
    tried = "".join(right)
    return tried.count("1"), len(tried), *evaluate.interval(tried.count("1"), len(tried))


def points(name: str, x, rows: Sequence[Sequence[str]], colour: str, **more) -> dict:
    """Shares found, with their intervals."""
    found = np.array([share(right) for right in rows])  # right, tried, low, high
    y = found[:, 0] / found[:, 1]
    around = {"type": "data", "symmetric": False, "array": found[:, 3] - y, "arrayminus": y - found[:, 2]}
    said = [f"{right:.0f} of {tried:.0f}: {low:.2f} to {high:.2f}" for right, tried, low, high in found]
    looks = {
        "marker": {"color": colour, "size": 9},
        "error_y": around | {"color": colour, "thickness": 1.5, "width": 5},
    }
    told = {"text": said, "hovertemplate": f"%{{x}}: %{{text}}<extra>{name}</extra>"}
    return {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": y} | looks | told | more


DEPTHS = 10


def by_depth(recorded: dict):
    """Pass keys by length and depth."""
    every = keys_of(recorded)
    lengths = sorted({length for rows in every.values() for length, _ in rows})
    names = [f"{length:,}" for length in lengths]

    def keys_found(asked, filler):
        """Pass keys found by length (above), with 95% intervals, and by length and depth (below): 0 is the beginning
        of the text, 1 its end. A cell is five keys, each with the question elsewhere in its block; the number is how
        many of them were found, every digit right.

        A column that is blank was not asked. The models were trained at 256 bytes. What is asked of models without
        landmarks, and at true positions, stops at shorter texts.
        """
        rows = {length: right for (length, hidden_in), right in every[asked].items() if hidden_in == filler}
        rows = dict(sorted(rows.items()))
        z = np.full((DEPTHS, len(lengths)), np.nan)
        for length, right in rows.items():
            z[:, lengths.index(length)] = np.sum([[int(x) for x in pad] for pad in right], axis=0)
        above = points("share found", [f"{n:,}" for n in rows], list(rows.values()), FIRST)
        scale = [[0, "rgba(200,89,10,0.75)"], [0.5, "rgba(200,89,10,0.2)"], [1, "rgba(35,105,179,0.35)"]]
        below = {"type": "heatmap", "name": "found of five", "x": names, "y": list(range(DEPTHS)), "z": z}
        below |= {"zmin": 0, "zmax": 5, "colorscale": scale, "showscale": False, "xgap": 2, "ygap": 2}
        below |= {"hoverongaps": False, "hovertemplate": "%{x} bytes: %{z} of 5<extra></extra>", "yaxis": "y2"}
        cells = [(i, j) for i in range(DEPTHS) for j in range(len(lengths)) if not np.isnan(z[i, j])]
        counts = {"type": "scatter", "mode": "text", "name": "counts", "x": [names[j] for _, j in cells]}
        counts |= {"y": [i for i, _ in cells], "text": [f"{z[cell]:.0f}" for cell in cells], "yaxis": "y2"}
        counts |= {"hoverinfo": "skip", "textfont": {"size": 12}}
        layout = {
            "xaxis": {"type": "category", "title": "length of the text, bytes", "anchor": "y2", "showgrid": False}
            | {"categoryorder": "array", "categoryarray": names, "range": [-0.5, len(names) - 0.5]},
            "yaxis": {"title": "share found", "domain": [0.64, 1], "range": [-0.04, 1.06], "dtick": 0.25},
            "yaxis2": {"title": "depth", "domain": [0, 0.58], "range": [DEPTHS - 0.5, -0.5], "showgrid": False}
            | {"tickvals": [0, DEPTHS - 1], "ticktext": ["0", "1"], "zeroline": False},
            "height": 560, "showlegend": False,
        }  # fmt: skip
        longest = max(rows)
        right, tried, low, high = share(rows[longest])
        missed = [length for length, got in rows.items() if share(got)[0] < share(got)[1]]
        return go.Figure([above, below, counts], layout), [
            ("longest text", f"{right} of {tried} at {longest:,} bytes, 95% interval {low:.2f} to {high:.2f}", ""),
            ("all found up to", _all_up_to(rows, missed), ""),
        ]

    return keys_found


def _all_up_to(rows: dict[int, list[str]], missed: list[int]) -> str:
    """The longest text up to which no key was missed."""
    whole = [length for length in rows if not missed or length < missed[0]]
    return f"{max(whole):,} bytes" if whole else "-"


K, CHOOSE, OTHERS, CONTROL = (
    "blocks fetched, k",
    "blocks chosen per",
    "other numbers in the text",
    "the key overwritten",
)


def ways(recorded: dict, run: str = "passkey-0"):
    """The same keys asked for in other ways, in texts of eight training lengths."""
    length = 8 * recorded[run]["settings"]["length"]
    usual = [row for row in recorded[run]["results"]["passkeys"] if row["length"] == length]

    def varied(change: str) -> dict[str, dict[str, list[str]]]:
        """{filler: {what is on the axis: rows}}"""
        found = {filler: {} for filler in FILLERS}
        for row in usual + [row for row in ways_of(recorded, run) if row["stingy"]]:
            others, gone = row.get("distractors", 0), row.get("overwrite", False)
            same = {K: (row["k"], 4), CHOOSE: (row["choose"], "head and token")}
            same |= {OTHERS: (others, 0), CONTROL: ("yes" if gone else "no", "no")}
            if all(value == standard for name, (value, standard) in same.items() if name != change):
                found[row["filler"]][str(same[change][0])] = row["right"]
        return found

    def keys_found_by_way(change):
        """Pass keys found in texts of 2,048 bytes, eight training lengths, with 95% intervals of fifty keys each:
        by how many blocks are fetched, by what they are chosen for, with other numbers in the text, and with the
        key overwritten by blanks.

        What is not changed is as usual: four blocks, chosen for each head and token, no other number. Where the key is
        overwritten nobody can know it: whoever finds it then has been told in another way.
        """
        found = varied(change)
        order = sorted(found[FILLERS[0]], key=lambda name: (len(name), name) if change in (K, OTHERS) else (0, name))
        if change == CHOOSE:
            order = ["head and token", "head", "token"]
        traces = []
        for filler, shift, colour, symbol in zip(
            FILLERS, (-0.1, 0.1), (FIRST, OWN), ("circle", "diamond"), strict=True
        ):
            at = points(filler, np.arange(len(order)) + shift, [found[filler][name] for name in order], colour)
            at["marker"] |= {"symbol": symbol}
            traces.append(at | {"hovertemplate": f"%{{text}}<extra>{filler}</extra>"})
        layout = {
            "xaxis": {"title": change, "tickvals": list(range(len(order))), "ticktext": order, "showgrid": False}
            | {"range": [-0.5, len(order) - 0.5], "zeroline": False},
            "yaxis": {"title": "share found", "range": [-0.04, 1.06], "dtick": 0.25},
            "height": 380,
        }
        said = {filler: ", ".join(f"{name}: {share(found[filler][name])[0]}" for name in order) for filler in FILLERS}
        return go.Figure(traces, layout), [(f"found of 50, {filler}", said[filler], "") for filler in FILLERS]

    return keys_found_by_way


# ---- which blocks are fetched, digit by digit -------------------------------------------------------------------

ROW = 45  # bytes in a row of text, at most


@dataclass(frozen=True)
class Answer:
    """A pass key asked for, and what the model fetched for each digit that it wrote.

    >>> from lexviz import corpus
    >>> answer = Answer(corpus.passkey(120, seed=4, wording="short"), [], block=15)
    >>> answer.asked.answer, answer.said, answer.row
    (b'36323', b'', 45)
    """

    asked: PassKey
    steps: list[Written]
    block: int

    @property
    def said(self) -> bytes:
        """What the model wrote."""
        return bytes(step.byte for step in self.steps)

    @property
    def row(self) -> int:
        """Bytes in a row of text: as many whole blocks as fit."""
        return max(1, ROW // self.block) * self.block

    def shares(self) -> np.ndarray:
        """What each head gives to the bytes of the sentence with the key: (steps, layers, heads)."""
        return np.array([np.nansum(step.weights[..., self.asked.needle], -1) for step in self.steps])


def in_the_text(answers: dict[str, Answer]):
    """What is fetched for each digit of an answer, in the text."""

    def fetched_for_each_digit(text, digit, layer, head):
        """A text in which a number is hidden, in rows of three blocks, and what the chosen head looks at before the
        model writes the chosen digit. Above: the scores of all finished blocks' landmarks. Framed: the blocks that are
        fetched (orange), the sentence with the key (pink), and the byte read last (grey, at the end). Shades: the
        weight of each byte that is seen.

        What is not shaded is not seen by this head: it was neither fetched nor is it near the end, in the last chunk.
        Digits that are written already stand at the end of the text.
        """
        answer = answers[text]
        asked, step, row = answer.asked, answer.steps[digit - 1], answer.row
        weights, fetched, scores = (x[layer - 1, head - 1] for x in (step.weights, step.fetched, step.scores))
        read, block = len(weights), answer.block
        rows = -(-len(asked.document) // row)
        z = np.pad(weights, (0, rows * row - read), constant_values=np.nan).reshape(rows, row)
        characters = shown([*asked.document[: asked.start].tolist(), *answer.said[: digit - 1]])
        spots = [(*divmod(i, row), c) for i, c in enumerate(characters) if c != " "]
        told = [f"{b}: {''.join(characters[b * block : b * block + block])}" for b in range(len(scores))]
        where, near = np.flatnonzero(fetched), _blocks(asked.needle, block)
        near = [b for b in near if b < len(scores)]
        seen = {"xaxis": "x2", "yaxis": "y2"}
        traces = [
            heatmap(thousandths(z), np.arange(row), np.arange(rows), "%{z} thousandths", name="weights"),
            {"type": "scatter", "mode": "text", "name": "text", "x": [x for _, x, _ in spots]}
            | {"y": [y for y, *_ in spots], "text": [c for *_, c in spots], "textfont": {**MONO, "size": 11}}
            | {"hoverinfo": "skip", "showlegend": False},
            _frames("fetched", [(b * block, b * block + block) for b in where], row, OWN),
            _frames("the key", [(asked.needle.start, asked.needle.stop)], row, palette.LIMIT),
            _frames("read last", [(read - 1, read)], row, GREY),
            _dots("scores", np.arange(len(scores)), scores, told, FIRST, 5) | seen,
            _dots("scores, fetched", where, scores[where], [told[b] for b in where], OWN, 9, "diamond") | seen,
            _dots("scores, the key", near, scores[near], [told[b] for b in near], palette.LIMIT, 13, "circle-open")
            | seen,
            *colours(),
        ]
        bare = {"showgrid": False, "zeroline": False, "ticks": "", "showticklabels": False}
        high, gap, below = 150, 62, 19 * rows
        whole = high + gap + below
        layout = {
            "xaxis": {**bare, "range": [-0.6, row - 0.4], "anchor": "y"},
            "yaxis": {**bare, "range": [rows - 0.4, -0.6], "domain": [0, below / whole], "anchor": "x"},
            "xaxis2": {"range": [-1, len(asked.document) // block + 1], "anchor": "y2", "title": "block"},
            "yaxis2": {"title": "score", "domain": [1 - high / whole, 1], "anchor": "x2", "zeroline": False},
            "height": whole + 70, "margin": {"l": 40, "r": 6, "t": 60, "b": 10},
        }  # fmt: skip
        given = np.nansum(weights[asked.needle])
        said = f"{answer.said[: digit - 1].decode()}[{answer.said[digit - 1 : digit].decode()}]"
        return go.Figure(traces, layout), [
            ("the key, and what is written", f"{asked.answer.decode()}, {said}", ""),
            ("to the sentence with the key", percent(given), ""),
            ("fetched", ", ".join(str(b) for b in where), ""),
        ]

    return fetched_for_each_digit


def _blocks(part: slice, block: int) -> range:
    return range(part.start // block, (part.stop - 1) // block + 1)


def _frames(name: str, parts: Sequence[tuple[int, int]], width: int, colour: str) -> dict:
    """Frames around parts of the text, (first byte, last + 1) each; where a row ends, a frame goes on in the next."""
    x, y = [], []
    for start, stop in parts:
        for row in range(start // width, (stop - 1) // width + 1):
            first = row * width
            left, right = max(start, first) - first - 0.5, min(stop, first + width) - first - 0.5
            x += [left, right, right, left, left, np.nan]
            y += [row - 0.45, row - 0.45, row + 0.45, row + 0.45, row - 0.45, np.nan]
    line = {"color": colour, "width": 2}
    common = {"type": "scatter", "mode": "lines", "name": name, "line": line, "hoverinfo": "skip"}
    return common | {"x": np.array(x), "y": np.array(y)}


def _dots(name: str, x, y, text, colour: str, size: int, symbol: str = "circle") -> dict:
    marker = {"color": colour, "size": size, "symbol": symbol, "line": {"width": 2 if "open" in symbol else 0}}
    told = {"text": text, "hovertemplate": "%{text}<br>score %{y:.1f}<extra></extra>", "showlegend": False}
    common = {"type": "scatter", "mode": "markers", "name": name, "marker": marker}
    return common | {"x": np.array(x), "y": np.round(y, 2)} | told


# ---- what else could be taken for the key -----------------------------------------------------------------------

DRAWS = 40


def left_to_the_key(ours: np.ndarray, others: np.ndarray, blocks: int, k: int = 4) -> np.ndarray:
    """What share of a head's attention the block with the key keeps, beside the k best of so many other blocks.

    ours: scores of the key's block (texts, digits, heads); others: of other blocks, with one axis more. Blocks are
    drawn DRAWS times, without replacement: (draws, texts, digits, heads). All else that is seen is left out.

    >>> left_to_the_key(np.zeros((1, 1, 1)), np.zeros((1, 1, 1, 9)), blocks=5)[0]
    array([[[0.2]]])
    """
    rng, kept = np.random.default_rng(0), []
    for _ in range(DRAWS):
        drawn = others[..., rng.choice(others.shape[-1], blocks, replace=False)]
        best = np.partition(drawn, -min(k, blocks), axis=-1)[..., -min(k, blocks) :]
        kept.append(1 / (1 + np.exp(best - ours[..., None]).sum(-1)))
    return np.array(kept)


EITHER, BOTH = "one of the heads sees it", "both heads see it"
DIGITS = (("#2369b3", "solid"), (GREEN, "dash"), (VIOLET, "dot"), ("#c70e36", "dashdot"), (OWN, "solid"))


MODELS = {"usual": LANDMARKS, "trained for longer": "landmarks, trained for longer"}  # and what their keys are called


def foretold(kept: dict[str, dict[int, np.ndarray]], measured: dict[str, Rights]):
    """kept[model][length]: what `left_to_the_key` gives for as many blocks; measured: as `keys_of` gives it."""

    def keys_foretold(model, rule, show):
        """The share of keys that should be found by length, from scores alone, if a digit is right when the key's block
        keeps at least half of the attention of one head, or of both; and as measured, with 95% intervals. Lengths are
        logarithmic.

        The scores are those of short texts, and of blocks of source code that stand in none of them. The band is one
        standard error of the mean over these texts. Digit by digit, lines are the chance that the block is seen before
        the first digit is written, the second, and so on. Where nothing was measured there are no points.
        """
        lengths = np.array(sorted(kept[model]))
        seen = {n: (of > 0.5).all(-1) if rule == BOTH else (of > 0.5).any(-1) for n, of in kept[model].items()}
        by_text = {n: of.all(-1).mean(0) for n, of in seen.items()}
        off = {n: of.std(ddof=1) / len(of) ** 0.5 for n, of in by_text.items()}
        traces, told = [], "%{x:,} bytes: %{y:.2f}<extra>"
        if show == "all digits":
            y = np.array([by_text[n].mean() for n in lengths])
            around = np.array([off[n] for n in lengths])
            band = {"x": np.concatenate((lengths, lengths[::-1])), "fill": "toself", "fillcolor": OWN, "opacity": 0.2}
            band |= {"y": np.concatenate((y - around, (y + around)[::-1])), "line": {"width": 0}, "mode": "lines"}
            band |= {"type": "scatter", "name": "one standard error", "hoverinfo": "skip", "showlegend": False}
            traces.append(band)
            traces.append(_line("foretold", lengths, y, {"color": OWN, "width": 2.2}, "lines+markers"))
            traces[-1] |= {"hovertemplate": f"{told}foretold</extra>"}
        else:
            for digit, (colour, dash) in zip(range(seen[lengths[0]].shape[-1]), DIGITS, strict=False):
                y = np.array([seen[n][..., digit].mean() for n in lengths])
                traces.append(_line(f"digit {digit + 1}", lengths, y, {"color": colour, "dash": dash, "width": 2}))
                traces[-1] |= {"hovertemplate": f"{told}digit {digit + 1}</extra>"}
        found = measured.get(MODELS[model], {})
        rows = {n: right for (n, filler), right in sorted(found.items()) if filler == FILLERS[1]}
        if rows:
            traces.append(points("measured", np.array(list(rows)), list(rows.values()), FIRST))
        ticks = [256, 1024, 4096, 16384, 65536]
        layout = {
            "xaxis": {"type": "log", "title": "bytes of source code", "tickvals": ticks}
            | {"ticktext": [f"{n:,}" for n in ticks], "range": np.log10([200, 1.3 * lengths[-1]]).tolist()},
            "yaxis": {"title": "share found", "range": [-0.04, 1.06], "dtick": 0.25},
            "height": 410,
        }
        said = [f"{by_text[n].mean():.2f} ± {off[n]:.2f} at {n:,} bytes" for n in (8192, 32768) if n in by_text]
        count = [f"{share(rows[n])[0]} of {share(rows[n])[1]} at {n:,}" for n in (8192, 32768) if n in rows]
        return go.Figure(traces, layout), [
            ("foretold", ", ".join(said), ""), ("found", ", ".join(count) or "not measured", ""),
        ]  # fmt: skip

    return keys_foretold


# ---- search -----------------------------------------------------------------------------------------------------


class Searched(NamedTuple):
    """What an index did, at one setting of it."""

    looked: float  # vectors that it compared with a query, on average
    recall: float  # of the k best, how many it found


LOOKING = (
    ("exact", GREY, "square"), ("HNSW", OWN, "circle"), ("lifted HNSW", GREEN, "star"), ("IVF", FIRST, "diamond"),
)  # fmt: skip


def search(found: dict[tuple[str, int], dict[str, Searched]]):
    """found[queries, number of landmarks][index and setting]; indexes are told apart by their first word."""

    def approximate_search(queries, landmarks):
        """What share of the four best landmarks an index finds, against how many landmarks it looks at for each query
        (logarithmic); every point is one setting. The exact search looks at all.

        HNSW walks through a graph of neighbours; the larger its list of candidates, ef, the farther. Lifted, it does so
        among vectors that have one more component, by which all become equally long. IVF has sorted the landmarks into
        cells and looks into the nearest ones, nprobe of them, after it has looked at the centres of all cells.
        """
        of = found[queries, landmarks]
        traces = []
        for family, colour, symbol in LOOKING:
            at = {name: one for name, one in of.items() if name.startswith(family)}
            x, y = (np.array([one[i] for one in at.values()]) for i in (0, 1))
            looks = {"line": {"color": colour, "width": 2}, "marker": {"color": colour, "size": 9, "symbol": symbol}}
            told = {"text": list(at), "hovertemplate": "%{text}<br>%{x:,.0f} looked at: %{y:.2f}<extra></extra>"}
            traces.append(_line(family, x, y, looks["line"], "lines+markers") | looks | told)
        layout = {
            "xaxis": {"type": "log", "title": "landmarks looked at", "range": np.log10([15, 20_000]).tolist()}
            | {"tickvals": [20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]},
            "yaxis": {"title": "of the four best, found", "range": [-0.03, 1.05], "dtick": 0.25},
            "height": 400,
        }
        enough = {name: one for name, one in of.items() if one.recall >= 0.9}
        least = min(enough, key=lambda name: enough[name].looked)
        share_of = of[least].looked / landmarks
        return go.Figure(traces, layout), [
            ("cheapest that finds 90%", f"{least.replace(' = ', '=')}, looks at {share_of:.0%}", "")
        ]

    return approximate_search


# ---- what it costs ----------------------------------------------------------------------------------------------


class Size(NamedTuple):
    """What decides the costs of a model's attention."""

    layers: int
    width: int  # all heads' components together
    bytes: int  # of a number
    block: int
    window: int  # tokens that a model without landmarks sees, where it reads in windows

    @property
    def token(self) -> int:
        """Bytes of a token's keys, in all layers; its values take as many."""
        return self.layers * self.width * self.bytes


SIZES = {"ours": Size(4, 128, 4, 15, 256), "LLaMA 7B": Size(32, 4096, 2, 50, 2048)}
DENSE, WINDOW, HERE, AWAY = "all at once", "window", "landmarks, all on the device", "landmarks, blocks elsewhere"
LOOKED, KEPT, MOVED = "keys looked at", "kept on the device", "moved for a token"


def cost(size: Size, name: str, quantity: str, n: int, k: int) -> float:
    """Of one new token after n others: keys that it looks at in a layer and head; bytes kept, or moved, in all.

    With landmarks, each finished block's one, k blocks, and at most an unfinished block. Blocks that lie elsewhere are
    moved for the token, those of each layer, with keys and values, for all heads.

    >>> cost(SIZES["ours"], DENSE, LOOKED, 32768, 4), cost(SIZES["ours"], AWAY, LOOKED, 32768, 4)
    (32768, 2257)
    """
    blocks, size_of_block = n // size.block, size.block + 1
    fetched = min(k, blocks) * size_of_block
    local = n % size.block + 1
    if name in (DENSE, WINDOW):
        seen = n if name == DENSE else min(n, size.window)
        return {LOOKED: seen, KEPT: 2 * seen * size.token, MOVED: 0}[quantity]
    everything = 2 * (n + blocks) * size.token
    here = everything if name == HERE else blocks * size.token + 2 * (fetched + local) * size.token
    moved = 0 if name == HERE else 2 * fetched * size.token
    return {LOOKED: blocks + fetched + local, KEPT: here, MOVED: moved}[quantity]


LENGTHS = tuple(2**e for e in range(8, 21))
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes"))


def cost_and_memory(model, quantity, k):
    """What one new token needs after a text of a given length: keys that a head looks at, bytes that have to lie on the
    device, bytes that have to be moved there. By formula; both axes are logarithmic.

    Ours has 4 layers, 4 heads of 32 components, numbers of four bytes and blocks of 15; LLaMA 7B has 32 layers, 32
    heads of 128, numbers of two bytes and blocks of 50, as in the landmark paper. The window is as long as training
    was. Every head fetches k blocks of its own. With landmarks and all blocks on the device nothing is moved, and a
    little more is kept than without landmarks.
    """
    size = SIZES[model]
    looks = {DENSE: (GREY, "dot"), WINDOW: (FIRST, "dash"), HERE: (VIOLET, "dashdot"), AWAY: (OWN, "solid")}
    traces, said = [], []
    for name, (colour, dash) in looks.items():
        y = np.array([cost(size, name, quantity, n, k) for n in LENGTHS], dtype=float)
        y[y == 0] = np.nan  # nothing is moved: there is no such place on the axis
        line = {"color": colour, "dash": dash, "width": 2.2}
        told = {"hovertemplate": f"%{{x:,}} tokens: %{{y:.3s}}<extra>{name}</extra>"}
        traces.append(_line(name, np.array(LENGTHS), y, line) | told)
        said.append((f"at 32,768 tokens, {name}", _amount(cost(size, name, quantity, 32768, k), quantity), ""))
    ticks = [256, 2048, 16384, 131072, 1048576]
    layout = {
        "xaxis": {"type": "log", "title": "tokens before it", "tickvals": ticks}
        | {"ticktext": ["256", "2k", "16k", "128k", "1M"], "range": np.log10([220, 1_250_000]).tolist()},
        "yaxis": {"type": "log", "title": quantity + (", bytes" if quantity != LOOKED else ""), "dtick": 1}
        | {"exponentformat": "power"},
        "height": 430,
    }
    return go.Figure(traces, layout), said


def _amount(value: float, quantity: str) -> str:
    """A number as one reads it.

    >>> _amount(17179869184, KEPT), _amount(32768, LOOKED), _amount(0, MOVED)
    ('17.2 GB', '32,768', 'nothing')
    """
    if quantity == LOOKED:
        return f"{value:,.0f}"
    if not value:
        return "nothing"
    scale, unit = next((scale, unit) for scale, unit in UNITS if value >= scale)
    return f"{value / scale:.3g} {unit}"


def times(recorded: dict):
    """The measured part, of what `python -m benchmarks --record` wrote."""

    def time_for_a_token(sizes, show):
        """The time that attention of one new token takes after a text of a given length, in one layer, as measured on a
        CPU, or how many times as fast as all at once it is; both axes are logarithmic.

        Dense attention is torch's own, over keys that lie ready; the window sees 256 tokens. Landmarks have blocks of
        50, of which 4 are fetched for each head. To search, to fetch and to turn keys takes several steps for which
        torch has one: where there is little to save, that costs more than it saves.
        """
        rows = [row for row in recorded["decoding"] if f"{row['heads']} heads of {row['head_dim']}" == sizes]
        by_name = {}
        for row in rows:
            by_name.setdefault(row["name"], {})[row["length"]] = row["seconds"]
        dense, traces, said = by_name[DENSE], [], []
        for name, colour, dash in ((DENSE, GREY, "dot"), (WINDOW, FIRST, "dash"), ("landmarks", OWN, "solid")):
            of = by_name[name]
            x = np.array(sorted(of))
            y = np.array([of[n] if show == "time" else dense[n] / of[n] for n in x])
            line = {"color": colour, "dash": dash, "width": 2}
            told = {"hovertemplate": f"%{{x:,}} tokens: %{{y:.3s}}<extra>{name}</extra>"}
            traces.append(_line(name, x, y, line, "lines+markers") | told)
            if name != DENSE:
                faster = float(f"{dense[x[-1]] / of[x[-1]]:.2g}")
                said.append((f"at {x[-1]:,} tokens, {name}", f"{faster:g} times as fast as all at once", ""))
        layout = {
            "xaxis": {"type": "log", "title": "tokens before it", "tickvals": [1024, 4096, 16384, 65536]}
            | {"ticktext": ["1k", "4k", "16k", "64k"]},
            "yaxis": {"type": "log", "title": "seconds" if show == "time" else "times as fast"}
            | {"exponentformat": "power", "dtick": 1},
            "height": 400,
        }
        return go.Figure(traces, layout), said

    return time_for_a_token
