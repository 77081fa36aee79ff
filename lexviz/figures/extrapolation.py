"""Chapter 8: every encoding, every seed, beside the paper's tables.

Takes what `lexviz.runs.results()` gives; nothing is run here. An encoding may have any number of seeds, or none as yet:
a line is their mean, the band around it goes from the lowest to the highest, and with one seed there is no band.
Differences are taken seed by seed: models of one seed began with the same weights where they have the same ones, and
have read the same bytes in the same order.
"""

from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go

from lexviz import palette, paper
from lexviz.figures.lengths import BLOCKS, perplexities_of, stretches_of
from lexviz.figures.parts import TENS, band, beyond, heights, line
from lexviz.figures.training import trailing

RUNS = {  # encodings, the paper's four first, and how the names of their runs begin
    "RoPE": "rope",
    "XPos": "xpos",
    "ALiBi": "alibi",
    "Sinusoidal": "sinusoidal",
    "Shaw": "shaw",
    "T5": "t5",
    "Learned": "learned",
    "NoPosition": "none",
    "XPos without rotation": "xpos-without-rotation",
}
FOUR, ALL = "the paper's four", "all"
NOTHING = "nothing"
COLOUR = palette.ENCODING | {"XPos without rotation": palette.REFERENCE}
DASH = palette.DASH | {"XPos without rotation": "longdash"}


# ---- recorded numbers -------------------------------------------------------------------------------------------


def runs_of(recorded: dict, name: str) -> dict[int, dict]:
    """{seed: record} of an encoding, of the models of the usual size and training."""
    found = [about for run, about in recorded.items() if run.rpartition("-")[0] == RUNS[name]]
    return {about["settings"]["seed"]: about for about in found}


def names(recorded: dict, which: str = ALL) -> list[str]:
    """The encodings that have a run: all, or those of them that the paper's tables have too."""
    return [name for name in (list(RUNS)[:4] if which == FOUR else RUNS) if runs_of(recorded, name)]


def perplexities(recorded: dict, name: str, blocks: bool = False) -> dict[int, list[float]]:
    """{length: perplexities of all seeds}, of the lengths for which the encoding is defined."""
    found = [perplexities_of(about, blocks) for about in runs_of(recorded, name).values()]
    return {n: [one[n] for one in found] for n in found[0] if found[0][n] is not None}


def resolutions(recorded: dict, name: str) -> dict[str, np.ndarray]:
    """{reading: (seeds, layers, heads)}: what is called "256 bytes" or "512 bytes, in blocks"."""
    found = {}
    for about in runs_of(recorded, name).values():
        for row in about["results"]["resolution"]:
            reading = f"{row['length']} bytes" + ", in blocks" * row["mask"].startswith(BLOCKS)
            found.setdefault(reading, []).append(row["resolution"])
    return {reading: np.array(rows) for reading, rows in found.items()}


def of_paper(name: str, blocks: bool = False) -> dict[int, float]:
    """{length: perplexity} as the paper has it for one of its four. Of the sinusoidal encoding it has one row only."""
    within = paper.TABLE_2["LEX" if name == "XPos" else name]
    other = paper.TABLE_5.get(name + " + BCA" * blocks, within[3:])
    return dict(zip(paper.LENGTHS, (*within[:3], *other), strict=True))


def predicted(at_half: float, at_whole: float, blocks: int) -> float:
    """Perplexity of a text of so many blocks of half the training length, of one that reads each as in training.

    From its perplexities in windows of half the training length and of all of it; nothing is fitted.

    >>> round(predicted(4.0, 3.0, blocks=2), 6), round(predicted(4.0, 3.0, blocks=1000), 2)
    (3.0, 2.25)
    """
    first = np.log(at_half)
    later = 2 * np.log(at_whole) - first  # windows of all the length are half first blocks, half second ones
    return float(np.exp(first / blocks + (1 - 1 / blocks) * later))


def less_that_of(values: dict[str, dict], other: str) -> dict[str, dict]:
    """{encoding: {seed: values}} less those of another encoding with the same seed; where there is none, left out."""
    if other == NOTHING:
        return values
    return {
        name: {seed: row - values[other][seed] for seed, row in rows.items() if seed in values[other]}
        for name, rows in values.items()
    }


# ---- parts of figures -------------------------------------------------------------------------------------------


