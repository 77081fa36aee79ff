"""Who may attend to whom: masks as predicates over positions, each with the span of keys that it can need.

`mask(q, k)` takes query and key positions, numpy or torch, and is True where q may look at k. The same object is
drawn (`dense`), counted (`pairs`), followed through layers (`reach`), combined with `&` and `|`, and tells attention
how few keys a run of queries can need (`span`). Positions count from 0; i is a query's, j a key's.

The masks that save most show each query one unbroken interval of keys, and the two ends of the interval never move
back as i grows: class `Interval`. Masks with gaps (the sparse family) are plain `Mask`s.
"""

import math
from collections.abc import Callable

import numpy as np

from lexviz import checks

END = 2**62  # as a last key: to the end of the sequence, however long it is


class Mask:
    """A predicate with a span. `&` allows what both masks allow, `|` what either does.

    >>> mask = causal() & sliding_window(3)
    >>> mask
    (causal() & sliding_window(3))
    >>> mask(5, 4), mask(5, 2), mask(5, 6)
    (True, False, False)

    allows(q, k) is the predicate: positions in, booleans out, shapes broadcast.
    span(first, last) gives the first and last key that queries first .. last can need (END: all there are;
        first > last: none); it may be wider than necessary, never narrower.
    scattered says that the mask, or a part of it, leaves gaps between keys: attention then runs dense, or through
        flex_attention, and not by spans.
    count(n), where there is a formula, gives the number of allowed pairs among n tokens.
    period, where there is one, is the shift that changes nothing: mask(i + period, j + period) is mask(i, j).
    """

    def __init__(
        self,
        name: str,
        allows: Callable,
        span: Callable,
        scattered: bool = False,
        count: Callable | None = None,
        period: int | None = None,
    ):
        self.name, self.allows, self._span, self._count = name, allows, span, count
        self.scattered, self.period = scattered, period

    def __call__(self, q, k):
        """Tell where query position q may look at key position k; as large as q and k broadcast to."""
        q, k = _alike(q, k)
        return self.allows(q, k) & (q == q) & (k == k)  # a mask may ignore q or k; its answer shall not

    def span(self, first: int, last: int) -> tuple[int, int]:
        """The first and the last key, both included, that queries first .. last can need.

        >>> block_causal(4).span(10, 12)
        (4, 12)
        """
        checks.at_least(0, first=first)
        checks.at_least(first, last=last)
        return self._span(int(first), int(last))

    def looks_ahead(self, length: int) -> bool:
        """Whether some query among `length` tokens sees a key that comes after it.

        >>> causal().looks_ahead(9), full().looks_ahead(9), full().looks_ahead(1)
        (False, True, False)
        """
        checks.at_least(0, length=length)
        later = (i for i in range(length) if self.span(i, i)[1] > i)  # only these can
        return any(np.any(self(i, np.arange(i + 1, length))) for i in later)

    def pairs(self, n: int) -> int:
        """How many (query, key) pairs n tokens form: what attention has to compute. No n x n array is made for it.

        >>> causal().pairs(1000), block_causal(10).pairs(1000)
        (500500, 15400)
        """
        checks.at_least(0, n=n)
        if self._count:
            return self._count(n)
        i = np.arange(n)
        rows = max(1, 2**22 // max(1, n))  # at a time: 4 MB of booleans
        return sum(np.count_nonzero(self(i[r : r + rows, None], i)) for r in range(0, n, rows))

    def __and__(self, other: "Mask") -> "Mask":
        return _join(self, other, "&", lambda q, k: self(q, k) & other(q, k), max, min)

    def __or__(self, other: "Mask") -> "Mask":
        return _join(self, other, "|", lambda q, k: self(q, k) | other(q, k), min, max)

    def __repr__(self) -> str:
        return self.name


def _join(a: Mask, b: Mask, sign: str, allows: Callable, start: Callable, stop: Callable) -> Mask:
    if not isinstance(b, Mask):
        return NotImplemented

    def span(first, last):
        (a_first, a_last), (b_first, b_last) = a.span(first, last), b.span(first, last)
        return start(a_first, b_first), stop(a_last, b_last)

    return Mask(f"({a} {sign} {b})", allows, span, a.scattered or b.scattered, period=_common(a, b))


class Interval(Mask):
    """Query i sees keys first_key(i) .. last_key(i), two functions of positions that never decrease.

    The ends may lie outside of the sequence. Two intervals overlap in an interval, so `&` gives one again.

    >>> two_back = Interval("two_back", lambda i: i - 2, lambda i: i)
    >>> two_back.span(10, 12), two_back.pairs(4)
    ((8, 12), 9)
    """

    def __init__(self, name: str, first_key: Callable, last_key: Callable, period: int | None = None):
        self.first_key, self.last_key = first_key, last_key
        super().__init__(name, self._allows, self._ends, count=self._pairs, period=period)

    def _allows(self, q, k):
        return (self.first_key(q) <= k) & (k <= self.last_key(q))

    def _ends(self, first, last):
        return max(0, int(np.min(self.first_key(first)))), int(np.max(self.last_key(last)))

    def _pairs(self, n):
        i = np.arange(n)
        keys = np.minimum(self.last_key(i), n - 1) - np.maximum(self.first_key(i), 0) + 1 + 0 * i
        return int(np.maximum(keys, 0).sum())

    def __and__(self, other: Mask) -> Mask:
        if not isinstance(other, Interval):
            return super().__and__(other)
        return Interval(
            f"({self} & {other})",
            lambda i: _larger(self.first_key(i), other.first_key(i)),
            lambda i: _smaller(self.last_key(i), other.last_key(i)),
            period=_common(self, other),
        )


# ---- one interval per query -------------------------------------------------------------------------------------


def full() -> Interval:
    """Everyone sees everyone, as in an encoder.

    >>> full().pairs(10), full()(2, 9), full().span(5, 7) == (0, END)
    (100, True, True)
    """
    return Interval("full()", lambda i: 0, lambda i: END, period=1)


def causal() -> Interval:
    """j <= i: a token sees itself and what came before.

    >>> dense(causal(), 3).astype(int)
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    """
    return Interval("causal()", lambda i: 0, lambda i: i, period=1)


def block_causal(block: int) -> Interval:
    """j <= i and floor(i/h) - floor(j/h) in {0, 1}, h = block: a token's own block and the one before (section 3.3).

    With h half of the training length, no distance ever exceeds what training has shown, however long the text.

    >>> dense(block_causal(2), 5).astype(int)
    array([[1, 0, 0, 0, 0],
           [1, 1, 0, 0, 0],
           [1, 1, 1, 0, 0],
           [1, 1, 1, 1, 0],
           [0, 0, 1, 1, 1]])
    """
    checks.at_least(1, block=block)
    return Interval(f"block_causal({block})", lambda i: (i // block - 1) * block, lambda i: i, period=block)


def sliding_window(width: int) -> Interval:
    """0 <= i - j < width: the last `width` tokens, oneself included.

    >>> dense(sliding_window(2), 4).astype(int)
    array([[1, 0, 0, 0],
           [1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    >>> sliding_window(2).span(2, 3)
    (1, 3)
    """
    checks.at_least(1, width=width)
    return Interval(f"sliding_window({width})", lambda i: i - width + 1, lambda i: i, period=1)


def segment_recurrent(segment: int, memory: int) -> Interval:
    """One's own segment so far, and the `memory` tokens before it (Transformer-XL); block_causal(h) has both at h.

    The first token of a segment sees its memory and itself, the last one a whole segment besides:

    >>> mask = segment_recurrent(segment=4, memory=2)
    >>> [[j for j in range(12) if mask(i, j)] for i in (8, 11)]
    [[6, 7, 8], [6, 7, 8, 9, 10, 11]]
    """
    checks.at_least(1, segment=segment)
    checks.at_least(0, memory=memory)
    name = f"segment_recurrent({segment}, {memory})"
    return Interval(name, lambda i: i // segment * segment - memory, lambda i: i, period=segment)


def padding(stop, start=0) -> Interval:
    """start <= j < stop: only these keys are text. Lists, one entry a sequence, give a mask of (batch, 1, n, n).

    >>> dense(causal() & padding([3, 2]), 3).astype(int)[1, 0]
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 1, 0]])
    """
    checks.finite(start=start)
    checks.finite(stop=stop)
    # copies: what the caller does with a list later changes no mask
    start, stop = np.array(np.asarray(start)), np.array(np.asarray(stop))
    name = f"padding({stop.tolist()}, start={start.tolist()})"
    whole = all(end.dtype.kind in "iu" and end.ndim <= 1 and end.size for end in (start, stop))
    start, stop = (end.astype(np.int64) if whole else end for end in (start, stop))  # bytes would wrap around
    if not whole or (start.ndim and start.shape != stop.shape) or not ((0 <= start) & (start <= stop)).all():
        raise ValueError(
            f"{name}: whole numbers, or lists of one for each sequence, with 0 <= start <= stop are needed"
        )
    start, stop = (end.reshape(-1, 1, 1, 1) if end.ndim else int(end) for end in (start, stop))
    return Interval(name, lambda i: _beside(i, start), lambda i: _beside(i, stop) - 1)


# ---- the sparse family ------------------------------------------------------------------------------------------


def dilated(width: int, dilation: int) -> Mask:
    """`width` keys, each `dilation` before the next, oneself the last (Longformer's dilated window, causal).

    >>> np.flatnonzero(dense(dilated(width=3, dilation=4), 12)[11])
    array([ 3,  7, 11])
    """
    checks.at_least(1, width=width, dilation=dilation)
    reach = min((width - 1) * dilation, END)  # 64 bits hold it
    return Mask(
        f"dilated({width}, {dilation})",
        lambda q, k: (k <= q) & (q - k <= reach) & ((q - k) % dilation == 0),
        lambda first, last: (max(0, first - reach), last),
        scattered=True,
        count=lambda n: int(np.minimum(np.arange(n) // dilation + 1, width).sum()),
        period=1,
    )


def strided(stride: int) -> Mask:
    """The last `stride` keys, and every key whose distance is a multiple of it (Sparse Transformers, both heads).

    >>> np.flatnonzero(dense(strided(4), 16)[15])
    array([ 3,  7, 11, 12, 13, 14, 15])
    >>> strided(32).pairs(1024), causal().pairs(1024)
    (48144, 524800)
    """
    checks.at_least(1, stride=stride)
    return Mask(
        f"strided({stride})",
        lambda q, k: (k <= q) & ((q - k < stride) | ((q - k) % stride == 0)),
        lambda first, last: (0, last),
        scattered=True,
        count=lambda n: int((np.minimum(np.arange(n), stride - 1) + 1 + np.arange(n) // stride).sum()),
        period=1,
    )


def fixed(block: int, summary: int = 1) -> Mask:
    """One's own block so far, and the last `summary` keys of every earlier one (Sparse Transformers, both heads).

    >>> np.flatnonzero(dense(fixed(block=4), 11)[10])
    array([ 3,  7,  8,  9, 10])
    """
    checks.at_least(1, block=block, summary=summary)
    if summary > block:
        raise ValueError(f"summary is {summary}; it must be at most the block, {block}")
    return Mask(
        f"fixed({block}, {summary})",
        lambda q, k: (k <= q) & ((q // block == k // block) | (k % block >= block - summary)),
        lambda first, last: (0, last),
        scattered=True,
        count=lambda n: int((np.arange(n) % block + 1 + np.arange(n) // block * summary).sum()),
        period=block,
    )


def longformer(window: int, global_tokens: int = 1) -> Mask:
    """window // 2 keys to either side, and oneself; the first `global_tokens` see everyone and are seen by everyone.

    It looks both ways, as its paper does; `causal() & longformer(...)` looks back only.

    >>> dense(longformer(window=2), 5).astype(int)
    array([[1, 1, 1, 1, 1],
           [1, 1, 1, 0, 0],
           [1, 1, 1, 1, 0],
           [1, 0, 1, 1, 1],
           [1, 0, 0, 1, 1]])
    """
    checks.at_least(0, window=window, global_tokens=global_tokens)
    side = window // 2

    def count(n):
        i = np.arange(n)
        near = np.minimum(i + side, n - 1) - np.maximum(i - side, 0) + 1
        far = np.minimum(global_tokens, np.maximum(i - side, 0))  # global tokens that the window does not reach
        return int(np.where(i < global_tokens, n, near + far).sum())

    return Mask(
        f"longformer({window}, {global_tokens})",
        lambda q, k: (abs(q - k) <= side) | (q < global_tokens) | (k < global_tokens),
        lambda first, last: (
            0 if global_tokens else max(0, first - side),
            END if first < global_tokens else last + side,
        ),
        scattered=True,
        count=count,
    )


def bigbird(
    block: int, length: int, window: int = 3, global_blocks: int = 1, random_blocks: int = 1, seed: int = 0
) -> Mask:
    """Blocks of tokens: a window of neighbours, global ones as in longformer, and a few drawn at random from the seed.

    Each block of queries draws `random_blocks` of the blocks that it does not see anyway, from the whole text: that is
    why the length has to be known. The window counts oneself, an even one is as wide as the odd one above. It looks
    both ways; `causal() & bigbird(...)` looks back only.

    Each row of blocks: the first, which is global, three neighbours, and one from anywhere.

    >>> mask = bigbird(block=4, length=40)
    >>> dense(mask, 40)[::4, ::4].astype(int)[4:7]
    array([[1, 0, 0, 1, 1, 1, 0, 0, 0, 1],
           [1, 0, 0, 0, 1, 1, 1, 0, 0, 1],
           [1, 0, 0, 1, 0, 1, 1, 1, 0, 0]])
    """
    checks.at_least(1, block=block, length=length)
    checks.at_least(0, window=window, global_blocks=global_blocks, random_blocks=random_blocks, seed=seed)
    blocks = -(-length // block)
    if blocks > 4096:
        raise ValueError(f"length is {length}, {blocks} blocks of {block}; it must be at most 4096 blocks")
    b = np.arange(blocks)
    near = abs(b[:, None] - b) <= window // 2
    sees = near | (b[:, None] < global_blocks) | (b < global_blocks)  # (blocks, blocks)
    draw = np.random.default_rng(seed)
    for row in sees:
        others = np.flatnonzero(~row)
        row[draw.permutation(others)[:random_blocks]] = True

    def allows(q, k):
        if not _is_tensor(q):
            for position in (f(x, initial=0) for x in (q, k) for f in (np.min, np.max)):
                if not 0 <= position < length:
                    raise ValueError(f"position {position} is not within bigbird's length, {length}")
        # for tensors, whose values one does not wait for: False outside
        inside = (0 <= q) & (q < length) & (0 <= k) & (k < length)
        return inside & _beside(q, sees)[q // block % len(sees), k // block % len(sees)]

    return Mask(
        f"bigbird({block}, {length}, {window}, {global_blocks}, {random_blocks}, seed={seed})",
        allows,
        lambda first, last: (0, END),
        scattered=True,
    )


# ---- what one does with a mask ----------------------------------------------------------------------------------


def dense(mask: Mask, n: int) -> np.ndarray:
    """The mask as booleans (n, n), a row for each query; (batch, 1, n, n) where padding differs by sequence.

    >>> dense(sliding_window(2) | sliding_window(1), 3)
    array([[ True, False, False],
           [ True,  True, False],
           [False,  True,  True]])
    """
    checks.a(Mask, mask=mask)
    checks.at_least(0, n=n)
    return np.array(mask(np.arange(n)[:, None], np.arange(n)))


def reach(mask: Mask, n: int, layers: int) -> np.ndarray:
    """Entry [i, j]: can position i have heard of input j after so many layers? Booleans (n, n).

    A layer hands on what attention fetches, and the residual stream keeps what was there: j is heard of where a walk of
    `layers` steps leads from i to j, each step along an allowed pair or standing still.

    >>> [int(reach(block_causal(4), 32, layers)[31].sum()) for layers in (0, 1, 2, 3)]
    [1, 8, 12, 16]
    """
    checks.at_least(0, layers=layers)
    allowed = dense(mask, n)
    heard = np.broadcast_to(np.eye(n, dtype=np.float32), allowed.shape)
    step = np.maximum(allowed, heard)  # (n, n); in float32, where a product counts walks
    for _ in range(layers):
        heard = np.minimum(step @ heard, 1.0)
    return heard > 0


def flex(mask: Mask, queries: int, keys: int, device: str = "cpu"):
    """The mask for torch's flex_attention, as a BlockMask over query positions 0 .. queries-1 and keys 0 .. keys-1.

    flex_attention is fast where torch can compile it; elsewhere it computes every pair. One mask serves all sequences
    of a batch: padding that differs between them goes the dense way.

    Its tiles are 128 by 128; what is left out of them, in percent, is the saving:

    >>> round(flex(block_causal(128), 1024, 1024).sparsity(), 1)
    76.6
    """
    from torch.nn.attention.flex_attention import create_block_mask

    checks.at_least(1, queries=queries, keys=keys)
    last = max(queries, keys) - 1
    if np.ndim(mask(last, last)) > 2:  # and a mask that ends before says so
        raise ValueError(f"mask is {mask}, which differs between sequences; flex takes one mask for all, dense() any")
    return create_block_mask(lambda b, h, q, k: mask(q, k), None, None, queries, keys, device=device)


# ---- small print ------------------------------------------------------------------------------------------------


def _alike(q, k):
    """Positions as whole numbers of 64 bits, both as torch tensors if one is; plain numbers stay what they are."""
    if _is_tensor(q) or _is_tensor(k):
        import torch

        device = (q if _is_tensor(q) else k).device
        q, k = (torch.as_tensor(x, device=device) for x in (q, k))
        fractional = q.is_floating_point() or k.is_floating_point()
    else:
        q, k = (x if isinstance(x, int) else np.asarray(x) for x in (q, k))
        fractional = any(not isinstance(x, int) and x.dtype.kind == "f" and x.size for x in (q, k))
    if fractional:  # cut to whole ones, some query would see the future
        raise ValueError(f"q and k are {_kind(q)} and {_kind(k)}; the positions that a mask compares are whole numbers")
    if _is_tensor(q):
        return q.long(), k.long()
    return tuple(x if isinstance(x, int) else x.astype(np.int64) for x in (q, k))


def _kind(position) -> str:
    return str(getattr(position, "dtype", type(position).__name__))


def _is_tensor(position) -> bool:
    return hasattr(position, "new_tensor")


def _beside(position, array):
    """`array` as a torch tensor on the same device where `position` is one; else unchanged."""
    if not _is_tensor(position) or isinstance(array, int):
        return array
    import torch

    return torch.as_tensor(array, device=position.device)


def _common(a: Mask, b: Mask) -> int | None:
    return math.lcm(a.period, b.period) if a.period and b.period else None


def _larger(a, b):  # of numbers, numpy arrays and torch tensors alike
    return a * (a > b) + b * (a <= b)


def _smaller(a, b):
    return a * (a < b) + b * (a >= b)
