"""Chapter 3: a pair of components as a complex number that turns and shrinks; which two components form a pair.

Each function takes the values of its controls and gives a plotly figure and read-outs for `lexviz.explore`. Angles and
decays come from `lexviz.theory`. Query and key share the colour of their encoding: the query is solid, the key dashed.
"""

import numpy as np
import plotly.graph_objects as go

from lexviz import theory
from lexviz.figures.parts import BARE, below, line, near
from lexviz.palette import BLANK, ENCODING, GREY

ROPE, XPOS = ENCODING["RoPE"], ENCODING["XPos"]
HEAD_DIM = 64  # of every figure but the last
CIRCLE = np.exp(2j * np.pi * np.linspace(0, 1, 73))


NUMBER = "%{x:.3f} + %{y:.3f}i"  # what a point of the complex plane says


def _curve(name, z, colour, dash="solid", width=1.2, hover="", **more) -> dict:
    """Complex numbers z, joined by a line."""
    z = np.round(z, 12)
    return line(name, z.real, z.imag, colour, dash, width, hover, **more)


def _arrow(name, letter, z, colour, dash) -> dict:
    """A complex number as a line from 0 to a dot with a letter beside it."""
    x, y = [0.0, float(z.real)], [0.0, float(z.imag)]
    more = {
        "mode": "lines+markers+text",
        "marker": {"size": [0, 9], "color": colour, "opacity": 1},
        "text": ["", letter],
        "textposition": "bottom right" if letter == "q" else "top right",  # both may point the same way
        "textfont": {"size": 17},
        "showlegend": False,
        "cliponaxis": False,
    }
    return line(name, x, y, colour, dash, 3, NUMBER, **more)


def _unit_circle() -> dict:
    return _curve("length 1", CIRCLE, GREY, "dot", showlegend=False)


def _plane(reach: float) -> dict:
    """The axes of a complex plane that shows numbers up to `reach`, as wide as it is high."""
    real = {"title": near("real part"), "range": [-reach, reach], "constrain": "domain"}
    imaginary = {**real, "title": near("imaginary part"), "scaleanchor": "x", "constraintoward": "top"}
    return {"xaxis": real, "yaxis": imaginary}


def _places(last: int) -> np.ndarray:
    """Positions from 0 to `last`, ten to each whole one, for a line that is seen as round."""
    return np.linspace(0, last, 10 * last + 1)


LAST = 20  # position in `one_pair`


def one_pair(position, pair, gamma, scale_base):
    """One pair of a query (solid) and of a key (dashed), both 1 + 0i at position 0, in the complex plane; head size 64.
    Thin: where they are at all positions from 0 to 20.

    Both turn by the same angle with every position. The query shrinks by the factor by which the key grows, so that at
    one and the same position their scales cancel. Pair 0 makes more than three turns in 20 positions, pair 4 one, pair
    16 a thirtieth of one. The smaller gamma and B, the tighter the query's spiral and the wider the key's.
    """
    rate = theory.decay_rates(HEAD_DIM, gamma, scale_base)[pair]
    theta = theory.angles(HEAD_DIM)[pair]
    path = _places(LAST)
    traces = [_unit_circle()]
    for name, letter, xi, dash in (("query", "q", rate, "solid"), ("key", "k", -rate, "dash")):
        growth = xi + 1j * theta  # lambda of the query, minus its conjugate of the key
        traces.append(_curve(f"{name}'s path", np.exp(growth * path), XPOS, dash, showlegend=False))
        traces.append(_arrow(name, letter, np.exp(growth * position), XPOS, dash))
    query, key = np.exp(rate * position), np.exp(-rate * position)
    return go.Figure(traces, {**_plane(2.6), "height": 410}), [
        ("both have turned by", round(float(position * theta), 3), "radians"),
        ("query's scale", round(float(query), 3), ""),
        ("key's scale", round(float(key), 3), ""),
        ("product of the scales", round(float(query * key), 3), ""),
    ]


TOKENS_PAIR, TOKENS_BASE, TOKENS_LAST = 4, 32.0, 20  # of `two_tokens`: B is small, so that one sees the decay
QUERY, KEY = np.exp(0.4j), np.exp(0j)
EQUATIONS = ("Eq. 10", "Eq. 6 as printed", "Eq. 7 as printed")


def _factors(equation: str) -> tuple[complex, complex]:
    """What grows and turns query and key per position: f_q = q exp(first m), f_k = k exp(second n)."""
    xi = theory.decay_rates(HEAD_DIM, 0.4, TOKENS_BASE)[TOKENS_PAIR]
    turn = 1j * theory.angles(HEAD_DIM)[TOKENS_PAIR]
    key = {"Eq. 10": -xi + turn, "Eq. 6 as printed": -xi - turn, "Eq. 7 as printed": xi + turn}[equation]
    return xi + turn, key


