"""Checks of chapter 1, the length problem."""

import math

from lexviz.exercises.trial import Trial, near, shaped

__all__ = ["rest"]


def rest(answer: Trial, rng) -> None:
    """The perplexity of the part of a text that lies beyond the training length."""
    trained, first = int(rng.integers(1, 500)), float(rng.uniform(2, 8))
    length, later = trained + int(rng.integers(1, 5000)), float(rng.uniform(2, 500))
    whole = math.exp((trained * math.log(first) + (length - trained) * math.log(later)) / length)
    near(
        shaped(answer(first, first, trained, length), ()),
        first,
        "Where the whole is as hard as its beginning, so is the rest.",
    )
    near(
        shaped(answer(first, whole, trained, length), ()), later, tolerance=1e-3,
        because="It is not the rest of the text whose perplexity this is. What is added up over bytes, and divided by "
        "their number, is the loss; perplexity is its exponential.",
    )  # fmt: skip
