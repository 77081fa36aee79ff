"""Appendix D keeps its promises: links open what they say, numbers are those that a figure shows or a chapter prints,
minutes and points add up, answers are right, and what it says of machines can be repeated."""

import collections
import html
import json
import math
import os
import re
import subprocess
import sys
import tomllib
from urllib.parse import unquote

import bs4
import nbformat
import numpy as np
import pytest

import charts
import notebooks
from benchmarks import classroom
from lexviz import evaluate, masks, theory

ROOT = notebooks.ROOT
CELLS = charts.cells("appendix-d-teaching")
TEXT = "\n\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")
LINK = re.compile(r'<a href="([\w-]+\.html)#([^":]+):([^"]*)">')


def section(number):
    """The text of a numbered section."""
    return re.search(rf"^## {number}\. .*?(?=^## |\Z)", TEXT, re.M | re.S)[0]


# ---- addresses of figures ---------------------------------------------------------------------------------------


def wanted(parts):
    """{control: value} of an address's last part, as explore.js reads it."""
    return dict(unquote(part).split("=", 1) for part in html.unescape(parts).split(";"))


@pytest.fixture(scope="module")
def controls(site):
    """{(page, figure): {control: its values}} of the site."""
    found = {}
    for page in {page for page, _, _ in LINK.findall(TEXT)}:
        soup = bs4.BeautifulSoup((site / "book" / page).read_text(encoding="utf-8"), "html.parser")
        for figure in soup.select("figure.lex"):
            inputs = figure.select("[data-control]")
            of_figure = {part["data-control"]: json.loads(part["data-keys"]) for part in inputs}
            found[page, figure["data-figure"]] = of_figure
    return found


def test_every_link_to_a_figure_asks_for_what_there_is(controls):
    links = LINK.findall(TEXT)
    assert len(links) > 60
    assert TEXT.count("<a ") == len(links)  # none that the pattern has missed
    for page, figure, parts in links:
        assert (page, figure) in controls, (page, figure)
        for name, value in wanted(parts).items():
            assert name in controls[page, figure], (page, figure, name)
            assert value in controls[page, figure][name], (page, figure, name, value)


READOUT = re.compile(r"`([^`]+) = ([^`]+)`")


def quoted():
    """[(page, address, {read-out: value}), ...]: what the lecture says beside each link, up to the next one."""
    found = []
    for line in section(2).splitlines():
        marks = [*LINK.finditer(line)]
        ends = [mark.start() for mark in marks[1:]] + [len(line)]
        for mark, end in zip(marks, ends, strict=False):  # a line without a link has one end and no mark
            says = dict(READOUT.findall(line[mark.end() : end]))
            found.append((mark[1], f"#{html.unescape(mark[2])}:{html.unescape(mark[3])}", says))
    return found


def test_a_number_beside_a_figure_stands_behind_the_link_that_opens_it():
    lines = [line for line in section(2).splitlines() if READOUT.search(line)]
    assert sum(len(says) for _, _, says in quoted()) == sum(len(READOUT.findall(line)) for line in lines) > 30


def test_the_lecture_says_what_its_figures_show_and_they_fit_a_projector(site, browser):
    tab = browser.new_page(viewport={"width": 1920, "height": 1080}, bypass_csp=True)  # to wait, playwright evaluates
    for page, address, says in quoted():
        if not says:
            continue
        tab.goto("about:blank")
        tab.goto((site / "book" / page).as_uri() + address)
        name = address[1:].partition(":")[0]
        tab.wait_for_function("id => document.getElementById(id).dataset.state === 'ready'", arg=f"lex-{name}")
        root = tab.locator(f"#lex-{name}")
        assert root.locator(".lex-note").text_content() == "", address
        assert root.bounding_box()["height"] <= 1080, address
        terms, values = (root.locator(f".lex-readouts {part}").all_text_contents() for part in ("dt", "dd"))
        shown = dict(zip(terms, values, strict=True))
        for term, value in says.items():
            assert shown[term] == value, (address, term)
    tab.close()


# ---- numbers from chapters, and sections of them ----------------------------------------------------------------


def numbered(name):
    """The numbers of a chapter's sections."""
    return {n for cell in charts.cells(name) for n in re.findall(r"^## (\d+)\. ", cell.source, re.M)}


