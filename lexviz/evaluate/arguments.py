"""What every measurement asks of its arguments: the model stays as it was, documents and caches are as needed."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lexviz.model import LanguageModel


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


def device(model: LanguageModel) -> torch.device:
    """Where a model's weights are, and its input has to be."""
    return next(model.parameters()).device


def check_documents(documents: Sequence[Tensor]) -> None:
    """A list of texts with something to predict, or a ValueError that says what is there instead."""
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


def new_caches(cache: Callable[[], list]) -> list:
    """What `cache` makes, one object a layer, none of which may have seen text."""
    if not callable(cache):
        raise ValueError(f"cache is a {type(cache).__name__}; a function that makes new ones is needed: model.caches")
    caches = cache()
    if any(one.length for one in caches):
        raise ValueError("cache gave caches that have seen text; each call has to make new ones")
    return caches
