"""What the figures of chapter 7 plot, against loops; how one grows in a kernel; what the chapter says."""

import itertools
import math
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import charts
from charts import decimals, printed
from lexviz import explore, runs, train
from lexviz.figures import training
from lexviz.train import LAPTOP, LIVE, Entry, Settings

CHAPTER = charts.cells("07-training-a-small-model")
LEVELS = {"counts": 3.29, "after one": 2.47, "after two": 1.79}
RECORDED = runs.results()


def made_up(count, seed=0, of=LIVE):
    rng = np.random.default_rng(seed)
    return [Entry(i + 1, rng.uniform(1, 5), of.rate(i), rng.uniform(1e3, 1e6)) for i in range(count)]


def figures(history):
    names = {"history": history, "settings": LIVE, "recorded": RECORDED, "levels": LEVELS, "training": training}
    return charts.made_in(CHAPTER, mine_history=history[:250], **names)


# ---- its parts --------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-10, 10), max_size=60), st.integers(1, 70))
def test_a_trailing_mean_is_of_the_value_and_those_before(values, width):
    expected = [sum(part) / len(part) for part in (values[max(0, i - width + 1) : i + 1] for i in range(len(values)))]
    assert training.trailing(np.array(values), width) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 30), st.integers(0, 12))
def test_bytes_are_counted_step_by_step(steps, short):
    of = Settings(batch=3, length=7, steps=30, short_steps=short, short_length=5, short_batch=2)
    expected = sum(math.prod(of.shape(step)) for step in range(steps)) / 1e6
    assert training.million_bytes(of, steps) == pytest.approx(expected)


# ---- the figure -------------------------------------------------------------------------------------------------


def test_the_chapter_has_these_figures():
    found = figures(made_up(500))
    assert {name: len(charts.states(figure)) for name, figure in found.items()} == {
        "training": 96,
        "own-beside-ours": 6,
    }


@pytest.mark.parametrize("count", [500, 137, 1, 0])
def test_states_have_the_same_traces_and_few_points(count):
    of = training.of(made_up(count), LIVE, RECORDED, LEVELS)
    states = charts.states(figures(made_up(1))["training"])
    first, names = of(**states[0])
    for values in states[:: 1 if count == 500 else 7]:
        made, readouts = of(**values)
        for trace, other in zip(made.data, first.data, strict=True):
            assert [trace[key] for key in ("type", "mode", "xaxis", "yaxis", "showlegend")] == [
                other[key] for key in ("type", "mode", "xaxis", "yaxis", "showlegend")
            ]
            assert len(trace.x) == len(trace.y) <= 251
        assert [name for name, *_ in readouts] == [name for name, *_ in names]


