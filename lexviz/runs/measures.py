"""What is measured of a run: functions of a model, its settings and the corpus, each of which gives rows for the JSON.

Lengths are counted in the training length l. Where a model attends through a cache of blocks, no position exceeds those
of its training, and a query attends to at most as many tokens as it did there.
"""

import itertools

import numpy as np
from torch import Tensor

from lexviz import evaluate, masks
from lexviz.corpus import Corpus
from lexviz.landmark import LandmarkCache
from lexviz.masks import Mask
from lexviz.model import LanguageModel
from lexviz.train import Settings

LONGEST = 16  # times l: that many bytes of each validation document are read
DOCUMENTS = 40  # of them

# ---- perplexity -------------------------------------------------------------------------------------------------


def validation(settings: Settings, source: Corpus, longest: int = LONGEST, documents: int = DOCUMENTS) -> list[Tensor]:
    """The first bytes of validation documents, `longest` times the training length (section 4.2).

    >>> from lexviz import corpus
    >>> documents = validation(Settings(length=256), corpus.load())
    >>> len(documents), len(documents[0])
    (40, 4097)
    """
    return evaluate.first_parts(source.validation, longest * settings.length)[:documents]


def ways(settings: Settings) -> list[tuple[int, Mask]]:
    """(length, mask) from l/4 to 16 l, causal; beyond l also block causal, with blocks of l/2.

    >>> for length, mask in ways(Settings(length=256))[6:9]:
    ...     print(length, mask)
    4096 causal()
    512 block_causal(128)
    1024 block_causal(128)
    """
    lengths = [settings.length * 2**e // 4 for e in range(7)]
    bca = masks.block_causal(settings.length // 2)
    return [(n, mask) for mask in (masks.causal(), bca) for n in lengths if n > settings.length or mask is not bca]


def defined(model: LanguageModel, length: int) -> bool:
    """Does the model's encoding have so many positions?

    >>> from lexviz import train
    >>> model = train.new_model(Settings(position="Learned", length=256))
    >>> defined(model, 256), defined(model, 512)
    (True, False)
    """
    return not (model.position.limit and length > model.position.limit)


def lengths(model: LanguageModel, settings: Settings, source: Corpus) -> list[dict]:
    """Tables 2, 4 and 5: perplexity at every length, with and without blockwise causal attention; None: undefined."""
    documents, found = validation(settings, source), []
    for n, mask in ways(settings):
        perplexity = round(evaluate.perplexity(model, documents, n, mask), 4) if defined(model, n) else None
        found.append({"length": n, "mask": repr(mask), "perplexity": perplexity})
    return found


def places(model: LanguageModel, settings: Settings, source: Corpus) -> list[dict]:
    """At the longest length: the mean loss by place in the window, in 64 stretches of equal size."""
    documents, longest = validation(settings, source), LONGEST * settings.length
    found = []
    for mask in (masks.causal(), masks.block_causal(settings.length // 2)):
        if defined(model, longest):
            by_place = evaluate.loss_by_place(evaluate.losses(model, documents, longest, mask))
            stretches = [round(float(part.mean()), 4) for part in np.array_split(by_place, 64)]
            found.append({"length": longest, "mask": repr(mask), "nats": stretches})
    return found


def repeats(model: LanguageModel, settings: Settings, source: Corpus) -> list[dict]:
    """The mean loss by how far back a byte stood last after the same eight: where is a model still able to copy?

    `from` and `to` are the ends of a range of distances, doubling; 0 is what stood nowhere before.
    """
    documents, trained = validation(settings, source), settings.length
    distance = np.concatenate([evaluate.repeats(document) for document in documents])
    longest = LONGEST * trained
    edges = [0, 1, *(2**e for e in range(4, 30) if 2**e < longest), longest]
    found = []
    for n, mask in (trained, masks.causal()), (longest, masks.causal()), (longest, masks.block_causal(trained // 2)):
        if defined(model, n):
            nats = evaluate.losses(model, documents, n, mask).nats.numpy()
            for first, end in itertools.pairwise(edges):
                here = (first <= distance) & (distance < end)
                row = {"length": n, "mask": repr(mask), "from": first, "to": end - 1, "bytes": int(here.sum())}
                found.append({**row, "nats": round(float(nats[here].mean()), 4) if here.any() else None})
    return found


def copies(model: LanguageModel, settings: Settings, source: Corpus) -> list[dict]:
    """Does the model copy? The mean loss of words at the end of l bytes, by how far back they stood before; 0: nowhere.

    The first quarter of the words does not count: in it a model can find out that it has seen them.
    """
    documents, n = validation(settings, source), settings.length
    size, found = n // 8, []
    for back in (0, n // 8, n // 4, n // 2, 3 * n // 4):
        nats = evaluate.losses(model, evaluate.twice(documents, back, size, n), n).nats.view(len(documents), n)
        found.append({"back": back, "nats": round(float(nats[:, size // 4 - size :].double().mean()), 4)})
    return found


def resolution(model: LanguageModel, settings: Settings, source: Corpus) -> list[dict]:
    """Table 3: resolution by layer and head at the training length and twice it, there also block causal."""
    documents = validation(settings, source)[:10]
    n, found = settings.length, []
    for length, mask in ((n, masks.causal()), (2 * n, masks.causal()), (2 * n, masks.block_causal(n // 2))):
        if defined(model, length):
            values = evaluate.measured_resolution(model, documents, length, mask)  # (layers, heads)
            found.append({"length": length, "mask": repr(mask), "resolution": np.round(values, 7).tolist()})
    return found


# ---- far text: windows, recurrence, landmarks -------------------------------------------------------------------

FAR = 32  # times l, on texts that are as long
FETCHED = (1, 2, 4, 8)  # blocks, k
CHOICES = ("head and token", "head", "token")  # for which of them the blocks are chosen


def chunk(settings: Settings, k: int = max(FETCHED)) -> int:
    """Ordinary tokens of a chunk: as many as fit into training's positions beside k + 1 slots and an unfinished block.

    >>> chunk(Settings(length=256, landmark_block=15), k=8)
    106
    """
    size = settings.landmark_block + 1
    trained = settings.length + settings.length // settings.landmark_block
    return (trained - (k + 1) * size - (size - 1)) * (size - 1) // size


def caches(model: LanguageModel, k: int = 4, choose: str = CHOICES[0], stingy: bool = True):
    """A function that makes what a landmark model remembers with: a cache for each layer.

    >>> from lexviz import train
    >>> make = caches(train.new_model(Settings(landmark_block=15)), k=2)
    >>> len(make()), make()[0].block, make()[0].k
    (4, 15, 2)
    """
    block = model.config.landmark_block
    return lambda: [LandmarkCache(block, k, choose, stingy) for _ in model.blocks]


def far_lengths(settings: Settings) -> list[int]:
    """l, 2 l, 4 l ... 32 l.

    >>> far_lengths(Settings(length=256))
    [256, 512, 1024, 2048, 4096, 8192]
    """
    return [settings.length * 2**e for e in range(FAR.bit_length())]


def windows(model: LanguageModel, settings: Settings, source: Corpus) -> list[dict]:
    """Perplexity where a query attends to all of its past, or in three ways to at most l tokens of it.

    Block causal attention, blocks of l/2; Transformer-XL's segments, of l/4, with a memory of 3 l/4; a sliding window.
    (Segments of l/2 with a memory of l/2 are block causal attention itself.)
    """
    trained, documents = settings.length, validation(settings, source, FAR, DOCUMENTS // 2)
    recurrent = masks.segment_recurrent(trained // 4, trained - trained // 4)
    few = (masks.block_causal(trained // 2), recurrent, masks.sliding_window(trained))
    found = []
    for mask in (masks.causal(), *few):
        for n in far_lengths(settings):
            if n > trained or mask not in few:
                perplexity = round(evaluate.perplexity(model, documents, n, mask), 4)
                found.append({"length": n, "mask": repr(mask), "perplexity": perplexity})
    return found


def retrieval(model: LanguageModel, settings: Settings, source: Corpus) -> list[dict]:
    """The landmark paper's tables: perplexity by length and k; by what chooses the blocks; at ordinary positions.

    `k` is null for dense attention over the whole window, as in training.
    """
    far = far_lengths(settings)
    asked = [(n, None, None, False) for n in far[:3]]
    asked += [(n, k, CHOICES[0], True) for k in FETCHED for n in far]
    asked += [(n, 4, choose, True) for choose in CHOICES[1:] for n in far[3::2]]
    asked += [(n, 4, CHOICES[0], False) for n in far[:4]]
    return fetching(model, settings, source, asked)


def reach(model: LanguageModel, settings: Settings, source: Corpus) -> list[dict]:
    """Of `retrieval` what says how far a model reads, a quarter of its work: all at once, and with four blocks."""
    far = far_lengths(settings)
    asked = [(n, None, None, False) for n in far[:3]] + [(n, 4, CHOICES[0], True) for n in far]
    return fetching(model, settings, source, asked)


def fetching(
    model: LanguageModel, settings: Settings, source: Corpus, asked: list[tuple[int, int | None, str | None, bool]]
) -> list[dict]:
    """Perplexity for each (length, k, what chooses the blocks, stingy positions)."""
    documents, found = validation(settings, source, FAR, DOCUMENTS // 2), []
    for n, k, choose, stingy in asked:
        cache = None if k is None else caches(model, k, choose, stingy)
        perplexity = evaluate.perplexity(model, documents, n, cache=cache, chunk=chunk(settings))
        row = {"length": n, "k": k, "choose": choose, "stingy": stingy}
        found.append({**row, "perplexity": round(perplexity, 4)})
    return found


# ---- pass keys --------------------------------------------------------------------------------------------------

DEPTHS = 10  # the number stands at so many depths, from 0 to 1,
PADS = (0, 3, 6, 9, 12)  # and so many bytes stand behind the question, which so lies differently in the blocks


USUAL = {"k": 4, "choose": CHOICES[0], "stingy": True}  # how landmark models look for them


def passkeys(model: LanguageModel, settings: Settings, source: Corpus) -> list[dict]:
    """Hidden numbers by length, to 128 l; models without landmarks to 16 l, and with blockwise causal attention too."""
    trained = settings.length
    if model.config.landmark_block:
        return ask(model, settings, source, [(n * trained, USUAL) for n in (1, 2, 4, 8, 16, 32, 128)])
    both = (masks.causal(), masks.block_causal(trained // 2))
    return ask(model, settings, source, [(n * trained, {"mask": mask}) for mask in both for n in (1, 2, 4, 8, 16)])


def passkey_ways(model: LanguageModel, settings: Settings, source: Corpus) -> list[dict]:
    """Hidden numbers in 8 l: by k; by what chooses the blocks; among other numbers; with the number overwritten, which
    must fail; and at ordinary positions, there in shorter texts too.
    """
    asked = [{"k": k} for k in FETCHED if k != USUAL["k"]] + [{"choose": choose} for choose in CHOICES[1:]]
    asked += [{"distractors": count} for count in (1, 4, 16)] + [{"overwrite": True}]
    ways = [(8 * settings.length, USUAL | way) for way in asked]
    ways += [(n * settings.length, USUAL | {"stingy": False}) for n in (1, 2, 4, 8)]
    return ask(model, settings, source, ways)


def ask(model: LanguageModel, settings: Settings, source: Corpus, ways: list[tuple[int, dict]]) -> list[dict]:
    """Hidden numbers by length, way and filler, 50 for each row, of which no two have the same depth and pad.

    `right` has a text for each of PADS, a character for each of the depths: 1 where every digit was found.
    """
    rows = []
    for n, how in ways:
        for filler, documents in {"sentences": None, "source code": source.validation}.items():
            shown = {name: repr(value) if name == "mask" else value for name, value in how.items()}
            right = [answers(model, settings, n, pad, filler=documents, **how) for pad in PADS]
            rows.append({"length": n, "filler": filler, **shown, "right": right})
    return rows


def answers(model: LanguageModel, settings: Settings, length: int, pad: int, k: int | None = None, **how) -> str:
    """A character for each depth: 1 where the number was found, else 0."""
    if k is not None:
        cache = {name: how.pop(name) for name in ("choose", "stingy")}
        how |= {"cache": caches(model, k, **cache), "chunk": chunk(settings)}
    trials = evaluate.passkey_trials(model, length, DEPTHS, seed=pad, pad=pad, wording=settings.wording, **how)
    return "".join(str(int(trial.right)) for trial in trials)


KINDS = (lengths, places, repeats, copies, resolution, windows, retrieval, reach, passkeys, passkey_ways)  # all of them
MEASURES = {each.__name__: each for each in KINDS}  # by the names that list.toml uses
