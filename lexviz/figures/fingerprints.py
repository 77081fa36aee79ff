"""Chapter 2: what each encoding does to a score, and the paper's Table 1 as four numbers that are measured.

A fingerprint is the score of every (query, key) with the encoding, less the score of the same vectors without. Nothing
here is trained. Tables that training would fill hold dice: standard normal numbers, so that one sees which entries are
the same and which differ; their values mean nothing.

x is (length, WIDTH), a text of made-up embeddings; scores are (heads, queries, keys), in float64.
"""

import functools
import math

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from lexviz import attention, masks, positions
from lexviz.figures.parts import BARE, below, line, panels
from lexviz.palette import BLUE, DASH, ENCODING, INK, LIMIT, ORANGE, PALE, REFERENCE, SKY, tint
from lexviz.positions import PositionEncoding

WIDTH = 64  # of an embedding, and of each head
HEADS = 8
HEAD = 2  # the third head is the one that is drawn: ALiBi's slope there is 1/8
SIZE = 64  # positions that Learned knows
TOKENS = 40  # of a map
ALONE = math.sqrt(WIDTH)  # the score of two equal vectors without positions
NAMES = ("none", "Sinusoidal", "Learned", "Shaw", "T5", "RoPE", "ALiBi", "XPos")
COLOUR = {"none": ENCODING["NoPosition"], **ENCODING}
DASHES = {"none": DASH["NoPosition"], **DASH}


