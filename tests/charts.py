"""What tests of figures share: the figures of a chapter, their states, what they plot."""

import itertools

import nbformat
import numpy as np

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


def made_in(cells, start="explore(", **names):
    """{id: figure} of the cells that begin with `start`; `names` are what they use."""
    calls = [cell.source for cell in cells if cell.source.startswith(start)]
    return {figure.id: figure for figure in (eval(call, {**vars(explore), **names}) for call in calls)}


def states(figure):
    """The values of the controls in each state of a figure."""
    product = itertools.product(*(control.values for control in figure.controls.values()))
    return [dict(zip(figure.controls, values, strict=True)) for values in product]


def panels(result):
    """{name: (x, y)} of the upper panel, {name: (x, y)} of the lower one, and {name: value} of the read-outs."""
    figure, readouts = result
    above, below = (
        {trace.name: (np.array(trace.x), np.array(trace.y)) for trace in figure.data if trace.xaxis == axis}
        for axis in (None, "x2")
    )
    return above, below, {name: value for name, value, _ in readouts}
