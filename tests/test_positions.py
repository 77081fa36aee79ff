"""positions.py against complex numbers in loops, and against what every relative encoding promises."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import naive
from lexviz import positions, theory
from lexviz.positions import Alibi, Learned, NoPosition, Rope, Shaw, Sinusoidal, T5Bias, Xpos, XposWithoutRotation

HEADS, DIM = 3, 8


class LogBias(positions.PositionEncoding):
    """A reader's own encoding: the score falls with the logarithm of the distance."""

    def __init__(self, strength=1.0):
        super().__init__()
        self.strength = strength

    def bias(self, q, k, q_positions=None, k_positions=None):
        return -self.strength * torch.log1p(positions.distances(q, k, q_positions, k_positions).abs())


def relative_encodings():
    """One of each encoding that acts on queries, keys or scores; learned ones with weights that are far from 0."""
    torch.manual_seed(0)
    made = [
        NoPosition(),
        Shaw(DIM, clip=4),
        T5Bias(HEADS, buckets=8, max_distance=20),
        Alibi(HEADS),
        Rope(DIM),
        Xpos(DIM),
        Xpos(DIM, gamma=1.5, scale_base=32.0, base=100.0),
        XposWithoutRotation(DIM),
        LogBias(),
    ]
    for encoding in made:
        for weight in encoding.parameters():
            nn.init.normal_(weight)
    return made


RELATIVE = relative_encodings()
relative = pytest.mark.parametrize("encoding", RELATIVE, ids=repr)
sizes = st.integers(1, 12)
seeds = st.integers(0, 2**31)


def scores(encoding, q, k, q_positions=None, k_positions=None):
    """What attention takes the softmax of: rotate, multiply, scale, add the bias."""
    bias = encoding.bias(q, k, q_positions, k_positions)
    q, k = encoding.rotate(q, k, q_positions, k_positions)
    scaled = q @ k.mT / math.sqrt(q.shape[-1])
    return scaled if bias is None else scaled + bias


def draw(seed, queries, keys, batch=2, heads=HEADS, dim=DIM, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(batch, heads, queries, dim, generator=generator, dtype=torch.float64)
    k = torch.randn(batch, heads, keys, dim, generator=generator, dtype=torch.float64)
    return q.to(dtype), k.to(dtype)


# ---- what the formulas say --------------------------------------------------------------------------------------


@given(
    st.integers(1, 5), st.integers(1, 5), st.integers(1, 8), seeds, st.floats(0.05, 5), st.floats(8, 2000), st.data()
)
def test_rope_and_xpos_give_the_score_identity(queries, keys, pairs, seed, gamma, scale_base, data):
    d = 2 * pairs
    q, k = draw(seed, queries, keys, dim=d)
    places = st.integers(0, 300)
    m = data.draw(st.lists(places, min_size=queries, max_size=queries))
    n = data.draw(st.lists(places, min_size=keys, max_size=keys))
    for encoding, said in (
        (Rope(d, base=50.0), {"base": 50.0}),
        (Xpos(d, gamma, scale_base, base=70.0), {"gamma": gamma, "scale_base": scale_base, "base": 70.0}),
        (XposWithoutRotation(d, gamma, scale_base), {"gamma": gamma, "scale_base": scale_base, "rotation": False}),
    ):
        found = scores(encoding, q, k, m, n) * math.sqrt(d)
        for i in range(queries):
            for j in range(keys):
                wanted = naive.score(q[1, 2, i].tolist(), k[1, 2, j].tolist(), m[i] - n[j], **said)
                assert found[1, 2, i, j].item() == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@given(st.integers(0, 4000), st.sampled_from([8, 64]), st.floats(0.1, 2))
def test_equal_vectors_score_what_the_theory_expects(distance, d, gamma):
    q = torch.zeros(1, d, dtype=torch.float64)
    q[:, 0::2] = 1.0
    for encoding, said in ((Rope(d), None), (Xpos(d, gamma), gamma)):
        turned_q, turned_k = encoding.rotate(q, q, [distance], [0])
        assert (turned_q @ turned_k.mT).item() == pytest.approx(theory.expected_score(distance, d, said), abs=1e-9)


@given(sizes, st.integers(1, 8).map(lambda pairs: 2 * pairs), seeds)
def test_zeta_1_is_rope(length, d, seed):
    q, k = draw(seed, length, length, dim=d)
    xpos = scores(Xpos(d, gamma=1e30), q, k)  # (i/(d/2) + gamma) / (1 + gamma) rounds to 1
    assert torch.allclose(xpos, scores(Rope(d), q, k), rtol=1e-12, atol=1e-12)


@given(sizes, st.integers(1, 8), seeds)
def test_half_split_pairs_are_interleaved_ones_in_another_order(length, pairs, seed):
    d = 2 * pairs
    q, k = draw(seed, length, length, dim=d)
    order = torch.cat(
        (torch.arange(0, d, 2), torch.arange(1, d, 2))
    )  # (0, 1), (2, 3), ... to (0, d/2), (1, d/2+1), ...

    def half_split(x):  # as in GPT-NeoX and LLaMA
        angle = torch.arange(length, dtype=torch.float64)[:, None] * torch.from_numpy(theory.angles(d))
        a, b = x[..., :pairs], x[..., pairs:]
        return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), dim=-1)

    split_q, split_k = half_split(q[..., order]), half_split(k[..., order])
    assert torch.allclose(split_q @ split_k.mT, scores(Rope(d), q, k) * math.sqrt(d), atol=1e-9)


