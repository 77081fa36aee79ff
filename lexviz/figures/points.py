"""Which points of a curve are drawn, where it has more of them than a trace should hold: all are true points of it."""

import functools
import itertools

import numpy as np

POINTS = 250  # of a trace, at most


def evenly(count: int, points: int = POINTS) -> np.ndarray:
    """Which of `count` points, numbered from 0: at most `points` of them, at equal distances, with both ends.

    >>> evenly(4), evenly(0), evenly(1000, 3)
    (array([0, 1, 2, 3]), array([], dtype=int64), array([  0, 500, 999]))
    """
    return np.unique(np.linspace(0, count - 1, min(count, points)).round().astype(int)) if count else np.arange(0)


def extremes(last: int, curve: np.ndarray, log: bool = False, points: int = POINTS) -> np.ndarray:
    """Whole distances from 0 (on a logarithmic axis from 1) to `last`, at most `points` of them, in rising order.

    All of them, where they fit. Else the axis is cut into equal stretches, and each gives the two distances at which
    `curve`, its value at every distance, is lowest and highest: lines through these points have all of its swings.

    >>> extremes(7, np.cos(np.arange(8)))
    array([0, 1, 2, 3, 4, 5, 6, 7])
    >>> extremes(1000, np.cos(np.arange(1001)), points=6)
    array([  0,  22, 355, 377, 688, 710])
    """
    first = int(log)
    if last - first < points:
        return np.arange(first, last + 1)
    chosen = set()
    for low, high in itertools.pairwise(_stretches(first, last, points)):
        chosen |= {low + curve[low:high].argmin(), low + curve[low:high].argmax()}
    return np.array(sorted(chosen))


@functools.lru_cache(maxsize=64)
def _stretches(first: int, last: int, points: int) -> list[int]:
    """Where the stretches of an axis begin, and its end: as many as `points` allows, two to a stretch, or one."""
    space = np.geomspace if first else np.linspace
    for stretches in range(points, 0, -1):
        edges = np.unique(np.round(space(first, last + 1, stretches + 1)).astype(int))
        if np.minimum(np.diff(edges), 2).sum() <= points:
            return edges.tolist()
    raise ValueError(f"points is {points}; it must be at least 2")
