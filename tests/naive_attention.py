"""Attention in loops over Python floats, one pair of tokens after the other, for each of the relative encodings."""

import math

import naive
from lexviz import positions


def pair_score(encoding, q, k, distance, head):
    """The score of one query and one key, lists of floats, at m - n = distance: scaled, bias added."""
    d, kind = len(q), type(encoding)
    product = sum(a * b for a, b in zip(q, k, strict=True))
    if kind is positions.Rope:
        product = naive.score(q, k, distance, base=encoding.base)
    elif kind is positions.Xpos:
        product = naive.score(q, k, distance, encoding.gamma, encoding.scale_base, encoding.base)
    elif kind is positions.XposWithoutRotation:
        product = naive.score(q, k, distance, encoding.gamma, encoding.scale_base, rotation=False)
    elif kind is positions.Shaw:
        omega = encoding.omega[encoding.clip + max(-encoding.clip, min(encoding.clip, distance))].tolist()
        product += sum(a * b for a, b in zip(q, omega, strict=True))
    scaled = product / math.sqrt(d)
    if kind is positions.Alibi:
        scaled -= naive.alibi_slopes(encoding.heads)[head] * distance
    elif kind is positions.T5Bias:
        scaled += encoding.table[naive.t5_bucket(distance, encoding.buckets, encoding.max_distance), head].item()
    elif kind.__name__ == "LogBias":
        scaled -= encoding.strength * math.log1p(abs(distance))
    return scaled


def attend(q, k, v, allowed, encoding, m, n):
    """Scores, weights and output of one sequence, nested lists (heads, queries, ...); allowed(m, n) says which pairs.

    q, k, v are nested lists (heads, length, head_dim); a query that sees nothing gets zeros.
    """
    scores, weights, out = [], [], []
    for head in range(len(q)):
        rows = [
            [
                pair_score(encoding, q[head][i], k[head][j], m[i] - n[j], head) if allowed(m[i], n[j]) else -math.inf
                for j in range(len(n))
            ]
            for i in range(len(m))
        ]
        shares = [[0.0] * len(n) if max(row) == -math.inf else naive.softmax(row) for row in rows]
        scores.append(rows)
        weights.append(shares)
        out.append([[sum(w * x[c] for w, x in zip(row, v[head], strict=True)) for c in range(len(v[head][0]))]
                    for row in shares])  # fmt: skip
    return scores, weights, out