@given(sizes, st.integers(1, 8), seeds)
def test_pairs_are_neighbours_before_and_after(length, pairs, seed):
    q, k = draw(seed, length, length, dim=2 * pairs)
    for x, turned in zip((q, k), Rope(2 * pairs).rotate(q, k), strict=True):
        assert torch.allclose(turned.unflatten(-1, (pairs, 2)).norm(dim=-1), x.unflatten(-1, (pairs, 2)).norm(dim=-1))


@pytest.mark.parametrize("encoding", [Rope(DIM), Xpos(DIM)], ids=repr)
@given(queries=sizes, more=sizes, seed=seeds, dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]))
def test_kept_tables_say_what_given_positions_say(encoding, queries, more, seed, dtype):
    q, k = draw(seed, queries, queries + more, dtype=dtype)
    with torch.inference_mode():  # tables made here must not get in the way of training
        encoding.rotate(q, k)
    q.requires_grad_()
    kept = encoding.rotate(q, k)
    given = encoding.rotate(q, k, torch.arange(more, queries + more), torch.arange(queries + more))
    assert all(torch.equal(a, b) for a, b in zip(kept, given, strict=True))
    kept[0].sum().backward()
    assert q.grad.isfinite().all()


@pytest.mark.parametrize(
    "laid_out",
    [
        lambda x: x.mT.contiguous().mT,
        lambda x: torch.cat((x, x), dim=-1)[..., :DIM],
        lambda x: torch.cat((x[..., :1], x), dim=-1)[..., 1:],  # begins at an odd place, rows of odd length
        lambda x: torch.stack((x, x), dim=-1)[..., 0],
        lambda x: x[:, :1].expand(-1, HEADS, -1, -1),
    ],
)
def test_how_a_tensor_lies_in_memory_does_not_matter(laid_out):
    q, k = draw(3, 5, 7)
    q, k = laid_out(q), laid_out(k)
    assert torch.equal(scores(Xpos(DIM), q, k), scores(Xpos(DIM), q.contiguous(), k.contiguous()))


@given(st.integers(1, 70), st.integers(0, 10), st.integers(0, 10))
def test_alibi_falls_by_its_slope_per_token(heads, m, n):
    q = torch.zeros(1, heads, 1, 2)
    bias = Alibi(heads).bias(q, q, [m], [n])
    assert bias.flatten().tolist() == pytest.approx([-slope * (m - n) for slope in naive.alibi_slopes(heads)])


@given(st.integers(-200, 1000), st.integers(1, 4))
def test_t5_takes_the_bucket_of_the_distance(distance, heads):
    q = torch.zeros(1, heads, 1, 2)
    encoding = T5Bias(heads)
    bias = encoding.bias(q, q, [max(distance, 0)], [max(-distance, 0)])
    assert torch.equal(bias.flatten(), encoding.table[naive.t5_bucket(distance)])


def test_t5_buckets_start_where_the_facts_say():
    starts = [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]
    assert T5Bias(1).starts == [*range(16), *starts]


