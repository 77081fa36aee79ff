"""Checks of chapter 7, training a small model."""

import numpy as np
import torch

from lexviz.exercises.trial import Trial, Wrong, near, shaped

__all__ = ["clipped", "learning_rate", "questions", "weighted_loss"]


def questions(answer: Trial, rng) -> None:
    """Windows of a text: what the model sees, and what it has to say."""
    count, length = (int(x) for x in rng.integers(1, 9, size=2))
    document = torch.from_numpy(rng.permutation(256)[: length + 1 + int(rng.integers(0, 60))])  # no byte twice
    starts = torch.from_numpy(rng.integers(len(document) - length, size=count))
    starts[0] = len(document) - length - 1  # the last window that there is
    found = answer(document, starts, length)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Wrong("It should return two tensors, the tokens and the targets: `return tokens, targets`.")
    tokens, targets = (
        shaped(each, (count, length), f"the tensor of {what}")
        for each, what in zip(found, ("tokens", "targets"), strict=True)
    )
    if (tokens == targets).all():
        raise Wrong("The targets are the tokens themselves: the model would have to say what it has just been told.")
    near(tokens[:, 0], document[starts], "A window does not begin at the place that `starts` says.")
    at = starts[:, None] + torch.arange(length)
    near(tokens, document[at], "The tokens are not one unbroken piece of the text.")
    near(targets[:, :-1], tokens[:, 1:], "A target is not the byte that comes after its token in the window.")
    near(targets[:, -1], document[at[:, -1] + 1], "The last target of a window is not the byte that comes after it.")


def learning_rate(answer: Trial, rng) -> None:
    """A line up over the warm-up, a line down from the first step on, and the lower of the two."""
    steps, highest = int(rng.integers(2, 400)), float(rng.uniform(1e-4, 1.0))
    warmup = int(rng.integers(1, steps + 1))
    found = [
        float(shaped(answer(step, steps, warmup, highest), (), "the rate")) / highest for step in range(steps)
    ]  # as shares of the highest
    if min(found) <= 0:
        raise Wrong("There is a step with a rate of 0 or less, which learns nothing. Steps count from 0.")
    if max(found) > 1 + 1e-9:
        raise Wrong("The rate rises above the highest that was asked for.")
    near(found[0], 1 / warmup, "The first step should have the share of the highest that one step of the warm-up is.")
    near(found[-1], min(1, 1 / steps), "The last step should have the share of the highest that one step of all is.")
    rise, fall = (np.arange(steps) + 1) / warmup, (steps - np.arange(steps)) / steps
    up = rise < fall
    near(np.array(found)[up], rise[up], "During the warm-up the rate does not lie on the line that rises.")
    near(
        np.array(found)[~up], fall[~up], because="After the two lines have crossed, the rate does not lie on the one "
        "that falls from the highest at the first step to nothing after the last.",
    )  # fmt: skip


def weighted_loss(answer: Trial, rng) -> None:
    """The sum of the targets' losses, each times its weight."""
    batch, length, vocabulary = (int(x) for x in rng.integers(2, 7, size=3))
    logits = torch.from_numpy(rng.normal(size=(batch, length, vocabulary)) * 3)
    targets = torch.from_numpy(rng.integers(vocabulary, size=(batch, length)))
    weights = torch.from_numpy(rng.uniform(0.1, 1, size=(batch, length)))

    def given(logits, targets, weights):
        return shaped(answer(logits, targets, weights), (), "the loss")

    one = torch.full((batch, length), 1 / (batch * length)).double()
    near(
        given(torch.zeros_like(logits), targets, one), np.log(vocabulary), because="Logits that are all alike say "
        "that all tokens are equally likely. With weights that sum to 1 the loss should be that of knowing nothing.",
    )  # fmt: skip
    near(given(logits, targets, 0 * weights), 0, "Where all weights are 0 there is nothing to lose.")
    far = torch.where(torch.arange(vocabulary) == targets[..., None], 2000.0, 0.0).double()
    near(given(far, targets, weights), 0, "A model that is sure, and right, has lost nothing: it should be near 0.")
    try:
        given(-far, targets, weights)
    except Wrong:
        raise Wrong("Logits in the thousands gave a loss that is not finite. Who takes exp first loses all digits.")  # noqa: B904
    shares = [given(logits[part::2], targets[part::2], weights[part::2]) for part in (0, 1)]
    near(
        sum(shares), given(logits, targets, weights), because="The losses of two halves of the batch, with their parts "
        "of the weights, do not add up to the loss of the whole.",
    )  # fmt: skip
    p = np.exp(logits.numpy())
    p = np.take_along_axis(p / p.sum(-1, keepdims=True), targets.numpy()[..., None], -1)[..., 0]
    near(given(logits, targets, weights), -(weights.numpy() * np.log(p)).sum(), "It is not the weighted sum.")


def clipped(answer: Trial, rng) -> None:
    """A gradient that is shortened as a whole where it is too long."""
    shapes = [tuple(int(x) for x in rng.integers(1, 6, size=rng.integers(1, 3))) for _ in range(rng.integers(2, 5))]
    gradients = [torch.from_numpy(rng.normal(size=shape)) for shape in shapes]
    long = torch.cat([g.flatten() for g in gradients]).norm().item()

    def given(limit):
        before = [g.clone() for g in gradients]
        found = answer(gradients, limit)
        if not all(map(torch.equal, before, gradients)):
            raise Wrong("It changed the gradients that it was given; give new ones.")
        if not isinstance(found, tuple | list) or len(found) != len(gradients):
            raise Wrong("It should return a list with one tensor for each that it was given.")
        found = [
            shaped(new, tuple(g.shape), "a gradient that it gives") for new, g in zip(found, gradients, strict=True)
        ]
        return np.concatenate([new.ravel() for new in found])

    flat = np.concatenate([g.numpy().ravel() for g in gradients])
    near(given(2 * long), flat, "A gradient that is short enough was changed.")
    found = given(long / 3)
    size = np.linalg.norm(found)
    if size < 1e-9 or not np.allclose(found / size, flat / long):
        raise Wrong("The direction has changed: all tensors together are one gradient, which is only to be shortened.")
    near(size, long / 3, "A gradient that was too long does not have the length that is allowed.")
