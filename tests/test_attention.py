"""attention.py: the dense reference against loops, and everything cheaper against the dense reference."""

import contextlib
import copy
import math
import shutil
import sys
import tracemalloc
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import naive_attention
import test_masks
from lexviz import attention, masks
from lexviz.attention import attend, block_causal_attention, windowed, windows
from lexviz.masks import Interval
from lexviz.positions import Alibi, NoPosition, Rope, T5Bias, Xpos
from test_positions import DIM, HEADS, relative_encodings

RELATIVE = relative_encodings()
EXACT = [copy.deepcopy(encoding).double() for encoding in RELATIVE]
relative = pytest.mark.parametrize("encoding", RELATIVE, ids=repr)
exact = pytest.mark.parametrize("encoding", EXACT, ids=repr)
seeds = st.integers(0, 2**31)
FORMATS = [torch.float32, torch.bfloat16, torch.float16]
LAST = 400  # no position in these tests is higher, unless a test says so

# A reader's own: looks ahead; looks at what is far behind only; looks at nothing. Each with a period and without.
OWN = [
    Interval("ahead", lambda i: i - 3, lambda i: i + 5, period=1),
    Interval("far_back", lambda i: i - 40, lambda i: i - 20, period=1),
    Interval("nothing", lambda i: i + 5, lambda i: i + 2, period=1),
    Interval("next_blocks", lambda i: (i // 6 + 1) * 6, lambda i: i // 6 * 6 + 13, period=6),
    Interval("no_period", lambda i: i - i // 3, lambda i: i),
    Interval("two_ahead", lambda i: 0, lambda i: i + 2, period=1),
]


def intervals(batch):
    """Masks without gaps."""
    size, place = st.integers(1, 150), st.integers(0, 220)
    lists = st.lists(st.tuples(place, st.integers(0, 200)), min_size=batch, max_size=batch)
    return st.one_of(
        st.sampled_from([masks.full(), masks.causal(), *OWN]),
        size.map(masks.block_causal),
        size.map(masks.sliding_window),
        st.builds(masks.segment_recurrent, st.integers(1, 60), st.integers(0, 150)),
        st.builds(lambda start, more: masks.padding(start + more, start), place, place),
        lists.map(lambda ends: masks.padding([a + n for a, n in ends], [a for a, _ in ends])),
    )


def sparse():
    few = st.integers(1, 40)
    return st.one_of(
        st.builds(masks.dilated, few, few),
        few.map(masks.strided),
        few.flatmap(lambda block: st.integers(1, block).map(lambda summary: masks.fixed(block, summary))),
        st.builds(masks.longformer, st.integers(0, 40), st.integers(0, 40)),
        st.builds(lambda block, seed: masks.bigbird(block, LAST, seed=seed), few, st.integers(0, 99)),
    )


def any_mask(batch):
    """All masks, and what `&` and `|` make of them."""
    return st.recursive(
        st.one_of(intervals(batch), intervals(batch), sparse()),
        lambda some: st.tuples(some, some, st.booleans()).map(lambda x: x[0] & x[1] if x[2] else x[0] | x[1]),
        max_leaves=3,
    )


def draw(seed, queries, keys, batch=2, dtype=torch.float64, of_v=DIM):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((queries, DIM), (keys, DIM), (keys, of_v))
    return [torch.randn(batch, HEADS, *shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


@contextlib.contextmanager
def sized(run, piece, long=None):
    """With windows of other sizes than usual, so that short sequences fall into many."""
    with mock.patch.multiple(attention, RUN=run, PIECE=piece, LONG=long or 8 * run):
        yield


sizes_of_windows = st.tuples(st.sampled_from([1, 4, 7, 32, 128]), st.sampled_from([1, 3000, 20_000, 2**20]))


@st.composite
def cases(draw_, mask=any_mask):
    """A mask, sizes, and positions: none, or consecutive ones from anywhere, queries not always among the keys."""
    batch = draw_(st.integers(1, 3))
    keys = draw_(st.integers(1, 200))
    if draw_(st.booleans()):
        return draw_(mask(batch)), batch, draw_(st.integers(1, keys)), keys, None, None
    queries = draw_(st.integers(1, 200))
    first_q, first_k = draw_(st.integers(0, 150)), draw_(st.integers(0, 150))
    return draw_(mask(batch)), batch, queries, keys, range(first_q, first_q + queries), range(first_k, first_k + keys)


# ---- the reference, against loops -------------------------------------------------------------------------------


@exact
@given(
    definition=test_masks.definitions,
    queries=st.integers(1, 7),
    keys=st.integers(1, 7),
    seed=seeds,
    data=st.data(),
)
@settings(max_examples=15)
def test_attend_is_what_loops_give(encoding, definition, queries, keys, seed, data):
    mask, says = definition
    q, k, v = draw(seed, queries, keys, of_v=5)
    places = st.integers(0, 30)
    m = data.draw(st.lists(places, min_size=queries, max_size=queries))
    n = data.draw(st.lists(places, min_size=keys, max_size=keys))
    found = attention.scores(q, k, mask, encoding, m, n)
    out, weights = attend(q, k, v, mask, encoding, m, n, return_weights=True)
    assert out.shape == (2, HEADS, queries, 5)
    assert torch.equal(out, attend(q, k, v, mask, encoding, m, n))
    for b in range(2):
        wanted = naive_attention.attend(q[b].tolist(), k[b].tolist(), v[b].tolist(), says, encoding, m, n)
        for tensor, numbers in zip((found[b], weights[b], out[b]), wanted, strict=True):
            assert torch.allclose(tensor, torch.tensor(numbers, dtype=torch.float64), rtol=1e-6, atol=1e-6)


@exact
@given(case=cases(), seed=seeds)
@settings(max_examples=10)
def test_rows_sum_to_one_or_are_zero_and_make_the_output(encoding, case, seed):
    mask, batch, queries, keys, m, n = case
    q, k, v = draw(seed, queries, keys, batch)
    out, weights = attend(q, k, v, mask, encoding, m, n, return_weights=True)
    i = np.arange(keys - queries, keys) if m is None else np.array(m)
    j = np.arange(keys) if n is None else np.array(n)
    allowed = torch.from_numpy(np.array(mask(i[:, None], j))).expand(weights.shape)
    assert (weights[~allowed] == 0).all()
    assert torch.allclose(weights.sum(-1), allowed.any(-1).double())
    assert torch.allclose(out, weights @ v)


def test_positions_may_differ_between_sequences():
    q, k, v = draw(0, 4, 6)
    m, n = (
        torch.tensor([[3, 9, 1, 4], [2, 2, 8, 0]])[:, None],
        torch.tensor([[0, 5, 2, 3, 4, 1], [1, 2, 3, 4, 5, 6]])[:, None],
    )
    for encoding in EXACT:
        together = attend(q, k, v, masks.causal(), encoding, m, n)
        for b in range(2):
            alone = attend(q[[b]], k[[b]], v[[b]], masks.causal(), encoding, m[b, 0], n[b, 0])
            assert torch.allclose(together[[b]], alone)


@relative
@pytest.mark.parametrize("dtype", FORMATS, ids=str)
def test_scores_are_in_float32_whatever_the_inputs_are_in(encoding, dtype):
    q, k, v = draw(1, 30, 30, dtype=dtype)
    found = attention.scores(q, k, masks.full(), encoding)
    assert found.dtype == torch.float32
    wanted = attention.scores(q.double(), k.double(), masks.full(), encoding)
    assert torch.allclose(found.double(), wanted, rtol=0, atol=8 * torch.finfo(dtype).eps)
    out, weights = attend(q, k, v, masks.full(), encoding, return_weights=True)
    assert (out.dtype, weights.dtype) == (dtype, torch.float32)


# ---- what is cheaper, against the reference ---------------------------------------------------------------------


def check_same(cheaper, encoding, case, seed, of_v=DIM):
    """The same output and the same gradients as attend: for q, k, v and what the encoding has learned."""
    mask, batch, queries, keys, m, n = case
    inputs = [x.requires_grad_() for x in draw(seed, queries, keys, batch, of_v=of_v)]
    learned = [*inputs, *encoding.parameters()]
    out = []
    for attends in (attend, cheaper):
        result = attends(*inputs, mask, encoding, m, n)
        grads = torch.autograd.grad((result * torch.cos(result.detach() + 1)).sum(), learned, materialize_grads=True)
        out.append((result, *grads))
    for wanted, found in zip(*out, strict=True):
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, rtol=1e-6, atol=1e-6 * (1 + wanted.abs().max().item()))


@exact
@given(case=cases(), seed=seeds, sizes=sizes_of_windows)
@example(
    (masks.causal() & masks.padding(180, start=50), 1, 200, 200, None, None), 0, (128, 2**20)
)  # padded on the left
@example((masks.block_causal(8), 1, 26, 34, range(115, 141), range(107, 141)), 0, (128, 2**20))  # runs off the period
@example((masks.causal(), 1, 10, 5, range(10), range(5, 10)), 0, (128, 2**20))  # queries before the first key
@example((masks.causal(), 1, 10, 5, range(10), range(20, 25)), 0, (128, 2**20))  # no key for anyone
@example((masks.causal(), 1, 10, 10, range(3, 13), range(10)), 0, (128, 2**20))  # as many queries as keys, but later
@example((masks.causal(), 1, 7, 10, None, range(5, 15)), 0, (128, 2**20))  # the last ones of given positions
@example((OWN[5], 1, 50, 50, None, None), 0, (128, 2**20))
def test_windowed_is_attend(encoding, case, seed, sizes):
    with sized(*sizes):
        check_same(windowed, encoding, case, seed, of_v=5)


@pytest.mark.parametrize("encoding", [Rope(DIM).double(), copy.deepcopy(EXACT[1])], ids=repr)
@pytest.mark.parametrize("run", [1, 4, 7, 32])
@pytest.mark.parametrize("piece", [1, 3000, 2**20])
def test_runs_of_any_size_in_pieces_of_any_size_are_attend(encoding, run, piece):
    """Masks with a period, whose windows form batches, and whose batches are cut where they grow too large."""
    for mask in (masks.block_causal(4), masks.sliding_window(9), masks.segment_recurrent(6, 5), OWN[0], OWN[3]):
        with sized(run, piece):
            check_same(windowed, encoding, (mask, 2, 75, 75, None, None), seed=run)
            check_same(windowed, encoding, (mask, 1, 60, 66, range(37, 97), range(21, 87)), seed=run)


@exact
@given(case=cases(), seed=seeds)
@settings(max_examples=10)
def test_attention_is_attend(encoding, case, seed):
    check_same(attention.attention, encoding, case, seed)


@exact
@given(block=st.integers(1, 210), case=cases(), seed=seeds, sizes=sizes_of_windows)
@settings(max_examples=15)
def test_block_causal_attention_is_attend(encoding, block, case, seed, sizes):
    _, *rest = case

    def cheaper(q, k, v, mask, *more):
        return block_causal_attention(q, k, v, block, *more)

    with sized(*sizes):
        check_same(cheaper, encoding, (masks.block_causal(block), *rest), seed)


@pytest.mark.full
@exact
@pytest.mark.parametrize("block", [1, 2, 3, 7, 16, 64, 100, 128, 129])
@pytest.mark.parametrize("run", [1, 16, 128])
def test_block_causal_attention_is_attend_at_every_length(encoding, block, run):
    def cheaper(q, k, v, mask, *more):
        return block_causal_attention(q, k, v, block, *more)

    with sized(run, 30_000):
        for length in range(1, 201):
            check_same(cheaper, encoding, (masks.block_causal(block), 1, length, length, None, None), length)


def check_map(encoding, case, seed):
    """windows, put together, are the dense map; their scores are the dense scores; elsewhere nothing is allowed."""
    mask, batch, queries, keys, m, n = case
    q, k, v = draw(seed, queries, keys, batch)
    pieces = list(windows(q, k, mask, encoding, m, n))
    out, weights = attend(q, k, v, mask, encoding, m, n, return_weights=True)
    together = attention.whole(pieces, queries, keys)
    assert torch.allclose(together, weights, rtol=1e-6, atol=1e-9)
    assert torch.allclose(together @ v, out, rtol=1e-6, atol=1e-9)
    found = torch.full_like(weights, -torch.inf)
    for here, there, scores, _ in pieces:
        assert 0 <= there <= keys - scores.shape[-1]
        found[:, :, here : here + scores.shape[-2], there : there + scores.shape[-1]] = scores
    assert torch.allclose(found, attention.scores(q, k, mask, encoding, m, n), rtol=1e-6, atol=1e-6)
    places = [i for piece in pieces for i in range(piece.first_query, piece.first_query + piece.scores.shape[-2])]
    assert places == list(range(queries))  # each query once, in order


@exact
@given(case=cases(), seed=seeds, sizes=sizes_of_windows)
@example((OWN[2], 1, 1, 1, None, None), 0, (128, 2**20))  # a window without keys
@settings(max_examples=20)
def test_windows_make_the_dense_map(encoding, case, seed, sizes):
    with sized(*sizes):
        check_map(encoding, case, seed)


def test_block_causal_attention_returns_its_map():
    q, k, v = draw(0, 300, 300)
    out, pieces = block_causal_attention(q, k, v, 100, Rope(DIM), return_weights=True)
    wanted, weights = attend(q, k, v, masks.block_causal(100), Rope(DIM), return_weights=True)
    assert torch.allclose(out, wanted)
    assert torch.allclose(attention.whole(pieces, 300, 300), weights)


@pytest.mark.parametrize("way", [attend, windowed, attention.attention])
@pytest.mark.parametrize(
    "mask",
    [
        masks.padding(0),
        masks.padding([0, 3]),
        masks.causal() & masks.padding(9, start=5),
        masks.strided(3) & masks.padding(9, start=5),
        masks.padding(300, start=290),
        masks.sliding_window(2) & OWN[1],
    ],
    ids=str,
)
@exact
def test_a_query_that_sees_nothing_gets_zeros_and_finite_gradients(encoding, mask, way):
    inputs = [x.requires_grad_() for x in draw(0, 150, 150)]
    out = way(*inputs, mask, encoding)
    allowed = torch.from_numpy(masks.dense(mask, 150)).expand(2, HEADS, -1, -1)
    assert not allowed.any(-1).all()
    assert (out[~allowed.any(-1)] == 0).all()
    assert (out[allowed.any(-1)] != 0).all()
    out.square().sum().backward()
    assert all(x.grad.isfinite().all() for x in inputs)
    assert (inputs[0].grad[~allowed.any(-1)] == 0).all()
    assert (inputs[2].grad[~allowed.any(-2)] == 0).all()


# ---- number formats and far positions ---------------------------------------------------------------------------


def check_format(dtype, encoding, mask, length, first=0, autocast=False):
    """Against float64 on the same inputs: a rounding of scores, weights, values and output, each of size about 1."""
    q, k, v = draw(3, length, length, dtype=torch.float32 if autocast else dtype)
    where = range(first, first + length)
    with torch.autocast("cpu", dtype, enabled=autocast):
        found = [way(q, k, v, mask, encoding, where, where) for way in (attend, windowed, attention.attention)]
    q, k, v = (x.double() for x in (q, k, v))
    wanted = attend(q, k, v, mask, encoding, where, where)
    largest = attention.scores(q, k, mask, encoding, where, where).max().item()  # XPos that looks ahead: hundreds
    for out in found:
        assert out.dtype == (torch.float32 if autocast else dtype)
        error = (out.double() - wanted).abs().max().item()
        eps = max(torch.finfo(out.dtype).eps, 1e-6)  # of float64 against float32: tables in float32
        assert error < 6 * eps * max(1, largest / 10)


FORMAT_MASKS = [
    masks.full(),
    masks.causal(),
    masks.block_causal(50),
    masks.sliding_window(30) & masks.padding([280, 100]),
    Interval(
        "far_back", lambda i: i - 295, lambda i: i - 260, period=1
    ),  # biases that half precision cannot tell apart
    masks.strided(30),
]


@relative
@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("mask", FORMAT_MASKS, ids=str)
def test_half_precision_costs_a_rounding(dtype, encoding, mask):
    check_format(dtype, encoding, mask, 300)


@relative
@pytest.mark.parametrize("mask", FORMAT_MASKS, ids=str)
def test_autocast_leaves_the_inputs_their_precision(encoding, mask):
    check_format(torch.bfloat16, encoding, mask, 300, autocast=True)


@relative
@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("mask", [masks.causal(), masks.block_causal(64), masks.sliding_window(77)], ids=str)
def test_positions_far_out_cost_no_precision(dtype, encoding, mask):
    check_format(dtype, encoding, mask, 200, first=10_000_019)


@pytest.mark.parametrize("mask", [masks.block_causal(128), masks.sliding_window(200)], ids=str)
def test_in_half_precision_xpos_goes_as_far_as_the_text(mask):
    length = 20_000
    q, k, v = draw(0, length, length, batch=1, dtype=torch.float16)
    position = Xpos(DIM)
    with pytest.raises(ValueError, match="positions span 20000"):
        attend(q[:, :, :1], k, v, mask, position)
    out = windowed(q, k, v, mask, position)
    for last in (300, 10_000, length):
        some = slice(last - 290, last)
        wanted = attend(*(x[:, :, max(0, last - 800) : last].double() for x in (q, k, v)), mask, position,
                        *[range(max(0, last - 800), last)] * 2)  # fmt: skip
        error = (out[:, :, some].double() - wanted[:, :, -290:]).abs().max()
        assert error < 6 * torch.finfo(torch.float16).eps
    for window in windows(q[:, :, -500:], k, mask, position):
        assert torch.allclose(window.weights.sum(-1), torch.ones(()))


def test_a_window_without_keys_may_be_far_from_the_first_key():
    q, k, v = draw(0, 20_000, 20_000, batch=1, dtype=torch.float16)
    mask = masks.sliding_window(50) & masks.padding(100)
    assert (windowed(q, k, v, mask, Xpos(DIM))[:, :, 200:] == 0).all()
    assert sum(window.weights.sum().item() for window in windows(q, k, mask, Xpos(DIM))) == pytest.approx(149 * HEADS)


# ---- memory and cost --------------------------------------------------------------------------------------------


class Allocations(TorchDispatchMode):
    """The bytes of the largest tensor that an operation made, and of all of them together; views count nothing."""

    def __init__(self):
        super().__init__()
        self.largest = self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        given = {x.untyped_storage().data_ptr() for x in tree_leaves(args) if isinstance(x, torch.Tensor)}
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor) and x.untyped_storage().data_ptr() not in given:
                self.largest = max(self.largest, x.untyped_storage().nbytes())
                self.total += x.untyped_storage().nbytes()
        return out


def allocated(mask, encoding, length, gradients):
    q, k, v = (x.requires_grad_(gradients) for x in draw(0, length, length, batch=1, dtype=torch.float32))
    with Allocations():  # tables are made, and torch imports what it needs
        warm = windowed(q, k, v, mask, encoding).sum()
        if gradients:
            warm.backward()
    given = Allocations()
    tracemalloc.start()
    with given:
        out = windowed(q, k, v, mask, encoding)
        if gradients:
            out.sum().backward()
    numpy_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return given.largest, given.total, numpy_peak


LINEAR = [
    masks.block_causal(100),
    masks.block_causal(128) & masks.padding([3900]),
    masks.sliding_window(150),
    masks.segment_recurrent(64, 100) | masks.sliding_window(30),
    masks.block_causal(127) & masks.block_causal(128),  # together they repeat every 16256 tokens only
    masks.dilated(5, 30),  # by its span
]


def check_memory(mask, encoding, gradients):
    """Four times the tokens: four times the bytes, with windows at the ends."""
    short, long = (allocated(mask, encoding, n, gradients) for n in (1000, 4000))
    assert long[0] < 4000 * 4000  # bytes: not even n x n booleans
    assert long[1] < 4.6 * short[1]
    assert long[2] < 1_000_000


@relative
def test_memory_grows_with_the_length_and_not_with_its_square(encoding):
    check_memory(masks.block_causal(100), encoding, gradients=True)


@pytest.mark.parametrize("encoding", [Alibi(HEADS), Xpos(DIM)], ids=repr)
@pytest.mark.parametrize("mask", LINEAR, ids=str)
def test_memory_follows_the_span_of_every_mask(mask, encoding):
    check_memory(mask, encoding, gradients=False)


@pytest.mark.full
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("mask", LINEAR, ids=str)
@relative
def test_memory_of_every_mask_and_encoding(encoding, mask, gradients):
    check_memory(mask, encoding, gradients)


@pytest.mark.parametrize("mask", [masks.full(), masks.causal()], ids=str)
@pytest.mark.parametrize("encoding", [NoPosition(), Rope(DIM), Xpos(DIM)], ids=repr)
def test_plain_masks_go_to_torch_in_one_piece_without_a_mask(encoding, mask):
    q, k, v = draw(0, 500, 500)
    with mock.patch.object(
        attention, "scaled_dot_product_attention", wraps=torch.nn.functional.scaled_dot_product_attention
    ) as torchs:
        windowed(q, k, v, mask, encoding)
        windowed(q[:, :, -1:], k, v, mask, encoding)  # one new token
    assert torchs.call_count == 2
    assert all(call.kwargs["attn_mask"] is None for call in torchs.call_args_list)
    assert [call.kwargs["is_causal"] for call in torchs.call_args_list] == [mask.name == "causal()", False]


def test_not_even_a_bias_under_the_causal_mask_makes_a_square():
    largest, _, numpy_peak = allocated(masks.causal(), Alibi(HEADS), 4000, gradients=False)
    assert largest < 4000 * 4000
    assert numpy_peak < 2_000_000


@pytest.mark.parametrize("mask", LINEAR[:5], ids=str)
def test_windows_hold_at_most_a_few_times_what_the_mask_allows(mask):
    q, k, _ = draw(0, 3000, 3000, batch=1, dtype=torch.float32)
    held = sum(window.scores[0, 0].numel() for window in windows(q, k, mask))
    assert mask.pairs(3000) <= held < 2.6 * mask.pairs(3000)


def test_windows_of_one_shape_go_to_torch_together():
    q, k, v = draw(0, 128 * 40, 128 * 40, batch=1, dtype=torch.float32)
    with mock.patch.object(
        attention, "scaled_dot_product_attention", wraps=torch.nn.functional.scaled_dot_product_attention
    ) as torchs:
        block_causal_attention(q, k, v, 128, Rope(DIM))
    assert torchs.call_count == 2  # the first block; all others, 39 * 3 * 256 * 8 numbers
    assert torchs.call_args.args[0].shape == (39, HEADS, 128, DIM)
    copies = [call.args[1].numel() for call in torchs.call_args_list]
    with (
        sized(128, 200_000),
        mock.patch.object(
            attention, "scaled_dot_product_attention", wraps=torch.nn.functional.scaled_dot_product_attention
        ) as torchs,
    ):
        block_causal_attention(q, k, v, 128, Rope(DIM))
    pieces = [call.args[1].numel() for call in torchs.call_args_list]
    assert max(pieces) <= 200_000
    assert sum(pieces) == sum(copies)
    with mock.patch.object(
        attention, "scaled_dot_product_attention", wraps=torch.nn.functional.scaled_dot_product_attention
    ) as torchs:
        block_causal_attention(q, k, v, 100, Rope(DIM))
    assert torchs.call_count == 3  # the first two blocks, all others by twos, and what is left


# ---- which way --------------------------------------------------------------------------------------------------


def test_path_says_where_flex_attention_is_of_use():
    x, y = torch.zeros(1, 2, attention.FLEX_FROM, 4), torch.zeros(1, 2, attention.FLEX_FROM - 1, 4)
    gaps = masks.strided(64)
    with mock.patch.object(attention, "_can_compile", return_value=True):
        with torch.no_grad():
            assert attention.path(x, x, gaps) == attention.path(x, x, gaps, Rope(4)) == "flex"
            assert attention.path(y, y, gaps) == "dense"  # too short to be worth the wait
            assert attention.path(x, x, gaps, Alibi(2)) == "dense"  # has a bias
            assert attention.path(y, x, gaps) == "dense"
            assert attention.path(x.double(), x.double(), gaps) == "dense"  # torch does not compile it for these
            assert attention.path(x, x, gaps, None, range(4096), None) == "dense"
            assert attention.path(x, x, gaps & masks.padding([5])) == "dense"
            assert attention.path(x, x, masks.causal(), Alibi(2)) == "windows"
        assert attention.path(x, x, gaps) == "dense"  # where gradients may be wanted
    with mock.patch.object(attention, "_can_compile", return_value=False), torch.no_grad():
        assert attention.path(x, x, gaps) == "dense"


@pytest.mark.parametrize("mask", [masks.causal(), masks.strided(5), masks.strided(5) & masks.padding([9, 3])], ids=str)
@pytest.mark.parametrize("queries", [40, 7])
@pytest.mark.parametrize("wants_gradient", [True, False])
def test_attention_goes_the_way_that_path_says(mask, queries, wants_gradient):
    q, k, v = (x.float() for x in draw(0, queries, 40))
    taken = []

    def spy(name, function):
        return mock.patch.object(attention, name, lambda *given: taken.append(name) or function(*given))

    with (
        mock.patch.multiple(attention, FLEX_FROM=1, _can_compile=lambda device: True),
        torch.set_grad_enabled(wants_gradient),
        spy("attend", attend),
        spy("windowed", windowed),
        spy("_compiled_flex", lambda: eager_flex),
    ):
        out = attention.attention(q, k, v, mask)
        names = {"windows": "windowed", "dense": "attend", "flex": "_compiled_flex"}
        assert taken == [names[attention.path(q, k, mask)]]
    assert torch.allclose(out, attend(q, k, v, mask), atol=1e-5)


def eager_flex(q, k, v, block_mask):
    allowed = block_mask.to_dense().bool()  # blocks only: the mask itself is asked below
    assert allowed.any()
    i, j = torch.arange(q.shape[-2])[:, None], torch.arange(k.shape[-2])
    shown = block_mask.mask_mod(0, 0, i, j)
    weights = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~shown, -torch.inf).softmax(-1)
    return weights @ v


@pytest.mark.skipif(
    not shutil.which("g++") or " " in sys.prefix,
    reason="torch.compile needs g++, and torch in a path without a space: it hands g++ that path without quotes",
)
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # inside torch.compile
def test_the_compiled_path_is_attend_where_nothing_is_seen_too(monkeypatch):
    monkeypatch.setattr(attention, "FLEX_FROM", 150)
    for length in (150, 190):  # another length: other code
        q, k, v = torch.randn(3, 2, HEADS, length, 16, generator=torch.manual_seed(0))
        mask = masks.strided(9) & masks.padding(length, start=20)
        with torch.no_grad():
            assert attention.path(q, k, mask, Xpos(16)) == "flex"
            out = attention.attention(q, k, v, mask, Xpos(16))
        assert torch.allclose(out, attend(q, k, v, mask, Xpos(16)), atol=1e-5)
        assert (out[:, :, :20] == 0).all()


# ---- bad input --------------------------------------------------------------------------------------------------

x5, x3 = torch.zeros(1, 2, 5, 4), torch.zeros(1, 2, 3, 4)
causal = masks.causal()


@pytest.mark.parametrize("way", [attend, windowed, attention.attention])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((x5[0], x5, x5, causal), r"q is torch.float32 of shape \(2, 5, 4\); \(batch, heads, length, head_dim\)"),
        ((x5, x5[..., :0, :], x5[..., :0, :], causal), r"k is torch.float32 of shape \(1, 2, 0, 4\)"),
        ((x5, x5, x5.long(), causal), "v is torch.int64"),
        ((x5, x5, x3, causal), r"shapes \(1, 2, 5, 4\), \(1, 2, 5, 4\) and \(1, 2, 3, 4\); .*k and v in length"),
        ((x5, x5[..., :2], x5, causal), "q and k in head_dim"),
        ((x5, x5[:, :1], x5[:, :1], causal), "batch and heads must agree"),
        ((x5, x3, x3, causal), "q has 5 tokens and k has 3; with fewer keys.* give q_positions"),
        ((x5, x5, x5, torch.ones(5, 5) > 0), "mask is a Tensor; a Mask such as masks.causal"),
        ((x5, x5, x5, masks.padding([3, 2])), r"mask is padding\(\[3, 2\], start=0\), made for 2 sequences; q has 1"),
        ((x5, x5, x5, causal, Rope(8)), "head size 4; Rope was made for 8"),
        ((x5, x5, x5, causal, T5Bias(3)), "made for .* 3 heads"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(way, given, words):
    with pytest.raises(ValueError, match=words):
        way(*given)


@pytest.mark.parametrize(
    "where", [[0, 1, 2, 3, 5], range(4), range(-1, 4), range(0, 10, 2), [0.5, 1.5, 2.5, 3.5, 4.5], 3,
              torch.arange(10).view(2, 1, 5), torch.arange(4, -1, -1), []]
)  # fmt: skip
@pytest.mark.parametrize("name", ["q_positions", "k_positions"])
def test_windows_need_consecutive_positions(where, name):
    with pytest.raises(ValueError, match=f"(?s){name} is .*windows need 5 consecutive ones from 0"):
        windowed(x5, x5, x5, causal, **{name: where})


def test_positions_may_be_lists_ranges_or_tensors():
    q, k, v = draw(0, 5, 9)
    wanted = attend(q, k, v, causal, Rope(DIM), range(6, 11), range(2, 11))
    for form in (list, range, torch.tensor, lambda places: torch.tensor(places)[None, None]):
        m, n = ((form(x) if form is not range else x) for x in (range(6, 11), range(2, 11)))
        assert torch.allclose(windowed(q, k, v, causal, Rope(DIM), m, n), wanted)


@pytest.mark.parametrize("way", [attend, windowed, attention.attention])
def test_a_mask_that_ends_before_the_keys_is_refused(way):
    with pytest.raises(ValueError, match="position 4 is not within bigbird's length, 4"):
        way(x5, x5, x5, masks.bigbird(2, 4))
    with pytest.raises(ValueError, match="position 7 is not within bigbird's length, 7"):
        way(x3, x5, x5, masks.bigbird(2, 7), None, range(5, 8), range(3, 8))
    with pytest.raises(ValueError, match="position 4 is not within"):
        list(windows(x5, x5, masks.bigbird(2, 4)))


@pytest.mark.parametrize("way", [attend, attention.attention])
def test_a_fraction_of_a_position_shows_no_future(way):
    half = torch.arange(5) / 2
    with pytest.raises(ValueError, match=r"float32; .*whole numbers|k_positions is .* consecutive"):
        way(x5, x5, x5, causal, Rope(4), half, half)


def test_a_way_is_asked_for_with_tensors():
    with pytest.raises(ValueError, match="q is 'x'; it must be of class Tensor"):
        attention.path("x", "x", masks.strided(3))


@pytest.mark.parametrize("block", [0, -3, 2.0])
def test_a_block_is_a_whole_number(block):
    with pytest.raises(ValueError, match=f"block is {block}; it must be a whole number of at least 1"):
        block_causal_attention(x5, x5, x5, block)
