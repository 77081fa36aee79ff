"""Parts that figures of several families are made of: lines and bands, panels and axes, what stands beside them."""

import math

import numpy as np

from lexviz.palette import LIMIT

# ---- traces -----------------------------------------------------------------------------------------------------


def line(name: str, x, y, colour: str, dash: str = "solid", width: float = 2, hover: str = "", **more) -> dict:
    """A line, or what else `more` makes of it; without a text to hover over it says nothing."""
    looks = {"color": colour, "dash": dash, "width": width}
    told = {"hovertemplate": f"{hover}<extra>{name}</extra>"} if hover else {"hoverinfo": "skip"}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": looks} | told | more


def band(name: str, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, **more) -> dict:
    """What lies between two curves, shaded; it says nothing and stands in no legend."""
    around = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([low, high[::-1]])}
    looks = {"fill": "toself", "fillcolor": colour, "opacity": 0.22, "line": {"width": 0}, "mode": "lines"}
    return {"type": "scatter", "name": name, "showlegend": False, "hoverinfo": "skip"} | around | looks | more


def key(name: str, colour: str) -> dict:
    """An entry of the legend: a square of a map's colour."""
    marker = {"symbol": "square", "size": 11, "color": colour}
    return {"type": "scatter", "mode": "markers", "name": name, "x": [None], "y": [None], "marker": marker}


def below(*traces: dict) -> list[dict]:
    """The same traces in the lower panel."""
    return [trace | {"xaxis": "x2", "yaxis": "y2"} for trace in traces]


# ---- axes -------------------------------------------------------------------------------------------------------

BARE = {"showgrid": False, "zeroline": False}  # of a map, which has cells
TENS = {"type": "log", "exponentformat": "power", "dtick": 1}
PERPLEXITY = {
    "title": "perplexity (lower is better)",
    "type": "log",
    "tickvals": [1, 2, 3, 4, 5, 7, 10, 20, 30, 50, 100, 200, 500],
}


def panels(x: dict, y: dict, x2: dict, y2: dict, height: int, gap: float) -> dict:
    """The layout of two panels: the upper one's axes x and y, the lower one's x2 and y2."""
    middle = (1 - gap) / 2
    return {
        "xaxis": {"anchor": "y", **x},
        "yaxis": {"anchor": "x", "domain": [1 - middle, 1], **y},
        "xaxis2": {"anchor": "y2", **x2},
        "yaxis2": {"anchor": "x2", "domain": [0, middle], **y2},
        "height": height,
    }


def near(title: str) -> dict:
    """The title of an axis, close to it."""
    return {"text": title, "standoff": 5}


def heights(values) -> tuple[float, float]:
    """The ends of a logarithmic axis that has room for all values."""
    return 0.85 * min(values), 1.25 * max(values)


def beyond(length: int, edge: float, low: float, high: float, log: bool = False) -> tuple[dict, dict, dict]:
    """The upright line at the training length, a trace; what is shaded to the right of it, a shape; and what it is."""
    ends = [length] * 2, [low, high]
    upright = line("training length", *ends, LIMIT, "dash", 1.5, "%{x:,} bytes")
    shade = {"type": "rect", "x0": length, "x1": edge, "y0": 0, "y1": 1, "yref": "paper", "layer": "below"}
    shade |= {"fillcolor": LIMIT, "opacity": 0.07, "line": {"width": 0}}
    label = {"text": "beyond training", "x": math.log10(length) if log else length, "y": 1, "yref": "paper"}
    return upright, shade, label | {"xanchor": "left", "yanchor": "top", "showarrow": False}


# ---- numbers ----------------------------------------------------------------------------------------------------


def digits(value: float, count: int = 3) -> float:
    """Rounded to so many digits: what is stable from machine to machine.

    >>> digits(1234.5), digits(0.0006789, 2)
    (1230.0, 0.00068)
    """
    return float(f"{value:.{count}g}")
