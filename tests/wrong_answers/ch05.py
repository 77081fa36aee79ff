"""Mistakes that are made in the exercises of chapter 5."""

import torch


def angles_in_the_format(positions, d, dtype):
    theta = 10000 ** (-2 * torch.arange(d // 2) / d)
    angle = positions[:, None].to(dtype) * theta.to(dtype)
    return angle.cos(), angle.sin()


def angles_in_float32(positions, d, dtype):
    angle = positions[:, None] * 10000 ** (-2 * torch.arange(d // 2) / d)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def never_rounded(positions, d, dtype):
    angle = positions[:, None] * 10000 ** (-2 * torch.arange(d // 2).double() / d)
    return angle.cos(), angle.sin()


def _scores(Q, K, B, rot, order, scales=None, undo=True):
    length, d = Q.shape[-2:]
    m, i = torch.arange(length).double()[:, None], torch.arange(d // 2).double()
    theta = 10000 ** (-2 * order(i) / d)
    T = (((scales or order)(i) / (d / 2) + 0.4) / 1.4) ** (m / B)
    C, S = torch.cos(m * theta), torch.sin(m * theta)
    K = (K * C + rot(K) * S) / T if undo else (K * C + rot(K) * S) * T
    return (Q * C + rot(Q) * S) * T @ K.mT / d**0.5


def _neighbours(x):
    return torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).flatten(-2)


def _halves(x):
    return torch.cat([-x[..., x.shape[-1] // 2 :], x[..., : x.shape[-1] // 2]], dim=-1)


def _twice(i):
    return i.repeat_interleave(2)


def _again(i):
    return i.repeat(2)


def still_neighbours(Q, K, B=512):
    return _scores(Q, K, B, _neighbours, _twice)


def tables_as_they_were(Q, K, B=512):
    return _scores(Q, K, B, _halves, _twice)


def scale_for_neighbours(Q, K, B=512):
    return _scores(Q, K, B, _halves, _again, scales=_twice)


def keys_shrink_too(Q, K, B=512):
    return _scores(Q, K, B, _halves, _again, undo=False)


def the_wrong_way(kept, xi, old, new):
    return kept * torch.exp((old - new) * xi)


def one_factor_for_all(kept, xi, old, new):
    return kept * torch.exp((new - old) * xi).mean()


def in_place(kept, xi, old, new):
    kept *= torch.exp((new - old) * xi)
    return kept


WRONG = {
    "cos_and_sin": [angles_in_the_format, angles_in_float32, never_rounded],
    "halves_scores": [still_neighbours, tables_as_they_were, scale_for_neighbours, keys_shrink_too],
    "recentred": [the_wrong_way, one_factor_for_all, in_place],
}
