"""theory.py against the formulas in loops, exact decimals and the number formats themselves."""

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import naive
from lexviz import theory

head_dims = st.integers(1, 70).map(lambda pairs: 2 * pairs)
gammas = st.floats(0.01, 20)
bases = st.floats(2, 1e6)
scale_bases = st.floats(1, 5000)


@given(head_dims, bases, gammas)
def test_angles_and_decays_are_those_of_the_formulas(d, base, gamma):
    assert theory.angles(d, base) == pytest.approx([naive.theta(i, d, base) for i in range(d // 2)], rel=1e-12)
    assert theory.decays(d, gamma) == pytest.approx([naive.zeta(i, d, gamma) for i in range(d // 2)], rel=1e-12)


def test_decays_of_the_paper():
    """For d = 64 from 0.285714 to 0.977679, never 1."""
    zeta = theory.decays(64)
    assert zeta[0] == pytest.approx(0.4 / 1.4)
    assert zeta[-1] == pytest.approx((31 / 32 + 0.4) / 1.4)
    assert np.all(np.diff(zeta) > 0)
    assert np.all(zeta < 1)


@given(st.lists(st.integers(-2000, 20_000), min_size=1, max_size=5), head_dims, st.none() | gammas, scale_bases, bases)
def test_expected_score_is_eq_8(distances, d, gamma, scale_base, base):
    distances = [n for n in distances if gamma is None or n > -30 * scale_base] or [0]  # towards the future it grows
    expected = [naive.expected_score(n, d, gamma, scale_base, base) for n in distances]
    found = theory.expected_score(distances, d, gamma, scale_base, base)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert theory.expected_score(distances[0], d, gamma, scale_base, base) == pytest.approx(found[0])
    assert theory.expected_score([[n] for n in distances], d, gamma, scale_base, base).shape == (len(distances), 1)


def test_a_far_distance_keeps_its_last_digit():
    assert theory.expected_score(10**8 + 1, 2, None) == pytest.approx(math.cos(10**8 + 1), abs=1e-7)


@given(head_dims, gammas, scale_bases, st.integers(1, 1000))
def test_scale_base_only_stretches_the_decay(d, gamma, scale_base, n):
    rates = theory.decay_rates(d, gamma, scale_base)
    assert np.exp(rates * scale_base) == pytest.approx(theory.decays(d, gamma))
    assert np.exp(rates * n) == pytest.approx(theory.decays(d, gamma) ** (n / scale_base))


def exact_terms(scores):
    """The summands of Eq. 3 as it is printed, in decimals that neither overflow nor round visibly."""
    with decimal.localcontext(prec=60, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN):
        e = [Decimal(s).exp() for s in scores]
        return [e[i] * (e[i] - e[i + 1]) / sum(e[:-1]) ** 2 for i in range(len(e) - 1)]


@given(st.lists(st.floats(-3000, 3000).map(lambda s: round(s, 9)), min_size=2, max_size=12))
def test_resolution_is_eq_3_for_scores_of_any_size(scores):
    terms = [float(term) for term in exact_terms(scores)]
    assume(all(abs(term) < 1e300 for term in terms))
    room = 1e-9 * sum(abs(term) for term in terms)  # float64, and the digits that the sum cancels
    assert theory.resolution(scores) == pytest.approx(sum(terms), rel=0, abs=room + 1e-300)


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=12), st.floats(-1e6, 1e6))
def test_resolution_ignores_a_shift_and_is_at_most_the_sum_of_squares(scores, shift):
    r = theory.resolution(scores)
    assert theory.resolution(np.array(scores) + shift) == pytest.approx(r, abs=1e-6 * (1 + abs(r)))
    assert r <= sum(p**2 for p in naive.softmax(scores[:-1])) + 1e-12 <= 1 + 1e-9


@given(st.lists(st.lists(st.floats(-9, 9), min_size=4, max_size=4), min_size=1, max_size=4))
def test_resolution_of_many_is_that_of_each(rows):
    rows = [[score + 5000 * shift for score in row] for shift, row in enumerate(rows)]
    assert theory.resolution(rows) == pytest.approx([theory.resolution(row) for row in rows])


def test_resolution_of_nearly_equal_scores_keeps_its_digits():
    scores = [0.0, -1e-13, -3e-13]
    assert theory.resolution(scores) == pytest.approx(float(sum(exact_terms(scores))), rel=1e-6, abs=0)


def test_resolution_at_the_ends():
    assert theory.resolution([1e308, -1e308, 0.0]) == 1
    assert theory.resolution([0.0, 1e6]) == -np.inf
    assert theory.resolution([7.0] * 9) == 0


def test_resolution_of_the_facts():
    """0.412 for RoPE, 0.417, 0.421 and 0.425 at gamma 1, 0.4 and 0.1; about 6e-5 after division by sqrt(d)."""
    g = {gamma: theory.expected_score(np.arange(2050), 64, gamma) for gamma in (None, 1.0, 0.4, 0.1)}
    assert [round(float(theory.resolution(g[gamma])), 3) for gamma in g] == [0.412, 0.417, 0.421, 0.425]
    assert 5e-5 < theory.resolution(g[None] / 8) < 7e-5


def fits(p, zeta, scale_base, dtype):
    """Are zeta^(p/B) and zeta^(-p/B) within what torch says of the format? In decimals, for float64's sake."""
    limits = torch.finfo(getattr(torch, dtype))
    scales = [Decimal(zeta) ** (Decimal(exponent) / Decimal(scale_base)) for exponent in (p, -p)]
    half_of_smallest = Decimal(limits.smallest_normal) * Decimal(limits.eps) / 2  # this rounds to 0
    return all(half_of_smallest < scale <= Decimal(limits.max) for scale in scales)


@given(st.sampled_from(list(theory.FORMATS)), head_dims, gammas, scale_bases, st.booleans())
def test_longest_is_where_the_format_gives_out(dtype, d, gamma, scale_base, centred):
    length = theory.longest(dtype, d, gamma, scale_base, centred)
    last = (length - 1) // 2 if centred else length - 1  # the position farthest from 0
    assert length % 2 == 1 or not centred
    edge = Decimal(naive.zeta(0, d, gamma)).ln() / Decimal(scale_base)
    assume(abs(edge) * (last + 1) < 20_000)
    assert fits(last, naive.zeta(0, d, gamma), scale_base, dtype)
    assert not fits(last + 1, naive.zeta(0, d, gamma), scale_base, dtype)


def test_longest_of_the_facts():
    assert theory.longest("float16", 64) == 9065
    assert theory.longest("float16", 64, centred=False) == 4533
    assert theory.longest("float32", 64, centred=False) == 36261
    assert theory.longest("float16", 64, scale_base=1, centred=False) == 9


@given(st.integers(2, 6), st.integers(3, 40), scale_bases, st.randoms(use_true_random=False))
def test_the_slope_of_the_search_is_that_of_differences(pairs, n, scale_base, random):
    s = 1000 + np.array([random.uniform(-2, 2) for _ in range(n)])
    slope = theory._resolution_slope(s)
    for j in range(n):
        step = np.zeros(n)
        step[j] = 1e-5
        difference = (theory.resolution(s + step) - theory.resolution(s - step)) / 2e-5
        assert slope[j] == pytest.approx(difference, rel=1e-6, abs=1e-7)


def g_of(zeta, scale, distances, scale_base=512, base=10000.0):
    """scale * g of Eq. 8, at 0 .. N+1."""
    theta = [naive.theta(i, 2 * len(zeta), base) for i in range(len(zeta))]
    return [
        scale * sum(math.cos(n * angle) * z ** (n / scale_base) for angle, z in zip(theta, zeta, strict=True))
        for n in range(distances + 2)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("scale", "scale_base", "base"), [(1.0, 512, 10000.0), (0.25, 512, 10000.0), (0.5, 64, 50.0)])
def test_the_search_says_what_it_does(seed, scale, scale_base, base):
    constants = {"scale_base": scale_base, "base": base}
    start = np.random.default_rng(seed).uniform(0.01, 0.99, 8)
    found = theory.maximise_resolution(start, distances=20, scale=scale, steps=30, **constants)
    assert found.zeta.shape == (31, 8)
    assert found.zeta[0] == pytest.approx(start)
    for step in (0, 3, 10):  # later a zeta may be too small for float64, its power zeta^(1/512) not yet
        assert found.resolution[step] == pytest.approx(
            theory.resolution(g_of(found.zeta[step], scale, 20, **constants)), rel=1e-6
        )
    # a step goes uphill for each zeta alone, when the others stay and the step is small
    small = theory.maximise_resolution(start, distances=20, scale=scale, steps=1, rate=1e-4, **constants).zeta[1]
    for i in range(8):
        moved = start.copy()
        moved[i] = small[i]
        assert theory.resolution(g_of(moved, scale, 20, **constants)) > found.resolution[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_search_forgets_everything_where_scores_are_large(seed):
    start = np.random.default_rng(seed).uniform(0.01, 0.99, 32)
    found = theory.maximise_resolution(start)
    assert found.resolution[-1] > 0.999
    assert found.zeta[-1].max() < 1e-6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.angles(7), "head_dim is 7; it must be even"),
        (lambda: theory.angles(0), "head_dim is 0"),
        (lambda: theory.angles(8, base=-1.0), "base is -1.0; it must be a finite number greater than 0"),
        (lambda: theory.decays(8, gamma=0.0), "gamma is 0.0; it must be a finite number greater than 0"),
        (lambda: theory.decays(8, gamma=float("nan")), "gamma is nan"),
        (lambda: theory.decays(8, gamma=float("inf")), "gamma is inf"),
        (lambda: theory.decay_rates(8, scale_base=float("nan")), "scale_base is nan"),
        (lambda: theory.resolution(1.0), r"scores has shape \(\)"),
        (lambda: theory.maximise_resolution([0.0, 0.5]), "zeta is .* between 0 and 1"),
        (lambda: theory.maximise_resolution([[0.5]]), "zeta is .* between 0 and 1"),
        (
            lambda: theory.expected_score(3, 8, scale_base=0.0),
            "scale_base is 0.0; it must be a finite number greater than 0",
        ),
        (lambda: theory.resolution([1.0]), r"scores has shape \(1,\); it needs at least"),
        (lambda: theory.resolution([0.0, float("inf")]), r"scores is \[0.0, inf\]; it must be a finite number"),
        (lambda: theory.longest("fp16", 64), "dtype is 'fp16'; it must be one of float16, bfloat16"),
        (lambda: theory.maximise_resolution([0.5, 1.0]), "zeta is .* between 0 and 1"),
        (lambda: theory.maximise_resolution([]), "zeta is .* between 0 and 1"),
        (lambda: theory.maximise_resolution([0.5], steps=-1), "steps is -1"),
        (lambda: theory.maximise_resolution([0.5], distances=0), "distances is 0"),
        (lambda: theory.maximise_resolution([0.5], scale=0.0), "scale is 0.0"),
        (lambda: theory.maximise_resolution([0.5], rate=-1.0), "rate is -1.0"),
        (lambda: theory.angles(8, base=float("inf")), "base is inf"),
        (lambda: theory.angles("8"), "head_dim is '8'"),
        (lambda: theory.decays(8, gamma=None), "gamma is None"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()
