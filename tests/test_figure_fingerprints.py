"""What the figures of chapter 2 show, against scores computed one pair at a time; what the chapter proves and tells."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import charts
import naive
from lexviz import positions
from lexviz.figures import fingerprints
from lexviz.figures.fingerprints import HEAD, HEADS, NAMES, SHIFTS, TOKENS, TRAINED, WIDTH, encoding

CHAPTER = charts.cells("02-saying-where-a-token-is")


class Lines(positions.PositionEncoding):
    """The chapter's own."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def bias(self, q, k, q_positions=None, k_positions=None):
        n = positions.distances(q, k, q_positions, k_positions)
        return 4.0 * (n % self.width == 0) - n // self.width


FIGURES = charts.made_in(CHAPTER, fingerprints=fingerprints, Lines=Lines)


def array(values):
    return np.array(values, dtype=float)  # None becomes nan


def test_the_chapter_has_these_figures():
    assert {name: len(charts.states(figure)) for name, figure in FIGURES.items()} == {
        "fingerprints": 192,
        "who-is-heard": 40,
        "table-one": 32,
        "my-encoding": 24,
    }


@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_states_have_the_same_traces_and_few_points(figure):
    assert list(charts.alike(figure, every=19, but=("line", "fillcolor")))  # which are the chosen encoding's


# ---- one pair at a time -----------------------------------------------------------------------------------------


def tables(name):
    return [parameter.numpy() for parameter in encoding(name).parameters()]


