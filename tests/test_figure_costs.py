"""The figure of costs: its formulas against what the library does, its points against the records."""

import json

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import charts
import notebooks
from lexviz import attention, explore, masks
from lexviz.cache import KeyValueCache
from lexviz.figures import costs

CELLS = charts.cells("06-blockwise-causal-attention")
LONGEST = {"every pair, attend": 4096, "causal, in one pass": 16384}


def recorded(speed=1e9):
    """What a benchmark might have written, for a machine of so many operations per second and 1 ms a call."""
    found = []
    for name in costs.MECHANISMS:
        for length in costs.LENGTHS:
            if length <= LONGEST.get(name, 65536):
                seconds = 1e-3 + costs.operations(name, length, 128) / speed
                pairs = costs.MECHANISMS[name](128).pairs(length)
                found.append({"name": name, "length": length, "pairs": pairs, "seconds": seconds})
    return {"costs": found}


def figure(cpu, cuda=None):
    (source,) = [cell.source for cell in CELLS if "costs.of(" in cell.source]
    names = {**vars(explore), "costs": costs, "cpu": cpu, "cuda": cuda}
    return eval(source[source.index("explore(") :], names)


@pytest.mark.parametrize("cuda", [None, recorded(1e12)], ids=["a CPU alone", "a GPU beside it"])
def test_states_have_the_same_traces(cuda):
    made = figure(recorded(), cuda)
    first = made.state(**made.first)
    states = made.all_states()
    assert len(states) == 32
    for state, readouts in states:
        assert [trace.name for trace in state.data] == [trace.name for trace in first[0].data]
        assert [name for name, _ in readouts] == [name for name, _ in first[1]]
        for trace in state.data:
            assert len(trace.x) == len(trace.y)
            if tuple(trace.y) != (None,):
                assert np.isfinite(np.array(trace.y)).all()
                assert (np.array(trace.y) > 0).all()
    assert len(first[0].data) == (10 if cuda is None else 15)


@pytest.mark.parametrize("name", costs.MECHANISMS)
@pytest.mark.parametrize("per_token", [False, True])
def test_points_are_the_records_and_lines_end_in_the_last_of_them(name, per_token):
    cpu, cuda = recorded(), recorded(1e12)
    made, _ = costs.of(cpu, cuda)("time", 128, per_token)
    traces = {trace.name: trace for trace in made.data}
    for device, where in ((cpu, "CPU"), (cuda, "GPU")):
        points = traces[f"{name}, {where}"]
        wanted = [(c["length"], c["seconds"]) for c in device["costs"] if c["name"] == name]
        assert list(points.x) == [length for length, _ in wanted]
        assert list(points.y) == pytest.approx([time / length if per_token else time for length, time in wanted])
    line = dict(zip(traces[name].x, traces[name].y, strict=True))
    last = traces[f"{name}, CPU"]
    assert line[last.x[-1]] == pytest.approx(last.y[-1])


@pytest.mark.parametrize("quantity", [name for name in costs.QUANTITIES if name != "time"])
def test_other_quantities_are_formulas_only(quantity):
    made, readouts = costs.of(recorded())(quantity, 256, False)
    formula = costs.QUANTITIES[quantity][0]
    for trace in made.data:
        if trace.name in costs.MECHANISMS:
            assert list(trace.y) == [formula(trace.name, length, 256) for length in trace.x]
        else:
            assert tuple(trace.x) == (None,)
    assert len(readouts) == len(costs.MECHANISMS)


def test_attend_takes_the_operations_of_the_formula():
    q, k, v = torch.randn(3, 1, costs.HEADS, 64, costs.HEAD_DIM)
    with FlopCounterMode(display=False) as counter:
        attention.attend(q, k, v, masks.causal())
    assert counter.get_total_flops() == costs.operations("every pair, attend", 64, 128)


@pytest.mark.parametrize("name", list(costs.MECHANISMS)[1:])
@pytest.mark.parametrize("block", [64, 128, 512])
def test_the_others_take_those_of_their_pairs(name, block):
    seen = masks.dense(costs.MECHANISMS[name](block), 1024).sum()
    assert costs.operations(name, 1024, block) == 4 * costs.HEAD_DIM * costs.HEADS * seen


@pytest.mark.parametrize("name", list(costs.MECHANISMS)[2:])
@pytest.mark.parametrize("block", [64, 128, 256])
@pytest.mark.parametrize("length", [256, 1024])
def test_windows_hold_the_scores_of_the_formula(name, block, length):
    q, k = torch.zeros(2, 1, costs.HEADS, length, 2)
    largest = max(window.scores.numel() for window in attention.windows(q, k, costs.MECHANISMS[name](block)))
    assert costs.scores_held(name, length, block) == 4 * largest


@pytest.mark.parametrize("name", costs.MECHANISMS)
@pytest.mark.parametrize("block", [4, 8])
def test_decoding_holds_the_keys_and_values_of_the_formula(name, block):
    cache, most = KeyValueCache(costs.MECHANISMS[name](block)), 0
    for _ in range(50):
        most = max(most, cache.kept + 1)  # what is kept, and the new token
        cache.attend(*torch.zeros(3, 1, costs.HEADS, 1, costs.HEAD_DIM))
    numbers = 2 * costs.HEADS * costs.HEAD_DIM * most
    assert costs.kept(name, 50, block) == 4 * numbers


def test_the_names_are_those_of_the_benchmark():
    record = json.loads((notebooks.ROOT / "lexviz" / "runs" / "benchmark-cpu.json").read_text())
    assert {cost["name"] for cost in record["costs"]} == set(costs.MECHANISMS)
    for cost in record["costs"]:
        assert cost["pairs"] == costs.MECHANISMS[cost["name"]](costs.MEASURED_BLOCK).pairs(cost["length"])
