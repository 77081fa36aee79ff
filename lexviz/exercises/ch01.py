"""Checks of chapter 1, the length problem."""

import math

import numpy as np
import torch

from lexviz.exercises.trial import Trial, Wrong, near, shaped
from lexviz.positions import Sinusoidal

__all__ = ["by_place", "from_the_end", "rest"]


def rest(answer: Trial, rng) -> None:
    """The perplexity of the part of a text that lies beyond the training length."""
    trained, first = int(rng.integers(1, 500)), float(rng.uniform(2, 8))
    length, later = trained + int(rng.integers(1, 5000)), float(rng.uniform(2, 500))
    whole = math.exp((trained * math.log(first) + (length - trained) * math.log(later)) / length)
    near(
        shaped(answer(first, first, trained, length), ()),
        first,
        "Where the whole is as hard as its beginning, so is the rest, whatever its size.",
    )
    near(
        shaped(answer(first, whole, trained, length), ()), later, tolerance=1e-3,
        because="It is not the rest of the text whose perplexity this is. What is added up over bytes, and divided by "
        "their number, is the loss; perplexity is its exponential.",
    )  # fmt: skip


def by_place(answer: Trial, rng) -> None:
    """The perplexity of the first bytes of a text, from the mean losses of its stretches."""
    sizes = rng.integers(1, 9, size=int(rng.integers(3, 8)))
    ends, nats = sizes.cumsum(), rng.uniform(0.5, 3, size=len(sizes))
    each = [loss for loss, size in zip(nats, sizes, strict=True) for _ in range(size)]  # a loss per byte

    def found(length, losses=nats):
        return shaped(answer(ends, losses, int(length)), ())

    near(
        found(ends[0]), math.exp(nats[0]),
        "The first stretch alone has the perplexity that belongs to its own mean loss, and yours is another.",
    )  # fmt: skip
    longer = nats + np.where(np.arange(len(nats)) < 2, 0, 5)
    if not np.isclose(found(ends[1]), found(ends[1], longer)):
        raise Wrong("A text that ends after the second stretch: what comes later changed its perplexity.")
    for length in ends[1:]:
        near(
            found(length), math.exp(sum(each[:length]) / length),
            "With stretches of different sizes the perplexity is not that of the bytes, taken one by one. A stretch of "
            "eight bytes should count eight times as much as one of a single byte, and as loss, not as perplexity.",
        )  # fmt: skip


def from_the_end(answer: Trial, rng) -> None:
    """Sinusoidal vectors for positions that are counted from the end of the text."""
    dim, length = 2 * int(rng.integers(1, 9)), int(rng.integers(2, 20))
    x = torch.from_numpy(rng.normal(size=(2, length, dim)))
    found = torch.from_numpy(shaped(answer(x), (2, length, dim)))
    tables = Sinusoidal(dim)
    last = tables.embed(x[:, -1:], torch.tensor([0]))
    near(
        found[:, -1:], last,
        "The last token of the text should get the vector of position 0 added to it, and gets another.",
    )  # fmt: skip
    more = torch.cat([torch.from_numpy(rng.normal(size=(2, 3, dim))), x], 1)
    near(
        shaped(answer(more), (2, length + 3, dim))[:, 3:], found,
        "Three more tokens before the text changed what the others get, although they are as far from the end as ever.",
    )  # fmt: skip
    near(
        found, torch.cat([tables.embed(x[:, [i]], torch.tensor([length - 1 - i])) for i in range(length)], 1),
        "The last token is right, but another has not got the vector of its distance from the end.",
    )  # fmt: skip
