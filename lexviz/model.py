"""A decoder that takes any position encoding and any mask, and knows none of them by name.

Read it from `LanguageModel.forward` inwards: embed, then in every layer attend and feed forward, then predict. The
encoding acts at its three places (`positions`), the mask decides the cost (`attention`), a cache remembers (`cache`),
and with `landmark_block` tokens are weighed through landmarks (`landmark`).
"""

import numbers
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lexviz import attention, cache, checks, landmark, masks
from lexviz.masks import Mask
from lexviz.positions import PositionEncoding


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of a model, its position encoding (one instance serves all layers) and the mask it attends with.

    >>> from lexviz.positions import Xpos
    >>> parameters(ModelConfig(position=Xpos(head_dim=32)))
    854272
    """

    position: PositionEncoding
    vocabulary: int = 256  # ordinary tokens: bytes
    width: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 512  # of the feed-forward layer
    mask: Mask = field(default_factory=masks.causal)
    landmark_block: int | None = None  # ordinary tokens in a block that a landmark stands for; None: no landmarks

    def __post_init__(self):
        sizes = ("vocabulary", "width", "layers", "heads", "hidden")
        checks.at_least(1, **{name: getattr(self, name) for name in sizes})
        if self.landmark_block is not None:
            checks.at_least(1, landmark_block=self.landmark_block)
            if str(self.mask) != "causal()":
                raise ValueError(f"mask is {self.mask}; with landmark_block it must be masks.causal()")
        if self.width % self.heads:
            raise ValueError(f"width is {self.width}; it must be a multiple of heads, {self.heads}")
        if not isinstance(self.mask, Mask):
            raise ValueError(f"mask is {self.mask!r}; it must be a Mask such as masks.causal()")
        if not isinstance(self.position, PositionEncoding):
            raise ValueError(
                f"position is {self.position!r}; it must be an instance such as positions.Xpos(head_dim=32)"
            )
        for name, size in {"dim": self.width, "heads": self.heads, "head_dim": self.head_dim}.items():
            if getattr(self.position, name, size) != size:
                raise ValueError(f"position is {self.position!r}; for this model it must be made with {name}={size}")

    @property
    def head_dim(self) -> int:
        """Components of a query or a key: the width, divided among the heads."""
        return self.width // self.heads


class Layer(NamedTuple):
    """What `LanguageModel.look` shows of a layer."""

    hidden: Tensor  # (batch, length, width), what enters
    windows: Iterator[attention.Window]  # the attention map and the scores before the softmax, piece by piece


class Block(nn.Module):
    """One layer: x + attention(norm(x)), then x + feed-forward(norm(x)).

    >>> from lexviz.positions import Rope
    >>> rope = Rope(head_dim=32)
    >>> block, x = Block(ModelConfig(position=rope)), torch.randn(1, 10, 128)  # (batch, length, width)
    >>> later = torch.cat((x[:, :9], torch.randn(1, 1, 128)), dim=1)  # another last token
    >>> (block(x, masks.causal(), rope) - block(later, masks.causal(), rope))[0, :9].abs().max().item() < 1e-5
    True
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        checks.a(ModelConfig, config=config)
        self.config = config
        width, hidden = config.width, config.hidden
        self.norm_attention = nn.LayerNorm(width)
        self.queries = nn.Linear(width, width, bias=False)
        self.keys_values = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, hidden, bias=False), nn.GELU(), nn.Linear(hidden, width, bias=False))

    def heads(self, x: Tensor, context: Tensor) -> list[Tensor]:
        """q of x, k and v of the context: (batch, heads, length, head_dim) each.

        >>> from lexviz.positions import NoPosition
        >>> block, x = Block(ModelConfig(position=NoPosition())), torch.randn(1, 10, 128)
        >>> [tuple(y.shape) for y in block.heads(x[:, -1:], x)]  # one query, ten keys and values
        [(1, 4, 1, 32), (1, 4, 10, 32), (1, 4, 10, 32)]
        """
        flat = (self.queries(x), *self.keys_values(context).chunk(2, dim=-1))  # (batch, length, width) each
        return [y.unflatten(-1, (self.config.heads, -1)).transpose(1, 2) for y in flat]

    def forward(self, x: Tensor, mask: Mask, position: PositionEncoding, memory=None) -> Tensor:
        """x (batch, length, width); with a memory, a cache of this layer's, x goes on where that stopped."""
        normed = self.norm_attention(x)
        if memory is not None:
            context = memory.inputs(x)  # new tokens, and perhaps earlier ones
            q, k, v = self.heads(normed, normed if context is x else self.norm_attention(context))
            seen = memory.attend(q, k, v, position)  # (batch, heads, length, head_dim)
        elif self.config.landmark_block:
            q, k, v = self.heads(normed, normed)
            seen = landmark.landmark_attention(q, k, v, self.config.landmark_block, position)
        else:
            q, k, v = self.heads(normed, normed)
            seen = attention.attention(q, k, v, mask, position)
        x = x + self.out(seen.transpose(1, 2).flatten(-2))  # (batch, length, width)
        return x + self.feed(self.norm_feed(x))


