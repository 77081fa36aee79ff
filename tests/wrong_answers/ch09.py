"""Plausible wrong answers to the exercises of chapter 9."""

import numpy as np


def divided_by_all(scores):
    n = len(scores)
    return np.array([np.diagonal(scores, -d).sum() / n for d in range(n)])


def later_keys(scores):
    return np.array([np.diagonal(scores, d).mean() for d in range(len(scores))])


def both_sides(scores):
    n = len(scores)
    distance = abs(np.arange(n)[:, None] - np.arange(n))
    return np.array([scores[distance == d].mean() for d in range(n)])


def by_query(scores):
    return np.array([np.mean(row[: m + 1]) for m, row in enumerate(scores)])


def means_of_tiles(weights, tile):
    tiles = len(weights) // tile
    return weights.reshape(tiles, tile, tiles, tile).mean((1, 3))


def sums_of_tiles(weights, tile):
    tiles = len(weights) // tile
    return weights.reshape(tiles, tile, tiles, tile).sum((1, 3))


def turned_over(weights, tile):
    tiles = len(weights) // tile
    return weights.reshape(tiles, tile, tiles, tile).sum(3).mean(1).T


def one_row_for_a_tile(weights, tile):
    tiles = len(weights) // tile
    return weights[tile - 1 :: tile].reshape(tiles, tiles, tile).sum(-1)


def softmax(scores):
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def distances(scores):
    return np.arange(scores.shape[-1])[:, None] - np.arange(scores.shape[-1])


def one_too_many(scores, sight, heads):
    s = np.where(distances(scores) < 0, -np.inf, scores)
    for h in heads:
        s[h][distances(scores) > sight] = -np.inf
    return softmax(s)


def after_the_softmax(scores, sight, heads):
    w = softmax(np.where(distances(scores) < 0, -np.inf, scores))
    for h in heads:
        w[h][distances(scores) >= sight] = 0
    return w


def every_head(scores, sight, heads):
    d = distances(scores)
    return softmax(np.where((d < 0) | (d >= sight), -np.inf, scores))


def without_the_mask(scores, sight, heads):
    s = scores.copy()
    for h in heads:
        s[h][distances(scores) >= sight] = -np.inf
    return softmax(s)


WRONG = {
    "mean_by_distance": [divided_by_all, later_keys, both_sides, by_query],
    "tile_shares": [means_of_tiles, sums_of_tiles, turned_over, one_row_for_a_tile],
    "nearsighted_weights": [one_too_many, after_the_softmax, every_head, without_the_mask],
}
