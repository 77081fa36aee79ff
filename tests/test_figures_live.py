"""Figures on a page, in a real browser: drawn, moved, addressed, restored, themed; the same numbers as in Python."""

import collections
import itertools
import os

import nbformat
import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

import notebooks
import pictures
from lexviz import explore as module
from lexviz.explore import Figure
from test_explore import HOSTILE, hostile_figure, waves

THEMES = """<style>
html { --pst-color-text-base: rgb(10, 20, 30); --pst-color-background: rgb(250, 250, 250) }
html[data-theme=dark] { --pst-color-text-base: rgb(200, 210, 220); --pst-color-background: rgb(20, 20, 20) }
</style>"""


@pytest.fixture(autouse=True)
def fresh_page(monkeypatch):
    monkeypatch.setattr(Figure, "on_page", set())


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    """A folder with the page's script and plotly; called with figures, it gives the address of a page of theirs."""
    folder = tmp_path_factory.mktemp("stage")
    static = notebooks.ROOT / "book" / "_static"
    for name in ("explore.js", "explore.css"):
        (folder / name).write_text((static / name).read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")

    def page_of(name, *bodies):
        assets = '<link rel="stylesheet" href="explore.css"><script src="explore.js"></script>'
        head = f'<meta charset="utf-8">{THEMES}{assets}'
        html = f'<!doctype html><html data-theme="light"><head>{head}</head><body>{"".join(bodies)}</body></html>'
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
        return (folder / f"{name}.html").as_uri()

    return page_of


@pytest.fixture
def picture(browser, monkeypatch, tmp_path):
    """picture(html) is a figure's HTML with its picture in it, as on the site."""
    monkeypatch.setattr(pictures, "KEPT", tmp_path)
    painter = pictures.Painter()
    painter.tab = browser.new_page()
    painter.tab.add_script_tag(content=get_plotlyjs())
    painter.driver = painter  # the browser of the tests, which no painter starts or stops
    yield lambda html: pictures.insert(html, painter)
    painter.tab.close()


@pytest.fixture
def visit(browser):
    """Open an address; every error on the page fails the test."""
    opened = []

    def open_(address, **context):
        opened.append(browser.new_context(**context))
        tab = opened[-1].new_page()
        tab.errors = []
        tab.on("pageerror", lambda error: tab.errors.append(str(error)))
        tab.on("console", lambda said: tab.errors.append(said.text) if said.type in ("error", "warning") else None)
        tab.goto(address)
        return tab

    yield open_
    errors = [error for context in opened for tab in context.pages for error in tab.errors]
    for context in opened:
        context.close()
    assert errors == []


def wait(tab, figure):
    """Scroll to the figure and wait until all its states are there."""
    root = tab.locator(f"#lex-{figure.id}")
    root.scroll_into_view_if_needed()
    tab.wait_for_function("id => document.getElementById('lex-' + id).dataset.state === 'ready'", arg=figure.id)
    return root


def settle(tab):
    """Two frames: the first draws what was moved, the second is after it."""
    tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def plotted(tab, figure):
    """What plotly shows: [{x, y, z, name}, ...]."""
    return tab.evaluate(
        """id => document.querySelector('#lex-' + id + ' .lex-plot')._fullData.map(trace => {
            const list = (a) => a && Array.from(a, (v) => v && v.length && typeof v !== 'string' ? Array.from(v) : v);
            return { name: trace.name, x: list(trace.x), y: list(trace.y), z: list(trace.z) };
        })""",
        figure.id,
    )


def move(tab, figure, indexes):
    """Move the controls as a reader's mouse or keyboard would: by input events."""
    tab.evaluate(
        """([id, indexes]) => document.querySelectorAll(`#lex-${id} [data-control]`).forEach((input, i) => {
            if (input.type === 'checkbox') input.checked = indexes[i] === 1; else input.value = indexes[i];
            input.dispatchEvent(new Event('input', { bubbles: true }));
        })""",
        [figure.id, indexes],
    )
    settle(tab)


def check_state(tab, figure, indexes):
    """The page shows what Python computes at the same state: numbers, names and read-outs."""
    values = {name: control.values[i] for (name, control), i in zip(figure.controls.items(), indexes, strict=True)}
    wanted, readouts = figure.state(**values)
    shown = plotted(tab, figure)
    assert len(shown) == len(wanted.data)
    for trace, drawn in zip(wanted.data, shown, strict=True):
        for name in ("x", "y", "z"):
            numbers = np.asarray(trace.to_plotly_json().get(name, ""))
            if numbers.dtype.kind not in "biuf":
                continue
            found = np.array(drawn[name], dtype=float)
            if np.isnan(numbers.astype(float)).all():  # a map of which nothing is seen
                assert np.isnan(found).all()
                continue
            axis = f"{name}axis{(trace[f'{name}axis'] or name)[1:]}" if name != "z" else ""  # "yaxis2" of a trace on y2
            if axis and wanted.layout[axis].type == "log":  # only what is positive has a place there
                seen = numbers > 0
                numbers, found = np.log10(numbers[seen]), np.log10(found[seen])
            room = (np.nanmax(numbers) - np.nanmin(numbers)) / 4_000 + 1e-6 * max(1, np.nanmax(abs(numbers)))
            assert np.allclose(found, numbers, rtol=0, atol=room, equal_nan=True), (values, name)
    root = tab.locator(f"#lex-{figure.id}")
    assert root.locator(".lex-readouts dt").all_text_contents() == [name for name, _ in readouts]
    assert root.locator(".lex-readouts dd").all_text_contents() == [text for _, text in readouts]


def starts(figure):
    return [control.values.index(control.value) for control in figure.controls.values()]


def some_states(figure):
    """The first state, each control at both its ends, and all controls at their last value."""
    first = starts(figure)
    found = [first]
    for i, control in enumerate(figure.controls.values()):
        for end in (0, len(control.values) - 1):
            found.append([*first[:i], end, *first[i + 1 :]])
    return [*found, [len(control.values) - 1 for control in figure.controls.values()]]


# ---- on a page of our own ---------------------------------------------------------------------------------------


def test_every_state_shows_what_python_computes(stage, visit):
    figure = waves()
    tab = visit(stage("waves", figure.page()))
    wait(tab, figure)
    check_state(tab, figure, starts(figure))
    for indexes in itertools.product(*(range(len(control.values)) for control in figure.controls.values())):
        move(tab, figure, indexes)
        check_state(tab, figure, indexes)


def test_the_keyboard_reaches_every_state_and_the_rest_follows(stage, visit):
    figure = waves()
    tab = visit(stage("keyboard", figure.page()))
    root = wait(tab, figure)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.dataset.control") == "turns"
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Tab")
    tab.keyboard.press("End")
    tab.keyboard.press("Tab")
    tab.keyboard.press("c")  # cosine
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")
    settle(tab)
    check_state(tab, figure, [2, 3, 1, 1])
    tab.wait_for_function("location.hash === '#wave:turns=5;height=2.0;kind=cosine;shifted=True'")
    assert root.locator("#lex-wave-height").get_attribute("aria-valuetext") == "2 m"
    assert root.locator("output").all_text_contents() == ["5", "2 m"]
    now = "Plot: turns 5; height 2 m; kind cosine; shifted by 1 on; top "
    tab.wait_for_function(f"document.querySelector('.main-svg').ariaLabel.startsWith('{now}')")
    assert "shifted by 1 on" in root.locator(".lex-status").text_content()
    root.locator(".lex-reset").focus()
    tab.keyboard.press("Enter")
    settle(tab)
    check_state(tab, figure, starts(figure))


def test_an_address_restores_its_state_in_a_fresh_tab_and_a_value_that_is_gone_falls_to_the_nearest(stage, visit):
    figure = waves()
    address = stage("address", '<p style="height: 3000px"></p>', figure.page())
    for fragment, indexes in (
        ("wave:turns=9;height=0.5;kind=cosine;shifted=True", [4, 0, 1, 1]),
        ("wave:turns=6.8;kind=square", [3, 1, 0, 0]),
        ("another:turns=9", starts(figure)),
    ):
        tab = visit(f"{address}#{fragment}")
        wait(tab, figure)
        settle(tab)
        check_state(tab, figure, indexes)
    tab.evaluate("location.hash = '#wave:turns=1'")
    tab.wait_for_function("document.querySelector('.lex-plot').getBoundingClientRect().top < innerHeight")
    settle(tab)
    check_state(tab, figure, [0, 1, 0, 0])
    tab.locator(".lex-link").click()
    assert tab.url.endswith("#wave:turns=1;height=1.0;kind=sine;shifted=False")


def test_the_plot_follows_the_theme_at_once(stage, visit):
    figure = waves()
    tab = visit(stage("theme", figure.page()))
    wait(tab, figure)
    colour = "getComputedStyle(document.querySelector('.lex-plot .xtick text')).fill"
    assert tab.evaluate(colour) == "rgb(10, 20, 30)"
    tab.evaluate("document.documentElement.dataset.theme = 'dark'")
    tab.wait_for_function(f"{colour} === 'rgb(200, 210, 220)'")
    move(tab, figure, [4, 2, 1, 0])
    check_state(tab, figure, [4, 2, 1, 0])
    assert tab.evaluate(colour) == "rgb(200, 210, 220)"


def running(step):
    """A point that runs."""
    return go.Figure(go.Scatter(x=[0, 1, 2], y=[step, step, step]))


def test_play_runs_pauses_and_respects_reduced_motion(stage, visit):
    figure = module.explore(running, step=module.play(0, 5, step=1))
    address = stage("play", figure.page())
    tab = visit(address)
    root = wait(tab, figure)
    button = root.get_by_role("button", name="Play")
    button.click()
    tab.wait_for_function("document.querySelector('.lex-plot')._fullData[0].y[0] >= 2")
    root.get_by_role("button", name="Pause").click()
    stopped = root.locator("input").input_value()
    tab.wait_for_timeout(900)
    assert root.locator("input").input_value() == stopped
    calm = visit(address, reduced_motion="reduce")
    root = wait(calm, figure)
    root.get_by_role("button", name="Step").click()
    calm.wait_for_timeout(900)
    assert root.locator("input").input_value() == "1"


def test_two_sliders_run_apart_and_reset_stops_both(stage, visit):
    def pair(a, b):
        """Two points that run."""
        return go.Figure(go.Scatter(x=[0, 1, 2], y=[a, b, a]))

    figure = module.explore(pair, a=module.play(0, 9, step=1), b=module.play(0, 9, step=1))
    tab = visit(stage("plays", figure.page()))
    root = wait(tab, figure)
    for button in root.locator(".lex-play").all():
        button.click()
    for i in (0, 1):
        tab.wait_for_function(f"document.querySelectorAll('#lex-pair input')[{i}].value >= 2")
    root.locator(".lex-reset").click()
    tab.wait_for_timeout(900)
    check_state(tab, figure, [0, 0])
    assert root.locator(".lex-play").all_text_contents() == ["Play", "Play"]


def zoo(kind):
    """What figures may hold."""
    z = np.array([[1.0, np.nan, 2.0], [3.0, 4.0, 5.0]]) * {"map": 1, "log": 2, "marked": 3}[kind]
    rows = [[65504, 0.25], [2, 0.5], [3, 0.75 if kind == "map" else 0.8]]
    traces = [go.Heatmap(z=z), go.Scatter(x=[1, 10, 100], y=[1, 2, len(kind)], customdata=rows), go.Bar(x=[7], y=[2.5])]
    figure = go.Figure(traces)
    if kind == "log":
        figure.update_xaxes(type="log", title_text="x")
    if kind == "marked":
        figure.add_annotation(text="here", x=1, y=1)
        figure.add_hline(y=1)
    return figure


def test_maps_gaps_marks_and_axes_come_and_go(stage, visit):
    figure = module.explore(zoo, kind=module.choice("map", "log", "marked"))
    tab = visit(stage("zoo", figure.page()))
    wait(tab, figure)
    layout = "document.querySelector('.lex-plot')._fullLayout"
    for index in (0, 2, 1, 0, 1, 2, 0):
        move(tab, figure, [index])
        check_state(tab, figure, [index])
        marks = tab.evaluate(f"[{layout}.annotations.length, {layout}.shapes.length, {layout}.xaxis.type]")
        assert marks == [int(index == 2), int(index == 2), "log" if index == 1 else "linear"]
        rows = tab.evaluate(
            "Array.from(document.querySelector('.lex-plot')._fullData[1].customdata, r => Array.from(r))"
        )
        assert rows == [[65504, 0.25], [2, 0.5], [3, 0.75 if index == 0 else 0.8]]


def several(lines):
    """Lines that come and go."""
    return go.Figure([go.Scatter(x=[0, 1, 2], y=[i, lines, i], mode="lines") for i in range(lines)])


def test_lines_come_and_go(stage, visit):
    figure = module.explore(several, lines=module.choice(2, 4, 1))
    tab = visit(stage("several", figure.page()))
    wait(tab, figure)
    for index in (1, 2, 1, 0, 2, 0):
        move(tab, figure, [index])
        check_state(tab, figure, [index])


def test_a_zoom_outlives_a_moved_slider_but_not_another_axis_or_a_reset(stage, visit):
    figure = module.explore(zoo, kind=module.choice("map", "log", "marked"))
    tab = visit(stage("zoom", figure.page()))
    root = wait(tab, figure)
    ends = "document.querySelector('.lex-plot')._fullLayout.xaxis.range"
    whole = tab.evaluate(ends)
    zoom = "Plotly.relayout(document.querySelector('.lex-plot'), {'xaxis.range': [20, 40]}).then(() => 0)"
    tab.evaluate(zoom)
    move(tab, figure, [2])
    assert tab.evaluate(ends) == [20, 40]
    move(tab, figure, [1])
    assert max(tab.evaluate(ends)) < 5  # powers of ten now
    move(tab, figure, [0])
    tab.evaluate(zoom)
    root.locator(".lex-reset").click()
    settle(tab)
    assert tab.evaluate(ends) == whole


def test_an_address_that_nobody_wrote_breaks_nothing(stage, visit):
    figure = waves()
    tab = visit(stage("broken-address", figure.page()) + "#wave:turns=%E0%A4%A;height=;=;kind")
    wait(tab, figure)
    tab.evaluate("document.documentElement.dataset.theme = 'dark'")
    fill = "getComputedStyle(document.querySelector('.lex-plot .xtick text')).fill"
    tab.wait_for_function(f"{fill} === 'rgb(200, 210, 220)'")
    check_state(tab, figure, starts(figure))


def test_hostile_text_appears_as_text(stage, visit):
    figure = hostile_figure()
    asked = "{get(it, name) { window.asked = 1; return it[name]; }}"
    maths = f"<script>window.MathJax = new Proxy({{version: '3.2.2'}}, {asked})</script>"
    tab = visit(stage("hostile", maths + figure.page()))
    tab.on("dialog", lambda dialog: tab.errors.append("a dialog: " + dialog.message))
    root = wait(tab, figure)
    move(tab, figure, [1])
    move(tab, figure, [0])
    assert (
        tab.evaluate("document.images.length + document.querySelectorAll('.lex-plot b, .lex-plot script').length") == 0
    )
    assert root.locator("label").text_content() == HOSTILE
    assert root.locator("dt").text_content() == HOSTILE
    assert root.locator("option").first.text_content() == HOSTILE
    assert root.locator(".legendtext, .annotation-text, .xtitle").count() >= 1
    drawn = root.locator(".xtitle").text_content()
    assert "<script>alert('x')</script>" in drawn
    assert "<img src=x onerror=alert(1)>" in drawn
    assert tab.evaluate("window.asked") is None  # or a text between dollars would be typeset, its links too


# The lines, bars, maps and titles of a plot as they are painted, and which lies above which; and the same after plotly
# has drawn all of it anew.
PAINTED = """([id, anew]) => {
  const plot = document.querySelector(`#lex-${id} .lex-plot`);
  const all = selector => [...plot.querySelectorAll(selector)];
  const painted = () => [all(".cartesianlayer :is(path, image, text), .xtitle").map(
    part => [part.getAttribute("d"), part.getAttribute("transform"), part.href?.baseVal, part.textContent].join()),
    all(".trace").map(trace => trace.__data__[0].trace.index)];
  const react = () => Plotly.newPlot(plot, plot.data.map(trace => ({ ...trace })), structuredClone(plot.layout));
  return anew ? react().then(painted) : painted();
}"""


@pytest.mark.parametrize("fits", [True, False])
def test_the_short_way_paints_what_plotly_paints_anew(stage, visit, fits):
    def lines(a, zoomed=False):
        """Lines, on an axis that fits itself or not, some of which fill the space between; letters, maps and bars."""
        x = np.linspace(0, 1, 40)
        figure = go.Figure([go.Scatter(x=x, y=a * x**2, mode="lines"), go.Scatter(x=x, y=a + x, mode="markers")])
        figure.add_scatter(x=x, y=x, mode="lines").add_scatter(x=x[::9], y=x[::9] / a, text=[*"abcde"], mode="text")
        figure.add_heatmap(x=[0, 1], y=[0, 1], z=[[a, 2], [np.nan, 1]], zmin=0, zmax=9, xaxis="x2", yaxis="y2")
        figure.add_heatmap(x=[3, 4], y=[0, 1], z=[[1, 2], [3, 4]], zmin=0, zmax=9, xaxis="x2", yaxis="y2")
        bars = np.where(np.arange(5) < a, 0.1 * a * np.arange(5), np.nan)
        figure.add_bar(x=np.arange(5), y=bars, xaxis="x3", yaxis="y3").add_bar(
            x=[0, 1], y=[0.2, 0.4], xaxis="x3", yaxis="y3"
        )
        on = {"mode": "lines", "xaxis": "x4", "yaxis": "y4"}
        figure.add_scatter(x=x, y=0 * x, **on).add_scatter(x=x, y=x / a, fill="tonexty", **on)
        axis = {"domain": [0, 0.2], "range": [0, 1 / a if zoomed else 1], "title": f"to {a if zoomed else 1}"}
        figure.update_layout(xaxis=axis, showlegend=False)
        for i, (left, right) in {2: (0.3, 0.45), 3: (0.55, 0.7), 4: (0.8, 1)}.items():
            axes = {f"xaxis{i}": {"domain": [left, right], "anchor": f"y{i}"}, f"yaxis{i}": {"anchor": f"x{i}"}}
            figure.update_layout(axes | {f"yaxis{i}_range": [-0.5, 3], f"xaxis{i}_range": [-1, 5]})
        return figure if fits else figure.update_yaxes(range=[-0.5, 9])

    figure = module.explore(lines, a=module.slider(1, 9, step=1), zoomed=module.toggle())
    tab = visit(stage(f"short-{fits}", figure.page()))
    wait(tab, figure)
    tab.evaluate("void (Plotly.react = () => { throw new Error('the long way') })")
    for indexes in ([5, 0], [1, 0], [1, 1], [8, 1], [3, 0]):
        move(tab, figure, indexes)
        check_state(tab, figure, indexes)
        (short, above), (long, order) = (tab.evaluate(PAINTED, ["lines", anew]) for anew in (False, True))
        assert len(short) > 20
        assert collections.Counter(short) == collections.Counter(long), indexes
        assert above == order


BROKEN = [("lex-states", "AAAA"), ("lex-first", "oops")]


@pytest.mark.parametrize(("part", "text"), BROKEN)
@pytest.mark.parametrize("pictured", [False, True])
def test_a_figure_that_fails_says_so_and_takes_no_other_along(stage, visit, picture, part, text, pictured):
    whole = picture(waves().page()) if pictured else waves().page()
    broken = whole.replace(f'class="{part}">', f'class="{part}">{text}')
    figure = module.explore(running, step=module.play(0, 5, step=1))
    tab = visit(stage("broken", broken, figure.page()))
    wait(tab, figure)
    tab.wait_for_function("document.getElementById('lex-wave').dataset.state === 'failed'")
    check_failed(tab, pictured)
    move(tab, figure, [3])
    check_state(tab, figure, [3])


def check_failed(tab, pictured):
    """The wave's place says that it failed, shows its picture if it has one, and its controls are what it shows."""
    root = tab.locator("#lex-wave")
    assert "This figure could not be drawn" in root.get_by_role("alert").inner_text()
    assert root.locator(".lex-picture").count() == root.locator(".lex-picture svg:visible").count() == pictured
    assert (root.locator(".lex-plot").get_attribute("aria-label") is not None) == pictured
    assert root.locator(".lex-controls :is(input, select, button):enabled").count() == 0


def test_without_plotly_the_picture_stays(browser, stage, picture):
    figure = waves()
    context = browser.new_context()
    context.route("**/plotly.min.js", lambda route: route.abort())
    tab = context.new_page()
    tab.goto(stage("without-plotly", picture(figure.page())) + "#wave:turns=9")
    tab.wait_for_function("document.getElementById('lex-wave').dataset.state === 'failed'")
    check_failed(tab, 1)
    assert tab.locator("#lex-wave-turns").input_value() == str(starts(figure)[0])
    _, readouts = figure.state(**figure.first)
    assert tab.locator(".lex-readouts dd").all_text_contents() == [text for _, text in readouts]
    context.close()


def test_what_an_address_asks_for_in_vain_is_said_until_a_control_moves(stage, visit):
    figure = waves()
    address = stage("gone", figure.page())
    tab = visit(f"{address}#wave:turns=6.8;colour=red;kind=square")
    root = wait(tab, figure)
    note = root.locator(".lex-note").text_content()
    for part in ("turns 6.8 (here 7)", "kind square (here sine)", "“colour”"):
        assert part in note
    assert root.locator(".lex-status").text_content() == note
    move(tab, figure, [1, 1, 0, 0])
    assert root.locator(".lex-note").text_content() == ""
    tab = visit(f"{address}#wave:turns=7;height=1.00")
    assert wait(tab, figure).locator(".lex-note").text_content() == ""


def test_theme_size_paper_and_absence_leave_the_state(stage, visit, picture):
    figure = waves()
    tab = visit(stage("state", picture(figure.page())))
    root = wait(tab, figure)
    move(tab, figure, [3, 2, 1, 1])
    for change in (
        lambda: tab.evaluate("document.documentElement.dataset.theme = 'dark'"),
        lambda: tab.set_viewport_size({"width": 360, "height": 700}),
        lambda: tab.set_viewport_size({"width": 1200, "height": 800}),
        lambda: tab.emulate_media(media="print"),
        lambda: tab.pdf(),
        lambda: tab.emulate_media(media="screen"),
        lambda: tab.context.new_page().close(),
    ):
        change()
        tab.wait_for_timeout(150)
        check_state(tab, figure, [3, 2, 1, 1])
        assert root.locator(".main-svg").first.is_visible()
        assert not root.locator(".lex-picture").is_visible()


@pytest.mark.parametrize("width", [360, 700, 1100])
def test_a_moved_figure_is_printed_as_it_stands_between_its_controls_and_its_read_outs(stage, visit, picture, width):
    figure = waves()
    tab = visit(stage("paper", picture(figure.page())), viewport={"width": 900, "height": 700})
    root = wait(tab, figure)
    move(tab, figure, [3, 2, 1, 1])
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    tab.evaluate(f"document.body.style.width = '{width - 16}px'")
    boxes = [svg.bounding_box() for svg in root.locator(".main-svg").all()]
    controls, readouts = (root.locator(part).bounding_box() for part in (".lex-controls", ".lex-readouts"))
    for box in boxes:
        assert box == boxes[0]
        assert box["width"] > 200
        assert box["y"] >= controls["y"] + controls["height"] - 1
        assert box["y"] + box["height"] <= readouts["y"] + 1
    tab.emulate_media(media="screen")
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    check_state(tab, figure, [3, 2, 1, 1])


def test_no_figure_comes_to_life_while_the_page_scrolls_unless_it_is_touched(stage, visit):
    def wheel(turn):
        """Points."""
        return go.Figure(go.Scatter(x=[0, 1], y=[turn, 1]))

    upper, lower = (
        module.explore(running, step=module.slider(0, 5, step=1)),
        module.explore(wheel, turn=module.toggle()),
    )
    tab = visit(stage("scrolling", '<p style="height: 3000px">Text</p>', upper.page(), lower.page()))
    # However late a timer is on a busy machine, there was a scroll just before.
    tab.evaluate("""() => {
        const later = window.setTimeout, scroll = () => window.scrolling && dispatchEvent(new Event('scroll'));
        window.scrolling = true;
        window.setTimeout = (work, wait) => later(() => { scroll(); work(); }, wait);
        scroll();
        document.querySelector('figure.lex').scrollIntoView();
    }""")
    states = "Array.from(document.querySelectorAll('figure.lex'), root => root.dataset.state)"
    for _ in range(15):
        tab.wait_for_timeout(100)
        assert tab.evaluate(states) == [None, None]
    tab.locator("#lex-wheel input").focus()
    tab.wait_for_function("document.getElementById('lex-wheel').dataset.state === 'ready'")
    assert tab.evaluate(states) == [None, "ready"]
    tab.evaluate("window.scrolling = false")
    tab.wait_for_function("document.getElementById('lex-running').dataset.state === 'ready'")


def test_a_slider_that_runs_waits_while_the_tab_is_hidden(stage, visit):
    figure = module.explore(running, step=module.play(0, 5, step=1))
    tab = visit(stage("hidden", figure.page()))
    root = wait(tab, figure)
    tab.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    root.get_by_role("button", name="Play").click()
    tab.wait_for_timeout(900)
    assert root.locator("input").input_value() == "0"
    tab.evaluate("delete document.hidden")
    tab.wait_for_function("document.querySelector('input').value > 0")


@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("width", [360, 1200])
def test_without_a_script_the_picture_stands_and_takes_the_plots_place(stage, visit, picture, media, width):
    figure = waves()
    size = {"width": width, "height": 700}
    tab = visit(stage("picture", picture(figure.page())), java_script_enabled=False, viewport=size)
    tab.emulate_media(media=media)
    (drawn,) = [svg for svg in tab.locator(".lex-picture svg").all() if svg.is_visible()]
    box, place = drawn.bounding_box(), tab.locator(".lex-plot").bounding_box()
    assert box["width"] > 200
    assert box["height"] > 100
    assert place["y"] <= box["y"] + 1
    assert box["y"] + box["height"] <= place["y"] + place["height"] + 1


def test_a_picture_shows_the_first_state_in_the_themes_colours_and_ids_are_its_own(stage, visit, picture):
    figures = [waves(), module.explore(zoo, kind=module.choice("map", "log", "marked"))]
    html = [picture(figure.page()) for figure in figures]
    tab = visit(stage("pictures", '<p style="height: 3000px"></p>', *html))
    ids = tab.locator("[id]").evaluate_all("all => all.map(part => part.id)")
    assert len(ids) == len(set(ids)) > 10
    used = "all => all.map(part => part.outerHTML.match(/url\\(#[^)]+\\)|href=.#[^'\"]+/g)).flat()"
    used = tab.locator(".lex-picture [clip-path], .lex-picture [href^='#']").evaluate_all(used)
    assert {name.split("#")[1].rstrip(")") for name in used if name} <= set(ids)
    text = "all => all.map(text => getComputedStyle(text).fill)"
    for theme, colour in (("light", "rgb(10, 20, 30)"), ("dark", "rgb(200, 210, 220)")):
        tab.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        assert set(tab.locator("#lex-wave .lex-wide text").evaluate_all(text)) == {colour}
    for figure in figures:
        lines = tab.locator(f"#lex-{figure.id} .lex-wide path").evaluate_all("all => all.map(p => p.getAttribute('d'))")
        root = wait(tab, figure)
        shown = root.locator(".js-line").evaluate_all("all => all.map(line => line.getAttribute('d').length)")
        assert shown
        assert len(lines) >= len(shown)
        assert not root.locator(".lex-picture").is_visible()


# ---- on every page of the book ----------------------------------------------------------------------------------


def explored(path):
    """The figures of a chapter, found by running its cells here."""
    found, made = [], Figure.__init__

    def remember(self, *arguments):
        made(self, *arguments)
        found.append(self)

    Figure.__init__ = remember
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        names = {}
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                exec(cell.source, names)
    finally:
        Figure.__init__ = made
        os.chdir(before)
    return found


CHAPTERS = [path for path in notebooks.pages() if "lexviz.explore" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_of_a_chapter_lives(site, visit, path):
    figures = explored(path)
    tab = visit((site / path.relative_to(notebooks.ROOT).with_suffix(".html")).as_uri())
    on_page = tab.locator("figure.lex").evaluate_all("roots => roots.map(root => root.dataset.figure)")
    assert on_page == [figure.id for figure in figures]
    for figure in figures:
        root = wait(tab, figure)
        for indexes in some_states(figure):
            move(tab, figure, indexes)
            check_state(tab, figure, indexes)
        last = some_states(figure)[-1]
        tab.wait_for_timeout(500)  # the address follows when the controls rest
        fresh = visit(tab.url)
        wait(fresh, figure)
        settle(fresh)
        check_state(fresh, figure, last)
        root.locator(".lex-reset").click()
        settle(tab)
        check_state(tab, figure, starts(figure))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_figure_is_wider_than_a_phone(site, visit, path):
    tab = visit(
        (site / path.relative_to(notebooks.ROOT).with_suffix(".html")).as_uri(), viewport={"width": 360, "height": 740}
    )
    for name in tab.locator("figure.lex").evaluate_all("roots => roots.map(root => root.id)"):
        tab.locator(f"#{name}").scroll_into_view_if_needed()
        tab.wait_for_function("id => document.getElementById(id).dataset.state === 'ready'", arg=name)
        sizes = tab.evaluate(
            "id => [document.getElementById(id).scrollWidth, document.documentElement.scrollWidth]", name
        )
        assert max(sizes) <= 360
