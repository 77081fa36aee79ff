"""Maps by tile, region and distance, states and shortened sight, each against the whole map or a plain model."""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexviz import attention, inside, masks
from lexviz.landmark import is_landmark
from lexviz.model import LanguageModel, ModelConfig
from lexviz.positions import Alibi, NoPosition, Rope, Shaw, T5Bias, Xpos

ENCODINGS = {
    **{"RoPE": Rope(8), "XPos": Xpos(8), "ALiBi": Alibi(2), "none": NoPosition()},
    **{"T5": T5Bias(2), "Shaw": Shaw(8, clip=5)},  # with numbers that are learned
}
MASKS = {"causal": None, "blocks": masks.block_causal(20), "window": masks.sliding_window(7)}
ways = pytest.mark.parametrize(("name", "by"), list(itertools.product(ENCODINGS, MASKS)))


def model_of(name):
    torch.manual_seed(1)
    model = LanguageModel(ModelConfig(position=copy.deepcopy(ENCODINGS[name]), width=16, layers=3, heads=2, hidden=8))
    for weight in model.parameters():  # larger, so that heads choose
        weight.data.mul_(20 if weight.ndim == 2 else 1)
    return model


def text_of(length, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(256, size=length))


def whole(model, tokens, mask):
    """(layers, heads, n, n)"""
    n = len(tokens)
    maps = [attention.whole(list(layer.windows), n, n)[0] for layer in model.look(tokens[None], mask)]
    return torch.stack(maps).numpy()