class LanguageModel(nn.Module):
    """Predicts the next token of each position: tokens (batch, length) -> logits (batch, length, vocabulary).

    >>> from lexviz.positions import Rope
    >>> model = LanguageModel(ModelConfig(position=Rope(head_dim=32), layers=2))
    >>> tokens = torch.randint(256, (1, 300))
    >>> model(tokens).shape, model(tokens, mask=masks.block_causal(128)).shape
    (torch.Size([1, 300, 256]), torch.Size([1, 300, 256]))
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        checks.a(ModelConfig, config=config)
        self.config, self.position = config, config.position
        extra = 1 if config.landmark_block else 0  # the landmark's own embedding, id `vocabulary`
        self.embedding = nn.Embedding(config.vocabulary + extra, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.predict = nn.Linear(config.width, config.vocabulary, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2 and not name.startswith("position"):
                nn.init.normal_(weight, std=0.02)
        nn.init.normal_(self.embedding.weight, std=0.3)  # not drowned by the waves of size 1 that Sinusoidal adds
        for block in self.blocks:  # what is added 2 x layers times to the residual stream starts smaller
            for last in (block.out, block.feed[-1]):
                nn.init.normal_(last.weight, std=0.02 / (2 * config.layers) ** 0.5)

    def forward(self, tokens: Tensor, mask: Mask | None = None, cache: list | None = None) -> Tensor:
        """Logits (batch, length, vocabulary): at t, for token t + 1. `mask` stands in for the config's.

        With `cache`, one object a layer (`caches()` makes them), the tokens go on where earlier calls stopped.
        Landmarks are put in before the layers and taken out after them: nothing is predicted at one, and the token
        before one predicts the token after it.

        In pieces, with caches, or in one go: the logits are the same.

        >>> from lexviz.positions import Xpos
        >>> model = LanguageModel(ModelConfig(position=Xpos(head_dim=32), layers=2)).eval()
        >>> tokens, caches = torch.randint(256, (1, 100)), model.caches()
        >>> pieces = [model(part, cache=caches) for part in tokens.split(30, dim=1)]
        >>> torch.allclose(torch.cat(pieces, dim=1), model(tokens), atol=1e-4)
        True
        """
        if mask is not None and cache:
            raise ValueError(f"mask is {mask}; caches bring their own: give mask=None")
        mask = _mask(self.config, mask)
        x, before = self._embed(tokens, cache)  # (batch, length with landmarks, width)
        for layer, block in enumerate(self.blocks):
            x = block(x, mask, self.position, cache[layer] if cache else None)
        if self.config.landmark_block:
            x = landmark.remove_landmarks(x.mT, self.config.landmark_block, before).mT
        return self.predict(self.norm(x))

    @torch.no_grad()
    def look(self, tokens: Tensor, mask: Mask | None = None, first: int = 0) -> Iterator[Layer]:
        """Layer by layer: what enters, and the attention map with its scores, in pieces. Nothing is kept.

        The pieces begin with query `first`: earlier rows of the map are not computed. A landmark model's map is one
        piece, all of it, over the tokens with landmarks among them.

        >>> from lexviz.positions import Rope
        >>> model = LanguageModel(ModelConfig(position=Rope(head_dim=32), layers=2))
        >>> for layer in model.look(torch.randint(256, (1, 300)), mask=masks.block_causal(128)):
        ...     print(*[tuple(window.weights.shape) for window in layer.windows])
        (1, 4, 128, 128) (1, 4, 128, 256) (1, 4, 44, 172)
        (1, 4, 128, 128) (1, 4, 128, 256) (1, 4, 44, 172)
        """
        mask = _mask(self.config, mask)
        x, _ = self._embed(tokens, None)
        checks.at_least(0, first=first)
        if first >= tokens.shape[1]:
            raise ValueError(f"first is {first}; tokens has {tokens.shape[1]}")
        for before, block in zip((None, *self.blocks), self.blocks, strict=False):
            x = x if before is None else before(x, mask, self.position)
            normed = block.norm_attention(x)
            q, k, v = block.heads(normed, normed)
            yield Layer(x, self._map(q, k, v, mask, first))

    @torch.no_grad()
    def _map(self, q, k, v, mask: Mask, first: int) -> Iterator[attention.Window]:
        """One layer's map, computed as it is asked for."""
        if block := self.config.landmark_block:
            scores = attention.scores(q, k, mask, self.position)  # causal, as every landmark model's mask
            _, weights = landmark.landmark_attention(q, k, v, block, self.position, return_weights=True)
            yield attention.Window(0, 0, scores, weights)
        else:
            for piece in attention.windows(q[:, :, first:], k, mask, self.position):  # queries stand at the end
                yield piece._replace(first_query=first + piece.first_query)

    def caches(self, mask: Mask | None = None) -> list:
        """An empty cache for each layer: keys and values, or for a landmark model blocks, of which 4 are fetched.

        >>> from lexviz.positions import Rope
        >>> [type(one).__name__ for one in LanguageModel(ModelConfig(position=Rope(32), layers=2)).caches()]
        ['KeyValueCache', 'KeyValueCache']
        >>> LanguageModel(ModelConfig(position=Rope(32), layers=2, landmark_block=15)).caches()[0].k
        4
        """
        mask = _mask(self.config, mask)
        if self.config.landmark_block:
            return [landmark.LandmarkCache(self.config.landmark_block, k=4) for _ in self.blocks]
        return [cache.KeyValueCache(mask) for _ in self.blocks]

    @torch.no_grad()
    def generate(
        self, prompt: Tensor, count: int, mask: Mask | None = None, cache: list | None = None,
        temperature: float = 0.0, seed: int = 0,
    ) -> Iterator[int]:  # fmt: skip
        """Yield `count` tokens that go on from prompt (length,), each as soon as it is known.

        Temperature 0 takes the likeliest; others draw, the same for the same seed. A cache that has seen text already
        is gone on with; the last token that is yielded is not in it yet, and comes first in what it is to see next.

        >>> from lexviz import corpus, runs
        >>> model, prompt = runs.load("xpos-0"), corpus.from_text("    def __init__(se")
        >>> corpus.to_text(torch.tensor(list(model.generate(prompt, 4))))
        'lf, '
        """
        checks.text(prompt=prompt)
        checks.at_least(0, count=count, seed=seed)
        if not isinstance(temperature, numbers.Real) or not 0 <= temperature < float("inf"):
            raise ValueError(f"temperature is {temperature!r}; it must be a finite number of at least 0")
        temperature = max(temperature, 1e-30) if temperature else 0  # float32 holds it
        if mask is not None and cache is not None:
            raise ValueError(f"mask is {mask}; caches bring their own: give mask=None")
        cache = self.caches(mask) if cache is None else cache
        draw = torch.Generator().manual_seed(int(seed))
        new = prompt[None]  # (1, length)
        for _ in range(count):
            logits = self(new, cache=cache)[0, -1].float()  # (vocabulary,)
            if temperature == 0:
                token = int(logits.argmax())
            else:
                odds = ((logits - logits.max()) / temperature).softmax(-1)  # no temperature is too low
                token = int(torch.multinomial(odds.cpu(), 1, generator=draw))
            yield token
            new = torch.tensor([[token]], device=prompt.device)  # the prompt's bytes could not hold every token

    def _embed(self, tokens: Tensor, cache: list | None) -> tuple[Tensor, int]:
        """Embeddings (batch, length, width) with what the encoding adds; and how many ordinary tokens came before."""
        top = self.config.vocabulary
        checks.a(Tensor, tokens=tokens)
        if tokens.ndim != 2 or tokens.is_floating_point() or not tokens.shape[1]:
            raise ValueError(
                f"tokens is {tokens.dtype} of shape {tuple(tokens.shape)}; whole numbers (batch, length) are needed"
            )
        if cache is not None:
            checks.a(list, cache=cache)
            self._check_caches(cache)
        start = cache[0].length if cache else 0  # landmarks counted
        before, block = start, self.config.landmark_block
        if block:
            before = start - start // (block + 1)
            # The landmark's own id is no token. On a GPU it is not looked for: that would wait for it at every call.
            if tokens.device.type == "cpu" and not torch.compiler.is_compiling() and (tokens.long() == top).any():
                raise self._no_token(tokens)
            tokens = landmark.insert_landmarks(tokens, block, top, before)
        try:
            x = self.embedding(tokens.long())
        except IndexError:
            raise self._no_token(tokens) from None
        positions = torch.arange(start, start + x.shape[1], device=x.device) if start else None  # None: 0, 1, 2, ...
        return self.position.embed(x, positions), before

    def _no_token(self, tokens: Tensor) -> ValueError:
        return ValueError(
            f"tokens run from {tokens.min()} to {tokens.max()}; the model's vocabulary is 0 .. "
            f"{self.config.vocabulary - 1}"
        )

    def _check_caches(self, cache: list) -> None:
        """One for each layer, all of which have seen as much."""
        if len(cache) != len(self.blocks):
            raise ValueError(f"cache has {len(cache)} entries; one for each of {len(self.blocks)} layers is needed")
        for one in cache:
            if not all(hasattr(one, name) for name in ("inputs", "attend", "length")):
                raise ValueError(f"cache has {one!r:.60}; each of its entries needs inputs, attend and length")
            if getattr(one, "block", None) != self.config.landmark_block:
                raise ValueError(
                    f"cache is of {type(one).__name__}; landmark models need LandmarkCache, with their block"
                )
        if len({id(one) for one in cache}) < len(cache):
            raise ValueError("cache has the same object for several layers; each needs one of its own")
        if len(lengths := {one.length for one in cache}) > 1:
            raise ValueError(f"cache has entries that have seen {sorted(lengths)} tokens; all must have seen as many")