def test_a_number_said_to_be_printed_is_printed():
    said = 0
    for line in TEXT.splitlines():
        numbers = re.findall(r"`(\d+(?:\.\d+)?)`", line)
        if numbers:
            (name,) = re.findall(r"\[chapter \d+, section \d+\]\(([\w-]+)\.ipynb\)", line)
            printed = "".join(out.get("text", "") for cell in charts.cells(name) for out in cell.get("outputs", ()))
            assert set(numbers) <= set(re.findall(r"\d+(?:\.\d+)?", printed))
            said += len(numbers)
    assert said >= 4


def test_sections_that_are_named_are_there():
    links = re.findall(r"\[[Cc]hapter (\d+), section (\d+)\]\(([\w-]+)\.ipynb\)", TEXT)
    assert len(links) > 5
    for chapter, number, name in links:
        assert name.startswith(f"{chapter:0>2}-")
        assert number in numbered(name), (name, number)
    names = {path.stem[:2]: path.stem for path in (ROOT / "book").glob("[0-9]*.ipynb")}
    rows = re.findall(r"\| chapter (\d+), (\d[\d, and to]*) \|", section(3))
    assert len(rows) > 10
    for chapter, numbers in rows:
        assert set(re.findall(r"\d+", numbers)) <= numbered(names[f"{chapter:0>2}"]), chapter


# ---- minutes ----------------------------------------------------------------------------------------------------


def test_the_lecture_is_ninety_minutes_without_a_gap():
    rows = re.findall(r"^\| (\d+) to (\d+) \| ([^|]+) \|", section(2), re.M)
    headings = re.findall(r"^### Minute (\d+) to (\d+): (.*)$", section(2), re.M)
    assert [row[:2] for row in rows] == [heading[:2] for heading in headings]
    ends = [int(row[1]) for row in rows]
    assert [int(row[0]) for row in rows] == [0, *ends[:-1]]
    assert ends[-1] == 90


def test_each_meeting_of_the_unit_is_ninety_minutes():
    meetings, current = collections.Counter(), None
    for meeting, minutes in re.findall(r"^\| (lab \d|\d|) ?\| (\d+) \|", section(3), re.M):
        current = meeting or current
        meetings[current] += int(minutes)
    assert len(meetings) == 6
    assert set(meetings.values()) == {90}


def test_the_seminars_minutes_are_the_chapters_own():
    found = re.findall(r"\[(?:\d+|A)\]\(([\w-]+)\.ipynb\), (\d+)", section(4))
    assert len(found) > 10
    for name, minutes in found:
        whole = "\n".join(cell.source for cell in charts.cells(name))
        assert f"**Time:** {minutes} minutes" in whole, name


# ---- the bank of questions --------------------------------------------------------------------------------------

QUESTION = re.compile(r"^\*\*(\w+)\.\*\* \((recall|apply|argue), (\d+)\) ", re.M)
ANSWER = re.compile(r"^\*\*(\w+)\.\*\* (?!\((?:recall|apply|argue), )(.*)$", re.M)


def test_every_question_has_an_answer_whose_points_add_up():
    questions = {name: int(points) for name, _, points in QUESTION.findall(section(6))}
    answers = dict(ANSWER.findall(section(6)))
    assert list(questions) == list(answers)
    assert len(questions) >= 24
    for name, points in questions.items():
        assert sum(map(int, re.findall(r"\((\d)(?:, one each)?\)", answers[name]))) == points, name


def test_every_chapter_has_questions_of_each_kind():
    kinds = collections.defaultdict(set)
    for name, kind, _ in QUESTION.findall(section(6)):
        kinds[re.sub(r"[a-z]$", "", name)].add(kind)
    chapters = {re.match(r"\d+", path.stem)[0].lstrip("0") for path in (ROOT / "book").glob("[0-9]*.ipynb")}
    assert chapters <= set(kinds)
    for chapter in chapters:
        assert kinds[chapter] == {"recall", "apply", "argue"}, chapter


def heard(mask, query, layers):
    """How many inputs can have reached the output at `query`, going back from first key to first key."""
    first = query
    for _ in range(layers):
        first = mask.span(first, first)[0]
    return query - first + 1


