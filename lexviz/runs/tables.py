"""The recorded results as text: `python -m lexviz runs --table`. Each table is made from the JSON alone."""

import statistics
from collections.abc import Iterator

from lexviz import evaluate


def tables(recorded: dict[str, dict]) -> str:
    """All tables, of what `runs.results()` gives."""
    return "\n\n".join("\n".join(lines) for make in TABLES if len(lines := list(make(recorded))) > 1)


def seeds(recorded: dict[str, dict], kind: str) -> dict[str, list[list[dict]]]:
    """Rows of one kind, of runs that differ in their seed only: {"rope": [those of rope-0, of rope-1, ...]}."""
    found = {}
    for name, about in recorded.items():
        if kind in about["results"]:
            found.setdefault(name.rpartition("-")[0], []).append(about["results"][kind])
    return found


def mean_and_spread(values: list[float]) -> str:
    """The mean, and half the way from the smallest to the largest where there are several."""
    mean = statistics.fmean(values)
    return f"{mean:.2f}" if len(values) == 1 else f"{mean:.2f} ±{(max(values) - min(values)) / 2:.2f}"


def cells(runs: list[list[dict]], value: str, **where) -> list[float | None]:
    """A value of the rows that are as `where` says, of every seed."""
    return [row[value] for rows in runs for row in rows if all(row[key] == is_ for key, is_ in where.items())]


def label(name: str, runs: list, mask: str) -> str:
    """A row's name, with its mask, and the number of seeds."""
    return f"{name}{', BCA' if mask.startswith('block') else ''} ({len(runs)})"


def lengths(recorded: dict[str, dict]) -> Iterator[str]:
    """Perplexity by length, with and without blockwise causal attention."""
    every = seeds(recorded, "lengths")
    columns = sorted({row["length"] for runs in every.values() for row in runs[0]})
    yield f"{'perplexity at length':>36}" + "".join(f"{n:>13}" for n in columns)
    for name, runs in every.items():
        for mask in dict.fromkeys(row["mask"] for row in runs[0]):
            shown = ""
            for n in columns:
                values = cells(runs, "perplexity", length=n, mask=mask)
                shown += f"{'' if not values else '-' if None in values else mean_and_spread(values):>13}"
            yield f"{label(name, runs, mask):>36}{shown}"


def resolution(recorded: dict[str, dict]) -> Iterator[str]:
    """Resolution by layer, the mean of its heads and of the seeds."""
    yield f"{'resolution':>36}{'length':>8}{'mask':>20}  by layer"
    for name, runs in seeds(recorded, "resolution").items():
        for same in zip(*runs, strict=True):
            layers = zip(*(row["resolution"] for row in same), strict=True)  # of each seed, of each head
            by_layer = [statistics.fmean(value for heads in layer for value in heads) for layer in layers]
            where = f"{same[0]['length']:>8}{same[0]['mask']:>20}"
            yield f"{f'{name} ({len(runs)})':>36}{where}  " + "  ".join(f"{value:.5f}" for value in by_layer)


def repeats(recorded: dict[str, dict]) -> Iterator[str]:
    """The loss in nats by how far back a byte stood last after the same eight."""
    every = seeds(recorded, "repeats")
    columns = sorted({(row["from"], row["to"]) for runs in every.values() for row in runs[0]})
    ranges = "".join(f"{'never' if end == 0 else f'to {end}':>9}" for _, end in columns)
    yield f"{'loss by distance of the repeat':>36}{'read at':>8}{ranges}"
    for name, runs in every.items():
        for n, mask in dict.fromkeys((row["length"], row["mask"]) for row in runs[0]):
            shown = ""
            for first, _ in columns:
                values = cells(runs, "nats", length=n, mask=mask, **{"from": first})
                shown += f"{'' if not values or None in values else f'{statistics.fmean(values):.3f}':>9}"
            yield f"{label(name, runs, mask):>36}{n:>8}{shown}"


def copies(recorded: dict[str, dict]) -> Iterator[str]:
    """The loss in nats of the same words, by how far back they stood before."""
    every = seeds(recorded, "copies")
    columns = [row["back"] for row in next(iter(every.values()), [[]])[0]]
    yield f"{'loss of words that stood before':>36}" + "".join(
        f"{f'{n} back' if n else 'nowhere':>11}" for n in columns
    )
    for name, runs in every.items():
        values = (statistics.fmean(cells(runs, "nats", back=n)) for n in columns)
        yield f"{label(name, runs, ''):>36}" + "".join(f"{value:>11.3f}" for value in values)


def far(recorded: dict[str, dict]) -> Iterator[str]:
    """Perplexity on texts of 32 times the training length: windows, recurrence, landmarks."""
    found = {}
    for name, about in recorded.items():
        for row in about["results"].get("windows", []):
            found.setdefault(f"{name}, {row['mask']}", {})[row["length"]] = row["perplexity"]
        for row in about["results"].get("retrieval", []) + about["results"].get("reach", []):
            how = "dense" if row["k"] is None else f"k={row['k']}, by {row['choose']}"
            how += "" if row["k"] is None or row["stingy"] else ", true positions"
            found.setdefault(f"{name}, {how}", {})[row["length"]] = row["perplexity"]
    columns = sorted({n for by_length in found.values() for n in by_length})
    yield f"{'perplexity at length':>56}" + "".join(f"{n:>9}" for n in columns)
    for how, by_length in found.items():
        yield f"{how:>56}" + "".join(f"{f'{by_length[n]:.3f}' if n in by_length else '':>9}" for n in columns)


def passkeys(recorded: dict[str, dict]) -> Iterator[str]:
    """Pass keys found, with the interval in which the true share lies."""
    yield f"{'pass keys found':>56}{'length':>8}  {'filler':<12}  right         share, 95%"
    for name, about in recorded.items():
        for row in about["results"].get("passkeys", []) + about["results"].get("passkey_ways", []):
            how = ", ".join(f"{key}={row[key]}" for key in row if key not in ("length", "filler", "right"))
            tried = "".join(row["right"])
            low, high = evaluate.interval(tried.count("1"), len(tried))
            right = f"{tried.count('1')} of {len(tried)}"
            yield f"{f'{name}, {how}':>56}{row['length']:>8}  {row['filler']:<12}  {right:<12}  {low:.2f} .. {high:.2f}"


TABLES = (lengths, resolution, repeats, copies, far, passkeys)
