"""Losses and perplexity against loops that take the definitions at their word."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from lexviz import evaluate, masks
from lexviz.cache import KeyValueCache
from lexviz.evaluate import loss
from lexviz.landmark import LandmarkCache
from lexviz.positions import Alibi, Learned, Sinusoidal, Xpos
from test_evaluate import small, texts

few = settings(max_examples=10)


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
        loss.F, "cross_entropy", lambda logits, targets, reduction: (seen.append(targets), targets.float())[1]
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


def test_with_a_cache_the_caches_mask_counts():
    model, causal, documents = small(mask=masks.full()), small(), texts(20)
    cached = evaluate.losses(model, documents, 9, cache=causal.caches).nats
    assert torch.allclose(cached, evaluate.losses(causal, documents, 9).nats, atol=1e-4)


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
