"""What the figures of the first page and of chapter 1 plot, against loops; what the chapter says, proves and solves."""

import contextlib
import copy
import io
import itertools
import math
import os

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import charts
import notebooks
from lexviz import explore, masks, runs
from lexviz.figures import lengths

BOOK = notebooks.ROOT / "book"
PAGES = {name: nbformat.read(BOOK / f"{name}.ipynb", as_version=4).cells for name in ("index", "01-the-length-problem")}
CHAPTER = PAGES["01-the-length-problem"]


@pytest.fixture(scope="module")
def chapter():
    """The names that the chapter's cells define, and its figures; every cell is run here."""
    names, found, made = {}, {}, explore.Figure.__init__

    def remember(figure, *arguments):
        made(figure, *arguments)
        found[figure.id] = figure

    before = os.getcwd()
    os.chdir(BOOK)
    explore.Figure.__init__ = remember
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            for cell in itertools.chain(*PAGES.values()):
                if cell.cell_type == "code" and "solution" not in cell.metadata.get("tags", ()):
                    exec(cell.source, names)
    finally:
        explore.Figure.__init__ = made
        os.chdir(before)
    return names, found


def plotted(result):
    """{name: (x, y)} of the traces, and {name: value} of the read-outs."""
    figure, readouts = result
    return {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}, {n: v for n, v, _ in readouts}


def test_the_pages_have_these_figures(chapter):
    assert {name: len(charts.states(figure)) for name, figure in chapter[1].items()} == {
        "reading-on": 31,
        "by-length": 14,
        "by-place": 32,
        "what-changes": 18,
    }


@pytest.mark.parametrize("name", ["reading-on", "by-length", "by-place", "what-changes"])
def test_states_have_the_same_traces_and_few_points(chapter, name):
    figure = chapter[1][name]
    first, _ = figure.state(**figure.first)
    for made, _ in charts.alike(figure, but=("showlegend",)):
        assert (made.layout.xaxis, made.layout.yaxis) == (first.layout.xaxis, first.layout.yaxis)


# ---- recorded numbers, made up ----------------------------------------------------------------------------------


