"""Attention: against dense ways to the same numbers, against peers, and against itself at other lengths."""

import functools
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
import warnings

import torch
from torch.nn.functional import scaled_dot_product_attention

from lexviz import masks
from lexviz.attention import attend, attention, block_causal_attention
from lexviz.model import LanguageModel, ModelConfig
from lexviz.positions import NoPosition, Xpos

LENGTH, BLOCK, HEADS, HEAD_DIM = 8192, 128, 4, 32
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def heads(length: int = LENGTH):
    """q, k, v of so many tokens: (1, heads, length, head_dim) each."""
    return torch.randn(3, 1, HEADS, length, HEAD_DIM, device=DEVICE).unbind()


def ours(q, k, v):
    """Through windows."""
    return block_causal_attention(q, k, v, BLOCK)


def dense(q, k, v):
    """With the mask as an n x n array."""
    mask = torch.from_numpy(masks.dense(masks.block_causal(BLOCK), q.shape[-2])).to(DEVICE)
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)


def measurements():
    """(what, against what, ours, theirs)"""
    q, k, v = heads()
    mask = torch.from_numpy(masks.dense(masks.block_causal(BLOCK), LENGTH)).to(DEVICE)
    what = f"block causal, {LENGTH} tokens"
    yield what, "dense, masked", lambda: ours(q, k, v), lambda: scaled_dot_product_attention(q, k, v, attn_mask=mask)
    yield what, "is_causal", lambda: ours(q, k, v), lambda: scaled_dot_product_attention(q, k, v, is_causal=True)
    if flex := compiled_flex(q, k, v):
        yield what, "flex_attention, compiled", lambda: ours(q, k, v), flex
    local = local_attention()
    yield what, "local-attention", lambda: ours(q, k, v), lambda: local(q, k, v)
    tokens = torch.randint(256, (1, 1024), device=DEVICE)
    plain, xpos = (LanguageModel(ModelConfig(position=p)).to(DEVICE) for p in (NoPosition(), Xpos(HEAD_DIM)))
    xpos.load_state_dict(plain.state_dict())
    xpos, plain = torch.no_grad()(xpos), torch.no_grad()(plain)
    yield "model with XPos, 1024 tokens", "model without", lambda: xpos(tokens), lambda: plain(tokens)


def compiled_flex(q, k, v):
    """torch's flex_attention with the same mask, where a compiler exists."""
    from torch.nn.attention.flex_attention import flex_attention

    block_mask = masks.flex(masks.block_causal(BLOCK), LENGTH, LENGTH, DEVICE.type)
    compiled = torch.compile(flex_attention, dynamic=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, on the way through its compiler
        try:
            found = compiled(q, k, v, block_mask=block_mask)
        except (RuntimeError, torch._inductor.exc.InductorError) as error:
            print(f"flex_attention could not be compiled here: {str(error).splitlines()[0]}")
            return None
    assert torch.allclose(found, ours(q, k, v), atol=1e-4)
    return lambda: compiled(q, k, v, block_mask=block_mask)


def local_attention():
    """A peer's windowed attention with the same mask: its own block and the one before."""
    from local_attention import LocalAttention

    peer = LocalAttention(BLOCK, causal=True, look_backward=1, dim=HEAD_DIM, use_rotary_pos_emb=False, autopad=True)
    q, k, v = heads(300)
    assert torch.allclose(peer(q, k, v), ours(q, k, v), atol=1e-4)
    return peer


def growth(lengths=(1024, 4096, 16384, 65536), rounds: int = 15):
    """(length, time per token as a ratio to the shortest's), all lengths in turns."""
    inputs = {length: heads(length) for length in lengths}
    times = {length: [] for length in lengths}
    for _ in range(rounds):
        for length, (q, k, v) in inputs.items():
            repeat = max(1, 8192 // length)  # enough work for the clock
            start = time.perf_counter()
            for _ in range(repeat):
                ours(q, k, v)
            synchronize()
            times[length].append((time.perf_counter() - start) / repeat / length)
    for length in lengths:
        ratios = [time / first for time, first in zip(times[length], times[lengths[0]], strict=True)]
        yield length, statistics.median(ratios)


def synchronize():
    """Wait for the GPU, where there is one."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def peak(name: str) -> int:
    """Bytes that `ours` or `dense` takes beyond its inputs, at its peak: of the process, or of the GPU."""
    if DEVICE.type == "cpu":  # each in a process of its own, as a process's peak cannot be reset
        code = f"from benchmarks import attention; print(attention.growth_of_this_process(attention.{name}))"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd())
        return int(said.stdout)
    inputs = heads()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    globals()[name](*inputs)
    return torch.cuda.max_memory_allocated() - before


def growth_of_this_process(run) -> int:
    """How far the process's peak rises when `run` sees 8,192 tokens, once it has seen 256 (code has to load, too)."""

    def high_water():  # Linux only; getrusage would count what the parent process had
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
        return 1024 * int(kilobytes)

    run(*heads(256))
    inputs = heads()
    before = high_water()
    run(*inputs)
    return high_water() - before


MECHANISMS = {  # name: how it is computed, its mask, and the longest text that it is measured on
    "every pair, attend": (lambda m, q, k, v: attend(q, k, v, m), masks.causal(), 4096),
    "causal, in one pass": (lambda m, q, k, v: attention(q, k, v, m), masks.causal(), 16384),
    "block causal": (lambda m, q, k, v: attention(q, k, v, m), masks.block_causal(BLOCK), 65536),
    "sliding window": (lambda m, q, k, v: attention(q, k, v, m), masks.sliding_window(2 * BLOCK), 65536),
    "segments with memory": (lambda m, q, k, v: attention(q, k, v, m), masks.segment_recurrent(BLOCK, BLOCK), 65536),
}


def costs(rounds: int = 7):
    """Of each mechanism and length: (name, length, pairs, seconds), for the book's figure of costs."""
    for length in (2**e for e in range(8, 17)):
        q, k, v = heads(length)
        runs = {
            name: (functools.partial(run, mask, q, k, v), mask)
            for name, (run, mask, longest) in MECHANISMS.items()
            if length <= longest
        }
        times = {name: [] for name in runs}
        for _ in range(rounds):
            for name, (run, _) in runs.items():
                start = time.perf_counter()
                run()
                synchronize()
                times[name].append(time.perf_counter() - start)
        for name, (_, mask) in runs.items():
            yield name, length, mask.pairs(length), statistics.median(times[name])
