"""Checks of chapter 11, random access."""

from math import comb

import numpy as np

from lexviz.exercises.trial import Trial, Wrong, near, shaped

__all__ = ["lift", "some_better"]


def lift(answer: Trial, rng) -> None:
    """Vectors among which the nearest is what had the largest product."""
    d, count, asked = int(rng.integers(1, 9)), int(rng.integers(2, 30)), int(rng.integers(1, 5))
    keys = rng.normal(size=(count, d)) * rng.uniform(0.1, 5, size=(count, 1))
    queries = rng.normal(size=(asked, d)) * rng.uniform(0.1, 5, size=(asked, 1))
    found = answer(keys, queries)
    if not isinstance(found, tuple) or len(found) != 2:
        raise Wrong("Two arrays are asked for, the keys and the queries, each with a component more.")
    new_keys = shaped(found[0], (count, d + 1), "the new keys").astype(float)
    new_queries = shaped(found[1], (asked, d + 1), "the new queries").astype(float)
    near(
        new_queries @ new_keys.T, queries @ keys.T,
        "A query's products with the keys are no longer what they were. What must the query's new component be, so "
        "that whatever the keys have there does not count?",
    )  # fmt: skip
    length = np.linalg.norm(new_keys, axis=1)
    near(length, length.max(), "The new keys are not all of one length, so that a long one is still preferred.")
    distance = np.linalg.norm(new_queries[:, None] - new_keys, axis=-1)
    near(
        np.take_along_axis(queries @ keys.T, distance.argmin(1)[:, None], 1)[:, 0], (queries @ keys.T).max(1),
        "The key that is nearest now is not the one with the largest product.",
    )  # fmt: skip


def some_better(answer: Trial, rng) -> None:
    """The chance that a better block is among those that are drawn."""
    of = int(rng.integers(2, 400))
    better, drawn = int(rng.integers(0, of + 1)), int(rng.integers(1, of + 1))
    near(shaped(answer(0, of, drawn), ()), 0, "Where no block is better, none can be drawn.")
    near(
        shaped(answer(1, of, of), ()), 1,
        "If all blocks are drawn, the better one is among them: a text does not draw the same block twice.",
    )  # fmt: skip
    near(shaped(answer(1, of, 1), ()), 1 / of, "With one draw, the chance is the share of the better ones.")
    wanted = 1 - comb(of - better, drawn) / comb(of, drawn)
    near(
        shaped(answer(better, of, drawn), ()), wanted,
        "It is not the chance of at least one better block, where several are better and none is drawn twice. How "
        "likely is it that none of the draws is a better one?",
    )  # fmt: skip
