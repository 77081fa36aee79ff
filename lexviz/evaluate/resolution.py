"""Resolution as the paper measures it: the mean score of every distance (Eq. 11), and what Eq. 3 makes of them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lexviz import checks, theory
from lexviz.evaluate.arguments import check_documents, device, measuring
from lexviz.masks import Mask
from lexviz.model import LanguageModel


@measuring
def scores_by_distance(
    model: LanguageModel, documents: Sequence[Tensor], length: int, mask: Mask | None = None
) -> np.ndarray:
    """Eq. 11: the mean score before the softmax, of all allowed pairs at distance 0, 1, ...: (layers, heads, N + 2).

    Each document's first `length` bytes are read. The last distance is the largest that any pair has; none may be
    missing before it. Windows of scores are added up as they come, so that no n x n array is kept.

    >>> from lexviz import corpus, masks, runs
    >>> from lexviz.evaluate import first_parts
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
    check_documents(documents)
    total = torch.zeros(config.layers, config.heads, length, dtype=torch.float64)
    count = torch.zeros(length, dtype=torch.float64)
    for document in documents:
        tokens = document[None, :length].to(device(model))
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

    >>> from lexviz import corpus, runs
    >>> from lexviz.evaluate import first_parts
    >>> documents = first_parts(corpus.load().validation, 512)[:4]
    >>> xpos, rope = (measured_resolution(runs.load(name), documents, 512) for name in ("xpos-0", "rope-0"))
    >>> xpos.shape, bool(xpos.mean() > rope.mean())
    ((4, 4), True)
    """
    return theory.resolution(scores_by_distance(model, documents, length, mask))
