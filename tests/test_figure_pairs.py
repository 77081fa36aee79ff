"""What the figures of chapter 3 plot, against complex numbers and loops; the answers to an exercise."""

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import charts
import naive
from lexviz import explore
from lexviz.figures import pairs
from lexviz.positions import Rope

CELLS = charts.cells("03-deriving-xpos")
NAMES = {**vars(explore), "pairs": pairs}
FIGURES = {}
for cell in CELLS:
    if "explore(\n" in cell.source:
        before, call = cell.source.split("explore(\n")
        exec(before, NAMES)
        figure = eval(f"explore({call}", NAMES)
        FIGURES[figure.id] = figure


def plotted(result):
    """{name: complex numbers}, where a point's place is one, and {name: value} of the read-outs."""
    made, readouts = result
    traces = {trace.name: np.array(trace.x) + 1j * np.array(trace.y) for trace in made.data if trace.x is not None}
    return traces, {name: value for name, value, _ in readouts}


def factor(pair, position, gamma=0.4, scale_base=512.0, sign=1, base=10000.0):
    """What a pair of head size 64 is multiplied by at a position; sign -1 for keys."""
    size = naive.zeta(pair, 64, gamma) ** (sign * position / scale_base)
    return cmath.rect(size, position * naive.theta(pair, 64, base))


def test_the_chapter_has_these_figures():
    assert {name: len(charts.states(figure)) for name, figure in FIGURES.items()} == {
        "two-tokens": 357,
        "all-pairs": 234,
        "one-pair": 378,
        "interleaved-and-half-split": 78,
    }


@charts.few_and_all
@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_states_have_the_same_traces_and_stay_in_their_panels(figure, every):
    for made, _ in charts.alike(figure, every):
        for trace in made.data:
            assert np.isfinite(trace.z).all() if trace.type == "heatmap" else charts.in_its_panel(made, trace)


# ---- one pair ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 20), st.integers(0, 31), st.floats(0.1, 3), st.floats(64, 2000))
def test_one_pair_turns_alike_and_scales_inversely(position, pair, gamma, scale_base):
    traces, readouts = plotted(pairs.one_pair(position, pair, gamma, scale_base))
    for name, sign in (("query", 1), ("key", -1)):
        expected = factor(pair, position, gamma, scale_base, sign)
        assert traces[name] == pytest.approx([0, expected])
        path = traces[f"{name}'s path"]
        assert path[:: len(path) // 20] == pytest.approx(
            [factor(pair, p, gamma, scale_base, sign) for p in range(21)], abs=1e-9
        )
        assert readouts[f"{name}'s scale"] == pytest.approx(abs(expected), abs=6e-4)
    assert readouts["product of the scales"] == 1
    assert readouts["both have turned by"] == pytest.approx(position * naive.theta(pair, 64), abs=6e-4)


# ---- two tokens -------------------------------------------------------------------------------------------------


def product(equation, m, n):
    """Re(q k*) of the figure's pair for a query at m and a key at n."""
    q, k = cmath.rect(1, 0.4) * factor(4, m, scale_base=32), factor(4, n, scale_base=32, sign=-1)
    if equation == "Eq. 6 as printed":
        k = k.conjugate()
    if equation == "Eq. 7 as printed":
        k = factor(4, n, scale_base=32)
    return (q * k.conjugate()).real


@given(st.integers(0, 16), st.integers(0, 14), st.sampled_from(pairs.EQUATIONS))
def test_both_curves_are_scores_and_meet_in_the_present_one(n, r, equation):
    traces, readouts = plotted(pairs.two_tokens(n, r, equation))
    together, apart = traces["key at x, query at x + r"], traces["key at n, query at n + x"]
    assert together.imag == pytest.approx([product(equation, x + r, x) for x in together.real], abs=1e-9)
    assert apart.imag == pytest.approx([product(equation, n + x, n) for x in apart.real], abs=1e-9)
    now = product(equation, n + r, n)
    assert traces["now"] == pytest.approx([n + 1j * now, r + 1j * now])
    q, k = traces["query"][1], traces["key"][1]
    assert (q * k.conjugate()).real == pytest.approx(now)
    assert readouts["score"] == pytest.approx(now, abs=6e-4)
    assert (readouts["key at"], readouts["query at"]) == (n, n + r)
    assert readouts["product of the lengths"] == pytest.approx(abs(q) * abs(k), abs=6e-4)
    turn = cmath.phase(q) - cmath.phase(k) - readouts["angle from key to query"]
    assert math.cos(turn) == pytest.approx(1, abs=1e-5)
    # what the chapter says of the dashed curve: level with Eq. 10 only
    assert (np.ptp(together.imag) < 1e-9) == (equation == "Eq. 10")


