"""Checks of chapter 2, ways to say where a token is."""

import math

import numpy as np

from lexviz.exercises.trial import Trial, Wrong, near, shaped

__all__ = ["clocks", "logarithm"]


def clocks(answer: Trial, rng) -> None:
    """Sinusoidal vectors: a row of clocks for each position."""
    dim, length = 2 * int(rng.integers(2, 9)), int(rng.integers(2, 8))
    at = rng.choice(3000, size=length, replace=False)
    p = shaped(answer(at, dim), (length, dim))
    near(
        (p * p).sum(-1), dim / 2,
        "A clock's hand should have length 1, whatever the position, so that a vector's squares add up to half of its "
        "components; yours do not.",
    )  # fmt: skip
    start = shaped(answer(np.array([0]), dim), (1, dim))[0]
    near(start[0::2], 0, "At position 0 every component with an even number is the sine of 0, and yours is not 0.")
    products, moved = p @ p.T, shaped(answer(at + 7, dim), (length, dim))
    near(moved @ moved.T, products, "The products of the vectors changed when all positions moved by 7.", 1e-4)
    one = shaped(answer(np.array([1]), dim), (1, dim))[0]
    near(
        one[0::2], [math.sin(10000 ** (-2 * i / dim)) for i in range(dim // 2)],
        "The first clock turns by 1 radian per position, and the others should slow down as in the formula. Look at "
        "the exponent again, and at what i counts.",
    )  # fmt: skip
    for place, vector in zip(at, p, strict=True):
        wanted = [f(int(place) * 10000 ** (-2 * i / dim)) for i in range(dim // 2) for f in (math.sin, math.cos)]
        near(vector, wanted, "A clock does not turn by the same angle with every position.", 1e-4)


def logarithm(answer: Trial, rng) -> None:
    """A bias that falls with the logarithm of the distance."""
    a, keys = float(rng.uniform(0.2, 3)), np.sort(rng.choice(500, size=int(rng.integers(3, 9)), replace=False))
    queries = keys[-1] + np.array([0, 3, 10])
    shape = (len(queries), len(keys))
    found = shaped(answer(queries, keys, a), shape)
    near(
        shaped(answer(queries + 7, keys + 7, a), shape), found,
        "A score changed when all queries and keys moved by 7: this encoding is not relative.",
    )  # fmt: skip
    for key in keys:
        own = shaped(answer(np.array([key]), np.array([key]), a), (1, 1))
        near(own, 0, "A token's own key, at distance 0, should lose nothing.")
    if not (found[-1] < found[0]).all():
        raise Wrong("A key that is farther away should get less, and does not.")
    near(
        shaped(answer(queries, keys, 2 * a), shape), 2 * found,
        "With twice the slope a, the bias should be twice as large.",
    )  # fmt: skip
    doubled = shaped(answer(np.array([1, 3, 7, 15]), np.array([0]), a), (4, 1))[:, 0]
    near(
        np.diff(doubled), doubled[0],
        "From distance 1 to 3, to 7 and to 15, one plus the distance doubles each time, so that the bias should fall "
        "by the same amount each time.",
    )  # fmt: skip
    near(doubled[0], -a * math.log(2), "It falls with a logarithm, but not with the natural one.")
