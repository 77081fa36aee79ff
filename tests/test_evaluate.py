"""evaluate.py against loops that take the definitions at their word."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from lexviz import attention, corpus, evaluate, masks
from lexviz.cache import KeyValueCache
from lexviz.landmark import LandmarkCache
from lexviz.model import LanguageModel, ModelConfig
from lexviz.positions import Alibi, Learned, Rope, Sinusoidal, Xpos

few = settings(max_examples=10)


def small(position=None, **sizes):
    """A model whose predictions are far from even, and differ by place."""
    torch.manual_seed(3)
    model = LanguageModel(ModelConfig(position=position or Rope(8), width=16, layers=2, heads=2, hidden=32, **sizes))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(6 if weight.ndim == 2 else 1)
    return model.eval()


def texts(*sizes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(256, (size,), generator=draw, dtype=torch.uint8) for size in sizes]


def naive_losses(model, documents, length, mask=None):
    found = []
    for document in documents:
        for start in range(0, len(document) - 1, length):
            window = document[start : start + length + 1].long().tolist()
            read, come = window[:-1], window[1:]
            with torch.no_grad():
                logits = model(torch.tensor([read]), mask)[0].double().tolist()
            found += [(-math.log(naive.softmax(row)[byte]), t) for t, (row, byte) in enumerate(zip(logits, come))]  # noqa: B905
    return found


@few
@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=4),
    st.integers(1, 45),
    st.sampled_from([None, masks.block_causal(3), masks.sliding_window(5)]),
)
def test_losses_are_those_of_each_window_read_alone(sizes, length, mask):
    documents, model = texts(*sizes), small(Xpos(8))
    found = evaluate.losses(model, documents, length, mask)
    wanted = naive_losses(model, documents, length, mask)
    assert found.place.tolist() == [place for _, place in wanted]
    assert found.nats.tolist() == pytest.approx([nats for nats, _ in wanted], abs=1e-3)
    by_place = evaluate.loss_by_place(found)
    for place in range(len(by_place)):
        assert by_place[place] == pytest.approx(np.mean([n for n, p in wanted if p == place]), abs=1e-3)
    mean = np.mean([nats for nats, _ in wanted])
    assert evaluate.perplexity(model, documents, length, mask) == pytest.approx(math.exp(mean), rel=1e-3)


@given(st.lists(st.integers(0, 12), max_size=6), st.integers(1, 12))
def test_first_parts_are_as_long_as_asked_and_one_byte_more(sizes, size):
    documents = texts(*sizes)
    parts = evaluate.first_parts(documents, size)
    assert [part.tolist() for part in parts] == [d.tolist()[: size + 1] for d in documents if len(d) >= size + 1]
    assert all(len(part) == size + 1 for part in parts)


def test_every_length_predicts_the_same_bytes(monkeypatch):
    documents, model = texts(33, 2, 20), small()
    seen = []
    monkeypatch.setattr(
        evaluate.F, "cross_entropy", lambda logits, targets, reduction: (seen.append(targets), targets.float())[1]
    )
    for length in (1, 4, 7, 32, 100):
        found = evaluate.losses(model, documents, length)
        assert torch.equal(found.nats, torch.cat([document[1:] for document in documents]).float())


@few
@given(st.integers(1, 30), st.integers(1, 12), st.booleans())
def test_with_a_cache_of_all_that_the_mask_allows_losses_are_the_same(length, chunk, landmarks):
    documents = texts(25, 14, 14)
    if landmarks:
        model = small(landmark_block=3)
        plain = evaluate.losses(model, documents, length)
        kept = lambda: [LandmarkCache(3, k=100, stingy=False) for _ in model.blocks]  # noqa: E731
    else:
        model = small(Alibi(2))
        plain = evaluate.losses(model, documents, length, masks.block_causal(4))
        kept = lambda: [KeyValueCache(masks.block_causal(4)) for _ in model.blocks]  # noqa: E731
    cached = evaluate.losses(model, documents, length, cache=kept, chunk=chunk)
    assert torch.allclose(plain.nats, cached.nats, atol=1e-3)
    assert torch.equal(plain.place, cached.place)


def test_absolute_encodings_count_from_each_windows_start():
    model, (document,) = small(Sinusoidal(16)), texts(41)
    found = evaluate.losses(model, [document], 10).nats
    alone = [evaluate.losses(model, [document[start : start + 11]], 10).nats for start in (0, 10, 20, 30)]
    assert torch.allclose(found, torch.cat(alone), atol=1e-4)


def test_a_learned_encoding_past_its_table_says_so():
    with pytest.raises(ValueError, match="Learned has a fixed size"):
        evaluate.perplexity(small(Learned(8, 16)), texts(30), 9)


@given(
    st.sampled_from([masks.causal(), masks.full(), masks.block_causal(3), masks.dilated(2, 3),
                     masks.longformer(3), masks.strided(3), masks.full() & masks.causal(), masks.padding(4),
                     masks.Interval("one_ahead", lambda i: 0 * i, lambda i: i + 1)]),
    st.integers(1, 12),
)  # fmt: skip
def test_a_mask_that_looks_ahead_predicts_nothing(mask, length):
    document, model = texts(length + 1), small()
    if np.triu(masks.dense(mask, length), 1).any():
        with pytest.raises(ValueError, match=r"mask is .*; with it a byte that is to be predicted is seen"):
            evaluate.losses(model, document, length, mask)
    else:
        assert len(evaluate.losses(model, document, length, mask).nats) == length


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-4), (torch.bfloat16, 0.3), (torch.float16, 0.05)])
def test_a_model_in_other_numbers_and_documents_in_whole_ones(dtype, close):
    documents, model = texts(30, 11), small(Xpos(8))
    wanted, scores = evaluate.losses(model, documents, 10).nats, evaluate.scores_by_distance(model, documents, 10)
    assert torch.equal(evaluate.losses(model, [document.long() for document in documents], 10).nats, wanted)
    model.to(dtype)
    found = evaluate.losses(model, documents, 10).nats
    assert found.dtype == torch.float32
    assert torch.allclose(found, wanted, atol=close * 5, rtol=close)
    assert evaluate.scores_by_distance(model, documents, 10) == pytest.approx(scores, abs=close * 5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "measure",
    [
        lambda model: evaluate.perplexity(model, texts(20), 9),
        lambda model: evaluate.perplexity(model, texts(20), 9, cache=model.caches, chunk=4),
        lambda model: evaluate.measured_resolution(model, texts(20), 9),
        lambda model: next(evaluate.passkey_trials(model, 150, 2, wording="short")),
    ],
)
def test_a_model_is_left_as_it_was_and_can_learn_on(measure, training):
    model = small(Xpos(8)).train(training)
    before, modes = [p.clone() for p in model.parameters()], []
    model.norm.register_forward_hook(lambda *_: modes.append(model.norm.training))
    model.blocks[0].norm_feed.register_forward_hook(lambda *_: modes.append(model.norm.training))
    measure(model)
    assert set(modes) == {False}
    assert model.training is model.norm.training is training
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    model(texts(9)[0][None]).sum().backward()  # nothing was made that gradients cannot go through
    assert model.embedding.weight.grad is not None


def test_a_model_is_left_as_it_was_when_measuring_fails():
    model = small(Learned(8, 16)).train()
    with pytest.raises(ValueError, match="Learned"):
        evaluate.perplexity(model, texts(30), 9)
    assert model.training


@few
@given(
    st.lists(st.integers(9, 30), min_size=1, max_size=3),
    st.integers(2, 30),
    st.sampled_from([masks.causal(), masks.block_causal(4), masks.sliding_window(7), masks.full()]),
    st.sampled_from([Rope(8), Xpos(8), Alibi(2)]),
)
def test_resolution_is_eq_3_of_the_mean_scores_of_eq_11(sizes, length, mask, position):
    documents, model = texts(*sizes), small(position)
    found = evaluate.scores_by_distance(model, documents, length, mask)
    resolutions = evaluate.measured_resolution(model, documents, length, mask)
    assert found.shape[:2] == resolutions.shape == (2, 2)
    for layer in range(2):
        maps = []
        for document in documents:
            tokens = document[None, :length]
            windows = list(list(model.look(tokens, mask))[layer].windows)
            n = tokens.shape[1]
            whole = torch.full((2, n, n), -torch.inf)
            for window in windows:
                q, k = window.scores.shape[-2:]
                i, j = window.first_query, window.first_key
                whole[:, i : i + q, j : j + k] = window.scores[0]
            maps.append(whole)
        for head in range(2):
            by_distance = {}
            for scores in maps:
                n = scores.shape[-1]
                for i in range(n):
                    for j in range(i + 1):
                        if mask(i, j):
                            by_distance.setdefault(i - j, []).append(scores[head, i, j].item())
            s = [np.mean(by_distance[n]) for n in range(len(by_distance))]
            assert found[layer, head].tolist() == pytest.approx(s, abs=1e-4)
            p = [*naive.softmax(s[:-1]), math.exp(s[-1]) / sum(math.exp(x) for x in s[:-1])]
            wanted = sum(p[i] * (p[i] - p[i + 1]) for i in range(len(s) - 1))
            assert resolutions[layer, head] == pytest.approx(wanted, rel=1e-3, abs=1e-7)


def test_resolution_of_text_that_is_looked_at_in_many_pieces():
    model, (document,), mask = small(Alibi(2)), texts(400), masks.block_causal(64) & masks.sliding_window(70)
    found = evaluate.scores_by_distance(model, [document], 400, mask)
    with torch.no_grad():
        x = model.embedding(document[None].long())
        q, k, _ = model.blocks[0].heads(*[model.blocks[0].norm_attention(x)] * 2)
        scores = attention.scores(q, k, masks.causal(), model.position)[0].numpy()  # (heads, 400, 400)
    allowed = masks.dense(mask, 400)
    for distance in range(70):
        there = np.diagonal(allowed, -distance)
        wanted = np.diagonal(scores, -distance, 1, 2)[:, there].mean(-1)
        assert found[0, :, distance] == pytest.approx(wanted, abs=1e-4)
    assert found.shape[-1] == 70


def test_with_a_cache_the_caches_mask_counts():
    model, causal, documents = small(mask=masks.full()), small(), texts(20)
    cached = evaluate.losses(model, documents, 9, cache=causal.caches).nats
    assert torch.allclose(cached, evaluate.losses(causal, documents, 9).nats, atol=1e-4)


class Finder(LanguageModel):
    """Reads the number off the prompt: what every model is asked to do."""

    def generate(self, prompt, count, mask=None, cache=None, temperature=0.0, seed=0):
        self.asked = corpus.to_text(torch.cat([*getattr(self, "read", []), prompt]))
        key = self.asked.split("The key is ")[-1].split(".")[0].encode()
        yield from (key + b" " * count)[:count]

    def forward(self, tokens, mask=None, cache=None):
        self.read = [*getattr(self, "read", []), tokens[0]]


def finder():
    return Finder(small().config)


def test_a_model_that_finds_is_right_and_one_that_does_not_is_wrong():
    assert evaluate.passkey_accuracy(finder(), 200, 5, wording="short") == 1.0
    assert evaluate.passkey_accuracy(small(), 200, 5, wording="short") == 0.0


def test_with_the_number_overwritten_no_one_can_know():
    assert evaluate.passkey_accuracy(finder(), 200, 5, wording="short", overwrite=True) == 0.0


def test_depths_are_spread_and_the_prompt_ends_with_the_question():
    model = finder()
    found = list(evaluate.passkey_trials(model, 150, 5, wording="short"))
    assert [trial.depth for trial in found] == [0, 0.25, 0.5, 0.75, 1]
    assert model.asked.endswith("What is the key? ")
    assert len({trial.answer for trial in found}) == 5


def test_with_a_cache_the_whole_prompt_goes_through_in_chunks():
    model = finder()
    (trial,) = evaluate.passkey_trials(model, 150, 1, cache=list, chunk=16, wording="short")
    assert trial.right
    assert {len(part) for part in model.read} == {16}
    assert len(model.asked) == 150 - len(trial.answer)


@pytest.mark.parametrize("kind", ["plain", "block causal", "cache", "landmark cache"])
def test_what_is_said_is_what_the_model_finds_likeliest_byte_by_byte(kind):
    """Against whole forward passes over all the text so far."""
    more = {"landmark_block": 7} if "landmark" in kind else {"mask": masks.block_causal(16)} if kind == "cache" else {}
    model = small(Xpos(8), **more)
    mask = masks.block_causal(16) if kind == "block causal" else None
    made = {"cache": model.caches, "landmark cache": lambda: [LandmarkCache(7, k=99, stingy=False) for _ in range(2)]}
    found = evaluate.passkey_trials(model, 120, 3, made.get(kind), mask, chunk=50, seed=8, wording="short", pad=2)
    for trial, (depth, answer, said) in enumerate(found):
        document, wanted, start, _ = corpus.passkey(120, [8, trial], wording="short", pad=2, depth=depth)
        text = document[:start].tolist()
        with torch.no_grad():
            for _ in answer:
                text.append(int(model(torch.tensor([text]), mask)[0, -1].argmax()))
        assert (answer, said) == (wanted, bytes(text[start:]))


@given(st.integers(1, 300), st.data())
def test_the_interval_holds_the_share_and_solves_its_equation(trials, data):
    right = data.draw(st.integers(0, trials))
    low, high = evaluate.interval(right, trials)
    assert 0 <= low <= right / trials + 1e-12
    assert right / trials - 1e-12 <= high <= 1
    for end in {low, high} - {0.0, 1.0}:  # a true share that lies 1.96 standard deviations from what was seen
        assert (right / trials - end) ** 2 == pytest.approx(1.96**2 * end * (1 - end) / trials, abs=1e-9)


def used():
    caches = small().caches()
    small()(texts(3)[0][None], cache=caches)
    return caches


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: evaluate.perplexity(small(), [], 4), "documents is empty; what is needed is a list"),
        (lambda: evaluate.perplexity(small(), iter(texts(9)), 4), "documents is a list_iterator; what is needed"),
        (lambda: evaluate.perplexity(small(), texts(9)[0], 4), "documents is a Tensor"),
        (lambda: evaluate.perplexity(small(), [b"bytes"], 4), r"documents\[0\] is bytes; .* corpus.from_text"),
        (lambda: evaluate.perplexity(small(), [*texts(9), torch.ones(9)], 4), r"documents\[1\] is torch.float32"),
        (lambda: evaluate.perplexity(small(), [texts(9)[0][None]], 4), r"documents\[0\] is .*uint8 of shape \(1, 9\)"),
        (lambda: evaluate.perplexity(small(), texts(9, 1), 4), r"documents\[1\] is .* two bytes or more"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, cache=small().caches()), "cache is a list; a function"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, cache=used), "caches that have seen text"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, masks.causal(), small().caches), "mask is causal"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, masks.full()), r"mask is full\(\); with it"),
        (lambda: evaluate.measured_resolution(small(), [], 4), "documents is empty"),
        (lambda: evaluate.perplexity(small(), texts(9), 0), "length is 0"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, cache=list, chunk=0), "chunk is 0"),
        (lambda: evaluate.measured_resolution(small(), texts(9), 1), "length is 1"),
        (lambda: evaluate.measured_resolution(small(landmark_block=2), texts(9), 4), "landmark_block=2"),
        (
            lambda: evaluate.measured_resolution(small(), texts(9), 9, masks.dilated(2, 3)),
            "some distances have no pair",
        ),
        (lambda: list(evaluate.passkey_trials(small(), 150, 0)), "trials is 0"),
        (lambda: evaluate.passkey_accuracy(small(), 300, 1, small().caches()), "cache is a list"),
        (lambda: evaluate.passkey_accuracy(small(), 150, 1, mask=masks.causal(), cache=list), "mask is causal"),
        (lambda: evaluate.passkey_accuracy(small(landmark_block=3), 150, 1, mask=masks.causal()), "mask is causal"),
        (lambda: evaluate.interval(6, 5), "trials is 5; it must be a whole number of at least 6"),
        (lambda: evaluate.interval(1, 0), "trials is 0"),
        (lambda: evaluate.first_parts([], 0), "size is 0"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()
