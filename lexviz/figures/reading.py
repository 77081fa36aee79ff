"""Chapter 6: who reads whom. Masks as maps, what one query sees, and how far information travels through layers.

Everything drawn is asked of the masks themselves: `masks.dense` draws them, `Mask.pairs` counts them, `Mask.span` says
what a cache keeps, `masks.reach` follows them through layers. Queries run down, keys and inputs to the right, and both
count from 0.
"""

import functools

import numpy as np
import plotly.graph_objects as go

from lexviz import masks
from lexviz.figures.cells import borders, grid, square
from lexviz.figures.parts import BARE, below, key, line
from lexviz.masks import Mask
from lexviz.palette import BLANK, BLUE, CLEAR, GREEN, GREY, ORANGE, PINK

# name: the mask of n tokens with this block and this window
MASKS = {
    "full": lambda n, block, window: masks.full(),
    "causal": lambda n, block, window: masks.causal(),
    "block causal": lambda n, block, window: masks.block_causal(block),
    "sliding window": lambda n, block, window: masks.sliding_window(window),
    "segments with memory": lambda n, block, window: masks.segment_recurrent(block, window),
    "causal, padded": lambda n, block, window: masks.causal() & masks.padding(n - n // 4),
    "dilated window": lambda n, block, window: masks.dilated(window, block),
    "strided": lambda n, block, window: masks.strided(block),
    "fixed": lambda n, block, window: masks.fixed(block),
    "longformer": lambda n, block, window: masks.longformer(window),
    "bigbird": lambda n, block, window: masks.bigbird(block, n),
}


@functools.lru_cache(maxsize=1024)
def mask(name: str, n: int, block: int, window: int) -> Mask:
    """One of `MASKS`, and always the same object for the same sizes, so that what is found out about it can be kept.

    >>> mask("block causal", 32, 4, 8)
    block_causal(4)
    """
    return MASKS[name](n, block, window)


@functools.lru_cache(maxsize=512)
def _map(of: Mask, n: int) -> np.ndarray:
    return masks.dense(of, n)


@functools.lru_cache(maxsize=4096)
def _pairs(of: Mask, n: int) -> int:
    return of.pairs(n)


# ---- one mask ---------------------------------------------------------------------------------------------------

LENGTHS = (16, 32, 64, 128, 256, 512, 1024)  # at which pairs are counted


def one_mask(name, length, block, window):
    """A mask as a map, a row for each query and a column for each key (above), and the number of pairs that it allows
    for texts of up to 1,024 tokens, beside the causal mask's (below, both axes logarithmic).

    Blue cells are pairs that the mask allows; thin lines are the borders of blocks. The dot is the length that is drawn
    above. Of the masks, block and window are: the block of block causal attention, of fixed and of bigbird; segment and
    memory of segments with memory; the stride of strided; the number of keys and, as the block, their spacing in the
    dilated window; the window of longformer. In "causal, padded" the last quarter of the text is padding.
    """
    here, reference = mask(name, length, block, window), masks.causal()
    seen = _map(here, length)
    pairs = [_pairs(mask(name, n, block, window), n) for n in LENGTHS]
    causal = [_pairs(reference, n) for n in LENGTHS]
    traces = [
        grid(seen, (BLANK, BLUE), "query %{y}, key %{x}"),
        borders(length, block),
        *below(
            line("pairs, causal mask", LENGTHS, causal, GREY, "dot", 2, "%{x}: %{y:,} pairs"),
            line("pairs, this mask", LENGTHS, pairs, BLUE, "solid", 2, "%{x}: %{y:,} pairs"),
            line("this length", [length], [_pairs(here, length)], BLUE, mode="markers", marker={"size": 9}),
        ),
    ]
    logarithmic = {"type": "log", "tickvals": LENGTHS, "range": np.log10([LENGTHS[0] / 1.1, LENGTHS[-1] * 1.1])}
    layout = {
        **square(length, [0.42, 1]),
        "xaxis2": {"anchor": "y2", "title": "tokens", **logarithmic},
        "yaxis2": {
            "anchor": "x2",
            "domain": [0, 0.26],
            "title": "pairs",
            "type": "log",
            "range": [1.4, 6.2],
            "tickvals": [100, 10_000, 1_000_000],
            "ticktext": ["100", "10⁴", "10⁶"],
        },
        "height": 660,
    }
    i, j = np.nonzero(seen)
    return go.Figure(traces, layout), [
        ("in lexviz.masks", str(here), ""),
        ("pairs", int(seen.sum()), ""),
        ("keys a query, on average", round(float(seen.sum(1).mean()), 2), ""),
        ("largest distance", int(np.abs(i - j).max()), ""),
        ("pairs at 1,024 tokens, in per cent of causal", round(100 * pairs[-1] / causal[-1], 1), ""),
    ]


# ---- what a query sees ------------------------------------------------------------------------------------------

TEXT = 48  # tokens of `what_a_query_sees`
MEMORY = {"half a block": 0.5, "one block": 1, "two blocks": 2}


def side_by_side(block: int, memory: str) -> dict[str, Mask]:
    """The masks that are compared query by query, by short names."""
    return {
        "causal": masks.causal(),
        "blocks": masks.block_causal(block),
        "segments": masks.segment_recurrent(block, int(MEMORY[memory] * block)),
        "window": masks.sliding_window(2 * block),
    }


SIDE_COLOUR = {"causal": GREY, "blocks": BLUE, "segments": ORANGE, "window": GREEN}
SIDE_DASH = {"causal": "dot", "blocks": "solid", "segments": "dash", "window": "longdash"}


def what_a_query_sees(query, block, memory):
    """What one query, in pink, sees under four masks, a row each (above), and how many keys every query sees, in the
    colour of the row (below): causal; block causal; segments with a memory; a window of two blocks. 48 tokens.

    Thin lines are the borders of blocks. Below, the upright line is the query. From the second block on, block causal
    attention shows it between one more than a block and two blocks, a saw; the window always two blocks.
    """
    compared = side_by_side(block, memory)
    j, colours = np.arange(TEXT), tuple(SIDE_COLOUR.values())
    z = np.stack([row * of(query, j) for row, of in enumerate(compared.values(), 1)])  # (masks, keys)
    z[:, query] = len(colours) + 1
    counts = {name: of(j[:, None], j).sum(1) for name, of in compared.items()}
    traces = [
        grid(z, (BLANK, *colours, PINK), "key %{x}"),
        borders(TEXT, block, rows=len(compared)),
        *below(
            *(
                line(name, j, found, SIDE_COLOUR[name], SIDE_DASH[name], hover="query %{x}: %{y} keys")
                for name, found in counts.items()
            ),
            line("query", [query, query], [0, 50], PINK, "dot", 1),
        ),
    ]
    span = {**BARE, "range": [-0.5, TEXT - 0.5]}
    names = list(compared)
    layout = {
        "xaxis": {**span, "anchor": "y", "title": "key"},
        "yaxis": {
            "anchor": "x",
            "domain": [0.6, 1],
            "range": [len(names) - 0.5, -0.5],
            "tickvals": list(range(len(names))),
            "ticktext": names,
            **BARE,
        },
        "xaxis2": {**span, "anchor": "y2", "title": "query"},
        "yaxis2": {"anchor": "x2", "domain": [0, 0.4], "range": [0, 50], "title": "keys seen"},
        "showlegend": False,
        "height": 500,
    }
    return go.Figure(traces, layout), [
        ("place in its block", query % block, ""),
        *((f"keys seen, {name}", int(found[query]), "") for name, found in counts.items()),
    ]


# ---- two masks --------------------------------------------------------------------------------------------------

COMPARED = 32  # tokens of `two_masks`
PAIRED = ("causal", "block causal", "sliding window", "segments with memory", "dilated window", "strided", "fixed",
          "longformer", "bigbird")  # fmt: skip


def two_masks(first, second, block, window):
    """Two masks over 32 tokens, one on the other: what both allow, and what only one of them does.

    Grey cells are pairs that both masks allow, blue ones only the first, orange ones only the second. Thin lines are
    the borders of blocks. Block and window mean for each mask what they mean in the figure of one mask.
    """
    a, b = (mask(name, COMPARED, block, window) for name in (first, second))
    one, other = _map(a, COMPARED), _map(b, COMPARED)
    traces = [
        grid(one * 1 + other * 2, (BLANK, BLUE, ORANGE, GREY), "query %{y}, key %{x}"),
        borders(COMPARED, block),
        key("both", GREY),
        key("only the first", BLUE),
        key("only the second", ORANGE),
    ]
    only = int((one & ~other).sum()), int((other & ~one).sum())
    verdict = {
        (False, False): "the same mask",
        (False, True): "the first lies within the second",
        (True, False): "the second lies within the first",
        (True, True): "neither lies within the other",
    }
    return go.Figure(traces, {**square(COMPARED, [0, 1]), "height": 460}), [
        ("first", str(a), ""),
        ("second", str(b), ""),
        ("both", int((one & other).sum()), "pairs"),
        ("only the first", only[0], "pairs"),
        ("only the second", only[1], "pairs"),
        ("so", verdict[only[0] > 0, only[1] > 0], ""),
    ]


# ---- how far information travels --------------------------------------------------------------------------------

HEARD, DEEPEST, BLOCK = 40, 4, 4  # tokens, layers and block of `who_can_have_heard`
FLOWS = {
    "block causal": masks.block_causal(BLOCK),
    "sliding window of 2 blocks": masks.sliding_window(2 * BLOCK),
    "segments, memory of 2 blocks": masks.segment_recurrent(BLOCK, 2 * BLOCK),
    "segments without memory": masks.segment_recurrent(BLOCK, 0),
    "strided": masks.strided(BLOCK),
    "causal": masks.causal(),
}


@functools.lru_cache(maxsize=64)
def _reach(name: str, layers: int) -> np.ndarray:
    return masks.reach(FLOWS[name], HEARD, layers)


def farthest_walk(name: str, layers: int, position: int) -> list[int]:
    """Where the way to the farthest input stands, from the output down, a position for each layer.

    >>> farthest_walk("block causal", 3, 30)
    [30, 24, 20, 16]
    """
    target = int(_reach(name, layers)[position].argmax())
    walk = [position]
    for left in range(layers - 1, -1, -1):
        step = _map(FLOWS[name], HEARD)[walk[-1]] | (np.arange(HEARD) == walk[-1])
        walk.append(int((step & _reach(name, left)[:, target]).argmax()))
    return walk


def who_can_have_heard(name, layers, position):
    """What can have reached the output at one position: from the top down, the states of each layer that it depends
    on, and at the bottom the inputs. 40 tokens, blocks of 4.

    Pink is the output, blue all that can have reached it; the orange line is one way to the farthest input, an allowed
    step or a rest in every layer. Thin lines are the borders of blocks.
    """
    z = np.zeros((DEEPEST + 1, HEARD))  # layers above the output stay empty
    for layer in range(layers + 1):
        z[layer] = 1 + _reach(name, layers - layer)[position]
    z[layers, position] = 3
    walk = farthest_walk(name, layers, position)
    way = np.full(DEEPEST + 1, np.nan)
    way[: layers + 1] = walk[::-1]
    traces = [
        grid(z, (CLEAR, BLANK, BLUE, PINK), "position %{x}, layer %{y}"),
        borders(HEARD, BLOCK, rows=DEEPEST + 1),
        line("a way to the farthest input", way, np.arange(DEEPEST + 1), ORANGE, mode="lines+markers"),
        key("the output", PINK),
        key("can have reached it", BLUE),
    ]
    names = ["inputs", *(f"layer {n}" for n in range(1, DEEPEST + 1))]
    layout = {
        "xaxis": {**BARE, "range": [-0.5, HEARD - 0.5], "title": "position"},
        "yaxis": {**BARE, "range": [-0.5, DEEPEST + 0.5], "tickvals": list(range(DEEPEST + 1)), "ticktext": names},
        "height": 380,
    }
    heard = np.flatnonzero(_reach(name, layers)[position])
    return go.Figure(traces, layout), [
        ("in lexviz.masks", str(FLOWS[name]), ""),
        ("inputs that can have reached it", len(heard), f"of {position + 1}"),
        ("the farthest is", int(position - heard[0]), "tokens back"),
        ("blocks they lie in", len(set((heard // BLOCK).tolist())), ""),
    ]


# ---- reading in blocks ------------------------------------------------------------------------------------------

BLOCKS = 6  # of `reading_in_blocks`
LAYERS = 3
READERS = {
    "block causal": lambda block: masks.block_causal(block),
    "sliding window of 2 blocks": lambda block: masks.sliding_window(2 * block),
    "segments, memory of 2 blocks": lambda block: masks.segment_recurrent(block, 2 * block),
    "causal": lambda block: masks.causal(),
}


def reading_in_blocks(step, name, block):
    """A long text read block by block, with keys and values kept from step to step (Figure 2 of the paper): the map so
    far (above), and what each layer computes, reuses and has dropped (below). Step 0 is training: a text of two blocks
    under the causal mask.

    Above, blue are the pairs of this step whose keys are new, orange those whose keys are reused, grey the pairs of
    earlier steps. Below, a column is a token: blue is being computed, orange is reused, grey has been read and dropped,
    and the rest has not been read yet. Thin lines are the borders of blocks.
    """
    n, of = BLOCKS * block, READERS[name](block)
    if step:
        first, stop = (step - 1) * block, step * block
    else:
        first, stop, of = 0, 2 * block, masks.causal()
    low = max(0, of.span(first, stop - 1)[0])
    i, j = np.arange(n)[:, None], np.arange(n)
    now = np.where(j < first, 2, 3)
    pairs = np.where(of(i, j) & (i < stop), np.where(i < first, 1, now), 0)
    token = np.select([j < low, j < first, j < stop], [1, 2, 3], 0)
    colours = (BLANK, GREY, ORANGE, BLUE)
    traces = [
        grid(pairs, colours, "query %{y}, key %{x}"),
        borders(n, block),
        *below(
            grid(np.tile(token, (LAYERS, 1)), colours, "token %{x}"),
            borders(n, block, rows=LAYERS),
        ),
        key("new", BLUE),
        key("reused", ORANGE),
        key("of earlier steps", GREY),
    ]
    layout = {
        **square(n, [0.34, 1]),
        "xaxis2": {**BARE, "anchor": "y2", "range": [-0.5, n - 0.5], "title": "token"},
        "yaxis2": {
            "anchor": "x2",
            "domain": [0, 0.18],
            "range": [-0.5, LAYERS - 0.5],
            "tickvals": list(range(LAYERS)),
            "ticktext": [f"layer {layer + 1}" for layer in range(LAYERS)],
            **BARE,
        },
        "height": 600,
    }
    rows, columns = np.nonzero(pairs >= 2)
    kept = stop - max(0, of.span(stop, masks.END)[0]) if step else 0
    return go.Figure(traces, layout), [
        ("this step", f"block {step}" if step else "training", ""),
        ("keys and values computed", stop - first, "a layer"),
        ("reused", first - low, "a layer"),
        ("kept for the next step", kept, "a layer"),
        ("pairs in this step", len(rows), ""),
        ("largest distance in it", int((rows - columns).max()), ""),
    ]
