"""explore.py and page.py: controls, states packed and unpacked, what a figure says, and its life in a kernel."""

import asyncio
import concurrent.futures
import functools
import gzip
import itertools
import json
import re
import struct

import hypothesis.extra.numpy as hnp
import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexviz import explore as module
from lexviz import page
from lexviz.explore import Figure, choice, explore, play, slider, toggle


@pytest.fixture(autouse=True)
def fresh_page(monkeypatch):
    monkeypatch.setattr(Figure, "on_page", set())


def wave(turns, height=1.0, kind="sine", shifted=False):
    """A wave, to be turned.

    It rises and falls.
    """
    x = np.linspace(0, 1, 50)
    y = height * getattr(np, "sin" if kind == "sine" else "cos")(turns * x + shifted)
    figure = go.Figure([go.Scatter(x=x, y=y, name=kind), go.Scatter(x=[0, 1], y=[0, 0], name="zero")])
    figure.update_xaxes(title_text="x")
    return figure, [("top", y.max(), "m"), ("turns", turns, "")]


def waves():
    return explore(
        wave,
        turns=slider(1, 9, step=2, value=3),
        height=slider(0.5, 2.0, step=0.5, value=1.0, unit="m"),
        kind=choice("sine", "cosine"),
        shifted=toggle(label="shifted by 1"),
    )


# ---- controls ---------------------------------------------------------------------------------------------------


def test_sliders_include_both_ends_and_print_without_rounding_errors():
    assert slider(0.1, 0.5, step=0.1).values == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert slider(16, 256, step=2, log=True).values == (16, 32, 64, 128, 256)
    assert play(0, 4, step=2, unit="s").text(4) == "4 s"
    assert slider(values=[1, 5, 6], value=5).value == 5
    assert choice("a", 2).value == "a"
    assert toggle(True).text(True) == "on"


def nothing(n):
    """A figure that was drawn and not returned."""