@given(st.integers(1, 20), st.integers(1, 400), st.integers(0, 500))
def test_t5_of_any_size(half, wider, distance):
    assert T5Bias(1).bucket(torch.tensor([15.5, 18.9])).tolist() == [15, 16]  # fractions of a position
    encoding = T5Bias(1, buckets=2 * half, max_distance=half + wider)
    assert encoding.bucket(torch.tensor([distance])).item() == naive.t5_bucket(distance, 2 * half, half + wider)


@given(sizes, sizes, st.integers(0, 5), seeds)
def test_shaw_adds_the_query_times_the_vector_of_its_distance(queries, keys, clip, seed):
    q, k = draw(seed, queries, keys)
    encoding = Shaw(DIM, clip).double()
    bias = encoding.bias(q, k, range(5, 5 + queries), range(keys))
    for i in range(queries):
        for j in range(keys):
            omega = encoding.omega[clip + max(-clip, min(clip, 5 + i - j))]
            assert torch.allclose(bias[1, 2, i, j], q[1, 2, i] @ omega / math.sqrt(DIM))


@given(sizes, st.integers(1, 5), st.integers(0, 10**9))
def test_sinusoidal_is_that_of_vaswani(length, pairs, start):
    dim = 2 * pairs
    x = torch.randn(2, length, dim, dtype=torch.float64)
    added = Sinusoidal(dim, base=300.0).embed(x, range(start, start + length)) - x
    for row, position in enumerate(range(start, start + length)):
        for i in range(pairs):
            angle = position * naive.theta(i, dim, 300.0)
            assert added[1, row, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert added[1, row, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_learned_adds_its_rows_and_knows_where_it_ends():
    encoding = Learned(size=6, dim=4)
    x = torch.randn(2, 6, 4)
    assert torch.equal(encoding.embed(x), x + encoding.table)
    given_positions = torch.tensor([[0, 5], [3, 3]])
    assert torch.equal(encoding.embed(x[:, :2], given_positions), x[:, :2] + encoding.table[given_positions])
    for bad in ([4, 6], [-1, 0], [0.5, 1.0]):
        with pytest.raises(ValueError, match="Learned has a fixed size and knows whole positions from 0 to 5 only"):
            encoding.embed(x[:, :2], torch.tensor(bad))
    with pytest.raises(ValueError, match="positions run from 0 to 6"):
        encoding.embed(torch.zeros(1, 7, 4))


# ---- what every encoding promises -------------------------------------------------------------------------------


@relative
@given(length=sizes, seed=seeds, shift=st.integers(-5, 10**7))
def test_only_the_difference_of_positions_counts(encoding, length, seed, shift):
    q, k = draw(seed, length, length, dtype=torch.float32)
    here = torch.arange(10, 10 + length)
    moved = scores(encoding, q, k, here + shift, here + shift)
    assert torch.equal(moved, scores(encoding, q, k, here, here))
    assert torch.equal(moved, scores(encoding, q, k))


@relative
def test_a_difference_of_positions_does_count(encoding):
    q, k = draw(7, 4, 4)
    moved = scores(encoding, q, k, torch.arange(3, 7), torch.arange(4))
    assert torch.allclose(moved, scores(encoding, q, k)) == isinstance(encoding, NoPosition)


def check_chunk(encoding, length, last, seed):
    """Queries of the last positions against all keys give the last rows of the whole."""
    q, k = draw(seed, length, length)
    last = min(last, length)
    whole = scores(encoding, q, k)
    assert torch.allclose(scores(encoding, q[..., -last:, :], k), whole[..., -last:, :], rtol=1e-9, atol=1e-9)
    some = torch.arange(length)[-last:]
    given_positions = scores(encoding, q[..., -last:, :], k, some, torch.arange(length))
    assert torch.allclose(given_positions, whole[..., -last:, :], rtol=1e-9, atol=1e-9)


@relative
@given(length=st.integers(1, 40), last=st.sampled_from([1, 2, 7]), seed=seeds)
def test_a_chunk_equals_the_whole(encoding, length, last, seed):
    check_chunk(encoding, length, last, seed)


@pytest.mark.full
@relative
@pytest.mark.parametrize("last", [1, 2, 7])
def test_a_chunk_equals_the_whole_at_every_length(encoding, last):
    for length in range(1, 130):
        check_chunk(encoding, length, last, seed=length)


def check_batch(encoding, rows, seed):
    """Positions of (batch, 1, length) give each sequence what it would get alone."""
    q, k = draw(seed, len(rows[0]), len(rows[0]), batch=len(rows))
    m = torch.tensor(rows)[:, None]  # (batch, 1, length)
    together = scores(encoding, q, k, m, m)
    for b, row in enumerate(rows):
        alone = scores(encoding, q[b : b + 1], k[b : b + 1], torch.tensor(row), torch.tensor(row))
        assert torch.equal(together[b : b + 1], alone)


@relative
@given(
    rows=sizes.flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 300), min_size=n, max_size=n), min_size=1, max_size=3)
    ),
    offset=st.integers(0, 10**7),
    seed=seeds,
)
def test_each_sequence_of_a_batch_has_positions_of_its_own(encoding, rows, offset, seed):
    rows[-1] = [position + offset for position in rows[-1]]
    check_batch(encoding, rows, seed)


