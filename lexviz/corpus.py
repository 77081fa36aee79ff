"""Bytes to learn from: a corpus split into training and validation, windows drawn from it, and pass-key documents.

A document is a 1-D uint8 tensor, its bytes the tokens. Nothing has to be downloaded: the default corpus is the source
code of sympy, which torch depends on, so that one version gives everyone the same 16 MB. Any folder, file or glob does.
Files are mapped into memory, not read: the operating system fetches what is looked at, however large they are.
"""

import glob
import hashlib
import importlib.util
import itertools
import os
import pathlib
import re
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lexviz import checks

SYMPY = "1.14.0"  # the version whose sources are the default corpus
FINGERPRINT = "9158de2478f5776af5183a492ddafe528a679fd09d835318ee6bb116789f9372"  # of that version's files


class Documents(Sequence):
    """Parts of files, (path, first byte, last byte + 1) each; indexing maps a file and gives the part as a tensor.

    >>> documents = Documents([(__file__, 3, 19), (__file__, 0, 3)])
    >>> to_text(documents[0])
    'Bytes to learn f'
    >>> len(documents), len(documents[1:])
    (2, 1)
    """

    def __init__(self, spans: list[tuple[str, int, int]]):
        self.spans = spans

    def __len__(self):
        return len(self.spans)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return Documents(self.spans[i])
        path, start, stop = self.spans[i]
        path = os.fsencode(path)  # torch takes a name that is not UTF-8 only so
        return torch.from_file(path, shared=False, size=stop, dtype=torch.uint8)[start:]  # (stop - start,)


class Corpus(NamedTuple):
    """What a model learns from and is tested on. Name and fingerprint go into every checkpoint and result."""

    name: str
    training: Documents
    validation: Documents
    fingerprint: str  # sha256 over the files' names and bytes, in the order of their names


def load(path: str | os.PathLike | None = None, any_version: bool = False) -> Corpus:
    """The files under a folder (hidden ones aside), one file, or what a glob matches; without a path, sympy's sources.

    A tenth of the files is for validation, those whose names' hashes are the smallest; of a single file its last tenth.

    >>> corpus = load()
    >>> corpus.name, len(corpus.training), len(corpus.validation)
    ('sympy 1.14.0', 740, 83)
    """
    if path is None:
        return _sympy(any_version)
    checks.a(str | os.PathLike, path=path)
    path = os.fspath(path)
    if not path:
        raise ValueError("path is ''; it must be a folder, a file or a glob, or None for sympy's sources")
    root = pathlib.Path(path)
    if root.is_dir():
        found = [p for p in root.rglob("*") if not any(part[0] == "." for part in p.relative_to(root).parts)]
    else:
        found = [root] if root.is_file() else [pathlib.Path(name) for name in glob.glob(path, recursive=True)]
    files = [p for p in set(found) if p.is_file()]  # a glob may find a file twice
    if not files:
        raise ValueError(f"corpus is {path!r}; no file is there. Give a folder, a file or a glob, 'texts/*.txt'")
    return _split(path, pathlib.Path(os.path.commonpath([p.parent for p in files])), files)


def _sympy(any_version: bool) -> Corpus:
    spec = importlib.util.find_spec("sympy")  # finds it and does not import it
    if spec is None:
        raise ValueError(f"the default corpus is the source code of sympy. Install sympy=={SYMPY}, or give --corpus")
    root = pathlib.Path(spec.origin).parent
    files = [p for p in root.rglob("*.py") if not {"tests", "test-examples"} & set(p.relative_to(root).parts)]
    (version,) = re.findall(r'__version__ = "(.*)"', (root / "release.py").read_text(encoding="utf-8"))
    corpus = _split(f"sympy {version}", root, files)
    if corpus.fingerprint != FINGERPRINT and not any_version:
        raise ValueError(
            f"sympy {version} in {root} is not the text that the recorded results were made on. Install "
            f"sympy=={SYMPY}, or go on with --any-version (any_version=True), which records what it was"
        )
    return corpus


