"""Chapter 9: what trained models attend to, in maps, in the text and by distance; how their states drift.

Nothing is run here. Each function takes what `lexviz.inside` and `lexviz.evaluate` have found, or a function that finds
it, and gives the function that `lexviz.explore` takes. Encodings are found by name, "RoPE", "XPos" and "ALiBi"; layers
and heads count from 1 where a reader sees them.
"""

from collections.abc import Callable, Sequence

import numpy as np
import plotly.graph_objects as go

from lexviz.figures.parts import BARE, TENS, line, panels
from lexviz.figures.weights import MONO, frame, heatmap, legend, letters, one_of_all, percent, shown, thousandths
from lexviz.palette import BLUE, GREEN, LIMIT, ORANGE, REFERENCE, VIOLET

TRAINED, BLOCK = 256, 128  # bytes: the models' training length, and the block of BCA
PLAIN, BLOCKS = "2,048 bytes", "2,048 bytes, in blocks"
SHORT = "256 bytes"

LINES = ((BLUE, "solid"), (ORANGE, "dash"), (GREEN, "dot"), (VIOLET, "dashdot"))  # heads, or layers

# ---- the whole map, in tiles ------------------------------------------------------------------------------------

TILES = 64  # of a map, along a side


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
        ticks = {n: f"{n * size:,}" for n in range(0, TILES, TILES // 4)}
        traces, layout = one_of_all(of, layer, head, begins, ticks, hover)
        far = _far(of[layer - 1], TRAINED // size)
        return go.Figure(traces, layout), [
            (f"head {n + 1} of this layer, more than {TRAINED} bytes back", percent(share), "")
            for n, share in enumerate(far)
        ]

    return attention_maps


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
        the chosen number of bytes before. The characters on the left are the queries, those below the keys.

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
                np.where(allowed, thousandths(z), np.nan), np.arange(SIDE), np.arange(SIDE) + FIRST, "",
                name="weights", text=_hovers(characters, queries, keys), hoverinfo="text", xgap=1, ygap=1,
                hovertemplate="%{text}: %{z} thousandths<extra></extra>",
            ),
            line("border", [-0.5, SIDE - 0.5], [border, border], LIMIT, showlegend=False),
            letters(np.arange(SIDE), np.full(SIDE, FIRST + SIDE), [characters[n] for n in keys], 9),
            *legend(),
        ]  # fmt: skip
        # The keys' characters are a row of letters and no labels of an axis: those plotly is slow to draw anew.
        axis = {**BARE, "constrain": "domain", "ticks": ""}
        layout = {
            "xaxis": {**axis, "title": "keys", "range": [-0.5, SIDE - 0.5], "showticklabels": False},
            "yaxis": {**axis, "title": "queries", "range": [FIRST + SIDE + 0.5, FIRST - 0.5], "scaleanchor": "x"}
            | {"tickvals": list(queries), "ticktext": [characters[m] for m in queries]}
            | {"tickfont": {**MONO, "size": 9}},
            "height": 560,
        }
        row, column = np.unravel_index(np.argmax(z), z.shape)
        return go.Figure(traces, layout), [
            ("keys from byte", f"{start:,}", ""),
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
        across = np.stack((*ends, gap), 1).ravel()
        traces = [
            heatmap(
                z.reshape(ROWS, COLUMNS), np.arange(COLUMNS), np.arange(ROWS), "", name="weights",
                text=np.array(hover).reshape(ROWS, COLUMNS).tolist(),
                hovertemplate="%{text}: %{z} thousandths<extra></extra>",
            ),
            line("border", across, np.repeat(edges, 3), REFERENCE, width=1, showlegend=False),
            letters(x[drawn], y[drawn], [characters[i] for i in drawn]),
            line("256 bytes back", *_before(at - TRAINED - first), LIMIT, "dash"),
            *legend(),
        ]  # fmt: skip
        row_of, column_of = divmod(at - first, COLUMNS)
        layout = {
            "xaxis": {**BARE, "range": [-0.5, COLUMNS - 0.5], "showticklabels": False, "ticks": ""},
            "yaxis": {**BARE, "range": [ROWS - 0.5, -0.5], "tickvals": [0, 4, 8, 12]}
            | {"ticktext": [f"{first + COLUMNS * n:,}" for n in (0, 4, 8, 12)]},
            "shapes": [frame(column_of - 0.5, row_of - 0.5)],
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
        looks, group = (LIMIT, "dash", 1.5), {"legendgroup": "trained"}
        traces.append(line("training length", [TRAINED] * 2, [low, high], *looks, **group))
        lower = {"xaxis": "x2", "yaxis": "y2", "showlegend": False, **group}
        traces.append(line("training length", [TRAINED] * 2, [LEAST, 1], *looks, **lower))
        ticks = [1, 4, 16, 64, 256, 1024]
        axis = {"type": "log", "range": [0, np.log10(2048)], "tickvals": ticks, "tickformat": ","}
        layout = panels(
            x={**axis, "showticklabels": False},
            y={"title": "mean score", "range": [low - 0.3, high + 0.3]},
            x2={**axis, "matches": "x", "title": "distance + 1, bytes"},
            y2={**TENS, "title": "mean weight", "range": np.log10([LEAST, 1]).tolist(), "dtick": 2},
            height=600,
            gap=0.08,
        )
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
            level, same = [max(reference[layer], LOW)] * 2, {"showlegend": False, "legendgroup": name}
            traces.append(line(name, x[[0, -1]], level, colour, "dot", 1, "%{y:.2g}", **same))
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
