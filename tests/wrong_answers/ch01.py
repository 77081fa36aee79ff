"""Mistakes that are made in the exercises of chapter 1."""

import numpy as np
import torch

from lexviz.positions import Sinusoidal


def perplexities_added(first, whole, trained, length):
    return (length * whole - trained * first) / (length - trained)


def factor_of_the_whole(first, whole, trained, length):
    return whole * length / (length - trained)


def all_bytes_below(first, whole, trained, length):  # divides by all bytes instead of the rest
    return np.exp((length * np.log(whole) - trained * np.log(first)) / length)


def stretches_alike(ends, nats, length):
    return np.exp(np.asarray(nats)[np.asarray(ends) <= length].mean())


def mean_of_perplexities(ends, nats, length):
    inside = np.asarray(ends) <= length
    return np.diff(ends, prepend=0)[inside] @ np.exp(nats)[inside] / length


def all_of_the_text(ends, nats, length):
    return np.exp(np.diff(ends, prepend=0) @ np.asarray(nats) / ends[-1])


def base_two(ends, nats, length):
    inside = np.asarray(ends) <= length
    return 2 ** (np.diff(ends, prepend=0)[inside] @ np.asarray(nats)[inside] / length)


def from_the_beginning(x):
    return Sinusoidal(x.shape[-1]).embed(x)


def starts_at_one(x):
    return Sinusoidal(x.shape[-1]).embed(x, torch.arange(x.shape[-2], 0, -1))


def tokens_turned_too(x):
    return Sinusoidal(x.shape[-1]).embed(x.flip(-2))


def only_the_last(x):
    at = torch.zeros(x.shape[-2], dtype=torch.long)
    return Sinusoidal(x.shape[-1]).embed(x, at)


WRONG = {
    "rest": [perplexities_added, factor_of_the_whole, all_bytes_below],
    "by_place": [stretches_alike, mean_of_perplexities, all_of_the_text, base_two],
    "from_the_end": [from_the_beginning, starts_at_one, tokens_turned_too, only_the_last],
}
