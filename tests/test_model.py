"""model.py against the same decoder written from its parts, and against what every decoder promises."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import gelu, layer_norm
from torch.utils.flop_counter import FlopCounterMode

from lexviz import attention, landmark, masks
from lexviz.cache import KeyValueCache, SegmentCache
from lexviz.model import LanguageModel, ModelConfig, operations, parameters
from lexviz.positions import Alibi, Learned, Rope, Shaw, Sinusoidal, T5Bias, Xpos
from test_positions import DIM, HEADS, LogBias, relative_encodings

WIDTH, VOCABULARY = HEADS * DIM, 17
RELATIVE = relative_encodings()
ENCODINGS = [*RELATIVE, Sinusoidal(WIDTH), Learned(300, WIDTH)]
every_encoding = pytest.mark.parametrize("encoding", ENCODINGS, ids=repr)
CAUSAL = [
    masks.causal(),
    masks.block_causal(6),
    masks.sliding_window(5),
    masks.segment_recurrent(4, 7),
    masks.causal() & masks.longformer(6, 2),
    masks.strided(4),
    masks.fixed(5),
    masks.dilated(3, 3),
    masks.causal() & masks.bigbird(4, 300),
    masks.causal() & masks.padding(300, start=3),
]
every_mask = pytest.mark.parametrize("mask", CAUSAL, ids=str)


def make(encoding=None, mask=None, seed=0, **more):
    """A small model in float64, its weights far from 0 so that attention differs from an average."""
    torch.manual_seed(seed)
    config = ModelConfig(
        position=copy.deepcopy(encoding or Rope(DIM)), vocabulary=VOCABULARY, width=WIDTH, layers=2, heads=HEADS,
        hidden=20, mask=mask or masks.causal(), **more,
    )  # fmt: skip
    model = LanguageModel(config).double()
    for name, weight in model.named_parameters():
        if not name.startswith("position"):
            torch.nn.init.normal_(weight, mean=float("norm" in name and "weight" in name), std=0.3)
    return model


def text(length, batch=2, seed=1):
    return torch.randint(VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))


def naive_forward(model, tokens, mask):
    """The decoder from its weights and the dense reference: logits, and what enters each layer."""
    w = dict(model.named_parameters())
    width = model.config.width
    x = model.position.embed(w["embedding.weight"][tokens])
    entering = []
    for layer in range(model.config.layers):
        entering.append(x)
        own = {name.removeprefix(f"blocks.{layer}."): p for name, p in w.items() if name.startswith(f"blocks.{layer}.")}
        normed = layer_norm(x, (width,), own["norm_attention.weight"], own["norm_attention.bias"])
        of_k, of_v = own["keys_values.weight"][:width], own["keys_values.weight"][width:]
        q, k, v = (
            torch.stack((normed @ weight.T).split(DIM, dim=-1), dim=1) for weight in (own["queries.weight"], of_k, of_v)
        )
        seen = attention.attend(q, k, v, mask, model.position)
        x = x + torch.cat(seen.unbind(1), dim=-1) @ own["out.weight"].T
        normed = layer_norm(x, (width,), own["norm_feed.weight"], own["norm_feed.bias"])
        x = x + gelu(normed @ own["feed.0.weight"].T) @ own["feed.2.weight"].T
    return layer_norm(x, (width,), w["norm.weight"], w["norm.bias"]) @ w["predict.weight"].T, entering


@every_encoding
@pytest.mark.parametrize("length", [1, 40, 141])
def test_logits_are_those_of_the_plain_decoder(encoding, length):
    for mask in (masks.causal(), masks.block_causal(16), masks.strided(5), masks.full()):
        model, tokens = make(encoding, mask), text(length)
        wanted, _ = naive_forward(model, tokens, mask)
        assert torch.allclose(model(tokens), wanted, rtol=1e-6, atol=1e-6)
        other = make(encoding)  # the same weights, another mask in its config
        assert torch.allclose(other(tokens, mask=mask), wanted, rtol=1e-6, atol=1e-6)


def test_gradients_are_those_of_the_plain_decoder():
    for encoding in ENCODINGS:
        model, tokens = make(encoding, masks.block_causal(16)), text(40)
        learned = list(model.parameters())
        found, wanted = (
            torch.autograd.grad(logits.square().sum(), learned, materialize_grads=True)
            for logits in (model(tokens), naive_forward(model, tokens, masks.block_causal(16))[0])
        )
        for one, other in zip(found, wanted, strict=True):
            assert torch.allclose(one, other, rtol=1e-5, atol=1e-6 * (1 + other.abs().max().item()))


@every_mask
def test_a_later_token_changes_no_earlier_logit(mask):
    model, tokens = make(Xpos(DIM), mask), text(30, batch=1)
    before = model(tokens)
    for place in (1, 7, 29):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 1) % VOCABULARY
        after = model(changed)
        assert torch.equal(after[:, :place], before[:, :place])
        assert not torch.allclose(after[:, place], before[:, place])


@every_encoding
def test_a_batch_is_its_sequences(encoding):
    model, tokens = make(encoding, masks.block_causal(8)), text(37, batch=3)
    together = model(tokens)
    for b in range(3):
        assert torch.allclose(together[[b]], model(tokens[[b]]))


def test_padding_leaves_each_sequence_what_it_gets_alone():
    model, tokens = make(Xpos(DIM)), text(20, batch=3)
    stops = [20, 11, 4]
    together = model(tokens, mask=masks.causal() & masks.padding(stops))
    starts = [0, 9, 16]
    left = model(tokens, mask=masks.causal() & masks.padding([20] * 3, start=starts))
    for b in range(3):
        assert torch.allclose(together[[b], : stops[b]], model(tokens[[b], : stops[b]]))
        assert torch.allclose(left[[b], starts[b] :], model(tokens[[b], starts[b] :]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_bytes_will_do_for_tokens(dtype):
    for block in (None, 4):  # a landmark's id, 256, is no byte
        model = LanguageModel(ModelConfig(position=Rope(32), layers=1, landmark_block=block))
        assert torch.equal(model(text(12).to(dtype)), model(text(12)))


# ---- looking ----------------------------------------------------------------------------------------------------


@every_encoding
@pytest.mark.parametrize("mask", [masks.causal(), masks.block_causal(16), masks.strided(5)], ids=str)
def test_look_shows_what_forward_does(encoding, mask):
    model, tokens = make(encoding), text(150)
    _, entering = naive_forward(model, tokens, mask)
    for layer, (hidden, windows) in enumerate(model.look(tokens, mask=mask)):
        assert torch.allclose(hidden, entering[layer], rtol=1e-6, atol=1e-6)
        block = model.blocks[layer]
        normed = block.norm_attention(hidden)
        q, k, v = block.heads(normed, normed)
        pieces = list(windows)
        weights = attention.whole(pieces, 150, 150)
        _, wanted = attention.attend(q, k, v, mask, model.position, return_weights=True)
        assert torch.allclose(weights, wanted, rtol=1e-6, atol=1e-9)
        x = hidden + block.out((weights @ v).transpose(1, 2).flatten(-2))
        x = x + block.feed(block.norm_feed(x))
        if layer == 0:
            assert torch.allclose(x, entering[1], rtol=1e-6, atol=1e-6)
        else:
            assert torch.allclose(model.predict(model.norm(x)), model(tokens, mask=mask), rtol=1e-6, atol=1e-6)
    assert layer == 1


@pytest.mark.parametrize("mask", [masks.causal(), masks.block_causal(16), masks.strided(5)], ids=str)
@pytest.mark.parametrize("first", [1, 37, 149])
def test_look_leaves_out_earlier_rows_if_asked_to(mask, first):
    model, tokens = make(), text(150)
    for whole, part in zip(model.look(tokens, mask), model.look(tokens, mask, first), strict=True):
        assert torch.equal(whole.hidden, part.hidden)
        rows = attention.whole(list(whole.windows), 150, 150)[:, :, first:]
        pieces = list(part.windows)
        assert pieces[0].first_query == first
        found = attention.whole([piece._replace(first_query=piece[0] - first) for piece in pieces], 150 - first, 150)
        assert torch.allclose(found, rows, rtol=1e-6, atol=1e-9)


def test_look_goes_layer_by_layer_and_keeps_nothing():
    model = make()
    calls = []
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(lambda *_, i=i: calls.append(i))
    layers = model.look(text(9))
    next(layers)
    assert calls == []
    second = next(layers)
    assert calls == [0]
    assert not second.hidden.requires_grad


# ---- caches and generation --------------------------------------------------------------------------------------


def in_chunks(model, caches, tokens, cuts):
    return torch.cat([model(tokens[:, a:b], cache=caches) for a, b in itertools.pairwise(cuts)], dim=1)


@every_encoding
@given(data=st.data(), mask=st.sampled_from(CAUSAL), length=st.integers(1, 60))
@settings(max_examples=8)
def test_caches_give_what_the_whole_text_gives(encoding, data, mask, length):
    cuts = [0, *sorted(data.draw(st.sets(st.integers(1, length), max_size=8)) | {length})]
    model, tokens = make(encoding, mask), text(length)
    caches = model.caches()
    with torch.no_grad():
        assert torch.allclose(in_chunks(model, caches, tokens, cuts), model(tokens), rtol=1e-6, atol=1e-6)
    assert {cache.length for cache in caches} == {length}
    other = make(encoding)
    with torch.no_grad():
        found = in_chunks(other, other.caches(mask), tokens, cuts)
        assert torch.allclose(found, model(tokens), rtol=1e-6, atol=1e-6)


@every_encoding
def test_segments_are_those_of_transformer_xl(encoding):
    """With the mask's memory, segment by segment gives what the whole text gives: the stop is to gradients only."""
    mask = masks.segment_recurrent(8, 12)
    model, tokens = make(encoding, mask), text(45)
    caches = [SegmentCache(mask) for _ in range(2)]
    found = in_chunks(model, caches, tokens, [0, 8, 16, 24, 32, 40, 45])
    assert torch.allclose(found, model(tokens), rtol=1e-6, atol=1e-6)
    loss = found[:, 40:].square().sum()  # of the last segment
    (slope,) = torch.autograd.grad(loss, model.embedding.weight)
    used = set(tokens[:, 40:].flatten().tolist())
    assert {i for i in range(VOCABULARY) if (slope[i] != 0).any()} == used  # no earlier input's embedding


