"""masks.py against loops over the definitions: the predicate, its span, its counts, its reach, its torch form."""

import shutil
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import flex_attention

from lexviz import masks

small = st.integers(1, 9)
lengths = st.integers(0, 40)


def kinds():
    """Of each kind (mask, the same said in plain words about two integers)."""
    return {
        "full": st.builds(lambda: (masks.full(), lambda i, j: True)),
        "causal": st.builds(lambda: (masks.causal(), lambda i, j: j <= i)),
        "block_causal": st.builds(
            lambda h: (masks.block_causal(h), lambda i, j: j <= i and i // h - j // h in (0, 1)), small
        ),
        "sliding_window": st.builds(lambda w: (masks.sliding_window(w), lambda i, j: i - j in range(w)), small),
        "segment_recurrent": st.builds(
            lambda s, m: (masks.segment_recurrent(s, m), lambda i, j: (i // s) * s - m <= j <= i),
            small,
            st.integers(0, 9),
        ),
        "padding": st.builds(
            lambda a, n: (masks.padding(a + n, start=a), lambda i, j: j in range(a, a + n)),
            st.integers(0, 9),
            st.integers(0, 40),
        ),
        "dilated": st.builds(
            lambda w, d: (masks.dilated(w, d), lambda i, j: j in [i - step * d for step in range(w)]), small, small
        ),
        "strided": st.builds(
            lambda s: (masks.strided(s), lambda i, j: j <= i and (i - s < j or (i - j) % s == 0)), small
        ),
        "fixed": st.integers(1, 9).flatmap(
            lambda b: st.builds(
                lambda c: (
                    masks.fixed(b, c),
                    lambda i, j: j <= i and (i // b == j // b or j % b in range(b - c, b)),
                ),
                st.integers(1, b),
            )
        ),
        "longformer": st.builds(
            lambda w, g: (masks.longformer(w, g), lambda i, j: -(w // 2) <= i - j <= w // 2 or i < g or j < g),
            st.integers(0, 9),
            st.integers(0, 4),
        ),
        "bigbird": st.builds(
            lambda b, w, g, r, seed: (drawn := masks.bigbird(b, 64, w, g, r, seed), lambda i, j: bool(drawn(i, j))),
            *[small, st.integers(0, 4), st.integers(0, 2), st.integers(0, 3), st.integers(0, 99)],
        ),
    }


definitions = st.one_of(*kinds().values())
each_kind = pytest.mark.parametrize("kind", kinds())


def table(says, n):
    return np.array([[says(i, j) for j in range(n)] for i in range(n)], dtype=bool).reshape(n, n)


@each_kind
@given(data=st.data(), n=lengths)
def test_numpy_torch_and_whole_numbers_give_the_definition(kind, data, n):
    mask, says = data.draw(kinds()[kind])
    wanted = table(says, n)
    assert np.array_equal(masks.dense(mask, n), wanted)
    positions = torch.arange(n)
    in_torch = mask(positions[:, None], positions)
    assert in_torch.dtype == torch.bool
    assert np.array_equal(in_torch.numpy(), wanted)
    for narrow in (torch.uint8, torch.int16, torch.int32):
        assert np.array_equal(mask(positions[:, None].to(narrow), positions.to(narrow)).numpy(), wanted)
    assert n == 0 or np.array_equal(mask(n - 1, positions).numpy(), wanted[n - 1])  # a number beside a tensor
    assert all(bool(mask(i, j)) == wanted[i, j] for i in range(n) for j in range(n))


@each_kind
@given(data=st.data(), n=lengths)
def test_pairs_counts_what_dense_draws(kind, data, n):
    mask, says = data.draw(kinds()[kind])
    assert mask.pairs(n) == table(says, n).sum()


@each_kind
@given(data=st.data(), first=st.integers(0, 39), more=st.integers(0, 39))
def test_span_holds_every_key_that_is_needed_and_nothing_else_in_an_interval(kind, data, first, more):
    mask, says = data.draw(kinds()[kind])
    last = min(first + more, 39)
    low, high = mask.span(first, last)
    needed = [j for j in range(64) if any(says(i, j) for i in range(first, last + 1))]
    assert low >= 0
    assert all(low <= j <= high for j in needed)
    if isinstance(mask, masks.Interval) and first == last:
        assert needed == list(range(low, min(high, 63) + 1))


@given(definitions, definitions, st.integers(1, 25), st.data())
def test_and_and_or_are_those_of_the_predicates(one, other, n, data):
    for joined, wanted in (
        (one[0] & other[0], table(one[1], n) & table(other[1], n)),
        (one[0] | other[0], table(one[1], n) | table(other[1], n)),
    ):
        assert np.array_equal(masks.dense(joined, n), wanted)
        assert joined.pairs(n) == wanted.sum()
        assert joined.scattered == (one[0].scattered or other[0].scattered)
        first = data.draw(st.integers(0, n - 1))
        last = data.draw(st.integers(first, n - 1))
        low, high = joined.span(first, last)
        assert all(low <= j <= high for j in np.flatnonzero(wanted[first : last + 1].any(0)))
    assert isinstance(one[0] & other[0], masks.Interval) == all(isinstance(m, masks.Interval) for m, _ in (one, other))


def walk(allowed, start, layers):
    """Breadth-first: the inputs that position `start` has heard of."""
    heard = {start}
    for _ in range(layers):
        heard |= {j for i in heard for j in range(len(allowed)) if allowed[i][j]}
    return heard


@each_kind
@given(data=st.data(), n=st.integers(1, 20), layers=st.integers(0, 4))
def test_reach_is_a_walk_through_the_layers(kind, data, n, layers):
    mask, says = data.draw(kinds()[kind])
    allowed = table(says, n)
    heard = masks.reach(mask, n, layers)
    for i in range(n):
        assert set(np.flatnonzero(heard[i])) == walk(allowed, i, layers)


@given(small, st.integers(0, 30))
def test_block_causal_is_a_case_of_segment_recurrence_and_plain_causal_up_to_two_blocks(h, n):
    assert np.array_equal(masks.dense(masks.block_causal(h), n), masks.dense(masks.segment_recurrent(h, h), n))
    within = min(n, 2 * h)
    assert np.array_equal(masks.dense(masks.block_causal(h), within), masks.dense(masks.causal(), within))
    i, j = np.nonzero(masks.dense(masks.block_causal(h), n))
    assert np.all(i - j < 2 * h)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4), st.integers(1, 12))
def test_padding_differs_by_sequence(ends, n):
    starts, stops = [a for a, _ in ends], [a + b for a, b in ends]
    mask = masks.causal() & masks.padding(stops, start=starts)
    wanted = np.array(
        [[[[a <= j < b and j <= i for j in range(n)] for i in range(n)]] for a, b in zip(starts, stops, strict=True)]
    )
    assert np.array_equal(masks.dense(mask, n), wanted)
    assert mask.pairs(n) == wanted.sum()
    positions = torch.arange(n)
    assert np.array_equal(mask(positions[:, None], positions).numpy(), wanted)
    low, high = mask.span(0, n - 1)
    assert all(low <= j <= high for j in np.nonzero(wanted)[-1])
    for b, heard in enumerate(masks.reach(mask, n, 2)):
        assert set(np.flatnonzero(heard[0, -1])) == walk(wanted[b, 0], n - 1, 2)


@given(st.integers(1, 6), st.integers(1, 60), st.integers(0, 3), st.integers(0, 99))
def test_bigbird_draws_as_many_blocks_as_asked_for_and_the_same_for_a_seed(block, length, random_blocks, seed):
    mask = masks.bigbird(block, length, window=3, global_blocks=1, random_blocks=random_blocks, seed=seed)
    blocks = -(-length // block)
    drawn = masks.dense(mask, length)
    by_block = drawn[::block, ::block]
    assert np.array_equal(drawn, by_block.repeat(block, 0).repeat(block, 1)[:length, :length])
    for b, row in enumerate(by_block):
        assert row[max(0, b - 1) : b + 2].all()
        assert row[0]
        own = blocks if b == 0 else len({0, b - 1, b, min(b + 1, blocks - 1)})
        assert row.sum() == min(own + random_blocks, blocks)
    again = masks.bigbird(block, length, window=3, global_blocks=1, random_blocks=random_blocks, seed=seed)
    assert np.array_equal(masks.dense(mask, length), masks.dense(again, length))


def test_bigbird_differs_between_seeds_and_ends_where_its_length_does():
    drawn = [masks.dense(masks.bigbird(4, 200, seed=seed), 200) for seed in range(2)]
    assert not np.array_equal(*drawn)
    assert masks.bigbird(4, 200)(199, 199)
    for pair, words in [((200, 0), "200 is not"), ((0, 200), "200 is not"), ((-1, 0), "-1 is not"), ((0, -1), "-1 is")]:
        with pytest.raises(ValueError, match=f"position {words}.* within bigbird's length, 200"):
            masks.bigbird(4, 200)(*pair)


@pytest.mark.parametrize("mask", [masks.causal(), masks.block_causal(64), masks.strided(64), masks.longformer(64)])
def test_counting_pairs_makes_no_square_array(mask):
    n = 12_000  # squared: 144 MB of booleans
    tracemalloc.start()
    pairs = mask.pairs(n)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n < pairs <= n * n
    assert peak < 64e6


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize(
    "mask",
    [
        masks.causal(),
        masks.block_causal(7),
        masks.sliding_window(5) | masks.padding(2),
        masks.causal() & masks.bigbird(4, 150, seed=3),
        masks.longformer(9, 2),
        masks.causal() & masks.padding(40, start=3),
    ],
    ids=str,
)
def test_flex_attention_sees_the_same_mask(mask):
    torch.manual_seed(0)
    n = 150
    q, k, v = torch.randn(3, 2, 3, n, 16)
    found = flex_attention(q, k, v, block_mask=masks.flex(mask, n, n))
    allowed = torch.from_numpy(masks.dense(mask, n))
    weights = (q @ k.mT / 4).masked_fill(~allowed, -torch.inf).softmax(-1).nan_to_num(0)
    seen = allowed.any(-1).expand(2, 3, n)  # a query that may see nothing has no right answer
    assert torch.allclose(found[seen], (weights @ v)[seen], atol=1e-5)


@pytest.mark.parametrize(
    ("mask", "queries", "keys"),
    [
        (masks.full(), (10, 12), (0, masks.END)),
        (masks.sliding_window(3) & masks.strided(5), (10, 12), (8, 12)),
        (masks.sliding_window(3) | masks.dilated(3, 4), (10, 12), (2, 12)),
        (masks.dilated(3, 2), (10, 12), (6, 12)),
        (masks.dilated(3, 2), (1, 2), (0, 2)),
        (masks.longformer(4, 0), (10, 12), (8, 14)),
        (masks.longformer(4, 0), (1, 2), (0, 4)),
        (masks.longformer(4, 2), (10, 12), (0, 14)),
        (masks.longformer(4, 2), (1, 12), (0, masks.END)),
    ],
    ids=str,
)
def test_spans_are_as_narrow_as_they_can_be(mask, queries, keys):
    assert mask.span(*queries) == keys


def test_full_has_no_end():
    assert masks.full().pairs(100_000) == 10**10


def test_a_mask_says_whether_its_pairs_are_scattered():
    gaps = [masks.dilated(3, 2), masks.strided(3), masks.fixed(3), masks.longformer(3), masks.bigbird(3, 9)]
    none = [masks.full(), masks.causal(), masks.block_causal(2), masks.segment_recurrent(2, 3), masks.padding(3)]
    assert all(mask.scattered for mask in gaps)
    assert not any(mask.scattered for mask in none)


def test_reach_does_not_overflow_after_many_layers():
    assert np.array_equal(masks.reach(masks.causal(), 40, 400), masks.dense(masks.causal(), 40))


def test_padding_keeps_what_it_was_given():
    stops = np.array([3, 3])
    mask = masks.padding(stops)
    stops[0] = 0
    assert mask.pairs(4) == 24


def test_bigbird_allows_nothing_beyond_its_length():
    q = torch.arange(-4, 14)
    allowed = masks.bigbird(4, 10)(q[:, None], q)
    assert allowed[4:14, 4:14].any()
    for outside in (slice(0, 4), slice(14, 18)):
        assert not allowed[:, outside].any()
        assert not allowed[outside].any()
    with pytest.raises(ValueError, match="position 10 is not within bigbird's length, 10"):
        masks.flex(masks.bigbird(4, 10), 11, 11)


@given(definitions, st.integers(0, 25))
def test_a_mask_looks_ahead_where_its_map_has_something_above_the_diagonal(drawn, n):
    assert drawn[0].looks_ahead(n) == np.triu(table(drawn[1], n), 1).any()


@pytest.mark.parametrize("pair", [(2.5, 2), (1, np.array([0.5])), (torch.arange(3) / 2, 1), (0, torch.ones(2).half())])
def test_a_fraction_of_a_position_is_refused(pair):
    with pytest.raises(ValueError, match=r"q and k are .*float.*; .* positions that a mask compares are whole numbers"):
        masks.causal()(*pair)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64])
def test_padding_may_be_given_in_any_whole_numbers(dtype):
    mask = masks.padding(np.array([0, 2], dtype=dtype), start=np.array([0, 1], dtype=dtype))
    assert np.array_equal(masks.dense(mask, 5), masks.dense(masks.padding([0, 2], start=[0, 1]), 5))


def test_dilated_reaches_as_far_as_it_likes():
    mask = masks.dilated(2**40, 2**40)
    assert np.array_equal(masks.dense(mask, 3), np.eye(3, dtype=bool))


@pytest.mark.parametrize("other", [3, None, len])
def test_only_masks_join(other):
    with pytest.raises(TypeError, match="unsupported operand"):
        masks.causal() & other
    with pytest.raises(TypeError, match="unsupported operand"):
        masks.longformer(4) | other


@pytest.mark.skipif(
    not shutil.which("g++") or " " in sys.prefix,
    reason="torch.compile needs g++, and torch in a path without a space: it hands g++ that path without quotes",
)
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # inside torch.compile
@pytest.mark.parametrize(
    "mask", [masks.block_causal(7) | masks.padding(3), masks.causal() & masks.bigbird(4, 150, seed=3)], ids=str
)
def test_flex_attention_compiles_with_it(mask):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 150, 16)
    found = torch.compile(flex_attention, dynamic=False)(
        q.clone(), k.clone(), v.clone(), block_mask=masks.flex(mask, 150, 150)
    )
    weights = (q @ k.mT / 4).masked_fill(~torch.from_numpy(masks.dense(mask, 150)), -torch.inf).softmax(-1)
    assert torch.allclose(found, weights @ v, atol=1e-5)


@pytest.mark.parametrize("window", [0, 1, 3, 5])
@pytest.mark.parametrize("global_blocks", [0, 1, 2])
def test_bigbird_without_chance_is_a_window_and_global_blocks(window, global_blocks):
    mask = masks.bigbird(2, 16, window, global_blocks, random_blocks=0)
    blocks = [(i // 2, j // 2) for i in range(16) for j in range(16)]
    wanted = [abs(a - b) <= window // 2 or a < global_blocks or b < global_blocks for a, b in blocks]
    assert masks.dense(mask, 16).ravel().tolist() == wanted


def test_numbers_from_numpy_will_do():
    assert masks.block_causal(np.int64(3)).pairs(np.int64(9)) == masks.block_causal(3).pairs(9)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
def test_flex_attention_with_fewer_queries_than_keys():
    q, k = torch.randn(1, 1, 20, 16), torch.randn(1, 1, 50, 16)
    found = flex_attention(q, k, k, block_mask=masks.flex(masks.full(), 20, 50))
    assert torch.allclose(found, (q @ k.mT / 4).softmax(-1) @ k, atol=1e-5)


def test_a_mask_prints_as_it_is_written():
    mask = masks.causal() & (masks.sliding_window(3) | masks.padding([4, 2]))
    assert repr(mask) == "(causal() & (sliding_window(3) | padding([4, 2], start=0)))"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: masks.block_causal(0), "block is 0; it must be a whole number of at least 1"),
        (lambda: masks.sliding_window(2.5), "width is 2.5; it must be a whole number"),
        (lambda: masks.segment_recurrent(4, -1), "memory is -1; it must be a whole number of at least 0"),
        (lambda: masks.segment_recurrent(True, 1), "segment is True; it must be a whole number"),
        (lambda: masks.padding(2, start=3), "with 0 <= start <= stop are needed"),
        (lambda: masks.dilated(3, 0), "dilation is 0"),
        (lambda: masks.strided(0), "stride is 0"),
        (lambda: masks.fixed(4, 5), "summary is 5; it must be at most the block, 4"),
        (lambda: masks.bigbird(2, 8193), "length is 8193, 4097 blocks of 2; it must be at most 4096 blocks"),
        (lambda: masks.longformer(-1), "window is -1"),
        (lambda: masks.bigbird(4, 0), "length is 0"),
        (lambda: masks.dense(masks.causal(), -1), "n is -1; it must be a whole number of at least 0"),
        (lambda: masks.causal().pairs(-1), "n is -1"),
        (lambda: masks.padding(2.5), "padding.2.5, start=0.: whole numbers"),
        (lambda: masks.padding(True), "stop is True; it must be a finite number"),
        (lambda: masks.padding([]), "whole numbers"),
        (lambda: masks.padding([[1, 2]]), "whole numbers"),
        (lambda: masks.padding([3, 2], start=[0, 1, 1]), "whole numbers"),
        (lambda: masks.segment_recurrent(0, 1), "segment is 0"),
        (lambda: masks.dilated(0, 1), "width is 0"),
        (lambda: masks.fixed(0), "block is 0"),
        (lambda: masks.fixed(4, 0), "summary is 0"),
        (lambda: masks.longformer(4, -1), "global_tokens is -1"),
        (lambda: masks.bigbird(0, 9), "block is 0"),
        (lambda: masks.bigbird(4, 9, window=-1), "window is -1"),
        (lambda: masks.bigbird(4, 9, global_blocks=-1), "global_blocks is -1"),
        (lambda: masks.bigbird(4, 9, random_blocks=-1), "random_blocks is -1"),
        (lambda: masks.bigbird(4, 9, seed=None), "seed is None"),
        (lambda: masks.flex(masks.causal(), 0, 4), "queries is 0"),
        (lambda: masks.flex(masks.padding([3, 2]), 4, 4), "differs between sequences"),
        (lambda: masks.causal().span(0.5, 2), "first is 0.5"),
        (lambda: masks.reach(masks.causal(), 4, -1), "layers is -1"),
        (lambda: masks.padding(2, start=-1), "with 0 <= start <= stop are needed"),
        (lambda: masks.causal().span(-1, 2), "first is -1"),
        (lambda: masks.causal().span(3, 2), "last is 2; it must be a whole number of at least 3"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@given(first=definitions, second=definitions, how=st.sampled_from("a&|"))
def test_a_shift_by_the_period_changes_nothing(first, second, how):
    a, b = first[0], second[0]
    mask = {"a": a, "&": a & b, "|": a | b}[how]
    if mask.period:
        shown = masks.dense(mask, 12 + mask.period)
        assert np.array_equal(shown[mask.period :, mask.period :], shown[:12, :12])


def test_masks_that_look_alike_everywhere_have_a_period_and_others_have_none():
    assert masks.causal().period == masks.sliding_window(3).period == masks.full().period == 1
    assert masks.block_causal(6).period == 6
    assert (masks.block_causal(6) & masks.segment_recurrent(4, 2)).period == 12
    assert (masks.block_causal(6) | masks.segment_recurrent(4, 2)).period == 12
    assert (masks.causal() & masks.padding(5)).period is None
    assert masks.bigbird(2, 8).period is masks.longformer(4).period is None
