"""Landmark attention from its definition: loops over tokens, one query at a time, floats of Python."""

import math

import torch

import naive


def blocks_of(landmark):
    """Of each token: how many landmarks came before it."""
    return [sum(landmark[:j]) for j in range(len(landmark))]


def weights(scores, landmark, i):
    """Weights of tokens 0 .. keys-1 for a query at place i; scores are those of its row, -inf hides a key."""
    block = blocks_of(landmark)
    tokens = {}  # block: its ordinary tokens that are seen
    for j in range(i + 1):
        if not landmark[j] and scores[j] > -math.inf:
            tokens.setdefault(block[j], []).append(j)
    top = list(tokens.get(block[i], []))
    top += [
        j for j in range(i) if landmark[j] and block[j] != block[i] and block[j] in tokens and scores[j] > -math.inf
    ]
    row = [0.0] * len(scores)
    for j, share in zip(top, naive.softmax([scores[j] for j in top]) if top else [], strict=True):
        if not landmark[j]:
            row[j] = share
            continue
        within = tokens[block[j]]
        for t, part in zip(within, naive.softmax([scores[t] for t in within]), strict=True):
            row[t] = share * part
    return row


def score(encoding, head, q, k, m, n):
    """Scores of one query, q (heads, d) at m, in one head, to keys k (keys, d) at n: a list."""
    q = q[None, :, None]  # (1, heads, 1, d)
    k = k.expand(1, q.shape[1], *k.shape)
    bias = encoding.bias(q, k, [m], n)
    q, k = encoding.rotate(q, k, [m], n)
    found = q @ k.mT / math.sqrt(q.shape[-1])
    return (found if bias is None else found + bias).expand(1, q.shape[1], 1, -1)[0, head, 0].tolist()


def retrieve(q, k, v, encoding, block, fetch, chunks, choose, stingy):
    """What LandmarkCache gives for one sequence (heads, length, d); for each query {block: share}, the local share, the
    scores of all landmarks, and the weights, without an empty slot's and later tokens'.
    """
    heads, length, _ = q.shape
    size, out, fetched = block + 1, torch.zeros_like(v), {}
    assert sum(chunks) == length
    stop = 0
    for chunk in chunks:
        start, stop = stop, stop + chunk
        count = start // size  # blocks that were finished before the chunk
        old = max(0, count - fetch)
        here = (min(count, fetch) + 1) * size if stingy else count * size  # position of the first local token

        def slot(b, old=old):
            return b if not stingy else 0 if b < old else b - old + 1

        landmarks = [b * size + block for b in range(count)]
        gates = {}  # (head, token): scores of all landmarks
        for h in range(heads):
            for i in range(start, stop):
                n = [slot(b) * size + block for b in range(count)]
                m = here + i - count * size
                gates[h, i] = score(encoding, h, q[:, i], k[h, landmarks], m, n) if count else []
        for h in range(heads):
            for i in range(start, stop):
                same = {"head and token": [(h, i)], "head": [(h, t) for t in range(start, stop)]}
                same["token"] = [(g, i) for g in range(heads)]
                rows = [naive.softmax(gates[at]) for at in same[choose]] if count else []
                best = [max(row[b] for row in rows) for b in range(count)]
                chosen = sorted(sorted(range(count), key=lambda b: -best[b])[:fetch])
                places, n, landmark = [], [], []
                for j, b in enumerate(chosen):
                    first = b if not stingy else j if b < old else j + 1
                    places += range(b * size, (b + 1) * size)
                    n += range(first * size, (first + 1) * size)
                    landmark += [False] * block + [True]
                places += range(count * size, i + 1)
                n += range(here, here + i + 1 - count * size)
                landmark += [t % size == block for t in range(count * size, i + 1)]
                row = score(encoding, h, q[:, i], k[h, places], here + i - count * size, n)
                w = weights(row, landmark, len(row) - 1)
                out[h, i] = torch.tensor(w, dtype=v.dtype) @ v[h, places]
                shares = {b: sum(w[j * size : (j + 1) * size]) for j, b in enumerate(chosen)}
                fetched[h, i] = shares, sum(w[len(chosen) * size :]), gates[h, i], w
    return out, fetched
