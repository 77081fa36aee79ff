"""What the epilogue says stands where it says: the sections are there, the numbers are printed in them."""

import re

import pytest

import charts
import notebooks

TEXT = (notebooks.ROOT / "book" / "epilogue.md").read_text(encoding="utf-8")
STATEMENTS = [
    " ".join(part.split())
    for part in re.findall(r"^- (.*?)(?=\n\n|\n- )", TEXT.split("## What to read")[0], re.M | re.S)
]
PLACE = re.compile(r"\[(?:Chapter|Appendix) (\w+)(?:, ([^\]]*))?\]\(([\w-]+)\.ipynb\)")


def test_every_statement_names_a_place():
    assert len(STATEMENTS) > 20
    for statement in STATEMENTS:
        assert PLACE.search(statement), statement


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda text: text[:40])
def test_the_place_is_there_and_holds_the_numbers(statement):
    said = PLACE.sub("", statement)
    for number, section, name in PLACE.findall(statement):
        cells = charts.cells(name)
        assert name.startswith((f"{number:0>2}-", f"appendix-{number.lower()}"))
        headings = [line for cell in cells for line in cell.source.splitlines() if line.startswith("## ")]
        if section:
            wanted = f"## {section.removeprefix('section ')}"
            assert [line for line in headings if line.startswith(wanted + "." * ("section" in section))]
        whole = "\n".join(
            cell.source + "".join(out.get("text", "") for out in cell.get("outputs", ())) for cell in cells
        )
        for value in re.findall(r"\d[\d,]*(?:\.\d+)?%?", re.sub(r"[`{].*?[`}]", "", said)):
            found = re.findall(r"\d[\d,]*(?:\.\d+)?%?", whole)
            assert value.replace(",", "").rstrip(",.") in {x.replace(",", "") for x in found}, value
