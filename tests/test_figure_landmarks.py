"""What the figures of chapter 10 plot, against the numbers that they are given; what the chapter says of the models."""

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_landmark
from charts import cells, numbers, printed, trace
from lexviz import explore
from lexviz.figures import landmarks as figures
from lexviz.figures.weights import shown
from lexviz.landmark import Fetched, grouped_softmax

RNG = np.random.default_rng(0)
TEXT = RNG.integers(256, size=960).tolist()
LANDMARK = [j in figures.LANDMARKS for j in range(figures.COUNT)]


# ---- nine tokens ------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-30, 30), min_size=9, max_size=9), st.integers(0, 8))
def test_steps_lead_to_the_weights_of_the_definition(scores, query):
    of = figures.steps_of(np.array(scores), query)
    assert of["weight"] == pytest.approx(naive_landmark.weights(scores, LANDMARK, query))
    library = grouped_softmax(torch.tensor([scores], dtype=torch.float64), torch.tensor(LANDMARK), query)[0]
    assert of["weight"] == pytest.approx(library.numpy())
    assert np.nansum(of["top group"]) == pytest.approx(1)
    for b in range(query // 3):
        assert np.nansum(of["within"][3 * b : 3 * b + 3]) == pytest.approx(1)
        assert of["weight"][3 * b : 3 * b + 3].sum() == pytest.approx(of["top group"][figures.LANDMARKS[b]])
    plain = [0 if LANDMARK[j] or j > query else np.exp(scores[j] - max(scores)) for j in range(9)]
    assert np.nan_to_num(of["plain"]) == pytest.approx(np.array(plain) / sum(plain))


@pytest.mark.parametrize(("query", "steps"), itertools.product(figures.READERS, (1, 2, 3, 4)))
def test_what_takes_part_is_drawn_in_the_colour_of_its_group_step_by_step(query, steps):
    made, readouts = figures.grouped_softmax(query, steps, "5 L", 2)
    place = figures.READERS[query]
    scores = np.zeros(9)
    scores[5] = 2
    of = figures.steps_of(scores, place)
    assert np.array_equal(trace(made, "score").y, scores)
    for i, name in enumerate(("top group", "within", "weight"), 2):
        y = np.array(trace(made, name).y)
        assert np.isnan(y).all() if i > steps else np.array_equal(y, of[name], equal_nan=True)
    assert np.isnan(trace(made, "plain softmax").y).all() == (steps < 4)
    colours = trace(made, "score").marker.color
    assert {j for j, c in enumerate(colours) if c == figures.OWN} == {2, 5, *(j for j in (6, 7) if j <= place)}
    assert [colours[j] for j in (0, 1, 3, 4, 8)] == [figures.FIRST] * 2 + [figures.SECOND] * 2 + [figures.NONE]
    said = {name: value for name, value, _ in readouts}
    assert said["sum of all weights"] == "1.000"
    shares = [of["weight"][3 * b : 3 * b + 3].sum() for b in range(3)]
    assert said["blocks 0, 1, 2 get"] == ", ".join(f"{share:.3f}" for share in shares)
    assert sum(float(x) for x in said["with the plain softmax"].split(", ")) == pytest.approx(1, abs=0.002)


# ---- maps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [16, 64])
def test_maps_are_drawn_block_by_block_and_their_far_parts_told(n):
    of = np.tril(RNG.random((4, 4, n, n)) ** 8 + 1e-9)
    of /= of.sum(-1, keepdims=True)
    made, readouts = figures.maps(TEXT, {"here": of})("here", 2, 3)
    z = np.array(trace(made, "map").z, dtype=float)
    lower = np.tril(np.ones((n, n), dtype=bool))
    assert np.isnan(z[~lower]).all()
    assert z[lower] == pytest.approx(1000 * of[1, 2][lower], abs=0.5)
    signs = shown(TEXT)
    assert trace(made, "map").x[3] == f"3 {''.join(signs[45:60])}"
    step = n // 16
    small = np.array(trace(made, "all heads").z, dtype=float)
    part = of[3, 0, -step:, :step]
    assert small[17 * 3 + 15, 0] == pytest.approx(1000 * part.sum(-1).mean(), abs=0.5)
    for head, (_, said, _) in enumerate(readouts):
        own, far = (int(x.rstrip("%")) for x in said.split(", "))
        assert own == pytest.approx(100 * np.mean([of[1, head, i, i] for i in range(n)]), abs=0.51)
        distant = [of[1, head, i, j] for i, j in itertools.product(range(n), repeat=2) if i - j >= figures.BACK]
        assert far == pytest.approx(100 * sum(distant) / n, abs=0.51)


# ---- in the text ------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(at=st.integers(0, 239), shade=st.sampled_from(figures.SHADES))
def test_a_text_is_shaded_by_weight_and_each_block_has_its_gate(at, shade):
    text, weights = TEXT[:240], np.random.default_rng(at).dirichlet(np.ones(at + 1), (4, 4))
    made, readouts = figures.gates(text, {"here": weights})(2, 4, "here", shade)
    row = weights[1, 3]
    z, bars = np.array(trace(made, "weights").z, dtype=float), trace(made, "whole block")
    for i in range(240):
        b, j = divmod(i, 15)
        share = row[15 * b : 15 * b + 15].sum()
        assert bars.x[b] == pytest.approx(share)
        if i > at:
            assert np.isnan(z[b, j])
        else:
            whole = 1 if shade == "weight" else share
            assert z[b, j] == pytest.approx(1000 * row[i] / whole, abs=0.51)
    own = at // 15
    assert readouts[0][1] == f"{100 * row[15 * own :].sum():.0f}%"
    assert [colour == figures.OWN for colour in bars.marker.color] == [b < own for b in range(16)]
    frame = made.layout.shapes[0]
    assert (round(frame.y0 + 0.5), round(frame.x0 + 0.5)) == divmod(at, 15)
    drawn = trace(made, "text")
    characters = {(y, x): c for y, x, c in zip(drawn.y, drawn.x, drawn.text, strict=True)}
    assert all(characters.get(divmod(i, 15), " ") == shown(text)[i] for i in range(240))


def fetched(count, k, queries, seed=0):
    """What a cache may have fetched, of one layer with two heads: k of `count` blocks each, one slot empty."""
    rng = np.random.default_rng(seed)
    blocks = np.full((1, 2, queries, k + 1), -1)
    for h, q in itertools.product(range(2), range(queries)):
        chosen = np.sort(rng.choice(count, k, replace=False))
        blocks[0, h, q] = np.insert(chosen, np.searchsorted(chosen, count - k), -1)
    local = np.tril(rng.random((1, 2, queries, queries)))
    slots = rng.random((1, 2, queries, k + 1, 16)) * (blocks >= 0)[..., None]
    local[..., 15::16] = slots[..., 15] = 0  # landmarks
    weights = np.concatenate((slots.reshape(1, 2, queries, -1), local), -1)
    weights /= weights.sum(-1, keepdims=True)
    shares = weights[..., : 16 * (k + 1)].reshape(1, 2, queries, k + 1, 16).sum(-1)
    scores = rng.normal(size=(1, 2, queries, count))
    return Fetched(blocks, shares, weights[..., 16 * (k + 1) :].sum(-1), scores, weights)


@pytest.mark.parametrize(("k", "query"), itertools.product([1, 3, 8], [0, 14, 15, 16, 40]))
def test_what_is_retrieved_is_drawn_slot_by_slot(k, query):
    count = 20
    found = fetched(count, k, queries=48, seed=k)
    make = figures.retrieval(TEXT[: 15 * (count + 3)], {"here": query}, {(k, "head"): [found]})
    made, readouts = make("here", 1, 2, k, "head")
    blocks, shares = found.blocks[0, 1, query], found.shares[0, 1, query]
    weights = found.weights[0, 1, query]
    points = trace(made, "scores")
    assert points.y == pytest.approx(found.scores[0, 1, query])
    there = blocks[blocks >= 0]
    assert [b for b in range(count) if points.marker.color[b] == figures.OWN] == sorted(there)
    slots = trace(made, "blocks")
    scored, read = slots.text[: k + 1], slots.text[k + 1 :]
    assert [*scored] == [f"≤ {count - k - 1}", *(str(b) for b in range(count - k, count))]
    assert [*read] == [str(b) if b >= 0 else "–" for b in blocks]
    for j, b in enumerate(blocks):  # old ones before the empty slot
        assert b < 0 or (b < count - k) == (j < list(blocks).index(-1))
    z, bars = np.array(trace(made, "weights").z, dtype=float), trace(made, "whole block").x
    local = range(count, count + query // 16 + 1)
    assert z.shape == (k + 1 + len(local), 15)
    assert made.layout.yaxis.ticktext[-1] == str(local[-1])
    for i, b in enumerate([*blocks, *local]):
        row = weights[16 * i : 16 * i + 16]
        assert bars[i] == pytest.approx(row.sum(), abs=1e-9)
        seen = 0 if b < 0 else 15 if i < len(z) - 1 else min(15, query % 16 + 1)
        assert z[i, :seen] == pytest.approx(1000 * row[:seen], abs=0.51)
        assert np.isnan(z[i, seen:]).all()
    drawn = trace(made, "text")
    characters = {(y, x): c for y, x, c in zip(drawn.y, drawn.x, drawn.text, strict=True)}
    signs = shown(TEXT)
    for i, b in enumerate([*blocks, *local]):
        for j in range(15):
            seen = b >= 0 and not np.isnan(z[i, j])
            assert characters.get((i, j), " ") == (signs[15 * b + j] if seen else " ")
    assert len(made.layout.shapes) == (query % 16 < 15)  # a landmark is no byte that a frame could stand around
    said = {name: value for name, value, _ in readouts}
    assert said["fetched"] == ", ".join(str(b) for b in blocks if b >= 0)
    assert said["they get"] == f"{100 * shares.sum():.0f}%"
    assert said["the most"] == f"{100 * shares.max():.0f}% (block {blocks[shares.argmax()]})"


def test_text_stays_text():
    text = list(b"<b>bold</b>&amp;\n" * 60)[:960]
    of = np.tril(np.ones((1, 1, 64, 64)))
    figure = explore.explore(
        figures.maps(text, {"here": of, "there": of}),
        reading=explore.choice("here", "there"),
        layer=explore.Control("choice", (1,), 1),
        head=explore.Control("choice", (1,), 1),
    )
    made, _ = figure.state(**figure.first)
    assert trace(made, "map").x[0] == "0 &lt;b&gt;bold&lt;/b&gt;&amp;amp"


# ---- the chapter ------------------------------------------------------------------------------------------------

CELLS = cells("10-landmark-attention")


def test_trained_landmarks_are_no_log_sum_exps():
    rows = np.array([numbers(line)[1:] for line in printed(CELLS, "layer  landmark minus")[1:]])
    assert rows.shape == (4, 8)
    assert rows[:, :4].max() < -2
    assert (abs(rows[:, 4:]) < 0.5).sum() >= 12
    assert sorted(np.argsort(rows[:, 4:].ravel())[-2:]) == [12, 14]  # two heads of the last layer


def test_landmarks_keep_more_at_home_but_in_the_last_layer_and_do_not_extrapolate():
    lines = printed(CELLS, "own block, and 17")[1:]
    names = [line.split(":")[0].strip() for line in lines[::2]]
    own, far = (
        {name: [float(x.rstrip("%")) for x in line.split()[-4:]] for name, line in zip(names, part, strict=True)}
        for part in (lines[::2], lines[1::2])
    )
    near, rope = own["240 bytes, landmarks"], own["240 bytes, RoPE"]
    assert [a > b for a, b in zip(near, rope, strict=True)] == [True, True, True, False]
    assert all(23 <= x <= 30 for x in far["960 bytes, landmarks"])
    assert max(far["960 bytes, landmarks, 4 fetched"]) <= 3
    assert far["960 bytes, landmarks, 4 fetched"][2:] == [2, 2]
    assert min(far["960 bytes, RoPE"]) > 40
    assert max(far["960 bytes, RoPE, in blocks"]) == 0


def test_blocks_that_are_asked_for_from_everywhere_are_where_the_code_changes_its_kind():
    lines = printed(CELLS, "block 18 gets")
    assert len(lines) == 4
    assert all('"""' in line or "def" in line or "#" in line for line in lines)


def test_perplexities_are_as_the_chapter_says():
    _, *rows = [line.split("  ", 1)[1] for line in printed(CELLS, "bytes read in a window")]
    at_once, one, four, eight = (numbers(row) for row in rows)
    assert at_once[1] > 1.4 * at_once[0]
    assert one[1] > at_once[0]
    assert one[2] > at_once[0]
    assert four[2] < 1.01 * at_once[0]
    assert eight[2] < 0.99 * at_once[0]
    lines = {line[:18].strip(): numbers(line[18:])[-1] for line in printed(CELLS, "4 blocks, 1,024 bytes")[1:]}
    ways = [lines[name] for name in ("head and token", "head", "token")]
    assert max(ways) < 1.01 * min(ways)
    assert at_once[1] > lines["at true positions"] > 0.9 * at_once[1]
    assert lines["RoPE, all at once"] > 2 * at_once[1]
    assert ways[0] < lines["RoPE, in blocks"] < 1.03 * ways[0]


def test_heads_find_what_the_chapter_says_and_fewer_blocks_are_moved_where_they_are_shared():
    bracket, comment = printed(CELLS, "if not hasattr(: block")
    assert "block 38" in bracket
    assert "sympify(b" in bracket
    assert "most at 'b', 284 bytes" in bracket  # more than the 256 of training
    assert "most at '#'" in comment
    head_and_token, head, token = (numbers(line) for line in printed(CELLS, "different blocks")[1:])
    assert all(a > 2 * b > 2 * c for a, b, c in zip(head_and_token[1:], token[1:], head[1:], strict=True))
    assert max(head) <= 5


def test_figures_say_what_the_text_says_of_them():
    gates = "".join(printed(CELLS, "Figure gates-in-the-text")[-2:])
    own, *highest = (int(x) for x in re.findall(r"(\d+)%", gates))
    assert own < 20
    assert min(highest) > own
    retrieval = "\n".join(printed(CELLS, "Figure landmark-retrieval"))
    assert "scores: x 56 numbers" in retrieval
    assert "(block 38)" in retrieval


def test_edge_cases_are_right_here_and_wrong_as_shown():
    three, two = printed(CELLS, "3 places")
    assert "sum 1.00" in three
    assert "sum 0.48" in two
    assert printed(CELLS, "own landmark left in")[0].endswith("left out: 1.00")
    assert printed(CELLS, "one exponential")[0].endswith("[nan, nan]")
    assert "nan" not in printed(CELLS, "by the definition")[1]
    assert all(line.endswith("True") for line in printed(CELLS, "  1 chunks"))
    assert [line.split()[-1] for line in printed(CELLS, "3 blocks, k = 3")] == ["overlap", "apart", "apart"]
    for line in printed(CELLS, "k = 1: the first token"):
        assert numbers(line)[1] == numbers(line)[-1]


def test_the_solutions_say_what_their_cells_print():
    assert [line.endswith("True") for line in printed(CELLS, "pieces of  1")] == [True, True, False, False]
    slots = [line.split("in slots ")[1] for line in printed(CELLS, "blocks [2, 7, 8, 11]")[:2]]
    assert printed(CELLS, "slots_read: right.")[1] == " ".join(slots)
    # *How much can one read?*: slots, an unfinished block, the chunk
    assert [2048 - (k + 1) * 64 - 63 for k in (4, 16)] == [1665, 897]
    assert max(k for k in range(99) if (k + 1) * 64 + 63 + 1 <= 2048) == 30
