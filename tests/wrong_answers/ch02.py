"""Mistakes that are made in the exercises of chapter 2."""

import numpy as np


def sine_and_cosine_exchanged(at, dim):
    phase = np.outer(at, 10000.0 ** (-2 * np.arange(dim // 2) / dim))
    return np.stack([np.cos(phase), np.sin(phase)], -1).reshape(len(at), dim)


def halves_instead_of_neighbours(at, dim):
    phase = np.outer(at, 10000.0 ** (-2 * np.arange(dim // 2) / dim))
    return np.concatenate([np.sin(phase), np.cos(phase)], -1)


def half_the_exponent(at, dim):
    phase = np.outer(at, 10000.0 ** (-np.arange(dim // 2) / dim))
    return np.stack([np.sin(phase), np.cos(phase)], -1).reshape(len(at), dim)


def a_clock_per_component(at, dim):
    phase = np.outer(at, 10000.0 ** (-2 * np.arange(dim) / dim))
    return np.where(np.arange(dim) % 2, np.cos(phase), np.sin(phase))


def as_alibi(q_positions, k_positions, a):
    return -a * (np.asarray(q_positions)[:, None] - k_positions)


def wrong_sign(q_positions, k_positions, a):
    return a * np.log1p(np.abs(np.asarray(q_positions)[:, None] - k_positions))


def of_the_key_alone(q_positions, k_positions, a):
    return -a * np.log1p(np.asarray(k_positions))[None] + 0 * np.asarray(q_positions)[:, None]


def base_two(q_positions, k_positions, a):
    return -a * np.log2(1 + np.abs(np.asarray(q_positions)[:, None] - k_positions))


def two_instead_of_one(q_positions, k_positions, a):
    distance = np.abs(np.asarray(q_positions)[:, None] - k_positions)
    return -a * np.log(2 + distance) * (distance > 0)


WRONG = {
    "clocks": [sine_and_cosine_exchanged, halves_instead_of_neighbours, half_the_exponent, a_clock_per_component],
    "logarithm": [as_alibi, wrong_sign, of_the_key_alone, base_two, two_instead_of_one],
}
