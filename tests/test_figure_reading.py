"""What the figures of chapter 6 plot, against loops over positions; what the chapter proves; its solutions."""

import inspect
import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import charts
from charts import plotted
from lexviz import masks
from lexviz.cache import KeyValueCache
from lexviz.figures import reading

CELLS = charts.cells("06-blockwise-causal-attention")
FIGURES = charts.made_in(CELLS, "explore(\n    reading.", reading=reading)

# One's own idea of who sees whom: f(i, j, block, window), for loops.
SEES = {
    "causal": lambda i, j, block, window: j <= i,
    "block causal": lambda i, j, block, window: j <= i and i // block - j // block in (0, 1),
    "sliding window": lambda i, j, block, window: 0 <= i - j < window,
    "segments with memory": lambda i, j, block, window: i - i % block - window <= j <= i,
}


def table(n, sees):
    return np.array([[sees(i, j) for j in range(n)] for i in range(n)])


def test_the_chapter_has_these_figures():
    assert {name: len(charts.states(figure)) for name, figure in FIGURES.items()} == {
        "one-mask": 297,
        "what-a-query-sees": 288,
        "two-masks": 324,
        "who-can-have-heard": 384,
        "reading-in-blocks": 84,
    }


@charts.few_and_all
@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_states_have_the_same_traces_and_few_points(figure, every):
    for made, _ in charts.alike(figure, every):
        for trace in made.data:
            if trace.type == "heatmap":
                assert np.isfinite(trace.z).all()
                assert trace.zmin < np.min(trace.z) <= np.max(trace.z) < trace.zmax


def test_every_mask_of_the_library_is_shown():
    made = [
        name
        for name, function in inspect.getmembers(masks, inspect.isfunction)
        if not name.startswith("_") and inspect.signature(function).return_annotation in (masks.Mask, masks.Interval)
    ]
    assert len(made) >= 11
    shown = " ".join(str(reading.mask(name, 32, 4, 8)) for name in reading.MASKS)
    assert {name for name in made if f"{name}(" in shown} == set(made)


# ---- maps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", reading.MASKS)
@pytest.mark.parametrize(("length", "block", "window"), [(16, 2, 16), (32, 8, 4), (64, 4, 8)])
def test_one_mask_is_drawn_and_counted(name, length, block, window):
    traces, readouts = plotted(reading.one_mask(name, length, block, window))
    drawn = np.array(traces["map"].z)
    assert np.array_equal(drawn, masks.dense(reading.mask(name, length, block, window), length))
    if name in SEES:
        assert np.array_equal(drawn, table(length, lambda i, j: SEES[name](i, j, block, window)))
    line = traces["pairs, this mask"]
    assert dict(zip(line.x, line.y, strict=True))[length] == drawn.sum() == readouts["pairs"]
    n = reading.LENGTHS[4]
    assert line.y[4] == masks.dense(reading.mask(name, n, block, window), n).sum()
    assert traces["pairs, causal mask"].y[4] == n * (n + 1) // 2
    assert (traces["this length"].x[0], traces["this length"].y[0]) == (length, drawn.sum())
    assert readouts["largest distance"] == max(abs(i - j) for i in range(length) for j in range(length) if drawn[i, j])