COMPUTED = {  # what an answer says, and the same from other sources
    "1b": [("6.38", 5 * math.exp(math.log(6 / 5) / 0.75)), ("0.18", math.log(1.2))],
    "2b": [("7.39", math.exp(-0.5) / math.exp(-2.5))],
    "3b": [("0.0096", (np.exp(3j * np.array([1, 0.01]))).real.sum())],
    "4b": [(f"{x:.3f}", math.exp(1024 * theory.decay_rates(64)[pair])) for pair, x in ((0, 0.082), (16, 0.413))],
    "5b": [("1.1", 3 * 2**-11 * 0.75 * 1001)],
    "6b": [
        ("393", 5000 - masks.block_causal(256).span(5000, 5000)[0] + 1),
        ("1673", heard(masks.block_causal(256), 5000, layers=6)),
        ("3067", heard(masks.sliding_window(512), 5000, layers=6)),
    ],
    "7b": [("8.3", 100 * 300 * 16 * 256 / 14_850_383)],
    "8b": [("5.15", math.exp(math.log(6) / 8 + 7 / 8 * (2 * math.log(5.5) - math.log(6))))],
    "9b": [("87.5", 100 * (1 - 256 / 2048)), ("95", 100 * 1792 * math.e / (1792 * math.e + 256))],
    "11b": [
        ("98304", 2 * 24 * 16 * 64 * 2),
        ("9.8", 1e5 * 98304 / 1e9),
        ("98", 1e5 / 50 * 24 * 16 * 64 * 2 / 1e6),
        ("19.7", 4 * 50 * 98304 / 1e6),
    ],
    "11c": [("0.84", evaluate.interval(20, 20)[0])],
    "12b": [("4160", 64 * 64 + 64), ("33", math.ceil(4160 / 128))],
    "Aa": [("8.85", math.log(65504) / -math.log(theory.decays(64)[0]))],
}


@pytest.mark.parametrize("name", COMPUTED)
def test_answers_with_a_number_are_right(name):
    answer = dict(ANSWER.findall(section(6)))[name]
    for said, computed in COMPUTED[name]:
        decimals = len(said.partition(".")[2])
        assert f"{computed:.{decimals}f}" == said
        assert re.search(rf"(?<![\d.]){re.escape(said)}(?![\d.]\d)", answer), said


def test_grouped_weights_of_the_answer_are_those_of_the_library():
    import torch

    from lexviz.landmark import grouped_softmax, is_landmark

    scores = [0, math.log(3), math.log(2), 0, 0, 0, 0, 0]  # A: two tokens and a landmark, B alike, then the own two
    weights = grouped_softmax(torch.tensor([scores], dtype=torch.float64), is_landmark(8, block=2), q_start=7)[0]
    np.testing.assert_allclose(weights[[0, 1, 6, 7]], [0.1, 0.3, 0.2, 0.2])
    answer = dict(ANSWER.findall(section(6)))["10b"]
    assert "0.1 and 0.3" in answer
    assert "0.2 each" in answer


# ---- machines ---------------------------------------------------------------------------------------------------


def test_what_was_measured_is_still_in_the_book():
    found = json.loads(classroom.RECORD.read_text(encoding="utf-8"))
    lab, *others = found["rows"]
    assert "JupyterLab" in lab["name"]
    assert {row["name"] for row in others} <= {path.stem for path in notebooks.pages()}
    assert all(row["memory"] > 50e6 and row["processor"] > 0.5 for row in found["rows"])


def test_the_measured_memory_is_that_of_the_kernel(tmp_path):
    peaks = []
    for size in (0, 300_000_000):
        cell = nbformat.v4.new_code_cell(f"held = b'1' * {size}")
        path = tmp_path / f"{size}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
        peaks.append(classroom.measured(classroom.notebook, str(path))["memory"])
    assert 270e6 < peaks[1] - peaks[0] < 330e6


def test_a_notebook_that_fails_is_said_to_have_failed(tmp_path):
    path = tmp_path / "broken.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]), path)
    with pytest.raises(RuntimeError, match=r"broken\.ipynb failed"):
        classroom.measured(classroom.notebook, str(path))


def test_binder_takes_the_books_own_pins_and_python():
    folder = ROOT / ".binder"
    lines = [line for line in (folder / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert [(folder / line.removeprefix("-r ")).resolve() for line in lines] == [ROOT / "requirements.txt"]
    major, minor = re.fullmatch(r"python-(\d+)\.(\d+)\n", (folder / "runtime.txt").read_text()).groups()
    assert f">={major}.{minor}" == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    script = folder / "postBuild"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script]).returncode == 0


def test_the_commands_that_it_names_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)) | {"course"}
    assert set(re.findall(r"`make ([a-z-]+)`", TEXT)) <= targets
    help_of = subprocess.run([sys.executable, "-m", "lexviz", "train", "--help"], capture_output=True, text=True).stdout
    for option in re.findall(r"`(--[a-z-]+)", section(7)):
        assert option in help_of, option
