"""Which points of a curve are drawn, against the whole curve."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexviz import theory
from lexviz.figures import points


@given(st.integers(0, 5000), st.integers(2, 300))
def test_few_points_have_both_ends_and_equal_distances(count, most):
    drawn = points.evenly(count, most)
    assert len(drawn) == min(count, most)
    if count:
        assert drawn[0] == 0
        assert drawn[-1] == count - 1
        assert len(set(np.diff(drawn))) <= 2
        assert np.all(np.diff(drawn) > 0)


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=400).map(np.array), st.booleans(), st.integers(2, 250))
def test_extremes_keep_true_distances_and_every_height(curve, log, most):
    last, first = len(curve) - 1, int(log)
    n = points.extremes(last, curve, log, most)
    assert len(n) <= most
    assert first <= n[0]
    assert n[-1] <= last
    assert np.all(np.diff(n) > 0)
    assert curve[n].min() == curve[first:].min()
    assert curve[n].max() == curve[first:].max()
    if last - first < most:
        assert len(n) == last - first + 1


def test_no_swing_is_lost_between_the_points():
    """A cosine as fast as any has its full height in every stretch that holds a turn."""
    curve = np.cos(np.arange(16385))
    n = points.extremes(16384, curve)
    for start in range(0, 16000, 500):
        part = curve[n[(start <= n) & (n < start + 500)]]
        assert part.max() > 0.99
        assert part.min() < -0.99


@pytest.mark.parametrize("head_dim", [32, 64, 128])
@pytest.mark.parametrize("last", [2048, 16384])
@pytest.mark.parametrize("log", [False, True])
def test_xpos_loses_little_at_the_points_of_rope(head_dim, last, log):
    n = np.arange(last + 1)
    rope, xpos = (theory.expected_score(n, head_dim, gamma) for gamma in (None, 0.4))
    drawn = points.extremes(last, rope, log)
    for low, high in itertools.pairwise(points._stretches(int(log), last, 250)):
        inside = drawn[(low <= drawn) & (drawn < high)]
        assert xpos[low:high].max() - xpos[inside].max() < 0.02 * head_dim
        assert xpos[inside].min() - xpos[low:high].min() < 0.02 * head_dim
