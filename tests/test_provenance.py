"""The tables of Appendix C: a row for every run, made from the records alone; in words always the same."""

import copy
import html
import re

import pytest

from lexviz import runs
from lexviz.runs import provenance, tables


def cells(table):
    """The texts of a table's rows, as the page shows them."""
    rows = re.findall(r"<tr>(.*?)</tr>", table.page())
    return [[html.unescape(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", row)] for row in rows]


def test_the_list_is_shown_in_order_with_what_is_recorded():
    plan, recorded = runs.planned(), runs.results()
    head, *rows = cells(provenance.planned(plan, recorded))
    assert [row[1] for row in rows] == list(plan)
    for row in rows:
        about = dict(zip(head, row, strict=True))
        run = plan[about["run"]]
        assert all(f"{key} {value}" in about["settings of its own"] for key, value in run["settings"].items())
        assert about["measured"] == ", ".join(run["evaluate"])
        assert (about["recorded"] == "not yet") == (about["run"] not in recorded)


def test_every_record_is_shown_with_its_origin_and_the_minutes_add_up():
    recorded = runs.results()
    _, *rows, total = cells(provenance.made(recorded))
    assert [row[0] for row in rows] == list(recorded)
    for name, own, text, device, versions, date, *minutes in rows:
        about = recorded[name]
        assert f"position {about['settings']['position']}" in own or about["settings"]["position"] == "Xpos"
        assert "learning_rate" not in own or about["settings"]["learning_rate"] != 0.002
        assert text == f"sympy 1.14.0, {about['corpus']['fingerprint'][:12]}"
        assert (device, date) == (about["device"], about["date"])
        assert about["versions"]["torch"] in versions
        assert [float(each) for each in minutes] == [about["minutes"]["training"], about["minutes"]["measuring"]]
    for column in (-2, -1):
        assert float(total[column]) == pytest.approx(sum(float(row[column]) for row in rows), abs=0.05)


def test_in_words_nothing_changes_with_the_records():
    recorded = runs.results()
    fewer = {"xpos-0": recorded["xpos-0"]}
    for make in (provenance.made, provenance.printed):
        assert repr(make(recorded)) == repr(make(fewer))
        assert make(recorded).page() != make(fewer).page()
        assert repr(make(fewer)) in make(fewer).page()


def test_text_of_the_records_stays_text():
    recorded = copy.deepcopy({"xpos-0": runs.results()["xpos-0"]})
    recorded["xpos-0"]["device"] = "<img src=x>"
    assert "<img" not in provenance.made(recorded).page()
    shown = re.search(r"<pre>(.*)</pre>", provenance.printed(recorded).page(), re.DOTALL).group(1)
    assert html.unescape(shown) == tables.tables(recorded)


def test_a_page_gets_html_and_a_kernel_a_widget_and_both_the_same_words(monkeypatch):
    table = provenance.made(runs.results())
    monkeypatch.setenv("LEXVIZ_PAGE", "1")
    assert table._repr_mimebundle_() == {"text/plain": table.caption, "text/html": table.page()}
    monkeypatch.delenv("LEXVIZ_PAGE")
    bundle = table._repr_mimebundle_()
    assert bundle["text/plain"] == table.caption
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "text/html" not in bundle
