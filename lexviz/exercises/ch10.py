"""Checks of chapter 10, landmark attention."""

import numpy as np

from lexviz.exercises.trial import Trial, Wrong, near, shaped

__all__ = ["landmark_gradients", "shifted_scores", "slots_read"]


def slots_read(answer: Trial, rng) -> None:
    """Where fetched blocks stand while they are read, under stingy positions."""
    k = int(rng.integers(1, 7))
    count = int(rng.integers(1, 3 * k + 2))
    chosen = [int(b) for b in rng.permutation(count)[:k]]
    found = dict(zip(sorted(chosen), shaped(answer(sorted(chosen), count, k), (len(chosen),)).tolist(), strict=True))
    case = f"With k = {k}, and a cache whose finished blocks number {count}"
    if len(set(found.values())) < len(found):
        raise Wrong(f"{case}, two blocks stand in the same slot.")
    if list(found.values()) != sorted(found.values()):
        raise Wrong(f"{case}, a later block stands before an earlier one.")
    if count <= k:
        why = "every block is fetched and none is old: none has to move from its place in the text, and queries follow"
        near(list(found.values()), list(found), f"{case}, {why} right behind the last.")
        return
    if max(found.values()) > k or min(found.values()) < 0:
        raise Wrong(f"{case}, a block stands in a slot that does not exist. There are k + 1 of them, from 0 on.")
    old = [slot for b, slot in found.items() if b < count - k]
    near(old, list(range(len(old))), f"{case}, the old blocks among the fetched ones do not fill the slots from 0 on.")
    recent = [slot for b, slot in found.items() if b >= count - k]
    why = "the recent blocks do not stand where they should: behind the old ones, one slot being left free in between."
    near(recent, list(range(len(old) + 1, len(found) + 1)), f"{case}, {why}")


def landmark_gradients(answer: Trial, rng) -> None:
    """The derivative of the loss by the landmarks' scores."""
    block = int(rng.integers(1, 5))
    n = int(rng.integers(block + 2, 6 * block + 4))
    landmark = np.arange(n) % (block + 1) == block
    number = np.arange(n) // (block + 1)
    s, g = rng.normal(size=n), rng.normal(size=n)
    own = int(number[-1])
    w = grouped(s, landmark, n - 1)
    found = shaped(answer(w, g, number), (own,))
    wanted = np.zeros(own)
    for b in range(own):
        more, less = s.copy(), s.copy()
        more[landmark & (number == b)] += 1e-4
        less[landmark & (number == b)] -= 1e-4
        wanted[b] = (grouped(more, landmark, n - 1) - grouped(less, landmark, n - 1)) @ g / 2e-4
    if own and np.allclose(found, -wanted, atol=1e-5):
        raise Wrong("The sign is reversed: where a block's mean of g is above that of everything, a higher score of "
                    "its landmark makes the loss larger.")  # fmt: skip
    same = shaped(answer(w, np.ones(n), number), (own,))
    near(same, np.zeros(own), "With the same g at all places it makes no difference to the loss who gets the "
         "attention, and yet some derivative is not zero.")  # fmt: skip
    for b in range(own):
        w_b = w[number == b].sum()
        flat = np.where(number == b, 1.0, 0.0)
        near(shaped(answer(w, flat, number), (own,))[b], w_b * (1 - w_b), "With a g of one inside a single block and "
             "zero elsewhere, the derivative by that block's landmark does not have the right size.")  # fmt: skip
    near(found, wanted, "With a g that differs within blocks, a small step in a landmark's score moves the loss by "
         "something else. How are the means over a block weighed?")  # fmt: skip


def shifted_scores(answer: Trial, rng) -> None:
    """Scores of which the plain softmax is the grouped one."""
    block = int(rng.integers(1, 5))
    n = int(rng.integers(1, 6 * block + 4))
    landmark = np.arange(n) % (block + 1) == block
    i = int(rng.integers(0, n))
    s = 2 * rng.normal(size=n)
    first, number = np.arange(n) // (block + 1) == 0, np.arange(n) // (block + 1)
    found = plain(answer(s, landmark, i), n)
    if found[landmark].any():
        raise Wrong("A landmark has got weight; it should get a score of minus infinity, the query's own one too.")
    if found[i + 1 :].any():
        raise Wrong("A token that comes after the query has got weight.")
    if not landmark[: i + 1].any():
        near(found, grouped(s, landmark, i), "In the first block there are no groups, and the weights should be those "
             "of the plain softmax.")  # fmt: skip
    if number[i] > 0:
        near(plain(answer(s + 5.0 * (first & ~landmark), landmark, i), n), found, "All tokens of an earlier block had "
             "their scores raised by the same number, and the weights changed.", tolerance=1e-4)  # fmt: skip
    near(found, grouped(s, landmark, i), "Their softmax is not the grouped softmax. Compare what the whole of each "
         "block gets with its gate, and what its tokens get with each other.", tolerance=1e-4)  # fmt: skip
    low = s - 2000.0 * (first & ~landmark) if number[i] > 0 else s - 2000.0
    if not np.allclose(plain(answer(low, landmark, i), n), grouped(low, landmark, i), atol=1e-4):
        raise Wrong("It fails where all tokens of a block score far below zero: their exponentials are zero. (See "
                    "three, in section 7.)")  # fmt: skip


def plain(scores, n: int) -> np.ndarray:
    """The softmax of an answer's scores, some of them minus infinity."""
    if scores is None:
        raise Wrong("It returned nothing (None). Is there a `return`?")
    scores = np.asarray(scores, dtype=float)
    if scores.shape != (n,):
        raise Wrong(f"What it gives has shape {scores.shape}, where {(n,)} was asked for.")
    if np.isnan(scores).any() or (scores == np.inf).any() or not np.isfinite(scores).any():
        raise Wrong("Some of the scores that it gives are not a number, or all are infinite. Is there a logarithm of "
                    "zero, or an exponential that is too large or too small for a number?")  # fmt: skip
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def grouped(s: np.ndarray, landmark: np.ndarray, i: int) -> np.ndarray:
    """The weights of query i by the definition, one group at a time."""
    number = np.cumsum(landmark) - landmark
    seen, w = np.arange(len(s)) <= i, np.zeros(len(s))
    top = seen & ((~landmark & (number == number[i])) | (landmark & (number < number[i])))
    at_top = within(s, top)
    w[top & ~landmark] = at_top[top & ~landmark]
    for b in range(number[i]):
        gate = at_top[landmark & (number == b)][0]
        w += gate * within(s, ~landmark & (number == b))
    return w


def within(s: np.ndarray, group: np.ndarray) -> np.ndarray:
    """A softmax over the members of a group, and zero elsewhere."""
    weights = np.where(group, np.exp(np.where(group, s, -np.inf) - s[group].max()), 0.0)
    return weights / weights.sum()