@relative
@given(queries=sizes, keys=sizes, seed=seeds, data=st.data())
def test_queries_and_keys_have_positions_apart(encoding, queries, keys, seed, data):
    """As for retrieved slots: any order, repeats and gaps; each pair gets what the two alone would get."""
    places = st.integers(0, 200)
    m = data.draw(st.lists(places, min_size=queries, max_size=queries))
    n = data.draw(st.lists(places, min_size=keys, max_size=keys))
    q, k = draw(seed, queries, keys)
    together = scores(encoding, q, k, m, n)
    i, j = data.draw(st.integers(0, queries - 1)), data.draw(st.integers(0, keys - 1))
    alone = scores(encoding, q[..., [i], :], k[..., [j], :], [m[i]], [n[j]])
    assert torch.allclose(together[..., [i], :][..., [j]], alone, rtol=1e-9, atol=1e-9)


@relative
@pytest.mark.parametrize("queries", [HEADS, 5])
def test_keys_may_differ_by_query(encoding, queries):
    """Retrieved slots: k is (batch, heads, queries, keys, head_dim), its positions (batch, heads, queries, keys)."""
    torch.manual_seed(1)
    q, k = torch.randn(2, HEADS, queries, DIM), torch.randn(2, HEADS, queries, 4, DIM)
    m, n = torch.randint(10, 20, (2, 1, queries)), torch.randint(0, 10, (2, HEADS, queries, 4))
    bias = encoding.bias(q, k, m, n)
    turned_q, turned_k = encoding.rotate(q, k, m, n)
    together = (turned_q[..., None, :] * turned_k).sum(-1) / math.sqrt(DIM)  # (batch, heads, queries, keys)
    together = together if bias is None else together + bias
    assert together.shape == (2, HEADS, queries, 4)
    for h in range(HEADS):
        for i in range(queries):
            alone = scores(encoding, q[1, :, [i]], k[1, :, i], m[1, 0, [i]], n[1, h, i])[h, 0]
            assert torch.allclose(together[1, h, i], alone, atol=1e-5)


@relative
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_narrow_integers_do_not_wrap_around(encoding, dtype):
    q, k = draw(5, 4, 4)
    m, n = torch.tensor([0, 3, 100, 120]), torch.tensor([0, 50, 60, 127])
    assert torch.equal(scores(encoding, q, k, m.to(dtype), n.to(dtype)), scores(encoding, q, k, m, n))


def test_distances_that_32_bits_do_not_hold():
    q, k = draw(5, 1, 1)
    ends = torch.tensor([2**31 - 1], dtype=torch.int32), torch.tensor([-(2**31)], dtype=torch.int32)
    assert Alibi(HEADS).bias(q, k, *ends)[0].item() == -Alibi(HEADS).slopes[0] * (2**32 - 1)


@relative
def test_positions_of_a_batch_may_meet_one_sequence(encoding):
    q, k = draw(5, 3, 3, batch=1)
    m = torch.tensor([[[0, 1, 2]], [[5, 9, 11]]])
    both = scores(encoding, q, k, m, m)
    assert torch.allclose(both[-1:], scores(encoding, q, k, m[1, 0], m[1, 0]))