def curves(x, values: dict[str, Iterable], hover: str, mode: str = "lines", **more) -> list[dict]:
    """A line for each encoding, the mean of its rows, and where there are several a band around it."""
    traces = []
    for name, rows in values.items():
        rows, at = np.array(list(rows)), x[name] if isinstance(x, dict) else x
        same = {"legendgroup": name, **more}
        if len(rows) > 1:
            traces.append(band(f"{name}, spread", at, rows.min(0), rows.max(0), COLOUR[name], **same))
        traces.append(line(name, at, rows.mean(0), COLOUR[name], DASH[name], 2.2, hover, mode=mode, **same))
    return traces


def thin(name: str, also: str, x, y, hover: str, drawn: bool, **more) -> dict:
    """A line that an encoding's own is to be compared with; not drawn where both would be the same."""
    same = {"legendgroup": name, "showlegend": False, "opacity": float(drawn), **more}
    return line(f"{name}, {also}", x, y, COLOUR[name], "dot", 1, hover, **same)


def said(values: Iterable, digits: int = 2) -> str:
    """The mean of several seeds and half the way from the lowest to the highest; of one, itself."""
    values = np.array(list(values), dtype=float)
    spread = f" ± {(values.max() - values.min()) / 2:.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def seeds(recorded: dict, name: str) -> str:
    """How many there are, in words."""
    count = len(runs_of(recorded, name))
    return f"{count} seed{'s' * (count != 1)}"


# ---- perplexity by length ---------------------------------------------------------------------------------------

MULTIPLES = {0.25: "¼", 0.5: "½", 1: "1", 2: "2", 4: "4", 8: "8", 16: "16"}
GROWTH = "times that at the training length"


def by_length(recorded: dict):
    """Tables 2 and 5, ours above the paper's."""
    trained = recorded["rope-0"]["settings"]["length"]

    def perplexity_by_length(which, show, blocks, log):
        """Perplexity by the length of what is read at a time, in training lengths: our models, trained at 256 bytes
        (above), and the paper's, trained at 1,024 tokens (below). With blocks switched on, thin dotted lines are
        without.

        A line is the mean of the seeds, the band around it goes from the lowest to the highest; where there is no band,
        there is one seed, as in the paper. The paper's rows are those of its Tables 2 and 5, each with the mask that it
        was measured with; for the sinusoidal encoding it gives one row, and does not say which. Without the logarithmic
        scale the upper part is cut off, so that those who read on can be told apart.
        """
        ours = {name: [perplexities(recorded, name, on) for on in (False, blocks)] for name in names(recorded, which)}
        theirs = {name: [of_paper(name, on) for on in (False, blocks)] for name in names(recorded, FOUR)}
        above = {name: [_scaled(one, trained, show) for one in both] for name, both in ours.items()}
        below = {name: [_scaled({n: [v] for n, v in one.items()}, 1024, show) for one in both]
                 for name, both in theirs.items()}  # fmt: skip
        traces = _panel(above, "", blocks) + _panel(below, "2", blocks, showlegend=False)
        layout, limits = {"height": 660, "shapes": [], "annotations": []}, []
        ends = np.array([0.25 / 1.15, 16 * 1.15])
        for axis, part, title in (("", above, "ours"), ("2", below, "the paper's")):
            low, high = heights([value for both in part.values() for one in both for value in np.ravel(one[1])])
            upright, shade, label = beyond(1, ends[1], low, high, log=True)
            limits.append(upright | {"xaxis": f"x{axis}", "yaxis": f"y{axis}", "showlegend": not axis}
                          | {"hovertemplate": None, "hoverinfo": "skip"})  # fmt: skip
            scale = {"type": "log", "range": np.log10([low, high]).tolist()}
            scale |= {"tickvals": [0.9, 1, 1.5, 2, 3, 4, 5, 7, 10, 20, 30, 50, 100, 300, 1000]}
            if not log:
                scale = {"type": "linear", "range": [0.97 * low / 0.85, 1.7 * low / 0.85]}
            layout[f"xaxis{axis}"] = {"type": "log", "range": np.log10(ends).tolist(), "tickvals": list(MULTIPLES)}
            layout[f"xaxis{axis}"] |= {"ticktext": list(MULTIPLES.values()), "anchor": f"y{axis}"}
            words = "growth" if show == GROWTH else "perplexity"
            layout[f"yaxis{axis}"] = {**scale, "title": f"{words}, {title}", "anchor": f"x{axis}"}
        layout["shapes"], layout["annotations"] = [shade], [label]
        layout["xaxis"] |= {"showticklabels": False}
        layout["xaxis2"] |= {"title": "length, in training lengths"}
        layout["yaxis"]["domain"], layout["yaxis2"]["domain"] = [0.46, 1], [0, 0.40]
        readouts = []
        for name in names(recorded, FOUR):
            found = perplexities(recorded, name, blocks)
            unit = f"({seeds(recorded, name)})"
            readouts.append((f"at 16 training lengths, {name}", said(found[16 * trained]), unit))
        return go.Figure(traces + limits, layout), readouts

    return perplexity_by_length


