"""Reference runs: models trained and measured once, for chapters to load.

    results()             every recorded run: {name: what its JSON says}
    load("xpos-0")        the trained model, if its weights are shipped
    python -m lexviz runs makes what list.toml names and is not here yet

A run's JSON says how it was made (settings, corpus, versions, device, minutes), its loss curve, and its results:
`runs.measures` has a function for each kind of them, `runs.tables` prints them.
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

from lexviz import checkpoint, checks, corpus, train
from lexviz.model import LanguageModel
from lexviz.runs.measures import MEASURES

FOLDER = pathlib.Path(__file__).parent  # where records and weights are


def results() -> dict[str, dict]:
    """What is recorded of each run, by name.

    >>> about = results()["xpos-0"]
    >>> about["settings"]["length"]  # of training; beyond, perplexity rises
    256
    >>> {row["length"]: round(row["perplexity"], 1) for row in about["results"]["lengths"] if row["mask"] == "causal()"}
    {64: 3.9, 128: 3.7, 256: 3.5, 512: 4.1, 1024: 5.3, 2048: 6.4, 4096: 7.4}
    """
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        try:
            found[path.stem] = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}; restore it, or delete it and make the run again") from None
    return {name: about for name, about in found.items() if "results" in about}


def load(name: str, position: type | None = None) -> LanguageModel:
    """The trained model of a run. Its encoding is looked up in `lexviz.positions`; a class from elsewhere is passed.

    >>> load("xpos-0").position
    Xpos(head_dim=32, gamma=0.4, scale_base=512.0, base=10000.0)
    """
    kept = sorted({path.stem.rpartition("-")[0] for path in FOLDER.glob("*.safetensors")})
    if name not in kept:
        raise ValueError(f"name is {name!r}; the runs whose weights are here are {', '.join(kept)}")
    return checkpoint.load(FOLDER / name, position)


# ---- making them ------------------------------------------------------------------------------------------------


def planned() -> dict[str, dict]:
    """The runs of list.toml, by name, in order.

    >>> planned()["xpos-0"]["settings"]
    {'position': 'Xpos', 'seed': 0}
    """
    return {run["name"]: run for run in tomllib.loads((FOLDER / "list.toml").read_text(encoding="utf-8"))["run"]}


def make(run: dict, work: str | os.PathLike, deadline: float = float("inf"), every: int = 100) -> Iterator[train.Entry]:
    """Train and measure a run of the list, and record it here; yields the history as training goes.

    The training's checkpoint is kept in the folder `work`; who calls again goes on there. Past the deadline, by
    time.monotonic(), it stops at the training's next checkpoint, the last one included, and nothing is recorded yet.
    """
    settings = replace(train.PRESETS[run["preset"]], **run["settings"])
    source = corpus.load(settings.corpus or None)
    started_from = str(FOLDER / settings.start_from) if settings.start_from else ""
    model = train.new_model(replace(settings, start_from=started_from))
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
    """The loss curve: (step, mean loss of the steps since the point before).

    >>> history = [train.Entry(step, 6.0 - step, 0.001, 5000.0) for step in (1, 2, 3, 4)]
    >>> curve(history, points=2)
    [[2, 4.5], [4, 2.5]]
    """
    checks.at_least(1, points=points)
    if not history:
        raise ValueError("history is empty; a curve needs entries of training")
    parts = np.array_split(np.arange(len(history)), min(points, len(history)))
    return [[int(part[-1]) + 1, round(float(np.mean([history[i].loss for i in part])), 4)] for part in parts]
