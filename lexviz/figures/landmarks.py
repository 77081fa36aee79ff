"""Chapters 10 and 11: the softmax in groups, taken apart; maps of a landmark model; what it retrieves, in the text.

Nothing is run here. Each function takes what `lexviz.inside` or a `LandmarkCache` has found, and gives the function
that `lexviz.explore` takes. Layers and heads count from 1 where a reader sees them, blocks from 0.
"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from lexviz.figures.parts import BARE
from lexviz.figures.weights import frame, heatmap, legend, letters, one_of_all, percent, shown, thousandths
from lexviz.landmark import Fetched
from lexviz.palette import BLANK, BLUE, GREEN, GREY, LIMIT, ORANGE, tint

OWN, FIRST, SECOND, NONE = ORANGE, BLUE, GREEN, GREY  # the group of the gates, two blocks, no group

# ---- nine tokens ------------------------------------------------------------------------------------------------

COUNT, LANDMARKS = 9, (2, 5, 8)


def steps_of(scores: np.ndarray, query: int) -> dict[str, np.ndarray]:
    """What the softmax in groups makes of nine scores, step by step, for a query at one place; nan: takes no part.

    group: 0 for tokens whose scores compete at the top, else 1 + their block; gate: the softmax over these; within: the
    softmax over a block's tokens; weight: the product; plain: the softmax over all ordinary tokens that are seen.
    """
    j = np.arange(COUNT)
    landmark, block = np.isin(j, LANDMARKS), j // 3
    ordinary = ~landmark & (j <= query)
    top = (ordinary & (block == block[query])) | (landmark & (block < block[query]))
    group = np.where(top, 0.0, np.where(ordinary, 1.0 + block, np.nan))
    gate, within = _softmax(scores, top), np.full(COUNT, np.nan)
    for b in range(block[query]):
        within = np.where(ordinary & (block == b), _softmax(scores, ordinary & (block == b)), within)
    gated = gate[np.array(LANDMARKS)][block] * within  # nan, but in other blocks
    weight = np.where(ordinary, np.where(top, gate, gated), 0.0)
    return {"group": group, "top group": gate, "within": within, "weight": weight, "plain": _softmax(scores, ordinary)}


def _softmax(scores: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The softmax over the chosen ones, nan elsewhere."""
    e = np.where(chosen, np.exp(scores - scores[chosen].max()), np.nan)
    return e / np.nansum(e)


NAMES = ["0", "1", "2 L", "3", "4", "5 L", "6", "7", "8 L"]
ROWS = (
    ("score", [0.8, 1]),
    ("top group", [0.53, 0.72]),
    ("within", [0.27, 0.46]),
    ("weight", [0, 0.2]),
)  # from the top
READERS = {"token 6": 6, "token 7": 7, "landmark 8": 8}


