"""What a trained model can do: perplexity by length, resolution of its attention, pass keys found.

Everything takes any model, mask and cache. A cache is given as a function that makes new ones, one object a layer:
`cache=model.caches`, or `cache=lambda: [LandmarkCache(50, k=4) for _ in range(4)]`; text then goes through in chunks.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lexviz import checks, corpus, theory
from lexviz.masks import Mask
from lexviz.model import LanguageModel

AT_ONCE = 16384  # tokens in a batch, at most (or one window): as many as a laptop's memory holds without noticing


def measuring(function: Callable) -> Callable:
    """Of a function whose first argument is a model: it runs without gradients, and leaves the model's mode alone.

    >>> @measuring
    ... def mode(model):
    ...     return model.training, torch.is_grad_enabled()
    >>> layer = torch.nn.Linear(2, 2).train()
    >>> mode(layer), layer.training
    ((False, False), True)
    """

    @functools.wraps(function)
    @torch.inference_mode()
    def measured(model: LanguageModel, *arguments, **more):
        training = model.training
        try:
            return function(model.eval(), *arguments, **more)
        finally:
            model.train(training)

    return measured


# ---- perplexity -------------------------------------------------------------------------------------------------


def first_parts(documents: Sequence[Tensor], size: int) -> list[Tensor]:
    """The first `size` bytes to read, and the one to predict last, of each document that has them (section 4.2).

    >>> [len(part) for part in first_parts([torch.zeros(10), torch.zeros(9), torch.zeros(3)], 8)]
    [9, 9]
    """
    checks.at_least(1, size=size)
    return [document[: size + 1] for document in documents if len(document) > size]


class Losses(NamedTuple):
    """-ln of the probability that the model gave to each byte that came; and how many bytes it had before, less one."""

    nats: Tensor  # (predicted bytes,), document after document
    place: Tensor  # (predicted bytes,), from 0: in the window that the byte before it was read in


@measuring
def losses(
    model: LanguageModel,
    documents: Sequence[Tensor],
    length: int,
    mask: Mask | None = None,
    cache: Callable[[], list] | None = None,
    chunk: int = 256,
) -> Losses:
    """The loss of every byte but each document's first, where the model reads `length` bytes at a time.

    Windows tile a document's bytes but the last; targets lie one further, across the windows' borders, so that every
    length predicts the same bytes. What is left at a document's end is a shorter window. With a cache, a window goes
    through in chunks.

    >>> from lexviz import runs
    >>> found = losses(runs.load("xpos-0"), [corpus.from_text("import numpy as np")], length=8)
    >>> found.nats.shape, found.place
    (torch.Size([17]), tensor([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0]))
    """
    checks.at_least(1, length=length, chunk=chunk)
    _check(documents)
    sees = mask or model.config.mask
    if cache is None and _looks_ahead(sees, min(length, max(map(len, documents)) - 1)):
        raise ValueError(f"mask is {sees}; with it a byte that is to be predicted is seen. Give one that is causal")
    windows = [  # (document, first byte to read, last + 1); those of one size are taken together
        (i, start, min(start + length, len(document) - 1))
        for i, document in enumerate(documents)
        for start in range(0, len(document) - 1, length)
    ]
    nats = [torch.empty(len(document) - 1) for document in documents]
    for group in _batches(windows, max(1, AT_ONCE // length)):
        text = torch.stack([documents[i][start : stop + 1] for i, start, stop in group])  # (batch, bytes + 1)
        text = text.to(_device(model)).long()
        if cache is None:
            logits = model(text[:, :-1], mask)  # (batch, bytes, vocabulary)
        else:
            caches = _empty(cache)
            logits = torch.cat([model(part, mask, caches) for part in text[:, :-1].split(chunk, dim=1)], dim=1)
        found = F.cross_entropy(logits.float().mT, text[:, 1:], reduction="none").cpu()  # (batch, bytes)
        for (i, start, stop), row in zip(group, found, strict=True):
            nats[i][start:stop] = row
    place = [torch.arange(len(document) - 1) % length for document in documents]
    return Losses(torch.cat(nats), torch.cat(place))


def perplexity(
    model: LanguageModel,
    documents: Sequence[Tensor],
    length: int,
    mask: Mask | None = None,
    cache: Callable[[], list] | None = None,
    chunk: int = 256,
) -> float:
    """exp of the mean loss, per byte: among how many equally likely bytes the model wavers.

    >>> from lexviz.model import ModelConfig
    >>> from lexviz.positions import Rope
    >>> model = LanguageModel(ModelConfig(position=Rope(head_dim=32)))
    >>> for weight in model.predict.parameters():
    ...     _ = weight.detach().zero_()  # all bytes alike
    >>> round(perplexity(model, [corpus.from_text("any text at all")], length=8), 3)
    256.0
    """
    return losses(model, documents, length, mask, cache, chunk).nats.double().mean().exp().item()


def bits_per_byte(perplexity: float) -> float:
    """The same as bits that an ideal coder would need for a byte.

    >>> bits_per_byte(4.0)
    2.0
    """
    return math.log2(perplexity)


def loss_by_place(found: Losses) -> np.ndarray:
    """The mean loss at each place of the window, in nats: (length,). It falls as the model has more to go by.

    >>> found = Losses(torch.tensor([3.0, 1.0, 5.0, 2.0]), torch.tensor([0, 1, 0, 1]))
    >>> loss_by_place(found)
    array([4. , 1.5])
    """
    place = found.place
    total = torch.zeros(int(place.max()) + 1, dtype=torch.float64).index_add_(0, place, found.nats.double())
    return (total / torch.bincount(place)).numpy()


def repeats(document: Tensor, context: int = 8) -> np.ndarray:
    """How far back each byte but the first stood last after the same `context` bytes; 0: nowhere. (bytes - 1,)

    A model that can look back so far may copy it: the loss by this distance tells how far it does.

    >>> repeats(corpus.from_text("abcd-abcd"), context=2)
    array([0, 0, 0, 0, 0, 0, 5, 5])
    """
    checks.at_least(1, context=context)
    text, last, distance = bytes(document.tolist()), {}, []
    for i in range(1, len(text)):
        here = text[max(0, i - context) : i + 1]  # a shorter one, at the start, stands nowhere else
        distance.append(i - last.get(here, i))
        last[here] = i
    return np.array(distance, dtype=np.int64)


def _batches(windows: list[tuple[int, int, int]], size: int) -> Iterator[list[tuple[int, int, int]]]:
    by_length: dict[int, list] = {}
    for window in windows:
        by_length.setdefault(window[2] - window[1], []).append(window)
    for alike in by_length.values():
        yield from (alike[i : i + size] for i in range(0, len(alike), size))


def _device(model: LanguageModel) -> torch.device:
    return next(model.parameters()).device


def _check(documents: Sequence[Tensor]) -> None:
    wanted = "what is needed is a list of documents, 1-D tensors of two bytes or more; corpus.from_text makes one"
    if not isinstance(documents, Sequence) or not documents:
        kind = "empty" if isinstance(documents, Sequence) else f"a {type(documents).__name__}"
        raise ValueError(f"documents is {kind}; {wanted}")
    for i, document in enumerate(documents):
        if not isinstance(document, Tensor) or document.ndim != 1 or document.is_floating_point() or len(document) < 2:
            kind = type(document).__name__
            if isinstance(document, Tensor):
                kind = f"{document.dtype} of shape {tuple(document.shape)}"
            raise ValueError(f"documents[{i}] is {kind}; {wanted}")


def _looks_ahead(mask: Mask, length: int) -> bool:
    later = (i for i in range(length) if mask.span(i, i)[1] > i)  # only these can
    return any(np.any(mask(i, np.arange(i + 1, length))) for i in later)


def _empty(cache: Callable[[], list]) -> list:
    if not callable(cache):
        raise ValueError(f"cache is a {type(cache).__name__}; a function that makes new ones is needed: model.caches")
    caches = cache()
    if any(one.length for one in caches):
        raise ValueError("cache gave caches that have seen text; each call has to make new ones")
    return caches


# ---- resolution -------------------------------------------------------------------------------------------------


@measuring
def scores_by_distance(
    model: LanguageModel, documents: Sequence[Tensor], length: int, mask: Mask | None = None
) -> np.ndarray:
    """Eq. 11: the mean score before the softmax, of all allowed pairs at distance 0, 1, ...: (layers, heads, N + 2).

    Each document's first `length` bytes are read. The last distance is the largest that any pair has; none may be
    missing before it. Windows of scores are added up as they come, so that no n x n array is kept.

    >>> from lexviz import masks, runs
    >>> documents = first_parts(corpus.load().validation, 512)[:2]
    >>> model = runs.load("xpos-0")
    >>> scores_by_distance(model, documents, 512).shape
    (4, 4, 512)
    >>> scores_by_distance(model, documents, 512, masks.block_causal(64)).shape  # no pair is farther apart than 127
    (4, 4, 128)
    """
    checks.at_least(2, length=length)
    config = model.config
    if config.landmark_block:
        raise ValueError(f"model has landmark_block={config.landmark_block}; with landmarks, distances are not bytes")
    _check(documents)
    total = torch.zeros(config.layers, config.heads, length, dtype=torch.float64)
    count = torch.zeros(length, dtype=torch.float64)
    for document in documents:
        tokens = document[None, :length].to(_device(model))
        for i, layer in enumerate(model.look(tokens, mask)):
            for window in layer.windows:
                nearest = window.first_query - window.first_key - window.scores.shape[-1] + 1  # below 0: of later keys
                found = window.scores[0].cpu().double()  # (heads, queries, keys)
                allowed = found > -torch.inf
                sums = _diagonals(found.masked_fill(~allowed, 0))[:, max(-nearest, 0) :]  # of distance 0, or nearest on
                here = slice(max(nearest, 0), max(nearest, 0) + sums.shape[1])
                total[i, :, here] += sums
                if i == 0:
                    count[here] += _diagonals(allowed[:1].double())[0, max(-nearest, 0) :]
    if not count.any() or not count[: int(count.nonzero().max()) + 1].all():
        raise ValueError(f"mask is {mask or config.mask}; with it some distances have no pair of bytes")
    return (total / count).numpy()[..., : int(count.nonzero().max()) + 1]


def _diagonals(x: Tensor) -> Tensor:
    """Sums over the diagonals of (heads, queries, keys): (heads, queries + keys - 1), from the last key's on.

    >>> _diagonals(torch.tensor([[[1, 10, 100], [2, 20, 200]]]))
    tensor([[100, 210,  21,   2]])
    """
    queries, keys = x.shape[-2:]
    shifted = F.pad(x.flip(-1), (0, queries)).flatten(1)[:, :-queries]  # each row one farther on
    return shifted.unflatten(1, (queries, queries + keys - 1)).sum(1)


def measured_resolution(
    model: LanguageModel, documents: Sequence[Tensor], length: int, mask: Mask | None = None
) -> np.ndarray:
    """Eq. 3 of Eq. 11: the resolution of each layer's and head's attention, (layers, heads); its mean is in Table 3.

    s[0] .. s[N+1] are the measured scores, N + 1 the largest distance that any allowed pair has.

    >>> from lexviz import runs
    >>> documents = first_parts(corpus.load().validation, 512)[:4]
    >>> xpos, rope = (measured_resolution(runs.load(name), documents, 512) for name in ("xpos-0", "rope-0"))
    >>> xpos.shape, bool(xpos.mean() > rope.mean())
    ((4, 4), True)
    """
    return theory.resolution(scores_by_distance(model, documents, length, mask))


# ---- pass keys --------------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """One pass key asked for, and what the model said."""

    depth: float  # where in the filler the number stood, from 0 to 1
    answer: bytes
    said: bytes

    @property
    def right(self) -> bool:
        """Every digit, and nothing else, is what was asked for.

        >>> Trial(0.5, b"4711", b"4711").right, Trial(0.5, b"4711", b"4712").right
        (True, False)
        """
        return self.said == self.answer


def passkey_trials(
    model: LanguageModel,
    length: int,
    trials: int,
    cache: Callable[[], list] | None = None,
    mask: Mask | None = None,
    chunk: int = 256,
    seed: int = 0,
    overwrite: bool = False,
    **text,
) -> Iterator[Trial]:
    """Hide a number in `length` bytes, ask for it, and see what the model writes; depths spread evenly from 0 to 1.

    `text` goes to `corpus.passkey`: filler, wording, pad, distractors. With `overwrite` the sentence that holds the
    number is replaced by blanks: a control in which every model must fail.

    >>> from lexviz import runs
    >>> for trial in passkey_trials(runs.load("passkey-0"), 256, trials=3, wording="short"):
    ...     print(trial.depth, trial.answer, trial.said)
    0.0 b'42532' b'42532'
    0.5 b'26108' b'26108'
    1.0 b'48974' b'48974'
    """
    checks.at_least(1, trials=trials, chunk=chunk)
    if mask is not None and (cache is not None or model.config.landmark_block):
        raise ValueError(f"mask is {mask}; caches bring their own, and landmark models take none: give mask=None")
    for trial in range(trials):
        depth = trial / (trials - 1) if trials > 1 else 0.5
        asked = corpus.passkey(length, seed=[seed, trial], depth=depth, **text)
        document = asked.document.clone()
        if overwrite:
            document[asked.needle] = ord(" ")
        prompt = document[: asked.start].long().to(_device(model))
        parts, caches = ([prompt], model.caches(mask)) if cache is None else (prompt.split(chunk), _empty(cache))
        yield Trial(depth, asked.answer, _answer(model, parts, caches, len(asked.answer)))


@measuring
def _answer(model: LanguageModel, parts: Sequence[Tensor], caches: list, size: int) -> bytes:
    """What the model writes after a prompt that comes in parts."""
    *before, last = parts
    for part in before:
        model(part[None], cache=caches)
    return bytes(model.generate(last, size, cache=caches))


def passkey_accuracy(
    model: LanguageModel, length: int, trials: int, cache: Callable[[], list] | None = None, **more
) -> float:
    """The share of `trials` hidden numbers that the model finds, every digit right. More: see `passkey_trials`.

    >>> from lexviz import runs
    >>> passkey_accuracy(runs.load("passkey-0"), 256, trials=3, wording="short", overwrite=True)  # nobody could know
    0.0
    """
    return sum(trial.right for trial in passkey_trials(model, length, trials, cache, **more)) / trials


def interval(right: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval: where the true share lies, with 95% confidence, if `right` of `trials` were right.

    >>> low, high = interval(50, 50)
    >>> round(low, 3), round(high, 3)
    (0.929, 1.0)
    """
    checks.at_least(1, trials=trials)
    checks.at_least(0, right=right)
    checks.at_least(right, trials=trials)
    share, extra = right / trials, z * z / trials
    middle = (share + extra / 2) / (1 + extra)
    width = z / (1 + extra) * math.sqrt(share * (1 - share) / trials + extra / (4 * trials))
    return max(0.0, middle - width), min(1.0, middle + width)
