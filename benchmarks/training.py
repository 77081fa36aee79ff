"""Training: our loop and model against the same model and loop written with plain torch modules, in turns."""

import time
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from lexviz import corpus, train
from lexviz.model import operations

SETTINGS = replace(train.LAPTOP, position="Rope", steps=10**9)  # the laptop preset; it never ends


class PlainLayer(nn.Module):
    """Attention and feed-forward as most code has them: RoPE on two halves, one product for q, k and v."""

    def __init__(self, width, heads, hidden, length):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        half = width // heads // 2
        phase = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(half) / half)  # (length, head_dim/2)
        self.cos, self.sin = phase.cos().repeat(1, 2), phase.sin().repeat(1, 2)

    def turn(self, x):
        a, b = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat((-b, a), dim=-1) * self.sin

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(self.turn(q), self.turn(k), v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(-2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def plain(settings, source):
    """The loop that anyone would write: yields after each step."""
    s = settings
    windows = corpus.Windows(source.training, s.length)
    layers = [PlainLayer(s.width, s.heads, s.hidden, s.length) for _ in range(s.layers)]
    model = nn.Sequential(
        nn.Embedding(256, s.width), *layers, nn.LayerNorm(s.width), nn.Linear(s.width, 256, bias=False)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=s.learning_rate, fused=True)
    step = 0
    while True:
        window = windows(step, s.batch)
        loss = F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), s.clip)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        yield loss.item()


def measurements():
    """(what, against what, ours, theirs): a step of the laptop preset."""
    source = corpus.load()
    ours, theirs = train.train(SETTINGS, source=source, device="cpu"), plain(SETTINGS, source)
    yield "a training step", "plain torch modules", lambda: next(ours), lambda: next(theirs)


def product_rate(size: int = 1024, rounds: int = 15) -> float:
    """Floating-point operations per second of a square matrix product in float32, the best of some rounds."""
    a, b = torch.randn(2, size, size)
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def fraction_of_products(seconds: float) -> float:
    """How much of the matrix product rate a step that takes so long has: its products, forward and backward."""
    config = train.new_model(SETTINGS).config
    return 3 * SETTINGS.batch * operations(config, SETTINGS.length) / seconds / product_rate()
