"""The text to learn from is the same for all, split once; windows stay within documents; pass keys are as described."""

import hashlib
import importlib.util
import itertools
import os
import pathlib
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from lexviz import corpus

seeds = st.integers(0, 2**32)
some_documents = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any)


def numbered(sizes):
    """Documents of these sizes in which no byte occurs twice."""
    ends = np.cumsum([0, *sizes])
    return [torch.arange(a, b, dtype=torch.uint8) for a, b in itertools.pairwise(ends.tolist())]


def content(documents):
    return [bytes(document.tolist()) for document in documents]


def write(folder, **files):
    for name, data in files.items():
        folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(name).write_bytes(data)
    return folder


# ---- corpora ----------------------------------------------------------------------------------------------------


def test_the_default_corpus_is_the_pinned_sympy_and_sympy_is_not_imported():
    code = "import sys; from lexviz import corpus; print(corpus.load().fingerprint); sys.exit('sympy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == corpus.FINGERPRINT


def test_the_default_corpus_has_long_documents_for_both_uses():
    name, training, validation, _ = corpus.load()
    assert name == f"sympy {corpus.SYMPY}"
    assert not set(training.spans) & set(validation.spans)
    assert not [path for path, _, _ in training.spans + validation.spans if "/tests/" in path.replace("\\", "/")]
    sizes = [np.array([len(document) for document in documents]) for documents in (training, validation)]
    assert 0.08 < sizes[1].sum() / sum(map(np.sum, sizes)) < 0.12
    assert (sizes[0] > 2**14).sum() > 200
    assert (sizes[1] > 2**14).sum() > 20


def test_another_sympy_is_named_or_recorded(tmp_path, monkeypatch):
    fake = write(tmp_path, **{"__init__.py": b"", "release.py": b'__version__ = "9.9"\n', "core/tests/x.py": b"no"})
    spec = importlib.util.spec_from_file_location("sympy", fake / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ValueError, match=r"sympy 9\.9 in .* Install sympy==1\.14\.0, or go on with --any-version"):
        corpus.load()
    other = corpus.load(any_version=True)
    assert other.name == "sympy 9.9"
    assert other.fingerprint != corpus.FINGERPRINT
    assert content([*other.training, *other.validation]) == [b'__version__ = "9.9', b'"\n']
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"Install sympy==1\.14\.0, or give --corpus"):
        corpus.load(any_version=True)


def test_a_folder_keeps_its_documents_apart_and_its_split_when_it_moves(tmp_path):
    files = {f"{'ab'[i % 2]}/{i}.txt": bytes([i]) * (i + 1) for i in range(25)}
    hidden = {".git/x": b"hidden", "a/.y": b"hidden", "a/empty.txt": b""}
    first, second = (corpus.load(write(tmp_path / name, **files, **hidden)) for name in ("one", "two"))
    for one, two in zip(first[1:3], second[1:3], strict=True):
        assert content(one) == content(two)
    assert first.fingerprint == second.fingerprint
    assert sorted(content(first.training) + content(first.validation)) == sorted(files.values())
    assert len(first.validation) == 3  # a tenth of 25, rounded up
    held_out = sorted(files, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:3]
    assert sorted(content(first.validation)) == sorted(files[name] for name in held_out)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder, **{"a/0.txt": b"0!"}),  # a byte
        lambda folder: (folder / "a/0.txt").rename(folder / "a/zero.txt"),  # a name
        lambda folder: write(folder, **{"a/1.txt": b"01", "a/0.txt": b""}),  # a boundary between documents
        lambda folder: (folder / "a/2.txt").unlink(),
    ],
)
def test_the_fingerprint_tells_a_change(tmp_path, change):
    write(tmp_path, **{f"a/{i}.txt": b"%d" % i for i in range(3)})
    before = corpus.load(tmp_path).fingerprint
    change(tmp_path)
    assert corpus.load(tmp_path).fingerprint != before


