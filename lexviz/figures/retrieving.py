"""Chapter 11: how far a landmark model reads, and which blocks it fetches for each digit of an answer.

Nothing is run here. Each function takes what `lexviz.runs.results()` holds, or what a chapter has measured, and gives
the function that `lexviz.explore` takes. Runs are found by name, and any of them may be missing: then what they would
show is left out. Layers and heads count from 1 where a reader sees them. Text is data: see `weights.shown`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from lexviz.corpus import PassKey
from lexviz.figures.parts import BARE, PERPLEXITY, beyond, line
from lexviz.figures.weights import heatmap, legend, letters, percent, shown, thousandths
from lexviz.palette import BLUE, CYAN, GREEN, LIMIT, ORANGE, REFERENCE, VIOLET
from lexviz.retrieval import Written

# ---- perplexity by length ---------------------------------------------------------------------------------------

WITHOUT = {  # how the name of a mask begins: what it is called
    "causal": "RoPE, all at once",
    "block_causal": "RoPE, block causal",
    "segment_recurrent": "RoPE, segments with memory",
    "sliding_window": "RoPE, sliding window",
}
BY_K, BY_CHOICE, BY_POSITIONS, TUNED = "how many", "chosen per", "positions", "RoPE given landmarks"
LINES_OF_K = {1: (CYAN, "dot"), 2: (GREEN, "dashdot"), 4: (ORANGE, "solid"), 8: (VIOLET, "dash")}


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
        lines = {f"k = {k}": (fetching(about, k), *looks) for k, looks in LINES_OF_K.items()}
    elif by == BY_CHOICE:
        ways = (("head and token", ORANGE, "solid"), ("head", VIOLET, "dash"), ("token", GREEN, "dashdot"))
        lines = {f"per {choose}": (fetching(about, 4, choose), colour, dash) for choose, colour, dash in ways}
    elif by == BY_POSITIONS:
        lines = {"stingy positions": (fetching(about, 4), ORANGE, "solid")}
        lines["true positions"] = fetching(about, 4, stingy=False), VIOLET, "dash"
        lines["landmarks, all at once"] = fetching(about, None), GREEN, "dashdot"
    else:
        tuned = recorded["landmark-from-rope-0"]
        lines = {"landmarks from the start, k = 4": (fetching(about, 4), ORANGE, "solid")}
        lines["RoPE given landmarks, k = 4"] = fetching(tuned, 4), VIOLET, "dash"
        lines["RoPE given landmarks, all at once"] = fetching(tuned, None), GREEN, "dashdot"
    return {name: drawn for name, drawn in lines.items() if drawn[0]}


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
            lines[name] = beside[name], REFERENCE, grey[name]
        traces = []
        for name, (of, colour, dash) in lines.items():
            x, y = np.array(sorted(of)), np.array([of[n] for n in sorted(of)])
            traces.append(line(name, x, y, colour, dash, hover="%{x:,} bytes: %{y:.3f}", mode="lines+markers"))
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
        there = {name: of[ticks[-1]] for name, (of, _, _) in lines.items() if ticks[-1] in of}
        lowest = min(there, key=there.get)
        return go.Figure([*traces, upright], layout), [
            (f"lowest at {ticks[-1]:,} bytes", f"{there[lowest]:.2f}, {lowest.replace(' = ', '=')}", ""),
            ("RoPE in blocks, there", f"{there[WITHOUT['block_causal']]:.2f}", ""),
        ]

    return far_reading


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
        characters = shown([*asked.document[: asked.start].tolist(), *answer.said])
        characters[asked.start + digit - 1 :] = [""] * (len(answer.said) - digit + 1)  # not written yet
        spots = [(i % row, i // row, c) for i, c in enumerate(characters) if c != " "]
        until = sum(c != " " for c in characters[: asked.start])
        told = [f"{b}: {''.join(characters[b * block : b * block + block])}" for b in range(len(scores))]
        every = np.concatenate(
            [each.scores[layer - 1, head - 1] for each in answer.steps]
        )  # for one axis for all digits
        ends = [every.min() - 0.08 * np.ptp(every), every.max() + 0.08 * np.ptp(every)]
        where, near = np.flatnonzero(fetched), _blocks(asked.needle, block)
        near = [b for b in near if b < len(scores)]
        seen = {"xaxis": "x2", "yaxis": "y2"}
        traces = [
            heatmap(thousandths(z), np.arange(row), np.arange(rows), "%{z} thousandths", name="weights"),
            letters(*zip(*spots[:until], strict=True), size=11),
            letters(*zip(*spots[until:], strict=True), size=11) | {"name": "written"},
            _frames("fetched", [(b * block, b * block + block) for b in where], row, ORANGE),
            _frames("the key", [(asked.needle.start, asked.needle.stop)], row, LIMIT),
            _frames("read last", [(read - 1, read)], row, REFERENCE),
            _dots("scores", np.arange(len(scores)), scores, told, BLUE, 5) | seen,
            _dots("scores, fetched", where, scores[where], [told[b] for b in where], ORANGE, 9, "diamond") | seen,
            _dots("scores, the key", near, scores[near], [told[b] for b in near], LIMIT, 13, "circle-open") | seen,
            *legend(),
        ]
        bare = {**BARE, "ticks": "", "showticklabels": False}
        high, gap, below = 150, 62, 19 * rows
        whole = high + gap + below
        layout = {
            "xaxis": {**bare, "range": [-0.6, row - 0.4], "anchor": "y"},
            "yaxis": {**bare, "range": [rows - 0.4, -0.6], "domain": [0, below / whole], "anchor": "x"},
            "xaxis2": {"range": [-1, len(asked.document) // block + 1], "anchor": "y2", "title": "block"},
            "yaxis2": {"title": "score", "domain": [1 - high / whole, 1], "range": ends, "anchor": "x2"}
            | {"zeroline": False},
            "height": whole + 70, "margin": {"l": 40, "r": 6, "t": 60, "b": 10},
        }  # fmt: skip
        given = np.nansum(weights[asked.needle])
        before, now = (
            answer.said[part].decode(errors="replace") for part in (slice(digit - 1), slice(digit - 1, digit))
        )
        said = f"{before}[{now}]"
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
    return line(name, np.array(x), np.array(y), colour)


def _dots(name: str, x, y, text, colour: str, size: int, symbol: str = "circle") -> dict:
    marker = {"color": colour, "size": size, "symbol": symbol, "line": {"width": 2 if "open" in symbol else 0}}
    told = {"text": text, "hovertemplate": "%{text}<br>score %{y:.1f}<extra></extra>", "showlegend": False}
    common = {"type": "scatter", "mode": "markers", "name": name, "marker": marker}
    return common | {"x": np.array(x), "y": np.round(y, 2)} | told
