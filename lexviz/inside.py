"""What goes on inside a model while it reads: attention by tile, by region and by distance; states; heads cut short.

Every map is taken from `LanguageModel.look`, window by window, and reduced as it comes: the memory needed is linear in
the length of the text. `tokens` is one text, (length,), whole numbers; of `states`, a batch of texts of one length.
Maps are between bytes, of a landmark model too: its landmarks get no weight, and their own looks are left out.

    tiles, region        the attention map, coarse and whole, or exact and in part
    by_distance          where the last queries' attention goes, by distance
    states               what enters the first layer, and what each layer makes of it
    losses               of each byte, with chosen heads forbidden to look far
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lexviz import checks
from lexviz.attention import Window
from lexviz.landmark import remove_landmarks
from lexviz.masks import Mask
from lexviz.model import LanguageModel, Layer
from lexviz.positions import PositionEncoding, distances


def tiles(model: LanguageModel, tokens: Tensor, tile: int, mask: Mask | None = None) -> np.ndarray:
    """The whole map of every head in tiles, (layers, heads, tiles of queries, tiles of keys).

    A tile holds the share of its queries' attention that goes to its keys, on average: rows sum to one.

    >>> from lexviz.model import ModelConfig
    >>> from lexviz.positions import Rope
    >>> model = LanguageModel(ModelConfig(position=Rope(head_dim=32), layers=2))
    >>> tiles(model, torch.arange(200), tile=50).shape
    (2, 4, 4, 4)
    """
    checks.at_least(1, tile=tile)
    n, config = _length(model, tokens), model.config
    if n % tile:
        raise ValueError(f"tile is {tile}; it must divide the length of tokens, {n}")
    found = np.zeros((config.layers, config.heads, n // tile, n // tile))
    for i, layer in enumerate(model.look(tokens[None], mask)):
        for window in _between_bytes(model, layer):
            weights = window.weights[0].numpy()  # (heads, queries, keys)
            rows, q_edges = _edges(window.first_query, weights.shape[1], tile)
            columns, k_edges = _edges(window.first_key, weights.shape[2], tile)
            sums = np.add.reduceat(np.add.reduceat(weights, q_edges, axis=1), k_edges, axis=2)
            found[i, :, rows, columns] += sums / tile
    return found


def _edges(first: int, count: int, tile: int) -> tuple[slice, np.ndarray]:
    """The tiles that places first .. first + count - 1 fall into, and where each begins, counted from `first`."""
    numbers = np.arange(first // tile, (first + count - 1) // tile + 1)
    return slice(numbers[0], numbers[-1] + 1), np.maximum(numbers * tile - first, 0)


def region(model: LanguageModel, tokens: Tensor, queries: range, keys: range, mask: Mask | None = None) -> np.ndarray:
    """The exact weights of a part of the map: (layers, heads, queries, keys).

    A part of the map, read off the whole one of a text as long:

    >>> from lexviz.model import ModelConfig
    >>> from lexviz.positions import Rope
    >>> model = LanguageModel(ModelConfig(position=Rope(head_dim=32), layers=2))
    >>> part = region(model, torch.arange(200), queries=range(150, 160), keys=range(160))
    >>> part.shape, bool((abs(part.sum(-1) - 1) < 1e-5).all())
    ((2, 4, 10, 160), True)
    """
    n, config = _length(model, tokens), model.config
    checks.a(range, queries=queries, keys=keys)
    for name, places in (("queries", queries), ("keys", keys)):
        if places.step != 1 or not 0 <= places.start < places.stop <= n:
            raise ValueError(f"{name} is {places}; it must be a range of step 1 within 0 .. {n - 1}")
    found = np.zeros((config.layers, config.heads, len(queries), len(keys)), dtype=np.float32)
    if _mask(model, mask).span(0, queries.stop - 1)[1] < queries.stop:
        tokens = tokens[: queries.stop]  # what comes later is not seen from here
    for i, layer in enumerate(model.look(tokens[None], mask, first=queries.start)):
        for query, key, _, weights in _between_bytes(model, layer):
            q = slice(max(query, queries.start), min(query + weights.shape[-2], queries.stop))
            k = slice(max(key, keys.start), min(key + weights.shape[-1], keys.stop))
            if q.start < q.stop and k.start < k.stop:
                part = weights[0, :, q.start - query : q.stop - query, k.start - key : k.stop - key]
                here = np.s_[i, :, q.start - queries.start : q.stop - queries.start]
                found[here][..., k.start - keys.start : k.stop - keys.start] = part
    return found


def by_distance(model: LanguageModel, tokens: Tensor, last: int, mask: Mask | None = None) -> np.ndarray:
    """Where the attention of the `last` queries goes: the mean share of distance 0, 1, ...: (layers, heads, length).

    Shares sum to one, so that the sum from a distance on is what goes at least that far. The mask looks back only.

    >>> from lexviz import masks
    >>> from lexviz.model import ModelConfig
    >>> from lexviz.positions import Rope
    >>> model = LanguageModel(ModelConfig(position=Rope(head_dim=32), layers=1))
    >>> shares = by_distance(model, torch.arange(200), last=50, mask=masks.sliding_window(20))
    >>> shares[..., :20].sum(-1).round(4), float(shares[..., 20:].sum())
    (array([[1., 1., 1., 1.]]), 0.0)
    """
    n, config = _length(model, tokens), model.config
    checks.at_least(1, last=last)
    if last > n:
        raise ValueError(f"last is {last}; tokens has {n}")
    if _mask(model, mask).looks_ahead(n):
        raise ValueError(f"mask is {_mask(model, mask)}; with it keys ahead are seen, which have no distance here")
    found = torch.zeros(config.layers, config.heads, n, dtype=torch.float64)
    for i, layer in enumerate(model.look(tokens[None], mask, first=n - last)):
        for query, key, _, weights in _between_bytes(model, layer):
            first = max(n - last - query, 0)  # earlier rows of the window are not asked for
            for m, row in enumerate(weights[0, :, first:].unbind(1), query + first):  # (heads, keys)
                seen = row[:, : m + 1 - key].flip(-1)  # from distance 0 on, or where the window ends
                start = m - key + 1 - seen.shape[-1]
                found[i, :, start : start + seen.shape[-1]] += seen
    return (found / last).numpy()


@torch.no_grad()
def states(model: LanguageModel, tokens: Tensor, mask: Mask | None = None) -> Tensor:
    """What enters the first layer, and what comes out of each, of texts (batch, length): (layers + 1, batch, length,
    width).

    >>> from lexviz.model import ModelConfig
    >>> from lexviz.positions import Rope
    >>> model = LanguageModel(ModelConfig(position=Rope(head_dim=32), layers=2))
    >>> found = states(model, torch.randint(256, (3, 50)))
    >>> found.shape
    torch.Size([3, 3, 50, 128])
    """
    checks.a(LanguageModel, model=model)
    entering = [layer.hidden for layer in model.look(tokens, mask)]
    last = model.blocks[-1](entering[-1], _mask(model, mask), model.position)
    return torch.stack([*entering, last])


class Nearsighted(PositionEncoding):
    """Another encoding, with which the `chosen` heads do not see keys at a distance of `sight` or more.

    >>> from lexviz.positions import NoPosition
    >>> x = torch.zeros(1, 2, 3, 8)  # (batch, heads, length, head_dim)
    >>> Nearsighted(NoPosition(), sight=2, chosen=[1]).bias(x, x)[:, -1]
    tensor([[0., 0., 0.],
            [-inf, 0., 0.]])
    """

    def __init__(self, encoding: PositionEncoding, sight: int, chosen: list[int]):
        super().__init__()
        self.encoding, self.sight, self.chosen = encoding, sight, chosen

    def embed(self, x, positions=None):
        return self.encoding.embed(x, positions)

    def rotate(self, q, k, q_positions=None, k_positions=None):
        return self.encoding.rotate(q, k, q_positions, k_positions)

    def bias(self, q, k, q_positions=None, k_positions=None):
        far = distances(q, k, q_positions, k_positions) >= self.sight  # (..., queries, keys)
        blind = torch.zeros(q.shape[-3], 1, 1, dtype=torch.bool, device=q.device)
        blind[self.chosen] = True
        added = self.encoding.bias(q, k, q_positions, k_positions)
        added = torch.zeros(1, device=q.device) if added is None else added
        return added.masked_fill(blind & far, -torch.inf)


@torch.no_grad()
def losses(
    model: LanguageModel, tokens: Tensor, sight: int, heads: dict[int, list[int]], mask: Mask | None = None
) -> Tensor:
    """-ln of the probability of each byte but the first, (length - 1,), with the heads of the layers that `heads` names
    forbidden to look `sight` bytes back or farther: {layer: [head, ...]}, both from 0.

    A head that may look no farther than at itself costs something, if it was of use:

    >>> from lexviz import corpus, runs
    >>> text = corpus.from_text("def first(x): return x; def second(x): return x")
    >>> model, every = runs.load("xpos-0"), {layer: [0, 1, 2, 3] for layer in range(4)}
    >>> free, blind = (losses(model, text, sight, every).mean().item() for sight in (1000, 1))
    >>> free < blind
    True
    """
    _length(model, tokens)
    if model.config.landmark_block:
        raise ValueError(f"model has landmark_block={model.config.landmark_block}; losses here are of models without")
    checks.at_least(1, sight=sight)
    checks.a(dict, heads=heads)
    for layer, chosen in heads.items():
        checks.a(list, **{f"heads[{layer}]": chosen})
        if layer not in range(model.config.layers) or not set(chosen) <= set(range(model.config.heads)):
            raise ValueError(
                f"heads has layer {layer}: {chosen}; the model has layers 0 .. {model.config.layers - 1} with heads "
                f"0 .. {model.config.heads - 1}"
            )
    x = next(model.look(tokens[None, :-1], mask)).hidden  # (1, length - 1, width), as it enters the first layer
    for i, block in enumerate(model.blocks):
        encoding = Nearsighted(model.position, sight, heads[i]) if heads.get(i) else model.position
        x = block(x, _mask(model, mask), encoding)
    logits = model.predict(model.norm(x))[0]  # (length - 1, vocabulary)
    return F.cross_entropy(logits, tokens[1:].long(), reduction="none")


def _between_bytes(model: LanguageModel, layer: Layer) -> Iterator[Window]:
    """The windows of a layer's map, without the rows and columns of landmarks."""
    for window in layer.windows:
        if block := model.config.landmark_block:
            parts = (remove_landmarks(remove_landmarks(x, block).mT, block).mT for x in window[2:])
            window = Window(window.first_query, window.first_key, *parts)
        yield window


def _mask(model: LanguageModel, mask: Mask | None) -> Mask:
    mask = model.config.mask if mask is None else mask
    checks.a(Mask, mask=mask)
    return mask


def _length(model: LanguageModel, tokens: Tensor) -> int:
    checks.a(LanguageModel, model=model)
    return checks.text(tokens=tokens)