@settings(max_examples=25)
@given(
    st.sampled_from(["XPos", "RoPE", "ALiBi", "Sinusoidal"]), st.sampled_from(["bytes read", "steps"]), st.booleans(),
    st.sampled_from([1, 20, 100]), st.sampled_from(["learning rate", "bytes a second"]), st.integers(1, 240),
)  # fmt: skip
def test_it_draws_what_was_trained_and_what_was_recorded(reference, across, log, smoothing, below, count):
    history = made_up(count)
    made, readouts = training.of(history, LIVE, RECORDED, LEVELS)(reference, across, log, smoothing, below)
    traces = {trace.name: trace for trace in made.data}
    ours = traces["this model"]
    assert ours.x == pytest.approx([entry.step * (1 if across == "steps" else 16 * 128 / 1e6) for entry in history])
    losses = [entry.loss for entry in history]
    assert ours.y == pytest.approx([np.mean(losses[max(0, i + 1 - smoothing) : i + 1]) for i in range(count)])
    curve = RECORDED[training.RUNS[reference]]["curve"]
    theirs = traces[f"{reference}, recorded"]
    assert theirs.x == pytest.approx([step * (1 if across == "steps" else 16 * 256 / 1e6) for step, _ in curve])
    width = max(1, smoothing // 10)
    known = [loss for _, loss in curve]
    assert theirs.y == pytest.approx([np.mean(known[max(0, i + 1 - width) : i + 1]) for i in range(len(known))])
    for name, nats in LEVELS.items():
        assert list(traces[name].y) == [nats, nats]
    lower = traces["below: this model"]
    if below == "learning rate":
        assert lower.y == pytest.approx([LIVE.rate(entry.step - 1) for entry in history])
        recorded_rates = [LAPTOP.rate(step - 1) for step, _ in curve]
        assert traces[f"below: {reference}, recorded"].y == pytest.approx(recorded_rates)
    else:
        speeds = [entry.tokens_per_second for entry in history]
        assert lower.y[0] is None
        assert lower.y[1:] == pytest.approx([np.mean(speeds[max(0, i + 1 - smoothing) : i + 1]) for i in range(count)])
    for axis, shown in (("xaxis", [ours.x, theirs.x]), ("yaxis", [ours.y, theirs.y, list(LEVELS.values())])):
        low, high = made.layout[axis].range
        values = np.concatenate([np.array(part, dtype=float) for part in shown])
        values = np.log10(values) if axis == "xaxis" and log else values
        assert low - 1e-9 <= values.min()
        assert values.max() <= high
    said = {name: value for name, value, _ in readouts}
    assert said["loss of the last 50 steps, this model"] == f"{np.mean(losses[-50:]):.2f}"
    assert said["loss of the last 50 steps, recorded"] == f"{np.mean(known[-5:]):.2f}"
    below_all = [step for step, loss in curve if loss < 1.79]
    assert said["recorded: below the lowest dashed line from step"] == str(int(below_all[0]))


def test_what_the_clock_says_is_not_in_words():
    slow, fast = made_up(60), [entry._replace(tokens_per_second=1.0) for entry in made_up(60)]
    for below in ("learning rate", "bytes a second"):
        words = []
        for history in (slow, fast):
            figure = figures(history)["training"]
            control = explore.choice(*figure.controls["below"].values, value=below)
            words.append(explore.Figure(figure.function, figure.controls | {"below": control}).words())
        assert words[0] == words[1]


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 20, 50]))
@settings(max_examples=20)
def test_two_curves_and_their_difference(one, other, smoothing):
    histories = {"XPos": made_up(one), "mine": made_up(other, seed=1)}
    count = min(one, other)
    a, b = ([entry.loss for entry in history[:count]] for history in histories.values())
    of = training.beside(histories)
    (xpos, mine), ((_, last, _), _) = of("loss", smoothing)[0].data, of("loss", smoothing)[1]
    mean = lambda values: [np.mean(values[max(0, i + 1 - smoothing) : i + 1]) for i in range(count)]  # noqa: E731
    assert xpos.y == pytest.approx(mean(a))
    assert mine.y == pytest.approx(mean(b))
    assert list(mine.x) == list(range(1, count + 1))
    assert last == f"{np.mean(a[-50:]):.2f}"
    xpos, mine = of("difference", smoothing)[0].data
    assert not any(xpos.y)
    assert mine.y == pytest.approx(mean([y - x for x, y in zip(a, b, strict=True)]))


# ---- as it grows ------------------------------------------------------------------------------------------------


@pytest.fixture
def kernel(monkeypatch):
    """As in a kernel: what is displayed comes back as a list, and the clock moves a second with every look at it."""
    shown = []
    monkeypatch.delenv("LEXVIZ_PAGE", raising=False)
    monkeypatch.setattr(training, "get_ipython", object)
    monkeypatch.setattr(training, "display", lambda bundle, raw: shown.append(bundle))
    clock = itertools.count()
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))
    return shown


def growing(history, **more):
    return training.growing(iter(history), LIVE, RECORDED, LEVELS, **more)


