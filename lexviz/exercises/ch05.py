"""Checks of chapter 5, attention with XPos."""

import numpy as np
import torch

from lexviz.exercises.trial import Trial, Wrong, near, shaped

__all__ = ["cos_and_sin", "halves_scores", "recentred"]

TYPES = {torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32"}


def cos_and_sin(answer: Trial, rng) -> None:
    """Tables of cosines and sines in a short format, right at any position."""
    dtype, d = list(TYPES)[rng.integers(3)], 2 * int(rng.integers(1, 33))
    last = 10 ** int(rng.integers(1, 8))
    m = torch.from_numpy(rng.integers(last + 1, size=int(rng.integers(2, 20))))
    m[0], m[-1] = 0, last
    tables = answer(m, d, dtype)
    if not isinstance(tables, tuple | list) or len(tables) != 2:
        raise Wrong("It should return two tables, the cosines and the sines: `return cosines, sines`.")
    angle = m.double()[:, None] * torch.from_numpy(10000.0 ** (-2 * np.arange(d // 2) / d))
    for name, table, exact in zip(("cosines", "sines"), tables, (angle.cos(), angle.sin()), strict=True):
        if not isinstance(table, torch.Tensor) or table.dtype != dtype:
            raise Wrong(f"The {name} are not a tensor of {TYPES[dtype]}, the format that was asked for.")
        numbers = shaped(table.double(), (len(m), d // 2), f"the table of {name}")
        near(numbers[0], exact[0], f"At position 0 the {name} are not those of the angle 0.")
        near(
            numbers, exact, tolerance=torch.finfo(dtype).eps, because=f"In {TYPES[dtype]}, with positions up to "
            f"{last:,}, the {name} are off by more than one rounding at the end explains. Which numbers on the way "
            "have too few digits?",
        )  # fmt: skip


def halves_scores(answer: Trial, rng) -> None:
    """Algorithm 1 where component i and component i + d/2 are a pair."""
    heads, length, half = int(rng.integers(1, 4)), int(rng.integers(9, 30)), int(rng.integers(2, 9))
    d, base = 2 * half, int(rng.integers(20, 600))
    q, k = rng.normal(size=(2, heads, length, d))
    q_pairs, k_pairs = (x[..., :half] + 1j * x[..., half:] for x in (q, k))
    theta = 10000.0 ** (-np.arange(half) / half)
    xi = np.log((np.arange(half) / half + 0.4) / 1.4)  # times distance / B
    apart = np.arange(length)[:, None, None] - np.arange(length)[:, None]  # (queries, keys, 1)

    def by_formula(rate):  # Eq. 10, pair by pair
        power = np.exp(apart * rate + 1j * apart * theta)
        return np.einsum("hmi,hni,mni->hmn", q_pairs, k_pairs.conj(), power).real / np.sqrt(d)

    def given(q, k, base):
        found = answer(torch.from_numpy(q), torch.from_numpy(k), base)
        return shaped(found, (heads, length, length), "the scores")

    level = given(*(np.repeat(x[:, :1], length, axis=1) for x in (q, k)), base)
    if not np.allclose(level[:, 7:, 7:], level[:, :-7, :-7], atol=1e-5):
        raise Wrong(
            "The score changed when the same query and the same key both moved by 7: scale and rotation do not "
            "mean the same pairs, or one of the two is not undone where it should be."
        )
    found = given(q, k, base)
    here = np.einsum("hmi,hmi->hm", q, k) / np.sqrt(d)
    near(
        np.einsum("hmm->hm", found), here, because="The score of a query and the key at its own place should be their "
        "product over the square root of d, as without any encoding.",
    )  # fmt: skip
    near(
        given(q, k, 10**12), by_formula(0.0), because="With a scale base so large that nothing decays, the scores are "
        "not those of a rotation of halves. Which component is the partner of the first one, and by which angle does "
        "each component turn?",
    )  # fmt: skip
    near(
        found, by_formula(xi / base), because="The rotation is right. The decay is not: between two tokens that are "
        "apart, some pair has faded too much or too little.",
    )  # fmt: skip


def recentred(answer: Trial, rng) -> None:
    """Keys whose scale counts from another centre than before."""
    keys, half = int(rng.integers(1, 12)), int(rng.integers(1, 33))
    xi = np.log((np.arange(half) / half + 0.4) / 1.4) / int(rng.integers(100, 600))
    old, new, other = (int(c) for c in rng.integers(600, size=3))
    n = rng.integers(600, size=keys)
    k = rng.normal(size=(keys, half)) + 1j * rng.normal(size=(keys, half))  # as they were, turned

    def scaled(centre):
        return torch.from_numpy(k * np.exp(-(n - centre)[:, None] * xi))

    def given(kept, old, new):
        return shaped(answer(kept, torch.from_numpy(xi), old, new), (keys, half), "the keys that it gives")

    near(given(scaled(old), old, old), scaled(old), "The centre stayed where it was, and the keys changed.")
    q, m = rng.normal(size=half) + 1j * rng.normal(size=half), 600
    query = q * np.exp((m - new) * xi)
    right = (q * k.conj() * np.exp((m - n)[:, None] * xi)).real.sum(-1)
    found = given(scaled(old), old, new)
    near(
        (query * found.conj()).real.sum(-1), right, tolerance=1e-6, because="A query that counts from the new centre, "
        "and the keys that you gave: their scores are not those of XPos. By the theorem of section 4 two "
        "centres cost each pair a factor of its own.",
    )  # fmt: skip
    near(
        found, scaled(new), because="The scores' real parts agree for one query, and the keys do not: they should "
        "only be scaled, and not be turned.",
    )  # fmt: skip
    there = given(torch.from_numpy(found.astype(complex)), new, other)
    near(there, scaled(other), "Moved a second time, to a third centre, the keys are wrong.")
