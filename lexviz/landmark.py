"""Landmark attention: after each block of text a token that stands for the block (Mohtashami and Jaggi, 2023).

A query looks at the landmarks of other blocks, and the tokens of a block share the weight that its landmark has won. So
a look at the landmarks alone tells which blocks matter.

    insert_landmarks, remove_landmarks, is_landmark    where they stand
    grouped_softmax, landmark_attention                training: dense and causal
    LandmarkCache                                      inference: k blocks are fetched for each query

A block is `block` ordinary tokens and their landmark; an unfinished last one has none yet. Positions count landmarks.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lexviz import attention, checks, masks
from lexviz.positions import PositionEncoding, encoding_or_none

# ---- where the landmarks are ------------------------------------------------------------------------------------


def insert_landmarks(tokens: Tensor, block: int, landmark_id: int, start: int = 0) -> Tensor:
    """Tokens (..., length) with a landmark after every `block` of them; `start` ordinary tokens came before.

    Bytes become 64-bit numbers where landmark_id is none.

    >>> insert_landmarks(torch.tensor([10, 11, 12, 13, 14]), block=2, landmark_id=99)
    tensor([10, 11, 99, 12, 13, 99, 14])
    """
    _check_tokens(tokens)
    checks.at_least(1, block=block)
    checks.at_least(0, start=start, landmark_id=landmark_id)
    stop = start + tokens.shape[-1]
    before, up_to = start + start // block, stop + stop // block  # landmarks counted
    landmark = is_landmark(up_to - before, block, before)
    dtype = tokens.dtype if landmark_id <= torch.iinfo(tokens.dtype).max else torch.long
    joined = tokens.new_full((*tokens.shape[:-1], up_to - before), landmark_id, dtype=dtype)
    joined[..., ~landmark.to(tokens.device)] = tokens.to(dtype)
    return joined


def remove_landmarks(tokens: Tensor, block: int, start: int = 0) -> Tensor:
    """What `insert_landmarks` was given.

    >>> remove_landmarks(torch.tensor([10, 11, 99, 12, 13, 99, 14]), block=2)
    tensor([10, 11, 12, 13, 14])
    """
    checks.a(Tensor, tokens=tokens)
    if not tokens.ndim:
        raise ValueError("tokens is a single number; (..., length) is needed")
    checks.at_least(1, block=block)
    checks.at_least(0, start=start)
    landmark = is_landmark(tokens.shape[-1], block, start + start // block)
    return tokens[..., ~landmark.to(tokens.device)]


def is_landmark(length: int, block: int, start: int = 0) -> Tensor:
    """Booleans (length,): which tokens are landmarks, where `start` tokens, landmarks counted, came before.

    >>> is_landmark(4, block=2, start=1)
    tensor([False,  True, False, False])
    """
    checks.at_least(1, block=block)
    checks.at_least(0, length=length, start=start)
    return torch.arange(start, start + length) % (block + 1) == block


# ---- training: dense, with a softmax in groups ------------------------------------------------------------------


def grouped_softmax(scores: Tensor, is_landmark: Tensor, q_start: int = 0) -> Tensor:
    """Weights of tokens 0 .. keys-1 for queries q_start, q_start + 1, ...; causal, and each row sums to 1.

    One softmax over the blocks: a block counts with its landmark's score, the query's own block with the logarithm of
    the sum of its exponentials (so its tokens compete with the landmarks one by one). Times one softmax within each
    block, over its ordinary tokens. Landmarks get 0: they only gate.

    scores are (..., queries, keys), already scaled; -inf hides a key. is_landmark is (keys,), or anything that
    broadcasts to the scores: blocks may differ in size, and between sequences. A block whose tokens are all hidden
    takes no part, and a query that may see nothing gets zeros. Half precision is computed in float32.

    >>> landmark = torch.tensor([0, 0, 1, 0, 0, 1, 0, 0, 1]) > 0
    >>> grouped_softmax(torch.zeros(1, 9), landmark, q_start=6)
    tensor([[0.1667, 0.1667, 0.0000, 0.1667, 0.1667, 0.0000, 0.3333, 0.0000, 0.0000]])
    """
    _check(scores, is_landmark, q_start)
    is_landmark = is_landmark.to(scores.device).reshape((1,) * (scores.ndim - is_landmark.ndim) + is_landmark.shape)
    for axis, size in enumerate(is_landmark.shape[:-1]):
        if size > 1:  # landmarks stand elsewhere in each part: one after the other
            start = range(q_start, q_start + size) if axis == scores.ndim - 2 else [q_start] * size
            parts = zip(scores.split(1, axis), is_landmark.split(1, axis), start, strict=True)
            return torch.cat([grouped_softmax(*part) for part in parts], axis)
    return _GroupedSoftmax.apply(scores, is_landmark.flatten().nonzero().flatten().tolist(), q_start)


def landmark_attention(
    q, k, v, block: int, position: PositionEncoding | None = None, return_weights: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention as in training: tokens with landmarks among them, causal, dense, weighed by `grouped_softmax`.

    q, k, v are (batch, heads, length, head_dim), landmarks counted. With return_weights, also (batch, heads, length,
    length).

    >>> q, k, v = torch.randn(3, 1, 2, 9, 8)  # blocks of two tokens and their landmark
    >>> out, weights = landmark_attention(q, k, v, block=2, return_weights=True)
    >>> out.shape, weights[..., 2::3].abs().max().item()  # landmarks get no weight: their values are never read
    (torch.Size([1, 2, 9, 8]), 0.0)
    """
    checks.heads(q, k, v)
    if q.shape[-2] > k.shape[-2]:
        raise ValueError(f"q has {q.shape[-2]} tokens and k has {k.shape[-2]}; the queries are the last of the keys")
    weights = grouped_softmax(
        attention.scores(q, k, masks.full(), position), is_landmark(k.shape[-2], block), k.shape[-2] - q.shape[-2]
    )
    with torch.autocast(q.device.type, enabled=False):
        out = (weights @ v.to(weights.dtype)).to(v.dtype)  # (batch, heads, length, head_dim)
    return (out, weights) if return_weights else out


