"""Plausible wrong answers to the exercises of chapter 12."""

import torch


def each_squared(x):
    return torch.cat([x**2] * x.shape[-1], dim=-1)


def each_pair_once(x):
    products = torch.einsum("na,nb->nab", x, x)
    return products.triu().flatten(1)


def next_to_each_other(x):
    return torch.cat([x * x.roll(-step, dims=-1) for step in range(x.shape[-1])], dim=-1).abs()


def halved(one, two):
    top = torch.maximum(one[0], two[0])
    return top, one[1] + two[1], (one[2] + two[2]) / 2


def tops_forgotten(one, two):
    total = one[1] + two[1]
    return torch.maximum(one[0], two[0]), total, (one[1] * one[2] + two[1] * two[2]) / total


def without_a_top(one, two):
    a, b = one[0].exp() * one[1], two[0].exp() * two[1]
    return torch.maximum(one[0], two[0]), a + b, (a * one[2] + b * two[2]) / (a + b)


def totals_forgotten(one, two):
    top = torch.maximum(one[0], two[0])
    a, b = (one[0] - top).exp(), (two[0] - top).exp()
    return top, a * one[1] + b * two[1], (a * one[2] + b * two[2]) / (a + b)


def result_alone(one, two):
    top = torch.maximum(one[0], two[0])
    a, b = (one[0] - top).exp() * one[1], (two[0] - top).exp() * two[1]
    return one[0], a + b, (a * one[2] + b * two[2]) / (a + b)


def best_keys(q, k, centres, groups):
    many = max(1, len(k) * groups // len(centres))
    found = torch.zeros(len(q), len(k), dtype=torch.bool)
    return found.scatter(1, (q @ k.T).topk(many).indices, True)


def only_the_best_group(q, k, centres, groups):
    return (q @ centres.T).argmax(-1)[:, None] == (k @ centres.T).argmax(-1)


def the_same_for_all_queries(q, k, centres, groups):
    opened = (q @ centres.T).sum(0).topk(groups).indices
    return torch.isin((k @ centres.T).argmax(-1), opened).expand(len(q), -1)


def farthest(q, k, centres, groups):
    opened = (q @ centres.T).topk(groups, largest=False).indices
    return (opened[:, :, None] == (k @ centres.T).argmax(-1)).any(1)


WRONG = {
    "squares": [each_squared, each_pair_once, next_to_each_other],
    "together": [halved, tops_forgotten, without_a_top, totals_forgotten, result_alone],
    "looked_at": [best_keys, only_the_best_group, the_same_for_all_queries, farthest],
}
