"""Appendix C: what the list asks for, how each recorded run was made, and what the records say, as tables of a page.

They are made from list.toml and the JSON files whenever they are shown. Records come and go, so that in words such a
table has only its caption: git keeps the words, and would have to be changed with every record.
"""

import html
import os
from dataclasses import asdict, dataclass

from lexviz import train
from lexviz.runs import tables


@dataclass(frozen=True)
class Table:
    """A caption and rows of texts, the first one the head; or a text in lines, as a terminal shows it."""

    caption: str
    rows: tuple[tuple[str, ...], ...] = ()
    text: str = ""

    def __repr__(self) -> str:
        return self.caption

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        if os.environ.get("LEXVIZ_PAGE"):
            return {"text/plain": repr(self), "text/html": self.page()}
        import ipywidgets  # in a kernel a widget, as figures are: nbval compares the words and lets widgets be

        return {**ipywidgets.HTML(self.page())._repr_mimebundle_(), "text/plain": repr(self)}

    def page(self) -> str:
        """The table as HTML."""
        head, *body = [[html.escape(cell) for cell in row] for row in self.rows] or [()]
        lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in body)
        shown = f"<table><thead><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr></thead><tbody>{lines}</tbody>"
        shown = f"{shown}</table>" if self.rows else f"<pre>{html.escape(self.text)}</pre>"
        scrolls = f'<div style="overflow-x: auto" tabindex="0">{shown}</div>'
        return f"<p>{html.escape(self.caption)}</p>{scrolls}"


def planned(plan: dict[str, dict], recorded: dict[str, dict]) -> Table:
    """The list, in order: what each run is, what is measured on it, and whether it is recorded."""
    rows = [("#", "run", "preset", "settings of its own", "measured", "weights kept", "recorded")]
    for number, (name, run) in enumerate(plan.items(), 1):
        own = ", ".join(f"{key} {value}" for key, value in run["settings"].items())
        kept, done = "yes" if run.get("keep") else "", recorded[name]["date"] if name in recorded else "not yet"
        rows.append((str(number), name, run["preset"], own, ", ".join(run["evaluate"]), kept, done))
    return Table("The list of runs, in the order in which they are made.", tuple(rows))


def made(recorded: dict[str, dict]) -> Table:
    """How each recorded run was made, and how long it took."""
    head = ("run", "other than the laptop preset", "text", "device", "Python, torch, numpy", "date")
    rows = [(*head, "training", "measuring")]
    usual = asdict(train.LAPTOP)
    for name, about in recorded.items():
        own = ", ".join(f"{key} {value}" for key, value in about["settings"].items() if value != usual.get(key))
        text = f"{about['corpus']['name']}, {about['corpus']['fingerprint'][:12]}"
        versions = ", ".join(about["versions"][each] for each in ("python", "torch", "numpy"))
        rows.append((name, own, text, about["device"], versions, about["date"], *minutes([about])))
    rows.append((f"all {len(recorded)} together", "", "", "", "", "", *minutes(recorded.values())))
    return Table("How each recorded run was made, with the minutes that it took.", tuple(rows))


def minutes(runs) -> tuple[str, str]:
    """Of training and of measuring, in all."""
    return tuple(f"{sum(about['minutes'][kind] for about in runs):.1f}" for kind in ("training", "measuring"))


def printed(recorded: dict[str, dict]) -> Table:
    """What `python -m lexviz runs --table` prints."""
    return Table("All tables, as python -m lexviz runs --table prints them.", text=tables.tables(recorded))
