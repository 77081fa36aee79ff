"""Mistakes that are made in the exercises of chapter 7."""

import math

import torch
from torch.nn import functional as F


def not_shifted(document, starts, length):
    tokens = torch.stack([document[start : start + length] for start in starts])
    return tokens, tokens


def rolled(document, starts, length):
    tokens = torch.stack([document[start : start + length] for start in starts])
    return tokens, tokens.roll(-1, dims=1)


def shifted_back(document, starts, length):
    windows = torch.stack([document[start : start + length + 1] for start in starts])
    return windows[:, 1:], windows[:, :-1]


def one_too_short(document, starts, length):
    windows = torch.stack([document[start : start + length] for start in starts])
    return windows[:, :-1], windows[:, 1:]


def from_zero(step, steps, warmup, highest):
    return highest * min(1, step / warmup, (steps - step) / steps)


def both_at_once(step, steps, warmup, highest):
    return highest * min(1, (step + 1) / warmup) * (steps - step) / steps


def falls_after_the_warmup(step, steps, warmup, highest):
    if step < warmup:
        return highest * (step + 1) / warmup
    return highest * (steps - step) / (steps - warmup)


def cosine(step, steps, warmup, highest):
    if step < warmup:
        return highest * (step + 1) / warmup
    return highest * (1 + math.cos(math.pi * step / steps)) / 2


def the_mean(logits, targets, weights):
    return (F.cross_entropy(logits.mT, targets, reduction="none") * weights).mean()


def by_its_own_sum(logits, targets, weights):
    losses = F.cross_entropy(logits.mT, targets, reduction="none") * weights
    return losses.sum() / weights.sum().clamp(min=1e-9)


def softmax_first(logits, targets, weights):
    p = logits.softmax(-1).gather(-1, targets[..., None])[..., 0]
    return -(p.log() * weights).sum()


def without_weights(logits, targets, weights):
    return F.cross_entropy(logits.mT, targets)


def each_alone(gradients, longest):
    return [g * min(1, longest / g.norm().item()) for g in gradients]


def always(gradients, longest):
    size = math.sqrt(sum((g**2).sum().item() for g in gradients))
    return [g * longest / size for g in gradients]


def each_number(gradients, longest):
    return [g.clamp(-longest, longest) for g in gradients]


def in_place(gradients, longest):
    size = math.sqrt(sum((g**2).sum().item() for g in gradients))
    for g in gradients:
        g *= min(1, longest / size)
    return gradients


WRONG = {
    "clipped": [each_alone, always, each_number, in_place],
    "learning_rate": [from_zero, both_at_once, falls_after_the_warmup, cosine],
    "questions": [not_shifted, rolled, shifted_back, one_too_short],
    "weighted_loss": [the_mean, by_its_own_sum, softmax_first, without_weights],
}
