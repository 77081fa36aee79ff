"""Chapter 11: pass keys found, by length and depth and in other ways of asking; and how many, by scores, should be.

Nothing is run here. Each function takes what `lexviz.runs.results()` holds, or what a chapter has measured, and gives
the function that `lexviz.explore` takes. Runs are found by name, and any of them may be missing: then what they would
show is left out.
"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lexviz import evaluate
from lexviz.figures.parts import band, line
from lexviz.figures.retrieving import WITHOUT
from lexviz.palette import BLUE, GREEN, ORANGE, RED, VIOLET, tint

# ---- by length and depth ----------------------------------------------------------------------------------------

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

    def keys_found(model, filler):
        """Pass keys found by length (above), with 95% intervals, and by length and depth (below): 0 is the beginning
        of the text, 1 its end. A cell is five keys, each with the question elsewhere in its block; the number is how
        many of them were found, every digit right.

        A column that is blank was not asked. The models were trained at 256 bytes. What is asked of models without
        landmarks, and at true positions, stops at shorter texts.
        """
        rows = {length: right for (length, hidden_in), right in every[model].items() if hidden_in == filler}
        rows = dict(sorted(rows.items()))
        z = np.full((DEPTHS, len(lengths)), np.nan)
        for length, right in rows.items():
            z[:, lengths.index(length)] = np.sum([[int(x) for x in pad] for pad in right], axis=0)
        above = points("share found", [f"{n:,}" for n in rows], list(rows.values()), BLUE)
        scale = [[0, tint(ORANGE, 0.75)], [0.5, tint(ORANGE, 0.2)], [1, tint(BLUE, 0.35)]]
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


# ---- asked for in other ways ------------------------------------------------------------------------------------

K, CHOOSE = "blocks fetched, k", "blocks chosen per"
OTHERS, CONTROL = "other numbers in the text", "the key overwritten"


def asked_in_ways(recorded: dict) -> dict[str, str]:
    """The models that were asked in other ways than the usual one: {what they are called: run}."""
    return {name: run for run, name in RUNS.items() if ways_of(recorded, run)}


def ways(recorded: dict):
    """The same keys asked for in other ways, in texts of eight training lengths."""
    models = asked_in_ways(recorded)

    def varied(run: str, change: str) -> dict[str, dict[str, list[str]]]:
        """{filler: {what is on the axis: rows}}"""
        length = 8 * recorded[run]["settings"]["length"]
        usual = [row for row in recorded[run]["results"]["passkeys"] if row["length"] == length]
        found = {filler: {} for filler in FILLERS}
        for row in usual + [row for row in ways_of(recorded, run) if row["stingy"]]:
            others, gone = row.get("distractors", 0), row.get("overwrite", False)
            same = {K: (row["k"], 4), CHOOSE: (row["choose"], "head and token")}
            same |= {OTHERS: (others, 0), CONTROL: ("yes" if gone else "no", "no")}
            if all(value == standard for name, (value, standard) in same.items() if name != change):
                found[row["filler"]][str(same[change][0])] = row["right"]
        return found

    def keys_found_by_way(model, change):
        """Pass keys found in texts of 2,048 bytes, eight training lengths, with 95% intervals of fifty keys each:
        by how many blocks are fetched, by what they are chosen for, with other numbers in the text, and with the
        key overwritten by blanks.

        What is not changed is as usual: four blocks, chosen for each head and token, no other number. Where the key is
        overwritten nobody can know it: whoever finds it then has been told in another way.
        """
        found = varied(models[model], change)
        order = sorted(found[FILLERS[0]], key=lambda name: (len(name), name) if change in (K, OTHERS) else (0, name))
        if change == CHOOSE:
            order = ["head and token", "head", "token"]
        traces = []
        for filler, shift, colour, symbol in zip(
            FILLERS, (-0.1, 0.1), (BLUE, ORANGE), ("circle", "diamond"), strict=True
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
DIGITS = ((BLUE, "solid"), (GREEN, "dash"), (VIOLET, "dot"), (RED, "dashdot"), (ORANGE, "solid"))


MODELS = {  # and what their keys are called
    "usual": LANDMARKS,
    "trained for longer": RUNS["passkey-long-0"],
    "trained among others": RUNS["passkey-distractors-0"],
}


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
        traces, told = [], "%{x:,} bytes: %{y:.2f}"
        if show == "all digits":
            y = np.array([by_text[n].mean() for n in lengths])
            around = np.array([off[n] for n in lengths])
            traces.append(band("one standard error", lengths, y - around, y + around, ORANGE))
            traces.append(line("foretold", lengths, y, ORANGE, width=2.2, hover=told, mode="lines+markers"))
        else:
            for digit, (colour, dash) in zip(range(seen[lengths[0]].shape[-1]), DIGITS, strict=False):
                y = np.array([seen[n][..., digit].mean() for n in lengths])
                traces.append(line(f"digit {digit + 1}", lengths, y, colour, dash, hover=told))
        found = measured.get(MODELS[model], {})
        rows = {n: right for (n, filler), right in sorted(found.items()) if filler == FILLERS[1]}
        if rows:
            traces.append(points("measured", np.array(list(rows)), list(rows.values()), BLUE))
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
