"""The same numbers from packages that other people wrote: rotary-embedding-torch and x-transformers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rotary_embedding_torch import RotaryEmbedding
from x_transformers import x_transformers

from lexviz.positions import Alibi, Rope, T5Bias, Xpos


def draw(length, d, seed):
    return torch.randn(2, 2, 3, length, d, generator=torch.Generator().manual_seed(seed)).unbind()


cases = given(st.integers(2, 60), st.sampled_from([8, 32, 64]), st.integers(0, 999))


@cases
def test_rope_is_that_of_both(length, d, seed):
    q, k = draw(length, d, seed)
    ours, theirs = Rope(d).rotate(q, k), RotaryEmbedding(d)
    scores = ours[0] @ ours[1].mT
    rotated = theirs.rotate_queries_or_keys(q) @ theirs.rotate_queries_or_keys(k).mT
    assert torch.allclose(scores, rotated, atol=1e-3)
    frequencies, _ = x_transformers.RotaryEmbedding(d).forward_from_seq_len(length)
    rotated = [x_transformers.apply_rotary_pos_emb(x, frequencies) for x in (q, k)]
    assert torch.allclose(scores, rotated[0] @ rotated[1].mT, atol=1e-3)


@cases
def test_xpos_is_that_of_both(length, d, seed):
    q, k = draw(length, d, seed)
    ours = Xpos(d, scale_base=64.0).rotate(q, k)
    scores = ours[0] @ ours[1].mT
    rotated = RotaryEmbedding(d, use_xpos=True, xpos_scale_base=64).rotate_queries_and_keys(q, k)
    assert torch.allclose(scores, rotated[0] @ rotated[1].mT, atol=1e-3)
    frequencies, scale = x_transformers.RotaryEmbedding(d, use_xpos=True, scale_base=64).forward_from_seq_len(length)
    rotated = [x_transformers.apply_rotary_pos_emb(x, frequencies, s) for x, s in ((q, scale), (k, scale**-1))]
    assert torch.allclose(scores, rotated[0] @ rotated[1].mT, atol=1e-3)


@pytest.mark.parametrize("heads", range(1, 33))
def test_alibi_has_the_slopes_of_x_transformers(heads):
    assert Alibi(heads).slopes == pytest.approx(x_transformers.AlibiPositionalBias._get_slopes(heads))


@given(st.integers(0, 5000))
def test_t5_has_the_buckets_of_x_transformers(distance):
    theirs = x_transformers.RelativePositionBias._relative_position_bucket(torch.tensor([[-distance]]))
    assert T5Bias(1).bucket(torch.tensor([[distance]])).item() == theirs.item()
