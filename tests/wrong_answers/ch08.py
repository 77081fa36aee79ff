"""Mistakes that are made in the exercises of chapter 8."""

import numpy as np


def within_windows_only(document, length, loss):
    windows = [document[start : start + length] for start in range(0, len(document), length)]
    nats = [loss(window[:-1], window[1:]) for window in windows if len(window) > 1]
    return np.exp(np.concatenate(nats or [[0.0]]).mean())


def whole_windows_only(document, length, loss):
    starts = range(0, len(document) - length, length)
    nats = [loss(document[i : i + length], document[i + 1 : i + length + 1]) for i in starts]
    return np.exp(np.concatenate(nats or [[0.0]]).mean())


def _by_window(document, length, loss):
    for i in range(0, len(document) - 1, length):
        stop = min(i + length, len(document) - 1)
        yield np.asarray(loss(document[i:stop], document[i + 1 : stop + 1]))


def mean_of_windows(document, length, loss):
    return np.exp(np.mean([nats.mean() for nats in _by_window(document, length, loss)]))


def mean_of_perplexities(document, length, loss):
    return np.mean(np.exp(np.concatenate([*_by_window(document, length, loss)])))


def perplexities_are_averaged(at_half, at_whole, length, trained):
    blocks = 2 * length / trained
    return at_half / blocks + (1 - 1 / blocks) * (2 * at_whole - at_half)


def no_first_block(at_half, at_whole, length, trained):
    return np.exp(2 * np.log(at_whole) - np.log(at_half))


def blocks_of_the_training_length(at_half, at_whole, length, trained):
    first = trained / length
    return np.exp(first * np.log(at_half) + (1 - first) * (2 * np.log(at_whole) - np.log(at_half)))


def later_ones_as_the_whole(at_half, at_whole, length, trained):
    first = trained / 2 / length
    return np.exp(first * np.log(at_half) + (1 - first) * np.log(at_whole))


def not_in_pairs(ours, theirs):
    variance = np.var(ours, ddof=1) + np.var(theirs, ddof=1)
    return ours.mean() - theirs.mean(), 1.96 * np.sqrt(variance / len(ours))


def spread_and_no_error(ours, theirs):
    less = ours - theirs
    return less.mean(), 1.96 * less.std(ddof=1)


def as_if_the_mean_were_known(ours, theirs):
    less = ours - theirs
    return less.mean(), 1.96 * less.std() / np.sqrt(len(less))


def the_other_way_round(ours, theirs):
    less = theirs - ours
    return less.mean(), 1.96 * less.std(ddof=1) / np.sqrt(len(less))


def _resolution(s, last):
    p = np.exp(s - s.max())
    p = p / p[: len(p) - last].sum()
    return (p[:-1] * (p[:-1] - p[1:])).sum()


def keys_after_the_query(scores):
    return _resolution(np.array([np.diagonal(scores, x).mean() for x in range(len(scores))]), 1)


def the_last_in_the_softmax(scores):
    return _resolution(np.array([np.diagonal(scores, -x).mean() for x in range(len(scores))]), 0)


def both_sides(scores):
    far = np.abs(np.subtract.outer(np.arange(len(scores)), np.arange(len(scores))))
    return _resolution(np.array([scores[far == x].mean() for x in range(len(scores))]), 1)


def softmax_of_rows_first(scores):
    n = len(scores)
    weights = np.where(np.tri(n), np.exp(scores - scores.max()), 0)
    weights = weights / weights.sum(1, keepdims=True)
    p = np.array([np.diagonal(weights, -x).mean() for x in range(n)])
    return (p[:-1] * (p[:-1] - p[1:])).sum()


WRONG = {
    "blocks_law": [
        perplexities_are_averaged,
        no_first_block,
        blocks_of_the_training_length,
        later_ones_as_the_whole,
    ],
    "paired_difference": [not_in_pairs, spread_and_no_error, as_if_the_mean_were_known, the_other_way_round],
    "perplexity_at": [within_windows_only, whole_windows_only, mean_of_windows, mean_of_perplexities],
    "resolution_of": [keys_after_the_query, the_last_in_the_softmax, both_sides, softmax_of_rows_first],
}