def watched(monkeypatch):
    drawn, made = [], training.draw

    def remember(widget, figure, history):
        made(widget, figure, history)
        drawn.append((len(history), widget))

    monkeypatch.setattr(training, "draw", remember)
    return drawn


def test_in_a_kernel_it_grows_but_not_at_every_step(kernel, monkeypatch):
    drawn, history = watched(monkeypatch), made_up(40)
    assert list(growing(history, pause=9.5)) == history
    (bundle,) = kernel
    assert bundle["text/plain"] == "Training: 500 steps of 16 x 128 bytes"
    assert "application/vnd.jupyter.widget-view+json" in bundle
    counts = [count for count, _ in drawn]
    assert counts[-1] == 40
    assert 3 <= len(counts) <= 5  # every tenth look, and the end
    whole = training.of(history, LIVE, RECORDED, LEVELS)()[0]
    for trace, wanted in zip(drawn[-1][1].data, whole.data, strict=True):
        assert list(trace.x) == list(wanted.x)
        assert list(trace.y) == list(wanted.y)


def test_a_cell_that_is_stopped_leaves_all_that_was_done(kernel, monkeypatch):
    drawn, history = watched(monkeypatch), made_up(40)

    def interrupted():
        yield from history[:17]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(training.growing(interrupted(), LIVE, RECORDED, LEVELS, pause=1e9))
    assert drawn[-1][0] == 17
    part = growing(history, pause=1e9)
    list(itertools.islice(part, 5))
    part.close()
    assert drawn[-1][0] == 5


def test_no_widget_is_made_for_a_page_or_outside_of_a_kernel(kernel, monkeypatch, capsys):
    history = made_up(3)
    monkeypatch.setattr(go, "FigureWidget", None)  # calling it would be an error
    monkeypatch.setenv("LEXVIZ_PAGE", "1")
    assert list(growing(history)) == history
    assert kernel == [{"text/plain": "Training: 500 steps of 16 x 128 bytes"}]
    monkeypatch.setattr(training, "get_ipython", lambda: None)
    assert list(growing(history)) == history
    assert len(kernel) == 1
    assert capsys.readouterr().out == "Training: 500 steps of 16 x 128 bytes\n"


# ---- what the chapter says --------------------------------------------------------------------------------------


def test_what_the_chapter_says_of_its_own_training():
    means = [decimals(line)[0] for line in printed(CHAPTER, "steps   1 to 50")]
    counts, after_one, after_two = (decimals(line)[0] for line in printed(CHAPTER, "counts: "))
    assert means[0] > counts > means[1] > means[2] > after_one > means[3]  # by the fourth row past the second line
    assert after_two < means[-1] < after_one
    assert all(a > b for a, b in itertools.pairwise(means))
    rows = [decimals(row) for row in printed(CHAPTER, "bytes read at a time  causal")[1:]]
    causal, blocks = [row[0] for row in rows], [row[1] for row in rows[3:]]
    assert causal[0] > causal[1] > causal[2]  # more text helps, though little
    assert causal[0] < 1.05 * causal[2]
    assert causal[2] < causal[3] < causal[4] < causal[5] < causal[6]  # beyond, it rises again
    assert all(a >= b for a, b in itertools.pairwise([causal[2], *blocks]))  # and with blocks it does not
    from_counts, from_pairs = zip(*(decimals(row) for row in printed(CHAPTER, "divergence from counts")), strict=True)
    assert min(from_counts) == from_counts[1] < from_pairs[1]  # at step 50 nearly what bare counts say
    assert from_counts[1] < from_counts[2] < from_counts[3]  # it leaves them,
    assert min(from_pairs) == from_pairs[3] < from_pairs[4]  # nearest to the others at step 200, and then no nearer
    assert means[-1] < after_one - 0.3  # while the loss goes on falling, well below
    assert causal[2] > math.exp(means[-1]) == pytest.approx(8.4, abs=0.05)
    assert printed(CHAPTER, "stopped after")[1] == "steps: 60, same losses: True"
    alike, exact = decimals(printed(CHAPTER, "halves: ")[0])
    assert alike > 0.5
    assert exact < 1e-4
    (last,), (new, on) = map(decimals, printed(CHAPTER, "last loss of the other"))
    assert new > 5.5 > on + 1
    assert on == pytest.approx(last, abs=0.2)  # it starts about where the other had got to
    (xpos,), (mine,) = map(decimals, printed(CHAPTER, "Figure own-beside-ours")[-2:])
    assert xpos == pytest.approx(mine, rel=0.01)  # they do equally well
    assert min(decimals(printed(CHAPTER, "rates learned")[0])) > 1  # both rates are above 1
    (trained,), (far,) = map(decimals, printed(CHAPTER, "2048 bytes: perplexity"))
    assert far == pytest.approx(trained, rel=0.01)  # next to nothing


