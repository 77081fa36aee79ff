"""Controls and a function make a figure that lives in a kernel and on a static page alike.

    explore(decay, gamma=slider(0.1, 2.0, step=0.1, value=0.4), head_dim=choice(32, 64, 128, value=64))

The function gets the controls' values and gives a plotly figure, or a figure and read-outs, [(name, value, unit), ...].
Its name is the figure's id, the first paragraph of its docstring the caption, the others the text for those who do not
see the figure. With a kernel every move of a control calls the function. When the website is built (tools/website.py
sets LEXVIZ_PAGE) the same object computes all its states, `lexviz.page` packs them, and explore.js looks them up.
"""

import asyncio
import html
import inspect
import itertools
import math
import numbers
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import plotly.graph_objects as go

from lexviz import checks, page
from lexviz.palette import CLEAR, FAINT, FRAME

BUDGET = 300_000  # bytes that the states of one figure may weigh on a page, compressed

# One look for every figure.
AXIS = {"gridcolor": FAINT, "zerolinecolor": FAINT, "linecolor": FRAME, "ticks": "outside", "tickcolor": FAINT}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": FRAME},
        "margin": {"l": 56, "r": 14, "t": 36, "b": 46},
        "height": 400,
        "xaxis": {**AXIS, "automargin": True, "autotickangles": [0, 30, 45]},  # upright on end nobody reads them
        "yaxis": {**AXIS, "automargin": True},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
    }
)


@dataclass(frozen=True)
class Control:
    """One thing that a reader can change: its kind, its values on a page and the one it starts with.

    >>> control = slider(64, 256, step=64, unit="bytes")
    >>> control.kind, control.values, control.text(control.value)
    ('slider', (64, 128, 192, 256), '64 bytes')
    """

    kind: str  # slider, play, choice or toggle
    values: tuple
    value: object
    label: str | None = None
    unit: str = ""
    log: bool = False
    fine: bool = False  # a kernel may offer values between these

    def text(self, value) -> str:
        """A value as the reader sees it."""
        return f"{number(value)} {self.unit}".strip()


def number(value) -> str:
    """Four significant digits, and no exponent where one can do without.

    >>> number(0.4), number(65504), number(12345.678), number(1.0e-7), number("log"), number(True)
    ('0.4', '65504', '12350', '1e-07', 'log', 'on')
    """
    if isinstance(value, str | bool):
        return {True: "on", False: "off"}.get(value, value)
    rounded = value if float(value).is_integer() else float(f"{value:.4g}")
    return str(int(rounded)) if float(rounded).is_integer() and abs(rounded) < 1e7 else f"{rounded:.4g}"


def slider(start=None, stop=None, step=None, values=None, log=False, value=None, label=None, unit="") -> Control:
    """Numbers from start to stop, both included; with log=True each is `step` times the one before.

    Whole numbers keep their step in a kernel; others are offered ten times as finely there. `values` lists the numbers
    instead, on the page and in a kernel alike. `value` is the one to start with, `label` stands in for the argument's
    name, `unit` follows the number.

    >>> slider(1, 8, step=2, log=True).values, slider(0.0, 1.0, step=0.25).values
    ((1, 2, 4, 8), (0.0, 0.25, 0.5, 0.75, 1.0))
    """
    return _range("slider", start, stop, step, values, log, value, label, unit)


def play(start=None, stop=None, step=None, values=None, log=False, value=None, label=None, unit="") -> Control:
    """A slider that can also run by itself, with a button to start and to pause it.

    >>> play(256, 1024, step=256, unit="bytes").kind
    'play'
    """
    return _range("play", start, stop, step, values, log, value, label, unit)


def choice(*options, value=None, label=None) -> Control:
    """One of several texts or numbers.

    >>> choice("RoPE", "XPos", value="XPos").value
    'XPos'
    >>> choice("RoPE")
    Traceback (most recent call last):
    ValueError: values are ('RoPE',); at least two are needed, and no two that are equal or read alike
    """
    return _checked("choice", options, value, label)


