"""Landmark attention: the softmax in groups against plain and naive ones, and decoding against dense attention."""

import statistics
import time

import torch
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.attention import DEVICE, HEAD_DIM, HEADS, synchronize
from lexviz.landmark import LandmarkCache, grouped_softmax
from lexviz.positions import Rope

TOKENS, BLOCKS = 1024, 32
CACHED, BLOCK, FETCHED = 32768, 50, 4
WINDOW, SIZES = 256, ((HEADS, HEAD_DIM), (8, 128))


def naive_grouped_softmax(scores, is_landmark):
    """The same weights, block by block, as one would write it first; autograd finds the way back."""
    queries = torch.arange(scores.shape[-1], device=scores.device)
    future = queries > queries[:, None]
    seen = scores.masked_fill(future | is_landmark, -torch.inf)
    ends = [*is_landmark.nonzero().flatten().tolist(), len(is_landmark)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    among = seen.clone()  # own tokens and other blocks' landmarks
    for start, end in zip(starts, ends, strict=True):
        among[..., end + 1 :, start:end] = -torch.inf
        if end < len(is_landmark):
            among[..., end + 1 :, end] = scores[..., end + 1 :, end]
    among = among.softmax(-1)
    weights = among.masked_fill(is_landmark, 0.0)
    for start, end in zip(starts, ends[:-1], strict=False):
        within = scores[..., end + 1 :, start:end].softmax(-1)
        weights[..., end + 1 :, start:end] = within * among[..., end + 1 :, end, None]
    return weights


def measurements():
    """(what, against what, ours, theirs)"""
    scores = torch.randn(1, HEADS, TOKENS, TOKENS, device=DEVICE, requires_grad=True)
    slope = torch.randn_like(scores)
    future = torch.ones(TOKENS, TOKENS, dtype=torch.bool, device=DEVICE).triu(1)
    is_landmark = torch.arange(1, TOKENS + 1, device=DEVICE) % (TOKENS // BLOCKS) == 0

    def both_ways(weights):
        return lambda: torch.autograd.grad(weights(), scores, slope)

    ours = both_ways(lambda: grouped_softmax(scores, is_landmark))
    naive = both_ways(lambda: naive_grouped_softmax(scores, is_landmark))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours(), naive(), strict=True))
    what = f"grouped softmax, {BLOCKS} blocks, both ways"
    yield what, "causally masked softmax", ours, both_ways(lambda: scores.masked_fill(future, -torch.inf).softmax(-1))
    yield what, "naive grouped softmax", ours, naive

    for heads, head_dim, layers in (8, 128, 1), (HEADS, HEAD_DIM, 4):  # as in the paper's model; as elsewhere here
        what = f"retrieval, {CACHED} tokens cached"
        yield what, f"dense, {heads} heads of {head_dim}", *decoding(heads, head_dim, layers)[:2]


def decoding(heads: int, head_dim: int, layers: int, cached: int = CACHED):
    """A new token's attention: ours fetches blocks, theirs looks at all keys, and has nothing to rotate or to store.

    The third looks at the last keys only. In several layers where one layer's keys are so few that they would stay in a
    large processor cache.
    """
    position = Rope(head_dim)
    q, k, v = torch.randn(3, 1, heads, 1, head_dim, device=DEVICE).unbind()
    stored = torch.randn(layers, 2, 1, heads, cached, head_dim, device=DEVICE)
    caches = [LandmarkCache(BLOCK, FETCHED, choose="head") for _ in range(layers)]  # for one token as for each token
    with torch.no_grad():
        for cache, (keys, values) in zip(caches, stored, strict=True):
            for t in range(0, cached, 512):
                some, more = keys[:, :, t : t + 512], values[:, :, t : t + 512]
                cache.attend(some, some, more, position)

    def ours():
        with torch.no_grad():
            for cache in caches:
                cache.attend(q, k, v, position)

    def theirs():
        with torch.no_grad():
            for keys, values in stored:
                scaled_dot_product_attention(q, keys, values)

    def window():
        with torch.no_grad():
            for keys, values in stored:
                scaled_dot_product_attention(q, keys[:, :, -WINDOW:], values[:, :, -WINDOW:])

    return ours, theirs, window


def decoding_costs(rounds: int = 31, layers: int = 4):
    """Of each size and length: (name, heads, head_dim, length, seconds a layer), for the book's figure; one thread.

    They take turns, as in `ratio`; a single token is too little work for more threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for heads, head_dim in SIZES:
        for length in (2**e for e in range(10, 17)):
            runs = dict(
                zip(("landmarks", "all at once", "window"), decoding(heads, head_dim, layers, length), strict=True)
            )
            times = {name: [] for name in runs}
            for _ in range(rounds):
                for name, run in runs.items():
                    start = time.perf_counter()
                    run()
                    synchronize()
                    times[name].append(time.perf_counter() - start)
            for name, each in times.items():
                yield name, heads, head_dim, length, statistics.median(each) / layers
    torch.set_num_threads(threads)