def _split(name: str, root: pathlib.Path, files: list[pathlib.Path]) -> Corpus:
    named = sorted((p.relative_to(root).as_posix(), p) for p in files if p.stat().st_size)
    if not named:
        raise ValueError(f"corpus is {name!r}; all its files are empty")
    fingerprint = hashlib.sha256()
    for relative, p in named:
        with open(p, "rb") as file:
            line = f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {relative}\n"
        fingerprint.update(_bytes(line))
    spans = {relative: (str(p), 0, p.stat().st_size) for relative, p in named}
    if len(spans) == 1:
        ((p, _, size),) = spans.values()
        cut = size - -(-size // 10)
        training, validation = [(p, 0, cut)], [(p, cut, size)]
    else:
        by_hash = sorted(spans, key=lambda relative: hashlib.sha256(_bytes(relative)).digest())
        held_out = set(by_hash[: -(-len(spans) // 10)])
        training = [span for relative, span in spans.items() if relative not in held_out]
        validation = [span for relative, span in spans.items() if relative in held_out]
    return Corpus(name, Documents(training), Documents(validation), fingerprint.hexdigest())


def _bytes(text: str) -> bytes:
    """The same on every platform, also where a file's name is not UTF-8."""
    return text.encode(errors="surrogatepass")


class Windows:
    """Training windows: `windows(step, count)` is (count, length + 1), bytes as int64, each from within one document.

    Every window of the corpus is as likely as any other. A step's windows depend on the seed and the step alone: who
    resumes at step s gets what he would have got. Documents are anything that holds 1-D uint8 tensors.

    >>> windows = Windows([torch.arange(10, dtype=torch.uint8)], length=3, seed=1)
    >>> windows(step=7, count=2)
    tensor([[5, 6, 7, 8],
            [2, 3, 4, 5]])
    """

    def __init__(self, documents: Sequence[Tensor], length: int, seed: int = 0):
        checks.at_least(1, length=length)
        checks.at_least(0, seed=seed)
        checks.a(Sequence, documents=documents)
        checks.a(Tensor, **{f"documents[{i}]": document for i, document in enumerate(documents[:1])})
        self.documents, self.length, self.seed = documents, length, seed
        sizes = np.array([len(document) for document in documents], dtype=np.int64)
        self.counts = np.maximum(sizes - length, 0)  # (documents,): how many windows each has
        self.ends = np.cumsum(self.counts)  # and the first ones together
        if not self.counts.any():
            raise ValueError(
                f"length is {length}; a window takes length + 1 bytes of one document, and the longest has "
                f"{max(sizes, default=0)}"
            )

    def __call__(self, step: int, count: int) -> Tensor:
        checks.at_least(0, step=step, count=count)
        chosen = np.random.default_rng([self.seed, step]).integers(self.ends[-1], size=count)  # of all windows
        inside = np.searchsorted(self.ends, chosen, side="right")  # the document of each
        starts = chosen - (self.ends - self.counts)[inside]
        parts = [self.documents[i][s : s + self.length + 1] for i, s in zip(inside.tolist(), starts, strict=True)]
        return torch.stack(parts).long()


def from_text(text: str) -> Tensor:
    """A document of one's own.

    >>> from_text("a b")
    tensor([97, 32, 98], dtype=torch.uint8)
    """
    checks.a(str, text=text)
    return torch.from_numpy(np.frombuffer(text.encode(), dtype=np.uint8).copy())


def to_text(tokens: Tensor) -> str:
    """What bytes say, as far as they are UTF-8.

    >>> to_text(torch.tensor([111, 110, 101]))
    'one'
    """
    return checks.as_bytes(tokens=tokens).decode(errors="replace")


# ---- pass keys --------------------------------------------------------------------------------------------------

# what hides a pass key: the paper's five sentences, over and over
SENTENCES = b"The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
WORDINGS = {  # instruction, needle, question, distractor; needle and question of "paper" are the paper's
    "paper": (
        "One important number is hidden in a long text of no importance. Find it and memorise it: you will be asked.",
        "The pass key is {N}. Remember it. {N} is the pass key.",
        "What is the pass key? The pass key is {N}",
        "The page number is {N}. Forget it.",
    ),
    "short": ("Find the key.", "The key is {N}.", "What is the key? {N}", "The page is {N}."),
}


class PassKey(NamedTuple):
    """A text in which a number is hidden and at last asked for; document[:start] is the prompt, then comes the answer.

    document[needle] is the sentence that holds the number, for those who overwrite it: then no model may know.
    """

    document: Tensor
    answer: bytes
    start: int
    needle: slice


def passkey(
    length: int,
    seed: int | Sequence[int],
    filler: Sequence[Tensor] | None = None,
    wording: str = "paper",
    depth: float | None = None,
    pad: int = 0,
    distractors: int = 0,
) -> PassKey:
    """The landmark paper's task, `length` bytes in all: five parts joined by newlines, the key in 1 .. 50000.

    filler: the paper's five sentences, repeated; or documents, of which parts are drawn.
    depth: how much of the filler comes before the needle, from 0 to 1; None draws it.
    pad: so many newlines after the answer; they move the question against the blocks that a text is cut into.
    distractors: sentences with other numbers, anywhere in the filler.

    >>> text, answer, start, needle = passkey(120, seed=4, wording="short", depth=0.5)
    >>> print(to_text(text))
    Find the key.
    The grass is green. The sky is b
    The key is 36323.
    The grass is green. The sky is b
    What is the key? 36323
    """
    checks.at_least(0, length=length, pad=pad, distractors=distractors)
    checks.at_least(
        0, **{"seed": seed} if not isinstance(seed, list | tuple) else {f"seed[{i}]": n for i, n in enumerate(seed)}
    )
    if not isinstance(wording, str) or wording not in WORDINGS:
        raise ValueError(f"wording is {wording!r}; it must be one of {', '.join(map(repr, WORDINGS))}")
    if filler is not None:
        checks.a(Sequence, filler=filler)
        checks.a(Tensor, **{f"filler[{i}]": document for i, document in enumerate(filler[:1])})
    if filler is not None and not len(filler):
        raise ValueError("filler is empty; it must hold documents, or be None for the paper's sentences")
    if depth is not None and not (isinstance(depth, Real) and 0 <= depth <= 1):
        raise ValueError(f"depth is {depth!r}; it must be from 0 to 1")
    instruction, needle, question, distractor = WORDINGS[wording]
    rng = np.random.default_rng(seed)
    numbers = rng.integers(1, 50001, size=1 + distractors).tolist()  # the key, and what distracts from it
    places = rng.random(1 + distractors)  # of the sentences that hold them, as fractions of the filler
    places[0] = places[0] if depth is None else depth
    order = np.argsort(places, kind="stable").tolist()

    def parts(numbers: list[int]) -> list[bytes]:  # with the filler, every other part, still empty
        lines = [(distractor if i else needle).format(N=numbers[i]) for i in order]
        around = [instruction, *(part for line in lines for part in ("", line)), "", question.format(N=numbers[0])]
        return [part.encode() for part in around]

    if length < (least := len(b"\n".join(parts([50000] * len(numbers)))) + pad):  # five digits: no seed needs more
        raise ValueError(
            f"length is {length}; wording {wording!r}, pad={pad} and distractors={distractors} take at least {least}"
        )
    text = parts(numbers)
    room = length - pad - len(b"\n".join(text))
    cuts = [0, *(round(places[i] * room) for i in order), room]
    text[1::2] = [_filler(filler, b - a, rng) for a, b in itertools.pairwise(cuts)]
    answer, at = str(numbers[0]).encode(), 2 + 2 * order.index(0)
    document = torch.frombuffer(bytearray(b"\n".join(text) + b"\n" * pad), dtype=torch.uint8)
    first = len(b"\n".join(text[:at])) + 1
    return PassKey(document, answer, length - pad - len(answer), slice(first, first + len(text[at])))


def _filler(documents: Sequence[Tensor] | None, size: int, rng: np.random.Generator) -> bytes:
    if documents is None:
        return (SENTENCES * (size // len(SENTENCES) + 1))[:size]
    text = b""
    while len(text) < size:  # where a document ends, another goes on
        document = documents[int(rng.integers(len(documents)))]
        if not len(document):
            raise ValueError("filler has an empty document; each must hold some bytes")
        start = int(rng.integers(len(document)))
        text += bytes(document[start : start + size - len(text)].tolist())
    return text
