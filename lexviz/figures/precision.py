"""Chapter 5: what becomes of a score when angles are rounded, centres move, and scale and rotation disagree on pairs.

Each function takes the values of its controls and gives a plotly figure and read-outs for `lexviz.explore`. What goes
wrong is computed here as others have computed it; what is right comes from `lexviz.positions`.
Query and key agree in every pair, so that all pairs together have the expected score of Eq. 8.
"""

import functools
import math

import numpy as np
import plotly.graph_objects as go
import torch

from lexviz import theory
from lexviz.figures.parts import below, digits, line, near, panels
from lexviz.figures.points import evenly, extremes
from lexviz.palette import ENCODING, GREY, LIMIT
from lexviz.positions import Rope, Xpos

HEAD_DIM = 64
WRONG, RIGHT = LIMIT, ENCODING["XPos"]
VALUE = "%{x:,}: %{y:.3g}"  # what a line says
ONES = torch.tensor([1.0, 0.0] * (HEAD_DIM // 2))  # every pair is 1 + 0i


# ---- angles in a short format -----------------------------------------------------------------------------------

FORMATS = ("float16", "bfloat16", "float32")
FARTHEST = 10_000_000
# whole positions, evenly on a logarithmic axis, and each moved to an odd number: even ones have fewer digits to lose
POSITIONS = np.unique(np.geomspace(1, FARTHEST, 120).astype(int) | 1)


def angles_in(dtype: str, positions) -> torch.Tensor:
    """Position times theta as a program has it that keeps everything in `dtype`: (positions, d/2), in float64.

    >>> exact = 1001 * theory.angles(64)
    >>> print(abs(angles_in("bfloat16", [1001])[0].numpy() - exact).max().round(2))
    1.36
    """
    of = getattr(torch, dtype)
    theta = torch.from_numpy(theory.angles(HEAD_DIM)).to(of)
    return (torch.as_tensor(positions)[:, None].to(of) * theta).double()


@functools.lru_cache(maxsize=16)
def _turned(dtype: str, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Each pair's score at each of POSITIONS, (positions, d/2): with angles in `dtype`, and with lexviz."""
    short = (angles_in(dtype, POSITIONS + distance) - angles_in(dtype, POSITIONS)).cos()
    x = ONES.to(getattr(torch, dtype)).expand(len(POSITIONS), 1, HEAD_DIM)  # a batch of one token each
    n = torch.from_numpy(POSITIONS)[:, None]
    q, k = Rope(HEAD_DIM).rotate(x, x, n + distance, n)
    return short.numpy(), (q.double() * k.double()).unflatten(-1, (-1, 2)).sum(-1)[:, 0].numpy()


def rounded_angles(dtype, distance, pairs):
    """The score of a query and a key at a fixed distance, wherever the key stands (above), and how far it is off
    (below). The rotation alone, head size 64; all scores are divided by the one at distance 0.

    Pink: position times theta computed in the chosen format, everything after it exactly. Blue: lexviz, which is given
    queries and keys in that format, takes differences of positions and computes angles in float64. Grey: exactly, and
    below the largest error that rounding position, theta and product can make. All horizontal axes and that of the
    error are logarithmic. Pink leaves the level line when the format runs out of digits: around position 100 in
    bfloat16, around 1,000 in float16, and in float32 after a million, where single pairs go wrong; in float16 it ends
    at 65,504, above which there are no positions. Blue stays level for ever.
    """
    exact = np.cos(distance * theory.angles(HEAD_DIM))
    chosen = slice(None) if pairs == "all" else slice(int(pairs), int(pairs) + 1)
    short, right = (scores[:, chosen].mean(-1) for scores in _turned(dtype, distance))
    level = exact[chosen].mean()
    unit = 2.0 ** -(theory.FORMATS[dtype][1] + 1)
    turns = (2 * POSITIONS + distance)[:, None] * theory.angles(HEAD_DIM)[chosen]
    most = np.minimum(((1 + unit) ** 3 - 1) * turns, 2).mean(-1)
    held = np.isfinite(short)
    place, tiny = POSITIONS[held], 1e-9
    ends, unnamed = POSITIONS[[0, -1]], {"showlegend": False}
    traces = [
        line("exactly", ends, [level, level], GREY, "solid", 1.2, VALUE),
        line(f"angles in {dtype}", place, short[held], WRONG, "solid", 1.8, VALUE),
        line("lexviz", POSITIONS, right, RIGHT, "dash", 1.8, VALUE),
        *below(
            line("bound", POSITIONS, most, GREY, "dot", 1.2, VALUE),
            line("error, angles", place, abs(short - level)[held].clip(tiny), WRONG, "solid", 1.8, VALUE, **unnamed),
            line("error, lexviz", POSITIONS, abs(right - level).clip(tiny), RIGHT, "dash", 1.8, VALUE, **unnamed),
        ),
    ]
    axis = {"type": "log", "range": [0, 7], "tickvals": [1, 100, 10_000, 1_000_000], "tickangle": 0}
    axis["ticktext"] = ["1", "100", "10,000", "1 million"]
    layout = panels(
        x={**axis, "showticklabels": False},
        y={"title": near("score"), "range": [-1.08, 1.08]},
        x2={**axis, "title": near("position of the key"), "matches": "x"},
        y2={"title": near("error"), "type": "log", "range": [-9, 0.6], "dtick": 3, "exponentformat": "power"},
        height=540,
        gap=0.06,
    )
    off = np.flatnonzero(abs(short - level)[held] > 0.01)
    return go.Figure(traces, layout), [
        ("exact score", round(float(level), 3), ""),
        ("off by 0.01 first at", f"{place[off[0]]:,}" if len(off) else "no position", ""),
        ("largest error, angles in the format", digits(abs(short - level)[held].max(), 2), ""),
        ("largest error, lexviz", digits(abs(right - level).max(), 1), ""),
    ]


# ---- centres that move ------------------------------------------------------------------------------------------

PROMPT = 64  # tokens that come in one call; then one by one
STEPS = (63, 64, 72, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1023)  # of the query
CACHES = ("keys before rotation", "scaled keys", "a centre each")
HEADS = 8  # with random queries and keys, of which a mean is taken


def exponents(cache: str, query: int) -> np.ndarray:
    """The power of zeta^(1/B) that a query meets in each key up to itself: query - key, if the cache is right.

    >>> exponents("keys before rotation", 100)[[0, 50, 100]]
    array([100,  50,   0])
    >>> exponents("scaled keys", 100)[[0, 50, 100]]
    array([81, 31,  0])
    >>> exponents("a centre each", 100)[[0, 50, 100]]
    array([ 50,   0, -50])
    """
    n = np.arange(query + 1)
    if cache == "keys before rotation":  # one centre for all, which falls out
        return query - n
    if cache == "scaled keys":  # each key keeps the middle of the text as it was when the key came
        return (query - query // 2) - (n - np.maximum(n, PROMPT - 1) // 2)
    return 0 - (n - query // 2)  # a single query is its own middle


@functools.lru_cache(maxsize=2)
def _random_vectors() -> tuple[np.ndarray, np.ndarray]:
    """Queries and keys of a long text, (heads, tokens, d/2), complex."""
    parts = np.random.default_rng(0).normal(size=(2, 2, HEADS, STEPS[-1] + 1, HEAD_DIM // 2))
    return tuple(parts[0] + 1j * parts[1])


@functools.lru_cache(maxsize=512)
def _weights(query: int, cache: str, scale_base: float) -> np.ndarray:
    """The attention of the token at `query` to all tokens up to itself, by a cache of this kind; (heads, keys)."""
    q, k = _random_vectors()
    q, k = q[:, query : query + 1], k[:, : query + 1]
    if cache == "keys before rotation":
        flat = (torch.view_as_real(torch.from_numpy(x)).flatten(-2) for x in (q, k))
        turned_q, turned_k = Xpos(HEAD_DIM, scale_base=scale_base).rotate(*flat)
        s = (turned_q @ turned_k.mT)[:, 0].numpy()
    else:
        turn = 1j * (query - np.arange(query + 1))[:, None] * theory.angles(HEAD_DIM)  # (keys, d/2)
        decay = exponents(cache, query)[:, None] * theory.decay_rates(HEAD_DIM, scale_base=scale_base)
        s = (q * k.conj() * np.exp(turn + decay)).real.sum(-1)
    s = s / HEAD_DIM**0.5
    weights = np.exp(s - s.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@functools.lru_cache(maxsize=16)
def _astray(cache: str, scale_base: float) -> np.ndarray:
    """At each of STEPS, which part of the attention lies on the wrong keys: half the sum of the differences."""
    pairs = [(_weights(t, cache, scale_base), _weights(t, CACHES[0], scale_base)) for t in STEPS]
    return np.array([abs(ours - right).sum(-1).mean() / 2 for ours, right in pairs])


def moved_centre(query, cache, scale_base):
    """Decoding with a cache: by what the scales of the newest query and of each key multiply pair 0 (above), and which
    part of the query's attention goes astray, from token to token (below). A prompt of 64 tokens, then one at a time;
    head size 64, random vectors, the mean of 8 heads.

    Above, on a logarithmic axis; grey: XPos, a straight line that ends at 1, at the token itself. "keys before
    rotation": lexviz; pink lies on grey. "scaled keys": each key was scaled around the middle of the text as it was
    when the key came, the query around the middle as it is now: the line is half as steep, as if B were twice as
    large, with a bend where the prompt ends. "a centre each": the query counts from its own position, the keys from
    their middle: the line has the right slope and is too high, the more so the longer the text. Below: attention goes
    astray by a few hundredths in the one case and by almost all in the other. Both get worse with a smaller B.
    """
    drawn = evenly(query + 1, 60)
    rate = theory.decay_rates(HEAD_DIM, scale_base=scale_base)[0]
    tens = -rate / math.log(10)  # powers of ten that pair 0 loses per position
    right, ours = (np.exp(rate * exponents(kind, query)[drawn]) for kind in (CACHES[0], cache))
    place, reach = STEPS.index(query), [-1.1 * STEPS[-1] * tens, 0.6 * STEPS[-1] * tens]
    ticks = ("0.0001", "0.01", "1", "100") if reach[0] < -2 else ("0.1", "0.3", "1", "3")
    ticks = {"tickvals": [float(tick) for tick in ticks], "ticktext": ticks}
    marks = {"mode": "lines+markers", "marker": {"size": 5}}
    traces = [
        line("XPos", drawn, right, GREY, "solid", 3.5, VALUE),
        line("with this cache", drawn, ours, WRONG, "solid", 1.8, VALUE),
        *below(
            *(
                line(kind, STEPS, _astray(kind, scale_base), colour, dash, 1.8, "%{x:,}: %{y:.1%}", **marks)
                for kind, colour, dash in zip(CACHES, (RIGHT, WRONG, WRONG), ("solid", "solid", "dash"), strict=True)
            ),
            line("this token", [query, query], [0, 1], GREY, "dot", 1, VALUE, showlegend=False),
        ),
    ]
    layout = panels(
        x={"title": near("position of the key"), "range": [0, query]},
        y={"title": near("scales, multiplied"), "type": "log", "range": reach, **ticks},
        x2={"title": near("position of the newest token"), "range": [0, 1.02 * STEPS[-1]]},
        y2={"title": near("part astray"), "range": [-0.03, 1.03], "tickformat": ".0%"},
        height=580,
        gap=0.2,
    )
    return go.Figure(traces, layout), [
        ("attention astray", f"{_astray(cache, scale_base)[place]:.1%}", ""),
        ("pair 0 with the token itself, times", digits(ours[-1]), ""),
        ("pair 0 with the first token, times", digits(ours[0]), ""),
        ("it should be", digits(right[0]), ""),
    ]


# ---- how pairs are laid out -------------------------------------------------------------------------------------

LAYOUTS = ("neighbours", "halves")
WALK, FAR = 240, 1024  # positions that both tokens move on by; the largest distance


def laid_out(layout: str) -> np.ndarray:
    """Which pair each of the components belongs to.

    >>> laid_out("neighbours")[:4], laid_out("halves")[:4]
    (array([0, 0, 1, 1]), array([0, 1, 2, 3]))
    """
    pairs = np.arange(HEAD_DIM // 2)
    return np.repeat(pairs, 2) if layout == "neighbours" else np.tile(pairs, 2)


def laid_out_scores(m, n, rotation: str, scale: str, scale_base: float) -> np.ndarray:
    """The score of vectors that agree, a query at m and a key at n, by Algorithm 1 with tables of these layouts."""
    exponent = theory.decay_rates(HEAD_DIM, scale_base=scale_base)[laid_out(scale)]  # (d,)
    pair = laid_out(rotation)
    first = np.arange(HEAD_DIM) == np.array([np.flatnonzero(pair == i)[0] for i in pair])  # of its pair
    theta = theory.angles(HEAD_DIM)[pair]

    def turned(p):  # every pair is 1 + 0i, so it turns to cos + i sin
        angle = np.asarray(p)[..., None] * theta
        return np.where(first, np.cos(angle), np.sin(angle))

    decay = np.exp((np.asarray(m) - np.asarray(n))[..., None] * exponent)
    return (turned(m) * turned(n) * decay).sum(-1)


@functools.lru_cache(maxsize=16)
def _away(rotation: str, scale: str, scale_base: float) -> np.ndarray:
    far = np.arange(FAR + 1)
    return laid_out_scores(far, 0 * far, rotation, scale, scale_base)


def two_layouts(distance, rotation, scale, scale_base):
    """Algorithm 1 with pairs of neighbours or of halves, in the tables of the rotation and in that of the scale: the
    score at one distance as both tokens move on together (above), and as the query moves away (below).

    Grey: XPos. Where both tables have the same layout, pink lies on it. The rotation in halves with the scale for
    neighbours: above, the score changes with the place, and at once; it is no longer relative. The rotation of
    neighbours with the scale for halves: above, the score is nearly level, so that a test of it would pass; below, it
    is another curve: half of the pairs fade too slowly, and the other half, which hardly turn, too fast. At distance 0
    nothing is wrong. Below, distances are drawn at which XPos is lowest or highest in its stretch of the axis.
    """
    n, far = np.arange(WALK + 1), np.arange(FAR + 1)
    moved = laid_out_scores(n + distance, n, rotation, scale, scale_base)
    away = _away(rotation, scale, scale_base)
    right = theory.expected_score(far, HEAD_DIM, scale_base=scale_base)
    drawn = extremes(FAR, right, points=120)
    name = f"rotation {rotation}, scale {scale}"
    level = theory.expected_score(distance, HEAD_DIM, scale_base=scale_base)
    traces = [
        line("XPos", [0, WALK], [level, level], GREY, "solid", 3.5, VALUE),
        line(name, n, moved, WRONG, "solid", 1.6, VALUE),
        *below(
            line("XPos", drawn, right[drawn], GREY, "solid", 3.5, VALUE, showlegend=False),
            line(name, drawn, away[drawn], WRONG, "solid", 1.6, VALUE, showlegend=False),
            line("this distance", [distance] * 2, [-8, 34], GREY, "dot", 1, VALUE, showlegend=False),
        ),
    ]
    layout = panels(
        x={"title": near("position of the key"), "range": [0, WALK]},
        y={"title": near("score"), "range": [level - 9, level + 9]},
        x2={"title": near("distance, the key at 0"), "range": [0, FAR]},
        y2={"title": near("score"), "range": [-8, 34]},
        height=580,
        gap=0.2,
    )
    return go.Figure(traces, layout), [
        ("score as it should be", round(float(level), 2), ""),
        ("lowest as both move", round(float(moved.min()), 2), ""),
        ("highest as both move", round(float(moved.max()), 2), ""),
        ("at distance 1,024, the key at 0", round(float(away[-1]), 2), ""),
        ("it should be", round(float(right[-1]), 2), ""),
    ]