def _mask(config: ModelConfig, mask: Mask | None) -> Mask:
    """The mask that is given, or else the config's."""
    if mask is None:
        return config.mask
    if config.landmark_block:
        raise ValueError(f"mask is {mask}; landmark models take none: give mask=None")
    checks.a(Mask, mask=mask)
    return mask


def parameters(config: ModelConfig) -> int:
    """How many numbers a model learns, by formula.

    >>> from lexviz.positions import Rope
    >>> model = LanguageModel(ModelConfig(position=Rope(head_dim=32)))
    >>> parameters(model.config) == sum(weight.numel() for weight in model.parameters())
    True
    """
    checks.a(ModelConfig, config=config)
    width, hidden = config.width, config.hidden
    embeddings = width * (config.vocabulary + bool(config.landmark_block)) + width * config.vocabulary
    layer = 4 * width**2 + 2 * width * hidden + 4 * width  # attention, feed-forward, two norms
    encoding = sum(weight.numel() for weight in config.position.parameters())
    return embeddings + config.layers * layer + 2 * width + encoding


def operations(config: ModelConfig, length: int, mask: Mask | None = None) -> int:
    """Floating-point operations of a forward pass over `length` tokens: two for each product of two numbers.

    Of attention, what the mask's pairs need: q k^T and weights times v. Norms, softmax and rotation are left out, as
    torch's own counter does.

    128 times the length costs 4,067 times as much, or 132 times where the mask keeps to blocks:

    >>> from lexviz.positions import Rope
    >>> config, blocks = ModelConfig(position=Rope(head_dim=32)), masks.block_causal(128)
    >>> round(operations(config, 65536) / operations(config, 512))
    4067
    >>> round(operations(config, 65536, blocks) / operations(config, 512, blocks))
    132
    """
    checks.a(ModelConfig, config=config)
    checks.at_least(1, length=length)
    mask = _mask(config, mask)
    width, hidden, block = config.width, config.hidden, config.landmark_block
    tokens = length + length // block if block else length
    pairs = masks.causal().pairs(tokens) if block else mask.pairs(length)
    layer = 2 * tokens * (4 * width**2 + 2 * width * hidden) + 4 * pairs * width
    return config.layers * layer + 2 * length * width * config.vocabulary
