"""Checks of chapter 12, the wider map."""

import numpy as np
import torch

from lexviz.exercises.trial import Trial, Wrong, near, shaped

__all__ = ["looked_at", "squares", "together"]


def squares(answer: Trial, rng) -> None:
    """Features whose product is the square of the product."""
    n, d = int(rng.integers(1, 6)), int(rng.integers(1, 7))
    q, k = (torch.from_numpy(rng.normal(size=(n, d))) for _ in range(2))
    of_q, of_k = (shaped(answer(x), (n, d * d)) for x in (q, k))
    wanted = ((q @ k.T) ** 2).numpy()
    product = of_q @ of_k.T
    if product.min() < -1e-9:
        raise Wrong("The product of a query's and a key's features is negative, where a square was asked for.")
    near(product, wanted, "The product of a query's and a key's features is not the square of the product of the two: "
         "multiply that square out, and count which pairs of components occur in it.")  # fmt: skip


def together(answer: Trial, rng) -> None:
    """Attention to two parts of a text, made one."""
    d, queries = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    sizes = rng.integers(1, 8, size=2)
    q = rng.normal(size=(queries, d))
    parts = [(rng.normal(size=(size, d)), rng.normal(size=(size, d))) for size in sizes]
    k, v = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    for size, why in (
        (0.0, "With scores that are all zero, each key of either part should count the same, however many there are in "
              "its part."),
        (1.0, "It is not the attention to all keys of both parts. A total is a sum of exponentials around its own top: "
              "around a common one it is another."),
        (400.0, "Scores are large here, and it fails. An exponential of a score itself is too large for a number; "
                "that of a difference from the larger top never is."),
    ):  # fmt: skip
        one, two = (torch_part(size * q, *part) for part in parts)
        found = answer(one, two)
        if not isinstance(found, tuple | list) or len(found) != 3:
            raise Wrong("It should give three things, as each part has them: the top, the total, and the result.")
        wanted = torch_part(size * q, k, v)
        near(number(found[2], (queries, d)), wanted[2].numpy(), why, tolerance=1e-4)
        near(number(found[0], (queries, 1)), wanted[0].numpy(), "The top is not that of both parts together, so that "
             "a third part could not be added.", tolerance=1e-4)  # fmt: skip
        near(number(found[1], (queries, 1)), wanted[1].numpy(), "The total does not go with the top that it gives, so "
             "that a third part could not be added.", tolerance=1e-4)  # fmt: skip


def number(found, shape) -> np.ndarray:
    """`found` with its shape; what is not finite has come from an exponential."""
    if isinstance(found, torch.Tensor) and not found.isfinite().all():
        raise Wrong("With large scores something in the result is not finite. An exponential of a score itself is too "
                    "large for a number; that of a difference from the larger top never is.")  # fmt: skip
    return shaped(found, shape)


def torch_part(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple:
    """The top, the total and the result of attention to a part."""
    scores = q @ k.T
    top = scores.max(1, keepdims=True)
    weights = np.exp(scores - top)
    total = weights.sum(1, keepdims=True)
    return tuple(torch.from_numpy(x) for x in (top, total, weights @ v / total))


def looked_at(answer: Trial, rng) -> None:
    """Which keys a search looks at that opens a few groups."""
    d, n, queries = int(rng.integers(2, 6)), int(rng.integers(5, 20)), int(rng.integers(1, 5))
    groups = int(rng.integers(2, 6))
    q, k, centres = (torch.from_numpy(rng.normal(size=(size, d))) for size in (queries, n, groups))
    fits_key, fits_query = (k @ centres.T).numpy(), (q @ centres.T).numpy()
    group = fits_key.argmax(1)
    everything = shaped(answer(q, k, centres, groups), (queries, n))
    if everything.dtype != bool:
        raise Wrong("Booleans were asked for: is this key looked at by that query?")
    if not everything.all():
        raise Wrong("With all groups opened, some key is not looked at.")
    for b in range(1, groups):
        found = shaped(answer(q, k, centres, b), (queries, n))
        if any(len(set(group[row])) > b for row in found):
            raise Wrong("A query looks at keys of more groups than it may open.")
        for row, fits in zip(found, fits_query, strict=True):
            if any(row[group == g].any() and not row[group == g].all() for g in range(groups)):
                raise Wrong("A group is looked at in part only. An opened one is searched as a whole, a key being of "
                            "the group whose centre has the largest product with it.")  # fmt: skip
            best = set(np.argsort(-fits)[:b].tolist())
            if set(group[row].tolist()) != best & set(group.tolist()):
                raise Wrong("A query opens other groups than those whose centres have the largest products with it.")