def toggle(value=False, label=None) -> Control:
    """On or off.

    >>> toggle(label="logarithmic").values
    (False, True)
    """
    return _checked("toggle", (False, True), value, label)


def _range(kind, start, stop, step, values, log, value, label, unit) -> Control:
    if values is not None:
        if (start, stop, step, log) != (None, None, None, False):
            raise ValueError(f"values are {values} and start is {start}; a {kind} takes a list or a range, not both")
        checks.a(Iterable, values=values)
        return _checked(kind, tuple(values), value, label, unit)
    least = 1 if log else 0  # what a step multiplies by, or adds
    real = all(isinstance(each, numbers.Real) and math.isfinite(each) for each in (start, stop, step))
    if not real or not stop > start or step <= least or (log and start <= 0):
        raise ValueError(
            f"start is {start}, stop is {stop} and step is {step}; a {kind} needs start < stop"
            f"{' from above 0' * log} and a step greater than {least}, or a list of values"
        )
    count = round(math.log(stop / start, step) if log else (stop - start) / step)
    values = [start * step**p if log else start + step * p for p in range(count + 1)]
    if abs(values[-1] - stop) > 1e-6 * abs(stop - start):
        raise ValueError(f"step is {step}; from {start} it does not lead to stop, {stop}")
    values = [v if isinstance(v, int) else float(f"{v:.12g}") for v in values]  # 0.3, not 0.30000000000000004
    fine = not all(isinstance(v, int) for v in values)
    return _checked(kind, tuple(values), value, label, unit, log, fine)


def _checked(kind: str, values: tuple, value, label, unit="", log=False, fine=False) -> Control:
    """The control, starting with the first of its values if none is given."""
    if wrong := [each for each in values if not isinstance(each, str | numbers.Real)]:
        raise ValueError(f"values have {wrong[0]!r}; they must be texts or numbers, one by one")
    first = values[0] if value is None and values else value
    control = Control(kind, values, first, label, unit, log, fine)
    if min(len({control.text(each) for each in values}), len(set(values))) < max(2, len(values)):
        raise ValueError(f"values are {values}; at least two are needed, and no two that are equal or read alike")
    if control.value not in values:
        raise ValueError(f"value is {value!r}; it must be one of {', '.join(map(str, values))}")
    return control


def explore(function: Callable, **controls: Control) -> "Figure":
    """The figure of `function` with these controls; put it last in a cell. See the module's first lines.

    >>> def square(n):
    ...     'The squares of the first whole numbers.'
    ...     return go.Figure(go.Scatter(y=[i * i for i in range(n)])), [("largest", (n - 1) ** 2, "")]
    >>> explore(square, n=slider(3, 9, step=3))
    Figure square: The squares of the first whole numbers.
      n: 3 (3 values, 3 to 9)
      scatter: y 3 numbers from 0 to 4
      largest = 4
    """
    return Figure(function, controls)