def test_the_fingerprint_is_of_hashes_and_names_in_one_order_on_every_platform(tmp_path):
    """Ordered by their characters: upper case first, and "a-b" before "a/b", as it is in no sorted list of paths."""
    files = {name: name.encode() * 3 for name in ("b", "a/c", "a-b", "D", "Z/a", "ä", "äé", "ü")}
    found = corpus.load(write(tmp_path, **files))
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    assert found.fingerprint == hashlib.sha256("".join(lines).encode()).hexdigest()
    held_out = min(files, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert content(found.validation) == [files[held_out]]
    assert content(found.training) == [files[name] for name in sorted(files) if name != held_out]


def test_a_name_that_is_not_utf_8_is_a_name(tmp_path):
    try:
        for name in (b"\xff", b"\xfe"):
            pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    found = corpus.load(tmp_path)
    assert sorted(content([*found.training, *found.validation])) == [b"\xfe", b"\xff"]


def test_of_a_single_file_the_tail_is_for_validation(tmp_path):
    text = bytes(range(95))
    alone = corpus.load(write(tmp_path, **{"one.txt": text}) / "one.txt")
    assert content(alone.training) == [text[:85]]
    assert content(alone.validation) == [text[85:]]
    assert alone.fingerprint == corpus.load(tmp_path).fingerprint


def test_a_glob_takes_what_it_matches(tmp_path):
    write(tmp_path, **{"x/1.txt": b"one", "x/y/2.txt": b"two", "x/3.md": b"three"})
    found = corpus.load(str(tmp_path / "**" / "*.txt"))
    assert sorted(content([*found.training, *found.validation])) == [b"one", b"two"]
    assert corpus.load(str(tmp_path / "**" / "**" / "*.txt")).fingerprint == found.fingerprint  # each is found once


def test_a_large_file_is_mapped_and_not_read(tmp_path):
    with open(tmp_path / "holes", "wb") as file:  # 5 GB that take no room on a disk
        file.truncate(5 * 2**30)
        file.seek(5 * 2**30 - 3)
        file.write(b"end")
    documents = corpus.Documents([(str(tmp_path / "holes"), 5, 5 * 2**30)])
    assert len(documents[0]) == 5 * 2**30 - 5
    assert content([documents[0][-4:]]) == [b"\0end"]
    assert corpus.Windows(documents, 1000)(step=0, count=4).shape == (4, 1001)


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing", "corpus is '.*missing'; no file is there"), ("empty", "corpus is '.*empty'; all its files are empty")],
)
def test_a_corpus_without_text_is_refused(tmp_path, name, words):
    write(tmp_path, **{"empty/a": b""})
    with pytest.raises(ValueError, match=words):
        corpus.load(tmp_path / name)


@given(st.text())
def test_a_document_of_ones_own_holds_its_text(text):
    document = corpus.from_text(text)
    assert document.dtype == torch.uint8
    assert corpus.to_text(document) == text
    assert len(document) == len(text.encode())


# ---- windows ----------------------------------------------------------------------------------------------------


@given(sizes=some_documents, length=st.integers(1, 8), seed=seeds, step=st.integers(0, 10**9), count=st.integers(1, 9))
def test_a_window_lies_within_one_document(sizes, length, seed, step, count):
    assume(max(sizes) > length)
    documents = numbered(sizes)
    there = {d[i : i + length + 1] for d in content(documents) for i in range(len(d) - length)}
    drawn = corpus.Windows(documents, length, seed)(step, count)
    assert drawn.shape == (count, length + 1)
    assert drawn.dtype == torch.int64
    assert set(content(drawn)) <= there


def test_every_window_is_as_likely_as_any_other():
    documents = numbered([5, 2, 12, 3, 4])
    there = [d[i : i + 4] for d in content(documents) for i in range(len(d) - 3)]
    times = Counter(content(corpus.Windows(documents, 3, seed=3)(step=0, count=1000 * len(there))))
    assert sorted(times) == sorted(there)
    assert all(abs(n - 1000) < 5 * 1000**0.5 for n in times.values())


@given(seed=seeds, step=st.integers(0, 10**6))
def test_a_step_draws_the_same_whatever_was_drawn_before(seed, step):
    documents = numbered([200])
    windows = corpus.Windows(documents, 4, seed)
    first = windows(step, 5)
    after = windows(step + 1, 5)
    assert torch.equal(corpus.Windows(documents, 4, seed)(step, 5), first)
    assert torch.equal(windows(step, 5), first)
    assert not torch.equal(after, first)
    assert not torch.equal(corpus.Windows(documents, 4, seed + 1)(step, 5), first)
    assert not torch.equal(corpus.Windows(documents, 4, seed + 1)(step, 5), after)  # nor is it the next step's


@pytest.mark.parametrize("documents", [[], [torch.zeros(3, dtype=torch.uint8), torch.zeros(8, dtype=torch.uint8)]])
def test_a_window_that_fits_nowhere_is_named(documents):
    longest = max(map(len, documents), default=0)
    with pytest.raises(ValueError, match=f"length is 8; a window takes length \\+ 1 .* the longest has {longest}"):
        corpus.Windows(documents, 8)


# ---- pass keys --------------------------------------------------------------------------------------------------