class _GroupedSoftmax(torch.autograd.Function):
    """w_j = T_b c_j for token j of block b: T is the softmax over the blocks, c the one within b.

    With g = dL/dw, and means G_b = sum of c_j g_j over block b, G = sum of T_b G_b over all:
    dL/ds_j = w_j (g_j - G_b), but w_j (g_j - G) in the query's own block; dL/ds = T_b (G_b - G) at the landmark of b.
    """

    @staticmethod
    def forward(ctx, scores, landmarks, q_start):
        (queries, keys), wide = scores.shape[-2:], torch.promote_types(scores.dtype, torch.float32)
        last = [*landmarks] if keys - 1 in landmarks else [*landmarks, keys - 1]  # of each block
        sizes = [stop - start for start, stop in zip([-1, *last[:-1]], last, strict=True)]
        last = torch.tensor(last, device=scores.device)  # (blocks,)
        j, b = (torch.arange(n, device=scores.device) for n in (keys, len(last)))
        block = torch.bucketize(j, last)  # (keys,): of each token
        i, own = (x[q_start : q_start + queries, None] for x in (j, block))  # (queries, 1): a query's place and block

        # Within a block: exponentials around its own maximum, so that no block underflows as a whole.
        hidden = (j > i).index_fill_(-1, last[: len(landmarks)], True)  # (queries, keys)
        c = scores.to(wide).masked_fill(hidden, -torch.inf)  # (..., queries, keys)
        top = _by_block(c, sizes, torch.amax).clamp_(min=torch.finfo(wide).min)  # (..., queries, blocks)
        c = c.sub_(_columns(top, block)).mul_(math.log2(math.e)).exp2_()  # exp_ is slow at -inf
        total = _by_block(c, sizes, torch.sum)  # (..., queries, blocks): at least 1, or 0 where all tokens are hidden

        # Among blocks: landmarks, and what the query's own block amounts to.
        gate = torch.where(b < own, _columns(scores, last).to(wide), top + total.log())  # (..., queries, blocks)
        gate = gate.masked_fill((b > own) | (total == 0), -torch.inf)
        T = gate.softmax(-1).masked_fill(gate.isneginf(), 0.0)  # zeros where a query may see nothing
        w = c.mul_(_columns(T / total.clamp(min=1), block)).to(scores.dtype)
        ctx.save_for_backward(w, T, own, block, last)
        ctx.sizes = sizes
        return w

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        w, T, own, block, last = ctx.saved_tensors
        b = torch.arange(len(last), device=T.device)
        ds = w * g.to(T.dtype)
        of_block = _by_block(ds, ctx.sizes, torch.sum)  # T_b G_b
        G = of_block.sum(-1, keepdim=True)
        mean = torch.where(b == own, G, of_block / T.clamp(min=torch.finfo(T.dtype).tiny))
        ds -= _columns(mean, block).mul_(w)
        ds.index_add_(-1, last, torch.where(b < own, of_block - T * G, 0.0))
        return ds.to(w.dtype), None, None


