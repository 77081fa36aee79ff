"""Chapter 11's figures of search, memory and time, against definitions and records; what the chapter says of them."""

import itertools
import json

import numpy as np
import pytest

from charts import cells, numbers, printed, trace
from lexviz import runs
from lexviz.figures import lookups as figures

CELLS = cells("11-random-access")


# ---- search -----------------------------------------------------------------------------------------------------


def test_an_index_is_drawn_where_it_looks_and_what_it_finds():
    of = {"exact": figures.Searched(100, 1.0), "HNSW, ef = 4": figures.Searched(20, 0.5)}
    of |= {"lifted HNSW, ef = 4": figures.Searched(30, 0.92), "IVF, nprobe = 1": figures.Searched(40.5, 0.95)}
    made, readouts = figures.search({("all", 100): of})("all", 100)
    for family, index in (("HNSW", "HNSW, ef = 4"), ("lifted HNSW", "lifted HNSW, ef = 4"), ("exact", "exact")):
        line = trace(made, family)
        assert (list(line.x), list(line.y)) == ([of[index].looked], [of[index].recall])
    assert readouts == [("cheapest that finds 90%", "lifted HNSW, ef=4, looks at 30%", "")]


# ---- costs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "n", "k"), itertools.product(figures.SIZES, (256, 4096, 100_003), (1, 8)))
def test_costs_are_counted_block_by_block(model, n, k):
    size = figures.SIZES[model]
    finished = [b for b in range(n) if (b + 1) * size.block <= n][: n // size.block + 1] if n < 5000 else None
    blocks = len(finished) if finished is not None else n // size.block
    of_token = 2 * size.layers * size.width * size.bytes  # key and value
    cost = {
        (name, quantity): figures.cost(size, name, quantity, n, k)
        for name in (figures.DENSE, figures.WINDOW, figures.HERE, figures.AWAY)
        for quantity in (figures.LOOKED, figures.KEPT, figures.MOVED)
    }
    assert cost[figures.DENSE, figures.LOOKED] == n
    assert cost[figures.DENSE, figures.KEPT] == n * of_token
    assert cost[figures.WINDOW, figures.LOOKED] == min(n, size.window)
    fetched = min(k, blocks) * (size.block + 1)
    local = n - blocks * size.block + 1
    assert cost[figures.AWAY, figures.LOOKED] == cost[figures.HERE, figures.LOOKED] == blocks + fetched + local
    assert cost[figures.HERE, figures.KEPT] == (n + blocks) * of_token  # landmarks have values too
    assert cost[figures.AWAY, figures.KEPT] == blocks * of_token / 2 + (fetched + local) * of_token
    assert cost[figures.AWAY, figures.MOVED] == fetched * of_token
    assert cost[figures.HERE, figures.MOVED] == 0


def test_lines_of_costs_are_the_formula_and_nothing_is_drawn_where_nothing_is_moved():
    for model, quantity in itertools.product(figures.SIZES, (figures.LOOKED, figures.KEPT, figures.MOVED)):
        made, readouts = figures.cost_and_memory(model, quantity, 4)
        for line, (name, _, _) in zip(made.data, readouts, strict=True):
            wanted = [figures.cost(figures.SIZES[model], line.name, quantity, n, 4) or np.nan for n in figures.LENGTHS]
            assert np.array_equal(np.array(line.y, dtype=float), np.array(wanted, dtype=float), equal_nan=True)
            assert name.endswith(line.name)


def test_measured_times_are_those_of_the_record():
    record = json.loads((runs.FOLDER / "benchmark-cpu.json").read_text())
    assert {row["name"] for row in record["decoding"]} == {figures.DENSE, figures.WINDOW, "landmarks"}
    for sizes in ("4 heads of 32", "8 heads of 128"):
        made, readouts = figures.times(record)(sizes, "time")
        faster, _ = figures.times(record)(sizes, "times as fast")
        for line, ratio in zip(made.data, faster.data, strict=True):
            assert np.array(ratio.y) * np.array(line.y) == pytest.approx(np.array(made.data[0].y))
        for row in record["decoding"]:
            if sizes.startswith(f"{row['heads']} "):
                line = trace(made, row["name"])
                assert line.y[list(line.x).index(row["length"])] == row["seconds"]
        assert [name for name, _, _ in readouts] == ["at 65,536 tokens, window", "at 65,536 tokens, landmarks"]


# ---- what the chapter says --------------------------------------------------------------------------------------


def test_indexes_find_what_the_chapter_says():
    (said,) = (line for line in printed(CELLS, "Figure approximate-search") if "cheapest" in line)
    assert said.endswith("IVF, nprobe=8, looks at 11%")
    for line in printed(CELLS, "IVF looks at")[1:]:
        blocks, tokens, looks, fewer = numbers(line)
        assert tokens == 50 * blocks
        assert looks == 9 * round(blocks**0.5)
        assert fewer == pytest.approx(blocks / looks, rel=0.01)


def test_memory_and_time_are_as_the_chapter_says():
    large = figures.SIZES["LLaMA 7B"]
    assert figures.cost(large, figures.DENSE, figures.KEPT, 1, 4) == pytest.approx(0.5e6, rel=0.05)
    assert figures.cost(large, figures.DENSE, figures.KEPT, 32768, 4) == pytest.approx(17e9, rel=0.02)
    assert figures.cost(large, figures.AWAY, figures.KEPT, 32768, 4) == pytest.approx(0.29e9, rel=0.02)
    assert figures.cost(large, figures.AWAY, figures.KEPT, 10**6, 4) > 5e9
    moved = figures.cost(large, figures.AWAY, figures.MOVED, 32768, 4)
    assert moved == pytest.approx(107e6, rel=0.01)
    assert moved / 25e9 == pytest.approx(0.004, rel=0.1)
    record = json.loads((runs.FOLDER / "benchmark-cpu.json").read_text())
    ratios = {sizes: figures.times(record)(sizes, "times as fast")[0] for sizes in ("4 heads of 32", "8 heads of 128")}
    ours, larger = (trace(made, "landmarks") for made in ratios.values())
    assert max(y for x, y in zip(ours.x, ours.y, strict=True) if x <= 4096) < 1
    assert min(y for x, y in zip(ours.x, ours.y, strict=True) if x >= 16384) > 1
    assert larger.y[-1] > 10
    for made in ratios.values():
        assert (np.array(trace(made, "window").y) > np.array(trace(made, "landmarks").y)).all()