def _scaled(found: dict[int, list[float]], trained: int, show: str) -> tuple[np.ndarray, np.ndarray]:
    """Lengths in training lengths, and the values, (seeds, lengths), perhaps as a multiple of that at one."""
    x, rows = np.array(list(found)) / trained, np.array(list(found.values())).T
    return x, rows / np.array(found[trained])[:, None] if show == GROWTH else rows


def _panel(found: dict[str, list], axis: str, drawn: bool, **more) -> list[dict]:
    """Lines with the mask that was chosen, and thin dotted ones without blocks."""
    where = {"xaxis": f"x{axis}", "yaxis": f"y{axis}", **more}
    hover = "%{x} training lengths: %{y:.3g}"
    chosen = {name: both[1] for name, both in found.items()}
    x, values = ({name: pair[i] for name, pair in chosen.items()} for i in (0, 1))
    traces = curves(x, values, hover, mode="lines+markers", **where)
    for name, ((at, rows), _) in found.items():
        traces.append(thin(name, "no blocks", at, rows.mean(0), hover, drawn, **where))
    return traces


# ---- loss by place, in training, by repeats ---------------------------------------------------------------------

NATS = {False: "loss, nats a byte", True: "loss less that of {}, nats"}


def _axis(other: str) -> dict:
    return {"title": NATS[other != NOTHING].format(other)}


def _room(values: dict[str, dict], other: str) -> list[float]:
    """The ends of an axis for all losses; of differences, for those of the relative three: others lie far above."""
    drawn = list(values) if other == NOTHING else list(RUNS)[:3]
    every = np.concatenate([row for name in drawn for row in values[name].values()])
    gap = 0.08 * (every.max() - every.min())
    return [every.min() - gap, every.max() + gap]


