"""cache.py: whatever the chunks, the outputs are those of one long sequence; and what is not needed is gone."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexviz import masks
from lexviz.attention import attend, whole, windows
from lexviz.cache import KeyValueCache, SegmentCache
from lexviz.masks import Mask
from lexviz.positions import NoPosition, Rope, Xpos
from test_attention import EXACT, OWN, any_mask, draw, exact, seeds
from test_positions import DIM, HEADS


@st.composite
def chunkings(draw_, longest=120):
    """Where a sequence is cut: a prompt of any length, then one token or several at a time."""
    length = draw_(st.integers(1, longest))
    cuts = draw_(st.sets(st.integers(1, length - 1), max_size=6)) if length > 1 else set()
    cuts |= set(range(max(1, length - draw_(st.integers(0, 5))), length))  # the last ones one by one
    return [0, *sorted(cuts), length]


def so_far(mask, ends):
    """The mask, cut off at the end of the chunk that a query comes with: what a cache can know."""
    ends = np.array(ends)

    def allows(q, k):
        end = ends[np.searchsorted(ends, np.asarray(q), side="right")]
        return mask(q, k) & (k < (torch.as_tensor(end) if isinstance(q, torch.Tensor) else end))

    return Mask("so_far", allows, mask.span)


def in_chunks(cache, cuts, q, k, v, position):
    parts = []
    for start, stop in itertools.pairwise(cuts):
        parts.append(cache.attend(*(x[:, :, start:stop] for x in (q, k, v)), position))
        assert cache.length == stop
        assert cache.kept <= stop
    return torch.cat(parts, dim=2)


def check_chunks(encoding, mask, cuts, seed, batch=2):
    q, k, v = draw(seed, cuts[-1], cuts[-1], batch)
    found = in_chunks(KeyValueCache(mask), cuts, q, k, v, encoding)
    wanted = attend(q, k, v, so_far(mask, cuts[1:]), encoding)
    assert torch.allclose(found, wanted, rtol=1e-6, atol=1e-6)
    if not masks.dense(mask & future, cuts[-1]).any():
        assert torch.allclose(found, attend(q, k, v, mask, encoding), rtol=1e-6, atol=1e-6)
    if len(cuts) == cuts[-1] + 1:  # one by one: what looks ahead sees what is causal in it
        assert torch.allclose(found, attend(q, k, v, masks.causal() & mask, encoding), rtol=1e-6, atol=1e-6)


future = masks.Interval("future", lambda i: i + 1, lambda i: masks.END)


@exact
@given(mask=any_mask(2), cuts=chunkings(), seed=seeds)
@settings(max_examples=20)
def test_any_chunks_give_what_the_whole_gives(encoding, mask, cuts, seed):
    check_chunks(encoding, mask, cuts, seed)


@given(mask=any_mask(2), length=st.integers(1, 40), seed=seeds, encoding=st.sampled_from(EXACT))
@settings(max_examples=20)
def test_one_by_one_gives_what_is_causal_in_the_mask(mask, length, seed, encoding):
    check_chunks(encoding, mask, list(range(length + 1)), seed)


@pytest.mark.full
@exact
@given(mask=any_mask(2), cuts=chunkings(250), seed=seeds)
@settings(max_examples=300)
def test_any_chunks_of_long_texts_give_what_the_whole_gives(encoding, mask, cuts, seed):
    check_chunks(encoding, mask, cuts, seed)


@pytest.mark.parametrize(
    ("mask", "most"),  # None: all tokens
    [
        (masks.block_causal(1), 1),
        (masks.block_causal(5), 9),
        (masks.block_causal(16), 31),
        (masks.sliding_window(7), 6),
        (masks.sliding_window(1), 0),
        (masks.segment_recurrent(8, 3), 10),
        (masks.block_causal(5) & masks.padding(1000), 9),
        (masks.dilated(4, 3), 9),
        (masks.causal(), None),
        (masks.block_causal(5) | masks.strided(4), None),
        (OWN[1], 40),
        (OWN[2], 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("step", [1, 3, 50])
def test_kept_is_what_some_later_query_can_need(mask, most, step):
    cache = KeyValueCache(mask)
    largest, length = 0, 200
    seen = masks.dense(mask, length + 50)
    x = torch.zeros(1, 1, step, 2)
    for stop in range(step, length + 1, step):
        cache.attend(x, x, x)
        needed = seen[stop:, :stop].any(0)
        low = needed.argmax() if needed.any() else stop
        assert stop - low <= cache.kept <= (stop if most is None else most)
        largest = max(largest, cache.kept)
    assert largest == (length if most is None else most) or step > 1


@pytest.mark.parametrize("mask", [masks.block_causal(16), masks.sliding_window(9), masks.causal()], ids=str)
def test_memory_of_dropped_tokens_is_freed(mask):
    q, k, v = (x.requires_grad_() for x in draw(0, 500, 500))
    cache = KeyValueCache(mask)
    segments = SegmentCache(mask)
    for start, stop in ((0, 300), (300, 301), (301, 450), (450, 500)):
        cache.attend(*(x[:, :, start:stop] for x in (q, k, v)), Rope(DIM))
        segments.inputs(q[:, 0, start:stop])
        assert segments.kept == cache.kept
        for x, numbers in ((cache.k, HEADS), (cache.v, HEADS), (segments.x, 1)):
            assert not x.requires_grad
            assert x.untyped_storage().nbytes() == 8 * 2 * numbers * cache.kept * DIM


def test_keys_are_kept_before_rotation():
    q, k, v = draw(0, 20, 20)
    cache = KeyValueCache(masks.sliding_window(8))
    cache.attend(q, k, v, Xpos(DIM))
    assert torch.equal(cache.k, k[:, :, -7:])
    assert torch.equal(cache.v, v[:, :, -7:])
    k.zero_()  # what the caller does with its tensors later changes nothing
    assert (cache.k != 0).all()


def test_an_endless_text_in_half_precision():
    """Constant memory, and XPos as exact after 30,000 tokens as at the start."""
    mask, position = masks.block_causal(64), Xpos(DIM)
    q, k, v = draw(0, 640, 640, batch=1, dtype=torch.float16)
    cache = KeyValueCache(mask)
    with torch.no_grad():
        for _ in range(50):
            out = cache.attend(q, k, v, position)
            assert cache.kept == 64
    assert cache.length == 32_000
    exact_out = attend(*(torch.cat((x[:, :, -64:], x), dim=2).double() for x in (q, k, v)), mask, position)
    error = (out[:, :, :].double() - exact_out[:, :, 64:]).abs().max()
    assert error < 6 * torch.finfo(torch.float16).eps


def test_gradients_reach_the_new_tokens_and_not_the_old_ones():
    q, k, v = (x.requires_grad_() for x in draw(0, 12, 12))
    cache = KeyValueCache(masks.causal())
    cache.attend(q[:, :, :7], k[:, :, :7], v[:, :, :7], Rope(DIM))
    cache.attend(q[:, :, 7:], k[:, :, 7:], v[:, :, 7:], Rope(DIM)).square().sum().backward()
    for x in (q, k, v):
        assert (x.grad[:, :, :7] == 0).all()
        assert (x.grad[:, :, 7:] != 0).any(-1).all()


def test_a_call_that_fails_leaves_the_cache_as_it_was():
    q, k, v = draw(0, 9, 9)
    cache = KeyValueCache(masks.causal())
    first = cache.attend(q[:, :, :4], k[:, :, :4], v[:, :, :4], Rope(DIM))
    with pytest.raises(ValueError, match="Rope was made for 6"):
        cache.attend(q[:, :, 4:], k[:, :, 4:], v[:, :, 4:], Rope(6))
    with pytest.raises(ValueError, match=r"q is torch\.float64 of shape"):
        cache.attend(q[:, :, :0], k[:, :, :0], v[:, :, :0])
    assert (cache.length, cache.kept) == (4, 4)
    last = cache.attend(q[:, :, 4:], k[:, :, 4:], v[:, :, 4:], Rope(DIM))
    assert torch.allclose(torch.cat((first, last), dim=2), attend(q, k, v, masks.causal(), Rope(DIM)))


def test_a_segment_that_fails_leaves_the_cache_as_it_was():
    x, cache = torch.randn(1, 9, HEADS * DIM), SegmentCache(masks.causal())

    def attended(new, position):
        context = cache.inputs(new)
        q, k = (y.unflatten(-1, (HEADS, DIM)).transpose(1, 2) for y in (new, context))
        return cache.attend(q, k, k, position)

    def state():
        return cache.length, cache.kept

    with pytest.raises(ValueError, match="Rope was made for 6"):
        attended(x[:, :4], Rope(6))
    assert state() == (0, 0)
    first = attended(x[:, :4], Rope(DIM))
    with pytest.raises(ValueError, match="Rope was made for 6"):
        attended(x[:, 4:], Rope(6))
    with pytest.raises(ValueError, match=r"new tokens have shape \(2, 5, .*as in earlier calls"):
        attended(x[:, 4:].expand(2, -1, -1), Rope(DIM))
    assert state() == (4, 4)
    q = x.unflatten(-1, (HEADS, DIM)).transpose(1, 2)
    whole = attend(q, q, q, masks.causal(), Rope(DIM))
    assert torch.allclose(torch.cat((first, attended(x[:, 4:], Rope(DIM))), dim=2), whole, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, HEADS, 4, DIM), (2, HEADS, 4, DIM + 2)])
def test_a_later_call_of_another_shape_is_refused(shape):
    cache = KeyValueCache(masks.causal())
    cache.attend(*draw(0, 4, 4))
    with pytest.raises(ValueError, match=r"new tokens have shape .*, earlier ones .*as in earlier calls"):
        cache.attend(*torch.zeros(3, *shape))
    assert cache.length == 4


def test_inputs_of_a_key_value_cache_are_the_new_ones():
    x = torch.randn(1, 4, 6)
    assert KeyValueCache(masks.causal()).inputs(x) is x


# ---- Transformer-XL ---------------------------------------------------------------------------------------------


def heads_of(x, weight):
    return (x @ weight.T).unflatten(-1, (HEADS, DIM)).transpose(1, 2)  # (batch, heads, length, head_dim)


def naive_segments(x, weights, cuts, mask, position):
    """Each segment with keys and values made anew from *all* earlier inputs, detached: nothing is ever dropped."""
    parts = []
    for start, stop in itertools.pairwise(cuts):
        context = torch.cat((x[:, :start].detach(), x[:, start:stop]), dim=1)
        q, k, v = heads_of(x[:, start:stop], weights[0]), heads_of(context, weights[1]), heads_of(context, weights[2])
        parts.append(attend(q, k, v, mask, position, range(start, stop), range(stop)))
    return parts


@given(
    segment=st.integers(1, 9),
    memory=st.integers(0, 12),
    cuts=chunkings(30),
    seed=seeds,
    position=st.sampled_from([NoPosition(), Rope(DIM), Xpos(DIM), *EXACT[1:4]]),
)
@settings(max_examples=30)
def test_segments_are_those_of_transformer_xl(segment, memory, cuts, seed, position):
    mask = masks.segment_recurrent(segment, memory)
    torch.manual_seed(seed)
    x = torch.randn(2, cuts[-1], 10, dtype=torch.float64, requires_grad=True)
    weights = [torch.randn(HEADS * DIM, 10, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    wanted = naive_segments(x, weights, cuts, mask, position)
    cache, found = SegmentCache(mask), []
    for start, stop in itertools.pairwise(cuts):
        new = x[:, start:stop]
        context = cache.inputs(new)
        assert cache.kept < segment + memory
        q, k, v = heads_of(new, weights[0]), heads_of(context, weights[1]), heads_of(context, weights[2])
        found.append(cache.attend(q, k, v, position))
    assert cache.length == cuts[-1]
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-6)
    # The last segment's loss: to the projections through the memory too, to no earlier input.
    mine, right = (
        torch.autograd.grad(parts[-1].square().sum(), [x, *weights], retain_graph=True) for parts in (found, wanted)
    )
    for one, other in zip(mine, right, strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-6 * (1 + other.abs().max().item()))
    assert (mine[0][:, : cuts[-2]] == 0).all()


def test_projections_learn_from_the_memory():
    """A segment whose own keys are all zero: what its gradient for the key projection has, came from the memory."""
    torch.manual_seed(0)
    x, weight = torch.randn(1, 4, 6), torch.randn(6, 6, requires_grad=True)
    cache = SegmentCache(masks.causal())
    cache.inputs(x)
    context = cache.inputs(torch.zeros(1, 2, 6))
    q, keys = torch.randn(1, 1, 2, 6), (context @ weight.T)[:, None]
    cache.attend(q, keys, torch.randn(1, 1, 6, 6)).sum().backward()
    assert (weight.grad != 0).any()


@pytest.mark.parametrize("make", [KeyValueCache, SegmentCache])
def test_an_empty_cache(make):
    cache = make(masks.block_causal(4))
    assert (cache.length, cache.kept) == (0, 0)


def test_windows_of_cached_keys_are_rows_of_the_map():
    q, k, _ = draw(0, 30, 30)
    last = whole(
        list(windows(q[:, :, 25:], k[:, :, 20:], masks.causal(), Rope(DIM), range(25, 30), range(20, 30))), 5, 10
    )
    assert torch.allclose(last.sum(-1), torch.ones((), dtype=torch.float64))
