"""Chapter 7: the loss curve of a training, as it grows and when it is done, with a recorded run's behind it.

    for entry in training.growing(train.train(settings, model, source), settings, recorded, levels):
        history.append(entry)
    explore(training.of(history, settings, recorded, levels), reference=choice(*training.RUNS), ...)

Takes what `train.train` yields, and what `lexviz.runs.results()` has. Nothing is trained here.
"""

import os
import time
from collections.abc import Iterable, Iterator

import numpy as np
import plotly.graph_objects as go
from IPython import get_ipython
from IPython.display import display

from lexviz.explore import TEMPLATE
from lexviz.figures.parts import digits, line
from lexviz.figures.points import evenly
from lexviz.palette import ENCODING, PINK, REFERENCE
from lexviz.train import Entry, Settings

RUNS = {"XPos": "xpos-0", "RoPE": "rope-0", "ALiBi": "alibi-0", "Sinusoidal": "sinusoidal-0"}  # that one may compare
LOSSES = (0.9, 6.1)  # the ends of the upper axis, nats: ln 256 is 5.5
OURS = PINK


def trailing(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of each value and those before it, `width` in all, or as many as there are.

    >>> trailing(np.array([4.0, 2.0, 6.0, 4.0]), 2)
    array([4., 3., 4., 5.])
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    return (sums[ends] - sums[starts]) / (ends - starts)


def recorded_curve(recorded: dict, reference: str) -> tuple[Settings, np.ndarray, np.ndarray]:
    """Settings, steps and losses of a recorded run; a loss is the mean of the steps since the point before."""
    about = recorded[RUNS[reference]]
    steps, losses = np.array(about["curve"]).T
    return Settings(**about["settings"]), steps, losses


def of(history: list[Entry], settings: Settings, recorded: dict, levels: dict[str, float]):
    """The figure of a history, finished or not. levels: {name: nats}, three losses to compare with, highest first."""

    def training(reference="XPos", across="bytes read", log=True, smoothing=20, below="learning rate"):
        """The loss of this chapter's model as it trained, in front of that of a larger one, recorded. Dashed: what one
        reaches by counting bytes, alone, after the one before and after the two before. Below: the learning rate, or
        how many bytes a second were read.

        Each point is the mean of a step and of those just before it, as many as smoothing says. A step of the larger
        model holds twice as many bytes, and there are three times as many steps. The speed is that of the machine which
        ran the chapter.
        """
        about, steps, losses = recorded_curve(recorded, reference)
        drawn = evenly(len(history))
        done, loss, rate, speed = (
            np.array([entry[field] for entry in history], dtype=float) for field in range(len(Entry._fields))
        )
        here, there = across_at(settings, done[drawn], across), across_at(about, steps, across)
        start = across_at(settings, np.array([1.0]), across)[0] if log else 0.0
        stop = 1.02 * max(there[-1], across_at(settings, np.array([settings.steps]), across)[0])
        unit = " steps" if across == "steps" else " million bytes"
        told = f"%{{x:.4g}}{unit}: %{{y:.4g}}"
        coloured, ours = (ENCODING[reference], "solid", 4.5, told), (OURS, "solid", 2, told)
        averaged = trailing(losses, max(1, smoothing // int(steps[0])))  # each is the mean of so many steps already
        traces = [
            line(f"{reference}, recorded", there, averaged, *coloured),
            line("this model", here, trailing(loss, smoothing)[drawn], *ours),
        ]
        for (name, nats), dash in zip(levels.items(), ("dash", "dashdot", "dot"), strict=True):
            traces.append(line(name, [start or stop / 1e6, stop], [nats, nats], REFERENCE, dash, 1.5, told))
        if below == "learning rate":
            rates = np.array([about.rate(int(step) - 1) for step in steps])
            lower = (there, rates), (here, rate[drawn])
            axis = {"title": "learning rate", "range": [0, 1.1 * max(settings.learning_rate, about.learning_rate)]}
        else:
            speed = trailing(speed, smoothing)
            lower = ([None], [None]), unsaid(here, speed[drawn])
            axis = {"title": "bytes a second", "range": [0, 1.2 * max([1.0, *speed])]}
        for name, (x, y), style in zip((f"{reference}, recorded", "this model"), lower, (coloured, ours), strict=True):
            traces.append(line(f"below: {name}", x, y, *style, xaxis="x2", yaxis="y2", showlegend=False))
        scale = {"type": "log" if log else "linear", "range": np.log10([start, stop]).tolist() if log else [0, stop]}
        layout = {
            "xaxis": {**scale, "anchor": "y", "matches": "x2", "showticklabels": False},
            "xaxis2": {**scale, "anchor": "y2", "title": unit.strip()},
            "yaxis": {"title": "loss, nats a byte", "domain": [0.36, 1], "range": list(LOSSES)},
            "yaxis2": {**axis, "anchor": "x2", "domain": [0, 0.27]},
            "height": 560,
        }
        lowest = min(levels.values())
        reached = f"{int(steps[losses < lowest][0])}" if (losses < lowest).any() else "never"
        return go.Figure(traces, layout), [
            ("steps, this model", len(history), f"of {settings.steps}"),
            ("million bytes read, this model", digits(million_bytes(settings, len(history))), ""),
            ("loss of the last 50 steps, this model", f"{loss[-50:].mean():.2f}" if len(loss) else "-", "nats"),
            ("loss of the last 50 steps, recorded", f"{losses[steps > steps[-1] - 50].mean():.2f}", "nats"),
            ("recorded: below the lowest dashed line from step", reached, ""),
        ]

    return training


def beside(histories: dict[str, list[Entry]]):
    """The figure of several trainings of the same settings, step by step: {name: history}, ours first."""
    ours = next(iter(histories))

    def own_beside_ours(show="loss", smoothing=20):
        """The loss of two models that differ in their position encoding alone, at every step; or by how much the
        second is above the first (below it, where it is under 0).

        Both read the same bytes in the same order, so that the steps which are hard for one are hard for the other:
        the difference is smoother than either.
        """
        count = min(map(len, histories.values()))
        losses = {name: np.array([entry.loss for entry in history[:count]]) for name, history in histories.items()}
        drawn = evenly(count)
        traces = []
        for (name, loss), colour in zip(losses.items(), (ENCODING["XPos"], OURS), strict=False):
            y = trailing(loss - losses[ours] if show == "difference" else loss, smoothing)[drawn]
            width = 2.5 if name == ours else 2
            traces.append(line(name, drawn + 1, y, colour, width=width, hover="%{x:.4g} steps: %{y:.4g}"))
        title = f"loss less that of {ours}, nats" if show == "difference" else "loss, nats a byte"
        layout = {"xaxis": {"title": "steps"}, "yaxis": {"title": title}}
        last = {name: f"{loss[-50:].mean():.2f}" for name, loss in losses.items()}
        return go.Figure(traces, layout), [(f"mean loss of the last 50 steps, {name}", last[name], "") for name in last]

    return own_beside_ours


# ---- parts of figures -------------------------------------------------------------------------------------------


def million_bytes(settings: Settings, steps: int) -> float:
    """How much has been read after so many steps; shorter first steps count as they are.

    >>> million_bytes(Settings(batch=16, length=250), 1000)
    4.0
    """
    first, later = (np.prod(settings.shape(step)) for step in (0, settings.short_steps))
    short = min(steps, settings.short_steps)
    return float(short * first + (steps - short) * later) / 1e6


def across_at(settings: Settings, steps: np.ndarray, across: str) -> np.ndarray:
    """Where these steps stand on the axis."""
    return steps if across == "steps" else np.array([million_bytes(settings, int(step)) for step in steps])


def unsaid(x, y) -> tuple[np.ndarray, list]:
    """The curve behind a gap, a list with None: drawn as it is, but in words it has no numbers.

    What the clock says differs from run to run, and git compares the words.
    """
    return np.concatenate([x[:1] if len(x) else [0.0], x]), [None, *np.asarray(y).tolist()]


# ---- as it grows ------------------------------------------------------------------------------------------------


def growing(
    entries: Iterable[Entry], settings: Settings, recorded: dict, levels: dict[str, float], pause: float = 0.5
) -> Iterator[Entry]:
    """Yield the entries; in a kernel their figure stands under the cell and grows, drawn anew every `pause` seconds.

    A cell that is stopped leaves the figure with all the steps that were done. Elsewhere there is nothing to see: what
    is drawn is the finished figure, by `explore`.
    """
    history = []
    widget = stage(settings, of([], settings, recorded, levels)()[0])
    drawn = time.monotonic()
    try:
        for entry in entries:
            history.append(entry)
            if widget and time.monotonic() > drawn + pause:
                draw(widget, of(history, settings, recorded, levels)()[0], history)
                drawn = time.monotonic()  # after it: training gets at least as much time as drawing
            yield entry
    finally:
        if widget:
            draw(widget, of(history, settings, recorded, levels)()[0], history)


def stage(settings: Settings, figure: go.Figure) -> go.FigureWidget | None:
    """Show the figure if this is a kernel and no page is being built; say what is done in words, everywhere alike."""
    shell = get_ipython()
    said = f"Training: {settings.steps} steps of {settings.batch} x {settings.length} bytes"
    if not shell:
        print(said)
        return None
    if os.environ.get("LEXVIZ_PAGE"):
        display({"text/plain": said}, raw=True)
        return None
    widget = go.FigureWidget(figure.data, {**figure.layout.to_plotly_json(), "template": TEMPLATE})
    display({**widget._repr_mimebundle_(), "text/plain": said}, raw=True)
    return widget


def draw(widget: go.FigureWidget, figure: go.Figure, history: list[Entry]) -> None:
    """Put the figure's curves in place of the widget's; its title has the newest numbers."""
    with widget.batch_update():
        widget.update(data=[trace.to_plotly_json() for trace in figure.data], overwrite=True)
        if history:
            last = history[-1]
            widget.layout.title.text = (
                f"step {last.step}, loss {last.loss:.2f}, {last.tokens_per_second:,.0f} bytes a second"
            )
