"""What the figures of chapter 5 plot, against loops and complex numbers; its theorems and its solutions."""

import cmath
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import charts
import naive
from lexviz import theory
from lexviz.figures import precision

CELLS = charts.cells("05-attention-with-xpos")
FIGURES = charts.made_in(CELLS, precision=precision)


def test_the_chapter_has_these_figures():
    assert {name: len(charts.states(figure)) for name, figure in FIGURES.items()} == {
        "rounded-angles": 45,
        "moved-centre": 114,
        "two-layouts": 72,
    }


@charts.few_and_all
@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_states_have_the_same_traces_and_stay_in_their_panels(figure, every):
    for made, _ in charts.alike(figure, every, but=("name", "hovertemplate")):  # a line may be called by what is chosen
        assert all(len(trace.x) > 1 and charts.in_its_panel(made, trace) for trace in made.data)


# ---- angles in a short format -----------------------------------------------------------------------------------


@given(st.sampled_from(precision.FORMATS), st.integers(1, 60_000))
def test_an_angle_is_rounded_three_times_and_its_error_bounded(dtype, position):
    of = getattr(torch, dtype)
    unit = 2.0 ** -(theory.FORMATS[dtype][1] + 1)
    for i, angle in enumerate(precision.angles_in(dtype, [position])[0].tolist()):
        by_hand = torch.tensor(position, dtype=of) * torch.tensor(naive.theta(i, 64), dtype=of)
        assert angle == by_hand.item()
        exact = position * naive.theta(i, 64)
        assert abs(angle - exact) <= ((1 + unit) ** 3 - 1) * exact * (1 + 1e-9)


@pytest.mark.parametrize("dtype", precision.FORMATS)
@pytest.mark.parametrize(("distance", "pairs"), [(1, "all"), (10, "0"), (100, "1"), (100, "16")])
def test_lexviz_stays_level_and_rounded_angles_within_their_bound(dtype, distance, pairs):
    above, below, readouts = charts.panels(precision.rounded_angles(dtype, distance, pairs))
    numbers = range(32) if pairs == "all" else [int(pairs)]
    level = sum(math.cos(distance * naive.theta(i, 64)) for i in numbers) / len(numbers)
    assert above["exactly"][1] == pytest.approx([level, level])
    unit = 2.0 ** -(theory.FORMATS[dtype][1] + 1)
    n, right = above["lexviz"]
    assert abs(right - level).max() <= 4 * unit
    assert n.tolist() == precision.POSITIONS.tolist()
    n, short = above[f"angles in {dtype}"]
    of = getattr(torch, dtype)
    for at in range(0, len(n), 9):
        q, k = (
            [float(torch.tensor(int(p), dtype=of) * torch.tensor(naive.theta(i, 64), dtype=of)) for i in numbers]
            for p in (n[at] + distance, n[at])
        )
        assert short[at] == pytest.approx(sum(map(math.cos, np.subtract(q, k))) / len(numbers), abs=1e-12)
    assert below["error, angles"][1] == pytest.approx(abs(short - level).clip(1e-9))
    bound = dict(zip(*below["bound"], strict=True))
    assert all(error <= bound[place] for place, error in zip(n, abs(short - level), strict=True))
    assert readouts["largest error, angles in the format"] == pytest.approx(abs(short - level).max(), rel=0.06)
    if dtype == "float16":
        assert n[-1] + distance < 65520


def test_what_the_chapter_says_of_rounded_angles():
    def first(dtype, distance=10, pairs="all"):
        found = {name: value for name, value, _ in precision.rounded_angles(dtype, distance, pairs)[1]}
        return found["off by 0.01 first at"].replace(",", "")

    assert 50 < int(first("bfloat16")) < 200
    assert 6 < int(first("float16")) / int(first("bfloat16")) < 12
    n, score = charts.panels(precision.rounded_angles("bfloat16", 10, "all"))[0]["angles in bfloat16"]
    assert np.array_equal(score[n > 10_000], np.ones((n > 10_000).sum()))
    assert first("float32", 1, "0") == "no position"
    assert int(first("float32", 1, "1")) > 1_000_000
    assert int(first("bfloat16", 10, "16")) > 5 * int(first("bfloat16", 10, "0"))


# ---- caches -----------------------------------------------------------------------------------------------------


