"""Start here and chapter 1: what recorded models make of texts that are longer than those of their training.

Each function takes recorded numbers, those of `lexviz.runs.results()` or of a chapter's own measurement, and gives the
function that `lexviz.explore` takes. Nothing is run here. Runs are found by name; there may be any number of others.
"""

import math

import numpy as np
import plotly.graph_objects as go

from lexviz.figures.parts import PERPLEXITY, beyond, digits, heights, line
from lexviz.palette import ENCODING, REFERENCE

RUNS = {"RoPE": "rope-0", "XPos": "xpos-0"}  # the two that these figures show: one seed each
NO_CHANGE = 1e-12  # of `changes`: below it there is only rounding
BLOCKS = "block_causal"  # how the name of a blockwise causal mask begins
WIDTH = {"RoPE": 3.8, "XPos": 2}  # of lines: where the two are one, RoPE, drawn first, still shows beside XPos


# ---- recorded numbers -------------------------------------------------------------------------------------------


def trained_at(recorded: dict) -> int:
    """The training length of the two runs, which must be the same."""
    lengths = {recorded[run]["settings"]["length"] for run in RUNS.values()}
    if len(lengths) > 1:
        raise ValueError(f"recorded has training lengths {sorted(lengths)}; the two runs need the same")
    return lengths.pop()


def perplexities(recorded: dict, name: str, blocks: bool = False) -> dict[int, float]:
    """{length: perplexity} of a run, "RoPE" or "XPos"; with `blocks`, under blockwise causal attention.

    Up to the training length that mask is the causal one, and so are the numbers.
    """
    return perplexities_of(recorded[RUNS[name]], blocks)


def perplexities_of(about: dict, blocks: bool = False) -> dict[int, float]:
    """The same of any run's record; None where the encoding has no such position."""
    rows = about["results"]["lengths"]
    found = {row["length"]: row["perplexity"] for row in rows if not row["mask"].startswith(BLOCKS)}
    if blocks:
        found |= {row["length"]: row["perplexity"] for row in rows if row["mask"].startswith(BLOCKS)}
    return found