def test_the_caption_of_two_tokens_has_the_numbers_of_its_pair():
    assert f"turns by {naive.theta(4, 64):.3f} radians" in FIGURES["two-tokens"].caption
    assert f"fades by {1 - naive.zeta(4, 64) ** (1 / 32):.0%}" in FIGURES["two-tokens"].caption


# ---- all pairs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0, 1, 10, 192, 2048])
@pytest.mark.parametrize(("gamma", "base"), [(0.4, 10000), (0.1, 100), (1.6, 1000000)])
def test_the_mean_of_all_pairs_is_the_expected_score(distance, gamma, base):
    traces, readouts = plotted(pairs.all_pairs(distance, gamma, base))
    for name, of in (("RoPE", None), ("XPos", gamma)):
        z = [factor(i, distance, of or 0.4, base=base) for i in range(32)]
        z = z if of else [point / abs(point) for point in z]
        assert traces[f"{name}, pairs"] == pytest.approx(z, abs=1e-9)
        assert traces[f"{name}, mean"] == pytest.approx([sum(z) / 32], abs=1e-9)
        g = naive.expected_score(distance, 64, of, base=base)
        assert readouts[f"expected score, {name}"] == pytest.approx(g, abs=6e-3)
    turns = [distance * naive.theta(i, 64, base) / (2 * math.pi) for i in range(32)]
    assert readouts["pairs that have made a turn"] == sum(turn >= 1 for turn in turns)
    left = [naive.zeta(i, 64, gamma) ** (distance / 512) for i in range(32)]
    assert readouts["half lost or more, in XPos"] == sum(part <= 0.5 for part in left)


def test_with_base_100_all_pairs_have_made_a_turn_by_768():
    def turned(distance):
        return plotted(pairs.all_pairs(distance, 0.4, 100))[1]["pairs that have made a turn"]

    assert (turned(512) < 32, turned(768)) == (True, 32)


# ---- interleaved and half-split ---------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(-50, 50))
def test_the_matrices_turn_as_the_library_and_as_half_split_code_does(half, position):
    d = 2 * half
    x, y = np.random.default_rng(half).normal(size=(2, d))
    interleaved = pairs.turning(position, d, half_split=False) @ x
    half_split = pairs.turning(position, d, half_split=True) @ x
    q, k = Rope(d, base=10.0).rotate(*torch.from_numpy(np.stack([x, y])[:, None]), [position], [0])
    assert interleaved @ y == pytest.approx((q @ k.T).item())
    for i in range(half):
        turn = cmath.rect(1, position * naive.theta(i, d, 10.0))
        assert complex(*interleaved[2 * i : 2 * i + 2]) == pytest.approx(complex(*x[2 * i : 2 * i + 2]) * turn)
        assert complex(*half_split[[i, i + half]]) == pytest.approx(complex(*x[[i, i + half]]) * turn)


@pytest.mark.parametrize("d", [4, 8])
@pytest.mark.parametrize("position", [0, 1, 7])
def test_renamed_components_have_the_same_score_and_drawn_in_order_the_same_matrix(position, d):
    found = {order: pairs.interleaved_and_half_split(position, d, order) for order in pairs.ORDERS}
    scores = {
        order: [value for name, value, _ in read if name.startswith("score")] for order, (_, read) in found.items()
    }
    assert scores["evens first"][0] == scores["evens first"][1] == scores["evens first, drawn in order"][1]
    assert (scores["as they come"][0] == scores["as they come"][1]) == (position == 0)
    left, right = (trace.z for trace in found["as they come"][0].data)
    assert left == pytest.approx(pairs.turning(position, d, half_split=False))
    assert right == pytest.approx(pairs.turning(position, d, half_split=True))
    same = found["evens first, drawn in order"][0].data
    assert np.array_equal(same[0].z, same[1].z)
    names = found["evens first"][0].layout.xaxis2.ticktext
    assert [int(name) for name in names] == sorted(range(d), key=lambda i: (i % 2, i))


# ---- the chapter ------------------------------------------------------------------------------------------------


def test_exercise_1_has_the_answers_that_its_solution_gives():
    factors = {
        "a": (lambda m: cmath.exp(-1j * m), lambda n: cmath.exp(-1j * n)),
        "b": (lambda m: cmath.exp(1j * m), lambda n: cmath.exp(-1j * n)),
        "c": (lambda m: 2.0**m, lambda n: 3 * 2.0**-n),
        "d": (lambda m: m + 1, lambda n: 1 / (n + 1)),
        "e": (lambda m: cmath.exp(1j * m * m), lambda n: cmath.exp(1j * n * n)),
    }
    relative = {
        name: all(
            a(n + r) * b(n).conjugate() == pytest.approx(a(r) * b(0).conjugate()) for n in range(9) for r in range(9)
        )
        for name, (a, b) in factors.items()
    }
    assert relative == {"a": True, "b": False, "c": True, "d": False, "e": False}