class Figure:
    """What `explore` gives: knows its states, shows itself in a kernel, on a page and in words.

    >>> def line(slope):
    ...     'A line through the origin.'
    ...     return go.Figure(go.Scatter(x=[0, 1], y=[0, slope])), [("end", slope, "")]
    >>> figure = explore(line, slope=choice(1, 2))
    >>> figure.id, figure.caption, figure.first, len(figure.all_states())
    ('line', 'A line through the origin.', {'slope': 1}, 2)
    >>> figure.state(slope=2)[1], figure.words().startswith("Figure line")
    ([('end', '2')], True)
    >>> "lex-first" in figure.page()
    True
    """

    on_page: ClassVar[set] = set()  # ids that this process has put on a page; a chapter is one process

    def __init__(self, function: Callable, controls: dict[str, Control]):
        checks.a(Control, **controls)
        asked = list(inspect.signature(function).parameters)
        if asked != list(controls):
            raise ValueError(f"controls are {list(controls)}; {function.__name__} takes {asked}, in this order")
        self.function, self.controls = function, controls
        self.id = function.__name__.replace("_", "-")
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        if not paragraphs[0]:
            raise ValueError(f"{function.__name__} has no docstring; its first paragraph is the figure's caption")
        self.caption, *more = (" ".join(paragraph.split()) for paragraph in paragraphs)
        self.description = " ".join(more)

    def state(self, **values) -> tuple[go.Figure, list[tuple[str, str]]]:
        """The figure at these values, in the house's look, and its read-outs as (name, text)."""
        result = self.function(**values)
        figure, readouts = result if isinstance(result, tuple) else (result, [])
        if not isinstance(figure, go.Figure):
            raise ValueError(
                f"{self.function.__name__} returned {type(figure).__name__}; a plotly figure is needed, or a figure "
                "and read-outs"
            )
        if wrong := [each for each in readouts if len(each) != 3]:
            raise ValueError(f"{self.function.__name__} has the read-out {wrong[0]}; it must be (name, value, unit)")
        figure = go.Figure(
            data=[page.as_text(trace.to_plotly_json()) for trace in figure.data],
            layout={**page.as_text(figure.layout.to_plotly_json()), "template": TEMPLATE},
        )
        return figure, [(name, f"{number(value)} {unit}".strip()) for name, value, unit in readouts]

    @property
    def first(self) -> dict:
        """The values that the controls start with."""
        return {name: control.value for name, control in self.controls.items()}

    # ---- in words ----

    def words(self) -> str:
        """The figure in words and numbers: what git keeps and nbval compares."""
        figure, readouts = self.state(**self.first)
        lines = [f"Figure {self.id}: {self.caption}"]
        for name, control in self.controls.items():
            ends = f"{control.text(control.values[0])} to {control.text(control.values[-1])}"
            lines.append(
                f"  {control.label or name}: {control.text(control.value)} ({len(control.values)} values, {ends})"
            )
        for trace in figure.data:
            lines.append(f"  {html.unescape(trace.name or trace.type)}: {page.summary(trace)}")
        return "\n".join([*lines, *(f"  {name} = {text}" for name, text in readouts)])

    def __repr__(self) -> str:
        return self.words()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        if os.environ.get("LEXVIZ_PAGE"):  # no widget at all: it would bring scripts from other hosts
            return {"text/plain": self.words(), "text/html": self.page()}
        return {**self.live()._repr_mimebundle_(), "text/plain": self.words()}

    # ---- on a page ----

    def all_states(self) -> list:
        """[(figure, read-outs), ...], the last control changing fastest."""
        product = itertools.product(*(control.values for control in self.controls.values()))
        found = [self.state(**dict(zip(self.controls, values, strict=True))) for values in product]
        names = {tuple(name for name, _ in readouts) for _, readouts in found}
        if len(names) > 1:
            raise ValueError(
                f"read-outs of {self.function.__name__} are {sorted(names)}; all states need the same names"
            )
        return found

    def page(self) -> str:
        """Plain HTML that works with book/_static/explore.js, and says what it can without it."""
        if self.id in Figure.on_page:
            raise ValueError(f"{self.function.__name__} is explored twice on this page; a figure's id must be its own")
        packed = page.pack([page.leaves(figure, readouts) for figure, readouts in self.all_states()])
        if len(packed) > BUDGET:
            name, control = max(self.controls.items(), key=lambda item: len(item[1].values))
            raise ValueError(
                f"the states of {self.function.__name__} weigh {len(packed)} bytes, more than {BUDGET}; "
                f"coarsen {name}, which has {len(control.values)} values, or give its traces fewer points"
            )
        Figure.on_page.add(self.id)
        figure, readouts = self.state(**self.first)
        return page.render(self, figure, readouts, packed)

    # ---- in a kernel ----

    def live(self):
        """Widgets around a FigureWidget; a moved control calls the function at whatever value the reader picks."""
        import ipywidgets as widgets

        figure, readouts = self.state(**self.first)
        plot = go.FigureWidget(data=_for_json(figure), layout=figure.layout)
        plot._config = {"typesetMath": False}  # text between dollars is text, as on the page
        says = widgets.HTML(_readouts(readouts))
        parts = {name: _widget(widgets, name, control) for name, control in self.controls.items()}
        boxes = {name: part.children[-1] if isinstance(part, widgets.HBox) else part for name, part in parts.items()}
        pending = False

        def update():
            nonlocal pending
            pending = False
            try:
                fresh, fresh_readouts = self.state(**{name: box.value for name, box in boxes.items()})
            except Exception as error:  # said where the reader looks; a kernel would write it to its log
                says.value = f"This state could not be drawn: {html.escape(repr(error))}"
                return
            with plot.batch_update():
                plot.update(data=_for_json(fresh), overwrite=True)
                plot.layout = fresh.layout
            says.value = _readouts(fresh_readouts)

        def moved(_):
            # While a slider is dragged, values come faster than figures can be made: only the latest is computed.
            nonlocal pending
            if pending:
                return
            pending = True
            try:
                asyncio.get_running_loop().call_later(0.02, update)
            except RuntimeError:  # no loop: outside of a kernel
                update()

        def reset(_):
            for name, box in boxes.items():
                box.value = self.controls[name].value

        for box in boxes.values():
            box.observe(moved, "value")
        button = widgets.Button(description="Reset")
        button.on_click(reset)
        caption = widgets.HTML(f"<i>{html.escape(self.caption)}</i>")
        return widgets.VBox([*parts.values(), button, plot, says, caption])


