"""Mistakes that are made in the exercises of chapter 3."""

import numpy as np

from lexviz import theory


def key_turned_the_other_way(q, k, m, n, theta):  # Eq. 6 of the paper, as printed
    return ((q * np.exp(1j * m * theta)) * (k * np.exp(-1j * n * theta)).conj()).real.sum()


def no_star(q, k, m, n, theta):
    return ((q * np.exp(1j * m * theta)) * (k * np.exp(1j * n * theta))).real.sum()


def turned_backwards(q, k, m, n, theta):
    return ((q * np.exp(-1j * m * theta)) * (k * np.exp(-1j * n * theta)).conj()).real.sum()


def length_of_the_product(q, k, m, n, theta):
    return abs((q * np.exp(1j * m * theta) * (k * np.exp(1j * n * theta)).conj()).sum())


def evens_first(d):
    return np.r_[0:d:2, 1:d:2]


def as_they_are(d):
    return np.arange(d)


def second_half_first(d):
    return np.arange(d).reshape(2, d // 2)[::-1].T.ravel()


def slow_ones_first(d):
    return np.arange(d).reshape(2, d // 2)[:, ::-1].T.ravel()


def _turned(x, angle):
    z = (x[0::2] + 1j * x[1::2]) * np.exp(1j * angle)
    return np.stack([z.real, z.imag], -1).ravel()


def row_and_column_added(x, row, column):
    return _turned(x, (row + column) * theory.angles(64))


def only_rows(x, row, column):
    return _turned(x, row * theory.angles(64))


def row_times_column(x, row, column):
    return _turned(x, row * column * theory.angles(64))


def added_to_the_vector(x, row, column):
    return x + _turned(np.ones(64), (row + 1000 * column) * theory.angles(64))


WRONG = {
    "turned_score": [key_turned_the_other_way, no_star, turned_backwards, length_of_the_product],
    "interleaving_rows": [evens_first, as_they_are, second_half_first, slow_ones_first],
    "patch": [row_and_column_added, only_rows, row_times_column, added_to_the_vector],
}
