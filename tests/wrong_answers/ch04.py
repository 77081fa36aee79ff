"""Mistakes that are made in the exercises of chapter 4."""

import numpy as np

from lexviz import theory


def _score(n, angles, zeta, base):
    return (np.cos(n[:, None] * angles) * zeta ** (n[:, None] / base)).sum(-1)


def no_scale_base(n, d, gamma, B):
    return _score(n, theory.angles(d), theory.decays(d, gamma), 1)


def one_pair_too_many(n, d, gamma, B):
    i = np.arange(d // 2 + 1)
    return _score(n, 10000.0 ** (-2 * i / d), (i / (d / 2) + gamma) / (1 + gamma), B)


def slow_ones_fade(n, d, gamma, B):
    return _score(n, theory.angles(d), theory.decays(d, gamma)[::-1], B)


def a_mean(n, d, gamma, B):
    return _score(n, theory.angles(d), theory.decays(d, gamma), B) / (d // 2)


def half_the_angles(n, d, gamma, B):
    return _score(n, 10000.0 ** (-np.arange(d // 2) / d), theory.decays(d, gamma), B)


def softmax_over_all(s):
    p = np.exp(s - s.max())
    p = p / p.sum()
    return (p[:-1] * (p[:-1] - p[1:])).sum()


def sizes_of_the_steps(s):
    p = np.exp(s - s[:-1].max())
    p = p / p[:-1].sum()
    return (p[:-1] * abs(p[:-1] - p[1:])).sum()


def no_weight_before_the_step(s):
    p = np.exp(s - s[:-1].max())
    p = p / p[:-1].sum()
    return (p[:-1] - p[1:]).sum()


def of_scores(s):
    return (s[:-1] * (s[:-1] - s[1:])).sum()


def overflows(s):
    with np.errstate(over="ignore", invalid="ignore"):
        p = np.exp(s) / np.exp(s[:-1]).sum()
    return (p[:-1] * (p[:-1] - p[1:])).sum()


WRONG = {
    "score_by_distance": [no_scale_base, one_pair_too_many, slow_ones_fade, a_mean, half_the_angles],
    "resolving": [softmax_over_all, sizes_of_the_steps, no_weight_before_the_step, of_scores, overflows],
}
