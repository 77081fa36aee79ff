"""Bad values get an error that names the argument, its value and what is allowed."""

import numbers

import numpy as np


def at_least(least: int, /, **arguments) -> None:
    """Whole numbers of at least `least`, or a ValueError that names the first that is not.

    >>> at_least(1, block=0)
    Traceback (most recent call last):
    ValueError: block is 0; it must be a whole number of at least 1
    """
    for name, value in arguments.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")
        if value >= 2**63:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of 64 bits")


def above(bound: float, /, **arguments) -> None:
    """Finite numbers greater than `bound`, or a ValueError that names the first that is not.

    >>> above(0, gamma=0.4)
    >>> above(0, gamma=0)
    Traceback (most recent call last):
    ValueError: gamma is 0; it must be a finite number greater than 0
    """
    for name, value in arguments.items():
        if not isinstance(value, numbers.Real) or isinstance(value, bool) or not bound < value < float("inf"):
            raise ValueError(f"{name} is {value!r}; it must be a finite number greater than {bound}")


def within(low: float, high: float, /, **arguments) -> None:
    """Numbers of at least `low` and less than `high`, or a ValueError that names the first that is not.

    >>> within(0, 1, beta1=0.9)
    >>> within(0, 1, beta1=1.0)
    Traceback (most recent call last):
    ValueError: beta1 is 1.0; it must be a number of at least 0 and less than 1
    """
    for name, value in arguments.items():
        if not isinstance(value, numbers.Real) or isinstance(value, bool) or not low <= value < high:
            raise ValueError(f"{name} is {value!r}; it must be a number of at least {low} and less than {high}")


def pairs(**argument) -> int:
    """Half of an even number: how many pairs its components form.

    >>> pairs(head_dim=64)
    32
    >>> pairs(head_dim=5)
    Traceback (most recent call last):
    ValueError: head_dim is 5; it must be even, because components form pairs
    """
    ((name, value),) = argument.items()
    at_least(2, **argument)
    if value % 2:
        raise ValueError(f"{name} is {value}; it must be even, because components form pairs")
    return int(value) // 2


def finite(**argument) -> np.ndarray:
    """A number or an array of them, as float64, if all are finite.

    >>> finite(distance=[0, 1])
    array([0., 1.])
    >>> finite(distance=["a"])
    Traceback (most recent call last):
    ValueError: distance is ['a']; it must be a finite number, or an array of them
    """
    ((name, value),) = argument.items()
    try:
        found = np.asarray(value)
        fits = found.dtype.kind in "iuf" and np.isfinite(found).all()
    except (TypeError, ValueError, RuntimeError):  # rows of different lengths; a tensor on another device
        fits = False
    if not fits:
        raise ValueError(f"{name} is {value!r}; it must be a finite number, or an array of them")
    return found.astype(np.float64)


def a(kind, /, **arguments) -> None:
    """Objects of a class, or of one of several, A | B; or a ValueError that names the first that is not.

    >>> a(range, queries=range(3), keys=3)
    Traceback (most recent call last):
    ValueError: keys is 3; it must be of class range
    """
    for name, value in arguments.items():
        if not isinstance(value, kind):
            shown = repr(value)
            shown = shown if len(shown) <= 60 else f"of class {type(value).__name__}"
            raise ValueError(f"{name} is {shown}; it must be of class {getattr(kind, '__name__', kind)}")


def heads(q, k, v) -> None:
    """Queries, keys and values, (batch, heads, length, head_dim), that fit each other; or a ValueError.

    >>> import torch
    >>> heads(*torch.zeros(2, 1, 4, 10, 32), torch.zeros(1, 4, 9, 32))
    Traceback (most recent call last):
    ValueError: q, k and v have shapes (1, 4, 10, 32), (1, 4, 10, 32) and (1, 4, 9, 32); batch and heads must agree, q \
and k in head_dim, k and v in length
    """
    from torch import Tensor  # not above: theory and masks need no torch

    a(Tensor, q=q, k=k, v=v)
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.ndim != 4 or not x.is_floating_point() or not x.shape[-2]:
            raise ValueError(
                f"{name} is {x.dtype} of shape {tuple(x.shape)}; (batch, heads, length, head_dim) is needed"
            )
    if q.shape[:2] != k.shape[:2] or q.shape[-1] != k.shape[-1] or k.shape[:-1] != v.shape[:-1]:
        raise ValueError(
            f"q, k and v have shapes {tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}; batch and heads must "
            "agree, q and k in head_dim, k and v in length"
        )
    if not q.device == k.device == v.device:
        raise ValueError(f"q, k and v are on {q.device}, {k.device} and {v.device}; they must be on one device")


def text(**argument) -> int:
    """How many tokens there are in one text of them, (length,).

    >>> import torch
    >>> text(tokens=torch.arange(5))
    5
    >>> text(tokens=torch.arange(5)[None])
    Traceback (most recent call last):
    ValueError: tokens is torch.int64 of shape (1, 5); one text of whole numbers, (length,), is needed
    """
    from torch import Tensor

    ((name, value),) = argument.items()
    a(Tensor, **argument)
    if value.ndim != 1 or value.is_floating_point() or not len(value):
        raise ValueError(
            f"{name} is {value.dtype} of shape {tuple(value.shape)}; one text of whole numbers, (length,), is needed"
        )
    return len(value)


def as_bytes(**argument) -> bytes:
    """The bytes that the tokens of a text are.

    >>> import torch
    >>> as_bytes(tokens=torch.tensor([111, 110, 101]))
    b'one'
    >>> as_bytes(tokens=torch.tensor([256]))
    Traceback (most recent call last):
    ValueError: tokens is tensor([256]); whole numbers (length,) from 0 to 255 are needed
    """
    from torch import Tensor

    ((name, value),) = argument.items()
    a(Tensor, **argument)
    numbers = value.tolist()
    if value.ndim != 1 or value.is_floating_point() or not set(numbers) <= set(range(256)):
        raise ValueError(f"{name} is {value}; whole numbers (length,) from 0 to 255 are needed")
    return bytes(numbers)
