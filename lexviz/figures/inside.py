"""Chapter 9: what trained models attend to, in maps, in the text and by distance; how their states drift.

Nothing is run here. Each function takes what `lexviz.inside` and `lexviz.evaluate` have found, or a function that finds
it, and gives the function that `lexviz.explore` takes. Encodings are found by name, "RoPE", "XPos" and "ALiBi"; layers
and heads count from 1 where a reader sees them.

Weights and shares are drawn in thousandths, rounded to whole ones: enough for the eye, and small on a page. Text is
data: bytes are shown as characters, a newline as a sign of its own.
"""

from collections.abc import Callable, Sequence

import numpy as np
import plotly.graph_objects as go

from lexviz.figures.parts import line
from lexviz.palette import BLUE, GREEN, LIMIT, MAUVE, ORANGE, REFERENCE, VIOLET, tint

TRAINED, BLOCK = 256, 128  # bytes: the models' training length, and the block of BCA
PLAIN, BLOCKS = "2,048 bytes", "2,048 bytes, in blocks"
SHORT = "256 bytes"

# In these colours weights of a thousandth, a hundredth, a tenth and all differ, on a light page and on a dark one.
SCALE = [
    [0, tint(BLUE, 0.06)],
    [0.002, tint(BLUE, 0.2)],
    [0.01, tint(BLUE, 0.5)],
    [0.1, BLUE],
    [0.1001, MAUVE],
    [1, ORANGE],
]
KEYS = {"1%": tint(BLUE, 0.5), "10%": BLUE, "all": ORANGE}
LINES = ((BLUE, "solid"), (ORANGE, "dash"), (GREEN, "dot"), (VIOLET, "dashdot"))  # heads, or layers
MONO = {"family": "ui-monospace, monospace"}


def shown(text: Sequence[int]) -> list[str]:
    r"""Bytes as characters, one each; a newline has a sign, and what cannot be printed another.

    >>> "".join(shown(b"def f(x):\n\t"))
    'def f(x):⏎□'
    """
    return [chr(byte) if 32 <= byte < 127 else "⏎" if byte == 10 else "□" for byte in text]


def thousandths(weights: np.ndarray) -> np.ndarray:
    """Weights as they are drawn."""
    return np.round(1000 * weights)


def heatmap(z, x, y, hover: str, **more) -> dict:
    """A heatmap of weights in thousandths; nan is left blank."""
    return {
        "type": "heatmap",
        "z": z,
        "x": x,
        "y": y,
        "zmin": 0,
        "zmax": 1000,
        "colorscale": SCALE,
        "showscale": False,
        "hoverongaps": False,
        "hovertemplate": f"{hover}<extra></extra>",
    } | more


def colours() -> list[dict]:
    """Entries of the legend: what the colours of a map mean."""
    common = {"type": "scatter", "mode": "markers", "x": [None], "y": [None]}
    return [
        common | {"name": name, "marker": {"symbol": "square", "size": 11, "color": colour}}
        for name, colour in KEYS.items()
    ]


def percent(share: float) -> str:
    """A share in whole per cent."""
    return f"{100 * share:.0f}%"


# ---- the whole map, in tiles ------------------------------------------------------------------------------------

TILES, SMALL = 64, 16  # of the large map and of each small one, along a side


