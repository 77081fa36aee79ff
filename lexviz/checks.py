"""Bad values get an error that names the argument, its value and what is allowed."""

import numbers


def at_least(least: int, **arguments) -> None:
    """Whole numbers of at least `least`, or a ValueError that names the first that is not.

    >>> at_least(1, block=0)
    Traceback (most recent call last):
    ValueError: block is 0; it must be a whole number of at least 1
    """
    for name, value in arguments.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def above(bound: float, **arguments) -> None:
    """Finite numbers greater than `bound`, or a ValueError that names the first that is not.

    >>> above(0, gamma=0.4)
    >>> above(0, gamma=0)
    Traceback (most recent call last):
    ValueError: gamma is 0; it must be a finite number greater than 0
    """
    for name, value in arguments.items():
        if not isinstance(value, numbers.Real) or isinstance(value, bool) or not bound < value < float("inf"):
            raise ValueError(f"{name} is {value!r}; it must be a finite number greater than {bound}")


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
