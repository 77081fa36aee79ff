"""Pass keys: a number is hidden in a text, a model is asked for it; how many it finds, and how sure that share is."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from lexviz import checks, corpus
from lexviz.evaluate.arguments import device, measuring, new_caches
from lexviz.masks import Mask
from lexviz.model import LanguageModel


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
    checks.a(LanguageModel, model=model)
    checks.at_least(1, trials=trials, chunk=chunk)
    if "depth" in text:
        raise ValueError("depth is given; trials spread it evenly from 0 to 1, `corpus.passkey` makes single texts")
    if mask is not None and (cache is not None or model.config.landmark_block):
        raise ValueError(f"mask is {mask}; caches bring their own, and landmark models take none: give mask=None")
    for trial in range(trials):
        depth = trial / (trials - 1) if trials > 1 else 0.5
        asked = corpus.passkey(length, seed=[seed, trial], depth=depth, **text)
        document = asked.document.clone()
        if overwrite:
            document[asked.needle] = ord(" ")
        prompt = document[: asked.start].long().to(device(model))
        parts, caches = ([prompt], model.caches(mask)) if cache is None else (prompt.split(chunk), new_caches(cache))
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
