"""What a check needs: an answer that can be called without fear, and words for what is wrong with what it gives."""

from collections.abc import Callable

import numpy as np
from torch import Tensor


class Wrong(Exception):
    """An answer is wrong; the message says in what, to the person who wrote it."""


class Trial:
    """An answer under trial. Whatever it raises is told in words, with the call that led to it.

    >>> Trial(lambda x: 1 / x)(0)
    Traceback (most recent call last):
    lexviz.exercises.trial.Wrong: Called with (0), it raised ZeroDivisionError: division by zero
    """

    def __init__(self, answer: Callable):
        self.answer = answer

    def __call__(self, *arguments, **named):
        before = [np.array(each) if isinstance(each, np.ndarray) else each for each in arguments]
        before = [each.clone() if isinstance(each, Tensor) else each for each in before]
        try:
            found = self.answer(*arguments, **named)
        except (NotImplementedError, Wrong):  # a function that the check hands over may find something wrong itself
            raise
        except Exception as error:
            raise Wrong(
                f"Called with {shown(*arguments, **named)}, it raised {type(error).__name__}: {error}"
            ) from None
        for was, now in zip(before, arguments, strict=True):
            if isinstance(was, np.ndarray | Tensor) and not bool((was == now).all()):
                raise Wrong(f"Called with {shown(*arguments, **named)}, it changed what it was given; work on a copy.")
        return found


def shown(*arguments, **named) -> str:
    """The arguments of a call, short enough for a sentence.

    >>> shown(np.zeros((2, 8)), 0.25, block=3)
    '(an array of shape (2, 8), 0.25, block=3)'
    """
    return f"({', '.join([*map(_one, arguments), *(f'{name}={_one(value)}' for name, value in named.items())])})"


def _one(value) -> str:
    if isinstance(value, np.ndarray | Tensor) and value.ndim:
        return f"{'an array' if isinstance(value, np.ndarray) else 'a tensor'} of shape {tuple(value.shape)}"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"


def shaped(found, shape: tuple[int, ...], what: str = "what it gives") -> np.ndarray:
    """`found` as a numpy array, if it has that shape and finite numbers.

    >>> shaped([1.0, 2.0], (3,))
    Traceback (most recent call last):
    lexviz.exercises.trial.Wrong: What it gives has shape (2,), where (3,) was asked for.
    """
    what = what[0].upper() + what[1:]
    if found is None:
        raise Wrong("It returned nothing (None). Is there a `return`?")
    try:
        numbers = np.asarray(found.detach().numpy() if isinstance(found, Tensor) else found)
    except (ValueError, TypeError):
        raise Wrong(f"{what} is a {type(found).__name__}, where numbers were asked for.") from None
    if numbers.shape != shape:
        raise Wrong(f"{what} has shape {numbers.shape}, where {shape} was asked for.")
    if numbers.dtype.kind not in "biufc":
        raise Wrong(f"{what} is not made of numbers.")
    if not np.isfinite(numbers).all():
        raise Wrong(f"{what} has values that are not finite (infinite, or not a number).")
    return numbers


def near(found, wanted, because: str, tolerance: float = 1e-5) -> None:
    """Are two results alike? If not, `because` says what is hurt; it shows no number, which could give it away.

    >>> near(1.0, 2.0, "the score changed when both tokens moved by 7")
    Traceback (most recent call last):
    lexviz.exercises.trial.Wrong: the score changed when both tokens moved by 7
    """
    if not np.allclose(np.asarray(found), np.asarray(wanted), rtol=tolerance, atol=tolerance):
        raise Wrong(because)
