"""Measured resolution against loops over all pairs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from lexviz import attention, evaluate, masks
from lexviz.positions import Alibi, Rope, Xpos
from test_evaluate import small, texts


@settings(max_examples=10)
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
