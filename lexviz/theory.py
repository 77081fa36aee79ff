"""What a position encoding does to the expected attention score: sections 3.1 and 3.2 of the LEX paper, in numpy.

XPos sees the d numbers of a query or a key as d/2 complex numbers, the pairs (0, 1), (2, 3), ... Pair i turns by the
angle theta_i per position and shrinks by zeta_i per B positions. If query and key agree on average, then over a
distance of n positions the expected score is, up to a factor,

    g[n] = sum_i cos(n theta_i) zeta_i^(n/B)                                                    (Eq. 8)

B, the scale base, is not in the paper (there B = 1); the authors' published code has B = 512, and Appendix A of the
book shows why it has to. Symbols: d = head_dim, i = 0 .. d/2 - 1, n = distance.
"""

import math
from typing import NamedTuple

import numpy as np

from lexviz import checks


def angles(head_dim: int, base: float = 10000.0) -> np.ndarray:
    """theta_i = base^(-2i/d), the turn of pair i per position, in radians; shape (d/2,).

    The first pair turns fastest, one radian a position, the last slowest:

    >>> angles(8)
    array([1.   , 0.1  , 0.01 , 0.001])
    """
    i = np.arange(checks.pairs(head_dim=head_dim))
    checks.above(0, base=base)
    return base ** (-2 * i / head_dim)


def decays(head_dim: int, gamma: float = 0.4) -> np.ndarray:
    """zeta_i = (i / (d/2) + gamma) / (1 + gamma), what remains of pair i after B positions (Eq. 9); shape (d/2,).

    Pairs that turn fast lose most; no pair keeps everything. A larger gamma brings every zeta nearer to 1,
    and zeta = 1 is RoPE.

    >>> decays(8, gamma=1.0)
    array([0.5  , 0.625, 0.75 , 0.875])
    """
    i = np.arange(checks.pairs(head_dim=head_dim))
    checks.above(0, gamma=gamma)  # at 0 the first pair would keep nothing
    return (i / (head_dim / 2) + gamma) / (1 + gamma)


def expected_score(
    distance, head_dim: int, gamma: float | None = 0.4, scale_base: float = 512.0, base: float = 10000.0
) -> np.ndarray:
    """g[n] of Eq. 8 at each distance n; gamma=None leaves the decay out, which is RoPE. Same shape as `distance`.

    At distance 0 all d/2 pairs agree; farther away they fall out of step, and XPos fades where RoPE goes on swinging:

    >>> expected_score([0, 1, 1000], head_dim=64).round(2)
    array([32.  , 30.89,  6.04])
    >>> expected_score([0, 1, 1000], head_dim=64, gamma=None).round(2)
    array([32.  , 30.92,  8.93])
    """
    n = checks.finite(distance=distance)[..., None]  # (..., 1)
    theta = angles(head_dim, base)  # (d/2,)
    if gamma is None:
        return np.cos(n * theta).sum(-1)
    with np.errstate(over="ignore"):
        kept = np.exp(n * decay_rates(head_dim, gamma, scale_base))  # (..., d/2)
    if not np.isfinite(kept).all():
        raise ValueError(f"distance is {distance!r}; so far into the future, below 0, no number is large enough for g")
    return (np.cos(n * theta) * kept).sum(-1)


def decay_rates(head_dim: int, gamma: float = 0.4, scale_base: float = 512.0) -> np.ndarray:
    """xi_i = ln(zeta_i) / B, so that zeta_i^(n/B) = exp(xi_i n); all negative; shape (d/2,). Eq. 6 calls them xi.

    >>> decay_rates(4, gamma=1.0, scale_base=1.0).round(4)
    array([-0.6931, -0.2877])
    """
    checks.above(0, scale_base=scale_base)
    checks.above(1e-300, scale_base=scale_base)  # smaller ones have rates that no number holds
    return np.log(decays(head_dim, gamma)) / scale_base


def resolution(scores) -> np.ndarray:
    """R(s) of Eq. 3: how clearly attention tells a distance from the next one. `scores` holds s[0] .. s[N+1].

        R(s) = sum_{i=0}^{N} p_i (p_i - p_{i+1}),    p_i = exp(s[i]) / sum_{j=0}^{N} exp(s[j])

    The softmax runs over s[0] .. s[N]; s[N+1] serves only as the last neighbour. Adding a constant to all scores
    changes nothing, equal scores have R = 0, and one of s[0] .. s[N] far above all others has R = 1, the most there is.
    Scores of shape (..., N+2) give R of shape (...).

    >>> float(resolution([3.0, 3.0, 3.0, 3.0]))
    0.0
    >>> round(float(resolution([1000.0, 0.0, 0.0])), 6)
    1.0
    """
    s = checks.finite(scores=scores)  # (..., N+2)
    if s.ndim == 0 or s.shape[-1] < 2:
        raise ValueError(f"scores has shape {s.shape}; it needs at least s[0] and s[1] along its last axis")
    with np.errstate(over="ignore", under="ignore"):  # where s[N+1] towers over all others, R is -infinity
        peak = s[..., :-1].max(-1, keepdims=True)
        log_p = s - peak - np.log(np.exp(s[..., :-1] - peak).sum(-1, keepdims=True))  # (..., N+2)
        here, after, step = log_p[..., :-1], log_p[..., 1:], np.diff(s)
        # p_i (p_i - p_{i+1}) = -sign(step) exp(log p_i + max(log p_i, log p_{i+1})) (1 - exp(-|step|)): no large
        # number is ever subtracted from another, equal neighbours cancel exactly, and nothing is 0 times infinity.
        return (np.sign(step) * np.exp(here + np.maximum(here, after)) * np.expm1(-np.abs(step))).sum(-1)