def longhand(model, prompt, count, mask, choose):
    tokens = prompt.tolist()
    for _ in range(count):
        logits, _ = naive_forward(model, torch.tensor([tokens]), mask)
        tokens.append(choose(logits[0, -1].detach()))
    return tokens[len(prompt) :]


@every_mask
def test_greedy_generation_is_the_whole_text_run_again_for_each_token(mask):
    for encoding in (Xpos(DIM), Alibi(HEADS), Sinusoidal(WIDTH)):
        model, prompt = make(encoding, mask), text(9, batch=1)[0]
        wanted = longhand(model, prompt, 12, mask, lambda logits: int(logits.argmax()))
        assert list(model.generate(prompt, 12)) == wanted
        assert list(make(encoding).generate(prompt, 12, mask=mask)) == wanted
        assert list(model.generate(prompt, 12, cache=model.caches())) == wanted


def test_sampling_draws_from_the_softmax_and_its_seed_repeats_it():
    model, prompt = make(Xpos(DIM)), text(9, batch=1)[0]
    draws = torch.Generator().manual_seed(5)

    def choose(logits):
        return int(torch.multinomial((logits.float() / 0.7).softmax(-1), 1, generator=draws))

    wanted = longhand(model, prompt, 20, masks.causal(), choose)
    torch.manual_seed(123)  # the draws are the seed's own
    assert list(model.generate(prompt, 20, temperature=0.7, seed=5)) == wanted
    assert list(model.generate(prompt, 20, temperature=0.7, seed=6)) != wanted
    assert torch.initial_seed() == 123
    greedy = list(model.generate(prompt, 20))
    assert list(model.generate(prompt, 20, temperature=1e-40)) == greedy