def _for_json(figure: go.Figure) -> list[dict]:
    """The traces as a kernel can send them: tables go as JSON, which has no nan, so their gaps become None."""
    traces = [trace.to_plotly_json() for trace in figure.data]
    for trace in traces:
        for name, part in trace.items():
            if isinstance(part, np.ndarray) and part.ndim > 1 and part.dtype.kind == "f" and np.isnan(part).any():
                trace[name] = np.where(np.isnan(part), None, part)
    return traces


def _readouts(readouts) -> str:
    return " &nbsp; ".join(f"{html.escape(name)} = <b>{html.escape(text)}</b>" for name, text in readouts)


def _widget(widgets, name: str, control: Control):
    unit = f" ({control.unit})" if control.fine and control.unit else ""
    common = {"description": (control.label or name) + unit, "style": {"description_width": "initial"}}
    low, high, value = control.values[0], control.values[-1], control.value
    if control.kind == "toggle":
        return widgets.Checkbox(value=value, indent=False, **common)
    if control.kind == "choice":
        return widgets.Dropdown(options=[(control.text(v), v) for v in control.values], value=value, **common)
    if control.fine:
        if control.log:  # its ends and its step are exponents
            low, high = math.log10(low), math.log10(high)
        step = (high - low) / (len(control.values) - 1) / 10
        kind = widgets.FloatLogSlider if control.log else widgets.FloatSlider
        bar = kind(min=low, max=high, step=step, value=value, readout_format=".3g", **common)
    else:
        bar = widgets.SelectionSlider(options=[(control.text(v), v) for v in control.values], value=value, **common)
    if control.kind == "slider":
        return bar
    clock = widgets.Play(min=0, max=len(control.values) - 1, value=control.values.index(value), interval=300)

    def ticked(change):
        if _nearest(control.values, bar.value) != change["new"]:  # else it follows the bar, which may stand between
            bar.value = control.values[change["new"]]

    clock.observe(ticked, "value")
    bar.observe(lambda change: setattr(clock, "value", _nearest(control.values, change["new"])), "value")
    return widgets.HBox([clock, bar])


def _nearest(values: tuple, value: float) -> int:
    return min(range(len(values)), key=lambda i: abs(values[i] - value))