@ways
@pytest.mark.parametrize("tile", [1, 5, 60, 300])
def test_a_tile_holds_the_share_of_its_queries(name, by, tile):
    model, tokens, mask = model_of(name), text_of(300), MASKS[by]
    found = inside.tiles(model, tokens, tile, mask)
    full = whole(model, tokens, mask)
    for i, j in itertools.product(range(0, 300 // tile, 7), repeat=2):
        part = full[..., i * tile : (i + 1) * tile, j * tile : (j + 1) * tile]
        assert found[..., i, j] == pytest.approx(part.sum(-1).mean(-1), abs=1e-6)
    assert found.sum(-1) == pytest.approx(np.ones(found.shape[:3]), abs=1e-5)


@ways
@settings(max_examples=8)
@given(data=st.data())
def test_a_region_is_a_part_of_the_map(name, by, data):
    model, tokens, mask = model_of(name), text_of(290), MASKS[by]
    queries, keys = (
        range(*sorted(data.draw(st.lists(st.integers(0, 290), min_size=2, max_size=2, unique=True)))) for _ in "qk"
    )
    found = inside.region(model, tokens, queries, keys, mask)
    full = whole(model, tokens, mask)
    assert found == pytest.approx(full[..., queries.start : queries.stop, keys.start : keys.stop], abs=1e-6)


@pytest.mark.parametrize("mask", [masks.full(), masks.longformer(8, 2)], ids=str)
def test_a_region_of_a_map_that_looks_ahead_is_of_the_whole_text(mask):
    model, tokens = model_of("RoPE"), text_of(60)
    found = inside.region(model, tokens, range(10, 20), range(40), mask)
    assert found == pytest.approx(whole(model, tokens, mask)[..., 10:20, :40], abs=1e-6)
    with pytest.raises(ValueError, match=r"mask is .*; with it keys ahead are seen, which have no distance here"):
        inside.by_distance(model, tokens, 5, mask)


@ways
@pytest.mark.parametrize("last", [1, 33, 290])
def test_shares_by_distance_are_diagonals_of_the_map(name, by, last):
    model, tokens, mask = model_of(name), text_of(290), MASKS[by]
    found = inside.by_distance(model, tokens, last, mask)
    rows = whole(model, tokens, mask)[..., 290 - last :, :]
    for x in (0, 1, 6, 19, 150, 289):
        diagonal = [rows[..., i, 290 - last + i - x] for i in range(last) if 290 - last + i >= x]
        assert found[..., x] == pytest.approx(sum(diagonal, np.zeros((3, 2))) / last, abs=1e-6)
    assert found.sum(-1) == pytest.approx(np.ones((3, 2)), abs=1e-5)


@ways
def test_states_lead_from_the_embedding_to_the_prediction(name, by):
    model, mask = model_of(name), MASKS[by]
    tokens = torch.stack([text_of(150, seed) for seed in (1, 2)])
    found = inside.states(model, tokens, mask)
    assert found.shape == (4, 2, 150, 16)
    assert torch.equal(found[0], model.embedding(tokens))
    with torch.no_grad():
        assert torch.allclose(model.predict(model.norm(found[-1])), model(tokens, mask), atol=1e-5)


# ---- sight cut short --------------------------------------------------------------------------------------------


def nats(model, tokens, mask=None):
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(model(tokens[None, :-1], mask)[0], tokens[1:], reduction="none")


@pytest.mark.parametrize("name", ENCODINGS)
def test_with_nothing_forbidden_losses_are_the_models(name):
    model, tokens = model_of(name), text_of(200)
    for heads, sight in (({}, 1), ({0: []}, 1), ({i: [0, 1] for i in range(3)}, 200)):
        assert torch.allclose(inside.losses(model, tokens, sight, heads), nats(model, tokens), atol=1e-5)


@pytest.mark.parametrize("name", ENCODINGS)
def test_with_all_heads_shortsighted_the_mask_is_a_window(name):
    model, tokens = model_of(name), text_of(200)
    found = inside.losses(model, tokens, 9, {i: [0, 1] for i in range(3)})
    assert torch.allclose(found, nats(model, tokens, masks.sliding_window(9)), atol=1e-5)
    assert not torch.allclose(found, nats(model, tokens), atol=1e-3)


@pytest.mark.parametrize("name", ENCODINGS)
def test_only_the_chosen_heads_are_shortsighted(name):
    q, k = torch.randn(2, 1, 2, 30, 8)
    nearsighted = inside.Nearsighted(ENCODINGS[name], 4, [1])
    plain, cut = (attention.scores(q, k, masks.causal(), by)[0] for by in (ENCODINGS[name], nearsighted))
    assert torch.equal(cut[0], plain[0])
    far = torch.arange(30)[:, None] - torch.arange(30) >= 4
    assert torch.equal(cut[1], plain[1].masked_fill(far, -torch.inf))
    assert repr(nearsighted).startswith("Nearsighted(")  # what is kept in it is told
    assert nearsighted.arguments == {"encoding": ENCODINGS[name], "sight": 4, "chosen": [1]}
    ModelConfig(position=nearsighted, width=16, heads=2)


# ---- with landmarks ---------------------------------------------------------------------------------------------


def landmark_model(block):
    torch.manual_seed(1)
    model = LanguageModel(ModelConfig(position=Rope(8), width=16, layers=3, heads=2, hidden=8, landmark_block=block))
    for weight in model.parameters():
        weight.data.mul_(20 if weight.ndim == 2 else 1)
    return model


@pytest.mark.parametrize("block", [1, 5, 7])
def test_maps_of_a_landmark_model_are_between_bytes(block):
    model, tokens = landmark_model(block), text_of(60)
    ordinary = ~is_landmark(60 + 60 // block, block)
    full = torch.stack([next(iter(layer.windows)).weights[0] for layer in model.look(tokens[None])])
    full = full[..., ordinary, :][..., ordinary].numpy()
    assert full.sum(-1) == pytest.approx(np.ones(full.shape[:3]), abs=1e-5)  # nothing goes to landmarks
    assert inside.region(model, tokens, range(60), range(60)) == pytest.approx(full, abs=1e-6)
    assert inside.region(model, tokens, range(31, 44), range(9, 40)) == pytest.approx(full[..., 31:44, 9:40], abs=1e-6)
    tiled = full.reshape(3, 2, 12, 5, 12, 5).sum(-1).mean(3)
    assert inside.tiles(model, tokens, 5) == pytest.approx(tiled, abs=1e-6)
    assert inside.by_distance(model, tokens, 60)[..., 0] == pytest.approx(full.diagonal(0, -2, -1).mean(-1), abs=1e-6)


# ---- bad input --------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_named():
    model, tokens = model_of("none"), text_of(20)
    with pytest.raises(ValueError, match=r"tile is 3; it must divide the length of tokens, 20"):
        inside.tiles(model, tokens, 3)
    with pytest.raises(ValueError, match="tile is 0"):
        inside.tiles(model, tokens, 0)
    with pytest.raises(ValueError, match=r"keys is range\(5, 21\); .* within 0 .. 19"):
        inside.region(model, tokens, range(4), range(5, 21))
    with pytest.raises(ValueError, match=r"queries is range\(0, 4, 2\)"):
        inside.region(model, tokens, range(0, 4, 2), range(5))
    with pytest.raises(ValueError, match="last is 21; tokens has 20"):
        inside.by_distance(model, tokens, 21)
    with pytest.raises(ValueError, match="sight is 0"):
        inside.losses(model, tokens, 0, {})
    with pytest.raises(ValueError, match=r"tokens is torch.int64 of shape \(1, 20\); one text"):
        inside.tiles(model, tokens[None], 5)
    landmarks = LanguageModel(ModelConfig(position=NoPosition(), width=16, heads=2, layers=1, landmark_block=4))
    with pytest.raises(ValueError, match="landmark_block=4; losses here are of models without"):
        inside.losses(landmarks, tokens, 5, {})
    with pytest.raises(ValueError, match=r"heads\[0\] is 1; it must be of class list"):
        inside.losses(model, tokens, 5, {0: 1})
