"""How well each byte of a text is predicted: losses, perplexity, and how they depend on the place and on repeats."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lexviz import checks
from lexviz.evaluate.arguments import check_documents, device, measuring, new_caches
from lexviz.masks import Mask
from lexviz.model import LanguageModel

AT_ONCE = 16384  # tokens in a batch, at most (or one window): as many as a laptop's memory holds without noticing


def first_parts(documents: Sequence[Tensor], size: int) -> list[Tensor]:
    """The first `size` bytes to read, and the one to predict last, of each document that has them (section 4.2).

    >>> [len(part) for part in first_parts([torch.zeros(10), torch.zeros(9), torch.zeros(3)], 8)]
    [9, 9]
    """
    checks.a(Sequence, documents=documents)
    checks.at_least(1, size=size)
    parts = []
    for i, document in enumerate(documents):
        checks.a(Tensor, **{f"documents[{i}]": document})
        if len(document) > size:
            parts.append(document[: size + 1])
    return parts


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

    >>> from lexviz import corpus, runs
    >>> found = losses(runs.load("xpos-0"), [corpus.from_text("import numpy as np")], length=8)
    >>> found.nats.shape, found.place
    (torch.Size([17]), tensor([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0]))
    """
    checks.at_least(1, length=length, chunk=chunk)
    check_documents(documents)
    checks.a(Mask | None, mask=mask)
    seen = [mask or model.config.mask] if cache is None else [getattr(one, "mask", None) for one in new_caches(cache)]
    for each in {each for each in seen if isinstance(each, Mask)}:
        if each.looks_ahead(min(length, max(map(len, documents)) - 1)):
            raise ValueError(f"mask is {each}; with it a byte that is to be predicted is seen. Give one that is causal")
    windows = [  # (document, first byte to read, last + 1); those of one size are taken together
        (i, start, min(start + length, len(document) - 1))
        for i, document in enumerate(documents)
        for start in range(0, len(document) - 1, length)
    ]
    nats = [torch.empty(len(document) - 1) for document in documents]
    for group in _batches(windows, max(1, AT_ONCE // length)):
        text = torch.stack([documents[i][start : stop + 1] for i, start, stop in group])  # (batch, bytes + 1)
        text = text.to(device(model)).long()
        if cache is None:
            logits = model(text[:, :-1], mask)  # (batch, bytes, vocabulary)
        else:
            caches = new_caches(cache)
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

    >>> from lexviz import corpus
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
    checks.above(0, perplexity=perplexity)
    return math.log2(perplexity)


def loss_by_place(found: Losses) -> np.ndarray:
    """The mean loss at each place of the window, in nats: (length,). It falls as the model has more to go by.

    >>> found = Losses(torch.tensor([3.0, 1.0, 5.0, 2.0]), torch.tensor([0, 1, 0, 1]))
    >>> loss_by_place(found)
    array([4. , 1.5])
    """
    checks.a(Losses, found=found)
    place = found.place
    total = torch.zeros(int(place.max()) + 1, dtype=torch.float64).index_add_(0, place, found.nats.double())
    return (total / torch.bincount(place)).numpy()


def repeats(document: Tensor, context: int = 8) -> np.ndarray:
    """How far back each byte but the first stood last after the same `context` bytes; 0: nowhere. (bytes - 1,)

    A model that can look back so far may copy it: the loss by this distance tells how far it does.

    >>> from lexviz import corpus
    >>> repeats(corpus.from_text("abcd-abcd"), context=2)
    array([0, 0, 0, 0, 0, 0, 5, 5])
    """
    checks.at_least(1, context=context)
    text, last, distance = checks.as_bytes(document=document), {}, []
    for i in range(1, len(text)):
        here = text[max(0, i - context) : i + 1]  # a shorter one, at the start, stands nowhere else
        distance.append(i - last.get(here, i))
        last[here] = i
    return np.array(distance, dtype=np.int64)


def twice(documents: Sequence[Tensor], back: int, size: int = 32, length: int = 256) -> list[Tensor]:
    """Texts of length + 1 bytes that end with `size` bytes of another document, and have them once before, `back` bytes
    farther back; with 0 they do not.

    What a model saves on the last words by their having stood before is what it has copied: all else is the same.

    >>> from lexviz import corpus
    >>> documents = [corpus.from_text("abcdefgh" * 4), corpus.from_text("stuvwxyz" * 4)]
    >>> for back in (0, 6):
    ...     print(*(bytes(text.tolist()) for text in twice(documents, back, size=3, length=16)))
    b'abcdefghabcdefstu' b'stuvwxyzstuvwxabc'
    b'abcdefghstudefstu' b'stuvwxyzabcvwxabc'
    """
    checks.at_least(1, size=size)
    checks.at_least(2 * size, length=length)
    checks.at_least(0, back=back)
    check_documents(documents)
    if len(documents) < 2:
        raise ValueError(f"documents has {len(documents)}; two are needed, as each takes the words of another")
    if back and not size <= back <= length + 1 - size:
        raise ValueError(
            f"back is {back}; it must be 0, or {size} to {length + 1 - size}: whole words before those at the end"
        )
    shortest = min(map(len, documents))
    if shortest - shortest // 4 <= length:
        raise ValueError(f"documents has one of {shortest} bytes; three quarters of each must be more than {length}")
    texts = []
    for i, document in enumerate(documents):
        other = documents[i - 1]
        words = other[len(other) // 2 :][:size]
        text = document[len(document) // 4 :][: length + 1].clone()
        text[-size:] = words
        if back:
            text[-size - back : len(text) - back] = words
        texts.append(text)
    return texts


def _batches(windows: list[tuple[int, int, int]], size: int) -> Iterator[list[tuple[int, int, int]]]:
    by_length: dict[int, list] = {}
    for window in windows:
        by_length.setdefault(window[2] - window[1], []).append(window)
    for alike in by_length.values():
        yield from (alike[i : i + size] for i in range(0, len(alike), size))
