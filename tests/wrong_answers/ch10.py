"""Plausible wrong answers to the exercises of chapter 10."""

import numpy as np


def always_moved(chosen, count, k):
    return [j + (b >= count - k) for j, b in enumerate(chosen)]


def none_is_moved(chosen, count, k):
    return list(range(len(chosen)))


def slots_of_scoring(chosen, count, k):
    return [max(b - (count - k) + 1, 0) if count > k else b for b in chosen]


def border_one_too_late(chosen, count, k):
    return [j + (b > count - k) if count > k else j for j, b in enumerate(chosen)]


def plain_means(w, g, number):
    whole = w @ g
    blocks = range(number[-1])
    return np.array([w[number == b].sum() * (g[number == b].mean() - whole) for b in blocks])


def without_the_share(w, g, number):
    blocks = range(number[-1])
    return np.array([w[number == b] @ g[number == b] / w[number == b].sum() - w @ g for b in blocks])


def other_sign(w, g, number):
    blocks = [number == b for b in range(number[-1])]
    return np.array([w[b].sum() * (w @ g) - w[b] @ g[b] for b in blocks])


def nothing_taken_off(w, g, number):
    return np.array([w[number == b] @ g[number == b] for b in range(number[-1])])


def groups(s, landmark, i, lse):
    """The right way, but for what is asked for."""
    number = np.cumsum(landmark) - landmark
    out = np.where(landmark | (np.arange(len(s)) > i), -np.inf, s)
    for b in range(number[i]):
        here = ~landmark & (number == b)
        out[here] += s[landmark & (number == b)][0] - lse(s[here])
    return out


def stable(x):
    return x.max() + np.log(np.exp(x - x.max()).sum())


def not_divided(s, landmark, i):
    return groups(s, landmark, i, lambda x: 0.0)


def by_the_mean(s, landmark, i):
    return groups(s, landmark, i, np.mean)


def underflowing(s, landmark, i):
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return groups(s, landmark, i, lambda x: np.log(np.exp(x).sum()))


def later_tokens_too(s, landmark, i):
    out = groups(s, landmark, i, stable)
    out[i + 1 :] = np.where(landmark[i + 1 :], -np.inf, s[i + 1 :])
    return out


def landmarks_kept(s, landmark, i):
    out = groups(s, landmark, i, stable)
    return np.where(landmark & (np.arange(len(s)) <= i), s, out)


WRONG = {
    "slots_read": [always_moved, none_is_moved, slots_of_scoring, border_one_too_late],
    "landmark_gradients": [plain_means, without_the_share, other_sign, nothing_taken_off],
    "shifted_scores": [not_divided, by_the_mean, underflowing, later_tokens_too, landmarks_kept],
}