def grouped_softmax(query, steps, token, score):
    """Nine tokens, 2, 5 and 8 of them landmarks (L), as a query sees them: their scores, in the colours of their
    groups; the softmax over the top group, in which landmarks gate; the softmax within each other block; and the
    product, beside the plain softmax (rings). All scores are 0 but that of the chosen token.

    Orange is the top group: the ordinary tokens of the query's own block, and the landmarks of the blocks before. Blue
    and green are the tokens of blocks 0 and 1. Grey takes no part: what comes after the query, and the landmark of its
    own block. Rings are the plain softmax over all ordinary tokens that are seen. With fewer steps the lower panels
    stay empty.
    """
    place = READERS[query]
    scores = np.where(np.arange(COUNT) == NAMES.index(token), float(score), 0.0)
    of = steps_of(scores, place)
    colour = [NONE if np.isnan(g) else (OWN, FIRST, SECOND)[int(g)] for g in of["group"]]
    x, traces = np.arange(COUNT), []
    for row, (name, _) in enumerate(ROWS):
        axes = {"xaxis": f"x{row + 1}", "yaxis": f"y{row + 1}"} if row else {}
        drawn = row < steps
        if row == 0:
            symbols = ["diamond" if j in LANDMARKS else "circle" for j in x]
            common = {"type": "scatter", "mode": "markers", "marker": {"color": colour, "size": 12, "symbol": symbols}}
            traces.append({"name": name, "x": x, "y": scores, "hovertemplate": "%{x}: %{y}<extra></extra>"} | common)
            continue
        bars = of[name] if drawn else np.full(COUNT, np.nan)
        told = {"hovertemplate": "%{x}: %{y:.3f}<extra></extra>"}
        traces.append({"type": "bar", "name": name, "x": x, "y": bars, "marker": {"color": colour}} | axes | told)
    plain = of["plain"] if steps == len(ROWS) else np.full(COUNT, np.nan)
    rings = {"symbol": "circle-open", "size": 12, "color": LIMIT, "line": {"width": 2}}
    traces.append({"type": "scatter", "mode": "markers", "name": "plain softmax", "x": x, "y": plain, "marker": rings})
    traces[-1] |= {"xaxis": "x4", "yaxis": "y4", "hovertemplate": "%{x}: %{y:.3f}<extra>plain softmax</extra>"}
    layout = {"height": 640, "showlegend": False, "bargap": 0.25}
    for row, (name, domain) in enumerate(ROWS):
        number = str(row + 1) if row else ""
        layout[f"xaxis{number}"] = {"anchor": f"y{number}", "range": [-0.6, COUNT - 0.4], "showgrid": False}
        layout[f"xaxis{number}"] |= {"tickvals": list(range(COUNT)), "ticktext": NAMES, "zeroline": False}
        layout[f"yaxis{number}"] = {"anchor": f"x{number}", "title": name, "domain": domain}
        layout[f"yaxis{number}"] |= (
            {"range": [-4.6, 4.6], "dtick": 4} if row == 0 else {"range": [0, 1.08], "dtick": 0.5}
        )
    layout["xaxis4"]["title"] = "token"
    shares = [of["weight"][3 * b : 3 * b + 3].sum() for b in range(3)]
    plain_shares = [np.nansum(of["plain"][3 * b : 3 * b + 3]) for b in range(3)]
    return go.Figure(traces, layout), [
        ("blocks 0, 1, 2 get", ", ".join(f"{share:.3f}" for share in shares), ""),
        ("with the plain softmax", ", ".join(f"{share:.3f}" for share in plain_shares), ""),
        ("sum of all weights", f"{of['weight'].sum():.3f}", ""),
    ]


# ---- maps, a block to a tile ------------------------------------------------------------------------------------

BACK = 17  # blocks of 15 bytes: more than the 256 of training