def two_tokens(n, r, equation):
    """A key at position n and a query r positions later: one pair of each (above), and their score if from here both
    move together or only the query moves (below). The pair turns by 0.316 radians a position and fades by 3%.

    Above: the query is solid, the key dashed. Below: the score Re(q k*). Dashed: both move, the key to x and the query
    to x + r. Solid: the query alone moves, to n + x. The two dots, hollow and full, mark the present state. With
    Eq. 10 the dashed line is level, so that only the distance counts, and the solid one is the same for every n. With
    the key's factor of Eq. 6 as printed the dashed line swings; with that of Eq. 7 as printed it fades.
    """
    of_query, of_key = _factors(equation)
    x = _places(TOKENS_LAST)

    def score(m, n):
        return np.round((QUERY * np.exp(of_query * m) * np.conj(KEY * np.exp(of_key * n))).real, 12)

    q, k = QUERY * np.exp(of_query * (n + r)), KEY * np.exp(of_key * n)
    together, apart, now = score(x + r, x), score(n + x, n), float(score(n + r, n))
    symbols = {"symbol": ["circle-open", "circle"], "size": 10, "color": XPOS, "line": {"width": 2, "color": XPOS}}
    told = "%{x:.1f}: %{y:.3f}"
    traces = [
        _unit_circle(),
        _arrow("query", "q", q, XPOS, "solid"),
        _arrow("key", "k", k, XPOS, "dash"),
        *below(
            line("key at x, query at x + r", x, together, XPOS, "dash", hover=told),
            line("key at n, query at n + x", x, apart, XPOS, hover=told),
            line("now", [n, r], [now, now], XPOS, hover=told, mode="markers", marker=symbols, showlegend=False),
        ),
    ]
    layout = _plane(1.8)
    layout["xaxis"] |= {"anchor": "y"}
    layout["yaxis"] |= {"anchor": "x", "domain": [0.44, 1]}
    layout["xaxis2"] = {"title": near("x"), "anchor": "y2", "range": [-0.4, TOKENS_LAST + 0.4]}
    layout["yaxis2"] = {"title": "score", "anchor": "x2", "domain": [0, 0.3], "range": [-1.1, 1.1]}
    return go.Figure(traces, {**layout, "height": 600}), [
        ("query at", n + r, ""),
        ("key at", n, ""),
        ("score", round(now, 3), ""),
        ("angle from key to query", round(float(np.angle(q / k)), 3), "radians"),
        ("product of the lengths", round(float(abs(q * k)), 3), ""),
    ]


