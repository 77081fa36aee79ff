"""Chapter 12: the mechanisms on one map. What a token sees, itself, in a sum or when it is fetched; how far that
carries through layers; what it costs; what it brings back.

A `Mechanism` is three masks and three formulas, all of the number of tokens n and of one size, the block h: windows are
2 h wide, summaries have h rows. Costs are those of one layer of `costs.HEADS` heads of `costs.HEAD_DIM` components, as
in chapter 6. What is not a pair is counted in pairs: 4 d operations a head are worth one.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from lexviz import masks
from lexviz.figures import costs
from lexviz.figures.cells import borders, grid, square
from lexviz.figures.costs import BYTES, HEAD_DIM, HEADS
from lexviz.figures.parts import TENS, below, key, line
from lexviz.masks import Mask
from lexviz.palette import BLANK, BLUE, CYAN, GREEN, GREY, LILAC, ORANGE, PINK

FEATURES = 4 * HEAD_DIM  # of Performers
AVERAGES = 16  # that Mega keeps of each component
NEIGHBOURS = 32  # that are fetched, as single tokens
BLOCKS = 2  # that are fetched, as blocks
TOKEN = 2 * HEADS * HEAD_DIM  # numbers of a token's key and value, in all heads


def nothing() -> Mask:
    """A mask that allows no pair."""
    return masks.Interval("nothing", lambda i: 0, lambda i: -1, period=1)


def before_the_block(block: int) -> Mask:
    """All that stands before one's own block."""
    return masks.Interval(f"before the block of {block}", lambda i: 0, lambda i: i // block * block - 1, period=block)


class Mechanism(NamedTuple):
    """How one kind of attention deals with the past; each function takes the number of tokens and the block."""

    family: str
    loses: str
    itself: Callable  # the mask of tokens that are seen as they are
    more: Callable = lambda n, h: 0  # what is computed beyond these pairs, in pairs
    kept: Callable = lambda n, h: n * TOKEN  # numbers that decoding the last token needs, in one layer
    here: Callable | None = None  # as many of these have to be on the device; all of them, if not given
    summed: Callable = lambda n, h: nothing()  # what is seen in a sum
    fetched: Callable = lambda n, h: nothing()  # what can be fetched
    pairs: Callable | None = None  # of `itself`, where its own count would take long


def _causal_longformer(n: int, h: int) -> int:
    i = np.arange(n)
    return int((np.minimum(i, 2 * h) + 1 + (i > 2 * h)).sum())


@functools.lru_cache(maxsize=64)
def _blocks_of_bigbird(n: int, h: int) -> np.ndarray:
    """Which blocks of keys each block of queries sees, none later than itself: (blocks, blocks)."""
    last = np.arange(-(-n // h)) * h
    return masks.bigbird(h, n)(last[:, None], last) & (last <= last[:, None])


def _causal_bigbird(n: int, h: int) -> int:
    sees = _blocks_of_bigbird(n, h)
    size = np.minimum(h, n - np.arange(len(sees)) * h)  # the last one may be shorter
    earlier = (np.tril(sees, -1) * size).sum(1)  # keys of earlier blocks, for each block of queries
    return int((size * earlier + size * (size + 1) // 2).sum())


def _needed_of_bigbird(n: int, h: int) -> int:
    """Keys and values that decoding has to hold at most: of the blocks that some later query sees."""
    sees = _blocks_of_bigbird(n, h)
    until = len(sees) - 1 - sees[::-1].argmax(0)  # the last block of queries that sees it
    b = np.arange(len(sees))
    blocks = (b <= b[:, None]) & (until >= b[:, None])  # held while a block of queries is decoded
    return min(n, int(blocks.sum(1).max()) * h) * TOKEN


def _older(n: int, near: int) -> int:
    """The number of pairs of a token and one that stands at least `near` before it."""
    return (n - near) * (n - near + 1) // 2 if n > near else 0


def _fetched_tokens(n: int, h: int) -> int:
    return int(np.minimum(np.maximum(np.arange(n) - 2 * h + 1, 0), NEIGHBOURS).sum())


def _landmarks(n: int, h: int) -> int:
    """Half a pair for each earlier block's landmark, and the blocks that are fetched."""
    blocks = np.arange(n) // h
    return int(blocks.sum()) // 2 + int(np.minimum(blocks, BLOCKS).sum()) * h


EVERYTHING, LEAVE, HAND, SUM, LOOK = "look at everything", "leave out", "hand on", "sum up", "look up"

MECHANISMS = {
    "causal": Mechanism(EVERYTHING, "nothing, at n² / 2 pairs", lambda n, h: masks.causal()),
    "block causal": Mechanism(
        LEAVE,
        "all beyond two blocks",
        lambda n, h: masks.block_causal(h),
        kept=lambda n, h: min(n, 2 * h) * TOKEN,
    ),
    "sliding window": Mechanism(
        LEAVE,
        "all beyond the window",
        lambda n, h: masks.sliding_window(2 * h),
        kept=lambda n, h: min(n, 2 * h) * TOKEN,
    ),
    "strided": Mechanism(LEAVE, "what is off the grid", lambda n, h: masks.strided(h)),
    "fixed": Mechanism(
        LEAVE,
        "all but the ends of blocks",
        lambda n, h: masks.fixed(h),
        kept=lambda n, h: (min(n, h) + max(0, n - 1) // h) * TOKEN,
    ),
    "Longformer": Mechanism(
        LEAVE,
        "all but window and first",
        lambda n, h: masks.causal() & masks.longformer(4 * h),
        kept=lambda n, h: min(n, 2 * h + 2) * TOKEN,
        pairs=_causal_longformer,
    ),
    "BigBird": Mechanism(
        LEAVE,
        "what was not drawn",
        lambda n, h: masks.causal() & masks.bigbird(h, n),
        kept=_needed_of_bigbird,
        pairs=_causal_bigbird,
    ),
    "Transformer-XL": Mechanism(
        HAND,
        "all beyond the memory",
        lambda n, h: masks.segment_recurrent(h, 2 * h),
        kept=lambda n, h: min(n, 3 * h) * TOKEN,
    ),
    "block-recurrent": Mechanism(
        HAND,
        "single tokens, once in the state",
        lambda n, h: masks.sliding_window(h),
        more=lambda n, h: 3 * n * h,  # tokens read h states; for each block, states read themselves and the block
        kept=lambda n, h: 2 * h * TOKEN,
        summed=lambda n, h: before_the_block(h),
    ),
    "Mega": Mechanism(
        HAND,
        "single tokens, beyond the chunk",
        lambda n, h: masks.segment_recurrent(h, 0),
        more=lambda n, h: 5 * AVERAGES * n // 4,  # 5 operations for each average; 4 for a component of a pair
        kept=lambda n, h: min(n, h) * TOKEN + AVERAGES * HEADS * HEAD_DIM,
        summed=lambda n, h: masks.causal(),
    ),
    "linear": Mechanism(
        SUM,
        "one among some d tokens",
        lambda n, h: nothing(),
        more=lambda n, h: n * HEAD_DIM,
        kept=lambda n, h: HEADS * HEAD_DIM * (HEAD_DIM + 1),
        summed=lambda n, h: masks.causal(),
    ),
    "Performer": Mechanism(
        SUM,
        "sharp attention",
        lambda n, h: nothing(),
        more=lambda n, h: 2 * n * FEATURES,
        kept=lambda n, h: HEADS * FEATURES * (HEAD_DIM + 1),
        summed=lambda n, h: masks.causal(),
    ),
    "Linformer": Mechanism(
        SUM,
        "the causal order, other lengths",
        lambda n, h: nothing(),
        more=lambda n, h: 2 * n * h,  # to make h rows of all keys and values, and to look at them
        kept=lambda n, h: h * TOKEN,
        summed=lambda n, h: masks.full(),
    ),
    "infinite memory": Mechanism(
        SUM,
        "what changes quickly",
        lambda n, h: masks.sliding_window(h),
        more=lambda n, h: 2 * n * h,  # to fold a token into h coefficients, and to read them
        kept=lambda n, h: 2 * h * TOKEN,
        summed=lambda n, h: masks.causal(),
    ),
    "memorising": Mechanism(
        LOOK,
        "nothing, if the search is exact",
        lambda n, h: masks.sliding_window(2 * h),
        more=lambda n, h: _older(n, 2 * h) // 2 + _fetched_tokens(n, h),
        here=lambda n, h: min(n, 2 * h + NEIGHBOURS) * TOKEN,
        fetched=lambda n, h: masks.causal(),
    ),
    "kNN-LM": Mechanism(
        LOOK,
        "all but which token followed",
        lambda n, h: masks.sliding_window(2 * h),
        more=lambda n, h: _older(n, 2 * h) // 2,
        kept=lambda n, h: min(n, 2 * h) * TOKEN + max(0, n - 2 * h) * (HEADS * HEAD_DIM + 1),
        here=lambda n, h: min(n, 2 * h) * TOKEN + NEIGHBOURS,
        fetched=lambda n, h: masks.causal(),
    ),
    "landmarks": Mechanism(
        LOOK,
        "what no landmark stands for",
        lambda n, h: masks.segment_recurrent(h, 0),
        more=_landmarks,
        kept=lambda n, h: n * TOKEN + n // h * TOKEN,
        here=lambda n, h: min(n, (BLOCKS + 1) * h) * TOKEN + n // h * TOKEN // 2,
        fetched=lambda n, h: before_the_block(h),
    ),
}
COLOURS = (BLUE, ORANGE, GREEN, LILAC, PINK, CYAN)
DASHES = ("solid", "dash", "longdash", "dashdot", "dot", "longdashdot")


@functools.lru_cache(maxsize=4096)
def pairs(name: str, n: int, block: int) -> int:
    """What n tokens cost in one layer, in pairs: those of the mask, and what else is computed.

    >>> pairs("causal", 1024, 64), pairs("linear", 1024, 64)
    (524800, 32768)
    """
    of = MECHANISMS[name]
    return (of.pairs(n, block) if of.pairs else of.itself(n, block).pairs(n)) + of.more(n, block)


def kept(name: str, n: int, block: int) -> int:
    """Bytes that one layer holds to decode the n-th token.

    >>> kept("causal", 1024, 64), kept("linear", 1024, 64)
    (1048576, 16896)
    """
    return BYTES * MECHANISMS[name].kept(n, block)


def on_device(name: str, n: int, block: int) -> int:
    """Bytes of these that have to be where the computing is done; the others can be fetched when they are needed.

    >>> kept("memorising", 65536, 64), on_device("memorising", 65536, 64)
    (67108864, 163840)
    """
    of = MECHANISMS[name]
    return BYTES * (of.here or of.kept)(n, block)


def sees(name: str, n: int, block: int) -> str:
    """What the last of n tokens has to go by, in words.

    >>> sees("strided", 1024, 64), sees("Mega", 1024, 64), sees("landmarks", 1024, 64)
    ('79 tokens', '64 tokens, sums of all', '64 tokens, what is fetched')
    """
    of, j = MECHANISMS[name], np.arange(n)
    itself, summed, fetched = (part(n, block)(n - 1, j).sum() for part in (of.itself, of.summed, of.fetched))
    parts = {f"{itself:,} tokens": itself, "sums of all": summed, "what is fetched": fetched}
    return ", ".join(name for name, count in parts.items() if count)


# ---- the map ----------------------------------------------------------------------------------------------------

TOKENS, DEEPEST = 64, 4  # of `the_wider_map`
SCALE = 16  # the costs are those of blocks so many times as large as the ones that are drawn


def seen(name: str, block: int) -> np.ndarray:
    """The map of 64 tokens: 0 not seen, 1 seen as it is, 2 in a sum, 3 if it is fetched."""
    of = MECHANISMS[name]
    parts = [masks.dense(part(TOKENS, block), TOKENS) for part in (of.itself, of.summed, of.fetched)]
    return np.select(parts, (1, 2, 3))


@functools.lru_cache(maxsize=64)
def ways(name: str, block: int, layers: int) -> np.ndarray:
    """How news of each of 64 inputs can have come to each position: (64, 64) of 0 to 3.

    0 not at all, 1 through tokens that were seen as they are, or by staying where it was, 2 only through a sum
    somewhere, 3 only if it was fetched somewhere.
    """
    of = MECHANISMS[name]
    parts = [part(TOKENS, block) for part in (of.itself, of.summed, of.fetched)]
    heard = [
        masks.reach(functools.reduce(Mask.__or__, parts[: end + 1]), TOKENS, layers) for end in range(3)
    ]  # with more and more kinds of steps
    return np.select(heard, (1, 2, 3))


def layers_needed(name: str, block: int) -> str:
    """After how many layers the last of 64 tokens can have heard of all."""
    for layers in range(1, DEEPEST + 1):
        if ways(name, block, layers)[-1].all():
            return str(layers)
    return f"more than {DEEPEST}"


def the_wider_map(name, block, length):
    """How a mechanism lets 64 tokens see each other: a row for each query, a column for each key (above); and what the
    last token can have heard of after one to four layers (below).

    Blue is what is seen as it is, orange what is seen only as part of a sum or a state, green what can be fetched but
    mostly is not. Below, blue has come through tokens that were seen as they are in every layer, orange through a sum
    in some layer, green through something fetched. Windows are two blocks wide; Transformer-XL remembers two blocks.
    Costs are computed for the chosen length with blocks 16 times as large as the ones that are drawn.
    """
    pairs_seen = seen(name, block)
    colours = (BLANK, BLUE, ORANGE, GREEN)
    heard = np.stack([ways(name, block, layers)[-1] for layers in range(1, DEEPEST + 1)])
    traces = [
        grid(pairs_seen, colours, "query %{y}, key %{x}"),
        borders(TOKENS, block),
        *below(grid(heard, colours, "input %{x}, after %{y} layers", y=list(range(1, DEEPEST + 1)))),
        key("seen itself", BLUE),
        key("in a sum", ORANGE),
        key("if fetched", GREEN),
    ]
    layout = {
        **square(TOKENS, [0.32, 1]),
        "xaxis2": {"anchor": "y2", "range": [-0.5, TOKENS - 0.5], "title": "input", "showgrid": False},
        "yaxis2": {
            "anchor": "x2",
            "domain": [0, 0.16],
            "range": [0.5, DEEPEST + 0.5],
            "tickvals": list(range(1, DEEPEST + 1)),
            "title": "layers",
            "showgrid": False,
        },
        "height": 620,
    }
    size = SCALE * block
    cost = pairs(name, length, size)
    return go.Figure(traces, layout), [
        ("family", MECHANISMS[name].family, ""),
        ("the last token sees", int((pairs_seen[-1] == 1).sum()), "tokens as they are"),
        ("layers until it can have heard of all", layers_needed(name, block), ""),
        ("pairs", f"{100 * cost / masks.causal().pairs(length):.3g}", "% of causal"),
        ("kept", _bytes(kept(name, length, size)), ""),
        ("on the device", _bytes(on_device(name, length, size)), ""),
        ("it loses", MECHANISMS[name].loses, ""),
    ]


def _bytes(count: int) -> str:
    """A number of bytes as one says it.

    >>> _bytes(16896), _bytes(67108864)
    ('16.9 kB', '67.1 MB')
    """
    return f"{count / 1e6:.3g} MB" if count >= 1e6 else f"{count / 1e3:.3g} kB"


# ---- costs ------------------------------------------------------------------------------------------------------

QUANTITIES = {  # name: its formula, the title of its axis, and whether it is divided by the number of tokens
    "pairs a token": (pairs, "pairs a token, or what costs as much", True),
    "bytes kept": (kept, "bytes", False),
    "bytes on the device": (on_device, "bytes", False),
}
FAMILIES = (LEAVE, HAND, SUM, LOOK)


def costs_of_all(quantity, family, block):
    """What one layer costs by length under every mechanism: those of the chosen family in colour, the others as thin
    grey lines, causal attention as the dotted one; 4 heads of 32 components, both axes logarithmic.

    Pairs of a query and a key are counted; other work counts as the number of pairs that would take as many operations.
    Kept is what decoding the last token needs, of which some need not be where the computing is done. Windows are two
    blocks wide, Transformer-XL remembers two blocks, summaries have as many rows as a block has tokens.
    """
    formula, axis, by_token = QUANTITIES[quantity]
    n = np.array(costs.LENGTHS)
    colours = {name: iter(zip(COLOURS, DASHES, strict=True)) for name in FAMILIES}
    traces, far = [], {}
    for name, of in MECHANISMS.items():
        y = np.array([formula(name, length, block) for length in costs.LENGTHS]) / (n if by_token else 1)
        colour, dash = next(colours[of.family]) if of.family in colours else (GREY, "dot")
        chosen = of.family in (family, EVERYTHING)
        style = (colour, dash, 2.5) if chosen else (GREY, "solid", 0.7)
        traces.append(line(name, n, y, *style, hover="%{x:,} tokens: %{y:.3g}", showlegend=chosen))
        if of.family == family:
            far[name] = formula(name, costs.LENGTHS[-1], block)
    layout = {"xaxis": costs.TOKENS, "yaxis": {**TENS, "title": axis}, "height": 480}
    causal = formula("causal", costs.LENGTHS[-1], block)
    least, most = min(far, key=far.get), max(far, key=far.get)
    said = {name: f"{name}, {100 * far[name] / causal:.3g}% of causal" for name in (least, most)}
    return go.Figure(traces, layout), [
        ("at 64k tokens, of these least", said[least], ""),
        ("most", said[most], ""),
    ]


# ---- what comes back --------------------------------------------------------------------------------------------


RECALLED = (16, 32, 64, 128, 256, 512, 1024, 2048)  # tokens


def of(found: dict):
    """The figure of what comes back, for {head size: {mechanism: {number of tokens: share found}}}."""

    def what_comes_back(head_dim):
        """How often the right one of n values comes back, when a query asks for one of n random keys in one layer.

        The lines are mechanisms, each with as much room as the chapter gives it. All read the same keys and values. At
        1 all are found; the dotted line is chance.
        """
        shares = found[head_dim]
        traces = []
        for i, (name, by_n) in enumerate(shares.items()):
            n = list(by_n)
            colour, dash = COLOURS[i % len(COLOURS)], DASHES[i // 2 % len(DASHES)]
            y = list(by_n.values())
            width = 2 if i else 5  # the first one is what the others are held against, and lies below them
            more = {"mode": "lines+markers", "marker": {"size": 5}}
            traces.append(line(name, n, y, colour, dash, width, "%{x:,} tokens: %{y:.2f}", **more))
        traces.append(line("chance", n, [1 / x for x in n], GREY, "dot", 1))
        layout = {
            "xaxis": {"type": "log", "title": "tokens", "tickvals": n[::2], "ticktext": [f"{x:,}" for x in n[::2]]},
            "yaxis": {"title": "share found", "range": [-0.03, 1.05]},
            "height": 480,
        }
        half = {name: max((x for x, y in line.items() if y >= 0.5), default=0) for name, line in shares.items()}
        return go.Figure(traces, layout), [
            (f"half found, {name}", f"up to {last:,} tokens" if last else f"not of {n[0]} tokens", "")
            for name, last in half.items()
        ]

    return what_comes_back