def test_sampled_frequencies_are_the_softmax():
    model, prompt = make(Xpos(DIM)), text(5, batch=1)[0]
    odds = (model(prompt[None])[0, -1].detach() / 2.0).softmax(-1)
    count = torch.zeros(VOCABULARY)
    for seed in range(400):
        count[next(model.generate(prompt, 1, temperature=2.0, seed=seed))] += 1
    spread = (odds * (1 - odds) / 400).sqrt()
    assert ((count / 400 - odds).abs() < 4.5 * spread + 1e-3).all()


def test_tokens_come_as_soon_as_they_are_known():
    model, calls, learns = make(), [], []
    model.register_forward_pre_hook(lambda module, given: calls.append(given[0].shape[1]))
    model.register_forward_hook(lambda module, given, logits: learns.append(logits.requires_grad))
    tokens = model.generate(text(9, batch=1)[0], 5)
    assert calls == []
    next(tokens)
    assert calls == [9]
    next(tokens)
    assert calls == [9, 1]
    assert len(list(tokens)) == 3
    assert calls == [9, 1, 1, 1, 1]
    assert not any(learns)


def test_generation_goes_on_from_a_cache():
    model, prompt = make(Rope(DIM), masks.block_causal(4)), text(14, batch=1)[0]
    wanted = list(model.generate(prompt, 10))
    caches = model.caches()
    model(prompt[None, :10], cache=caches)
    assert list(model.generate(prompt[10:], 10, cache=caches)) == wanted
    assert all(cache.kept <= 7 for cache in caches)
    assert list(model.generate(prompt, 0)) == []
    assert torch.is_grad_enabled()


