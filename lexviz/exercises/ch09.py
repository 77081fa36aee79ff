"""Checks of chapter 9, inside the attention."""

import numpy as np

from lexviz.exercises.trial import Trial, Wrong, near, shaped

__all__ = ["mean_by_distance", "nearsighted_weights", "tile_shares"]


def mean_by_distance(answer: Trial, rng) -> None:
    """Eq. 11: the mean score of all pairs at a distance, looking back."""
    n = int(rng.integers(1, 9))
    # Scores that say their own distance, and a value that no later key may let in.
    distance = np.arange(n)[:, None] - np.arange(n)
    told = np.where(distance >= 0, distance, 1e6).astype(float)
    found = shaped(answer(told), (n,))
    if found.max() > 2 * n:
        raise Wrong("Keys that come after the query got into the mean; under the causal mask no byte looks at them.")
    near(
        found, np.arange(n),
        "A score that is equal to its distance in all pairs should have that distance as its mean. At a distance n "
        "there are fewer pairs than at 0, and place 0 of the result belongs to distance 0.",
    )  # fmt: skip
    scores = rng.normal(size=(n, n))
    wanted = [np.mean([scores[m, m - d] for m in range(d, n)]) for d in range(n)]
    near(shaped(answer(scores), (n,)), wanted, "Where scores differ, it is not the mean of each distance's own pairs.")


def tile_shares(answer: Trial, rng) -> None:
    """A map in tiles: the share of its queries' attention that goes to a tile's keys."""
    tile, tiles = int(rng.integers(1, 5)), int(rng.integers(1, 6))
    n = tile * tiles
    weights = np.tril(rng.uniform(0.1, 1, (n, n)))
    weights /= weights.sum(1, keepdims=True)
    found = shaped(answer(weights, tile), (tiles, tiles))
    if np.triu(found, 1).any() and not np.tril(found, -1).any():
        raise Wrong(
            "The tiles above the diagonal have got what belongs below: a row is for queries, a column for keys."
        )
    near(
        found.sum(1), np.ones(tiles),
        "Rows of tiles do not sum to one, as the map's own rows do: what a query gives to the keys of a tile adds up; "
        "the mean is over the queries.",
    )  # fmt: skip
    wanted = np.zeros((tiles, tiles))
    for m in range(n):
        for k in range(n):
            wanted[m // tile, k // tile] += weights[m, k] / tile
    near(found, wanted, "Rows sum to one, but some attention is in a tile that it does not belong to.")


def nearsighted_weights(answer: Trial, rng) -> None:
    """Causal attention with some heads that do not see far."""
    heads, n = int(rng.integers(1, 5)), int(rng.integers(2, 12))
    sight = int(rng.integers(1, n + 1))
    chosen = [h for h in range(heads) if rng.random() < 0.5]
    scores = rng.normal(size=(heads, n, n))
    found = shaped(answer(scores, sight, chosen), (heads, n, n))
    distance = np.arange(n)[:, None] - np.arange(n)
    if abs(found[:, distance < 0]).max(initial=0) > 1e-9:
        raise Wrong("A query gives weight to a key that comes after it; the causal mask holds for every head.")
    others = [h for h in range(heads) if h not in chosen]
    wanted = np.where(distance < 0, -np.inf, scores)
    far = distance >= sight
    if chosen and abs(found[chosen][:, far]).max(initial=0) > 1e-9:
        raise Wrong(f"A chosen head gives weight to a key that is {sight} or more bytes back, with a sight of {sight}.")
    near(found.sum(-1), np.ones((heads, n)), "The weights of a query do not sum to one any more: what a head may not "
         "see has to be gone before the softmax, not after it.")  # fmt: skip
    if others and not np.allclose(found[others], softmax(wanted[others]), atol=1e-6):
        raise Wrong("A head that was not chosen has changed, or is not causal attention.")
    wanted[chosen] = np.where(far, -np.inf, wanted[chosen])
    near(found, softmax(wanted), "A chosen head does not divide its attention by its scores among what it still sees: "
         f"keys up to {sight - 1} bytes back, with a sight of {sight}.")  # fmt: skip


def softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)