class Search(NamedTuple):
    """The path of `maximise_resolution`: zeta after each step, shape (steps + 1, d/2), and R, shape (steps + 1,)."""

    zeta: np.ndarray
    resolution: np.ndarray


def maximise_resolution(
    zeta,
    distances: int = 2048,
    scale: float = 1.0,
    scale_base: float = 512.0,
    base: float = 10000.0,
    steps: int = 100,
    rate: float = 0.25,
) -> Search:
    """Climb R(scale g_zeta) uphill from the given zeta (d/2,), as the paper proposes below Eq. 8.

    It shows what the goal is worth. With g of Eq. 8 and d = 64, the top is a model that has forgotten everything;
    with smaller scores (attention's scale is 1/sqrt(d)) the climb ends in different places. Each step moves every
    u_i = ln(-ln zeta_i), a number free to be anything, by `rate` in the direction in which R rises.

    >>> found = maximise_resolution(decays(64), steps=40)
    >>> found.resolution[[0, 10, 20, 40]].round(3)
    array([0.421, 0.522, 0.982, 1.   ])
    >>> bool(found.zeta[-1].max() < 1e-100)
    True
    """
    checks.at_least(1, distances=distances, steps=steps)
    checks.above(0, scale=scale, rate=rate)
    checks.above(1e-300, scale_base=scale_base)
    u = np.log(-np.log(_open_interval(zeta)))  # (d/2,)
    n = np.arange(distances + 2.0)[:, None]  # (N+2, 1), with N = distances
    cosines = np.cos(n * angles(2 * len(u), base))  # (N+2, d/2)
    path = []
    for _ in range(steps + 1):
        terms = scale * cosines * np.exp(-np.exp(u) * n / scale_base)  # (N+2, d/2): the summands of Eq. 8
        g = terms.sum(-1)  # (N+2,)
        path.append((np.exp(-np.exp(u)), resolution(g)))
        slope = _resolution_slope(g) @ (terms * (-np.exp(u) * n / scale_base))  # (d/2,): dR/dg dg/du
        # no farther than to zeta^(1/B) = exp(-16): what is gone after one position is gone for good
        u = np.minimum(u + rate * np.sign(slope), math.log(16 * scale_base))
    return Search(*map(np.array, zip(*path, strict=True)))


def _resolution_slope(s: np.ndarray) -> np.ndarray:
    """dR/ds[j] for Eq. 3, j = 0 .. N+1; shape (N+2,). The last score is a neighbour only, never in the softmax."""
    p = np.exp(s - s[:-1].max())
    p = p / p[:-1].sum()
    slope = np.zeros_like(p)
    slope[:-1] = 2 * p[:-1] * (p[:-1] - resolution(s)) - p[:-1] * p[1:]
    slope[1:] -= p[:-1] * p[1:]
    return slope


# name: (largest exponent of 2, bits behind the leading one)
FORMATS = {"float16": (15, 10), "bfloat16": (127, 7), "float32": (127, 23), "float64": (1023, 52)}


def longest(dtype: str, head_dim: int, gamma: float = 0.4, scale_base: float = 512.0, centred: bool = True) -> int:
    """The longest sequence whose scales zeta^(p/B) and zeta^(-p/B) all fit `dtype`: none overflows, none is 0.

    Queries at position p are scaled by zeta^(p/B), keys by zeta^(-p/B). Uncentred, p runs from 0 to L - 1; centred, it
    runs from -(L//2) to L//2 and L is twice as long. A vector's own size comes on top: large keys overflow sooner.

    >>> longest("float16", head_dim=64), longest("float16", head_dim=64, centred=False)
    (9065, 4533)
    >>> longest("float16", head_dim=64, scale_base=1.0, centred=False)  # Eq. 9 and 10 as they are printed
    9
    """
    if not isinstance(dtype, str) or dtype not in FORMATS:
        raise ValueError(f"dtype is {dtype!r}; it must be one of {', '.join(FORMATS)}")
    exponent, bits = FORMATS[dtype]
    # how often the first pair is halved per position (0, where its zeta rounds to 1, would mean: for ever)
    halvings = max(-decay_rates(head_dim, gamma, scale_base)[0] / math.log(2), 1e-300)
    # A scale passes the largest number, (2 - 2^-bits) 2^exponent, before its inverse rounds to 0: every format reaches
    # farther down, thanks to its subnormal numbers, than up.
    overflow = (exponent + math.log2(2 - 2.0**-bits)) / halvings
    reach = math.ceil(overflow) - 1  # the last position that still fits
    return 2 * reach + 1 if centred else reach + 1


def _open_interval(zeta) -> np.ndarray:
    zeta = checks.finite(zeta=zeta)
    if zeta.ndim != 1 or not len(zeta) or not ((zeta > 0) & (zeta < 1)).all():
        raise ValueError(f"zeta is {zeta}; it must be a list of numbers between 0 and 1, both excluded")
    return zeta
