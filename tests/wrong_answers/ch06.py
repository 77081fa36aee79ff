"""Mistakes that are made in the exercises of chapter 6."""

import torch
from torch.nn import functional

from lexviz import attention, masks


def a_window(i, j, h):
    return (0 <= i - j) & (i - j < 2 * h)


def the_future_of_the_block(i, j, h):
    return (0 <= i // h - j // h) & (i // h - j // h <= 1)


def the_own_block_alone(i, j, h):
    return (j <= i) & (i // h == j // h)


def the_memory_each_time(i, s, m, layers):
    return min(i, layers * m + i % s) + 1 if layers else 1


def whole_segments_from_the_start(i, s, m, layers):
    return min(i, i % s + layers * s * -(-m // s)) + 1 if layers else 1


def before_the_text(i, s, m, layers):
    return i % s + m + (layers - 1) * s * -(-m // s) + 1 if layers else 1


def segment_and_memory_each_time(i, s, m, layers):
    return min(i, layers * (m + s - 1)) + 1


def _blocks(q, k, v, h, back, sees=None):
    length = q.shape[2]
    q, k, v = (functional.pad(x, (0, 0, 0, -length % h)) for x in (q, k, v))
    q = q.unflatten(2, (-1, h))
    k, v = (functional.pad(x, (0, 0, back * h, 0)).unfold(2, (back + 1) * h, h).mT for x in (k, v))
    if sees is None:
        sees = torch.ones(h, (back + 1) * h).tril(back * h).bool()
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=sees).flatten(2, 3)[:, :, :length]


def zeros_are_seen(q, k, v, h, back):
    return _blocks(q, k, v, h, back)


def the_future_of_the_own_block(q, k, v, h, back):
    sees = torch.ones(q.shape[2] // h + (q.shape[2] % h > 0), h, (back + 1) * h).bool()
    for block in range(back):
        sees[block, :, : (back - block) * h] = False
    return _blocks(q, k, v, h, back, sees)


def the_rest_left_out(q, k, v, h, back):
    length = q.shape[2] // h * h
    sees = torch.ones(h, (back + 1) * h).tril(back * h).bool().repeat(length // h, 1, 1)
    for block in range(back):
        sees[block, :, : (back - block) * h] = False
    return _blocks(q[:, :, :length], k[:, :, :length], v[:, :, :length], h, back, sees)


def one_block_always(q, k, v, h, back):
    return attention.block_causal_attention(q, k, v, h)


def every_pair(q, k, v, h, back):
    return attention.attend(q, k, v, masks.segment_recurrent(h, back * h))


WRONG = {
    "blocks_back": [zeros_are_seen, the_future_of_the_own_block, the_rest_left_out, one_block_always, every_pair],
    "heard_of": [
        the_memory_each_time,
        whole_segments_from_the_start,
        before_the_text,
        segment_and_memory_each_time,
    ],
    "sees": [a_window, the_future_of_the_block, the_own_block_alone],
}