def all_pairs(distance, gamma, base):
    """All 32 pairs of head size 64 at once: how far each has turned, and what is left of it, at a distance; B = 512.
    Large: the mean, whose real part, times 32, is the expected score.

    Each point is the factor that one pair of query times key gets: on the circle for RoPE, inside it for XPos. Two
    pairs have their numbers beside them: 0, the fastest, and 31, the slowest. At distance 0 all are at 1. With
    distance the fast pairs run around and the slow ones stay near 1, so that the points string out along the circle.
    XPos draws the fast ones towards the middle, where they no longer move the mean. A smaller base of the angles has
    all pairs turn fast; with a larger one more of them stay.
    """
    theta = theory.angles(HEAD_DIM, base)
    turned = np.exp(1j * distance * theta)
    left = turned * np.exp(distance * theory.decay_rates(HEAD_DIM, gamma))
    number = np.arange(HEAD_DIM // 2)
    told = "pair %{customdata}: " + NUMBER
    labelled = np.array([0, 31])
    beside = turned[labelled] * [1.12, 1.3]  # at distance 0 one outside the other
    words = {"mode": "text", "text": [str(i) for i in labelled], "showlegend": False}
    traces = [_unit_circle()]
    for name, z, colour, symbol in (("RoPE", turned, ROPE, "circle-open"), ("XPos", left, XPOS, "circle")):
        marker = {"size": 7, "color": colour, "symbol": symbol}
        traces.append(_curve(f"{name}, pairs", z, colour, hover=told, mode="markers", marker=marker, customdata=number))
        mean = {"size": 17, "color": colour, "symbol": "x" if name == "XPos" else "x-open"}
        at = z.mean(keepdims=True)
        traces.append(_curve(f"{name}, mean", at, colour, hover=NUMBER, mode="markers", marker=mean))
    traces.append(_curve("numbers of pairs", beside, GREY, **words))
    return go.Figure(traces, {**_plane(1.4), "height": 440}), [
        ("expected score, RoPE", round(float(turned.sum().real), 2), ""),
        ("expected score, XPos", round(float(left.sum().real), 2), ""),
        ("pairs that have made a turn", int((distance * theta >= 2 * np.pi).sum()), "of 32"),
        ("half lost or more, in XPos", int((abs(left) <= 0.5).sum()), "of 32"),
    ]


ORDERS = ("as they come", "evens first", "evens first, drawn in order")


def turning(position: float, head_dim: int, half_split: bool) -> np.ndarray:
    """The matrix that turns a vector at this position, pairs being neighbours or component i with i + d/2; (d, d).

    Its angles have the base 10, for which every pair turns visibly.

    >>> turning(1, 4, half_split=False).round(2)
    array([[ 0.54, -0.84,  0.  ,  0.  ],
           [ 0.84,  0.54,  0.  ,  0.  ],
           [ 0.  ,  0.  ,  0.95, -0.31],
           [ 0.  ,  0.  ,  0.31,  0.95]])
    """
    angle = position * theory.angles(head_dim, base=10.0)
    i = np.arange(head_dim // 2)
    first, second = (i, i + head_dim // 2) if half_split else (2 * i, 2 * i + 1)
    matrix = np.zeros((head_dim, head_dim))
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def interleaved_and_half_split(position, head_dim, order):
    """The matrix that turns a query at this position, the key being at 0: pairs of neighbours (left), pairs half a
    vector apart (right). The numbers say which component stands in a slot. Base 10, so that every pair turns visibly.

    Blue is positive, orange negative. On the left, blocks of two by two lie along the diagonal; on the right, cosines
    on the diagonal and sines half a vector away. As they come, the same components are paired differently, and query
    and key get another score. With the even components first, then the odd ones, the right matrix turns the same pairs
    as the left one and the score is the same; drawn in the order of the components it is the left matrix.
    """
    d = head_dim
    left, right = turning(position, d, half_split=False), turning(position, d, half_split=True)
    in_slot = np.arange(d) if order == ORDERS[0] else np.r_[0:d:2, 1:d:2]  # which component of the left vector
    q, k = np.cos(np.arange(d)), np.sin(2 + np.arange(d))  # any two vectors would do
    scores = (left @ q) @ k, (right @ q[in_slot]) @ k[in_slot]
    if order == ORDERS[2]:
        slots = np.argsort(in_slot)
        right, in_slot = right[np.ix_(slots, slots)], np.arange(d)
    scale = [[0, ROPE], [0.5, BLANK], [1, XPOS]]
    look = {"type": "heatmap", "zmin": -1, "zmax": 1, "colorscale": scale, "showscale": False, "xgap": 1, "ygap": 1}
    look["hovertemplate"] = "row %{y}, column %{x}: %{z:.3f}<extra></extra>"
    traces = [
        {**look, "name": "interleaved", "z": left, "xaxis": "x", "yaxis": "y"},
        {**look, "name": "half-split", "z": right, "xaxis": "x2", "yaxis": "y2"},
    ]
    layout = {"height": 295, "margin": {"l": 30, "r": 8, "t": 40, "b": 30}}
    panels = (("", [0, 0.46], np.arange(d), "interleaved"), ("2", [0.54, 1], in_slot, "half-split"))
    for number, domain, names, title in panels:
        ticks = {**BARE, "tickvals": list(range(d)), "ticktext": [str(name) for name in names]}
        ends = [-0.5, d - 0.5]
        layout[f"xaxis{number}"] = {**ticks, "domain": domain, "anchor": f"y{number}", "range": ends} | {
            "constrain": "domain"
        }
        layout[f"yaxis{number}"] = {
            **ticks,
            "anchor": f"x{number}",
            "range": ends[::-1],
            "scaleanchor": f"x{number}",
            "constrain": "domain",
            "constraintoward": "top",
        }
        above = {"xref": f"x{number} domain", "yref": f"y{number} domain", "x": 0.5, "y": 1.02, "yanchor": "bottom"}
        layout.setdefault("annotations", []).append({"text": title, "showarrow": False, "font": {"size": 14}, **above})
    return go.Figure(traces, layout), [
        ("score, interleaved", round(float(scores[0]), 3), ""),
        ("score, half-split", round(float(scores[1]), 3), ""),
        ("largest difference of the two matrices", round(float(abs(left - right).max()), 3), ""),
    ]
