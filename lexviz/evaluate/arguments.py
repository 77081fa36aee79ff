"""What every measurement asks of its arguments: the model stays as it was, documents and caches are as needed."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lexviz import checks
from lexviz.model import LanguageModel


def measuring(function: Callable) -> Callable:
    """Of a function whose first argument is a model: it runs without gradients, and leaves all modules' modes alone.

    >>> from lexviz import runs
    >>> @measuring
    ... def mode(model):
    ...     return model.training, torch.is_grad_enabled()
    >>> model = runs.load("xpos-0").train()
    >>> mode(model), model.training
    ((False, False), True)
    """

    @functools.wraps(function)
    @torch.inference_mode()
    def measured(model: LanguageModel, *arguments, **more):
        checks.a(LanguageModel, model=model)
        modes = [(module, module.training) for module in model.modules()]
        try:
            return function(model.eval(), *arguments, **more)
        finally:
            for module, training in modes:
                module.training = training

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
    checks.a(list, cache=caches)
    if any(getattr(one, "length", 0) for one in caches):  # what has no length is refused by the model
        raise ValueError("cache gave caches that have seen text; each call has to make new ones")
    return caches