def test_what_the_chapter_says_of_the_learning_rate():
    rates = [LIVE.rate(step) / LIVE.learning_rate for step in range(LIVE.steps)]
    assert np.argmax(rates) + 1 in (45, 46)  # the lines cross between these
    assert rates[44] == pytest.approx(45 / 50)
    assert rates[45] == pytest.approx(455 / 500)
    assert round(max(rates), 2) == 0.91


def test_what_the_chapter_says_of_the_recorded_curves():
    for run in training.RUNS.values():
        about = RECORDED[run]
        assert about["settings"] == RECORDED["xpos-0"]["settings"] | {"position": about["settings"]["position"]}
        assert dict(about["curve"])[1500] < LEVELS["after two"]
    xpos, rope, alibi, sinusoidal = (np.array(RECORDED[run]["curve"])[:, 1] for run in training.RUNS.values())
    for other in (rope, alibi):
        assert other[100:].mean() == pytest.approx(xpos[100:].mean(), rel=0.01)  # they can hardly be told apart
    history = [decimals(line)[0] for line in printed(CHAPTER, "steps   1 to 50")]
    steps = np.arange(25, 500, 50)  # the middles of what is printed; 2,048 bytes each, of the larger model 4,096
    theirs = np.interp(steps / 2, *np.array(RECORDED["xpos-0"]["curve"]).T)
    behind = np.array(history) > theirs  # by bytes it is ahead at first, and then it is not
    assert behind.tolist() == sorted(behind.tolist())
    assert 0.5e6 < steps[behind][0] * 2048 < 0.7e6
    late = [np.argmax(curve < LEVELS["after two"]) for curve in (xpos, rope, alibi, sinusoidal)]
    assert late[3] > 1.5 * max(late[:3])  # comes down later
    assert sinusoidal[100:].mean() > 1.15 * xpos[100:].mean()  # and stays higher


def test_the_solutions_give_what_their_text_says():
    (highest,) = re.findall(r"highest (\d\.\d+)", charts.solution(CHAPTER, "ex-07-learning-rate"))
    assert float(highest) == pytest.approx(2 / 3, abs=0.01)  # two thirds, and no more
    losses = re.findall(r"own (\d\.\d+), section 4 (\d\.\d+)", charts.solution(CHAPTER, "ex-07-clipped"))
    assert len(losses) == 3
    assert all(own == theirs for own, theirs in losses)
    curve = dict(re.findall(r"step (\d+): loss (\d\.\d)", charts.solution(CHAPTER, "ex-07-too-good")))
    assert float(curve["21"]) < LEVELS["after two"]  # after twenty steps
    assert float(curve["41"]) < 0.5
    text = charts.solution(CHAPTER, "ex-07-how-often")
    read = [preset.steps * preset.batch * preset.length / 1e6 for preset in (LIVE, LAPTOP, train.GPU)]
    assert [f"{million:.{digits}f}" in text for million, digits in zip(read, (2, 1, 1), strict=True)] == [True] * 3
