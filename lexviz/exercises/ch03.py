"""Checks of chapter 3, deriving XPos."""

import numpy as np
import torch

from lexviz import theory
from lexviz.exercises.trial import Trial, Wrong, near, shaped
from lexviz.positions import Rope

__all__ = ["interleaving_rows", "patch", "turned_score"]


def turned_score(answer: Trial, rng) -> None:
    """The score of a query and a key, given as complex numbers, that are turned by their positions."""
    pairs = int(rng.integers(1, 9))
    q, k = rng.normal(size=(2, pairs)) + 1j * rng.normal(size=(2, pairs))
    theta, n, r = rng.uniform(0.1, 1, size=pairs), int(rng.integers(0, 50)), int(rng.integers(1, 9))
    plain = sum(a.real * b.real + a.imag * b.imag for a, b in zip(q, k, strict=True))
    found = shaped(answer(q, k, n, n, theta), ())
    if np.iscomplexobj(found) and abs(found.imag) > 1e-9:
        raise Wrong("A score is a real number, and this one has an imaginary part.")
    near(
        found, plain,
        "At one and the same position the turns cancel, so that the score is the dot product of the two vectors. Yours "
        "is not: which of two turns has to be undone by the other?",
    )  # fmt: skip
    found = shaped(answer(q, k, n + r, n, theta), ())
    near(shaped(answer(q, k, n + r + 7, n + 7, theta), ()), found, "The score changed when both tokens moved by 7.")
    cos, sin = np.cos(r * theta), np.sin(r * theta)  # the query alone, turned by what is between the two
    wanted = ((q.real * cos - q.imag * sin) * k.real + (q.real * sin + q.imag * cos) * k.imag).sum()
    near(
        found, wanted,
        "The score depends on the distance alone, but it is that of a query which is turned the other way, or by "
        "another angle: with m larger than n the query has turned farther than the key.",
    )  # fmt: skip


def interleaving_rows(answer: Trial, rng) -> None:
    """The order of rows with which weights of half-split code serve interleaved code."""
    d, m, n = 2 * int(rng.integers(3, 9)), int(rng.integers(0, 40)), int(rng.integers(0, 40))
    rows = shaped(answer(d), (d,))
    if sorted(rows.tolist()) != list(range(d)):
        raise Wrong("Each row should be taken exactly once: the numbers from 0 to d - 1, in another order.")
    rows = rows.astype(int)
    pairs = {frozenset(rows[2 * i : 2 * i + 2].tolist()) for i in range(d // 2)}
    if pairs != {frozenset((i, i + d // 2)) for i in range(d // 2)}:
        raise Wrong(
            "Interleaved code turns the rows 0 and 1 together, 2 and 3, and so on. Yours puts two rows there "
            "that half-split code did not turn together."
        )
    wq, wk = rng.normal(size=(2, d, 5))
    x, y = rng.normal(size=(2, 5))
    query, key = (torch.from_numpy((w[rows] @ z)[None]) for w, z in ((wq, x), (wk, y)))
    turned, turned_key = Rope(d).rotate(query, key, [m], [n])
    near(
        (turned @ turned_key.T).item(), _half_split(wq @ x, m) @ _half_split(wk @ y, n),
        "The right rows are paired, but the scores are not those of the trained model: look at which pair turns at "
        "which speed, and at which of its two rows comes first.",
    )  # fmt: skip


def _half_split(x: np.ndarray, position: int) -> np.ndarray:
    z = x[: len(x) // 2] + 1j * x[len(x) // 2 :]
    z = z * np.exp(1j * position * theory.angles(len(x)))
    return np.concatenate([z.real, z.imag])


def patch(answer: Trial, rng) -> None:
    """An encoding for the patches of an image, relative in rows and in columns."""
    x, y = rng.normal(size=(2, 64))

    def score(query_at, key_at):
        query, key = shaped(answer(x, *query_at), (64,)), shaped(answer(y, *key_at), (64,))
        return float(query @ key)

    row, column = (int(each) for each in rng.integers(0, 30, size=2))
    near(score((row, column), (row, column)), float(x @ y), "Two vectors at the same place have another dot product.")
    score_here = score((row + 2, column + 5), (row, column))
    for down, right in ((7, 0), (0, 7), (3, 11)):
        near(
            score((row + 2 + down, column + 5 + right), (row + down, column + right)), score_here,
            f"The score changed when both patches moved by {down} rows and {right} columns.", 1e-4,
        )  # fmt: skip
    for query_at, what in (((row + 1, column), "rows"), ((row, column + 1), "columns")):
        if np.isclose(score(query_at, (row, column)), x @ y):
            raise Wrong(f"It makes no difference by how many {what} two patches are apart.")
    if np.isclose(score((row + 1, column), (row, column)), score((row, column + 1), (row, column))):
        raise Wrong("One row farther down and one column to the right have the same score, so that a model could not "
                    "tell the two apart.")  # fmt: skip
