"""Attention whose cost follows its mask.

    scores, attend            every pair, dense: the reference, to be read first
    windowed                  runs of queries against the keys that they can need: the same numbers at a cost that is
                              linear in length where the mask's span is; `block_causal_attention` is a case of it
    windows                   the attention map in block form, a run of queries at a time
    attention                 the cheapest way that the mask allows; `path` says which

q, k, v are (batch, heads, length, head_dim). Keys stand at positions 0, 1, 2, ... and the queries are the last of them,
unless positions are given. A query that may see nothing gets zeros.
"""

import functools
import importlib.util
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from lexviz import checks, masks
from lexviz.masks import Interval, Mask
from lexviz.positions import PositionEncoding, encoding_or_none, positions_of

RUN = 128  # queries taken together, at least; fewer keep a processor idle, more compute pairs that the mask forbids
PIECE = 2**20  # numbers of k that are copied into windows at a time: they should stay in a processor's cache
LONG = 8 * RUN  # a mask with a longer period is taken as one without: windows of whole periods would be too large
FLEX_FROM = 4096  # queries from which on compiling flex_attention is worth the wait


# ---- every pair -------------------------------------------------------------------------------------------------


def scores(q, k, mask: Mask, position: PositionEncoding | None = None, q_positions=None, k_positions=None) -> Tensor:
    """q k^T / sqrt(d) plus the encoding's bias, -inf where the mask forbids: (batch, heads, queries, keys).

    In float32 or better, whatever q and k are; the softmax of it is the attention map.

    >>> x = torch.eye(3)[None, None] * 3**0.5  # (batch, heads, length, head_dim)
    >>> scores(x, x, masks.causal())[0, 0].round(decimals=2) + 0
    tensor([[1.7300,   -inf,   -inf],
            [0.0000, 1.7300,   -inf],
            [0.0000, 0.0000, 1.7300]])
    """
    _check(q, k, k, mask, k_positions)
    position = encoding_or_none(position)
    m, n = positions_of(q, k, q_positions, k_positions)
    bias = position.bias(q, k, q_positions, k_positions)
    q, k = position.rotate(q, k, q_positions, k_positions)
    with torch.autocast(q.device.type, enabled=False):  # it would take the product in half precision
        wide = torch.promote_types(q.dtype, torch.float32)
        found = q.to(wide) @ k.to(wide).mT / math.sqrt(q.shape[-1])  # (batch, heads, queries, keys)
    if bias is not None:
        found = found + bias
    return found.masked_fill(~mask(m[..., :, None], n[..., None, :]), -torch.inf)


def attend(
    q, k, v, mask: Mask, position: PositionEncoding | None = None, q_positions=None, k_positions=None,
    return_weights: bool = False,
):  # fmt: skip
    """softmax(q k^T / sqrt(d) + bias) v over the pairs that the mask allows; any mask, any encoding, n x n numbers.

    With return_weights, also the map: (batch, heads, queries, keys), whose rows sum to one.

    >>> x = torch.eye(3)[None, None]  # (batch, heads, length, head_dim)
    >>> attend(x, x, x, masks.causal())[0, 0]  # each token takes something of those before, most of itself
    tensor([[1.0000, 0.0000, 0.0000],
            [0.3595, 0.6405, 0.0000],
            [0.2645, 0.2645, 0.4711]])
    """
    _check(q, k, v, mask, k_positions)
    weights = _softmax(scores(q, k, mask, position, q_positions, k_positions))  # (batch, heads, queries, keys)
    with torch.autocast(q.device.type, enabled=False):
        out = (weights @ v.to(weights.dtype)).to(v.dtype)  # (batch, heads, queries, head_dim)
    return (out, weights) if return_weights else out


def _softmax(scores: Tensor) -> Tensor:
    """Softmax over the keys; where a query sees none, its weights are 0 (and not 0/0)."""
    sees_none = scores.amax(dim=-1, keepdim=True) == -torch.inf
    return scores.masked_fill(sees_none, 0.0).softmax(dim=-1).masked_fill(sees_none, 0.0)


# ---- runs of queries against the keys that they can need --------------------------------------------------------