def pair(n):
    """A read-out without its unit."""
    return go.Figure(), [("n", n)]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: slider(0, 1), "start is 0, stop is 1 and step is None; a slider needs"),
        (lambda: play(1, 1, step=1), "a play needs start < stop"),
        (lambda: slider(1, 8, step=1, log=True), "a step greater than 1"),
        (lambda: slider(0, 10, step=3), "step is 3; from 0 it does not lead to stop, 10"),
        (lambda: slider(0, 2, step=1, value=5), "value is 5; it must be one of 0, 1, 2"),
        (lambda: choice("a"), r"values are \('a',\); at least two are needed"),
        (lambda: choice(1, "1"), "no two that are equal or read alike"),
        (lambda: choice(True, 1, value=1), "no two that are equal"),
        (lambda: slider(0, float("inf"), 1), "stop is inf and step is 1; a slider needs"),
        (lambda: slider("a", "b", 1), "start is a, stop is b"),
        (lambda: slider(values=5), "values is 5; it must be of class Iterable"),
        (lambda: slider(values=[]), r"values are \(\); at least two"),
        (lambda: slider(values=[0.12341, 0.12342]), "no two that are equal or read alike"),
        (lambda: slider(-1, 1, step=2, log=True), "needs start < stop from above 0"),
        (lambda: choice("a", "b", value="c"), "value is 'c'; it must be one of a, b"),
        (lambda: choice(), r"values are \(\); at least two"),
        (lambda: choice(["a", "b"]), r"values have \['a', 'b'\]; they must be texts or numbers, one by one"),
        (lambda: slider(1, 8, step=1, values=[1, 2]), "start is 1; a slider takes a list or a range, not both"),
        (lambda: explore(wave, turns=3), "turns is 3; it must be of class Control"),
        (lambda: explore(nothing, n=choice(1, 2)).words(), "nothing returned NoneType; a plotly figure is needed, or"),
        (lambda: explore(pair, n=choice(1, 2)).words(), r"pair has the read-out \('n', 1\); it must be \(name, v"),
        (lambda: explore(wave, turns=toggle()), r"controls are \['turns'\]; wave takes \['turns', 'height'"),
        (lambda: explore(lambda a: 1, a=toggle()), "has no docstring; its first paragraph is the figure's caption"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ---- packed states ----------------------------------------------------------------------------------------------


def unpack(packed):
    """What explore.js does, in Python: [{path: leaf}, ...] of everything that differs."""
    raw = gzip.decompress(packed)
    (length,) = struct.unpack_from("<I", raw)
    head, body = json.loads(raw[4 : 4 + length]), raw[4 + length :]

    def codes(number):
        bits, start, count = head["arrays"][number][:3]
        if bits == 64:
            return np.frombuffer(body, "<f8", count, start)
        low = np.frombuffer(body, "u1", count, start)
        return low if bits == 8 else low + 256 * np.frombuffer(body, "u1", count, start + count).astype("u2")

    def array(number):
        bits, _, _, columns, least, step, log = head["arrays"][number]
        values = least + step * codes(number).astype(float)
        values = 10**values if log else values
        values[codes(number) == 2**bits - 1] = np.nan
        return values.reshape(-1, columns) if columns else values

    columns = [(tuple(path), leaves, codes(column)) for path, leaves, column in head["paths"]]
    count = len(columns[0][2]) if columns else 0
    return [
        {
            path: array(leaves[column[s]]["array"]) if isinstance(leaves[column[s]], dict) else leaves[column[s]]
            for path, leaves, column in columns
        }
        for s in range(count)
    ]


numbers = hnp.arrays(
    st.sampled_from([np.float64, np.float32, np.int64, np.uint8, np.bool_]),
    hnp.array_shapes(min_dims=1, max_dims=2, min_side=3, max_side=6),
)


@given(st.lists(numbers, min_size=2, max_size=5))
def test_arrays_come_back_to_within_a_tenth_of_a_pixel(arrays):
    finite = [np.where(np.abs(a.astype(float)) < 1e150, a.astype(float), np.nan) for a in arrays]
    came = unpack(page.pack([{("data", 0, "z"): a, ("n",): i} for i, a in enumerate(finite)]))
    for sent, back in zip(finite, came, strict=True):
        array = back.get(("data", 0, "z"), finite[0])
        assert array.shape == sent.shape
        assert np.array_equal(np.isnan(array), np.isnan(sent))
        if np.isfinite(sent).any():
            room = (np.nanmax(sent) - np.nanmin(sent)) / 4_092
            assert np.nanmax(np.abs(array - sent)) <= room * 1.001 + 1e-6 * np.nanmax(np.abs(sent))


@given(hnp.arrays(np.int64, 9, elements=st.integers(-30_000, 30_000)))
def test_whole_numbers_come_back_exactly(array):
    _, came = unpack(page.pack([{("a",): np.zeros(8)}, {("a",): array}]))
    assert np.array_equal(came["a",], array)


@given(st.lists(st.floats(1e-9, 1e9), min_size=3, max_size=9))
def test_along_a_logarithmic_axis_the_ratio_counts(values):
    log = {("layout", "yaxis", "type"): "log", ("data", 0, "y"): np.array(values)}
    _, came = unpack(page.pack([{**log, ("data", 0, "y"): np.full(3, 2e9)}, log]))
    decades = np.log10(max(values) / min(values))
    assert np.all(np.abs(np.log10(came["data", 0, "y"] / values)) <= decades / 4_092 + 1e-5)


def test_what_is_not_drawn_along_an_axis_stays_exact():
    array = np.array([[65504, 0.2], [2, 0.2], [3, np.nan]])
    _, came = unpack(page.pack([{("data", 0, "customdata"): np.zeros((3, 2))}, {("data", 0, "customdata"): array}]))
    assert np.array_equal(came["data", 0, "customdata"], array, equal_nan=True)


def test_what_is_not_positive_is_a_gap_on_a_logarithmic_axis():
    log = {("layout", "yaxis", "type"): "log", ("data", 0, "y"): np.array([0.0, 1e-6, 1e-3, 1.0])}
    _, came = unpack(page.pack([{**log, ("data", 0, "y"): np.ones(3)}, log]))
    assert came["data", 0, "y"] == pytest.approx([np.nan, 1e-6, 1e-3, 1.0], rel=1e-2, nan_ok=True)


@given(numbers)
def test_the_first_state_is_as_exact_as_the_others(array):
    array = np.where(np.abs(array.astype(float)) < 1e150, array.astype(float), np.nan)
    short = array.astype(page._smallest_type(array)).astype(float)
    spread = np.nanmax(array) - np.nanmin(array) if np.isfinite(array).any() else 0.0
    assert np.allclose(short, array, rtol=0, atol=spread / 8192, equal_nan=True)
    assert np.array_equal(short == 0, array == 0)


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        ([[1, 2, 3], [3, 4, 5]], [[1, 2, 3], [3, 4, 5]]),
        ([1.5, float("nan")], [1.5, None]),
        ([[1, None, 2], ["a", 4, 5]], [[1, None, 2], ["a", 4, 5]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        (float("inf"), None),
        (np.float32(2), 2),
    ],
)
def test_short_ragged_and_mixed_lists_stay_plain(part, kept):
    assert page._numbers(part) == kept


def test_only_what_differs_is_kept_and_equal_arrays_once():
    same, other = np.arange(1000.0), np.arange(1000.0) ** 0.5
    states = [{("x",): same, ("y",): [same, other][i % 2], ("name",): "n"} for i in range(40)]
    packed = page.pack(states)
    raw = gzip.decompress(packed)
    assert len(raw) < 2 * 1000 * 2 + 500
    assert set(unpack(packed)[3]) == {("y",)}
    leaving = page.pack([{("x",): 1, ("shape",): [{"a": 1}]}, {("x",): 1}])
    assert unpack(leaving) == [{("shape",): [{"a": 1}]}, {("shape",): None}]


def test_a_page_holds_every_state_in_the_order_of_the_controls():
    figure = waves()
    text = figure.page()
    packed = __import__("base64").b64decode(re.search(r'class="lex-states">([^<]*)<', text)[1])
    states = unpack(packed)
    product = list(itertools.product(*(control.values for control in figure.controls.values())))
    assert len(states) == len(product) == 5 * 4 * 2 * 2
    for values, state in zip(product, states, strict=True):
        plotted, readouts = wave(*values)
        assert np.allclose(state["data", 0, "y"], plotted.data[0].y, atol=4 / 4_092)
        assert state["data", 0, "name"] == values[2]
        assert state["readouts", 0] == f"{module.number(readouts[0][1])} m"


def test_a_figure_that_is_too_heavy_says_which_control_to_coarsen(monkeypatch):
    monkeypatch.setattr(module, "BUDGET", 1000)
    with pytest.raises(ValueError, match=r"the states of wave weigh \d+ bytes, more than 1000; coarsen turns"):
        waves().page()


def test_readouts_that_come_and_go_are_refused():
    def fickle(a):
        """Now one, now two."""
        return go.Figure(go.Scatter(y=[1, 2, 3])), [("b", 1, "")] * (1 + a)

    with pytest.raises(ValueError, match=r"read-outs of fickle are .* all states need the same names"):
        explore(fickle, a=toggle()).page()


def test_the_same_figure_twice_on_a_page_is_an_error():
    waves().page()
    with pytest.raises(ValueError, match="wave is explored twice on this page"):
        waves().page()


# ---- words, text and HTML ---------------------------------------------------------------------------------------

HOSTILE = (
    "</script><script>alert('x')</script> <b>&amp;\"quotes\"</b> \u202ertl\u202c <img src=x onerror=alert(1)> "
    "${alert(2)} {{alert(3)}} $\\href{javascript:alert(4)}{x}$ \x1b[31m\u2067\u2069"
)


def test_words_state_controls_first_state_and_readouts():
    assert repr(waves()).split("\n") == [
        "Figure wave: A wave, to be turned.",
        "  turns: 3 (5 values, 1 to 9)",
        "  height: 1 m (4 values, 0.5 m to 2 m)",
        "  kind: sine (2 values, sine to cosine)",
        "  shifted by 1: off (2 values, off to on)",
        "  sine: x 50 numbers from 0 to 1, y 50 numbers from 0 to 1",
        "  zero: x 2 numbers from 0 to 1, y 2 numbers from 0 to 0",
        "  top = 0.9998 m",
        "  turns = 3",
    ]


def hostile(which):
    """A caption with <b> & "quotes"."""
    figure = go.Figure(go.Scatter(x=["a", HOSTILE, "c"], y=[1, 2, 3], name=HOSTILE, text=[HOSTILE] * 3))
    figure.add_annotation(text=HOSTILE, x=1, y=2)
    figure.update_xaxes(title_text=HOSTILE)
    return figure, [(HOSTILE, which, HOSTILE)]


def hostile_figure():
    return explore(hostile, which=choice(HOSTILE, "tame", label=HOSTILE))


def test_hostile_text_stays_text():
    text = hostile_figure().page()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("</script>") == 2
    figure, _ = hostile_figure().state(which="tame")
    assert "<" not in figure.data[0].name + figure.layout.annotations[0].text + figure.layout.xaxis.title.text
    assert "<" not in "".join(figure.data[0].x)


def test_the_environment_decides_between_a_page_and_widgets(monkeypatch):
    monkeypatch.setenv("LEXVIZ_PAGE", "1")
    assert set(waves()._repr_mimebundle_()) == {"text/plain", "text/html"}
    monkeypatch.delenv("LEXVIZ_PAGE")
    bundle = waves()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == repr(waves())


# ---- in a kernel ------------------------------------------------------------------------------------------------


def apart(test):
    """Run a test in a thread of its own, where no event loop is running: playwright keeps one in this one."""

    @functools.wraps(test)
    def run(*arguments, **named):
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(test, *arguments, **named).result()

    return run


def parts(live):
    import ipywidgets as widgets

    controls = {child.description: child for child in live.children if getattr(child, "description", "")}
    plot = next(child for child in live.children if isinstance(child, go.FigureWidget))
    says = next(child for child in live.children if isinstance(child, widgets.HTML))
    return controls, plot, says


@apart
def test_a_moved_control_calls_the_function_at_any_value():
    controls, plot, says = parts(waves().live())
    controls["height (m)"].value = 1.23  # no stored state has this one
    assert np.allclose(plot.data[0].y, 1.23 * np.sin(3 * np.linspace(0, 1, 50)))
    assert "1.23 m" in says.value
    controls["kind"].value = "cosine"
    assert plot.data[0].name == "cosine"
    assert np.allclose(plot.data[0].y, 1.23 * np.cos(3 * np.linspace(0, 1, 50)))
    controls["Reset"].click()
    assert controls["height (m)"].value == 1.0
    assert np.allclose(plot.data[0].y, np.sin(3 * np.linspace(0, 1, 50)))


@apart
def test_a_kernel_forgets_what_a_state_does_not_have():
    def changing(k):
        """Annotations and axes that come and go."""
        figure = go.Figure(go.Scatter(x=[1, 2, 3], y=[1, 2, 3]))
        if k == 2:
            figure.add_annotation(text="here", x=1, y=1)
            figure.update_yaxes(type="log", title_text="t")
        return figure

    controls, plot, _ = parts(explore(changing, k=slider(1, 3, step=1)).live())
    controls["k"].value = 2
    assert (len(plot.layout.annotations), plot.layout.yaxis.type) == (1, "log")
    controls["k"].value = 3
    assert (len(plot.layout.annotations), plot.layout.yaxis.type, plot.layout.yaxis.title.text) == (0, None, None)


@apart
def test_a_kernel_sends_a_map_with_gaps():
    def gaps(shift=0):
        """A map."""
        z = np.array([[1.0, np.nan], [3.0, 4.0]]) + shift
        return go.Figure(go.Heatmap(z=z))

    box = explore(gaps, shift=choice(0, 5)).live()
    plot = next(part for part in box.children if isinstance(part, go.FigureWidget))

    def sent():
        return json.loads(json.dumps(np.asarray(plot.data[0].z).tolist(), allow_nan=False))

    assert sent() == [[1.0, None], [3.0, 4.0]]
    box.children[0].value = 5
    assert sent() == [[6.0, None], [8.0, 9.0]]


@apart
def test_dragging_queues_no_stale_work():
    calls = []

    def counted(a):
        """A count."""
        calls.append(a)
        return go.Figure(go.Scatter(y=[a, a, a]))

    async def drag():
        controls, plot, _ = parts(explore(counted, a=slider(0.0, 10.0, step=1.0)).live())
        for step in range(100):
            controls["a"].value = step / 10
            await asyncio.sleep(0)  # messages arrive one by one
        await asyncio.sleep(0.2)
        return plot

    plot = asyncio.run(drag())
    assert list(plot.data[0].y) == [9.9] * 3
    assert calls[-1] == 9.9
    assert len(calls) < 20


@apart
def test_a_state_that_fails_says_so_and_the_next_one_works():
    def fragile(a):
        """It breaks at 2."""
        return go.Figure(go.Scatter(y=[1 / (a - 2)] * 3))

    controls, plot, says = parts(explore(fragile, a=slider(0, 4, step=1)).live())
    controls["a"].value = 2
    assert "This state could not be drawn: ZeroDivisionError" in says.value
    controls["a"].value = 3
    assert list(plot.data[0].y) == [1.0] * 3


@pytest.mark.parametrize(
    ("control", "values"),
    [
        (slider(0.0, 1.0, step=0.25, value=0.5), [0.5, 0.51]),
        (slider(0.1, 10.0, step=10, log=True, value=1.0), [1.0, 2.0]),
        (slider(1, 9, step=4), [1, 5]),
        (play(0, 3, step=1), [0, 2]),
        (play(0.0, 3.0, step=0.25), [0.1, 0.3]),
        (choice("a", "b"), ["a", "b"]),
        (toggle(), [False, True]),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
@apart
def test_every_kind_of_control_has_a_widget(control, values):
    asked = []

    def echo(a):
        """What was asked for."""
        asked.append(a)
        return go.Figure(go.Scatter(y=[1, 2, 3]))

    box = explore(echo, a=control).live().children[0]
    bar = box.children[-1] if hasattr(box, "children") else box
    assert bar.description == "a"
    for value in reversed(values):
        bar.value = value
        assert asked[-1] == (pytest.approx(value) if isinstance(value, float) else value)
    if control.kind == "play":
        box.children[0].value = 3
        assert asked[-1] == control.values[3]
        assert bar.value == control.values[3]
