"""Chapter 4: how the expected score swings and fades with distance, what resolution makes of it, what fp16 can hold.

Each function takes the values of its controls and gives a plotly figure and read-outs for `lexviz.explore`; every
number in it comes from `lexviz.theory`. A distance is a whole number of positions.
"""

import functools
import math

import numpy as np
import plotly.graph_objects as go

from lexviz import theory
from lexviz.figures.parts import TENS, below, digits, line, panels
from lexviz.figures.points import evenly, extremes
from lexviz.palette import ENCODING, GREY, LIMIT

ROPE, XPOS = ENCODING["RoPE"], ENCODING["XPos"]
SCORE, SCALE = "%{x:,}: %{y:.2f}", "%{x:,}: %{y:.3g}"  # what a line says


@functools.lru_cache(maxsize=512)
def _score(last: int, head_dim: int, gamma: float | None = None, scale_base: float = 512.0) -> np.ndarray:
    """g[0] .. g[last + 1], kept because many states of a figure share it; the last one is Eq. 3's extra neighbour."""
    g = theory.expected_score(np.arange(last + 2), head_dim, gamma, scale_base)
    g.flags.writeable = False
    return g


def _swing(g: np.ndarray) -> float:
    """How far g still moves in the farther half of its distances."""
    return round(float(np.ptp(g[len(g) // 2 :])), 2)


def oscillation_and_decay(gamma, scale_base, head_dim, distance, axis):
    """The expected score g by distance, for RoPE and for XPos (Figure 1 of the paper). Drawn at whole distances: all of
    them, or of each stretch of either axis those two where RoPE is lowest and highest.

    RoPE falls from d/2 and keeps swinging, however far; XPos swings less and less and settles near zero. The vertical
    line is the longest sequence whose scales fp16 holds, in tokens, if positions are counted from the middle; beyond it
    no distance can occur. A logarithmic axis starts at distance 1.
    """
    log = axis == "log"
    rope, xpos = _score(distance, head_dim), _score(distance, head_dim, gamma, scale_base)
    # the same distances for both axes, so that a page keeps each curve once
    n = np.union1d(extremes(distance, rope[:-1], False, 140), extremes(distance, rope[:-1], True, 100))
    limit = theory.longest("float16", head_dim, gamma, scale_base)
    low, high = 1.1 * min(rope.min(), -0.1 * head_dim), 1.03 * head_dim / 2
    traces = [
        line("RoPE", n, rope[n], ROPE, width=1.2, hover=SCORE),
        line("XPos", n, xpos[n], XPOS, hover=SCORE),
        line("fp16 limit", [limit, limit], [low, high], LIMIT, "dash", 1.6, "%{x:,} tokens"),
    ]
    ends = [1, distance] if log else [0, distance]
    layout = {
        "xaxis": {"title": "distance n", "type": axis, "range": np.log10(ends).tolist() if log else ends},
        "yaxis": {"title": "expected score g[n]", "range": [low, high]},
    }
    return go.Figure(traces, layout), [
        ("R(g), RoPE", round(float(theory.resolution(rope)), 3), ""),
        ("R(g), XPos", round(float(theory.resolution(xpos)), 3), ""),
        ("swing of the farther half, RoPE", _swing(rope[:-1]), ""),
        ("swing of the farther half, XPos", _swing(xpos[:-1]), ""),
        ("g at the right edge, RoPE", round(float(rope[distance]), 2), ""),
        ("g at the right edge, XPos", round(float(xpos[distance]), 2), ""),
        ("fp16 holds", limit, "tokens"),
    ]


PAIRS, FARTHEST = 32, 2048  # of `one_frequency`: head size 64


def one_frequency(pair, gamma):
    """One pair alone (above), and its sum with all slower pairs (below), by distance; head size 64, B = 512. Drawn at
    whole distances: of each stretch of the axis those two where the curve is lowest and highest.

    Above: the pair's own term, cos(n theta), as in RoPE, and the same times its decay, as in XPos, inside the envelope
    of that decay. Below: the sum of this pair and all slower ones in XPos, beside the sum of all pairs, which is g; for
    pair 0 they are the same, and the slower the pair, the smoother its sum. The axis is logarithmic and starts at
    distance 1. Far out, where a stretch of it holds whole turns, the line fills the band in which the term swings.
    """
    theta, xi = theory.angles(2 * PAIRS)[pair], theory.decay_rates(2 * PAIRS, gamma)[pair]
    turning = np.cos(np.arange(FARTHEST + 1) * theta)
    full, slower = _slower(gamma)[[0, pair]]
    one, some, every = (extremes(FARTHEST, curve, log=True, points=160) for curve in (turning, slower, full))
    smooth = np.unique(np.geomspace(1, FARTHEST, 30).round())
    envelope = {"legendgroup": "envelope"}
    traces = [
        line("RoPE", one, turning[one], ROPE, width=1.2, hover=SCORE),
        line("XPos", one, turning[one] * np.exp(xi * one), XPOS, hover=SCORE),
        line("envelope", smooth, np.exp(xi * smooth), GREY, "dot", 1.6, SCORE, **envelope),
        line("envelope", smooth, -np.exp(xi * smooth), GREY, "dot", 1.6, SCORE, **envelope, showlegend=False),
        *below(
            line("all pairs", every, full[every], GREY, width=1.2, hover=SCORE),
            line("pairs i to 31", some, slower[some], XPOS, "dash", hover=SCORE),
        ),
    ]
    axis = {"type": "log", "range": [0, math.log10(FARTHEST)], "tickvals": [1, 10, 100, 1000]}
    layout = panels(
        x={**axis, "showticklabels": False},
        y={"title": "this pair", "range": [-1.08, 1.08]},
        x2={**axis, "title": "distance n", "matches": "x"},
        y2={"title": "sum", "range": [-3, 33]},
        height=520,
        gap=0.06,
    )
    return go.Figure(traces, layout), [
        ("a turn takes", round(2 * math.pi / theta, 1), "positions"),
        ("half is lost after", round(math.log(2) / -xi, 1), "positions"),
        ("turns until then", digits(math.log(2) / -xi * theta / (2 * math.pi)), ""),
        ("it adds to g[100]", round(float(np.cos(100 * theta) * np.exp(100 * xi)), 3), ""),
    ]


@functools.lru_cache(maxsize=16)
def _slower(gamma: float) -> np.ndarray:
    """Row i: the sum of the terms of pairs i, i + 1, ... at each distance 0 .. FARTHEST; (PAIRS, FARTHEST + 1)."""
    n = np.arange(FARTHEST + 1)
    theta, xi = theory.angles(2 * PAIRS)[:, None], theory.decay_rates(2 * PAIRS, gamma)[:, None]
    return (np.cos(n * theta) * np.exp(n * xi))[::-1].cumsum(0)[::-1]


GAMMAS = tuple(0.05 * 2 ** (p / 2) for p in range(13))  # 0.05 .. 3.2
SCALES = tuple(2 ** (p / 4) / 16 for p in range(29))  # 1/16 .. 8
BASES = {32: "dot", 128: "dash", 512: "solid", 2048: "dashdot"}
REACH = 2048  # the largest distance in `resolution_landscape`, as in Appendix A


def resolution_landscape(gamma, scale, head_dim):
    """Resolution R of c g, over distances up to 2,048: above against gamma, below against the scale of the scores c.

    Blue: XPos with four scale bases B. Orange: RoPE. Grey: a model that has forgotten everything, whose
    score is c d/2 at distance 0 and 0 at all others. The upper panel uses the chosen c, the lower one the chosen gamma;
    the upright line marks what is chosen in the other panel. All axes are logarithmic. With d = 64 or more, XPos has
    the more resolution the smaller gamma and B are, which is where it forgets sooner, and nothing is above the grey
    line. With d = 8 and c up to 1/2, RoPE, which forgets nothing, is above everything else.
    """
    rope, forgotten = _score(REACH, head_dim), _forgotten(head_dim)

    def panel(x, gammas, scales, here, shown):
        c = np.array(scales)[:, None]
        curves = [(f"B = {base}", _resolutions(head_dim, gammas, base, scales), XPOS, BASES[base]) for base in BASES]
        curves.append(("RoPE", np.broadcast_to(theory.resolution(c * rope), len(x)), ROPE, "solid"))
        curves.append(("forgotten", np.broadcast_to(theory.resolution(c * forgotten), len(x)), GREY, "solid"))
        lowest = min(r.min() for _, r, *_ in curves) / 1.3
        lines = [
            line(name, x, r, colour, dash, 1.8, "%{x:.3g}: R = %{y:.3g}", legendgroup=name, showlegend=shown)
            for name, r, colour, dash in curves
        ]
        upright = line("chosen", [here, here], [lowest, 1.5], GREY, "dot", 1, "%{x:.3g}", showlegend=False)
        highest = max(r.max() for _, r, *_ in curves) * 1.3
        axis = {"title": "R", "type": "log", "range": np.log10([lowest, highest]).tolist(), "exponentformat": "power"}
        return [*lines, upright], axis

    upper, y = panel(GAMMAS, GAMMAS, (scale,), gamma, True)
    lower, y2 = panel(SCALES, (gamma,), SCALES, scale, False)
    ticks = {"type": "log", "tickvals": [0.1, 0.2, 0.5, 1, 2, 5]}
    x, x2 = ({**ticks, "range": np.log10([v[0], v[-1]]).tolist()} for v in (GAMMAS, SCALES))
    layout = panels(
        x={**x, "title": "gamma"}, y=y, x2={**x2, "title": "scale of the scores c"}, y2=y2, height=600, gap=0.2
    )
    at = [_score(REACH, head_dim, gamma), rope, forgotten]
    values = [digits(theory.resolution(scale * s)) for s in at]
    names = ("R, XPos with B = 512", "R, RoPE", "R, forgotten everything")
    return go.Figure([*upper, *below(*lower)], layout), [(*of, "") for of in zip(names, values, strict=True)]


@functools.lru_cache(maxsize=256)
def _resolutions(head_dim: int, gammas: tuple, scale_base: float, scales: tuple) -> np.ndarray:
    """R(c g) for pairs of gamma and c; one gamma goes with every c."""
    g = np.stack([_score(REACH, head_dim, gamma, scale_base) for gamma in gammas])
    return theory.resolution(np.array(scales)[:, None] * g)


def _forgotten(head_dim: int) -> np.ndarray:
    """g where every zeta is 0: all pairs agree at distance 0, and nothing is left anywhere else."""
    return np.where(np.arange(REACH + 2) == 0, head_dim / 2, 0.0)


FP16 = np.finfo(np.float16)
LINES = {
    "largest": (float(FP16.max), "dash"),
    "normal": (float(FP16.tiny), "longdashdot"),
    "subnormal": (float(FP16.smallest_subnormal), "dot"),
}


def what_fp16_holds(gamma, scale_base, tokens, centred):
    """What fp16 stores of the scales of queries and keys along a sequence; head size 64, the pair that decays fastest.
    Drawn at up to 160 whole positions, evenly spread.

    Grey: the exact scales, zeta^(p/B) for queries, which falls, and zeta^(-p/B) for keys, which grows, on a logarithmic
    axis. Blue: what fp16 makes of them. Level lines: fp16's largest, smallest normal and smallest subnormal number. A
    scale above the largest becomes infinite, one below half of the smallest becomes 0, and the blue line ends; between
    normal and subnormal there are fewer and fewer digits, and the line turns into a staircase. Centred, positions p
    count from the middle of the sequence, else from its first token.
    """
    rate = theory.decay_rates(64, gamma, scale_base)[0]
    first = -(tokens // 2) if centred else 0
    p = np.arange(first, first + tokens)
    seen = p[np.abs(p * rate) < math.log(1e9)]  # within the plot's height; the first position and the last of them
    ends = seen[[0, -1]]
    traces = [
        line("exact", ends, np.exp(rate * ends), GREY, width=1.2, hover=SCALE, legendgroup="exact"),
        line("exact", ends, np.exp(-rate * ends), GREY, width=1.2, hover=SCALE, showlegend=False),
    ]
    for name, sign, dash in (("queries", 1, "solid"), ("keys", -1, "dash")):
        with np.errstate(over="ignore", under="ignore"):
            stored = np.exp(sign * rate * p).astype(np.float16)
        held = np.flatnonzero(np.isfinite(stored) & (stored > 0))
        held = held[evenly(len(held), 160)]
        traces.append(line(name, p[held], stored[held].astype(float), XPOS, dash, 2, SCALE))
    for name, (value, dash) in LINES.items():
        traces.append(line(name, [p[0], p[-1]], [value, value], LIMIT, dash, 1.6, "%{y:.3g}"))
    layout = {
        "xaxis": {"title": "position p", "range": [int(p[0]), int(p[-1])]},
        "yaxis": {"title": "scale", "range": [-9, 7], **TENS, "dtick": 2},
    }
    longest = theory.longest("float16", 64, gamma, scale_base, centred)
    return go.Figure(traces, layout), [
        ("fp16 holds", longest, "tokens"),
        ("so this sequence", "fits" if tokens <= longest else "does not fit", ""),
        ("largest scale", _power_of_ten(max(-rate * p[-1], rate * p[0])), ""),
        ("smallest scale", _power_of_ten(min(rate * p[-1], -rate * p[0])), ""),
        ("of this pair is left after 1,024 positions", digits(np.exp(1024 * rate), 2), ""),
    ]


def _power_of_ten(logarithm: float) -> str:
    """exp(logarithm) in words, also where no float could hold it.

    >>> _power_of_ten(10.0), _power_of_ten(-10262.9)
    ('22026', '10^-4457')
    """
    return f"{math.exp(logarithm):.5g}" if abs(logarithm) < 20 else f"10^{logarithm / math.log(10):.0f}"
