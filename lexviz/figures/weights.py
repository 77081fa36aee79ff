"""Weights of attention as chapters 9 to 11 draw them: in maps, and in the text itself.

Weights and shares are drawn in thousandths, rounded to whole ones: enough for the eye, and small on a page. Text is
data: bytes are shown as characters, a newline as a sign of its own.
"""

from collections.abc import Sequence

import numpy as np

from lexviz.figures.parts import BARE, key
from lexviz.palette import BLUE, LIMIT, MAUVE, ORANGE, tint

# In these colours weights of a thousandth, a hundredth, a tenth and all differ, on a light page and on a dark one.
SCALE = [
    [0, tint(BLUE, 0.06)],
    [0.002, tint(BLUE, 0.2)],
    [0.01, tint(BLUE, 0.5)],
    [0.1, BLUE],
    [0.1001, MAUVE],
    [1, ORANGE],
]
MONO = {"family": "ui-monospace, monospace"}


def shown(text: Sequence[int]) -> list[str]:
    r"""Bytes as characters, one each; a newline has a sign, and what cannot be printed another.

    >>> "".join(shown(b"def f(x):\n\t"))
    'def f(x):⏎□'
    """
    return [chr(byte) if 32 <= byte < 127 else "⏎" if byte == 10 else "□" for byte in text]


def thousandths(weights: np.ndarray) -> np.ndarray:
    """Weights as they are drawn."""
    return np.round(1000 * weights)


def percent(share: float) -> str:
    """A share in whole per cent."""
    return f"{100 * share:.0f}%"


def heatmap(z, x, y, hover: str, **more) -> dict:
    """A heatmap of weights in thousandths; nan is left blank."""
    return {
        "type": "heatmap",
        "z": z,
        "x": x,
        "y": y,
        "zmin": 0,
        "zmax": 1000,
        "colorscale": SCALE,
        "showscale": False,
        "hoverongaps": False,
        "hovertemplate": f"{hover}<extra></extra>",
    } | more


def legend() -> list[dict]:
    """What the colours of a map mean."""
    return [key(*of) for of in (("1%", tint(BLUE, 0.5)), ("10%", BLUE), ("all", ORANGE))]


def letters(x, y, characters: Sequence[str], size: int = 12) -> dict:
    """The text itself, on the cells of a map."""
    told = {"hoverinfo": "skip", "showlegend": False}
    font = {"textfont": {**MONO, "size": size}}
    return {"type": "scatter", "mode": "text", "name": "text", "x": x, "y": y, "text": characters} | font | told


def frame(left: float, top: float, side: float = 1, **more) -> dict:
    """A frame around a part of a map: one cell, or a square of them."""
    ends = {"x0": left, "x1": left + side, "y0": top, "y1": top + side}
    return {"type": "rect", **ends, "line": {"color": LIMIT, "width": 2}} | more


# ---- a head's map, and the maps of all --------------------------------------------------------------------------

SMALL = 16  # tiles along a side of each small map


def seen(of: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """A map in thousandths, nan where no head of the layer looks: there the mask forbids it."""
    return np.where(layer.any(0), thousandths(of), np.nan)


def mosaic(of: np.ndarray) -> np.ndarray:
    """All heads' maps, coarser, side by side with a gap between them: a row of maps for each layer."""
    layers, heads, tiles, _ = of.shape
    step = tiles // SMALL
    coarse = of.reshape(layers, heads, SMALL, step, SMALL, step).mean(3).sum(-1)
    z = np.full((layers * (SMALL + 1) - 1, heads * (SMALL + 1) - 1), np.nan)
    for i in range(layers):
        for j in range(heads):
            here = np.s_[i * (SMALL + 1) :, j * (SMALL + 1) :]
            z[here][:SMALL, :SMALL] = seen(coarse[i, j], coarse[i])
    return z


def one_of_all(of: np.ndarray, layer: int, head: int, tiles: list[str], ticks: dict, hover: str) -> tuple[list, dict]:
    """Traces and layout: the map of one head (above), and of all, a row for each layer (below), the one framed.

    of: (layers, heads, tiles, tiles); layer and head count from 1. tiles: the name of each; ticks: {tile: its label}.
    """
    layers, heads, n, _ = of.shape
    small, side = mosaic(of), SMALL + 1
    high, wide = small.shape
    traces = [
        heatmap(seen(of[layer - 1, head - 1], of[layer - 1]), tiles, tiles, hover, name="map"),
        heatmap(small, np.arange(wide), np.arange(high), "", name="all heads", hoverinfo="skip")
        | {"xaxis": "x2", "yaxis": "y2", "hovertemplate": None},
        *legend(),
    ]
    large = {**BARE, "type": "category", "tickvals": list(ticks), "ticktext": list(ticks.values())}
    large |= {"constrain": "domain"}

    def numbered(count):
        centres = [side * i + SMALL / 2 - 0.5 for i in range(count)]
        names = {"tickvals": centres, "ticktext": [str(i + 1) for i in range(count)]}
        return {**BARE, **names, "ticks": "", "constrain": "domain"}

    left, top = side * (head - 1) - 1, side * (layer - 1) - 1
    layout = {
        "xaxis": {**large, "title": "key", "range": [-0.5, n - 0.5], "anchor": "y"},
        "yaxis": {**large, "title": "query", "range": [n - 0.5, -0.5], "anchor": "x", "scaleanchor": "x"}
        | {"domain": [0.45, 1]},
        "xaxis2": {**numbered(heads), "title": "head", "range": [-1.5, wide + 0.5], "anchor": "y2"},
        "yaxis2": {**numbered(layers), "title": "layer", "range": [high + 0.5, -1.5], "anchor": "x2"}
        | {"scaleanchor": "x2", "domain": [0, 0.35]},
        "shapes": [frame(left, top, side, xref="x2", yref="y2")],
        "height": 760,
    }
    return traces, layout