WORDS = [b"the quick brown fox\n", b"a"]
FILLERS = {"sentences": None, "documents": [torch.frombuffer(bytearray(word), dtype=torch.uint8) for word in WORDS]}


@pytest.mark.parametrize("filler", FILLERS.values(), ids=FILLERS)
@given(
    wording=st.sampled_from([*corpus.WORDINGS]),
    more=st.integers(0, 2000),
    seed=seeds,
    depth=st.none() | st.floats(0, 1),
    pad=st.integers(0, 15),
    distractors=st.integers(0, 3),
)
def test_a_pass_key_document_holds_its_parts_and_is_as_long_as_asked(
    filler, wording, more, seed, depth, pad, distractors
):
    instruction, needle, question, distractor = corpus.WORDINGS[wording]
    length = 300 + 50 * distractors + more
    document, answer, start, place = corpus.passkey(length, seed, filler, wording, depth, pad, distractors)
    (text,) = content([document])
    assert len(text) == length
    assert 1 <= int(answer) <= 50000
    assert text[start:] == answer + b"\n" * pad
    assert text.startswith(instruction.encode() + b"\n")
    assert text[:start].endswith(question.format(N="").encode())
    sentence = needle.format(N=answer.decode()).encode()
    assert text[place] == sentence
    assert text[place.start - 1 : place.start] == text[place.stop : place.stop + 1] == b"\n"
    assert text.count(distractor.encode().split(b"{N}")[0]) == distractors
    if depth is not None and not distractors:
        before = place.start - 1 - len(instruction) - 1
        after = start - len(question.format(N="")) - 1 - place.stop - 1
        assert abs(before - depth * (before + after)) <= 0.5
    if not distractors and filler is None:
        between = text[len(instruction) + 1 : place.start - 1]
        assert between == (corpus.SENTENCES * (len(between) // len(corpus.SENTENCES) + 1))[: len(between)]


@pytest.mark.parametrize("wording", corpus.WORDINGS)
@pytest.mark.parametrize("distractors", [0, 2])
def test_the_least_length_is_the_same_for_every_key(wording, distractors):
    def fits(length):
        try:
            return [corpus.passkey(length, s, None, wording, None, 7, distractors) for s in range(50)]
        except ValueError as error:
            assert f"length is {length}; wording '{wording}', pad=7" in str(error)  # noqa: PT017
            return None

    least = next(length for length in itertools.count() if fits(length))
    assert {len(key.document) for key in fits(least)} == {least}
    assert {len(key.answer) for key in fits(least)} > {5}  # shorter keys too, with more filler
    with pytest.raises(ValueError, match=f"take at least {least}"):
        corpus.passkey(3, 0, None, wording, None, 7, distractors)


def test_short_pass_keys_fit_the_shortest_training_length():
    for seed in range(100):
        assert len(corpus.passkey(96, seed, wording="short", pad=15).document) == 96
        assert len(corpus.passkey(256, seed, wording="paper", pad=15).document) == 256


def test_keys_and_depths_are_spread_evenly_and_follow_the_seed():
    drawn = [corpus.passkey(2000, [5, seed], wording="short") for seed in range(2000)]
    keys = np.array([int(key.answer) for key in drawn])
    depths = np.array([key.needle.start for key in drawn]) / 2000
    for values, top in ((keys, 50000), (depths, 1.0)):
        counts, _ = np.histogram(values, bins=5, range=(0, top))
        assert all(abs(counts - 400) < 5 * 400**0.5)
    again = corpus.passkey(2000, [5, 7], wording="short")
    assert torch.equal(again.document, drawn[7].document)
    assert again.answer == drawn[7].answer
    assert corpus.passkey(2000, [5, 7], wording="short", depth=0.3).answer == again.answer


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: corpus.passkey(400, 0, wording="long"), "wording is 'long'; it must be one of 'paper', 'short'"),
        (lambda: corpus.passkey(400, 0, depth=1.5), "depth is 1.5; it must be from 0 to 1"),
        (lambda: corpus.passkey(400, 0, pad=-1), "pad is -1"),
        (lambda: corpus.passkey(400.0, 0), "length is 400.0"),
        (lambda: corpus.passkey(400, 0, filler=[]), "filler is empty"),
        (lambda: corpus.passkey(400, 0, filler=[torch.zeros(0)]), "filler has an empty document"),
        (lambda: corpus.passkey(400, 0, distractors=0.5), "distractors is 0.5"),
        (lambda: corpus.Windows(numbered([9]), 3)(-1, 2), "step is -1"),
        (lambda: corpus.Windows(numbered([9]), 0), "length is 0"),
        (lambda: corpus.Windows(numbered([9]), 3, seed=-1), "seed is -1"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()
