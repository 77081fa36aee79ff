"""Checks of chapter 4, oscillation versus decay."""

import math

import numpy as np

from lexviz.exercises.trial import Trial, Wrong, near, shaped

__all__ = ["resolving", "score_by_distance"]


def score_by_distance(answer: Trial, rng) -> None:
    """The expected score of XPos at some distances."""
    d, gamma = 2 * int(rng.integers(1, 33)), float(rng.uniform(0.1, 2))
    base, n = float(rng.uniform(16, 1000)), rng.integers(1, 3000, size=int(rng.integers(2, 9)))
    near(
        shaped(answer(np.array([0]), d, gamma, base), (1,)), d / 2,
        "At distance 0 every pair contributes 1, so that the score is the number of pairs. Yours has more or fewer.",
    )  # fmt: skip
    found = shaped(answer(n, d, gamma, base), n.shape)
    slower = shaped(answer(n, d, gamma, 1e12), n.shape)
    near(
        slower, [sum(math.cos(at * 10000 ** (-2 * i / d)) for i in range(d // 2)) for at in n.tolist()],
        "With a scale base so large that nothing fades, the score should be that of RoPE, the sum of the cosines.",
        1e-4,
    )  # fmt: skip
    wanted = [
        sum(math.cos(at * 10000 ** (-2 * i / d)) * ((i / (d / 2) + gamma) / (1 + gamma)) ** (at / base)
            for i in range(d // 2)) for at in n.tolist()
    ]  # fmt: skip
    near(
        found, wanted,
        "The cosines are right, the fading is not: pair 0 should lose most, and what is left of a pair after B "
        "positions is its zeta.",
        1e-4,
    )  # fmt: skip


def resolving(answer: Trial, rng) -> None:
    """Attention resolution of a list of scores."""
    s = rng.normal(size=int(rng.integers(3, 12))) * rng.uniform(0.5, 3)
    found = shaped(answer(s), ())
    near(shaped(answer(s + 3), ()), found, "The resolution changed when the same number was added to all scores.")
    with np.errstate(all="ignore"):
        far_up = answer(s + 2000)
    if not np.allclose(far_up, found, atol=1e-5):
        raise Wrong(
            "With scores around 2,000 the result is not what it is with scores around 0: an exponential has become "
            "infinite. A softmax does not change when the largest score is taken off all."
        )
    equal = shaped(answer(np.zeros(len(s))), ())
    near(equal, 0, "Where all scores are equal, no distance can be told from the next, and the resolution is 0.")
    apart = shaped(answer(np.array([50.0, 0, 0, 0])), ())
    near(apart, 1, "Where all attention goes to the first score, the resolution should be 1.")
    p = [math.exp(each) / sum(map(math.exp, s[:-1])) for each in s]
    wanted = sum(p[i] * (p[i] - p[i + 1]) for i in range(len(s) - 1))
    near(
        found, wanted,
        "It is 0 for equal scores and 1 for a single one, but not right in between. Which scores are in the sum below "
        "the fraction line, and does a rise count as a fall does?",
    )  # fmt: skip