def score(name, x_m, x_n, w_q, w_k, m, n, head):
    """Eq. 12 to 15 and the others, written down for two tokens."""
    pairs = range(WIDTH // 2)
    if name == "Sinusoidal":
        place = [[f(p * naive.theta(i, WIDTH)) for i in pairs for f in (math.sin, math.cos)] for p in (m, n)]
        x_m, x_n = x_m + array(place[0]), x_n + array(place[1])
    if name == "Learned":
        x_m, x_n = x_m + tables(name)[0][m], x_n + tables(name)[0][n]
    q, k = x_m @ w_q, x_n @ w_k
    if name == "Shaw":
        k = k + tables(name)[0][16 + min(m - n, 16)]
    if name in ("RoPE", "XPos"):
        zeta = [naive.zeta(i, WIDTH) if name == "XPos" else 1.0 for i in pairs]
        q, k = (v[0::2] + 1j * v[1::2] for v in (q, k))
        turn = array([zeta[i] ** ((m - n) / 512) for i in pairs]) * np.exp(
            [1j * (m - n) * naive.theta(i, WIDTH) for i in pairs]
        )
        return (q * k.conj() * turn).real.sum() / math.sqrt(WIDTH)
    s = q @ k / math.sqrt(WIDTH)
    if name == "ALiBi":
        s -= 2.0 ** -(head + 1) * (m - n)
    if name == "T5":
        starts = encoding("T5").starts
        s += tables(name)[0][max(b for b in range(32) if starts[b] <= m - n), head]
    return s


def vectors_of(kind):
    x, projections = fingerprints.text(kind)
    w_q, w_k = projections or (torch.eye(WIDTH).expand(HEADS, -1, -1),) * 2
    return x.numpy(), w_q.numpy(), w_k.numpy()


@pytest.mark.parametrize("kind", ["equal", "random"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shift", [0, 16])
def test_the_map_is_the_score_of_each_pair_less_that_without_positions(name, kind, shift):
    figure, readouts = fingerprints.fingerprints(name, kind, shift)
    x, w_q, w_k = vectors_of(kind)
    z = array(figure.data[0].z)
    for m, n in ((0, 0), (1, 0), (17, 16), (39, 0), (39, 22), (25, 13)):
        pair = x[m], x[n], w_q[HEAD], w_k[HEAD], m + shift, n + shift, HEAD
        assert z[m, n] == pytest.approx(score(name, *pair) - score("none", *pair), abs=6e-4)
    assert np.isnan(z[np.triu_indices(TOKENS, 1)]).all()
    low, high, before, mean = (array(trace.y) for trace in figure.data[1:])
    unmoved = array(fingerprints.fingerprints(name, kind, 0)[0].data[0].z)
    for n in (0, 3, 39):
        pairs = [z[m, m - n] for m in range(n, TOKENS)]
        assert [low[n], high[n], mean[n]] == pytest.approx([min(pairs), max(pairs), np.mean(pairs)], abs=2e-3)
        assert before[n] == pytest.approx(np.mean([unmoved[m, m - n] for m in range(n, TOKENS)]), abs=2e-3)
    said = {name: value for name, value, _ in readouts}
    assert float(said["largest change by the move"]) == pytest.approx(np.nanmax(abs(z - unmoved)), abs=6e-3)
    assert float(said["widest spread at one distance"]) == pytest.approx((high - low).max(), abs=6e-3)
    assert said["pairs with a score"] == 820


@pytest.mark.parametrize("kind", ["equal", "random"])
@pytest.mark.parametrize("name", NAMES)
def test_relative_ones_stay_and_absolute_ones_do_not(name, kind):
    by = encoding(name)
    maps = [fingerprints.fingerprint(by, kind, shift) for shift in SHIFTS]
    change = [np.nanmax(abs(moved - maps[0])) for moved in maps[1:] if not np.isnan(moved).all()]
    if name in ("Sinusoidal", "Learned"):
        assert min(change) > 0.1
    else:
        assert max(change) < 1e-9
        spread = [np.ptp(np.diagonal(maps[0], -n)) for n in range(TOKENS)]
        assert kind == "random" or max(spread) < 1e-9


@pytest.mark.parametrize("shift", SHIFTS)
def test_learned_has_a_score_where_it_has_a_vector(shift):
    known = ~np.isnan(fingerprints.fingerprint(encoding("Learned"), "equal", shift))
    wanted = [[n <= m and m + shift < 64 for n in range(TOKENS)] for m in range(TOKENS)]
    assert known.tolist() == wanted
    figure, readouts = fingerprints.fingerprints("Learned", "equal", shift)
    assert bool(figure.layout.annotations) == (not known[-1, -1])
    assert readouts[0][1] == "no score" if not known.any() else float(readouts[0][1]) >= 0


# ---- who is heard, and Table 1 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [256, 1024])
@pytest.mark.parametrize("head", [1, 8])
def test_shares_are_those_of_a_softmax_over_the_text(length, head):
    figure, readouts = fingerprints.who_is_heard(length, head)
    beyond = {name.removeprefix("beyond, "): value for name, value, _ in readouts}
    ones = vectors_of("equal")[0][0]
    for name in beyond:
        above, below = (trace for trace in figure.data if trace.name == name)
        unit, last = np.eye(WIDTH), length - 1
        s = array([score(name, ones, ones, unit, unit, last, last - n, head - 1) for n in range(length)])
        weight = np.exp(s) / np.exp(s).sum()
        for trace in (above, below):
            assert trace.x[0] == 1
            assert trace.x[-1] == length
            assert TRAINED in trace.x
        assert array(above.y) == pytest.approx((s[array(above.x).astype(int) - 1] - 8).clip(-14, 14), abs=6e-4)
        assert array(below.y) == pytest.approx([weight[:n].sum() for n in below.x])
        assert beyond[name] == f"{weight[TRAINED:].sum():.0%}"
    assert "Learned" not in beyond


@pytest.mark.parametrize("name", NAMES)
def test_the_four_numbers_are_shares(name):
    length, shift = 512, 16
    order, moved, new, beyond = fingerprints.measures(encoding(name), length, shift)
    x, w_q, w_k = vectors_of("random")

    def attention(tokens, first):
        """The last token's weights, (heads, keys), from scores of one pair at a time."""
        m = TOKENS - 1
        rows = []
        for h in range(HEADS):
            s = [score(name, x[tokens[m]], x[t], w_q[h], w_k[h], m + first, n + first, h) for n, t in enumerate(tokens)]
            rows.append(np.exp(s) / np.exp(s).sum())
        return array(rows)

    whole = list(range(TOKENS))
    shuffled = [*np.random.default_rng(5).permutation(TOKENS - 1), TOKENS - 1]
    plain, mixed = attention(whole, 0), attention(shuffled, 0)
    other = np.zeros_like(mixed)
    for place, token in enumerate(shuffled):  # what each token gets, wherever it stands
        other[:, token] = mixed[:, place]
    assert order == pytest.approx(abs(plain - other).sum() / 2 / HEADS, abs=1e-9)
    assert moved == pytest.approx(abs(plain - attention(whole, shift)).sum() / 2 / HEADS, abs=1e-9)
    assert (order < 1e-9) == (name == "none")
    assert (moved < 1e-9) == (name not in ("Sinusoidal", "Learned"))
    if name == "Learned":
        assert math.isnan(new)
        assert math.isnan(beyond)
        return
    ones, unit, last = vectors_of("equal")[0][0], np.eye(WIDTH), length - 1
    unmet = 0
    for h in range(HEADS):
        s = [score(name, ones, ones, unit, unit, last, last - n, h) for n in range(length)]
        low, high = min(s[:TRAINED]) - 1e-9, max(s[:TRAINED]) + 1e-9
        unmet += sum(not low <= far <= high for far in s[TRAINED:])
    assert new == pytest.approx(unmet / HEADS / (length - TRAINED))
    weights = fingerprints.weights(fingerprints.last_scores(encoding(name), "random", length))
    assert beyond == pytest.approx(weights[:, TRAINED:].sum() / HEADS)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"Learned"}))