def places(recorded: dict):
    """Loss by place in a text of sixteen training lengths."""

    def loss_by_place(which, less, blocks, width):
        """The loss by place in texts of 4,096 bytes, each point the mean of neighbouring places of all texts; or by how
        much it is above that of one encoding (below it, where it is under 0). The dashed line is the training length.

        Every encoding has its worst losses at the beginning, where there is little to go by. The ups and downs that all
        share are the texts' own, and go away in differences; of these the axis has room for RoPE, XPos and ALiBi, and
        others may lie above it. Bands go from the lowest seed to the highest.
        """
        values = {}
        for name in names(recorded, which):
            for seed, about in runs_of(recorded, name).items():
                if about["results"]["places"]:
                    ends, nats = stretches_of(about, blocks)
                    values.setdefault(name, {})[seed] = nats.reshape(-1, width * len(ends) // ends[-1]).mean(1)
        x = np.arange(0, ends[-1], width) + width / 2
        values = less_that_of(values, less)
        trained = about["settings"]["length"]
        low, high = _room(values, less)
        upright, shade, label = beyond(trained, 1.02 * ends[-1], low, high)
        layout = {
            "xaxis": {"title": "place in the text, bytes", "range": [0, 1.02 * ends[-1]]},
            "yaxis": _axis(less) | {"range": [low, high]},
            "shapes": [shade],
            "annotations": [label],
            "height": 440,
        }
        layout["xaxis"]["tickvals"] = [trained, *(ends[-1] * k // 4 for k in (1, 2, 3, 4))]
        traces = curves(x, {name: rows.values() for name, rows in values.items()}, "%{x:,.0f}: %{y:.3f}")
        readouts = []
        for name in list(RUNS)[:3]:
            rows = np.array(list(values[name].values()))
            readouts.append((f"first point, {name}", said(rows[:, 0], 3), "nats"))
            readouts.append((f"mean beyond {trained} bytes, {name}", said(rows[:, x > trained].mean(1), 3), "nats"))
        return go.Figure([*traces, upright], layout), readouts

    return loss_by_place


def training_curves(recorded: dict):
    """Loss while training."""

    def loss_in_training(which, less, smoothing):
        """The loss while training, by step, each point the mean of the 10 steps up to it, or of more; or by how much it
        is above that of one encoding (below it, where it is under 0).

        Models of one seed read the same bytes in the same order, so that a difference is smoother than either curve.
        The axis of differences has room for RoPE, XPos and ALiBi, others may lie above it. Bands go from the lowest
        seed to the highest. The first 100 steps are left out.
        """
        values, every = {}, {}
        for name in names(recorded, which):
            for seed, about in runs_of(recorded, name).items():
                steps, losses = np.array(about["curve"]).T
                late = steps > 100
                every.setdefault(name, {})[seed] = losses
                values.setdefault(name, {})[seed] = trailing(losses, smoothing // 10)[late]
        values, last = less_that_of(values, less), less_that_of(every, less)
        layout = {"xaxis": {"title": "step", "range": [100, 1.01 * steps[-1]]}, "yaxis": _axis(less), "height": 440}
        layout["yaxis"]["range"] = _room(values, less)
        traces = curves(steps[late], {name: rows.values() for name, rows in values.items()}, "step %{x}: %{y:.3f}")
        return go.Figure(traces, layout), [
            (f"mean of the last 500 steps, {name}", said((row[-50:].mean() for row in last[name].values()), 3), "nats")
            for name in list(RUNS)[:4]
        ]

    return loss_in_training


READINGS = {  # how long a text is read at a time, in training lengths, and in blocks or not
    "256 bytes at a time": (1, False),
    "4,096 bytes at a time": (16, False),
    "4,096 bytes, in blocks": (16, True),
}


def repeats(recorded: dict):
    """Loss by the distance of the repeat."""

    def loss_by_repeat(which, less, reading):
        """The loss of those bytes that have stood before after the same eight bytes, by how far back they stood last;
        or by how much it is above that of one encoding (below it, where it is under 0). The dashed line is the training
        length: from there on, who reads 256 bytes at a time cannot see the earlier place.

        The first point is what stands nowhere before. A model that looks up where it has seen these words can copy what
        came next; one that has learned the words in training needs no copy, so low losses alone are no proof. The axis
        of differences has room for RoPE, XPos and ALiBi.
        """
        times, blocks = READINGS[reading]
        values = {}
        for name in names(recorded, which):
            for seed, about in runs_of(recorded, name).items():
                rows = [
                    row
                    for row in about["results"]["repeats"]
                    if row["length"] == times * about["settings"]["length"] and row["mask"].startswith(BLOCKS) == blocks
                ]
                if rows:
                    values.setdefault(name, {})[seed] = np.array([row["nats"] for row in rows])
                    bins, bytes_ = [row["from"] for row in rows], [row["bytes"] for row in rows]
        values = less_that_of(values, less)
        x = ["never" if n == 0 else "1 .." if n == 1 else f"{n:,} .." for n in bins]
        layout = {"xaxis": {"type": "category", "title": "stood last, bytes back"}, "height": 440}
        layout["yaxis"] = _axis(less) | {"range": _room(values, less)}
        at = bins.index(256) - 0.5
        edge = {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper"}
        layout["shapes"] = [edge | {"line": {"color": palette.LIMIT, "width": 1.5, "dash": "dash"}}]
        drawn = {name: rows.values() for name, rows in values.items()}
        traces = curves(np.array(x, dtype=object), drawn, "%{x} back: %{y:.3f}", mode="lines+markers")
        near = slice(bins.index(16), bins.index(128))
        weights = np.array(bytes_[near]) / sum(bytes_[near])
        return go.Figure(traces, layout), [
            (f"16 to 127 back, {name}", said((row[near] @ weights for row in values[name].values()), 3), "nats")
            for name in list(RUNS)[:3]
        ]

    return loss_by_repeat


# ---- resolution -------------------------------------------------------------------------------------------------

WITHIN, TWICE, CHANGE = "levels at 256 bytes", "levels at 512 bytes", "the change from 256 to 512"
LEAST = 1e-5  # of resolutions that are drawn
IN_TABLE_3 = {"RoPE": "RoPE", "ALiBi": "ALiBi", "Sinusoidal": "Sinusoidal", "XPos": "LEX without BCA"}


def resolution_and_perplexities(recorded: dict, far: bool, blocks: bool) -> dict[str, tuple[float, float]]:
    """{encoding: (mean resolution, mean perplexity)} at twice the training length, or at it."""
    reading, length = ("512 bytes" + ", in blocks" * blocks, 512) if far else ("256 bytes", 256)
    found = {name: resolutions(recorded, name) for name in names(recorded)}
    return {
        name: (at[reading].mean(), np.mean(perplexities(recorded, name, blocks)[length]))
        for name, at in found.items()
        if reading in at
    }


def resolution_and_growth(recorded: dict, blocks: bool = False) -> dict[str, tuple[float, float]]:
    """{encoding: (resolution at twice the training length, over that at it; the same of the perplexity)}."""
    within = resolution_and_perplexities(recorded, False, False)
    beyond_ = resolution_and_perplexities(recorded, True, blocks)
    return {name: (r / within[name][0], ppl / within[name][1]) for name, (r, ppl) in beyond_.items()}


def paper_resolution_and_growth(blocks: bool = False) -> dict[str, tuple[float, float]]:
    """The same from Tables 2, 3 and 5. In blocks Table 3 has LEX alone; its other rows are taken to be without."""
    rows = {"XPos": "LEX"} if blocks else IN_TABLE_3
    found = {}
    for name, row in rows.items():
        ppl, (within, beyond_) = of_paper(name, blocks), paper.TABLE_3[row]
        found[name] = beyond_ / within, ppl[2048] / ppl[1024]
    return found


def rank_correlation(pairs: Iterable[tuple[float, float]]) -> float:
    """Spearman's: 1 where both numbers of the pairs rise together, -1 where one falls as the other rises.

    >>> round(rank_correlation([(1, 10), (2, 30), (3, 20)]), 3)
    0.5
    """
    ranks = [np.argsort(np.argsort(one)) for one in np.array(list(pairs)).T]
    return float(np.corrcoef(*ranks)[0, 1])


def resolution(recorded: dict):
    """Table 3 beside the perplexity that it is to predict."""

    def resolution_and_perplexity(show, blocks):
        """Above: the measured resolution of each layer, the mean of its heads; thin dotted lines, at 256 bytes. Below,
        a point for each encoding: its mean resolution against its perplexity; or what becomes of both when twice the
        training length is read, as multiples of what they were at 256 bytes. Open squares: the paper's, from its
        Tables 2, 3 and 5.

        All axes are logarithmic, but that of the layers. A resolution of zero or less is drawn at the lower edge. What
        predicts should lie on a falling line. The paper's levels are on another scale than ours (Appendix A, claim 7),
        so that only changes can be compared.
        """
        every = {name: resolutions(recorded, name) for name in names(recorded)}
        far = show != WITHIN
        reading = ("512 bytes" if far else "256 bytes") + ", in blocks" * (blocks and far)
        layers = np.arange(1, next(iter(every.values()))["256 bytes"].shape[1] + 1)
        drawn = {name: at[reading] if reading in at else at["256 bytes"] * np.nan for name, at in every.items()}
        drawn = {name: np.maximum(rows.mean(-1), LEAST) for name, rows in drawn.items()}  # (seeds, layers)
        hover = "layer %{x}: %{y:.2g}"
        traces = curves(layers, drawn, hover, mode="lines+markers")
        for name, at in every.items():
            rows = np.maximum(at["256 bytes"].mean((0, 2)), LEAST)
            traces.append(thin(name, "256 bytes", layers, rows, hover, far))
        points, theirs, titles = resolution_and_perplexities(recorded, far, blocks), {}, ("resolution", "perplexity")
        if show == CHANGE:
            points, theirs = resolution_and_growth(recorded, blocks), paper_resolution_and_growth(blocks)
            titles = ("resolution at 512 bytes / at 256", "perplexity, the same")
        for name in names(recorded):
            traces += [_point(name, pairs.get(name), symbol) for pairs, symbol in ((points, 0), (theirs, 101))]
        pairs = [*points.values(), *theirs.values()]
        ends = [np.log10([0.8 * min(of), 1.25 * max(of)]).tolist() for of in zip(*pairs, strict=True)]
        layout = {
            "xaxis": {"tickvals": layers.tolist(), "title": "layer", "anchor": "y"},
            "yaxis": {**TENS, "title": "resolution", "domain": [0.56, 1], "anchor": "x"}
            | {"range": np.log10([LEAST / 1.5, 1]).tolist()},
            "xaxis2": {"title": titles[0], "type": "log", "range": ends[0], "anchor": "y2"}
            | {"tickvals": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3]},
            "yaxis2": {"title": titles[1], "type": "log", "range": ends[1], "domain": [0, 0.4], "anchor": "x2"}
            | {"tickvals": [0.8, 1, 1.5, 2, 3, 4, 5, 7, 10, 20]},
            "height": 700,
        }
        return go.Figure(traces, layout), [
            ("encodings, ours", len(points), ""),
            ("rank correlation, ours", f"{rank_correlation(points.values()):.2f}", ""),
            ("encodings, the paper's", len(theirs), ""),
        ]

    return resolution_and_perplexity


def _point(name: str, pair: tuple[float, float] | None, symbol: int) -> dict:
    x, y = pair or (None, None)
    marker = {"color": COLOUR[name], "size": 11, "symbol": symbol, "line": {"width": 2}}
    whose = f"{name}, the paper's" if symbol else name
    told = {"hovertemplate": f"%{{x:.2g}}: %{{y:.3g}}<extra>{whose}</extra>", "showlegend": False}
    where = {"xaxis": "x2", "yaxis": "y2", "legendgroup": name}
    return {"type": "scatter", "mode": "markers", "name": f"{whose}, both", "x": [x], "y": [y], "marker": marker} | (
        told | where
    )


# ---- an experiment of the chapter: the same words twice ---------------------------------------------------------


def in_short(about: dict) -> list[float]:
    """A run in five numbers: perplexity at the training length, l, and at 16 l, in blocks and at once; nats that a copy
    saves on the words at the end of l bytes, from l/8 and from l/2 bytes before them.
    """
    trained = about["settings"]["length"]
    at_once, in_blocks = (perplexities_of(about, blocks) for blocks in (False, True))
    loss = {row["back"]: row["nats"] for row in about["results"]["copies"]}
    saved = [loss[0] - loss[back] for back in (trained // 8, trained // 2)]
    return [at_once[trained], in_blocks[16 * trained], at_once[16 * trained], *saved]


def copies(measured: dict[str, dict[int, np.ndarray]]):
    """measured[encoding][bytes back, 0 for no copy]: the mean loss of the same words in each text, (texts,)."""

    def same_words_twice(show):
        """The loss of words that stand at the end of 256 bytes of text, where the same words stood before, by how far
        back; or what that saves, against texts in which they did not. Bands: 95% intervals over the texts.

        The words come from another file than the text around them. The first eight bytes of the second time, in which a
        model can find out that it has seen this before, do not count.
        """
        back = np.array([n for n in next(iter(measured.values())) if n])
        traces, readouts = [], []
        for name, losses in measured.items():
            saved = np.array([losses[0] - losses[n] for n in back])  # (distances, texts)
            rows = saved if show == "saved" else losses[0] - saved
            half = 1.96 * rows.std(1, ddof=1) / np.sqrt(rows.shape[1])
            middle = rows.mean(1)
            ends = np.round([middle - half, middle + half], 3)  # what is stable from machine to machine
            traces += curves(back, {name: ends}, "%{x} back: %{y:.2f}", "lines+markers")
            readouts.append((f"saved at {back[0]} back, {name}", f"{saved[0].mean():.2f}", "nats"))
            readouts.append((f"saved at {back[-1]} back, {name}", f"{saved[-1].mean():.2f}", "nats"))
        title = "loss, nats a byte" if show == "loss" else "nats a byte, saved"
        low = 0.9 if show == "loss" else -0.03
        high = max(np.max(trace["y"]) for trace in traces) + 0.05
        layout = {
            "xaxis": {"title": "stood before, bytes back", "type": "log", "tickvals": back.tolist()},
            "yaxis": {"title": title, "range": [min(low, *(np.min(t["y"]) for t in traces)), high]},
        }
        return go.Figure(traces, layout), readouts

    return same_words_twice
