"""landmark.py against loops from the definition, and chunks against the whole."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import naive_landmark
from lexviz import landmark, positions
from lexviz.landmark import LandmarkCache, grouped_softmax, insert_landmarks, landmark_attention, remove_landmarks
from lexviz.positions import Alibi, NoPosition, Rope, Shaw, T5Bias, Xpos

HEADS, DIM = 3, 8
CHOICES = ["head and token", "head", "token"]
seeds = st.integers(0, 2**31)


def encodings():
    """One of each kind; learned ones with weights that are far from 0."""
    torch.manual_seed(0)
    made = [NoPosition(), Rope(DIM), Xpos(DIM, scale_base=40.0), Alibi(HEADS), T5Bias(HEADS, 8, 20), Shaw(DIM, clip=4)]
    for encoding in made:
        for weight in encoding.parameters():
            torch.nn.init.normal_(weight)
    return made


ENCODINGS = encodings()
encoding_of_any_kind = st.sampled_from(ENCODINGS)


def draw(seed, length, batch=1, dtype=torch.float64):
    """q, k, v, scaled so that softmaxes are far from flat."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(3, batch, HEADS, length, DIM, generator=generator, dtype=torch.float64)).to(dtype).unbind()


@st.composite
def layouts(draw, longest=30):
    """Booleans: blocks of any sizes, each with an ordinary token, the last perhaps unfinished."""
    sizes = draw(st.lists(st.integers(1, 7), max_size=6))
    rest = draw(st.integers(0 if sizes else 1, 5))
    flags = [t == size for size in sizes for t in range(size + 1)] + [False] * rest
    return flags[:longest]


@st.composite
def chunkings(draw, length):
    """Numbers of tokens that add up to the length."""
    kind = draw(st.sampled_from(["all at once", "token by token", "equal", "any"]))
    chunks, rest = [], length
    step = {"all at once": length, "token by token": 1}.get(kind) or draw(st.integers(1, length))
    while rest:
        chunks.append(min(rest, draw(st.integers(1, length)) if kind == "any" else step))
        rest -= chunks[-1]
    return chunks


def in_chunks(cache, q, k, v, chunks, encoding):
    """Outputs of all chunks together, and what each fetched."""
    out, seen, start = [], [], 0
    for chunk in chunks:
        some = slice(start, start + chunk)
        out.append(cache.attend(q[:, :, some], k[:, :, some], v[:, :, some], encoding))
        seen.append(cache.last)
        start += chunk
    return torch.cat(out, dim=2), seen


# ---- where the landmarks are ------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 99), max_size=30), st.integers(1, 8), st.integers(0, 30))
def test_a_landmark_follows_every_block(tokens, block, start):
    wanted = []
    for count, token in enumerate(tokens, start + 1):
        wanted += [token, 100] if count % block == 0 else [token]
    found = insert_landmarks(torch.tensor(tokens, dtype=torch.long), block, 100, start)
    assert found.tolist() == wanted
    assert remove_landmarks(found, block, start).tolist() == tokens
    flags = landmark.is_landmark(len(wanted), block, start + start // block)
    assert flags.tolist() == [token == 100 for token in wanted]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 8))
def test_a_text_in_two_parts_gets_the_landmarks_of_the_whole(first, length, block):
    tokens = torch.arange(2 * length).reshape(2, length)
    first = min(first, length)
    parts = insert_landmarks(tokens[:, :first], block, 99), insert_landmarks(tokens[:, first:], block, 99, start=first)
    assert torch.equal(torch.cat(parts, dim=-1), insert_landmarks(tokens, block, 99))


def test_bytes_make_room_for_a_landmark():
    tokens = torch.tensor([255, 0, 7], dtype=torch.uint8)
    assert insert_landmarks(tokens, 2, 256).tolist() == [255, 0, 256, 7]
    assert insert_landmarks(tokens, 2, 200).dtype == torch.uint8


# ---- the softmax in groups --------------------------------------------------------------------------------------