def _by_block(x: Tensor, sizes: list[int], reduce) -> Tensor:
    """The largest or the sum of each block's tokens: (..., queries, keys) to (..., queries, blocks)."""
    return torch.stack([reduce(part, -1) for part in x.split(sizes, -1)], -1)


def _columns(x: Tensor, index: Tensor) -> Tensor:
    """x[..., index], but faster."""
    return x.gather(-1, index.expand(*x.shape[:-1], -1))


# ---- inference: blocks are kept, and fetched --------------------------------------------------------------------


class Fetched(NamedTuple):
    """What the queries of one call looked at: the block in each slot, in temporal order, then the local tokens.

    A query's shares add up to 1, and so do its weights. A slot that stays empty has block -1 and share 0. Scores are
    nan where at most k blocks were there: then all are fetched, and none is scored.
    """

    blocks: Tensor  # (batch, heads, queries, slots)
    shares: Tensor  # (batch, heads, queries, slots)
    local: Tensor  # (batch, heads, queries)
    scores: Tensor  # (batch, heads, queries, finished blocks): of their landmarks
    weights: Tensor  # (batch, heads, queries, slots * (block + 1) + local tokens)


class LandmarkCache:
    """Keys and values of all tokens so far, one object a layer; each query attends to k blocks of them.

    Tokens come in chunks of any length, landmarks among them. Local are those of the chunk, and of an unfinished block
    before it: a query sees them as in training. Of the finished blocks before it, it sees k, those with the highest
    landmark scores: chosen for each head and token, or cheaper, with choose="head" for each head (by a landmark's
    largest share in the softmax over landmarks, among the chunk's tokens), with choose="token" for each token (largest
    among heads). `last` tells what the latest call fetched.

    With stingy positions no position grows with the text. There are k + 1 slots of a block each, then the local tokens.
    Landmarks are scored with the last k blocks in slots 1 .. k and all older ones in slot 0. The j-th fetched block,
    j = 0, 1, ..., takes slot j if it is old, j + 1 if it is of the last k. So training has to have shown
    (k + 1) (block + 1) + block + the chunk's tokens. (Up to k blocks all stand where they stood.)
    stingy=False keeps the true positions; then k of at least the number of blocks gives what training gives.

    device is where blocks are kept; landmarks stay with the queries. index makes, for vectors of a given size, an index
    by inner product with faiss's `add`, `search` and `ntotal`, to look for old landmarks; without it all are scored.

    >>> q, k, v = torch.randn(3, 1, 2, 30, 8)
    >>> cache = LandmarkCache(block=4, k=2)
    >>> parts = [cache.attend(q[:, :, t : t + 10], k[:, :, t : t + 10], v[:, :, t : t + 10]) for t in (0, 10, 20)]
    >>> cache.length, cache.blocks, cache.last.blocks.shape  # the last chunk had 4 blocks; 2, and an empty slot
    (30, 6, torch.Size([1, 2, 10, 3]))
    """

    def __init__(
        self, block: int, k: int, choose: str = "head and token", stingy: bool = True, device=None, index=None
    ):
        checks.at_least(1, block=block, k=k)
        if choose not in ("head and token", "head", "token"):
            raise ValueError(f'choose is {choose!r}; it must be "head and token", "head" or "token"')
        if index is not None and not stingy:
            raise ValueError("stingy is False; an index needs old blocks that share a position, so stingy=True")
        self.block, self.k, self.choose, self.stingy, self.device, self.index = block, k, choose, stingy, device, index
        self.blocks = 0  # finished ones
        self.last: Fetched | None = None
        self._kept = None  # (batch, heads, blocks or more, block + 1, head_dim of keys + head_dim of values)
        self._landmarks = None  # (batch, heads, blocks or more, head_dim), float32 or better
        self._local = None  # (batch, heads, tokens of the unfinished block, head_dim of keys + head_dim of values)
        self._indices = []  # for each sequence and head

    @property
    def length(self) -> int:
        """Tokens seen, landmarks counted."""
        return self.blocks * (self.block + 1) + (0 if self._local is None else self._local.shape[2])

    def inputs(self, x: Tensor) -> Tensor:
        """What keys and values are to be made from, given a layer's input x (batch, new, width): x."""
        return x

    def attend(self, q, k, v, position: PositionEncoding | None = None) -> Tensor:
        """Attention of new tokens (batch, heads, new, head_dim); their keys and values are kept for later ones."""
        checks.heads(q, k, v)
        d, local = k.shape[-1], torch.cat((k, v), dim=-1)
        if not self.length:  # nothing is kept, not even of a first call that failed
            self._local = local[:, :, :0]
            self._kept = local.new_empty(*local.shape[:2], 0, self.block + 1, local.shape[-1], device=self.device)
            self._landmarks = k.new_empty(*k.shape[:2], 0, d, dtype=torch.promote_types(k.dtype, torch.float32))
        batch, heads, _, sizes = self._local.shape
        if local.shape[:2] != (batch, heads) or local.shape[-1] != sizes or q.shape[:-1] != k.shape[:-1]:
            raise ValueError(
                f"q, k and v have shapes {tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}; (batch, heads, new, "
                f"head_dim) is needed, and batch and heads {batch, heads} and as many components, {sizes} in k and v, "
                "as in earlier calls"
            )
        if self._kept.is_inference() and not torch.is_inference_mode_enabled():  # those could not be written to
            self._kept, self._landmarks = self._kept.clone(), self._landmarks.clone()
        local = torch.cat((self._local, local), dim=2)  # (batch, heads, local, 2 head_dim)
        with torch.autocast(q.device.type, enabled=False):  # it would take the products in half precision
            out = self._attend(q, local, d, encoding_or_none(position))
        self._keep(local.detach(), d)
        return out.to(v.dtype)

    def _attend(self, q, local, d: int, position: PositionEncoding) -> Tensor:
        """Attention of the last of the local tokens to what is fetched for them, and to the local ones so far."""
        new, size = q.shape[2], self.block + 1
        slots = min(self.blocks, self.k + self.stingy)  # beyond k blocks, stingy ones leave a slot empty
        # Positions: what is fetched stands at 0, 1, ..., and the local tokens follow; or all stand at the true ones.
        in_a_row = self.stingy or slots == self.blocks
        there = slots * size  # so many keys are fetched
        n_local = torch.arange(local.shape[2], device=q.device) + (there if in_a_row else self.blocks * size)
        m = n_local[-new:]

        blocks, found = self._choose(q, position, m)  # (batch, heads, queries, slots), or 1 for some; -1: empty
        fetched = self._fetch(blocks).to(q.device)  # (batch, heads, there, 2 head_dim), or of each query
        if in_a_row and fetched.ndim == 4:
            scores = _scores(q, torch.cat((fetched[..., :d], local[..., :d]), dim=2), position)
        else:
            if in_a_row:
                n = torch.arange(there, device=q.device)  # the same for all queries
            else:
                n = (blocks[..., None] * size + torch.arange(size, device=q.device)).flatten(-2)
                n = n[:, :, 0] if fetched.ndim == 4 else n  # (batch, heads, there), or of each query
            parts = _scores(q, fetched[..., :d], position, m, n), _scores(q, local[..., :d], position, m, n_local)
            scores = torch.cat(parts, dim=-1)  # (batch, heads, queries, there + local)
        scores[..., self.block : there : size].masked_fill_(blocks < 0, -torch.inf)  # an empty slot's landmark

        keys = scores.shape[-1]
        weights = _GroupedSoftmax.apply(scores, range(self.block, keys, size), keys - new)
        of_slots, of_local = weights.split((there, keys - there), dim=-1)
        shares = of_slots.detach().unflatten(-1, (slots, size)).sum(-1)
        found = found.detach().expand(*shares.shape[:-1], self.blocks)
        self.last = Fetched(blocks.expand(shares.shape), shares, of_local.detach().sum(-1), found, weights.detach())
        fetched, local = (x[..., d:].to(weights.dtype) for x in (fetched, local))  # the values
        return _product(of_slots, fetched) + of_local @ local

    def _choose(self, q, position, m) -> tuple[Tensor, Tensor]:
        """The block in each slot, in temporal order: (batch, heads, queries, slots), 1 where all have the same.

        And the landmarks' scores by which they were chosen.
        """
        old = self.blocks - self.k
        if old <= 0:
            return torch.arange(self.blocks, device=q.device)[None, None, None], q.new_full((1, 1, 1, 1), torch.nan)
        found = scores = self._landmark_scores(q, position, m)  # (batch, heads, queries, blocks)
        if self.choose == "head":
            scores = scores.softmax(-1).amax(dim=2, keepdim=True)
        elif self.choose == "token":
            scores = scores.softmax(-1).amax(dim=1, keepdim=True)
        if not self.stingy:
            return scores.topk(self.k).indices.sort().values, found
        # The slot between old blocks and the last k stays empty: as if a block stood there that is always chosen.
        empty = torch.full_like(scores[..., :1], torch.inf)
        slots = torch.cat((scores[..., :old], empty, scores[..., old:]), dim=-1).topk(self.k + 1).indices.sort().values
        return (slots - (slots > old).long()).masked_fill(slots == old, -1), found

    def _landmark_scores(self, q, position, m) -> Tensor:
        """Scores (batch, heads, queries, blocks) of all finished blocks' landmarks, for queries at positions m."""
        landmarks = self._landmarks[:, :, : self.blocks]
        slot, old, d = torch.arange(self.blocks, device=q.device), self.blocks - self.k, q.shape[-1]
        if not self.stingy:
            return _scores(q, landmarks, position, m, slot * (self.block + 1) + self.block)
        # All old ones stand at one position n, and a rotation is linear in k. So there is no need to turn them:
        # q . (A_n k) is (A_n^T q) . k, and turning the unit vectors gives the columns of A_n.
        unit = torch.eye(d, dtype=landmarks.dtype, device=q.device).expand(*landmarks.shape[:2], d, d)
        slot = (slot - old + 1).clamp(min=0)
        n = slot * (self.block + 1) + self.block
        keys, n_keys = torch.cat((unit, landmarks[:, :, old:]), dim=2), torch.cat((n[:1].expand(d), n[old:]))
        turned_q, turned = position.rotate(q.to(landmarks.dtype), keys, m, n_keys)
        back = turned_q @ turned[:, :, :d].mT  # A_n^T q, (batch, heads, queries, d)
        products = back @ landmarks[:, :, :old].mT if self.index is None else self._search(back, old)
        scores = torch.cat((products, turned_q @ turned[:, :, d:].mT), dim=-1) / math.sqrt(d)
        bias = position.bias(q, landmarks, m, n)
        return scores if bias is None else scores + bias

    def _search(self, back: Tensor, old: int) -> Tensor:
        """Products of the queries with the k old landmarks that the index finds for each, -inf for the others."""
        batch, heads, queries, d = back.shape
        products = back.new_full((batch, heads, queries, old + 1), -torch.inf)  # the last for what is not found: -1
        self._indices = self._indices or [self.index(d) for _ in range(batch * heads)]
        for row, index in enumerate(self._indices):
            b, h = divmod(row, heads)
            index.add(self._landmarks[b, h, index.ntotal : old].float().cpu().numpy())
            found, where = index.search(back[b, h].detach().float().cpu().numpy(), self.k)  # (queries, k) each
            where = torch.from_numpy(where).to(back.device) % (old + 1)
            products[b, h].scatter_(-1, where, torch.from_numpy(found).to(back))
        return products[..., :old]

    def _fetch(self, blocks: Tensor) -> Tensor:
        """Keys and values of blocks (batch, heads, queries, slots): (batch, heads, slots * size, 2 head_dim).

        Or (batch, heads, queries, slots * size, 2 head_dim), where queries differ in their blocks.
        """
        blocks = blocks.clamp(min=0).to(self._kept.device)
        b, h = (torch.arange(n, device=blocks.device) for n in self._kept.shape[:2])
        fetched = self._kept[b[:, None, None, None], h[:, None, None], blocks].flatten(3, 4)
        return fetched[:, :, 0] if fetched.shape[2] == 1 else fetched

    def _keep(self, local: Tensor, d: int) -> None:
        """Move the blocks that are finished from the local tokens to the others."""
        size = self.block + 1
        new = local.shape[2] // size
        finished = local[:, :, : new * size].unflatten(2, (new, size))
        self._kept, self._landmarks = (_with_room(x, self.blocks + new) for x in (self._kept, self._landmarks))
        self._kept[:, :, self.blocks : self.blocks + new] = finished
        self._landmarks[:, :, self.blocks : self.blocks + new] = finished[..., -1, :d]
        self.blocks += new
        self._local = local[:, :, new * size :].clone()