@st.composite
def results(draw):
    """Results as `runs.results()` gives them, of two runs and of one that nobody asked for."""
    trained, parts = draw(st.sampled_from([(16, 64), (256, 64), (100, 16)]))
    sizes = [trained * 2**e // 4 for e in range(7)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def run(length):
        plain = [{"length": n, "mask": "causal()", "perplexity": math.exp(rng.uniform(0, 6))} for n in sizes]
        mask = f"block_causal({trained // 2})"
        blocks = [{"length": n, "mask": mask, "perplexity": math.exp(rng.uniform(0, 6))} for n in sizes[3:]]
        nats = rng.uniform(0, 6, (2, parts)).tolist()
        names = zip(("causal()", mask), nats, strict=True)
        places = [{"length": 16 * trained, "mask": name, "nats": of} for name, of in names]
        return {"settings": {"length": length}, "results": {"lengths": plain + blocks, "places": places}}

    return {"alibi-0": run(7), "rope-0": run(trained), "xpos-0": run(trained), "xpos-1": run(7)}


def row_of(recorded, name, kind, mask, **where):
    rows = recorded[f"{name.lower()}-0"]["results"][kind]
    (row,) = (r for r in rows if r["mask"].startswith(mask) and all(r[key] == value for key, value in where.items()))
    return row


@settings(max_examples=20)
@given(results(), st.integers(0, 6), st.booleans())
def test_by_length_plots_what_was_recorded(recorded, step, blocks):
    trained = recorded["rope-0"]["settings"]["length"]
    sizes = [trained * 2**e // 4 for e in range(7)]
    traces, readouts = plotted(lengths.lengths(recorded)(sizes[step], blocks))
    for name in ("RoPE", "XPos"):
        expected = []
        for n in sizes[: step + 1]:
            mask = "block" if blocks and n > trained else "causal"
            expected.append(row_of(recorded, name, "lengths", mask, length=n)["perplexity"])
        assert traces[name] == (sizes[: step + 1], expected)
        plain = [row_of(recorded, name, "lengths", "causal", length=n)["perplexity"] for n in sizes[: step + 1]]
        assert traces[f"{name}, no blocks"] == (sizes[: step + 1], plain)
        at_trained = row_of(recorded, name, "lengths", "causal", length=trained)["perplexity"]
        assert readouts[f"perplexity, {name}"] == pytest.approx(expected[-1], rel=0.006)
        growth = readouts[f"times that at {trained} bytes, {name}"]
        assert growth == pytest.approx(expected[-1] / at_trained, abs=0.006)
    assert traces["training length"][0] == [trained, trained]


@settings(max_examples=20)
@given(results(), st.integers(1, 16), st.booleans())
def test_by_place_plots_what_was_recorded(recorded, times, blocks):
    trained = recorded["rope-0"]["settings"]["length"]
    read = times * trained
    traces, readouts = plotted(lengths.places(recorded)(read, blocks))
    if not blocks:
        again = plotted(lengths.start_here(recorded)(read))
        assert again == (traces, readouts)
    for name in ("RoPE", "XPos"):
        row = row_of(recorded, name, "places", "block" if blocks else "causal")
        wide = 16 * trained // len(row["nats"])
        shown = [(k * wide, nats) for k, nats in enumerate(row["nats"]) if (k + 1) * wide <= read]
        assert traces[name][0] == [start + wide // 2 for start, _ in shown]
        assert traces[name][1] == pytest.approx([math.exp(nats) for _, nats in shown])
        last = [nats for start, nats in shown if start >= read - trained]
        found = readouts[f"perplexity of the last {trained} bytes, {name}"]
        assert found == pytest.approx(math.exp(sum(last) / len(last)), rel=0.006)


@settings(max_examples=5)
@given(results())
def test_every_state_fits_its_axes(recorded):
    longest = 16 * recorded["rope-0"]["settings"]["length"]
    by_length, by_place = lengths.lengths(recorded), lengths.places(recorded)
    for of, logarithmic in ((by_length, "xy"), (by_place, "y")):
        for blocks in (False, True):
            result = of(longest, blocks)
            for axis in "xy":
                low, high = result[0].layout[f"{axis}axis"].range
                for pair in plotted(result)[0].values():
                    values = np.array(pair["xy".index(axis)])
                    values = np.log10(values) if axis in logarithmic else values
                    assert np.all((low <= values) & (values <= high))


def test_runs_of_another_length_are_not_drawn_together():
    recorded = copy.deepcopy(runs.results())
    recorded["xpos-0"]["settings"]["length"] = 128
    with pytest.raises(ValueError, match=r"training lengths \[128, 256\]; the two runs need the same"):
        lengths.lengths(recorded)(256, False)


@given(st.lists(st.floats(1e-11, 2) | st.just(0), min_size=8, max_size=8))
def test_what_changes_plots_each_size_or_the_strip(sizes):
    names = ["NoPosition", "Sinusoidal", "Learned", "Shaw", "T5", "ALiBi", "RoPE", "XPos"]
    of = lengths.changes({"a check": {2: dict(zip(names, sizes, strict=True))}})
    traces, readouts = plotted(of("a check", 2))
    assert traces == {name: ([size or 1e-12], [name]) for name, size in zip(names, sizes, strict=True)}
    assert readouts["encodings whose output does not change"] == sizes.count(0)
    assert readouts["largest change"] == pytest.approx(max(sizes), rel=0.06)


# ---- what the pages say -----------------------------------------------------------------------------------------


def test_what_the_pages_say_of_the_two_runs():
    recorded = runs.results()
    for name in ("RoPE", "XPos"):
        plain, blocks = (lengths.perplexities(recorded, name, on) for on in (False, True))
        assert plain[64] > plain[128] > plain[256] < plain[512] < plain[1024] < plain[2048] < plain[4096]
        assert np.all(np.diff(list(blocks.values())) < 0)
        nats = lengths.stretches(recorded, name)[1]
        assert 4 * abs(nats[2] - nats[3]) < nats[0] - nats[1]  # steeply at first, then slowly
        beyond = np.exp(lengths.stretches(recorded, name, True)[1][4:])
        assert beyond.max() / beyond.min() < 1.35  # ups and downs, no more
    rope, xpos = (lengths.perplexities(recorded, name) for name in ("RoPE", "XPos"))
    for n in (64, 128, 256):
        assert rope[n] == pytest.approx(xpos[n], rel=0.01)  # side by side
    with_blocks = [lengths.perplexities(recorded, name, True)[4096] for name in ("RoPE", "XPos")]
    assert with_blocks[0] == pytest.approx(with_blocks[1], rel=0.01)  # level
    assert rope[4096] / rope[256] > 4 * xpos[4096] / xpos[256]  # far less
    rope, xpos = (np.exp(lengths.stretches(recorded, name)[1]) for name in ("RoPE", "XPos"))
    assert rope[4] < 1.2 * rope[3]  # hardly notices the first point
    assert rope[5] > 3 * rope[4]  # several times what it was
    assert rope[-16:].mean() > 10 * rope[3]
    assert 2 < xpos[-4:].mean() / xpos[:4].mean() < 2.5  # a little more than twice
    assert xpos[12:16].mean() - xpos[:4].mean() > 0.75 * (xpos[-4:].mean() - xpos[:4].mean())  # most of it by 1,000


def test_window_starts_alone_explain_what_longer_windows_gain(chapter):
    names, _ = chapter
    for name, length in (("RoPE", 256), ("XPos", 256), ("LEX", 1024)):
        found = names["rows"][name]
        predicted = names["by_starts_alone"](found, length)
        measured = [found[n] for n in found if n >= length]
        assert predicted == pytest.approx(measured, rel=0.004)
        # Eq. (starts), place by place: the first `length` have one mean loss, all others another
        start, rest = math.log(predicted[0]), 2 * math.log(predicted[1]) - math.log(predicted[0])
        for L, value in zip((n for n in found if n >= length), predicted, strict=True):
            by_place = [start if place < length else rest for place in range(L)]
            assert value == pytest.approx(math.exp(sum(by_place) / L))


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_bags_of_words_and_moved_texts(chapter, data):
    """The two theorems, on other texts, orders and shifts than the chapter's."""
    names, _ = chapter
    n = data.draw(st.integers(3, 9))
    X = torch.tensor([data.draw(st.lists(st.integers(0, 63), min_size=n, max_size=n, unique=True))])
    order = [*data.draw(st.permutations(range(n - 1))), n - 1]
    name = data.draw(st.sampled_from(sorted(names["ENCODINGS"])))
    i, j, layers = data.draw(st.integers(1, 20)), data.draw(st.integers(0, 5)), data.draw(st.integers(1, 3))
    f = names["random_model"](name, layers)
    for mask in (masks.full(), masks.causal()):
        padded = torch.nn.functional.pad(X, (i, j))
        new = f(padded, mask & masks.padding(i + n, start=i))[:, i : i + n]
        stays = torch.allclose(new, f(X, mask), atol=1e-9)
        assert stays == (name not in ("Sinusoidal", "Learned"))
    if order != list(range(n)):
        full = torch.allclose(f(X[:, order], masks.full()), f(X, masks.full())[:, order], atol=1e-9)
        assert full == (name == "NoPosition")
        last = torch.allclose(f(X[:, order], masks.causal())[:, -1], f(X, masks.causal())[:, -1], atol=1e-9)
        assert last == (name == "NoPosition" and layers == 1)


def test_the_model_of_the_exercise_has_the_perplexities_that_its_solution_says():
    x = (60**16 / 4) ** (1 / 15)
    assert f"{x:.1f}" == "71.9"
    assert math.sqrt(4 * x) == pytest.approx(17, abs=0.1)
    assert 17.9 < x / 4 < 18