def test_the_example_of_the_paper():
    flags = torch.tensor([0, 0, 1, 0, 0, 1, 0, 0, 1]) > 0
    found = grouped_softmax(torch.zeros(9, 9), flags)
    assert torch.allclose(found[6], torch.tensor([1 / 6, 1 / 6, 0, 1 / 6, 1 / 6, 0, 1 / 3, 0, 0]))
    assert torch.allclose(
        found[8], torch.tensor([1 / 8, 1 / 8, 0, 1 / 8, 1 / 8, 0, 1 / 4, 1 / 4, 0])
    )  # a landmark's row


@given(layouts(), seeds, st.data())
def test_weights_are_those_of_the_definition(flags, seed, data):
    keys = len(flags)
    q_start = data.draw(st.integers(0, keys - 1))
    queries = data.draw(st.integers(1, keys - q_start))
    torch.manual_seed(seed)
    scores = 3 * torch.randn(2, queries, keys, dtype=torch.float64)
    scores.masked_fill_(torch.rand(scores.shape) < data.draw(st.sampled_from([0.0, 0.2, 0.8])), -torch.inf)
    found = grouped_softmax(scores, torch.tensor(flags), q_start)
    for r in range(queries):
        wanted = torch.tensor(naive_landmark.weights(scores[1, r].tolist(), flags, q_start + r))
        assert torch.allclose(found[1, r].float(), wanted, atol=1e-6)
        assert math.isclose(found[1, r].sum(), 1 if wanted.any() else 0)


@given(layouts(), layouts(), seeds)
def test_layouts_may_differ_between_sequences_heads_and_queries(one, other, seed):
    keys = min(len(one), len(other))
    torch.manual_seed(seed)
    flags = torch.tensor([one[:keys], other[:keys]])
    queries = min(2, keys)
    scores = torch.randn(2, 2, queries, keys, dtype=torch.float64)
    start = keys - queries
    by_sequence, by_head = (
        grouped_softmax(scores, flags[:, None, None], start),
        grouped_softmax(scores, flags[:, None], start),
    )
    by_query = grouped_softmax(scores, flags[:queries], start)
    for a in range(2):
        assert torch.equal(by_sequence[a], grouped_softmax(scores[a], flags[a], start))
        assert torch.equal(by_head[:, a], grouped_softmax(scores[:, a], flags[a], start))
        if a < queries:
            alone = grouped_softmax(scores[:, :, a : a + 1], flags[a], start + a)
            assert torch.equal(by_query[:, :, a : a + 1], alone)


