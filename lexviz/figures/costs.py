"""Chapters 5 and 6: what attention costs by length, by formula and as measured.

The measured part is what `python -m benchmarks --record` wrote, given as the dict that its JSON holds: four heads of 32
components, one sequence, a block of 128. Numbers are of four bytes. Nothing is measured here.
"""

import functools

import numpy as np
import plotly.graph_objects as go

from lexviz import masks
from lexviz.attention import RUN
from lexviz.figures.parts import TENS, digits, line
from lexviz.masks import Mask
from lexviz.palette import BLUE, GREEN, GREY, LILAC, ORANGE

HEADS, HEAD_DIM, BYTES = 4, 32, 4
MEASURED_BLOCK = 128
LENGTHS = tuple(2**e for e in range(8, 17))
TOKENS = {  # the axis of these lengths
    "type": "log",
    "title": "tokens",
    "tickvals": [256, 1024, 4096, 16384, 65536],
    "ticktext": ["256", "1k", "4k", "16k", "64k"],
    "range": np.log10([220, 76_000]).tolist(),
}

# name, as in the recorded benchmark: its mask
MECHANISMS = {
    "every pair, attend": lambda block: masks.causal(),
    "causal, in one pass": lambda block: masks.causal(),
    "block causal": lambda block: masks.block_causal(block),
    "sliding window": lambda block: masks.sliding_window(2 * block),
    "segments with memory": lambda block: masks.segment_recurrent(block, block),
}
COLOUR = dict(zip(MECHANISMS, (GREY, LILAC, BLUE, GREEN, ORANGE), strict=True))
DASH = dict(zip(MECHANISMS, ("dot", "dashdot", "solid", "longdash", "dash"), strict=True))


@functools.lru_cache(maxsize=1024)
def operations(name: str, length: int, block: int) -> int:
    """Of q k^T and of weights times v: two for each product of two numbers, 4 d for each pair and head.

    `attend` computes every pair and throws the forbidden ones away; of the others the allowed pairs are counted (their
    windows have edges that are thrown away too: block causal attention computes a third more).

    >>> operations("every pair, attend", 1024, 128), operations("block causal", 1024, 128)
    (536870912, 92536832)
    """
    pairs = length**2 if name == "every pair, attend" else MECHANISMS[name](block).pairs(length)
    return 4 * HEAD_DIM * HEADS * pairs


@functools.lru_cache(maxsize=1024)
def scores_held(name: str, length: int, block: int) -> int:
    """Bytes of the scores that are there at one time: all of them, one number a row, or those of a window.

    >>> scores_held("every pair, attend", 8192, 128), scores_held("block causal", 8192, 128)
    (1073741824, 524288)
    """
    mask = MECHANISMS[name](block)
    if name == "every pair, attend":
        return BYTES * HEADS * length**2
    if name == "causal, in one pass":
        return BYTES * HEADS * length
    run = min(length, -(-RUN // mask.period) * mask.period)  # as in `attention.windowed`
    return BYTES * HEADS * run * min(length, _width(mask, run))


def _width(mask: Mask, run: int) -> int:
    """How many keys a run of queries needs, far from the beginning."""
    first = 2**20 // run * run
    low, high = mask.span(first, first + run - 1)
    return high - low + 1


@functools.lru_cache(maxsize=1024)
def kept(name: str, length: int, block: int) -> int:
    """Bytes of the keys and values, of one layer, that decoding token after token has to hold at most.

    >>> kept("causal, in one pass", 8192, 128), kept("block causal", 8192, 128)
    (8388608, 262144)
    """
    mask = MECHANISMS[name](block)
    i = np.arange(length)
    most = int(np.max(np.minimum(i, mask.last_key(i)) - np.maximum(0, mask.first_key(i)))) + 1
    return 2 * BYTES * HEADS * HEAD_DIM * most


QUANTITIES = {  # name: its formula, the title of its axis, and for the read-outs a unit and its size
    "operations": (operations, "operations", ("billion operations", 1e9), ("million operations", 1e6)),
    "scores held at once": (scores_held, "bytes", ("MB", 1e6), ("kB", 1e3)),
    "keys and values kept": (kept, "bytes", ("MB", 1e6), ("kB", 1e3)),
    "time": (None, "seconds", ("ms", 1e-3), ("µs", 1e-6)),
}


def rate(recorded: dict, name: str) -> float:
    """Operations per second of a mechanism, at the longest text that it was measured on."""
    longest = max((cost for cost in recorded["costs"] if cost["name"] == name), key=lambda cost: cost["length"])
    return operations(name, longest["length"], MEASURED_BLOCK) / longest["seconds"]


def of(cpu: dict, cuda: dict | None = None):
    """The figure of costs for recorded benchmarks, as a function for `explore`; with `cuda`, a GPU's points beside."""

    def costs(quantity, block, per_token):
        """What one layer of attention costs by length, for five ways to compute it: lines by formula, points as
        measured; 4 heads of 32 components, both axes logarithmic.

        Circles were measured on a CPU with blocks of 128 tokens, diamonds, where there are any, on a GPU. The lines of
        time are the operations at the speed of each mechanism's longest measured text on the CPU. The window is two
        blocks wide; a segment is a block, and so is its memory, which makes it the same mask as block causal: where the
        two lines are one, points beside each other show how exact a measurement is.
        """
        formula, axis, *units = QUANTITIES[quantity]
        n = np.array(LENGTHS)
        lines = {
            name: np.array([formula(name, length, block) for length in LENGTHS])
            if formula
            else np.array([operations(name, length, block) for length in LENGTHS]) / rate(cpu, name)
            for name in MECHANISMS
        }
        traces, told = [], "%{x:,} tokens: %{y:.3g}"
        for name, y in lines.items():
            drawn = y / n if per_token else y
            traces.append(line(name, n, drawn, COLOUR[name], DASH[name], hover=told, legendgroup=name))
        for recorded, symbol, where in ((cpu, "circle", "CPU"), (cuda, "diamond-open", "GPU")):
            for name in MECHANISMS if recorded else ():
                x, y = measured(recorded, name, quantity, per_token)
                points = {"mode": "markers", "marker": {"symbol": symbol, "size": 8}}
                same = {"legendgroup": name, "showlegend": False}
                traces.append(line(f"{name}, {where}", x, y, COLOUR[name], hover=told, **points, **same))
        title = f"{axis} a token" if per_token else axis
        layout = {"xaxis": TOKENS, "yaxis": {**TENS, "title": title}, "height": 460}
        unit, size = units[per_token]
        far = {name: y[-1] / (n[-1] if per_token else 1) for name, y in lines.items()}
        return go.Figure(traces, layout), [
            (f"at 64k tokens, {name}", digits(value / size), unit) for name, value in far.items()
        ]

    return costs


def measured(recorded: dict, name: str, quantity: str, per_token: bool) -> tuple[list, list]:
    """Lengths and seconds of a mechanism, where time is asked for; of other quantities nothing was measured."""
    points = [
        (cost["length"], cost["seconds"] / (cost["length"] if per_token else 1))
        for cost in recorded["costs"]
        if cost["name"] == name and quantity == "time"
    ]
    x, y = zip(*points, strict=True) if points else ([None], [None])
    return list(x), list(y)
