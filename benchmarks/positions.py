"""Rotations against those of other libraries, with the same numbers; and a mask's formula against counting."""

import torch
from rotary_embedding_torch import RotaryEmbedding
from x_transformers import x_transformers

from lexviz import masks
from lexviz.positions import Rope, Xpos


def measurements():
    """(what, against what, ours, theirs), all on batch 1, 4 heads of 32, 1,024 tokens, float32."""
    q, k = torch.randn(2, 1, 4, 1024, 32)
    rope, xpos = Rope(32), Xpos(32)
    peer_rope, peer_xpos = RotaryEmbedding(32), RotaryEmbedding(32, use_xpos=True)
    other = x_transformers.RotaryEmbedding(32, use_xpos=True)

    def peer_rotation():
        return peer_rope.rotate_queries_or_keys(q), peer_rope.rotate_queries_or_keys(k)

    def other_rotation():
        frequencies, scale = other.forward_from_seq_len(1024)
        turn = x_transformers.apply_rotary_pos_emb
        return turn(q, frequencies, scale), turn(k, frequencies, scale**-1)

    theirs = "rotary-embedding-torch"
    yield "Rope.rotate", theirs, lambda: rope.rotate(q, k), peer_rotation
    yield "Xpos.rotate", theirs, lambda: xpos.rotate(q, k), lambda: peer_xpos.rotate_queries_and_keys(q, k)
    yield "Xpos.rotate", "x-transformers", lambda: xpos.rotate(q, k), other_rotation
    yield "Xpos.rotate", "Rope.rotate", lambda: xpos.rotate(q, k), lambda: rope.rotate(q, k)
    mask = masks.block_causal(128)
    yield "pairs(4096), a formula", "counting in dense", lambda: mask.pairs(4096), lambda: masks.dense(mask, 4096).sum()