@pytest.mark.parametrize("length", [512, 2048])
def test_no_far_key_is_heard_through_a_blockwise_mask(name, length):
    *_, new, beyond = fingerprints.measures(encoding(name), length, 16, blockwise=True)
    assert new == beyond == 0


@pytest.mark.parametrize("mask", ["causal", "blockwise"])
def test_the_table_holds_the_four_numbers(mask):
    figure, _ = fingerprints.table_one(512, 4096, mask)
    z = array(figure.data[0].z)
    assert z.shape == (len(NAMES), len(fingerprints.QUESTIONS))
    for row, name in zip(z, NAMES, strict=True):
        wanted = fingerprints.measures(encoding(name), 512, 4096, mask == "blockwise")
        assert row == pytest.approx(np.round(wanted, 2), abs=1e-9, nan_ok=True)


@given(st.lists(st.lists(st.floats(-20, 20), min_size=4, max_size=4), min_size=2, max_size=2))
def test_elsewhere_is_a_share(rows):
    one, other = (fingerprints.weights(array([row])) for row in rows)
    assert -1e-12 <= fingerprints.elsewhere(one, other) <= 1 + 1e-12
    assert fingerprints.elsewhere(one, one) == 0


# ---- what the chapter tells -------------------------------------------------------------------------------------


@given(st.integers(0, 5000), st.integers(0, 5000), st.sampled_from([2, 8, 64]))
def test_sinusoidal_vectors_hold_the_distance(m, n, d):
    p = positions.Sinusoidal(d).embed(torch.zeros(2, d, dtype=torch.float64), torch.tensor([m, n]))
    product = sum(math.cos((m - n) * naive.theta(i, d)) for i in range(d // 2))
    assert (p[0] @ p[1]).item() == pytest.approx(product, abs=1e-8)


@given(st.integers(1, 12), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_a_term_of_the_query_alone_changes_no_weight(length, slope, seed):
    """Exercise 1: slope n instead of -slope (m - n)."""
    s = np.random.default_rng(seed).normal(size=(1, length))
    n = np.arange(length)
    relative, absolute = (fingerprints.weights(s + b) for b in (-slope * (length - 1 - n), slope * n))
    assert relative == pytest.approx(absolute)


def test_t5_has_five_buckets_beyond_63():
    assert [start for start in positions.T5Bias(8).starts if start > 63] == [67, 77, 87, 99, 113]


def test_the_shares_of_a_logarithm():
    """Exercise 3, by its formula."""
    for a, share in ((0.5, 0.76), (1.0, 0.31), (2.0, 0.0022)):
        weight = [(1 + n) ** -a for n in range(4096)]
        assert sum(weight[256:]) / sum(weight) == pytest.approx(share, rel=0.011)


class Printed(positions.PositionEncoding):
    """Exercise 4: Eq. 12 as it is printed."""

    def embed(self, x, positions=None):
        phase = positions[:, None] * torch.tensor([naive.theta(i, WIDTH) for i in range(WIDTH // 2)])
        return x + torch.stack((phase.cos(), phase.sin()), -1).flatten(-2)


def test_the_printed_order_of_sine_and_cosine():
    for kind, most in (("equal", 11.31), ("random", 4.65)):
        one, other = (fingerprints.fingerprint(by, kind) for by in (Printed(), encoding("Sinusoidal")))
        assert np.nanmax(abs(one - other)) == pytest.approx(most, abs=0.006)


def test_links_in_the_text_name_states_of_the_figure():
    text = "".join(cell.source for cell in CHAPTER)
    links = [part.split('"')[0] for part in text.split('href="#fingerprints:')[1:]]
    assert len(links) == 9
    controls = FIGURES["fingerprints"].controls
    for key, value in (pair.split("=") for link in links for pair in link.split(";")):
        assert value in map(str, controls[key].values)


def test_colours_and_dashes_are_those_of_the_palette():
    assert all(fingerprints.COLOUR[name] and fingerprints.DASHES[name] for name in NAMES)
    looks = [(fingerprints.COLOUR[name], fingerprints.DASHES[name]) for name in NAMES]
    assert all(one != other for one, other in itertools.combinations(looks, 2))
