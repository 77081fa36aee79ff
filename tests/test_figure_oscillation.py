"""What the figures of chapter 4 plot, against theory and naive numbers; what the chapter proves."""

import itertools
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charts
import naive
from lexviz import theory
from lexviz.figures import oscillation

CHAPTER = charts.cells("04-oscillation-versus-decay")
FIGURES = charts.made_in(CHAPTER, oscillation=oscillation)


def test_the_chapter_has_these_figures():
    assert {name: len(charts.states(figure)) for name, figure in FIGURES.items()} == {
        "oscillation-and-decay": 360,
        "one-frequency": 96,
        "resolution-landscape": 120,
        "what-fp16-holds": 200,
    }


@charts.few_and_all
@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_states_have_the_same_traces_and_few_points(figure, every):
    for made, _ in charts.alike(figure, every):
        assert all(np.isfinite([*trace.x, *trace.y]).all() for trace in made.data)


@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_a_kernel_may_ask_for_values_between(figure):
    between = {name: 0.437 for name, control in figure.controls.items() if control.fine}
    assert between
    made, _ = figure.state(**{**figure.first, **between})
    assert [trace.name for trace in made.data] == [trace.name for trace in figure.state(**figure.first)[0].data]


# ---- oscillation and decay --------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["linear", "log"])
@pytest.mark.parametrize(("gamma", "scale_base", "head_dim"), [(0.4, 512, 64), (0.1, 32, 32), (1.6, 2048, 128)])
@pytest.mark.parametrize("distance", [256, 2048, 16384])
def test_both_curves_are_the_expected_score(gamma, scale_base, head_dim, distance, axis):
    result = oscillation.oscillation_and_decay(gamma, scale_base, head_dim, distance, axis)
    above, _, readouts = charts.panels(result)
    n = above["RoPE"][0]
    assert np.array_equal(n, above["XPos"][0])
    for name, of in (("RoPE", None), ("XPos", gamma)):
        assert above[name][1] == pytest.approx(theory.expected_score(n, head_dim, of, scale_base))
        for at in (0, 7, -1):
            assert above[name][1][at] == pytest.approx(naive.expected_score(n[at], head_dim, of, scale_base))
        g = theory.expected_score(np.arange(distance + 2), head_dim, of, scale_base)
        assert readouts[f"R(g), {name}"] == pytest.approx(theory.resolution(g), abs=6e-4)
        assert readouts[f"g at the right edge, {name}"] == pytest.approx(g[distance], abs=6e-3)
        far = g[(distance + 1) // 2 : distance + 1]
        assert readouts[f"swing of the farther half, {name}"] == pytest.approx(far.max() - far.min(), abs=6e-3)
    longest = theory.longest("float16", head_dim, gamma, scale_base)
    assert above["fp16 limit"][0].tolist() == [longest, longest]
    assert readouts["fp16 holds"] == longest
    low, high = result[0].layout.yaxis.range
    for name in ("RoPE", "XPos"):
        assert low < above[name][1].min()
        assert above[name][1].max() < high


# ---- one frequency ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [0, 1, 8, 17, 31])
@pytest.mark.parametrize("gamma", [0.4, 0.1])
def test_one_frequency_is_one_term_of_the_sum(pair, gamma):
    above, below, readouts = charts.panels(oscillation.one_frequency(pair, gamma))

    def term(n, i):
        return math.cos(n * naive.theta(i, 64)) * naive.zeta(i, 64, gamma) ** (n / 512)

    n, turning = above["RoPE"]
    assert turning == pytest.approx([math.cos(m * naive.theta(pair, 64)) for m in n])
    assert above["XPos"][1] == pytest.approx([term(m, pair) for m in n])
    n, slower = below["pairs i to 31"]
    assert slower == pytest.approx([sum(term(m, i) for i in range(pair, 32)) for m in n])
    n, full = below["all pairs"]
    assert full == pytest.approx(theory.expected_score(n, 64, gamma))
    turn, half = readouts["a turn takes"], readouts["half is lost after"]
    assert naive.theta(pair, 64) * turn == pytest.approx(2 * math.pi, rel=0.01)
    assert naive.zeta(pair, 64, gamma) ** (half / 512) == pytest.approx(0.5, rel=0.01)
    assert readouts["turns until then"] == pytest.approx(half / turn, rel=0.01)
    assert readouts["it adds to g[100]"] == pytest.approx(term(100, pair), abs=6e-4)


# ---- resolution -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gamma", "scale", "head_dim"), [(0.4, 1.0, 64), (0.4, 0.125, 64), (1.6, 0.25, 8)])
def test_both_panels_show_the_resolution(gamma, scale, head_dim):
    above, below, readouts = charts.panels(oscillation.resolution_landscape(gamma, scale, head_dim))
    n = np.arange(oscillation.REACH + 2)
    for base in oscillation.BASES:
        for panel, at in ((above, lambda x: (x, scale)), (below, lambda x: (gamma, x))):
            x, r = panel[f"B = {base}"]
            for index in (0, 5, -1):
                of, c = at(x[index])
                expected = theory.resolution(c * theory.expected_score(n, head_dim, of, base))
                assert r[index] == pytest.approx(expected)
    x, r = below["RoPE"]
    assert r[3] == pytest.approx(theory.resolution(x[3] * theory.expected_score(n, head_dim, None)))
    x, r = below["forgotten"]
    # one score of c d/2 and N scores of 0: R = p_0 (p_0 - p_1)
    weight = np.exp(x * head_dim / 2)
    assert r == pytest.approx(weight * (weight - 1) / (weight + oscillation.REACH) ** 2)
    assert [set(panel["chosen"][0]) for panel in (above, below)] == [{gamma}, {scale}]
    expected = theory.resolution(scale * theory.expected_score(n, head_dim, gamma))
    assert readouts["R, XPos with B = 512"] == pytest.approx(expected, rel=6e-3)


@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("scale", [0.125, 0.5, 1.0, 4.0])
def test_with_a_large_head_forgetting_has_the_highest_resolution(head_dim, scale):
    above, _, _ = charts.panels(oscillation.resolution_landscape(0.4, scale, head_dim))
    curves = [above[f"B = {base}"][1] for base in sorted(oscillation.BASES)]
    assert np.all(np.diff(curves, axis=1) <= 1e-12)  # falls with gamma
    assert np.all(np.diff(curves, axis=0) <= 1e-12)  # and with B
    assert np.all(np.stack([*curves, above["RoPE"][1]]) <= above["forgotten"][1] + 1e-12)


@pytest.mark.parametrize("scale", [0.125, 0.25, 0.5])
def test_with_a_small_head_and_small_scores_rope_has(scale):
    above, _, _ = charts.panels(oscillation.resolution_landscape(0.4, scale, 8))
    others = [r for name, (_, r) in above.items() if name not in ("RoPE", "chosen")]
    assert np.all(np.stack(others) < above["RoPE"][1])


# ---- fp16 -------------------------------------------------------------------------------------------------------


def half(value):
    """What fp16 makes of a number; None where it is infinite or 0."""
    try:
        return struct.unpack("e", struct.pack("e", value))[0] or None
    except OverflowError:
        return None


@pytest.mark.parametrize("gamma", [0.1, 0.4, 1.6])
@pytest.mark.parametrize("scale_base", [1, 128, 512])
@pytest.mark.parametrize("tokens", [16, 1024, 8192, 16384])
@pytest.mark.parametrize("centred", [False, True])
def test_fp16_stores_what_is_drawn(gamma, scale_base, tokens, centred):
    above, _, readouts = charts.panels(oscillation.what_fp16_holds(gamma, scale_base, tokens, centred))
    zeta, start = naive.zeta(0, 64, gamma), -(tokens // 2) if centred else 0
    fits = True
    for name, sign in (("queries", 1), ("keys", -1)):
        p, stored = above[name]
        assert stored.tolist() == [half(zeta ** (sign * at / scale_base)) for at in p]
        assert start <= p.min()
        assert p.max() < start + tokens
        # the line ends where the sequence does or where fp16 does
        for end, beyond in ((p.min(), p.min() - 1), (p.max(), p.max() + 1)):
            if end not in (start, start + tokens - 1):
                fits = False
                assert half(zeta ** (sign * beyond / scale_base)) is None
    assert readouts["so this sequence"] == ("fits" if fits else "does not fit")
    assert readouts["fp16 holds"] == theory.longest("float16", 64, gamma, scale_base, centred)
    assert [above[name][1][0] for name in oscillation.LINES] == [65504.0, 2.0**-14, 2.0**-24]


# ---- what the chapter proves ------------------------------------------------------------------------------------

scores = st.lists(st.floats(-5, 5), min_size=3, max_size=7)


@given(scores)
def test_resolution_is_two_ends_and_squared_steps(s):
    p = np.exp(s) / np.exp(s[:-1]).sum()
    assert theory.resolution(s) == pytest.approx(
        (p[0] ** 2 - p[-1] ** 2 + (np.diff(p) ** 2).sum()) / 2, abs=1e-12 * (1 + p[-1] ** 2)
    )
    assert theory.resolution(s) <= (p[:-1] ** 2).sum() + 1e-12 <= 1 + 2e-12


@given(scores)
def test_of_all_orders_the_falling_one_has_the_lowest_resolution(s):
    first, *inner, last = sorted(s, reverse=True)
    orders = [theory.resolution([first, *order, last]) for order in itertools.permutations(inner)]
    assert orders[0] <= min(orders) + 1e-12


@given(st.integers(1, 40), st.none() | st.floats(0.05, 5), st.floats(1, 3000), st.integers(0, 5000))
def test_a_step_is_bounded_and_most_of_the_bound_is_the_fast_quarter(eighths, gamma, scale_base, n):
    d = 8 * eighths
    theta = theory.angles(d)
    xi = np.zeros_like(theta) if gamma is None else theory.decay_rates(d, gamma, scale_base)
    step = np.diff(theory.expected_score([n, n + 1], d, gamma, scale_base))[0]
    assert abs(step) <= (np.exp(n * xi) * (theta + abs(xi))).sum() + 1e-9
    assert theta[:eighths].sum() > 0.9 * theta.sum()
