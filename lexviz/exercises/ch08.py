"""Checks of chapter 8, does it extrapolate?"""

import numpy as np

from lexviz.exercises.trial import Trial, Wrong, near, shaped

__all__ = ["blocks_law", "paired_difference", "perplexity_at", "resolution_of"]


def perplexity_at(answer: Trial, rng) -> None:
    """Perplexity of a text that is read in windows, which predicts the same bytes whatever their length."""
    size, length = int(rng.integers(2, 60)), int(rng.integers(1, 70))
    document = rng.permutation(256)[: size + 1]  # no byte twice, so that one knows where each stands
    place = {int(byte): i for i, byte in enumerate(document)}
    nats = rng.uniform(0, 4, size=size + 1)  # of the byte at each place
    asked = []

    def loss(tokens, targets):
        tokens, targets = np.asarray(tokens), np.asarray(targets)
        if tokens.shape != targets.shape or tokens.ndim != 1:
            raise Wrong("`loss` was called with tokens and targets that are not two rows of equal length.")
        seen, wanted = ([place[int(byte)] for byte in each] for each in (tokens, targets))
        if not 0 < len(seen) <= length:
            raise Wrong("A window is empty, or holds more tokens than are to be read at a time.")
        if seen != list(range(seen[0], seen[0] + len(seen))):
            raise Wrong("The tokens of a window are not one unbroken piece of the text.")
        if wanted != [i + 1 for i in seen]:
            raise Wrong("A target is not the byte that comes after its token in the text.")
        asked.append(wanted)
        return nats[wanted]

    found = answer(document, length, loss)
    found = shaped(found, (), "the perplexity")
    times = np.bincount(np.concatenate([[0], *asked]).astype(int), minlength=size + 1)
    if (times[1:] > 1).any():
        raise Wrong("A byte was predicted twice: windows should tile the text, and not overlap.")
    missing = np.flatnonzero(times[1:] == 0) + 1
    if len(missing) and missing[-1] == size and (np.diff(missing) == 1).all():
        raise Wrong("Bytes at the end of the text were never predicted: what is left there is a shorter window.")
    if len(missing):
        raise Wrong(
            "Some bytes were never predicted, those after the last token of a window. So other lengths would "
            "predict other bytes, and could not be compared."
        )
    near(
        found, np.exp(nats[1:].mean()), because="Every byte was predicted once, and the perplexity is still wrong. Of "
        "what should one take the mean, so that every byte counts alike, and the exponential when?",
    )  # fmt: skip


def blocks_law(answer: Trial, rng) -> None:
    """What blocks must give (eq. 1 of chapter 8), from two perplexities within the training length."""
    trained = 2 * int(rng.integers(1, 600))
    half, whole = (float(x) for x in rng.uniform(1.5, 40, size=2))

    def given(half, whole, length):
        return float(shaped(answer(half, whole, length, trained), (), "the perplexity"))

    near(given(half, half, 8 * trained), half, "Where a block before saves nothing, blocks should change nothing.")
    near(
        given(half, whole, trained), whole, because="A text of the training length is two blocks. There the law should "
        "give back what was measured.",
    )  # fmt: skip
    near(given(half, whole, trained // 2), half, "A text of one block should give what was measured in such windows.")
    blocks = int(rng.integers(3, 200))
    saved = 2 * (np.log(half) - np.log(whole))  # a byte, in every block but the first
    must = np.exp((np.log(half) + (blocks - 1) * (np.log(half) - saved)) / blocks)
    near(
        given(half, whole, blocks * trained // 2), must, because="For one block and for two it is right, for more it "
        "is not. How many blocks have one before them, and what does that save a byte? Losses can be added, "
        "perplexities cannot.",
    )  # fmt: skip


def paired_difference(answer: Trial, rng) -> None:
    """The mean difference of two models over the same texts, and half of its 95% interval."""
    n = int(rng.integers(3, 60))
    ours, theirs = rng.normal(1, 0.05, size=(2, n))
    hard = rng.uniform(0, 3, size=n)

    def given(ours, theirs):
        found = answer(ours, theirs)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Wrong("It should return two numbers, the mean difference and half of its interval.")
        return [float(shaped(each, ())) for each in found]

    mean, half = given(ours, theirs)
    near(mean, ours.mean() - theirs.mean(), "The mean difference should be ours less theirs.")
    near(given(ours, ours)[1], 0, "A model was compared with itself, text by text, and the interval is not empty.")
    near(
        given(ours + hard, theirs + hard), (mean, half), because="Some texts were made harder, for both models alike. "
        "That changes no difference, but it changed your interval.",
    )  # fmt: skip
    ten = given(np.tile(ours, 100), np.tile(theirs, 100))[1]
    if not 9 < half / ten < 13:
        raise Wrong("With a hundred times as many texts of the same kind the interval should be a tenth as wide.")
    less = ours - theirs
    error = np.sqrt(((less - less.mean()) ** 2).sum() / (n - 1) / n)
    near(
        half, 1.96 * error, tolerance=1e-7, because="The width is nearly right, or wrong by a factor: how "
        "many standard errors lie to either side, and is the variance a sample's, whose mean came from the same texts?",
    )  # fmt: skip


def resolution_of(answer: Trial, rng) -> None:
    """Resolution (Eq. 3) of a head's scores, from the mean at each distance."""
    n = int(rng.integers(2, 30))
    scores = rng.normal(size=(n, n)) * rng.uniform(0.1, 4)

    def given(scores):
        return float(shaped(answer(scores), (), "the resolution"))

    def by_loops(scores):
        s = [np.mean([scores[i, i - x] for i in range(x, n)]) for x in range(n)]
        e = [np.exp(each - max(s)) for each in s]
        p = [each / sum(e[:-1]) for each in e]
        return sum(p[x] * (p[x] - p[x + 1]) for x in range(n - 1))

    near(given(np.zeros((n, n))), 0, "Scores that are all alike tell no distance from another: resolution 0.")
    found = given(scores)
    other = np.where(np.tri(n, dtype=bool), scores, rng.normal(size=(n, n)) * 5)
    near(given(other), found, "Scores of keys that come after the query were changed, and the resolution with them.")
    near(given(scores + 3), found, "A constant was added to all scores. No softmax notices that, but yours did.")
    shuffled = scores.copy()
    first, last = 0, n - 1  # two pairs at the same distance change places
    shuffled[0, 0], shuffled[last, last] = scores[last, last], scores[first, first]
    near(
        given(shuffled), found, because="Two scores at the same distance changed places, and the resolution with "
        "them: the softmax is over the means at each distance, not over pairs.",
    )  # fmt: skip
    near(
        found, by_loops(scores), because="It is not Eq. 3 of the mean scores. Over which distances does the softmax "
        "run, and what is the farthest one for? With which neighbour is each compared?",
    )  # fmt: skip
    high = np.add.outer(np.arange(n), -np.arange(n)) * -1000.0
    near(given(high), by_loops(high), "Scores in the thousands: the softmax lost its numbers on the way.")