# ---- counts -----------------------------------------------------------------------------------------------------

shapes = st.builds(
    lambda heads, half, layers, hidden, vocabulary, block: (heads, 2 * half, layers, hidden, vocabulary, block),
    st.integers(1, 4), st.integers(1, 6), st.integers(1, 3), st.integers(1, 40), st.integers(1, 30),
    st.none() | st.integers(1, 9),
)  # fmt: skip


def of_shape(shape, position, mask=None):
    heads, head_dim, layers, hidden, vocabulary, block = shape
    return ModelConfig(
        position=position, vocabulary=vocabulary, width=heads * head_dim, layers=layers, heads=heads, hidden=hidden,
        mask=mask or masks.causal(), landmark_block=block,
    )  # fmt: skip


@given(shapes)
def test_parameters_are_those_that_torch_counts(shape):
    heads, head_dim, *_ = shape
    for position in (Rope(head_dim), T5Bias(heads), Shaw(head_dim, 3), Learned(9, heads * head_dim), LogBias()):
        config = of_shape(shape, position)
        assert parameters(config) == sum(weight.numel() for weight in LanguageModel(config).parameters())


def counted(model, tokens, mask=None):
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(tokens, mask=mask)
    return counter.get_total_flops()


@given(shape=shapes, length=st.integers(1, 150))
@settings(max_examples=15)
def test_operations_are_those_that_torch_counts(shape, length):
    """Exactly, where torch computes the allowed pairs and no others: full(), with the kernel that it counts."""
    shape = (*shape[:-1], None)
    model = LanguageModel(of_shape(shape, Rope(shape[1]), masks.full()))
    tokens = torch.zeros(1, length, dtype=torch.long)
    assert operations(model.config, length) == counted(model, tokens)
    assert operations(model.config, length, masks.full()) == counted(model, tokens, masks.full())