def _scores(q, k, position: PositionEncoding, q_positions=None, k_positions=None) -> Tensor:
    """As `attention.scores`, of all pairs; k is (batch, heads, keys, head_dim), or with queries before the keys."""
    bias = position.bias(q, k, q_positions, k_positions)
    q, k = position.rotate(q, k, q_positions, k_positions)
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = _product(q.to(wide), k.to(wide).mT) / math.sqrt(q.shape[-1])
    return scores if bias is None else scores + bias


def _product(x: Tensor, y: Tensor) -> Tensor:
    """x (..., queries, a) times y (..., a, b), or times y of each query (..., queries, a, b)."""
    return x @ y if x.ndim == y.ndim else (x[..., None, :] @ y).squeeze(-2)


def _with_room(x: Tensor, blocks: int) -> Tensor:
    """x (batch, heads, capacity, ...), or a copy with more room; twice as much each time, so that copies are few."""
    if blocks <= x.shape[2]:
        return x
    roomy = x.new_empty(*x.shape[:2], max(blocks, 2 * x.shape[2]), *x.shape[3:])
    roomy[:, :, : x.shape[2]] = x
    return roomy


# ---- small print ------------------------------------------------------------------------------------------------


def _check_tokens(tokens: Tensor) -> None:
    checks.a(Tensor, tokens=tokens)
    if not tokens.ndim or tokens.is_floating_point() or tokens.dtype == torch.bool or tokens.is_complex():
        raise ValueError(
            f"tokens is {tokens.dtype} of shape {tuple(tokens.shape)}; whole numbers (..., length) are needed"
        )


