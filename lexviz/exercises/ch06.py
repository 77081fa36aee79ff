"""Checks of chapter 6, blockwise causal attention."""

import numpy as np
import torch

from lexviz.exercises.trial import Trial, Wrong, near, shaped

__all__ = ["blocks_back", "heard_of", "sees"]


def sees(answer: Trial, rng) -> None:
    """The mask of blocks, asked for one query and one key or for arrays of them."""
    h, n = int(rng.integers(1, 9)), int(rng.integers(20, 40))
    one = answer(2 * h, h, h)
    if np.ndim(one) or not bool(one):
        raise Wrong("A query that opens a block sees the first key of the block before; yours does not.")
    i, j = np.arange(n)[:, None], np.arange(n)
    found = shaped(answer(i, j, h), (n, n), "what it gives for a column of queries and a row of keys").astype(bool)
    apart, blocks = i - j, i // h - j // h
    if found[apart < 0].any():
        raise Wrong("A query sees a key that comes after it.")
    if not found[(apart >= 0) & (blocks == 0)].all():
        raise Wrong("A query does not see all of its own block so far, itself included.")
    if not found[blocks == 1].all():
        raise Wrong("A query does not see the whole block before its own.")
    if found[apart >= 2 * h].any():
        raise Wrong("A query sees a key at a distance that blocks rule out: farther than two blocks are long.")
    if found[blocks > 1].any():
        raise Wrong("A query sees a key that is near enough, but lies farther back than the block before its own.")


def heard_of(answer: Trial, rng) -> None:
    """How many inputs a position has heard of, under segments with a memory."""
    s, m = int(rng.integers(1, 9)), int(rng.integers(0, 20))
    i, layers = int(rng.integers(0, 200)), int(rng.integers(2, 6))

    def first(layers):  # of the unbroken run that ends at i, layer by layer
        heard = {i}
        for _ in range(layers):
            heard = {k for j in heard for k in range(max(0, j - j % s - m), j + 1)}
        return min(heard)

    def given(layers):
        return int(shaped(answer(i, s, m, layers), (), "the number"))

    if given(0) != 1:
        raise Wrong("After no layer at all a position has heard of its own input and of nothing else.")
    if min(given(1), given(layers)) < 1:
        raise Wrong("A position has heard of its own input at least.")
    if max(given(1), given(layers)) > i + 1:
        raise Wrong("It counts inputs from before the text begins.")
    if given(1) != i - first(1) + 1:
        raise Wrong("After one layer it should count the keys that the query sees: its segment so far and the memory.")
    if given(layers) != i - first(layers) + 1:
        raise Wrong(
            "After one layer it is right, after several it is not. News comes from the farthest key that was heard "
            "of: where in its segment does that key stand, and how far back does it look itself?"
        )


def blocks_back(answer: Trial, rng) -> None:
    """Attention to the own block so far and to some blocks before, at the cost of its pairs."""
    h, back = int(rng.integers(1, 7)), int(rng.integers(0, 4))
    whole, rest = int(rng.integers(back + 2, back + 5)), int(rng.integers(0, h))
    batch, heads, d = (int(x) for x in rng.integers(1, 4, size=3))

    def given(q, k, v):
        found = answer(q, k, v, h, back)
        return torch.from_numpy(shaped(found, tuple(q.shape), "what it gives"))

    def right(q, k, v):
        i = torch.arange(q.shape[2])
        blocks = i[:, None] // h - i // h
        weights = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill((i[:, None] < i) | (blocks > back), -torch.inf)
        return weights.softmax(-1) @ v

    q, k, v = torch.from_numpy(rng.normal(size=(3, batch, heads, h * whole, d)))
    found, wanted = given(q, k, v), right(q, k, v)
    near(found[:, :, :1], v[:, :, :1], "The first token sees itself alone, so that it should get its own value.")
    near(found[:, :, :h], wanted[:, :, :h], "The first block is wrong. Before it there is nothing that could be seen.")
    near(found, wanted, "The first block is right, and a later one is not: a query sees too much there, or too little.")
    q, k, v = torch.from_numpy(rng.normal(size=(3, batch, heads, h * whole + rest, d)))
    near(given(q, k, v), right(q, k, v), "It is right for whole blocks only. Where the text ends within one it is not.")
    v[:, :, :1] = torch.inf
    seen = answer(q, k, v, h, back)[:, :, (back + 1) * h :]
    if not bool(torch.isfinite(seen).all()):
        raise Wrong(
            "The numbers are right, the work is not saved: an infinite value in the first block reached tokens that "
            "cannot see it, as a product with a weight of 0. Each block should meet the keys in its window only."
        )
