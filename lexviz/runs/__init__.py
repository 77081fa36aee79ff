"""Reference runs: models trained and measured once, for chapters to load.

    results()             every recorded run: {name: what its JSON says}
    load("xpos-0")        the trained model, if its weights are shipped
    python -m lexviz runs makes what list.toml names and is not here yet

A run's JSON says how it was made (settings, corpus, versions, device, minutes), its loss curve, and its results.
"""

import datetime
import json
import os
import pathlib
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np

from lexviz import checkpoint, corpus, evaluate, masks, train
from lexviz.corpus import Corpus
from lexviz.model import LanguageModel

FOLDER = pathlib.Path(__file__).parent
LONGEST = 16  # times the training length, that many bytes of each validation document are read
DOCUMENTS = 40  # of them


def results() -> dict[str, dict]:
    """What is recorded of each run, by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        try:
            found[path.stem] = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}; restore it, or delete it and make the run again") from None
    return {name: about for name, about in found.items() if "results" in about}


def load(name: str, position: type | None = None) -> LanguageModel:
    """The trained model of a run. Its encoding is looked up in `lexviz.positions`; a class from elsewhere is passed."""
    kept = sorted({path.stem.rpartition("-")[0] for path in FOLDER.glob("*.safetensors")})
    if name not in kept:
        raise ValueError(f"name is {name!r}; the runs whose weights are here are {', '.join(kept)}")
    return checkpoint.load(FOLDER / name, position)


# ---- making them ------------------------------------------------------------------------------------------------


def planned() -> dict[str, dict]:
    """The runs of list.toml, by name, in order."""
    return {run["name"]: run for run in tomllib.loads((FOLDER / "list.toml").read_text(encoding="utf-8"))["run"]}


def make(run: dict, work: str | os.PathLike, deadline: float = float("inf"), every: int = 100) -> Iterator[train.Entry]:
    """Train and measure a run of the list, and record it here; yields the history as training goes.

    The training's checkpoint is kept in the folder `work`; who calls again goes on there. Past the deadline, by
    time.monotonic(), it stops at the training's next checkpoint, the last one included, and nothing is recorded yet.
    """
    settings = replace(train.PRESETS[run["preset"]], **run["settings"])
    source = corpus.load(settings.corpus or None)
    model = train.new_model(settings)
    history = []
    for entry in train.train(settings, model, source, pathlib.Path(work) / run["name"], every):
        history.append(entry)
        yield entry
        if time.monotonic() > deadline and (entry.step % every == 0 or entry.step == settings.steps):
            return
    trained = sum(np.prod(settings.shape(entry.step - 1)) / entry.tokens_per_second for entry in history)
    started = time.monotonic()
    found = {name: MEASURES[name](model, settings, source) for name in run["evaluate"]}
    about = {
        "settings": asdict(settings),
        "corpus": {"name": source.name, "fingerprint": source.fingerprint},
        "device": train.name_of(next(model.parameters()).device),
        "date": str(datetime.date.today()),
        "minutes": {"training": round(trained / 60, 1), "measuring": round((time.monotonic() - started) / 60, 1)},
        "curve": curve(history),
        "results": found,
    }
    if run.get("keep"):
        checkpoint.save(FOLDER / run["name"], model, half=True, **about)
    else:
        checkpoint.write(FOLDER / run["name"], {}, {"model": checkpoint.describe(model), **about})


def curve(history: list[train.Entry], points: int = 150) -> list[list[float]]:
    """The loss curve: (step, mean loss of the steps since the point before)."""
    parts = np.array_split(np.arange(len(history)), min(points, len(history)))
    return [[int(part[-1]) + 1, round(float(np.mean([history[i].loss for i in part])), 4)] for part in parts]


# ---- what is measured -------------------------------------------------------------------------------------------


def validation(settings: train.Settings, source: Corpus):
    """The first bytes of validation documents, LONGEST times the training length (section 4.2)."""
    return evaluate.first_parts(source.validation, LONGEST * settings.length)[:DOCUMENTS]


def ways(settings: train.Settings) -> list[tuple[int, str]]:
    """(length, mask) from 1/4 to 16 times the training length l, causal; beyond l also block causal, block l/2."""
    lengths = [settings.length * 2**e // 4 for e in range(7)]
    bca = masks.block_causal(settings.length // 2)
    return [(n, mask) for mask in (masks.causal(), bca) for n in lengths if n > settings.length or mask is not bca]


def lengths(model: LanguageModel, settings: train.Settings, source: Corpus) -> list[dict]:
    """Perplexity at every length, with and without blockwise causal attention; None where no position is defined."""
    documents = validation(settings, source)
    limit = model.position.limit
    return [
        {
            "length": length,
            "mask": repr(mask),
            "perplexity": None
            if limit and length > limit
            else round(evaluate.perplexity(model, documents, length, mask), 4),
        }
        for length, mask in ways(settings)
    ]


def places(model: LanguageModel, settings: train.Settings, source: Corpus) -> list[dict]:
    """At the longest length: the mean loss by place in the window, in 64 stretches of equal size."""
    documents, longest = validation(settings, source), LONGEST * settings.length
    found = []
    for mask in (masks.causal(), masks.block_causal(settings.length // 2)):
        if not (model.position.limit and longest > model.position.limit):
            by_place = evaluate.loss_by_place(evaluate.losses(model, documents, longest, mask))
            stretches = [round(float(part.mean()), 4) for part in np.array_split(by_place, 64)]
            found.append({"length": longest, "mask": repr(mask), "nats": stretches})
    return found


def resolution(model: LanguageModel, settings: train.Settings, source: Corpus) -> list[dict]:
    """Table 3: resolution by layer and head at the training length and twice it, there also block causal."""
    documents = validation(settings, source)[:10]
    n, found = settings.length, []
    for length, mask in ((n, masks.causal()), (2 * n, masks.causal()), (2 * n, masks.block_causal(n // 2))):
        if not (model.position.limit and length > model.position.limit):
            values = evaluate.measured_resolution(model, documents, length, mask)  # (layers, heads)
            found.append({"length": length, "mask": repr(mask), "resolution": np.round(values, 7).tolist()})
    return found


MEASURES = {"lengths": lengths, "places": places, "resolution": resolution}


# ---- tables -----------------------------------------------------------------------------------------------------


def table() -> str:
    """The recorded perplexities by length, and the mean resolution, as text."""
    recorded = results()
    columns = sorted({row["length"] for about in recorded.values() for row in about["results"].get("lengths", [])})
    lines = [f"{'perplexity':>24}" + "".join(f"{length:>9}" for length in columns)]
    for name, about in recorded.items():
        rows = about["results"].get("lengths", [])
        for mask in dict.fromkeys(row["mask"] for row in rows):
            cells = {row["length"]: row["perplexity"] for row in rows if row["mask"] == mask}
            shown = [f"{cells[n]:9.2f}" if cells.get(n) else f"{'-' if n in cells else '':>9}" for n in columns]
            lines.append(f"{name + (', BCA' if mask.startswith('block') else ''):>24}" + "".join(shown))
    lines.append(f"\n{'resolution':>24}{'length':>9}{'mask':>20}  by layer")
    for name, about in recorded.items():
        for row in about["results"].get("resolution", []):
            by_layer = "  ".join(f"{np.mean(heads):.5f}" for heads in row["resolution"])
            lines.append(f"{name:>24}{row['length']:>9}{row['mask']:>20}  {by_layer}")
    return "\n".join(lines)