@given(shape=shapes, length=st.integers(1, 400), block=st.integers(1, 150))
@settings(max_examples=15)
def test_operations_differ_from_torchs_count_by_the_pairs_that_windows_compute_in_vain(shape, length, block):
    shape, mask = (*shape[:-1], None), masks.block_causal(block)
    model = LanguageModel(of_shape(shape, Rope(shape[1]), mask))
    config, tokens = model.config, torch.zeros(1, length, dtype=torch.long)
    windows = next(model.look(tokens)).windows
    computed = sum(window.scores[0, 0].numel() for window in windows)
    in_one_piece = length <= 2 * block  # block causal is causal there, and goes to torch whole
    pairs = length**2 if in_one_piece else computed
    in_vain = 4 * config.layers * config.width * (pairs - mask.pairs(length))
    assert counted(model, tokens) - operations(config, length) == in_vain


@given(shape=shapes, length=st.integers(1, 60))
@settings(max_examples=10)
def test_operations_of_a_landmark_model_are_causal_ones_with_landmarks_among_the_tokens(shape, length):
    shape = (*shape[:-1], shape[-1] or 3)
    config = of_shape(shape, Rope(shape[1]))
    tokens = len(landmark.insert_landmarks(torch.zeros(length, dtype=torch.long), shape[-1], 1))
    plain = of_shape((*shape[:-1], None), Rope(shape[1]))
    predicted_at_landmarks = 2 * (tokens - length) * config.width * config.vocabulary
    assert operations(config, length) == operations(plain, tokens) - predicted_at_landmarks


# ---- landmarks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 3, 7])
def test_a_landmark_model_hides_its_landmarks(block):
    model = make(Xpos(DIM), landmark_block=block)
    for length in (1, block, block + 1, 4 * block + 2):
        tokens = text(length)
        logits = model(tokens)
        assert logits.shape == (2, length, VOCABULARY)
        w = dict(model.named_parameters())
        inserted = landmark.insert_landmarks(tokens, block, VOCABULARY)
        x = model.position.embed(w["embedding.weight"][inserted])
        for layer, (hidden, windows) in zip(model.blocks, model.look(tokens), strict=True):
            assert torch.allclose(hidden, x, rtol=1e-6, atol=1e-6)
            (window,) = windows
            normed = layer.norm_attention(x)
            q, k, v = layer.heads(normed, normed)
            weights = landmark.grouped_softmax(
                attention.scores(q, k, masks.causal(), model.position),
                landmark.is_landmark(inserted.shape[1], block),
            )
            assert torch.allclose(window.weights, weights)
            x = x + layer.out((weights @ v).transpose(1, 2).flatten(-2))
            x = x + layer.feed(layer.norm_feed(x))
        ordinary = x[:, ~landmark.is_landmark(inserted.shape[1], block)]
        assert torch.allclose(logits, model.predict(model.norm(ordinary)), rtol=1e-6, atol=1e-6)


def test_a_later_token_changes_no_earlier_logit_of_a_landmark_model():
    model, tokens = make(Rope(DIM), landmark_block=4), text(23, batch=1)
    before = model(tokens)
    for place in (3, 4, 11, 22):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 1) % VOCABULARY
        assert torch.allclose(model(changed)[:, :place], before[:, :place], rtol=1e-9, atol=1e-9)