def dice(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, the same ones for the same seed."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@functools.cache
def encoding(name: str) -> PositionEncoding:
    """One of the eight, for heads of 64 components; what it would learn is filled with dice."""
    made = {
        "none": positions.NoPosition,
        "Sinusoidal": lambda: positions.Sinusoidal(WIDTH),
        "Learned": lambda: positions.Learned(SIZE, WIDTH),
        "Shaw": lambda: positions.Shaw(WIDTH, clip=16),
        "T5": lambda: positions.T5Bias(HEADS),
        "RoPE": lambda: positions.Rope(WIDTH),
        "ALiBi": lambda: positions.Alibi(HEADS),
        "XPos": lambda: positions.Xpos(WIDTH),
    }[name]()
    for parameter in made.parameters():
        parameter.data = dice(*parameter.shape, seed=1)
    return made.requires_grad_(False)


def scores(by: PositionEncoding, x: Tensor, first: int = 0, queries: int | None = None, projections=None) -> Tensor:
    """Scores of a text x that stands at first, first + 1, ...; of its last `queries` tokens, or of all.

    projections: W_q and W_k, each (heads, WIDTH, WIDTH); without them a token is its own query and key in every head.
    What a query may not see has -inf.

    >>> [round(s, 2) for s in scores(encoding("RoPE"), torch.ones(3, 64).double())[0, -1].tolist()]
    [7.08, 7.73, 8.0]
    """
    n = torch.arange(first, first + len(x))
    m = n[-(queries or len(x)) :]
    x = by.embed(x, n)
    w_q, w_k = projections or (torch.eye(WIDTH, dtype=x.dtype).expand(HEADS, -1, -1),) * 2
    q, k = x[-len(m) :] @ w_q, x @ w_k  # (heads, length, WIDTH)
    return attention.scores(q[None], k[None], masks.causal(), by, m, n)[0]


@functools.cache
def text(vectors: str, length: int = TOKENS, seed: int = 2) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """Embeddings and projections. random: dice. equal: every token is the same vector and its own query and key; its
    pairs are (sqrt(2), 0), as in chapter 4, so that two of them have the score 8.
    """
    if vectors == "equal":
        return torch.tensor([math.sqrt(2), 0.0] * (WIDTH // 2), dtype=torch.float64).expand(length, -1), None
    w_q, w_k = (dice(HEADS, WIDTH, WIDTH, seed=seed + i) / math.sqrt(WIDTH) for i in (1, 2))
    return dice(length, WIDTH, seed=seed), (w_q, w_k)


@functools.lru_cache(maxsize=512)
def fingerprint(by: PositionEncoding, vectors: str = "equal", shift: int = 0) -> np.ndarray:
    """What the encoding adds to the score of each query (row) and key (column); (TOKENS, TOKENS). The future is nan,
    and so is what the encoding refuses: positions that Learned has no vector for.
    """
    x, projections = text(vectors)
    known = min(max(by.size - shift, 0), TOKENS) if isinstance(by, positions.Learned) else TOKENS
    found = np.full((TOKENS, TOKENS), np.nan)
    if known:
        with_it, without = (scores(e, x[:known], shift, projections=projections) for e in (by, encoding("none")))
        found[:known, :known] = (with_it - without)[HEAD].numpy()
    return found  # the future is -inf less -inf


# ---- fingerprints -----------------------------------------------------------------------------------------------

SCALE = [[0, BLUE], [0.5, PALE], [1, ORANGE]]  # less, nothing added, more
STRONG = 6  # the ends of the colours
SHIFTS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)


def fingerprints(name, vectors, shift):
    """What an encoding adds to the score of each query and key that it may see (above), and the same by distance
    (below), when the first of 40 tokens stands at the chosen position. Blue: a lower score than without positions;
    orange: a higher one.

    Where only the distance counts, every diagonal of the map has one colour if the vectors are equal, and no map
    changes when all tokens move. Below, the band holds all pairs of a distance, the line is their mean, and the dotted
    line the mean before the tokens moved. Learned has no vector from position 64 on: there the map ends. Learned, Shaw
    and T5 are filled with dice. ALiBi and T5 show their third head of eight.
    """
    return _fingerprint(encoding(name), vectors, shift, COLOUR[name])


def of_my_own(mine: PositionEncoding):
    """The same figure for an encoding of the reader's, as a function for `explore` of vectors and shift."""

    def my_encoding(vectors, shift):
        """What an encoding of one's own adds to the score of each query and key (above), and the same by distance
        (below). Blue: a lower score than without positions; orange: a higher one.

        The band holds all pairs of a distance, the line is their mean, the dotted line the mean before all tokens moved
        by the chosen shift.
        """
        return _fingerprint(mine, vectors, shift, LIMIT)

    return my_encoding


def _fingerprint(by: PositionEncoding, vectors: str, shift: int, colour: str):
    here, before = fingerprint(by, vectors, shift), fingerprint(by, vectors)
    distance = np.arange(TOKENS)
    diagonals = [np.diagonal(here, -n)[~np.isnan(np.diagonal(here, -n))] for n in distance]
    low, high, mean = (np.array([of(d) if len(d) else np.nan for d in diagonals]) for of in (np.min, np.max, np.mean))
    unmoved = np.array([np.diagonal(before, -n).mean() for n in distance])
    known = ~np.isnan(here)
    traces = [
        {
            "type": "heatmap",
            "name": "map",
            "z": _rounded(here),
            "zmin": -STRONG,
            "zmax": STRONG,
            "colorscale": SCALE,
            "colorbar": {"thickness": 10, "len": 0.35, "y": 0.71, "tickvals": [-6, -3, 0, 3, 6]},
            "hovertemplate": "query %{y}, key %{x}: %{z:.2f}<extra></extra>",
        },
        *below(
            line("lowest", distance, _rounded(low), colour, width=0, showlegend=False),
            line("all pairs", distance, _rounded(high), colour, width=0, fill="tonexty", fillcolor=tint(colour, 0.25)),
            line("before the move", distance, _rounded(unmoved), REFERENCE, "dot", 1.5),
            line("mean", distance, _rounded(mean), colour, hover="distance %{x}: %{y:.2f}"),
        ),
    ]
    square = {**BARE, "constrain": "domain"}
    layout = {
        "height": 640,
        "xaxis": {**square, "title": "key", "range": [-0.5, TOKENS - 0.5], "anchor": "y"},
        "yaxis": {**square, "title": "query", "range": [TOKENS - 0.5, -0.5], "anchor": "x", "scaleanchor": "x"}
        | {"domain": [0.42, 1]},
        "xaxis2": {"title": "distance m - n", "range": [0, TOKENS - 1], "anchor": "y2"},
        "yaxis2": {"title": "added", "domain": [0, 0.25], "range": [-9, 14], "anchor": "x2"},
        "legend": {"y": 0.26, "yanchor": "bottom"},
    }
    if known.sum() < TOKENS * (TOKENS + 1) // 2:
        says = {"text": f"no vector from position {by.size} on", "showarrow": False, "yanchor": "bottom"}
        layout["annotations"] = [says | {"xref": "paper", "yref": "paper", "x": 0.5, "y": 1}]
    both = known & ~np.isnan(before)
    change = np.abs(here - before)[both].max() if both.any() else math.nan
    spread = np.nanmax(high - low) if known.any() else math.nan
    return go.Figure(traces, layout), [
        ("largest change by the move", _said(change), ""),
        ("widest spread at one distance", _said(spread), ""),
        ("pairs with a score", int(known.sum()), f"of {TOKENS * (TOKENS + 1) // 2}"),
    ]


def _rounded(values: np.ndarray) -> np.ndarray:
    """Three digits behind the point, and no -0: rounding errors differ from machine to machine."""
    return values.round(3) + 0.0


def _said(value: float) -> str:
    """Two digits behind the point; what a rounding error leaves is 0.

    >>> _said(-1e-15), _said(2.345), _said(math.nan)
    ('0.00', '2.35', 'no score')
    """
    return "no score" if math.isnan(value) else f"{abs(value) if abs(value) < 5e-3 else value:.2f}"


# ---- who is heard -----------------------------------------------------------------------------------------------

TRAINED = 256  # the training length that is assumed where one is needed
LENGTHS = (256, 512, 1024, 2048, 4096)


@functools.lru_cache(maxsize=512)
def last_scores(by: PositionEncoding, vectors: str, length: int) -> np.ndarray | None:
    """Scores that the last token of a text gives to distances 0, 1, ... length - 1; (heads, length), or None where the
    encoding refuses. Learned is given a table of the training length.
    """
    if isinstance(by, positions.Learned):
        if length > TRAINED:
            return None
        by = positions.Learned(TRAINED, WIDTH).requires_grad_(False)
        by.table.data = dice(TRAINED, WIDTH, seed=1)
    x, projections = text(vectors, length)
    return scores(by, x, queries=1, projections=projections)[:, 0].flip(-1).numpy()


def weights(s: np.ndarray, window: int | None = None) -> np.ndarray:
    """Softmax of scores by distance, over the first `window` distances or all of them."""
    s = np.where(np.arange(s.shape[-1]) < (window or s.shape[-1]), s, -np.inf)
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def who_is_heard(length, head):
    """The last token's score for the n-th nearest key (above), and the share of its attention that the n nearest keys
    get together (below). All tokens are equal, so that position alone decides. The upright line is the training length,
    256: keys beyond it are farther away than any that was ever seen.

    Scores are less that of equal vectors without positions. ALiBi falls out of the picture, RoPE and Sinusoidal swing,
    XPos fades, Shaw and T5 are level from their last distance on. Below, what a line lacks to 100 percent at the
    upright one goes to distances that training never showed. Without an encoding, that is the part of the text which
    lies beyond. Learned is left out: it has no vector there. The slope of ALiBi and the numbers of T5 belong to the
    chosen head of eight.
    """
    n, scored, shared, unseen = drawn(length), [], [], []
    for name in NAMES:
        if name == "Learned":
            continue
        s = last_scores(encoding(name), "equal", length)[head - 1]
        weight = weights(s)
        looks, group = (COLOUR[name], DASHES[name], 1.8), {"legendgroup": name}
        added = _rounded((s[n - 1] - ALONE).clip(-14, 14))
        scored.append(line(name, n, added, *looks, "%{x:,}: %{y:.2f}", **group))
        share = weight.cumsum()[n - 1]
        shared.append(line(name, n, share, *looks, "nearest %{x:,}: %{y:.0%}", **group, showlegend=False))
        unseen.append((f"beyond, {name}", f"{weight[TRAINED:].sum():.0%}", ""))
    edge, group = ("trained", [TRAINED, TRAINED]), {"legendgroup": "trained"}
    scored.append(line(*edge, [-14, 14], LIMIT, width=1.5, **group))
    shared.append(line(*edge, [0, 1], LIMIT, width=1.5, **group, showlegend=False))
    ticks = {"type": "log", "range": [0, math.log10(LENGTHS[-1])], "tickvals": [1, 4, 16, 64, 256, 1024, 4096]}
    layout = panels(
        x={**ticks, "showticklabels": False},
        y={"title": "score added", "range": [-13, 13]},
        x2={**ticks, "matches": "x", "title": "nearest keys"},
        y2={"title": "share", "range": [0, 1.03], "tickformat": ".0%"},
        height=600,
        gap=0.08,
    )
    return go.Figure([*scored, *below(*shared)], layout), unseen


@functools.cache
def drawn(length: int, points: int = 120) -> np.ndarray:
    """Numbers of nearest keys to draw on a logarithmic axis: 1, the training length and all of them among these."""
    return np.unique([*np.geomspace(1, length, points).round().astype(int), TRAINED])


# ---- Table 1, measured ------------------------------------------------------------------------------------------

QUESTIONS = ("order", "moved", "new scores", "beyond")


def order(by: PositionEncoding, tokens: int = TOKENS) -> float:
    """The share of the last token's attention that goes elsewhere when the tokens before it are shuffled."""
    x, projections = text("random", tokens)
    shuffle = [*np.random.default_rng(5).permutation(tokens - 1), tokens - 1]
    plain, shuffled = (weights(_last(by, t, 0, projections)) for t in (x, x[shuffle]))
    return elsewhere(plain[:, shuffle], shuffled)


def moved(by: PositionEncoding, shift: int, tokens: int = TOKENS) -> float:
    """The share of the last token's attention that goes elsewhere when the whole text moves by `shift` positions."""
    if isinstance(by, positions.Learned) and shift + tokens > by.size:
        return math.nan
    x, projections = text("random", tokens)
    return elsewhere(*(weights(_last(by, x, first, projections)) for first in (0, shift)))


def new_scores(by: PositionEncoding, length: int, block: int | None = None) -> float:
    """Of the distances that training never showed, those whose score was never met either: equal vectors, all heads.
    With blocks, of those that BCA lets pass.
    """
    s = last_scores(by, "equal", length)
    if s is None:
        return math.nan
    near, far = s[:, :TRAINED], s[:, TRAINED : _window(length, block)]
    margin = 1e-9  # rounding errors are not news
    low, high = near.min(-1, keepdims=True) - margin, near.max(-1, keepdims=True) + margin
    return float(((far < low) | (far > high)).mean()) if far.size else 0.0


def beyond(by: PositionEncoding, length: int, block: int | None = None) -> float:
    """The share of the last token's attention that goes beyond the training length; with blocks, as BCA allows."""
    s = last_scores(by, "random", length)
    if s is None:
        return math.nan
    return float(weights(s, _window(length, block))[:, TRAINED:].sum(-1).mean())


def _window(length: int, block: int | None) -> int:
    """How many of the nearest keys the last token sees."""
    return masks.dense(masks.block_causal(block), length)[-1].sum() if block else length


def _last(by: PositionEncoding, x: Tensor, first: int, projections) -> np.ndarray:
    return scores(by, x, first, queries=1, projections=projections)[:, 0].numpy()  # (heads, keys)


def elsewhere(before: np.ndarray, after: np.ndarray) -> float:
    """Half of the sum of all differences of two lists of weights, averaged over heads: 0 nothing moved, 1 all did.

    >>> elsewhere(np.array([0.5, 0.5, 0]), np.array([0.5, 0.25, 0.25]))
    0.25
    """
    return float(np.abs(before - after).sum(-1).mean() / 2)


@functools.lru_cache(maxsize=256)
def measures(by: PositionEncoding, length: int = 1024, shift: int = 16, blockwise: bool = False) -> tuple:
    """The four numbers of one encoding, in the order of QUESTIONS; nan where it refuses."""
    block = TRAINED // 2 if blockwise else None
    return order(by), moved(by, shift), new_scores(by, length, block), beyond(by, length, block)


def table_one(length, shift, mask):
    """Four measured questions for each encoding, all on a scale from 0 to 1. Order: how much of the attention goes
    elsewhere when the tokens before are shuffled. Moved: the same when the whole text moves. New scores: of the
    distances beyond the training length of 256, those with a score never met. Beyond: how much attention goes there.

    A row for each encoding, a column for each question, a number in each cell, the darker the larger. An empty cell
    means that the encoding refuses: Learned has no vector there.
    """
    rows = [measures(encoding(name), length, shift, mask == "blockwise") for name in NAMES]
    z = np.array(rows).round(2)
    trace = {
        "type": "heatmap",
        "name": "measured",
        "x": list(QUESTIONS),
        "y": list(NAMES),
        "z": z,
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, PALE], [1, SKY]],
        "showscale": False,
        "texttemplate": "%{z:.2f}",
        "textfont": {"color": INK},  # on the cells, which are light in both themes
        "xgap": 3,
        "ygap": 3,
        "hovertemplate": "%{y}, %{x}: %{z:.2f}<extra></extra>",
    }
    layout = {
        "height": 380,
        "margin": {"b": 10},
        "xaxis": {"side": "top", "showgrid": False, "ticks": "", "fixedrange": True},
        "yaxis": {"autorange": "reversed", "showgrid": False, "ticks": "", "fixedrange": True},
    }
    return go.Figure(trace, layout), [
        (f"beyond, {name}", _said(row[3]), "")
        for name, row in zip(NAMES, rows, strict=True)
        if name in ("RoPE", "ALiBi", "XPos")
    ]