def stretches(recorded: dict, name: str, blocks: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Where each stretch of the longest text ends, in bytes, and the mean loss in it, in nats."""
    return stretches_of(recorded[RUNS[name]], blocks)


def stretches_of(about: dict, blocks: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The same of any run's record."""
    rows = about["results"]["places"]
    (row,) = (row for row in rows if row["mask"].startswith(BLOCKS) == blocks)
    nats = np.array(row["nats"])
    return np.arange(1, len(nats) + 1) * row["length"] // len(nats), nats


# ---- parts of figures -------------------------------------------------------------------------------------------


def _line(name: str, x, y, encoding: str, dash: str = "solid", width: float | None = None, **more) -> dict:
    """A line of perplexities in the encoding's colour and, if nothing else is said, width."""
    hover = "%{x:,} bytes: %{y:.2f}"
    return line(name, x, y, ENCODING[encoding], dash, width or WIDTH[encoding], hover, **more)


# ---- by place ---------------------------------------------------------------------------------------------------


def _by_place(recorded: dict, read: int, blocks: bool):
    length = trained_at(recorded)
    every = [nats for name in RUNS for both in (False, True) for nats in stretches(recorded, name, both)[1]]
    low, high = heights(np.exp(every))
    traces, readouts = [], []
    for name in RUNS:
        ends, nats = stretches(recorded, name, blocks)
        seen = ends <= read
        last = seen & (ends > read - length)
        middle = ends[seen] - ends[0] // 2
        traces.append(_line(name, middle, np.exp(nats[seen]), name))
        readouts.append((f"perplexity of the last {length} bytes, {name}", digits(np.exp(nats[last].mean())), ""))
    longest = int(ends[-1])
    upright, shade, label = beyond(length, 1.04 * longest, low, high)
    layout = {
        "xaxis": {
            "title": "place in the text, bytes",
            "range": [0, 1.04 * longest],
            "tickvals": [length, *(longest * k // 4 for k in (1, 2, 3, 4))],
        },
        "yaxis": {**PERPLEXITY, "range": np.log10([low, high]).tolist()},
        "shapes": [shade],
        "annotations": [label],
    }
    return go.Figure([*traces, upright], layout), readouts


def start_here(recorded: dict):
    """The first figure of the book: two models read on, past the length that they were trained at."""

    def reading_on(read):
        """Two small models read texts that are sixteen times as long as any that they were trained on. Each line is
        the perplexity by place in the text: among how many equally likely bytes the model wavers there. Its axis is
        logarithmic.

        The models differ in nothing but the position encoding. Up to the dashed line, the training length, they are
        equally good. Past it, in the shaded part, RoPE soon loses its way, and XPos gets worse a little at a time.
        """
        return _by_place(recorded, read, blocks=False)

    return reading_on


def places(recorded: dict):
    """Loss by place, with both masks."""

    def by_place(read, blocks):
        """Perplexity by place in texts of 4,096 bytes, each point from the mean loss at 64 neighbouring places of all
        texts. To the right of the dashed line, in the shaded part, stand places that no text in training had.

        With blockwise causal attention every byte sees its own block of 128 bytes and the block before it, and nothing
        else.
        """
        return _by_place(recorded, read, blocks)

    return by_place


# ---- by length --------------------------------------------------------------------------------------------------


def lengths(recorded: dict):
    """Perplexity by length, with both masks."""

    def by_length(length, blocks):
        """Perplexity by the length of the text that the model reads at a time, from a quarter to sixteen times the
        training length, which is the dashed line. The bytes to be predicted are the same at each length. Both axes are
        logarithmic.

        With blockwise causal attention switched on, solid lines are with it, dotted ones without; up to the training
        length there is no difference between the two.
        """
        trained = trained_at(recorded)
        plain, chosen = ({name: perplexities(recorded, name, on) for name in RUNS} for on in (False, blocks))
        every = [value for name in RUNS for on in (False, True) for value in perplexities(recorded, name, on).values()]
        low, high = heights(every)
        traces = []
        for name in RUNS:
            x = np.array([n for n in chosen[name] if n <= length])
            traces.append(_line(name, x, np.array([chosen[name][n] for n in x]), name, mode="lines+markers"))
        for name in RUNS:  # where the switch is off, these lie on the solid ones
            x = np.array([n for n in plain[name] if n <= length])
            y = np.array([plain[name][n] for n in x])
            traces.append(_line(f"{name}, no blocks", x, y, name, "dot", 1.5, showlegend=blocks))
        ticks = sorted(plain["RoPE"])
        ends = [ticks[0] / 1.15, ticks[-1] * 1.15]
        upright, shade, label = beyond(trained, ends[1], low, high, log=True)
        layout = {
            "xaxis": {
                "title": "length of the text, bytes",
                "type": "log",
                "tickvals": ticks,
                "range": np.log10(ends).tolist(),
            },
            "yaxis": {**PERPLEXITY, "range": np.log10([low, high]).tolist()},
            "shapes": [shade],
            "annotations": [label],
        }
        readouts = []
        for name in RUNS:
            ratio = chosen[name][length] / plain[name][trained]
            readouts.append((f"perplexity, {name}", digits(chosen[name][length]), ""))
            readouts.append((f"times that at {trained} bytes, {name}", float(f"{ratio:.2f}"), ""))
        return go.Figure([*traces, upright], layout), readouts

    return by_length


# ---- what changes -----------------------------------------------------------------------------------------------


def changes(measured: dict):
    """How much the output of random models changes: measured[check][layers] is {encoding: change}."""

    def what_changes(check, layers):
        """By how much the output of a small random model changes, as a share of the output's own size, for each
        encoding. The axis is logarithmic. Points in the shaded strip at the left edge: no change, apart from rounding.

        Two outputs that have nothing to do with each other differ by about 1.4. If the order of the tokens counts, the
        output must change when they are shuffled. If only their distances count, it must not change when the text is
        moved.
        """
        sizes = measured[check][layers]
        names = list(sizes)
        drawn = {name: max(size, NO_CHANGE) for name, size in sizes.items()}
        traces = [
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [drawn[name]],
                "y": [name],
                "marker": {"color": ENCODING[name], "size": 12},
                "showlegend": False,
                "hovertemplate": f"%{{x:.2g}}<extra>{name}</extra>",
            }
            for name in names
        ]
        strip = {"type": "rect", "x0": NO_CHANGE / 10, "x1": NO_CHANGE * 10, "y0": 0, "y1": 1, "yref": "paper"}
        strip |= {"fillcolor": REFERENCE, "opacity": 0.18, "line": {"width": 0}, "layer": "below"}
        ticks = [NO_CHANGE, 1e-9, 1e-6, 1e-3, 1]
        layout = {
            "xaxis": {
                "title": "relative change of output",
                "type": "log",
                "range": [math.log10(NO_CHANGE) - 1, 1],
                "tickvals": ticks,
                "ticktext": ["none", "10⁻⁹", "10⁻⁶", "0.001", "1"],
            },
            "yaxis": {
                "type": "category",
                "categoryorder": "array",
                "categoryarray": names[::-1],
                "range": [-0.6, len(names) - 0.4],
            },
            "shapes": [strip],
            "height": 360,
        }
        still = sum(size < NO_CHANGE for size in sizes.values())
        return go.Figure(traces, layout), [
            ("encodings whose output does not change", still, f"of {len(names)}"),
            ("largest change", digits(max(sizes.values()), 2), ""),
        ]

    return what_changes