def naive_weights(query, cache, scale_base, head):
    """The newest token's attention, pair by pair, from the centre that each of the two was encoded with."""
    q, k = precision._random_vectors()
    scores = []
    for key in range(query + 1):
        arrived = max(key, precision.PROMPT - 1)
        for_q, for_k = {
            "keys before rotation": (query // 2, query // 2),
            "scaled keys": (query // 2, arrived // 2),
            "a centre each": (query, query // 2),
        }[cache]
        total = 0.0
        for i in range(32):
            zeta = naive.zeta(i, 64) ** (1 / scale_base)
            turn = cmath.exp(1j * (query - key) * naive.theta(i, 64))
            product = complex(q[head, query, i]) * complex(k[head, key, i]).conjugate() * turn
            total += zeta ** (query - for_q) * zeta ** -(key - for_k) * product.real
        scores.append(total / 8)
    return naive.softmax(scores)


@pytest.mark.parametrize("cache", precision.CACHES)
@pytest.mark.parametrize(("query", "scale_base"), [(63, 128), (96, 512)])
def test_a_cache_gives_the_weights_of_its_centres(cache, query, scale_base):
    ours, right = (naive_weights(query, kind, scale_base, head=3) for kind in (cache, "keys before rotation"))
    assert precision._weights(query, cache, scale_base)[3] == pytest.approx(ours)
    above, below, _ = charts.panels(precision.moved_centre(query, cache, scale_base))
    zeta = naive.zeta(0, 64) ** (1 / scale_base)
    n, exact = above["XPos"]
    assert exact == pytest.approx(zeta ** (query - n))
    if cache == "keys before rotation":
        assert above["with this cache"][1] == pytest.approx(exact)
        assert below[cache][1] == pytest.approx(0, abs=1e-9)
    elif query >= precision.PROMPT:
        assert above["with this cache"][1][0] != pytest.approx(exact[0], rel=0.01)
        assert max(abs(np.subtract(ours, right))) > 1e-4


def test_a_cache_of_scaled_keys_halves_the_decay_of_what_came_one_by_one():
    """Equation (eq5-half) of the chapter, up to the rounding of the middle."""
    powers = precision.exponents("scaled keys", 1000)
    n = np.arange(64, 1001)
    assert abs(powers[64:] - (1000 - n) / 2).max() <= 0.5
    assert np.diff(powers[:64]).tolist() == [-1] * 63


@given(st.integers(0, 31), st.floats(-500, 500), st.floats(-500, 500), st.integers(0, 900), st.integers(0, 900))
def test_two_centres_multiply_a_pair_by_a_power_of_its_zeta(i, c, other, m, n):
    zeta = naive.zeta(i, 64) ** (1 / 512)
    product = zeta ** (m - c) * zeta ** -(n - other)
    assert product == pytest.approx(zeta ** (m - n) * zeta ** (other - c))


# ---- layouts ----------------------------------------------------------------------------------------------------


@given(
    st.complex_numbers(max_magnitude=10), st.complex_numbers(max_magnitude=10), st.floats(0, 1), st.floats(0, 1),
    st.integers(0, 300), st.integers(0, 300), st.floats(0, 3),
)  # fmt: skip
def test_two_rates_in_one_pair_make_two_terms(q, k, alpha, beta, m, n, theta):
    x, y = q * cmath.exp(1j * m * theta), k * cmath.exp(1j * n * theta)
    part = alpha * x.real * y.real + beta * x.imag * y.imag
    relative = (q * k.conjugate() * cmath.exp(1j * (m - n) * theta)).real
    absolute = (q * k * cmath.exp(1j * (m + n) * theta)).real
    assert part == pytest.approx((alpha + beta) / 2 * relative + (alpha - beta) / 2 * absolute, abs=1e-9)


def naive_laid_out(m, n, rotation, scale, scale_base):
    """Component by component; every pair is 1 + 0i."""
    total = 0.0
    for component in range(64):
        neighbour, half = component // 2, component % 32
        pair, first = (neighbour, component % 2 == 0) if rotation == "neighbours" else (half, component < 32)
        turned = math.cos if first else math.sin
        rate = naive.zeta(neighbour if scale == "neighbours" else half, 64) ** ((m - n) / scale_base)
        total += rate * turned(m * naive.theta(pair, 64)) * turned(n * naive.theta(pair, 64))
    return total


@given(
    st.integers(0, 2000), st.integers(0, 2000), st.sampled_from(precision.LAYOUTS), st.sampled_from(precision.LAYOUTS)
)
def test_scores_of_layouts(m, n, rotation, scale):
    found = precision.laid_out_scores(m, n, rotation, scale, 512.0)
    assert found == pytest.approx(naive_laid_out(m, n, rotation, scale, 512.0))
    if rotation == scale:
        assert found == pytest.approx(naive.expected_score(m - n, 64, 0.4))


@pytest.mark.parametrize("rotation", precision.LAYOUTS)
@pytest.mark.parametrize("scale", precision.LAYOUTS)
@pytest.mark.parametrize("distance", [0, 256])
def test_both_panels_show_the_scores_of_layouts(rotation, scale, distance):
    above, below, readouts = charts.panels(precision.two_layouts(distance, rotation, scale, 512))
    name = f"rotation {rotation}, scale {scale}"
    for panel, at in ((above, lambda x: (x + distance, x)), (below, lambda x: (x, 0))):
        x, y = panel[name]
        for place in range(0, len(x), 40):
            m, n = at(int(x[place]))
            assert y[place] == pytest.approx(naive_laid_out(m, n, rotation, scale, 512))
    level = naive.expected_score(distance, 64, 0.4)
    assert above["XPos"][1] == pytest.approx([level, level])
    assert (np.ptp(above[name][1]) < 1e-9) == (rotation == scale or distance == 0)
    assert readouts["score as it should be"] == pytest.approx(level, abs=6e-3)


def test_one_mixture_passes_a_loose_test_for_being_relative_and_the_other_does_not():
    def wanders(rotation, scale):
        return np.ptp(
            charts.panels(precision.two_layouts(256, rotation, scale, 512))[0][f"rotation {rotation}, scale {scale}"][1]
        )

    assert wanders("neighbours", "halves") < 0.15
    assert wanders("halves", "neighbours") > 1.5


# ---- the chapter ------------------------------------------------------------------------------------------------


def test_the_solutions_are_right_where_their_text_says_numbers():
    places = torch.tensor([2048, 2049, 2050, 2051]).half()
    assert places.tolist() == [2048, 2048, 2050, 2052]
    assert torch.tensor(1001).bfloat16().item() == 1000
    spacing = np.spacing(np.float32(2**22 + 1))
    assert spacing == 0.5
    said = charts.solution(CELLS, "ex-05-fixed-centre")
    said = re.findall(r"(\d[\d,]*) in (float16|bfloat16|float32)", said)
    assert len(said) == 3
    for tokens, dtype in said:
        assert theory.longest(dtype, 64, centred=False) == int(tokens.replace(",", ""))
    assert "worst score off by 0.000000" in charts.solution(CELLS, "ex-05-recentred")
    assert "the same scores: True" in charts.solution(CELLS, "ex-05-halves-scores")


def test_what_the_solution_says_of_one_distance():
    """The chapter's table of section 6 at other distances, from its own `encode`."""
    names = {"torch": torch, "theta": torch.from_numpy(theory.angles(64))}
    names["xi"] = torch.from_numpy(theory.decay_rates(64))
    exec(next(cell.source for cell in CELLS if "def encode(" in cell.source), names)

    def row(rotation, scale, distance):
        one = torch.tensor([1.0, 0.0] * 32 if rotation == "neighbours" else [1.0] * 32 + [0.0] * 32).double()
        ends = [[names["encode"](one, n + far, rotation, scale, sign) for far, sign in ((distance, 1), (0, -1))]
                for n in (0, 10, 100, 500)]  # fmt: skip
        return [round((query @ key).item(), 2) for query, key in ends]

    said = charts.solution(CELLS, "ex-05-one-distance")
    for distance, mixed, other in ((3, "{} to {} instead of {}", None), (10, "{} to {}", "{}, instead of {}")):
        right = row("halves", "halves", distance)[0]
        wrong, nearly = row("halves", "neighbours", distance), row("neighbours", "halves", distance)
        assert mixed.format(min(wrong), max(wrong), right) in said
        assert len(set(nearly)) == 1
        assert (nearly[0] == right) if other is None else (other.format(nearly[0], right) in said)
    far = [row(*layouts, 1000) for layouts in (("halves", "neighbours"), ("neighbours", "halves"))]
    assert min(abs(np.array(far) - row("halves", "halves", 1000)[0]).min(1)) > 1


def test_what_the_solution_says_of_the_base():
    said = charts.solution(CELLS, "ex-05-twice-the-base")
    found = re.findall(r"B = +(\d+): at 256 ([\d.]+), at 1,024 ([\d.]+)", said)
    near, far = ({int(base): float(row[column]) for base, *row in found} for column in (0, 1))
    assert max(near.values()) < 1.03 * min(near.values())  # next to nothing, hardly anything
    assert far[1024] > 1.3 * far[512] > 1.3 * 1.2 * far[128]