def windowed(
    q, k, v, mask: Mask, position: PositionEncoding | None = None, q_positions=None, k_positions=None
) -> Tensor:
    """What `attend` gives, from windows: a run of queries, and the keys that the mask's span says they can need.

    Windows of the same shape form a batch for scaled_dot_product_attention. The encoding sees positions that count from
    the window's first key, so that no angle or scale grows with the sequence: its rotation or bias has to depend on
    differences of positions only, as all of `lexviz.positions` do. Given positions are consecutive whole numbers.

    >>> from lexviz.positions import Rope
    >>> q, k, v = torch.randn(3, 1, 2, 300, 16)
    >>> mask, rope = masks.sliding_window(50), Rope(16)
    >>> torch.allclose(windowed(q, k, v, mask, rope), attend(q, k, v, mask, rope), atol=1e-5)
    True
    """
    _check(q, k, v, mask, k_positions)
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q, k and v are {q.dtype}, {k.dtype} and {v.dtype}; they must be of one kind")
    position = encoding_or_none(position)
    first_q, first_k = _first_positions(q, k, q_positions, k_positions)
    if not _biased(position) and _sight(mask, first_q, q.shape[-2], first_k, k.shape[-2]) != "mixed":
        return _in_window(q, k, v, mask, position, first_q, first_k)  # torch needs no n x n numbers for these
    plan = _plan(q, k, mask, first_q, first_k)
    out = []
    for shape in plan:
        at_once = max(1, PIECE // max(1, k[:, :, 0].numel() * shape.keys))
        for start in range(0, shape.count, at_once):
            count = min(at_once, shape.count - start)
            here, there = shape.query + start * shape.queries, shape.key + start * shape.queries
            run = _fold(q, here, shape.queries, shape.queries, count)  # (count * batch, heads, queries, head_dim)
            keys, values = (_fold(x, there, shape.keys, shape.queries, count) for x in (k, v))
            done = _in_window(run, keys, values, mask, position, first_q + here, first_k + there)
            out.append(done.unflatten(0, (count, -1)).permute(1, 2, 0, 3, 4).flatten(2, 3))
    return torch.cat(out, dim=2)  # (batch, heads, queries, head_dim)


def block_causal_attention(
    q, k, v, block: int, position: PositionEncoding | None = None, q_positions=None, k_positions=None,
    return_weights: bool = False,
):  # fmt: skip
    """Blockwise causal attention (section 3.3): each token attends within its block and to the one before.

    The cost is linear in length, whatever the length. With return_weights, also the map in block form: a list of
    `Window`s, one for each block; `whole` puts them together.

    >>> q, k, v = torch.randn(3, 1, 2, 1000, 16)
    >>> fast, slow = block_causal_attention(q, k, v, block=64), attend(q, k, v, masks.block_causal(64))
    >>> torch.allclose(fast, slow, atol=1e-5)
    True
    """
    mask = masks.block_causal(block)
    out = windowed(q, k, v, mask, position, q_positions, k_positions)
    return (out, list(windows(q, k, mask, position, q_positions, k_positions))) if return_weights else out


class Window(NamedTuple):
    """A piece of the attention map: queries from `first_query` on against keys from `first_key` on, as places in q, k.

    Outside of the pieces every weight is 0. scores: -inf where the mask forbids; the rows of weights sum to one.
    """

    first_query: int
    first_key: int
    scores: Tensor  # (batch, heads, queries, keys)
    weights: Tensor


def windows(
    q, k, mask: Mask, position: PositionEncoding | None = None, q_positions=None, k_positions=None
) -> Iterator[Window]:
    """The attention map, piece by piece; nothing is kept, so that a map of any length can be read through.

    >>> q, k = torch.randn(2, 1, 1, 8192, 4)
    >>> sum(window.weights.numel() for window in windows(q, k, masks.block_causal(128)))  # of 8192 x 8192 = 67108864
    2080768
    """
    _check(q, k, k, mask, k_positions)
    first_q, first_k = _first_positions(q, k, q_positions, k_positions)
    for shape in _plan(q, k, mask, first_q, first_k):
        for i in range(shape.count):
            here, there = shape.query + i * shape.queries, shape.key + i * shape.queries
            run, keys = q[:, :, here : here + shape.queries], k[:, :, there : there + shape.keys]
            if shape.keys:
                m = torch.arange(first_q + here, first_q + here + shape.queries)
                n = torch.arange(first_k + there, first_k + there + shape.keys)
                found = scores(run, keys, mask, position, m, n)
            else:  # one forbidden key, so that there is a row
                there, wide = 0, torch.promote_types(q.dtype, torch.float32)
                found = torch.full_like(run[..., :1], -torch.inf, dtype=wide)
            yield Window(here, there, found, _softmax(found))


def whole(pieces: Sequence[Window] | Iterator[Window], queries: int, keys: int) -> Tensor:
    """The map that the pieces make: (batch, heads, queries, keys).

    >>> q, k, v = torch.randn(3, 1, 2, 300, 16)
    >>> mask = masks.block_causal(64)
    >>> _, weights = attend(q, k, v, mask, return_weights=True)
    >>> torch.allclose(whole(windows(q, k, mask), queries=300, keys=300), weights, atol=1e-6)
    True
    """
    checks.a(Sequence | Iterator, pieces=pieces)
    parts = list(pieces)
    checks.a(Window, **{f"pieces[{i}]": part for i, part in enumerate(parts or [None])})
    checks.at_least(max(part.first_query + part.weights.shape[-2] for part in parts), queries=queries)
    checks.at_least(max(part.first_key + part.weights.shape[-1] for part in parts), keys=keys)
    together = parts[0].weights.new_zeros(*parts[0].weights.shape[:2], queries, keys)
    for query, key, _, weights in parts:
        together[:, :, query : query + weights.shape[-2], key : key + weights.shape[-1]] = weights
    return together


class _Shape(NamedTuple):
    """`count` windows of one shape, which move on by `queries`: in q and, as the mask's period allows it, in k."""

    query: int  # the first window's first query and first key, as places in q and k
    key: int
    queries: int  # a window's size
    keys: int
    count: int = 1


def _plan(q, k, mask: Mask, first_q: int, first_k: int) -> list[_Shape]:
    """Windows that cover all queries, in order, as few shapes of them as possible."""
    queries, keys = q.shape[-2], k.shape[-2]
    period = mask.period if mask.period and mask.period <= LONG else None
    run = -(-RUN // (period or 1)) * (period or 1)  # whole periods, so that windows look alike
    plan, place = [], 0  # a place counts in q or k; the query there stands at position first_q + place
    while place < queries:
        stop = min(queries, ((first_q + place) // run + 1) * run - first_q)  # runs begin where periods do
        low, high = mask.span(first_q + place, first_q + stop - 1)
        low, high = min(max(low - first_k, 0), keys), min(high - first_k, keys - 1)  # as places in k
        shape = _Shape(place, low, stop - place, max(0, high - low + 1))
        last = plan[-1] if plan else shape
        follows = last._replace(query=place, key=last.key + last.count * last.queries, count=1)  # would join the last
        if plan and period and last.queries % period == 0 and shape == follows:
            plan[-1] = last._replace(count=last.count + 1)
        else:
            plan.append(shape)
        place = stop
    return plan


def _fold(x: Tensor, first: int, length: int, step: int, count: int) -> Tensor:
    """`count` stretches of x (batch, heads, n, d), one every `step` tokens, as (count * batch, heads, length, d)."""
    x = x[:, :, first : first + (count - 1) * step + length]
    if count == 1:
        return x
    return x.unfold(2, length, step).permute(2, 0, 1, 4, 3).flatten(0, 1)  # from (batch, heads, count, d, length)


def _in_window(q, k, v, mask: Mask, position: PositionEncoding, first_q: int, first_k: int) -> Tensor:
    """Attention of windows that look alike: q (windows, heads, queries, d), k and v (windows, heads, keys, d)."""
    queries, keys = q.shape[-2], k.shape[-2]
    if not keys:
        return q @ k.mT @ v  # sums of nothing: zeros
    # The encoding's positions count from the first key; where the queries are the last of the keys, none are given.
    offset = first_q - first_k
    given = None if 0 <= offset == keys - queries else torch.arange(offset, offset + queries, device=q.device)
    bias = position.bias(q, k, given)  # None, or (windows, heads, queries, keys), or less
    q, k = position.rotate(q, k, given)
    sight = _sight(mask, first_q, queries, first_k, keys)
    added = None
    if bias is not None or sight == "mixed":
        allowed = mask(first_q + np.arange(queries)[:, None], first_k + np.arange(keys))  # (queries, keys), or a batch
        added = torch.zeros((), device=q.device, dtype=q.dtype) if bias is None else bias
        added = added.masked_fill(~torch.as_tensor(allowed, device=q.device), -torch.inf)
        if added.dtype != q.dtype:  # half precision is finest around 0: each row's largest number comes there
            top = added.detach().amax(dim=-1, keepdim=True)
            added = (added - top.masked_fill(top == -torch.inf, 0.0)).to(q.dtype)
        added = added[(None,) * (4 - added.ndim)]  # with three axes torch would take its slow path
    with torch.autocast(q.device.type, enabled=False):  # the inputs' own precision, as in `attend`
        return scaled_dot_product_attention(q, k, v, attn_mask=added, is_causal=added is None and sight == "triangle")


def _sight(mask: Mask, first_q: int, queries: int, first_k: int, keys: int) -> str:
    """What the mask shows in a window, found without queries x keys numbers: "all", "triangle" (j <= i) or "mixed"."""
    if not isinstance(mask, Interval):
        return "mixed"
    i, last_key = first_q + np.arange(queries), first_k + keys - 1
    low, high = mask.first_key(i), mask.last_key(i)
    if np.any(low > first_k):
        return "mixed"
    if np.all(high >= last_key):
        return "all"
    return "triangle" if (first_q, queries) == (first_k, keys) and np.array_equal(high, i) else "mixed"


FROM_SHAPES = (_plan, _sight)  # ask for shapes and the mask, for no numbers: who compiles computes them once


# ---- masks with gaps, and the choice ----------------------------------------------------------------------------


def path(q, k, mask: Mask, position: PositionEncoding | None = None, q_positions=None, k_positions=None) -> str:
    """The way that `attention` takes: "windows", "flex" or "dense".

    Windows need a mask without gaps. torch's flex_attention leaves out what a mask with gaps forbids, where it can be
    compiled, once for each shape, which takes seconds; here for whole sequences without bias, under torch.no_grad.

    >>> x = torch.zeros(1, 4, 64, 32)
    >>> path(x, x, masks.block_causal(8)), path(x, x, masks.strided(8))
    ('windows', 'dense')
    """
    checks.a(Mask, mask=mask)
    checks.a(Tensor, q=q, k=k)
    if not mask.scattered:
        return "windows"
    whole_texts = q_positions is None and k_positions is None and FLEX_FROM <= q.shape[-2] == k.shape[-2]
    alike = masks.dense(mask, 1).ndim == 2  # for all sequences of a batch
    floats = q.dtype == k.dtype in (torch.float32, torch.float16, torch.bfloat16)  # those that it is compiled for
    fits = whole_texts and alike and floats and not torch.is_grad_enabled() and not _biased(encoding_or_none(position))
    return "flex" if fits and _can_compile(q.device.type) else "dense"


def attention(
    q, k, v, mask: Mask, position: PositionEncoding | None = None, q_positions=None, k_positions=None
) -> Tensor:
    """The same numbers as `attend`, by the cheapest way that the mask allows (`path` says which).

    >>> q, k, v = torch.randn(3, 1, 2, 300, 16)
    >>> every = [masks.causal(), masks.block_causal(64), masks.strided(16)]
    >>> [path(q, k, mask) for mask in every]
    ['windows', 'windows', 'dense']
    >>> all(torch.allclose(attention(q, k, v, mask), attend(q, k, v, mask), atol=1e-5) for mask in every)
    True
    """
    _check(q, k, v, mask, k_positions)
    way = path(q, k, mask, position, q_positions, k_positions)
    if way != "flex":
        return (windowed if way == "windows" else attend)(q, k, v, mask, position, q_positions, k_positions)
    q, k = encoding_or_none(position).rotate(q, k)
    return _compiled_flex()(q, k, v, block_mask=_flex_mask(mask, q.shape[-2], q.device))


@functools.cache
def _can_compile(device: str) -> bool:
    if device == "cuda":
        return importlib.util.find_spec("triton") is not None
    # torch hands its own path to the compiler without quotes
    return device == "cpu" and bool(shutil.which(os.environ.get("CXX", "g++"))) and " " not in torch.__file__


@functools.cache
def _compiled_flex():
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)  # with lengths left open, its code for CPUs is wrong


@functools.lru_cache(maxsize=8)
def _flex_mask(mask: Mask, length: int, device: torch.device):
    return masks.flex(mask, length, length, device)


# ---- small print ------------------------------------------------------------------------------------------------


def _check(q, k, v, mask, k_positions=None) -> None:
    checks.heads(q, k, v)
    if not isinstance(mask, Mask):
        raise ValueError(f"mask is a {type(mask).__name__}; a Mask such as masks.causal() is needed")
    # The last position, if it is known without a look at a tensor: a mask that ends before refuses it.
    places = range(k.shape[-2]) if k_positions is None else k_positions
    last = places[-1] if isinstance(places, range) and places else 0
    sequences, *_ = *np.shape(mask(last, last)), 1  # one answer for all, or (batch, 1, 1, 1)
    if sequences not in (1, len(q)):
        raise ValueError(f"mask is {mask}, made for {sequences} sequences; q has {len(q)}")


def _biased(position: PositionEncoding) -> bool:
    return type(position).bias is not PositionEncoding.bias


def _first_positions(q, k, q_positions, k_positions) -> tuple[int, int]:
    """The positions of the first query and of the first key; given ones must be consecutive."""
    first_k = 0 if k_positions is None else _consecutive("k_positions", k_positions, k.shape[-2])
    if q_positions is not None:
        return _consecutive("q_positions", q_positions, q.shape[-2]), first_k
    if q.shape[-2] > k.shape[-2]:
        raise ValueError(f"q has {q.shape[-2]} tokens and k has {k.shape[-2]}; with fewer keys, give q_positions")
    return first_k + k.shape[-2] - q.shape[-2], first_k


def _consecutive(name: str, positions, length: int) -> int:
    try:
        where = positions if isinstance(positions, range) else torch.as_tensor(positions).flatten().tolist()
        first = int(where[0]) if where else -1
    except (TypeError, ValueError, RuntimeError, OverflowError):  # no numbers, or none that are whole
        where, first = [], -1
    wanted = range(first, first + length)
    if first < 0 or (where != wanted and list(where) != list(wanted)):
        raise ValueError(f"{name} is {positions}; windows need {length} consecutive ones from 0 on; attend takes any")
    return first