def _check(scores: Tensor, is_landmark: Tensor, q_start: int) -> None:
    checks.a(Tensor, scores=scores, is_landmark=is_landmark)
    if not scores.is_floating_point() or scores.ndim < 2 or not 0 < scores.shape[-2] <= scores.shape[-1]:
        raise ValueError(
            f"scores is {scores.dtype} of shape {tuple(scores.shape)}; floats (..., queries, keys) are needed, with at "
            "least as many keys"
        )
    (queries, keys), shape = scores.shape[-2:], tuple(is_landmark.shape)
    checks.at_least(0, q_start=q_start)
    if q_start + queries > keys:
        raise ValueError(f"q_start is {q_start}; with {queries} queries and {keys} keys at most {keys - queries} goes")
    fits = len(shape) <= scores.ndim and all(a in (1, b) for a, b in zip(shape[::-1], scores.shape[::-1], strict=False))
    if is_landmark.dtype != torch.bool or not fits or shape[-1:] != (keys,):
        raise ValueError(
            f"is_landmark is {is_landmark.dtype} of shape {shape}; booleans ({keys},), or what else broadcasts to "
            f"the scores' {tuple(scores.shape)}, are needed"
        )
    before = torch.nn.functional.pad(is_landmark[..., :-1], (1, 0), value=True)
    if (is_landmark & before).any():
        at = (is_landmark & before).nonzero()[0].tolist()
        raise ValueError(f"is_landmark is True at {at}, and before it is no ordinary token that it could stand for")