@given(layouts(), seeds, st.booleans())
@settings(max_examples=15)
def test_gradients_are_those_of_differences(flags, seed, hide):
    torch.manual_seed(seed)
    start = len(flags) // 3
    scores = 2 * torch.randn(1, len(flags) - start, len(flags), dtype=torch.float64)
    hidden = torch.rand(scores.shape) < (0.3 if hide else 0.0)
    assert torch.autograd.gradcheck(
        lambda s: grouped_softmax(s.masked_fill(hidden, -torch.inf), torch.tensor(flags), start),
        scores.requires_grad_(),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_each_number_format_within_its_error(dtype):
    torch.manual_seed(0)
    flags = landmark.is_landmark(90, 7)
    scores = (4 * torch.randn(2, 90, 90)).to(dtype).requires_grad_()
    exact = scores.detach().double().requires_grad_()
    slope = torch.randn(2, 90, 90).to(dtype)
    found, wanted = grouped_softmax(scores, flags), grouped_softmax(exact, flags)
    found.backward(slope)
    wanted.backward(slope.double())
    eps = torch.finfo(dtype).eps
    assert found.dtype == scores.grad.dtype == dtype
    assert torch.allclose(found.double(), wanted, rtol=8 * eps, atol=eps / 8)
    assert torch.allclose(scores.grad.double(), exact.grad, rtol=8 * eps, atol=2 * eps)


@given(layouts(), seeds, st.sampled_from([torch.float16, torch.float32]))
def test_blocks_that_underflow_leave_finite_numbers(flags, seed, dtype):
    torch.manual_seed(seed)
    keys, size = len(flags), torch.tensor([-1e4, 0.0, 1e4])
    scores = size[torch.randint(3, (4, 1, keys))].expand(4, keys, keys).to(dtype)
    scores = scores.masked_fill(torch.rand(scores.shape) < 0.1, -torch.inf).requires_grad_()
    found = grouped_softmax(scores, torch.tensor(flags))
    found.backward(torch.randn_like(found))
    assert scores.grad.isfinite().all()
    for r in range(keys):
        wanted = torch.tensor(naive_landmark.weights(scores[1, r].tolist(), flags, r))
        assert torch.allclose(found[1, r].float(), wanted, atol=2e-3)


class Allocated(TorchDispatchMode):
    """Counts the bytes of all tensors that come into being; views are free."""

    def __init__(self):
        super().__init__()
        self.bytes, self.known = 0, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for x in torch.utils._pytree.tree_leaves((args, kwargs)):
            if isinstance(x, torch.Tensor):
                self.known[x.untyped_storage().data_ptr()] = x
        out = function(*args, **(kwargs or {}))
        for x in torch.utils._pytree.tree_leaves(out):
            if isinstance(x, torch.Tensor) and (at := x.untyped_storage().data_ptr()) not in self.known:
                self.known[at] = x  # kept alive, so that no address comes twice
                self.bytes += x.untyped_storage().nbytes()
        return out


@pytest.mark.parametrize("block", [1, 3, 31, 127])
def test_memory_is_proportional_to_the_scores(block):
    keys = 256
    scores = torch.randn(2, 2, keys, keys, requires_grad=True)
    with Allocated() as count:
        grouped_softmax(scores, landmark.is_landmark(keys, block)).sum().backward()
    # 8 numbers for each score, and some for each query and block: half as many blocks as keys where block is 1
    assert count.bytes < scores.nbytes * (8 + 20 / (block + 1))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: insert_landmarks(torch.arange(3), 0, 9), "block is 0; it must be a whole number of at least 1"),
        (lambda: remove_landmarks(torch.arange(3), 0), "block is 0"),
        (lambda: landmark.is_landmark(3, 0), "block is 0"),
        (lambda: insert_landmarks(torch.arange(3), 2, 9, start=-1), "start is -1"),
        (lambda: insert_landmarks(torch.arange(3), 2, -9), "landmark_id is -9"),
        (lambda: remove_landmarks(torch.arange(3), 2, start=-1), "start is -1"),
        (lambda: grouped_softmax(torch.zeros(4, 4), torch.tensor([1, 0, 0, 0]) > 0), r"is_landmark is True at \[0\]"),
        (lambda: grouped_softmax(torch.zeros(4, 4), torch.tensor([0, 1, 1, 0]) > 0), r"is_landmark is True at \[2\]"),
        (
            lambda: grouped_softmax(torch.zeros(2, 2, 4), torch.tensor([[[0, 1, 0, 0]], [[0, 0, 1, 1]]]) > 0),
            r"is_landmark is True at \[1, 0, 3\]",
        ),
        (lambda: grouped_softmax(torch.zeros(4, 4), torch.zeros(4)), "is_landmark is torch.float32"),
        (lambda: grouped_softmax(torch.zeros(4, 4), torch.zeros(3) > 0), r"of shape \(3,\); booleans"),
        (lambda: grouped_softmax(torch.zeros(4, 4), torch.zeros(2, 4) > 0), r"of shape \(2, 4\); booleans"),
        (lambda: grouped_softmax(torch.zeros(4, 4), torch.zeros(4) > 0, q_start=1), "q_start is 1; with 4 queries"),
        (lambda: grouped_softmax(torch.zeros(2, 4), torch.zeros(4) > 0, q_start=-1), "q_start is -1"),
        (lambda: landmark_attention(*draw(0, 4), block=0), "block is 0"),
        (lambda: LandmarkCache(0, 1), "block is 0"),
        (lambda: LandmarkCache(1, 0), "k is 0"),
        (lambda: LandmarkCache(1, 1, choose="tokens"), "choose is 'tokens'; it must be"),
        (lambda: LandmarkCache(1, 1, stingy=False, index=print), "stingy is False; an index needs"),
        (
            lambda: [cache.attend(*draw(0, 4, batch)) for cache in [LandmarkCache(4, 1)] for batch in (1, 2)],
            "as in earl",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ---- training ---------------------------------------------------------------------------------------------------


@given(encoding_of_any_kind, st.integers(1, 25), st.integers(1, 6), seeds)
def test_attention_weighs_values_as_the_definition_says(encoding, length, block, seed):
    q, k, v = draw(seed, length, batch=2)
    with torch.no_grad():
        out, weights = landmark_attention(q, k, v, block, encoding, return_weights=True)
        flags = landmark.is_landmark(length, block).tolist()
        for i in {0, length // 2, length - 1}:
            row = naive_landmark.score(encoding, 2, q[1, :, i], k[1, 2], i, range(length))
            wanted = torch.tensor(naive_landmark.weights(row, flags, i)).double()
            assert torch.allclose(weights[1, 2, i], wanted, atol=1e-5)
            assert torch.allclose(out[1, 2, i], wanted @ v[1, 2], atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_what_it_is(dtype):
    q, k, v = draw(3, 40, dtype=dtype)
    q.requires_grad_()
    out, weights = landmark_attention(q, k, v, 4, Rope(DIM), return_weights=True)
    out.sum().backward()
    exact = landmark_attention(q.double(), k.double(), v.double(), 4, Rope(DIM))
    assert (out.dtype, weights.dtype, q.grad.dtype) == (dtype, torch.float32, dtype)
    assert torch.allclose(out.double(), exact, atol=40 * torch.finfo(dtype).eps)


# ---- inference --------------------------------------------------------------------------------------------------


@torch.no_grad()
def check_chunks(encoding, length, block, chunks, choose, seed, batch):
    """With k of at least the number of blocks, and true positions, chunks give what the whole gives."""
    q, k, v = draw(seed, length, batch)
    cache = LandmarkCache(block, max(1, length // (block + 1)), choose, stingy=False)
    assert cache.length == 0
    found, _ = in_chunks(cache, q, k, v, chunks, encoding)
    assert torch.allclose(found, landmark_attention(q, k, v, block, encoding), atol=2e-5)
    assert (cache.length, cache.blocks) == (length, length // (block + 1))


@given(st.data(), encoding_of_any_kind, st.integers(1, 200), st.integers(1, 60), st.sampled_from(CHOICES), seeds)
def test_chunks_that_fetch_all_give_the_whole(data, encoding, length, block, choose, seed):
    check_chunks(encoding, length, block, data.draw(chunkings(length)), choose, seed, batch=1 + seed % 2)


@pytest.mark.full
@pytest.mark.parametrize("encoding", ENCODINGS, ids=repr)
@pytest.mark.parametrize("choose", CHOICES)
@pytest.mark.parametrize("block", [1, 2, 5, 50])
def test_chunks_that_fetch_all_give_the_whole_at_many_lengths(encoding, choose, block):
    for length in range(1, 201, 9):
        for step in (1, block, block + 1, 37, length):
            chunks = [min(step, length - start) for start in range(0, length, step)]
            check_chunks(encoding, length, block, chunks, choose, length, batch=2)


@torch.no_grad()
def check_retrieval(encoding, length, block, k, chunks, choose, stingy, seed):
    """Outputs, and what was fetched with which share, are those of loops from the definition."""
    q, keys, v = draw(seed, length, batch=2)
    cache = LandmarkCache(block, k, choose, stingy)
    found, seen = in_chunks(cache, q, keys, v, chunks, encoding)
    exact, fetched = naive_landmark.retrieve(q[1], keys[1], v[1], encoding, block, k, chunks, choose, stingy)
    assert torch.allclose(found[1], exact, atol=2e-5)
    i = 0
    for last in seen:
        for r in range(last.local.shape[2]):
            for h in range(HEADS):
                pairs = zip(last.blocks[1, h, r].tolist(), last.shares[1, h, r].tolist(), strict=True)
                shares, local, gates, weights = fetched[h, i]
                by_block = {b: share for b, share in pairs if b >= 0 or share}
                assert list(by_block) == list(shares)  # in temporal order
                assert by_block == pytest.approx(shares, abs=1e-5)
                assert last.local[1, h, r].item() == pytest.approx(local, abs=1e-5)
                scores = last.scores[1, h, r].tolist()
                assert (
                    all(math.isnan(s) for s in scores) if len(gates) <= k else scores == pytest.approx(gates, abs=1e-4)
                )
                there = (last.blocks[1, h, r] >= 0).repeat_interleave(block + 1)
                row = last.weights[1, h, r]
                assert not row[: len(there)][~there].any()
                row = torch.cat((row[: len(there)][there], row[len(there) :])).tolist()
                assert row == pytest.approx(weights + [0] * (len(row) - len(weights)), abs=1e-5)
            i += 1


@given(
    st.data(), encoding_of_any_kind, st.integers(1, 45), st.integers(1, 5), st.integers(1, 4), st.sampled_from(CHOICES),
    st.booleans(), seeds,
)  # fmt: skip
@settings(max_examples=40)
def test_blocks_are_fetched_as_the_definition_says(data, encoding, length, block, k, choose, stingy, seed):
    check_retrieval(encoding, length, block, k, data.draw(chunkings(length)), choose, stingy, seed)


@pytest.mark.full
@pytest.mark.parametrize("encoding", ENCODINGS, ids=repr)
@pytest.mark.parametrize("choose", CHOICES)
@pytest.mark.parametrize("stingy", [True, False])
def test_blocks_are_fetched_as_the_definition_says_at_many_lengths(encoding, choose, stingy):
    for block, k in ((1, 1), (2, 3), (3, 2)):
        for length in range(1, 31, 2):
            for step in (1, block, block + 1, 7, length):
                chunks = [min(step, length - start) for start in range(0, length, step)]
                check_retrieval(encoding, length, block, k, chunks, choose, stingy, length)


@given(st.data(), encoding_of_any_kind, st.integers(1, 6), st.integers(1, 4), seeds)
@torch.no_grad()
def test_up_to_k_blocks_stingy_positions_are_the_true_ones(data, encoding, block, k, seed):
    length = data.draw(st.integers(1, k * (block + 1) + block))
    q, keys, v = draw(seed, length)
    found, _ = in_chunks(LandmarkCache(block, k), q, keys, v, data.draw(chunkings(length)), encoding)
    assert torch.allclose(found, landmark_attention(q, keys, v, block, encoding), atol=2e-5)


class Farthest(positions.PositionEncoding):
    """Notes the largest distance that it is asked for, and the smallest."""

    def __init__(self):
        super().__init__()
        self.found = []

    def rotate(self, q, k, q_positions=None, k_positions=None):
        m, n = positions.positions_of(q, k, q_positions, k_positions)
        far = m[..., :, None] - (n if n.ndim == q.ndim else n[..., None, :])
        self.found += [far.max().item(), m.max().item(), n.max().item(), -n.min().item()]
        return q, k


@given(st.integers(1, 7), st.integers(1, 4), st.integers(1, 12), st.sampled_from(CHOICES))
@settings(max_examples=20)
def test_stingy_positions_stay_within_their_bound(block, k, chunk, choose):
    encoding, count = Farthest(), 12
    q, keys, v = draw(0, chunk * count * (block + 1))
    in_chunks(LandmarkCache(block, k, choose), q, keys, v, [chunk] * count * (block + 1), encoding)
    assert max(encoding.found) < (k + 1) * (block + 1) + block + chunk
    assert max(encoding.found) >= (k + 1) * (block + 1)


@pytest.mark.parametrize("stingy", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_a_cache_in_half_precision(dtype, stingy):
    q, k, v = draw(5, 60, dtype=dtype)
    for choose in CHOICES:
        cache = LandmarkCache(4, 12, choose, stingy)
        found, _ = in_chunks(cache, q, k, v, [7] * 8 + [1] * 4, Xpos(DIM))
        assert found.dtype == dtype
        exact = landmark_attention(q.double(), k.double(), v.double(), 4, Xpos(DIM))
        assert torch.allclose(found.double(), exact, atol=40 * torch.finfo(dtype).eps)
        in_chunks(LandmarkCache(4, 2, choose, stingy), q, k, v, [7] * 8 + [1] * 4, Xpos(DIM))


def test_what_is_kept_belongs_to_no_graph_and_is_moved_seldom():
    cache = LandmarkCache(block=2, k=1)
    q, k, v = (x.requires_grad_() for x in draw(0, 1))
    places = set()
    for _ in range(600):
        out = cache.attend(q, k, v, Rope(DIM))
        assert out.requires_grad
        assert not any(x.requires_grad for x in (cache._kept, cache._landmarks, cache._local, *cache.last))
        places |= {cache._kept.shape[2], cache._landmarks.shape[2]}
    assert cache.blocks == 200
    assert len(places) <= 10
    cache.attend(*draw(0, 100))
    assert cache._local.untyped_storage().nbytes() == cache._local.nbytes == 8 * 1 * HEADS * (700 % 3) * 2 * DIM


@pytest.mark.parametrize("choose", CHOICES)
@torch.no_grad()
def test_a_step_copies_only_what_it_fetches(choose):
    blocks, k = 2000, 2
    cache, position = LandmarkCache(block=1, k=k, choose=choose), Rope(64)
    x = torch.randn(1, 2, 2 * blocks, 64)
    cache.attend(x[:, :, :2], x[:, :, :2], x[:, :, :2], position)
    cache._keep(torch.cat((x, x), dim=-1), 64)  # many at once: attending to all of them would take long
    assert cache.blocks == blocks + 1
    with Allocated() as count:
        cache.attend(x[:, :, :1], x[:, :, :1], x[:, :, :1], position)
    # some numbers for each landmark, like its score, but not its 2 x 64; the rest does not grow
    assert count.bytes < blocks * 4 * 32 + 4e5


@pytest.mark.parametrize("beside", ["cpu", "cuda"])
@torch.no_grad()
def test_blocks_are_kept_where_one_says(beside):
    if beside == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    q, k, v = (x.to(beside) for x in draw(1, 40))
    cache = LandmarkCache(4, 8, stingy=False, device="cpu")
    found, _ = in_chunks(cache, q, k, v, [9, 1, 30], Rope(DIM))
    assert torch.allclose(found, landmark_attention(q, k, v, 4, Rope(DIM)), atol=1e-6)
    assert (cache._kept.device.type, cache._landmarks.device.type) == ("cpu", beside)


def test_blocks_are_kept_on_any_device():
    cache = LandmarkCache(4, 8, device="meta")  # which every machine has, and from which nothing can be fetched
    with pytest.raises(NotImplementedError, match="meta"):
        cache.attend(*draw(1, 40))
    assert (cache._kept.device.type, cache._landmarks.device.type) == ("meta", "cpu")


def test_a_first_call_that_fails_leaves_nothing():
    q, k, v = draw(0, 20, dtype=torch.float32)
    cache = LandmarkCache(4, 2)
    with pytest.raises(ValueError, match="Rope was made for"):
        cache.attend(*draw(0, 9, batch=3), Rope(DIM + 2))
    found = cache.attend(q, k, v, Rope(DIM))
    assert torch.equal(found, LandmarkCache(4, 2).attend(q, k, v, Rope(DIM)))
    assert found.dtype == cache._kept.dtype == torch.float32


def test_a_later_call_of_another_head_size_is_refused():
    cache = LandmarkCache(4, 2)
    cache.attend(*draw(0, 9))
    with pytest.raises(ValueError, match=r"as many components, .* as in earlier calls"):
        cache.attend(*torch.zeros(3, 1, HEADS, 3, DIM + 2, dtype=torch.float64))


@pytest.mark.parametrize("stingy", [True, False])
@pytest.mark.parametrize("wants_gradient", [True, False])
def test_what_was_read_under_inference_mode_is_gone_on_with_outside(stingy, wants_gradient):
    parts = [[x[:, :, t : t + 10].requires_grad_(wants_gradient) for x in draw(1, 40)] for t in (0, 10, 20, 30)]
    cache, wanted = LandmarkCache(2, 3, stingy=stingy), LandmarkCache(2, 3, stingy=stingy)
    for i, part in enumerate(parts):
        with torch.inference_mode(i < 2):
            found = cache.attend(*(x.detach() if i < 2 else x for x in part), Rope(DIM))
        assert torch.equal(found, wanted.attend(*part, Rope(DIM)))
    if wants_gradient:
        found.sum().backward()
        assert part[0].grad.isfinite().all()


def test_inputs_are_left_as_they_are():
    x = torch.randn(1, 5, 16)
    assert LandmarkCache(4, 2).inputs(x) is x


# ---- an index ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS, ids=repr)
@pytest.mark.parametrize("choose", CHOICES)
@torch.no_grad()
def test_an_index_that_is_exact_finds_what_scoring_all_finds(encoding, choose):
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    q, k, v = draw(2, 203, batch=2, dtype=torch.float32)
    chunks = [1, 1, 1, 40, 40, 40, 40, 40]
    found, seen = in_chunks(LandmarkCache(4, 3, choose), q, k, v, chunks, encoding)
    by_index, others = in_chunks(
        # as many as there are, so that its softmax is over all: the cheaper choices need that
        LandmarkCache(4, 3, choose, index=lambda d: All(faiss.IndexFlatIP(d))), q, k, v, chunks, encoding
    )  # fmt: skip
    assert torch.allclose(found, by_index, atol=1e-4)
    assert all(torch.equal(a.blocks, b.blocks) for a, b in zip(seen, others, strict=True))


class All:
    """An index that returns all it has, then -1, as faiss does."""

    def __init__(self, index):
        self.index, self.add = index, index.add

    @property
    def ntotal(self):
        return self.index.ntotal

    def search(self, queries, count):
        assert count == 3
        return self.index.search(queries, self.ntotal + 1)


def test_an_index_is_looked_up_where_gradients_are_wanted():
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    cache = LandmarkCache(2, 2, index=faiss.IndexFlatIP)
    for _ in range(3):
        q, k, v = (x.requires_grad_() for x in draw(1, 12, dtype=torch.float32))
        cache.attend(q, k, v, Rope(DIM)).sum().backward()
        assert q.grad.isfinite().all()


@torch.no_grad()
def test_an_approximate_index_finds_most_of_it():
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    q, k, v = draw(2, 2000, dtype=torch.float32)
    chunks = [100] * 20
    for choose, least in zip(CHOICES, (0.9, 0.8, 0.8), strict=True):
        _, exact = in_chunks(LandmarkCache(4, 4, choose), q, k, v, chunks, Rope(DIM))
        approximate = LandmarkCache(
            4, 4, choose, index=lambda d: faiss.IndexHNSWFlat(d, 16, faiss.METRIC_INNER_PRODUCT)
        )
        _, found = in_chunks(approximate, q, k, v, chunks, Rope(DIM))
        wanted, got = exact[-1].blocks[..., :, None], found[-1].blocks[..., None, :]
        recall = (wanted == got).any(-1)[wanted[..., 0] >= 0].float().mean()
        assert recall > least, choose