def maps(text: Sequence[int], found: dict[str, np.ndarray], block: int = 15):
    """found[reading]: (layers, heads, blocks, blocks), as `inside.tiles` gives it with tile=block, or
    `retrieval.tiles`; all of the same text or of its beginning.
    """

    def landmark_maps(reading, layer, head):
        """The attention of one head, block by block (above), and of all heads (below, a row for each layer): what share
        of their attention the bytes of a block, a row, give to the bytes of a block, a column. For other blocks than
        the own one this is the mean gate of that block's landmark.

        The diagonal is the own block. What is blank is not seen: the future; farther back than the block before the own
        one, where a model reads in blocks of 128; or fetched by no query, where four blocks are fetched. The chosen
        head has a frame below. A hand's touch or a pointer tells the text of the two blocks.
        """
        of = found[reading]
        n = of.shape[-1]
        characters = shown(text)
        named = [f"{b} {''.join(characters[block * b : block * b + block])}" for b in range(n)]
        hover = "from %{y}<br>to %{x}<br>%{z} thousandths"
        traces, layout = one_of_all(of, layer, head, named, {b: str(b) for b in range(0, n, n // 4)}, hover)
        layout["xaxis"]["title"], layout["yaxis"]["title"] = "block of the key", "block of the query"
        own, far = own_and_far(of[layer - 1])
        return go.Figure(traces, layout), [
            (f"head {i + 1}: own block, {BACK} or more back", f"{percent(own[i])}, {percent(far[i])}", "")
            for i in range(len(own))
        ]

    return landmark_maps


def own_and_far(layer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a layer's maps (heads, blocks, blocks), the mean share that goes to the own block, and BACK or more back."""
    far = np.tril(layer, -BACK).sum(-1).mean(-1)
    return layer.diagonal(0, -2, -1).mean(-1), far


# ---- in the text, a block to a row ------------------------------------------------------------------------------

SHADES = ("weight", "weight within its block")


def gates(text: Sequence[int], rows: dict[str, np.ndarray], block: int = 15):
    """rows: {what is read: (layers, heads, bytes up to it)}, weights as `inside.region` gives them for one query."""

    def gates_in_the_text(layer, head, reading, shade):
        """A text of 240 bytes, as in training, a block in each row, shaded by the weight that the chosen head gives to
        each byte when it reads the framed one; and beside it what the whole block gets.

        Orange bars are the gates of other blocks' landmarks, blue is what the query's own block keeps. The weight of a
        byte in another block is the gate times its weight within the block, which the last control shows alone: there
        every row above the own one adds up to one.
        """
        weights = rows[reading][layer - 1, head - 1]
        n, size = len(weights), len(text) // block
        row = np.pad(weights, (0, len(text) - n), constant_values=np.nan).reshape(size, block)
        own = (n - 1) // block
        share = np.nansum(row, axis=1)
        z = row if shade == SHADES[0] else row / np.where(share > 0, share, np.nan)[:, None]
        places = np.arange(len(text)).reshape(size, block)
        bars = {"color": [OWN if b < own else FIRST for b in range(size)]}
        labels = [str(b) for b in range(size)]
        traces, layout = _text_in_rows(text, places, z, share, bars, labels, "block")
        y, x = divmod(n - 1, block)
        layout["shapes"] = [frame(x - 0.5, y - 0.5)]
        low = np.argsort(share[:own])[::-1][:2] if own > 1 else np.zeros(2, dtype=int)
        return go.Figure(traces, layout), [
            ("the own block", percent(share[own]), ""),
            ("the two highest gates", ", ".join(f"{percent(share[b])} (block {b})" for b in low), ""),
        ]

    return gates_in_the_text


def _text_in_rows(text, places, z, share, bars, labels, title) -> tuple[list[dict], dict]:
    """Traces and layout: rows of text shaded by z, a bar beside each. places, of bytes: (rows, columns), -1 none."""
    characters = shown(text)
    rows, columns = places.shape
    spots = [(i, j, characters[places[i, j]]) for i in range(rows) for j in range(columns) if places[i, j] >= 0]
    spots = [spot for spot in spots if spot[2] != " "]
    traces = [
        heatmap(thousandths(z), np.arange(columns), np.arange(rows), "%{z} thousandths", name="weights"),
        letters([j for _, j, _ in spots], [i for i, *_ in spots], [c for *_, c in spots]),
        {"type": "bar", "orientation": "h", "name": "whole block", "x": share, "y": np.arange(rows), "marker": bars}
        | {"xaxis": "x2", "hovertemplate": "%{x:.3f}<extra></extra>", "showlegend": False},
        *legend(),
    ]
    axis = {**BARE, "ticks": ""}
    layout = {
        "xaxis": {**axis, "range": [-0.5, columns - 0.5], "showticklabels": False, "domain": [0, 0.74]},
        "yaxis": {**axis, "range": [rows - 0.5, -0.5], "title": title}
        | {"tickvals": list(range(rows)), "ticktext": labels},
        "xaxis2": {"range": [0, 1.02], "domain": [0.78, 1], "anchor": "y", "tickvals": [0, 0.5, 1]}
        | {"ticktext": ["0", "", "1"], "title": "gate"},
        "height": 130 + 24 * rows,
        "bargap": 0.3,
    }
    return traces, layout


# ---- what is retrieved ------------------------------------------------------------------------------------------


def retrieval(
    text: Sequence[int], queries: dict[str, int], found: dict[tuple[int, str], list[Fetched]], block: int = 15
):
    """found[k, choose]: of each layer, what a chunk's queries fetched (`LandmarkCache.last`, as numpy arrays); before
    the chunk there were whole blocks only. queries: {what it is called: its place in the chunk, landmarks counted}.
    """

    def landmark_retrieval(reading, layer, head, k, choose):
        """What a query retrieves: the scores of all finished blocks' landmarks (above), those of fetched blocks orange;
        the slots (middle), in which blocks stand while landmarks are scored, and in which they are read; and the text
        that is read, a row for each slot and each block of the chunk (below), shaded by weight, with what each gets.

        A slot is as wide as a block; slot 0 begins at position 0, and the chunk follows the last slot. While landmarks
        are scored all old blocks share slot 0, and the last k stand in slots 1 to k. What is fetched stands in temporal
        order: old blocks from slot 0 on, blocks of the last k one slot farther, so that one slot stays empty. Chosen
        per head, a block is fetched that some query of the chunk wants; per token, one that some head wants.
        """
        of = found[k, choose][layer - 1]
        blocks, shares, _, scores, weights = (x[0, head - 1, queries[reading]] for x in of)
        count, slots, size = len(scores), len(blocks), block + 1
        fetched = np.isin(np.arange(count), blocks)
        query = queries[reading]
        traces = [_scored(scores, fetched), *_slots(blocks, count, k)]
        local = weights[slots * size :]
        rows = [*blocks, *range(count, count + query // size + 1)]
        z = np.pad(weights, (0, -len(weights) % size)).reshape(-1, size)[: len(rows), :block]
        own = np.arange(len(rows)) == len(rows) - 1
        places = np.array([[b * block + j if b >= 0 else -1 for j in range(block)] for b in rows])
        z = np.where(own[:, None] & (np.arange(block) > query % size), np.nan, z)
        z = np.where(np.array(rows)[:, None] < 0, np.nan, z)
        places[(places >= len(text)) | np.isnan(z)] = -1
        share = np.concatenate((shares, [local[size * i : size * i + size].sum() for i in range(len(rows) - slots)]))
        labels = [f"slot {i}: {b}" if b >= 0 else f"slot {i}" for i, b in enumerate(blocks)]
        labels += [str(b) for b in rows[slots:]]
        bars = {"color": [OWN if i < slots else FIRST for i in range(len(rows))]}
        below, layout = _text_in_rows(text, places, z, share, bars, labels, "")
        layout |= _over(layout["yaxis"], count, k, len(rows))
        x, y = query % size, len(rows) - 1
        layout["shapes"] = [frame(x - 0.5, y - 0.5)] if x < block else []
        return go.Figure([*traces, *below], layout), [
            ("fetched", ", ".join(str(b) for b in blocks if b >= 0), ""),
            ("they get", percent(shares.sum()), ""),
            ("the most", f"{percent(shares.max())} (block {blocks[shares.argmax()]})", ""),
        ]

    return landmark_retrieval


def _scored(scores: np.ndarray, fetched: np.ndarray) -> dict:
    """The landmarks' scores, a point for each block; of fetched ones larger, in the colour of gates."""
    marker = {"color": [OWN if one else FIRST for one in fetched], "size": [11 if one else 6 for one in fetched]}
    marker["symbol"] = ["diamond" if one else "circle" for one in fetched]
    told = {"hovertemplate": "block %{x}: %{y:.2f}<extra></extra>", "showlegend": False}
    common = {"type": "scatter", "mode": "markers", "name": "scores", "xaxis": "x3", "yaxis": "y3", "marker": marker}
    return common | {"x": np.arange(len(scores)), "y": scores} | told


def _slots(blocks: np.ndarray, count: int, k: int) -> list[dict]:
    """Two rows of slots, with the blocks that stand in them: while landmarks are scored, and while they are read."""
    old = count - k
    scored = [f"≤ {old - 1}", *(str(b) for b in range(old, count))]
    read = [str(b) if b >= 0 else "–" for b in blocks]  # an empty text would take a neighbour's along: plotly
    z = np.array([[1.0] * (k + 1), [1.0 if b >= 0 else 0.0 for b in blocks]])
    flat = [[0, BLANK], [1, tint(ORANGE, 0.35)]]
    cells = {"type": "heatmap", "z": z, "x": np.arange(k + 1), "y": [0, 1], "colorscale": flat, "zmin": 0, "zmax": 1}
    cells |= {"showscale": False, "xgap": 3, "ygap": 3, "hoverinfo": "skip", "name": "slots"}
    x, y, text = [*range(k + 1)] * 2, [0] * (k + 1) + [1] * (k + 1), scored + read
    names = {"type": "scatter", "mode": "text", "name": "blocks", "x": x, "y": y, "text": text, "hoverinfo": "skip"}
    names |= {"textfont": {"size": 12}, "showlegend": False}
    return [trace | {"xaxis": "x4", "yaxis": "y4"} for trace in (cells, names)]


def _over(yaxis: dict, count: int, k: int, rows: int) -> dict:
    """The layout of scores over slots over rows of text, whose axis is given."""
    heights, gap = np.array([150.0, 80, 24 * rows]), 62.0
    whole = heights.sum() + 2 * gap
    top = 1 - np.array([0, heights[0] + gap, heights[:2].sum() + 2 * gap]) / whole
    bottom = np.clip(top - heights / whole, 0, 1)
    scores, slots, text = ([float(low), float(high)] for low, high in zip(bottom, top, strict=True))
    bare = {**BARE, "ticks": ""}
    return {
        "yaxis": {**yaxis, "domain": text},
        "xaxis3": {"title": "block", "range": [-1, count], "anchor": "y3", "zeroline": False},
        "yaxis3": {"title": "score", "domain": scores, "anchor": "x3", "zeroline": False},
        "xaxis4": {**bare, "title": "slot", "range": [-0.5, k + 0.5], "anchor": "y4", "tickvals": list(range(k + 1))},
        "yaxis4": {**bare, "domain": slots, "anchor": "x4", "range": [1.5, -0.5], "tickvals": [0, 1]}
        | {"ticktext": ["scored", "read"]},
        "height": int(whole + 130),
    }
