"""What a landmark model fetches while it reads in chunks and writes, and what its landmarks offer.

`model` is one with landmarks. Maps are between bytes: landmarks get no weight, and their own looks are left out.

    tiles                the attention map, a block to a tile: the blocks that were fetched, and those at hand
    written              what is fetched for each byte that the model writes
    landmark_keys        what queries compare themselves with, of many blocks at once
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lexviz import checks
from lexviz.landmark import LandmarkCache, is_landmark, remove_landmarks
from lexviz.model import LanguageModel

AT_ONCE = 16  # texts that `landmark_keys` reads together: of each it keeps a little only


@torch.no_grad()
def tiles(model: LanguageModel, tokens: Tensor, k: int, chunk: int, choose: str = "head and token") -> np.ndarray:
    """As `inside.tiles`, with k blocks fetched for each query of a chunk: (layers, heads, blocks, blocks).

    >>> from lexviz.model import ModelConfig
    >>> from lexviz.positions import Rope
    >>> model = LanguageModel(ModelConfig(position=Rope(head_dim=32), layers=2, landmark_block=10))
    >>> tiles(model, torch.arange(200), k=2, chunk=50).shape
    (2, 4, 20, 20)
    """
    checks.at_least(1, chunk=chunk)
    block, n, config = _block(model), checks.text(tokens=tokens), model.config
    if n % block:
        raise ValueError(f"model has landmark_block={block}; it must divide the length of tokens, {n}")
    caches = [LandmarkCache(block, k, choose) for _ in model.blocks]
    found = torch.zeros(config.layers, config.heads, n // block, n // block)
    for part in tokens.split(int(chunk)):
        finished, first = caches[0].blocks, caches[0].length
        model(part[None], cache=caches)
        for i, cache in enumerate(caches):
            blocks, shares, local, _, weights = (x[0] for x in cache.last)
            shares, weights = shares.float(), weights.float()  # of a model in float64 too
            whole = torch.zeros(*local.shape, n // block + 1)  # (heads, queries, blocks), and one for empty slots
            whole.scatter_add_(-1, blocks % (n // block + 1), shares)
            weights = weights[..., blocks.shape[-1] * (block + 1) :]  # of the local tokens
            whole.index_add_(-1, finished + torch.arange(weights.shape[-1]) // (block + 1), weights)
            queries = first + torch.arange(local.shape[-1])
            bytes_ = ~is_landmark(len(queries), block, first)
            found[i].index_add_(1, queries[bytes_] // (block + 1), whole[:, bytes_, :-1])
    return (found / block).numpy()


class Written(NamedTuple):
    """A byte that the model wrote, and what it looked at just before it did."""

    byte: int
    weights: np.ndarray  # (layers, heads, bytes so far); nan: neither fetched nor local
    fetched: np.ndarray  # booleans (layers, heads, finished blocks): which were
    scores: np.ndarray  # (layers, heads, finished blocks): of their landmarks; nan: at most k, none was scored


@torch.inference_mode()
def written(model: LanguageModel, prompt: Tensor, count: int, k: int, chunk: int) -> Iterator[Written]:
    """What the model writes after a prompt (length,), and which k blocks each head fetches for it.

    >>> from lexviz.model import ModelConfig
    >>> from lexviz.positions import Rope
    >>> model = LanguageModel(ModelConfig(position=Rope(head_dim=32), layers=2, landmark_block=10))
    >>> first, second = written(model, torch.arange(200), count=2, k=3, chunk=50)
    >>> second.weights.shape, int(second.fetched[0, 0].sum()), int(np.isfinite(second.weights[0, 0]).sum())
    ((2, 4, 201), 3, 31)
    """
    checks.at_least(0, count=count)
    checks.at_least(1, chunk=chunk)
    block, read = _block(model), checks.text(prompt=prompt)
    caches = [LandmarkCache(block, k) for _ in model.blocks]
    *before, last = prompt.split(int(chunk))
    for part in before:
        model(part[None], cache=caches)
    for byte in model.generate(last, count, cache=caches):
        found = [_of_last_query(cache, block, read) for cache in caches]
        yield Written(byte, *(np.stack(each) for each in zip(*found, strict=True)))
        read += 1


def _of_last_query(cache: LandmarkCache, block: int, read: int) -> tuple[np.ndarray, ...]:
    """Of the query that read byte read - 1: weights of bytes, which blocks were fetched, their scores; by head."""
    at = -2 if cache.length % (block + 1) == 0 else -1  # a landmark after it is a query of its own
    blocks, _, _, scores, weights = (x[0, :, at].numpy() for x in cache.last)
    heads, count = scores.shape
    fetched = np.zeros((heads, count + 1), dtype=bool)
    np.put_along_axis(fetched, blocks % (count + 1), True, axis=1)  # the last column for the empty slot, -1
    of_bytes = np.full((heads, read), np.nan, dtype=np.float32)
    size, slots = block + 1, blocks.shape[-1]
    for head, row in enumerate(weights):
        for slot, b in enumerate(blocks[head]):
            if b >= 0:
                of_bytes[head, b * block : (b + 1) * block] = row[slot * size : slot * size + block]
        of_bytes[head, count * block :] = remove_landmarks(torch.from_numpy(row[slots * size :]), block)
    return of_bytes, fetched[:, :-1], scores


@torch.inference_mode()
def landmark_keys(model: LanguageModel, texts: Tensor, layer: int) -> Tensor:
    """The keys, before rotation, that a layer's landmarks have in texts (batch, length) read at once, as in training.

    (heads, blocks of all texts, head_dim), text after text; layers count from 0.

    >>> from lexviz import runs
    >>> landmark_keys(runs.load("landmark-0"), torch.arange(240).reshape(2, 120), layer=1).shape
    torch.Size([4, 16, 32])
    """
    block = _block(model)
    checks.a(Tensor, texts=texts)
    if texts.ndim != 2:
        raise ValueError(f"texts has shape {tuple(texts.shape)}; (batch, length) is needed")
    checks.at_least(0, layer=layer)
    if layer not in range(model.config.layers):
        raise ValueError(f"layer is {layer}; it must be from 0 to {model.config.layers - 1}")
    found = []
    for part in texts.split(AT_ONCE):
        entering = next(itertools.islice(model.look(part), layer, None)).hidden  # (batch, tokens, width)
        normed = model.blocks[layer].norm_attention(entering)
        keys = model.blocks[layer].heads(normed, normed)[1]  # (batch, heads, tokens, head_dim)
        found.append(keys[:, :, is_landmark(keys.shape[2], block)].transpose(0, 1).flatten(1, 2))
    return torch.cat(found, dim=1)


def _block(model: LanguageModel) -> int:
    checks.a(LanguageModel, model=model)
    if not model.config.landmark_block:
        raise ValueError("model has landmark_block=None; it has no landmarks")
    return model.config.landmark_block
