"""Speed as ratios of two things measured in one process, in turns: machines differ and are noisy, ratios less so."""

import statistics
import time

import torch
from rotary_embedding_torch import RotaryEmbedding
from x_transformers import x_transformers

from benchmarks import pages
from lexviz import masks
from lexviz.positions import Rope, Xpos


def ratio(ours, theirs, rounds: int = 41) -> tuple[float, float]:
    """Median of (time of ours / time of theirs) over rounds in which they take turns, and the median time of ours."""

    def seconds(run):
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    for _ in range(3):
        ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return statistics.median(a / b for a, b in pairs), statistics.median(a for a, _ in pairs)


def measurements():
    """(what, against what, ours, theirs), all on batch 1, 4 heads of 32, 1,024 tokens, float32."""
    q, k = torch.randn(2, 1, 4, 1024, 32)
    rope, xpos = Rope(32), Xpos(32)
    peer_rope, peer_xpos = RotaryEmbedding(32), RotaryEmbedding(32, use_xpos=True)
    other = x_transformers.RotaryEmbedding(32, use_xpos=True)

    def peer_rotation():
        return peer_rope.rotate_queries_or_keys(q), peer_rope.rotate_queries_or_keys(k)

    def peer_xpos_rotation():
        return peer_xpos.rotate_queries_and_keys(q, k)

    def other_rotation():
        frequencies, scale = other.forward_from_seq_len(1024)
        turn = x_transformers.apply_rotary_pos_emb
        return turn(q, frequencies, scale), turn(k, frequencies, scale**-1)

    yield "Rope.rotate", "rotary-embedding-torch", lambda: rope.rotate(q, k), peer_rotation
    yield (
        "Xpos.rotate",
        "rotary-embedding-torch",
        lambda: xpos.rotate(q, k),
        peer_xpos_rotation,
    )
    yield "Xpos.rotate", "x-transformers", lambda: xpos.rotate(q, k), other_rotation
    yield "Xpos.rotate", "Rope.rotate", lambda: xpos.rotate(q, k), lambda: rope.rotate(q, k)
    mask = masks.block_causal(128)
    yield "pairs(4096), a formula", "counting in dense", lambda: mask.pairs(4096), lambda: masks.dense(mask, 4096).sum()


def main():
    """Print the table."""
    torch.manual_seed(0)
    print(f"{'what':>24}  {'against':>24}  {'time ratio':>10}  {'own time':>10}")
    for what, against, ours, theirs in measurements():
        times, own = ratio(ours, theirs)
        print(f"{what:>24}  {against:>24}  {times:>10.3f}  {1e3 * own:>7.3f} ms")
    pages.main()


if __name__ == "__main__":
    main()