@every_encoding
@given(data=st.data(), block=st.integers(1, 6), length=st.integers(1, 40), stingy=st.booleans())
@settings(max_examples=8)
def test_with_enough_blocks_fetched_a_landmark_cache_gives_what_the_whole_text_gives(
    encoding, data, block, length, stingy
):
    cuts = [0, *sorted(data.draw(st.sets(st.integers(1, length), max_size=8)) | {length})]
    model, tokens = make(encoding, landmark_block=block), text(length)
    caches = [landmark.LandmarkCache(block, k=40, stingy=stingy) for _ in range(2)]
    with torch.no_grad():
        assert torch.allclose(in_chunks(model, caches, tokens, cuts), model(tokens), rtol=1e-6, atol=1e-6)
    assert {cache.length for cache in caches} == {length + length // block}


def test_a_landmark_model_generates_with_retrieval():
    model, prompt = make(Rope(DIM), landmark_block=4), text(11, batch=1)[0]
    tokens = prompt.tolist()
    for _ in range(8):
        tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
    wanted = tokens[len(prompt) :]
    assert list(model.generate(prompt, 8)) == wanted  # 4 blocks, all fetched
    assert all(isinstance(cache, landmark.LandmarkCache) for cache in model.caches())
    long = list(model.generate(text(60, batch=1)[0], 30, temperature=0.8, seed=3))
    assert len(long) == 30
    assert long == list(model.generate(text(60, batch=1)[0], 30, temperature=0.8, seed=3))


# ---- the rest ---------------------------------------------------------------------------------------------------


def test_a_readers_own_encoding_will_do():
    model = make(LogBias(0.5))
    assert model.caches()[0].mask is model.config.mask
    assert isinstance(model.caches()[1], KeyValueCache)
    assert model(text(5)).isfinite().all()


def test_one_encoding_serves_all_layers_and_learns():
    model = make(T5Bias(HEADS, buckets=8, max_distance=20))
    assert [name for name, _ in model.named_parameters() if "position" in name] == ["position.table"]
    model(text(30)).square().sum().backward()
    assert (model.position.table.grad != 0).any()


def test_weights_start_small_those_that_add_up_smaller_and_embeddings_large():
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig(position=Rope(64), width=256, heads=4, layers=8))
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            adds = name.endswith(("out.weight", "feed.2.weight"))
            wanted = 0.3 if name.startswith("embedding") else 0.005 if adds else 0.02
            assert weight.std().item() == pytest.approx(wanted, rel=0.1)