def test_xpos_looks_at_the_keys_number_format_too():
    x = torch.ones(1, 20_000, 64)
    with pytest.raises(ValueError, match=r"positions span 20000.*fit float16 over 9065"):
        Xpos(64).rotate(x, x.half())


def test_xpos_centres_queries_and_keys_together():
    longest = theory.longest("float16", 16, scale_base=8.0)
    x = torch.zeros(1, longest, 16, dtype=torch.float16)
    x[..., 0] = 1.0
    for turned in Xpos(16, scale_base=8.0).rotate(x[:, -1:], x):
        assert turned.isfinite().all()
        assert turned.double().norm(dim=-1).min() > 0


def test_autocast_reaches_no_bias():
    q, k = draw(0, 4, 4, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        for encoding in (Shaw(DIM, 4), T5Bias(HEADS), Alibi(HEADS)):
            assert encoding.bias(q, k).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_embeddings_keep_their_type(dtype):
    x = torch.randn(2, 5, 8, dtype=dtype)
    for encoding in (Sinusoidal(8), Learned(9, 8)):
        assert encoding.embed(x).dtype == dtype


def test_an_encoding_that_forgets_an_argument_is_told_so():
    class Forgetful(positions.PositionEncoding):
        def __init__(self, heads):
            super().__init__()

    with pytest.raises(TypeError, match=r"Forgetful.__init__ takes heads and must keep it as self.heads"):
        repr(Forgetful(3))


@pytest.mark.parametrize("encoding", [Rope(DIM), Xpos(DIM), Alibi(HEADS), T5Bias(HEADS), Shaw(DIM, 4)], ids=repr)
def test_it_compiles_in_one_piece(encoding):
    q, k = draw(0, 6, 6, dtype=torch.float32)
    compiled = torch.compile(lambda q, k: scores(encoding, q, k), fullgraph=True, backend="eager")
    assert torch.allclose(compiled(q, k), scores(encoding, q, k), atol=1e-5)


# ---- number formats ---------------------------------------------------------------------------------------------


def check_format(encoding, dtype, distances, offset, seed):
    """A component costs what one rounding costs: it is off by half a unit in its last place, float32's noise aside."""
    q, k = draw(seed, 1, len(distances), dim=encoding.head_dim, dtype=dtype)
    n = torch.tensor(distances) + offset
    m = [int(n.max())]
    limits = torch.finfo(dtype)
    for turned, exact in zip(encoding.rotate(q, k, m, n), encoding.rotate(q.double(), k.double(), m, n), strict=True):
        assert turned.dtype == dtype
        unit = 2.0 ** exact.abs().clamp(min=limits.smallest_normal).log2().floor() * limits.eps
        noise = 8 * torch.finfo(torch.float32).eps * exact.unflatten(-1, (-1, 2)).norm(dim=-1).repeat_interleave(2, -1)
        assert torch.all((turned.double() - exact).abs() <= unit / 2 + noise)


FORMATS = [torch.float16, torch.bfloat16, torch.float32]


@given(
    dtype=st.sampled_from(FORMATS),
    encoding=st.sampled_from([Rope(64), Xpos(64), Xpos(32, gamma=1.0, scale_base=128.0), XposWithoutRotation(64)]),
    distances=st.lists(st.integers(0, 1500), min_size=1, max_size=6),
    offset=st.integers(0, 10**7),
    seed=seeds,
)
def test_half_precision_costs_one_rounding_and_no_more(dtype, encoding, distances, offset, seed):
    check_format(encoding, dtype, distances, offset, seed)


@pytest.mark.full
@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("encoding", [Rope(64), Xpos(64), XposWithoutRotation(64)], ids=repr)
def test_half_precision_at_every_distance(dtype, encoding):
    for offset in (0, 10, 10**7):
        check_format(encoding, dtype, list(range(0, 4000)), offset, seed=offset)


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("encoding", [Alibi(HEADS), T5Bias(HEADS), Shaw(DIM, 4)], ids=repr)
def test_biases_are_computed_in_float32_at_least(dtype, encoding):
    q, k = draw(0, 9, 9, dtype=dtype)
    bias = encoding.bias(q, k)
    assert bias.dtype == torch.float32
    assert torch.allclose(bias.double(), encoding.double().bias(q.double(), k.double()), rtol=1e-6, atol=1e-6)
    encoding.float()


def test_a_bias_of_half_precision_weights_is_float32():
    q, k = draw(0, 4, 4, dtype=torch.float16)
    for encoding in (T5Bias(HEADS).half(), Shaw(DIM, 4).half()):
        assert encoding.bias(q, k).dtype == torch.float32


def test_learned_weights_start_small_and_not_at_0():
    torch.manual_seed(0)
    for encoding in (T5Bias(64), Shaw(64, 16), Learned(64, 32)):
        (weight,) = encoding.parameters()
        assert 0.015 < weight.std() < 0.025


@pytest.mark.parametrize("encoding", [Rope(64), Xpos(64)], ids=repr)
def test_a_model_in_half_precision_keeps_exact_angles(encoding):
    q, k = draw(0, 500, 500, dim=64, dtype=torch.float16)
    before = encoding.rotate(q, k)
    after = encoding.half().rotate(q, k)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("scale_base", [8.0, 100.0])
def test_xpos_works_to_the_last_position_that_its_format_holds_and_says_so_beyond(dtype, scale_base):
    longest = theory.longest(dtype, 16, scale_base=scale_base)
    x = torch.zeros(1, longest + 1, 16, dtype=getattr(torch, dtype))
    x[..., 0] = 1.0
    encoding = Xpos(16, scale_base=scale_base)
    q, k = encoding.rotate(x[:, :longest], x[:, :longest])
    for turned in (q, k):
        size = turned.double().norm(dim=-1)
        assert size.isfinite().all()
        assert (size > 0).all()
    one, far = x[:, :1], longest
    for past in (
        lambda: encoding.rotate(x, x),
        lambda: encoding.rotate(one, x),  # one query, all keys
        lambda: encoding.rotate(one, one, [far], [0]),
        lambda: encoding.rotate(one, one, [0], [far]),
        lambda: encoding.rotate(one, one, [far]),
        lambda: encoding.rotate(one, x[:, :2], [0], [0, far]),
        lambda: encoding.rotate(one, one, [[0], [far]], [[0], [0]]),  # the second sequence of a batch
    ):
        with pytest.raises(ValueError, match=f"positions span {longest + 1}.*fit {dtype} over {longest} at most"):
            past()
    assert Xpos(16, gamma=3.0, scale_base=scale_base).rotate(x, x)[0].isfinite().all()  # a slower decay reaches farther


@relative
@given(queries=st.integers(1, 6), more=st.integers(0, 6), seed=seeds)
def test_gradients_are_those_of_differences(encoding, queries, more, seed):
    q, k = draw(seed, queries, queries + more, batch=1)
    torch.manual_seed(seed)  # gradcheck and the direction below draw numbers
    encoding.double()
    try:
        assert torch.autograd.gradcheck(
            lambda q, k: scores(encoding, q, k), (q.requires_grad_(), k.requires_grad_()), fast_mode=True
        )
        total = scores(encoding, q, k).square().sum()
        for weight in encoding.parameters():
            (slope,) = torch.autograd.grad(total, weight, retain_graph=True)
            direction = torch.randn_like(weight)
            with torch.no_grad():
                weight += 1e-6 * direction
                above = scores(encoding, q, k).square().sum()
                weight -= 2e-6 * direction
                below = scores(encoding, q, k).square().sum()
                weight += 1e-6 * direction
            assert (slope * direction).sum().item() == pytest.approx((above - below).item() / 2e-6, rel=1e-4, abs=1e-4)
    finally:
        encoding.float()


# ---- the rest ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", [*RELATIVE, Sinusoidal(8), Learned(9, 8)], ids=repr)
def test_an_encoding_can_be_made_again_from_its_arguments(encoding):
    again = type(encoding)(**encoding.arguments)
    again.load_state_dict(encoding.state_dict())
    assert repr(again) == repr(encoding)
    q, k = draw(3, 4, 9, dtype=torch.float32)
    assert torch.equal(scores(again, q, k), scores(encoding, q, k))
    assert torch.equal(again.embed(q), encoding.embed(q))


def test_each_encoding_acts_at_one_place_only():
    q, k = draw(0, 5, 5, dtype=torch.float32)
    for encoding in [*RELATIVE, Sinusoidal(DIM), Learned(9, DIM)]:
        embeds = not torch.equal(encoding.embed(q), q)
        rotates = not torch.equal(encoding.rotate(q, k)[0], q)
        biases = encoding.bias(q, k) is not None
        assert embeds + rotates + biases == (not isinstance(encoding, NoPosition))


q5 = torch.zeros(1, HEADS, 5, DIM)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Rope(7), "head_dim is 7; it must be even"),
        (lambda: Xpos(8, gamma=-1.0), "gamma is -1.0; it must be a finite number greater than 0"),
        (lambda: Xpos(8, scale_base=0), "scale_base is 0; it must be a finite number greater than 0"),
        (lambda: Rope(6).rotate(q5, q5), "q or k has head size 8; Rope was made for 6"),
        (lambda: Rope(8).rotate(q5, q5[..., :3, :]), "q has 5 tokens and k has 3; with fewer keys"),
        (lambda: Rope(8).rotate(q5[..., :0, :], q5), r"q is torch.float32 of shape \(1, 3, 0, 8\); floats"),
        (lambda: Alibi(3).bias(q5[0, 0], q5[0, 0]), r"q has shape \(5, 8\); this encoding was made for"),
        (lambda: T5Bias(4, buckets=0), "buckets is 0"),
        (lambda: T5Bias(0), "heads is 0"),
        (lambda: Alibi(2.0), "heads is 2.0"),
        (lambda: Learned(0, 8), "size is 0"),
        (lambda: Learned(4, 0), "dim is 0"),
        (lambda: Sinusoidal(7), "dim is 7; it must be even"),
        (lambda: Shaw(6, 2).bias(q5, q5), "q has head size 8 and positions are torch.int64; Shaw was made for 6"),
        (lambda: Shaw(8, 2).bias(q5, q5, torch.rand(5), torch.rand(5)), "takes whole positions"),
        (lambda: Rope(8).rotate(q5.long(), q5), "q is torch.int64"),
        (lambda: Rope(8).rotate(q5[0, 0, 0], q5), "floats .* are needed"),
        (lambda: Sinusoidal(8).embed(q5.long()), "x is torch.int64"),
        (lambda: Rope(8).rotate(q5, q5, torch.ones(5) > 0), "q_positions is torch.bool"),
        (lambda: Alibi(HEADS).bias(q5, q5, torch.zeros(1, 5)), r"q_positions has shape \(1, 5\)"),
        (lambda: Rope(8).rotate(q5, q5[..., :0, :]), r"k is torch.float32 of shape \(1, 3, 0, 8\); floats"),
        (lambda: Rope(8).rotate(q5, q5, range(4)), r"q_positions has shape \(4,\); it must be \(5,\) or have 3 axes"),
        (lambda: Rope(8).rotate(q5, q5, None, range(4)), r"k_positions has shape \(4,\); it must be \(5,\)"),
        (lambda: Alibi(0), "heads is 0; it must be a whole number of at least 1"),
        (lambda: Alibi(4).bias(q5, q5), r"q has shape \(1, 3, 5, 8\); this encoding was made for \(..., 4 heads"),
        (lambda: T5Bias(4).bias(q5, q5), "made for .* 4 heads"),
        (lambda: T5Bias(4, buckets=7), "buckets is 7; it must be even"),
        (lambda: T5Bias(4, buckets=258), "buckets is 258; it must be even, .* at most 256"),
        (
            lambda: T5Bias(4, buckets=32, max_distance=16),
            "max_distance is 16; it must be a whole number of at least 17",
        ),
        (lambda: Shaw(8, clip=-1), "clip is -1; it must be a whole number of at least 0"),
        (
            lambda: Sinusoidal(6).embed(q5[0]),
            r"x is torch.float32 of shape \(3, 5, 8\); floats \(..., tokens, 6\) are needed",
        ),
        (
            lambda: Sinusoidal(8).embed(q5[0], torch.zeros(3, 1, 5)),
            r"positions has shape \(3, 1, 5\); it must be \(5,\) or have 2 axes",
        ),
        (lambda: Sinusoidal(8).embed(q5[0], range(4)), r"positions has shape \(4,\); it must be \(5,\)"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()
