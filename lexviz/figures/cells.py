"""Maps of cells, a query a row and a key a column, as chapters 6 and 12 draw them: who may see whom."""

import numpy as np

from lexviz.figures.parts import BARE, line
from lexviz.palette import GREY


def grid(z: np.ndarray, colours: tuple, hover: str, **more) -> dict:
    """A map of categories 0, 1, ... in these colours."""
    ends = np.linspace(0, 1, len(colours) + 1)
    scale = [[float(end), colour] for i, colour in enumerate(colours) for end in ends[i : i + 2]]
    return {
        "type": "heatmap",
        "name": "map",
        "z": z.astype(float),
        "zmin": -0.5,
        "zmax": len(colours) - 0.5,
        "colorscale": scale,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": f"{hover}<extra></extra>",
    } | more


def borders(n: int, block: int, rows: int | None = None, **more) -> dict:
    """Thin lines where blocks end: of keys, upright; without `rows` of queries too, across."""
    at, gap = np.arange(block, n, block) - 0.5, np.full(len(range(block, n, block)), np.nan)
    low, high = np.full(len(at), -0.5), np.full(len(at), (rows or n) - 0.5)
    x, y = np.stack((at, at, gap), 1).ravel(), np.stack((low, high, gap), 1).ravel()
    if rows is None:
        x, y = np.append(x, y), np.append(y, x)
    return line("block borders", x, y, GREY, width=1, showlegend=False, **more)


def square(n: int, domain: list) -> dict:
    """Axes of a map of n queries by n keys, in the upper part of a figure."""
    x = {**BARE, "range": [-0.5, n - 0.5], "constrain": "domain", "title": "key"}
    y = {**x, "range": [n - 0.5, -0.5], "scaleanchor": "x", "domain": domain, "title": "query"}
    return {"xaxis": {**x, "anchor": "y"}, "yaxis": {**y, "anchor": "x"}}
