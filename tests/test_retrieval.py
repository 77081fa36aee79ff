"""What landmark models fetch, and the keys of their landmarks, each against the whole map."""

import itertools

import numpy as np
import pytest
import torch

from lexviz import inside, retrieval
from lexviz.landmark import LandmarkCache
from lexviz.model import LanguageModel, ModelConfig
from lexviz.positions import Rope
from test_inside import landmark_model, text_of


@pytest.mark.parametrize("choose", ["head and token", "head", "token"])
@pytest.mark.parametrize("chunk", [7, 25, 60])
def test_what_is_retrieved_is_the_whole_map_where_all_is_fetched_and_never_more_than_k_blocks(choose, chunk):
    model, tokens = landmark_model(5), text_of(60)
    found = retrieval.tiles(model, tokens, k=12, chunk=chunk, choose=choose)  # up to k blocks stand where they stood
    assert found == pytest.approx(inside.tiles(model, tokens, 5), abs=1e-4)
    few = retrieval.tiles(model, tokens, k=1, chunk=chunk, choose=choose)
    assert few.sum(-1) == pytest.approx(np.ones((3, 2, 12)), abs=1e-5)
    for layer, head in itertools.product(range(3), range(2)):
        for i, row in enumerate(few[layer, head]):
            before = 5 * i // chunk * chunk // 5  # blocks that were there when the tile's first query was read
            assert (row[:before] > 0).sum() <= 5  # one for each of five queries
            assert not row[i + 1 :].any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_tiles_of_a_model_in_other_numbers(dtype):
    model, tokens = landmark_model(5), text_of(40)
    wanted = retrieval.tiles(model, tokens, k=8, chunk=20)
    assert retrieval.tiles(model.to(dtype), tokens, k=8, chunk=20).dtype == wanted.dtype
    if dtype == torch.float64:
        assert retrieval.tiles(model, tokens, k=8, chunk=20) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("length", "block", "chunk"), [(60, 5, 25), (58, 7, 58), (61, 1, 10), (44, 15, 9)])
def test_what_is_looked_at_for_a_byte_is_a_row_of_the_whole_map_where_all_is_fetched(length, block, chunk):
    model, text = landmark_model(block), text_of(length)
    found = list(retrieval.written(model, text, count=4, k=100, chunk=chunk))
    said = torch.tensor([step.byte for step in found])
    assert said.tolist() == list(model.generate(text, 4, cache=[LandmarkCache(block, k=100) for _ in range(3)]))
    whole = torch.cat((text, said))
    for i, step in enumerate(found):
        read = length + i
        row = inside.region(model, whole[:read], range(read - 1, read), range(read))[:, :, 0]
        assert step.weights == pytest.approx(row, abs=1e-5)
        assert step.fetched.all()
        assert np.isnan(step.scores).all()  # no more than k blocks: none had to be chosen


@pytest.mark.parametrize("chunk", [11, 30])
def test_of_more_blocks_the_k_best_are_fetched_and_nothing_else_is_seen(chunk):
    model, text = landmark_model(5), text_of(90)
    for step in retrieval.written(model, text, count=6, k=3, chunk=chunk):
        blocks = step.fetched.shape[-1]
        assert (step.fetched.sum(-1) == 3).all()
        least = np.where(step.fetched, step.scores, np.inf).min(-1)
        assert (least >= np.where(step.fetched, -np.inf, step.scores).max(-1)).all()
        seen = ~np.isnan(step.weights)
        assert np.array_equal(seen[..., : 5 * blocks].reshape(3, 2, blocks, 5).all(-1), step.fetched)
        assert np.array_equal(seen[..., : 5 * blocks].reshape(3, 2, blocks, 5).any(-1), step.fetched)
        assert seen[..., 5 * blocks :].all()
        assert np.nansum(step.weights, -1) == pytest.approx(np.ones((3, 2)), abs=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_landmark_keys_are_those_of_the_layer_text_after_text(layer):
    model = landmark_model(5)
    texts = torch.stack([text_of(32, seed) for seed in range(retrieval.AT_ONCE + 3)])
    hidden = [each.hidden for each in model.look(texts)][layer]
    normed = model.blocks[layer].norm_attention(hidden)
    keys = model.blocks[layer].heads(normed, normed)[1][:, :, 5::6]  # (texts, heads, blocks, head_dim)
    found = retrieval.landmark_keys(model, texts, layer)
    for head in range(2):
        assert found[head].numpy() == pytest.approx(keys[:, head].flatten(0, 1).detach().numpy(), abs=1e-4)


def test_what_cannot_be_looked_at_is_refused():
    model, text = landmark_model(5), text_of(20)
    with pytest.raises(ValueError, match="chunk is 0"):
        next(retrieval.written(model, text, 1, k=1, chunk=0))
    with pytest.raises(ValueError, match="layer is 3; it must be from 0 to 2"):
        retrieval.landmark_keys(model, text[None], 3)
    with pytest.raises(ValueError, match="landmark_block=5; it must divide the length of tokens, 19"):
        retrieval.tiles(model, text[:19], k=1, chunk=7)
    with pytest.raises(ValueError, match="chunk is 0"):
        retrieval.tiles(model, text, k=1, chunk=0)
    plain = LanguageModel(ModelConfig(position=Rope(8), width=16, heads=2, layers=1))
    for ask in (
        lambda: retrieval.tiles(plain, text, k=1, chunk=7),
        lambda: next(retrieval.written(plain, text, 1, k=1, chunk=5)),
        lambda: retrieval.landmark_keys(plain, text[None], 0),
    ):
        with pytest.raises(ValueError, match="landmark_block=None; it has no landmarks"):
            ask()