@pytest.mark.parametrize(("n", "block"), [(32, 4), (10, 3), (8, 8)])
def test_borders_lie_between_blocks(n, block):
    x, y = (np.array(reading.borders(n, block)[key]) for key in ("x", "y"))
    upright = {a for a, b in zip(x, y, strict=True) if b == -0.5}
    between = {i + 0.5 for i in range(n - 1) if i // block != (i + 1) // block}
    assert upright - {n - 0.5, -0.5} == between


@pytest.mark.parametrize("query", [0, 7, 8, 15, 16, 21, 47])
@pytest.mark.parametrize("block", [4, 8])
@pytest.mark.parametrize("memory", reading.MEMORY)
def test_a_query_sees_what_its_mask_says(query, block, memory):
    traces, readouts = plotted(reading.what_a_query_sees(query, block, memory))
    sees = {
        "causal": lambda i, j: j <= i,
        "blocks": lambda i, j: SEES["block causal"](i, j, block, None),
        "segments": lambda i, j: SEES["segments with memory"](i, j, block, reading.MEMORY[memory] * block),
        "window": lambda i, j: SEES["sliding window"](i, j, None, 2 * block),
    }
    rows = np.array(traces["map"].z)
    for row, (name, of) in enumerate(sees.items(), 1):
        wanted = [5 if j == query else row * of(query, j) for j in range(reading.TEXT)]
        assert rows[row - 1].tolist() == wanted
        counts = [sum(of(i, j) for j in range(reading.TEXT)) for i in range(reading.TEXT)]
        assert list(traces[name].y) == counts
        assert readouts[f"keys seen, {name}"] == counts[query]


@pytest.mark.parametrize("first", ["causal", "block causal", "strided", "bigbird"])
@pytest.mark.parametrize("second", ["block causal", "sliding window", "segments with memory"])
@pytest.mark.parametrize(("block", "window"), [(4, 8), (8, 8), (4, 4)])
def test_two_masks_are_laid_on_each_other(first, second, block, window):
    traces, readouts = plotted(reading.two_masks(first, second, block, window))
    n = reading.COMPARED
    a, b = ({(i, j) for i in range(n) for j in range(n) if of(i, j)} for of in (
        reading.mask(first, n, block, window), reading.mask(second, n, block, window)))  # fmt: skip
    drawn = np.array(traces["map"].z)
    for category, pairs in ((1, a - b), (2, b - a), (3, a & b)):
        assert {(int(i), int(j)) for i, j in np.argwhere(drawn == category)} == pairs
    assert [readouts[name] for name in ("both", "only the first", "only the second")] == [
        len(a & b), len(a - b), len(b - a)]  # fmt: skip
    says = ("the same mask" if a == b else "the first lies within the second" if a < b else
            "the second lies within the first" if a > b else "neither lies within the other")  # fmt: skip
    assert readouts["so"] == says


# ---- information flow -------------------------------------------------------------------------------------------


def heard(mask, position, layers):
    """The inputs that can have reached a position, by walking."""
    found = {position}
    for _ in range(layers):
        found |= {j for i in found for j in range(reading.HEARD) if mask(i, j)}
    return found


@pytest.mark.parametrize("name", reading.FLOWS)
@pytest.mark.parametrize(("layers", "position"), [(1, 24), (2, 33), (3, 35), (4, 39)])
def test_what_can_have_reached_an_output(name, layers, position):
    traces, readouts = plotted(reading.who_can_have_heard(name, layers, position))
    drawn = np.array(traces["map"].z)
    for layer in range(reading.DEEPEST + 1):
        if layer > layers:
            assert not drawn[layer].any()  # nothing is drawn above the output
        else:
            reached = heard(reading.FLOWS[name], position, layers - layer)
            assert set(np.flatnonzero(drawn[layer] >= 2).tolist()) == reached
    assert readouts["inputs that can have reached it"] == len(reached := heard(reading.FLOWS[name], position, layers))
    assert readouts["the farthest is"] == position - min(reached)
    assert readouts["blocks they lie in"] == len({j // reading.BLOCK for j in reached})
    walk = [int(x) for x in traces["a way to the farthest input"].x[: layers + 1]][::-1]
    assert (walk[0], walk[-1]) == (position, min(reached))
    assert all(i == j or reading.FLOWS[name](i, j) for i, j in itertools.pairwise(walk))


@given(st.integers(1, 6), st.integers(0, 4), st.integers(1, 40))
def test_the_theorem_of_reach(block, layers, n):
    blocks = masks.reach(masks.block_causal(block), n, layers)
    window = masks.reach(masks.sliding_window(2 * block), n, layers)
    for i in range(n):
        for found, wanted in (
            (blocks, layers * block + i % block + 1),
            (window, layers * (2 * block - 1) + 1),
        ):
            if layers:
                assert found[i].sum() == min(i + 1, wanted)
                assert found[i, : i + 1][-min(i + 1, wanted) :].all()
            else:
                assert found[i].sum() == 1


# ---- blocks -----------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 120))
def test_the_theorem_of_distances(block, n):
    allowed = table(n, lambda i, j: SEES["block causal"](i, j, block, None))
    i, j = np.nonzero(allowed)
    assert (i - j).max() == min(n, 2 * block) - 1
    if n <= 2 * block:
        assert np.array_equal(allowed, np.tri(n, dtype=bool))
    assert all(allowed[i].sum() == block + 1 + i % block for i in range(block, n))
    assert np.array_equal(allowed, masks.dense(masks.block_causal(block), n))


@given(st.integers(1, 30), st.integers(1, 20))
def test_the_numbers_of_pairs(block, blocks):
    n = block * blocks
    assert masks.block_causal(block).pairs(n) == n * (3 * block + 1) // 2 - block**2
    if blocks > 1:
        assert masks.sliding_window(2 * block).pairs(n) == 2 * block * n - block * (2 * block - 1)


@pytest.mark.parametrize("name", reading.READERS)
@pytest.mark.parametrize("block", [2, 4, 8])
def test_reading_in_blocks_keeps_what_a_cache_keeps(name, block):
    of = reading.READERS[name](block)
    cache, sees = KeyValueCache(of), masks.dense(of, reading.BLOCKS * block)
    before = 0
    for step in range(1, reading.BLOCKS + 1):
        traces, readouts = plotted(reading.reading_in_blocks(step, name, block))
        cache.attend(*torch.zeros(3, 1, 1, block, 2))
        assert readouts["kept for the next step"] == cache.kept
        assert readouts["reused"] == before
        first, stop = (step - 1) * block, step * block
        drawn = np.array(traces["map"].z)
        assert not drawn[stop:].any()
        assert np.array_equal(drawn[:stop] > 0, sees[:stop])
        assert set(np.unique(drawn[:first])) <= {0, 1}
        assert np.array_equal(drawn[first:stop] == 2, sees[first:stop] & (np.arange(len(sees)) < first))
        assert np.array_equal(drawn[first:stop] == 3, sees[first:stop] & (np.arange(len(sees)) >= first))
        assert readouts["pairs in this step"] == sees[first:stop].sum()
        below = np.array(reading.reading_in_blocks(step, name, block)[0].data[2].z)[0].tolist()
        assert below == [1] * (first - before) + [2] * before + [3] * block + [0] * (len(sees) - stop)
        before = cache.kept


def test_step_0_is_training():
    traces, readouts = plotted(reading.reading_in_blocks(0, "block causal", 4))
    assert np.array_equal(np.array(traces["map"].z)[:8, :8] == 3, np.tri(8, dtype=bool))
    assert (readouts["this step"], readouts["largest distance in it"]) == ("training", 7)


# ---- the chapter's exercises ------------------------------------------------------------------------------------


def test_the_solutions_give_what_their_text_says():
    last = masks.block_causal(512)
    assert 24 * 512 + 511 + 1 == 12_800 == 16_384 - _iterate(last.first_key, 16_383, 24)
    assert _iterate(last.first_key, 16_383, 31) == 0 < _iterate(last.first_key, 16_383, 30)
    assert re.findall(r"^\d+ (\w+)$", charts.solution(CELLS, "ex-06-heard-of"), re.M) == ["True"] * 4
    shares = re.findall(r"0\.\d{4}", charts.solution(CELLS, "ex-06-rare-distances"))
    (first, *training), (nearest, *blocks) = np.array(shares, dtype=float).reshape(2, 5)
    assert nearest / first == pytest.approx(2 / 3, abs=0.02)  # distance 0 loses a third
    assert np.allclose(np.array(blocks[1:3]) / training[1:3], 4 / 3, atol=0.02)  # 32 and 48; 63 has too few digits
    sizes = charts.solution(CELLS, "ex-06-sees")
    assert re.findall(r"blocks of (\d+): largest distance (\d+)", sizes) == [("8", "15"), ("16", "31")]


def _iterate(function, x, times):
    for _ in range(times):
        x = function(x)
    return max(0, int(x))


def test_numbers_in_the_prose_are_those_of_the_figures():
    prose = " ".join(" ".join(cell.source.split()) for cell in CELLS if cell.cell_type == "markdown")
    _, dilated = plotted(reading.one_mask("dilated window", 32, 4, 8))
    assert f"it looks back over {dilated['largest distance']} tokens" in prose
    _, compared = plotted(reading.two_masks("block causal", "sliding window", 4, 8))
    left_out, whole = compared["only the second"], compared["only the second"] + compared["both"]
    assert f"{left_out} of {whole} pairs here" in prose
    far = {
        name: plotted(reading.who_can_have_heard(name, 3, 33))[1]["the farthest is"]
        for name in ("sliding window of 2 blocks", "block causal")
    }
    assert "{} tokens back at three layers where blocks reach {}".format(*far.values()) in prose


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_finer_blocks_are_segments_with_more_memory(parts):
    length = 16
    mask = masks.segment_recurrent(length // parts, length - length // parts)
    i, j = np.nonzero(masks.dense(mask, 100))
    assert (i - j).max() == length - 1
    seen = masks.dense(mask, 100).sum(1)[length:]
    assert (seen.min(), seen.max()) == (length - length // parts + 1, length)