def maps(text: Sequence[int], found: dict[str, dict[str, np.ndarray]]):
    """found[encoding][reading]: (layers, heads, TILES, TILES), as `lexviz.inside.tiles` gives it; of the same text."""

    def attention_maps(encoding, reading, layer, head):
        """The whole attention map of one head (above), and of all heads, a row for each layer (below); in each a row
        for each query, a column for each key. The chosen head has a frame below. Colours: what share of the attention
        of the queries of a tile goes to its keys.

        A map has 64 by 64 tiles: of four bytes by four where 256 bytes are read, of 32 by 32 where 2,048 are. Small
        maps have 16 by 16. What is blank is not seen: the future, and with blocks all that is farther back than the
        block before a query's own. A hand's touch or a pointer on a tile tells with what text its queries and its keys
        begin.
        """
        of = found[encoding][reading]
        size = (TRAINED if reading == SHORT else 2048) // TILES
        characters = shown(text)
        begins = [f"{n:,} {''.join(characters[n : n + 14])}" for n in range(0, size * TILES, size)]
        hover = "queries from %{y}<br>keys from %{x}<br>%{z} thousandths"
        small = mosaic(of)
        across = small.shape[1]
        traces = [
            heatmap(seen(of[layer - 1, head - 1], of[layer - 1]), begins, begins, hover, name="map"),
            heatmap(small, np.arange(across), np.arange(small.shape[0]), "", name="all heads", hoverinfo="skip")
            | {"xaxis": "x2", "yaxis": "y2", "hovertemplate": None},
            *colours(),
        ]
        ticks = list(range(0, TILES, TILES // 4))
        axis = {"type": "category", "tickvals": ticks, "ticktext": [f"{n * size:,}" for n in ticks]}
        axis |= {"showgrid": False, "zeroline": False, "constrain": "domain"}
        names = {"showgrid": False, "zeroline": False, "constrain": "domain", "ticks": ""}
        centres = [(SMALL + 1) * i + SMALL / 2 - 0.5 for i in range(max(of.shape[:2]))]
        left, top = (SMALL + 1) * (head - 1) - 1, (SMALL + 1) * (layer - 1) - 1
        frame = {"type": "rect", "xref": "x2", "yref": "y2", "x0": left, "x1": left + SMALL + 1}
        frame |= {"y0": top, "y1": top + SMALL + 1, "line": {"color": LIMIT, "width": 2}}
        layout = {
            "xaxis": {**axis, "title": "key", "range": [-0.5, TILES - 0.5], "anchor": "y"},
            "yaxis": {**axis, "title": "query", "range": [TILES - 0.5, -0.5], "scaleanchor": "x", "anchor": "x"}
            | {"domain": [0.45, 1]},
            "xaxis2": {**names, "title": "head", "range": [-1.5, across + 0.5], "anchor": "y2"}
            | {"tickvals": centres[: of.shape[1]], "ticktext": [str(n + 1) for n in range(of.shape[1])]},
            "yaxis2": {**names, "title": "layer", "range": [small.shape[0] + 0.5, -1.5], "scaleanchor": "x2"}
            | {"anchor": "x2", "domain": [0, 0.35]}
            | {"tickvals": centres[: of.shape[0]], "ticktext": [str(n + 1) for n in range(of.shape[0])]},
            "shapes": [frame],
            "height": 760,
        }
        far = _far(of[layer - 1], TRAINED // size)
        return go.Figure(traces, layout), [
            (f"head {n + 1} of this layer, more than {TRAINED} bytes back", percent(share), "")
            for n, share in enumerate(far)
        ]

    return attention_maps


def seen(of: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """A map in thousandths, nan where no head of the layer looks: there the mask forbids it."""
    return np.where(layer.any(0), thousandths(of), np.nan)


def mosaic(of: np.ndarray) -> np.ndarray:
    """All heads' maps, coarser, side by side with a gap between them: a row of maps for each layer."""
    layers, heads, tiles, _ = of.shape
    step = tiles // SMALL
    coarse = of.reshape(layers, heads, SMALL, step, SMALL, step).mean(3).sum(-1)
    z = np.full((layers * (SMALL + 1) - 1, heads * (SMALL + 1) - 1), np.nan)
    for i in range(layers):
        for j in range(heads):
            here = np.s_[i * (SMALL + 1) :, j * (SMALL + 1) :]
            z[here][:SMALL, :SMALL] = seen(coarse[i, j], coarse[i])
    return z


def _far(layer: np.ndarray, near: int) -> np.ndarray:
    """Of the attention of the last `near` tiles of queries, what goes more than `near` tiles back: (heads,)."""
    rows = range(layer.shape[1] - near, layer.shape[1])
    return np.mean([layer[:, row, : max(0, row - near)].sum(-1) for row in rows], axis=0)


# ---- a part of the map, exact -----------------------------------------------------------------------------------

SIDE, FIRST = 32, 1658  # bytes along a side of the part that is drawn, and its first query


def exact(text: Sequence[int], weights: Callable[[str, bool, range, range], np.ndarray]):
    """weights(encoding, blocks, queries, keys): (layers, heads, queries, keys), as `lexviz.inside.region` gives it."""

    def exact_weights(encoding, blocks, layer, head, back):
        """A part of the map, exact: 32 queries, bytes 1,658 to 1,689 of a text of 2,048, and 32 keys, those that stand
        the chosen number of bytes before. The characters on the axes are the text's.

        At 0, queries and keys are the same bytes, and the upper half is blank: the future. The line is the border of a
        block, between bytes 1,663 and 1,664; with blocks the queries above it see keys back to byte 1,408, those below
        it back to 1,536. Weights are shares of what a query gives to the whole text, so that a part may be nearly
        empty.
        """
        start = max(0, round(FIRST - back))
        queries, keys = range(FIRST, FIRST + SIDE), range(start, start + SIDE)
        z = weights(encoding, blocks, queries, keys)[layer - 1, head - 1]
        m, n = np.array(queries)[:, None], np.array(keys)
        allowed = (n <= m) & ((m // BLOCK - n // BLOCK <= 1) | (not blocks))
        characters = shown(text)
        border = next(byte for byte in queries if byte % BLOCK == 0) - 0.5
        traces = [
            heatmap(
                np.where(allowed, thousandths(z), np.nan), np.arange(SIDE) + start, np.arange(SIDE) + FIRST, "",
                name="weights", text=_hovers(characters, queries, keys), hoverinfo="text", xgap=1, ygap=1,
                hovertemplate="%{text}: %{z} thousandths<extra></extra>",
            ),
            line("border", [start - 0.5, start + SIDE - 0.5], [border, border], LIMIT, showlegend=False),
            *colours(),
        ]  # fmt: skip
        axis = {"showgrid": False, "zeroline": False, "constrain": "domain", "ticks": "", "tickangle": 0}
        axis["tickfont"] = {**MONO, "size": 9}
        layout = {
            "xaxis": {**axis, "title": f"keys from byte {start:,} on", "range": [start - 0.5, start + SIDE - 0.5]}
            | {"tickvals": list(keys), "ticktext": [characters[n] for n in keys]},
            "yaxis": {**axis, "title": f"queries from byte {FIRST:,} on", "range": [FIRST + SIDE - 0.5, FIRST - 0.5]}
            | {"tickvals": list(queries), "ticktext": [characters[m] for m in queries], "scaleanchor": "x"},
            "height": 560,
        }
        row, column = np.unravel_index(np.argmax(z), z.shape)
        return go.Figure(traces, layout), [
            ("of these queries' attention, to these keys", percent(z.sum(1).mean()), ""),
            ("the largest weight", percent(z.max()), ""),
            ("is at distance", int(FIRST + row - start - column), ""),
        ]

    return exact_weights


def _hovers(characters: list[str], queries: range, keys: range) -> list[list[str]]:
    return [[f"'{characters[m]}' at {m:,} to '{characters[n]}' at {n:,}" for n in keys] for m in queries]


# ---- in the text itself -----------------------------------------------------------------------------------------

COLUMNS, ROWS = 32, 16  # of the grid of characters: four blocks


def looks(text: Sequence[int], queries: dict[str, int], weights: Callable[[str, bool, range, range], np.ndarray]):
    """`text` is what is read; queries: {what it is called: its place}; weights as for `exact`."""

    def what_a_head_looks_for(encoding, blocks, layer, head, reading):
        """Four blocks of a text of 2,048 bytes, 32 bytes in a row, shaded by the weight that the chosen head gives to
        each when it reads the framed one, in the last of these blocks.

        Thin lines are the borders of blocks, four rows each. What comes after the framed byte is never seen; with
        blocks, nothing before the block before its own is. The dashed line is 256 bytes before the framed one: what
        stands above it is farther away than any two bytes in training.
        """
        at = queries[reading]
        first = max(0, (at // BLOCK + 1) * BLOCK - COLUMNS * ROWS)
        characters = shown(text[first : first + COLUMNS * ROWS])
        row = weights(encoding, blocks, range(at, at + 1), range(at + 1))[layer - 1, head - 1, 0]  # (keys,)
        z = np.full(COLUMNS * ROWS, np.nan)
        z[: at + 1 - first] = thousandths(row[first:])
        if blocks:
            z[: max(0, (at // BLOCK - 1) * BLOCK - first)] = np.nan
        hover = [f"'{character}' at {first + i:,}" for i, character in enumerate(characters)]
        y, x = divmod(np.arange(COLUMNS * ROWS), COLUMNS)
        drawn = [i for i, character in enumerate(characters) if character != " "]
        edges = np.arange(BLOCK, COLUMNS * ROWS, BLOCK) // COLUMNS - 0.5
        ends, gap = np.full((2, len(edges)), [[-0.5], [COLUMNS - 0.5]]), np.full(len(edges), np.nan)
        traces = [
            heatmap(
                z.reshape(ROWS, COLUMNS), np.arange(COLUMNS), np.arange(ROWS), "", name="weights",
                text=np.array(hover).reshape(ROWS, COLUMNS).tolist(),
                hovertemplate="%{text}: %{z} thousandths<extra></extra>",
            ),
            line("border", np.stack((*ends, gap), 1).ravel(), np.repeat(edges, 3), REFERENCE, showlegend=False)
            | {"line": {"color": REFERENCE, "width": 1}},
            {"type": "scatter", "mode": "text", "name": "text", "x": x[drawn], "y": y[drawn], "hoverinfo": "skip"}
            | {"text": [characters[i] for i in drawn], "textfont": {**MONO, "size": 12}, "showlegend": False},
            line("256 bytes back", *_before(at - TRAINED - first), LIMIT, "dash"),
            *colours(),
        ]  # fmt: skip
        row_of, column_of = divmod(at - first, COLUMNS)
        frame = {"type": "rect", "x0": column_of - 0.5, "x1": column_of + 0.5, "y0": row_of - 0.5, "y1": row_of + 0.5}
        axis = {"showgrid": False, "zeroline": False}
        layout = {
            "xaxis": {**axis, "range": [-0.5, COLUMNS - 0.5], "showticklabels": False, "ticks": ""},
            "yaxis": {**axis, "range": [ROWS - 0.5, -0.5], "tickvals": [0, 4, 8, 12]}
            | {"ticktext": [f"{first + COLUMNS * n:,}" for n in (0, 4, 8, 12)]},
            "shapes": [frame | {"line": {"color": LIMIT, "width": 2}}],
            "height": 520,
        }
        top = np.argsort(row)[::-1][:3]
        named = ", ".join(f"{_near(shown(text), n)} ({at - n:,} back, {percent(row[n])})" for n in top)
        return go.Figure(traces, layout), [
            ("the largest weights", named, ""),
            ("of the attention, 256 bytes back or farther", percent(row[: max(0, at - TRAINED + 1)].sum()), ""),
            ("and outside of the picture", percent(row[:first].sum()), ""),
        ]

    return what_a_head_looks_for


def _before(place: int) -> tuple[list, list]:
    """A line that parts the bytes of the grid up to `place` from those after it: a step, as text runs on."""
    row, column = divmod(place + 1, COLUMNS)
    left, right = -0.5, COLUMNS - 0.5
    return [left, column - 0.5, column - 0.5, right], [row + 0.5, row + 0.5, row - 0.5, row - 0.5]


def _near(characters: list[str], place: int) -> str:
    """A byte among its neighbours."""
    before, after = characters[max(0, place - 5) : place], characters[place + 1 : place + 6]
    return f"{''.join(before)}[{characters[place]}]{''.join(after)}"


# ---- by distance ------------------------------------------------------------------------------------------------

POINTS = 60


def distances(scores: dict, shares: dict, resolution: Callable[[np.ndarray], np.ndarray]):
    """scores[encoding][reading] and shares[encoding][reading]: (layers, heads, distances), from
    `lexviz.evaluate.scores_by_distance` and `lexviz.inside.by_distance`; resolution is `lexviz.theory.resolution`.
    """

    def by_distance(encoding, reading, layer):
        """The mean score before the softmax by distance (above, Eq. 11), and the mean weight that the last bytes of a
        text give to a key at that distance (below), for the four heads of a layer. Beyond the dashed line, the training
        length, there are distances that no text in training had.

        Each point is the mean of neighbouring distances. Resolution is that of the mean scores (Eq. 3), one number for
        each head. The lower axis is logarithmic: a weight of a thousandth counts for little at one key and for much
        where there are a thousand such keys, so the share of all attention that goes 256 bytes back or farther stands
        beside it. Scores below -20, which ALiBi has, are left out of the picture.
        """
        s, w = scores[encoding][reading][layer - 1], shares[encoding][reading][layer - 1]
        x, above = _grouped(s)
        x2, below = _grouped(w)
        traces = []
        for head, (colour, dash) in zip(range(len(s)), LINES, strict=False):
            name = f"head {head + 1}"
            common = {"legendgroup": name}
            traces.append(line(name, x + 1, above[head], colour, dash, hover="%{x:,.0f}: %{y:.2f}", **common))
            lower = {"xaxis": "x2", "yaxis": "y2", "showlegend": False, **common}
            drawn = np.maximum(below[head], LEAST)
            traces.append(line(name, x2 + 1, drawn, colour, dash, hover="%{x:,.0f}: %{y:.2g}", **lower))
        every = [_grouped(found)[1] for found in scores[encoding].values()]
        low, high = max(LOWEST, min(v.min() for v in every)), max(v.max() for v in every)
        edge = {"legendgroup": "trained", "line": {"color": LIMIT, "width": 1.5, "dash": "dash"}}
        traces.append(line("training length", [TRAINED] * 2, [low, high], LIMIT, **edge))
        lower = {"xaxis": "x2", "yaxis": "y2", "showlegend": False, **edge}
        traces.append(line("training length", [TRAINED] * 2, [LEAST, 1], LIMIT, **lower))
        ticks = [1, 4, 16, 64, 256, 1024]
        axis = {"type": "log", "range": [0, np.log10(2048)], "tickvals": ticks, "tickformat": ","}
        layout = {
            "xaxis": {**axis, "anchor": "y", "showticklabels": False},
            "yaxis": {"title": "mean score", "domain": [0.54, 1], "range": [low - 0.3, high + 0.3], "anchor": "x"},
            "xaxis2": {**axis, "anchor": "y2", "matches": "x", "title": "distance + 1, bytes"},
            "yaxis2": {"title": "mean weight", "type": "log", "domain": [0, 0.46], "range": np.log10([LEAST, 1])}
            | {"anchor": "x2", "exponentformat": "power", "dtick": 2},
            "height": 600,
        }
        r, far = resolution(s), w[:, TRAINED:].sum(-1)
        heads = range(len(s))
        return go.Figure(traces, layout), [
            *((f"resolution, head {head + 1}", f"{r[head]:.2g}", "") for head in heads),
            *((f"256 back or farther, head {head + 1}", percent(far[head]), "") for head in heads),
        ]

    return by_distance


LEAST, LOWEST = 1e-7, -20  # of the weights and of the scores that are drawn


def _grouped(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over stretches of distances that widen with the distance: (where, (heads, stretches))."""
    last = values.shape[-1]
    edges = np.unique(np.geomspace(1, last + 1, POINTS).round().astype(int)) - 1
    count = np.diff(edges)
    x = np.add.reduceat(np.arange(last), edges[:-1]) / count
    return x, np.add.reduceat(values, edges[:-1], axis=-1) / count


# ---- drift ------------------------------------------------------------------------------------------------------


def drift(found: dict[str, dict[str, np.ndarray]], moved: dict[str, np.ndarray]):
    """found[encoding][reading]: (layers + 1, blocks), how far states are from those of the same bytes read as in
    training, as a share of their size, by block of 128 bytes from byte 128 on. moved[encoding]: (layers + 1,), the same
    where only the beginning of a window has moved a little.
    """

    def drifting(encoding, blocks):
        """How far the states of bytes in a text of 2,048 are from those of the same bytes read in a window of 256, by
        their place in the text, after each layer; a share of the state's own size, on a logarithmic axis.

        A window of 256 bytes ends with the block of 128 in which the byte stands: the first layer, under blockwise
        causal attention, sees just this window. Level dotted lines, in the same colours: the difference that it makes
        if the window begins 16 bytes later. What lies at the bottom makes no difference, apart from rounding.
        """
        of, reference = found[encoding][BLOCKS if blocks else PLAIN], moved[encoding]
        x = BLOCK * (1 + np.arange(of.shape[1])) + BLOCK // 2
        traces = []
        for layer, (colour, dash) in zip(range(1, len(of)), LINES, strict=False):
            name = f"layer {layer}"
            y = np.maximum(of[layer], LOW)
            traces.append(line(name, x, y, colour, dash, hover="%{x:,}: %{y:.2g}", legendgroup=name))
            level = line(name, x[[0, -1]], [max(reference[layer], LOW)] * 2, colour, "dot", hover="%{y:.2g}")
            traces.append(level | {"showlegend": False, "legendgroup": name, "line": {"color": colour, "width": 1}})
            traces[-1]["line"]["dash"] = "dot"
        layout = {
            "xaxis": {"title": "place in the text, bytes", "range": [0, 2060], "tickvals": [256, 1024, 2048]}
            | {"tickformat": ","},
            "yaxis": {"title": "difference", "type": "log", "range": np.log10([LOW / 1.5, 2]).tolist()}
            | {"tickvals": [LOW, 0.001, 0.01, 0.1, 1], "ticktext": ["none", "0.1%", "1%", "10%", "100%"]},
            "height": 420,
        }
        return go.Figure(traces, layout), [
            (f"in the last block, after layer {layer}", share(of[layer, -1]), "") for layer in range(1, len(of))
        ]

    return drifting


LOW = 1e-4  # of a difference that is drawn


def share(value: float) -> str:
    """A share in per cent.

    >>> share(0.5678), share(0.00123), share(1e-7)
    ('57%', '0.1%', 'none')
    """
    return "none" if value <= LOW else f"{100 * value:.0f}%" if value >= 0.1 else f"{100 * value:.1f}%"
