"""The exercises: `check` says in words what is wrong with an answer, `ask` shows questions to choose from.

    exercises.check("turned_score", turned_score)
    exercises.ask("questions/03.json")

`check` tries the function that you have written on random inputs, twenty times over, and asks for properties; it
never shows a solution. The checks of a chapter are in a module of their own, functions with the names of its exercises,
which raise `Wrong` where an answer is. Questions are told about in `lexviz.exercises.questions`.
"""

import zlib
from collections.abc import Callable

import numpy as np

from lexviz.exercises import ch01, ch02, ch03, ch04, ch05, ch06, ch07, ch08, ch09, ch10, ch11, ch12
from lexviz.exercises.questions import ask
from lexviz.exercises.trial import Trial, Wrong

__all__ = ["ask", "check", "verdict"]

CHAPTERS = (
    ch01,
    ch02,
    ch03,
    ch04,
    ch05,
    ch06,
    ch07,
    ch08,
    ch09,
    ch10,
    ch11,
    ch12,
)  # the modules with the checks of a chapter
# All checks by the names of their exercises.
CHECKS = {name: getattr(chapter, name) for chapter in CHAPTERS for name in chapter.__all__}
TIMES = 20  # a check is repeated with other random numbers


def check(name: str, answer: Callable) -> None:
    """Try an answer to an exercise, and print what was found.

    >>> def rest(first, whole, trained, length):
    ...     raise NotImplementedError
    >>> check("rest", rest)
    rest: nothing to check yet. Write your answer in place of `raise NotImplementedError`.
    """
    print(f"{name}: {verdict(name, answer)}")


def verdict(name: str, answer: Callable) -> str:
    """What `check` prints: "right.", or in words what is wrong.

    >>> verdict("rest", lambda first, whole, trained, length: whole)
    'not yet. ...'
    """
    if name not in CHECKS:
        raise ValueError(f"name is {name!r}; the exercises with a check are {', '.join(CHECKS)}")
    if not callable(answer):
        raise ValueError(f"answer is a {type(answer).__name__}; give the function itself, not what it returns")
    try:
        for time in range(TIMES):
            CHECKS[name](Trial(answer), np.random.default_rng([zlib.crc32(name.encode()), time]))
    except NotImplementedError:
        return "nothing to check yet. Write your answer in place of `raise NotImplementedError`."
    except Wrong as wrong:
        return f"not yet. {wrong}"
    return "right."
