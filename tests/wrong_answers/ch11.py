"""Mistakes that are made in the exercises of chapter 11."""

import numpy as np


def made_unit(keys, queries):  # other products
    keys = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    return np.column_stack((keys, np.zeros(len(keys)))), np.column_stack((queries, np.zeros(len(queries))))


def ones_for_the_query(keys, queries):
    squares = (keys**2).sum(1)
    return np.column_stack((keys, np.sqrt(squares.max() - squares))), np.column_stack((queries, np.ones(len(queries))))


def root_forgotten(keys, queries):
    squares = (keys**2).sum(1)
    return np.column_stack((keys, squares.max() - squares)), np.column_stack((queries, np.zeros(len(queries))))


def lengths_subtracted(keys, queries):
    length = np.linalg.norm(keys, axis=1)
    return np.column_stack((keys, length.max() - length)), np.column_stack((queries, np.zeros(len(queries))))


def drawn_again(better, of, drawn):
    return 1 - (1 - better / of) ** drawn


def how_many(better, of, drawn):
    return better * drawn / of


def none(better, of, drawn):
    return np.prod([(of - better - i) / (of - i) if i < of - better else 0.0 for i in range(drawn)])


WRONG = {
    "lift": [made_unit, ones_for_the_query, root_forgotten, lengths_subtracted],
    "some_better": [drawn_again, how_many, none],
}
