"""What tests of figures share: the figures of a chapter, their states, what they plot."""

import itertools
import re

import nbformat
import numpy as np
import pytest

import notebooks
from lexviz import explore


def cells(name):
    """The cells of a chapter."""
    return nbformat.read(notebooks.ROOT / "book" / f"{name}.ipynb", as_version=4).cells


def solution(cells, label):
    """What the solution of an exercise says, in its text and in what its code prints."""
    begins = [cell.source.startswith(f"::::{{solution{kind}}} {label}\n") for cell in cells for kind in ("", "-start")]
    first = begins.index(True) // 2
    said = []
    for cell in cells[first:]:
        said += [cell.source] if cell.cell_type == "markdown" else [output.text for output in cell.outputs]
        if cell.source.startswith(("::::{solution} ", "::::{solution-end}")):
            return "\n".join(said)


def printed(cells, holds):
    """The lines that the first cell prints whose output holds these words; nbval sees to it that they are true."""
    said = (
        "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
        for cell in cells
        if cell.cell_type == "code"
    )
    return next(text for text in said if holds in text).splitlines()


def numbers(line):
    """All that are in a line, signs and thousands minded."""
    return [float(number.replace(",", "")) for number in re.findall(r"[-+]?\d[\d,]*\.?\d*", line)]


def decimals(text):
    """Those numbers in a text that have a decimal point: what was measured, and not what was counted."""
    return [float(number) for number in re.findall(r"[-+]?\d+\.\d+", text)]


def trace(made, name):
    """The one trace of a plotly figure that has this name."""
    (found,) = (trace for trace in made.data if trace.name == name)
    return found


def made_in(cells, start="explore(", **names):
    """{id: figure} of the cells that begin with `start`; `names` are what they use."""
    calls = [cell.source for cell in cells if cell.source.startswith(start)]
    return {figure.id: figure for figure in (eval(call, {**vars(explore), **names}) for call in calls)}


def states(figure):
    """The values of the controls in each state of a figure."""
    product = itertools.product(*(control.values for control in figure.controls.values()))
    return [dict(zip(figure.controls, values, strict=True)) for values in product]


few_and_all = pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.full)])  # so manieth state


def alike(figure, every=1, but=()):
    """Yield every so manieth state: its read-outs have the same names as the first state's, and its traces are
    the same in all but their numbers, and the keys in `but`; none has more points than a page should hold.
    """

    def looks(trace):
        return str({key: value for key, value in trace.to_plotly_json().items() if key not in ("x", "y", "z", *but)})

    first, first_readouts = figure.state(**figure.first)
    wanted = [looks(trace) for trace in first.data]
    for values in states(figure)[::every]:
        made, readouts = figure.state(**values)
        assert [name for name, _ in readouts] == [name for name, _ in first_readouts]
        assert [looks(trace) for trace in made.data] == wanted
        assert all(trace.type == "heatmap" or len(trace.x) == len(trace.y) <= 250 for trace in made.data)
        yield made, readouts


def in_its_panel(made, trace):
    """Whether all points of a trace lie within its axes, rounding aside."""
    for numbers, axis in ((np.array(trace.x), trace.xaxis or "x"), (np.array(trace.y), trace.yaxis or "y")):
        layout = made.layout[f"{axis[0]}axis{axis[1:]}"]
        low, high = 10.0 ** np.array(layout.range) if layout.type == "log" else layout.range
        if not low - 1e-9 <= numbers.min() <= numbers.max() <= high * (1 + 1e-5) + 1e-9:
            return False
    return True


def plotted(result):
    """{name: trace}, of several with one name the first, and {name: value} of the read-outs."""
    figure, readouts = result
    return {trace.name: trace for trace in reversed(figure.data)}, {name: value for name, value, _ in readouts}


def panels(result):
    """{name: (x, y)} of the upper panel, {name: (x, y)} of the lower one, and {name: value} of the read-outs."""
    figure, readouts = result
    above, below = (
        {trace.name: (np.array(trace.x), np.array(trace.y)) for trace in figure.data if trace.xaxis == axis}
        for axis in (None, "x2")
    )
    return above, below, {name: value for name, value, _ in readouts}


def runs_like(**results):
    """Records as `runs.results()` gives them."""
    return {
        name.replace("_", "-"): {"settings": {"length": 256, "landmark_block": 15}, "results": of}
        for name, of in results.items()
    }