def uneven(model):
    caches = model.caches()
    model(text(5), cache=caches)
    return [caches[0], model.caches()[1]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
def test_a_prompt_of_bytes_goes_on_with_any_token(dtype):
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig(position=Rope(8), vocabulary=400, width=8, heads=1, layers=1, hidden=8))
    for seed in range(9):
        wanted = list(model.generate(torch.arange(5), 9, temperature=9.0, seed=seed))
        assert list(model.generate(torch.arange(5).to(dtype), 9, temperature=9.0, seed=seed)) == wanted


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ModelConfig(position=Rope), "position is <class .*Rope'>; it must be an instance such as"),
        (lambda: ModelConfig(position=Rope(8), width=30, heads=4), "width is 30; it must be a multiple of heads, 4"),
        (lambda: ModelConfig(position=Rope(8), layers=0), "layers is 0; it must be a whole number of at least 1"),
        (lambda: ModelConfig(position=Rope(8), vocabulary=2.5), "vocabulary is 2.5"),
        (lambda: ModelConfig(position=Rope(8), heads=0), "heads is 0"),
        (lambda: ModelConfig(position=Rope(8), hidden=-1), "hidden is -1"),
        (lambda: ModelConfig(position=Rope(8), landmark_block=0), "landmark_block is 0"),
        (lambda: ModelConfig(position=Rope(8), mask=None), "mask is None; it must be a Mask such as masks.causal"),
        (lambda: make(Rope(6)), r"position is Rope\(head_dim=6, .*; for this model it must be made with head_dim=8"),
        (lambda: make(Alibi(4)), r"position is Alibi\(heads=4\); for this model it must be made with heads=3"),
        (lambda: make(Learned(9, 8)), r"position is Learned\(size=9, dim=8\); for .* made with dim=24"),
        (lambda: make()(text(5)[0]), r"tokens is torch.int64 of shape \(5,\); whole numbers \(batch, length\)"),
        (lambda: make()(text(0)), r"tokens is torch.int64 of shape \(2, 0\)"),
        (lambda: make()(text(5).float()), "tokens is torch.float32"),
        (lambda: make()(text(5), cache=[]), "cache has 0 entries; one for each of 2 layers is needed"),
        (lambda: make()(text(5), mask=masks.padding([3, 3, 3])), "made for 3 sequences; q has 2"),
        (lambda: next(make().generate(text(5)[0], -1)), "count is -1; it must be a whole number of at least 0"),
        (lambda: next(make().generate(text(5)[0], 1, seed=-1)), "seed is -1"),
        (lambda: next(make().generate(text(5)[0], 1, temperature=-0.1)), "temperature is -0.1; it must be a finite"),
        (lambda: next(make().generate(text(5)[0], 1, temperature=float("nan"))), "temperature is nan"),
        (lambda: next(make().generate(text(5)[0][:0], 1)), r"prompt is torch.int64 of shape \(0,\)"),
        (lambda: operations(make().config, 0), "length is 0; it must be a whole number of at least 1"),
        (lambda: make(Learned(4, WIDTH))(text(5)), "positions run from 0 to 4; Learned has a fixed size"),
        (
            lambda: make(landmark_block=4)(text(5), mask=masks.block_causal(4)),
            r"mask is block_causal\(4\); .*landmark models take none",
        ),
        (lambda: next(make(landmark_block=4).look(text(5), masks.causal())), "mask is .*landmark models take none"),
        (lambda: (m := make())(text(5), mask=masks.causal(), cache=m.caches()), "caches bring their own"),
        (lambda: next((m := make()).generate(text(5)[0], 1, masks.causal(), m.caches())), "caches bring their own"),
        (lambda: make(landmark_block=4).caches(masks.causal()), "mask is causal.*landmark models take none"),
        (lambda: next(make(landmark_block=4).generate(text(5)[0], 1, masks.causal())), "landmark models take none"),
        (lambda: operations(make(landmark_block=4).config, 9, masks.causal()), "landmark models take none"),
        (lambda: make(landmark_block=4)(text(5) * 0 + VOCABULARY), f"tokens run from {VOCABULARY}"),
        (lambda: make()(text(5), cache=[KeyValueCache(masks.causal())] * 2), "the same object for several layers"),
        (lambda: make()(text(5), cache=[None, None]), "cache has None; each of its entries needs inputs, attend and"),
        (lambda: make()(text(5), cache="xy"), "cache is 'xy'; it must be of class list"),
        (lambda: make()(text(5), cache=uneven(make())), r"cache has entries that have seen \[0, 5\] tokens"),
        (lambda: make(landmark_block=4, mask=masks.block_causal(4)), "mask is .*with landmark_block it must be"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_memory_of_inputs_teaches_projections_and_norm_and_stops_before_earlier_layers():
    """Transformer-XL in one layer, written out: keys and values from the normed inputs, old ones under a stop."""
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig(position=Rope(8), width=16, heads=2, hidden=16, layers=1, vocabulary=11))
    tokens, old = torch.randint(11, (2, 12)), 6
    memory = [SegmentCache(masks.segment_recurrent(6, 6))]
    model(tokens[:, :old], cache=memory)
    model.zero_grad()
    logits = model(tokens[:, old:], cache=memory)
    logits.square().sum().backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters()}

    model.zero_grad()
    (block,) = model.blocks
    x = model.embedding(tokens)
    x = torch.cat((x[:, :old].detach(), x[:, old:]), dim=1)
    normed = block.norm_attention(x)
    q, k, v = block.heads(normed[:, old:], normed)
    seen = attention.attend(q, k, v, masks.causal(), model.position)
    y = x[:, old:] + block.out(seen.transpose(1, 2).flatten(-2))
    y = y + block.feed(block.norm_feed(y))
    wanted = model.predict(model.norm(y))
    assert torch.allclose(logits, wanted, atol=1e-5)
    wanted.square().sum().backward()
    for name, weight in model.named_parameters():
        assert torch.allclose(found[name], weight.grad, atol=1e-4), name
