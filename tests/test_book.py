"""The website builds without a warning, shows what the chapters print, and is built again when it has to be."""

import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
import types

import bs4
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement

import formulas
import launch
import notebooks
import website
from student import versions

CHAPTERS = [path for path in notebooks.pages() if path.suffix == ".ipynb"]


def seen(page):
    """What a reader sees of HTML, tags and white space aside."""
    return "".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())


def test_every_page_is_there(site):
    for path in notebooks.pages():
        page = site / path.relative_to(notebooks.ROOT).with_suffix(".html")
        assert page.stat().st_size > 1000


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_page_shows_everything_that_its_chapter_prints(site, path):
    file = site / path.relative_to(notebooks.ROOT).with_suffix(".html")
    page = seen(file.read_text(encoding="utf-8"))
    pieces = bs4.BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser").select(".output.stream pre")
    lines = {piece.get_text().strip("\n") for piece in pieces}
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", ()):
            printed = output.get("text") or output.get("data", {}).get("text/plain", "")
            assert output.output_type != "stream" or printed.strip("\n") in lines  # its rows whole, its columns in line
            if "quiz" in cell.metadata.get("tags", ()):  # the page has its formulas drawn, and in MathML
                marked = re.sub(r"\$([^$]+)\$", r"\\(\1\\)", html.escape(printed, quote=False))
                printed = seen(formulas.fill(marked))
            # git keeps a figure in words; the page has its caption and its read-outs, and draws the rest
            said = re.findall(r"^Figure \S+: (.*)$|^  (?!.* numbers from )(.*) = (.*)$", printed, re.M) or [[printed]]
            for text in (text for texts in said for text in texts):
                assert "".join(text.split()) in page


# ---- a small book of its own, to break and to count in ----------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """This project with one chapter, whose only cell writes a line to a file each time that it runs.

    It lies in a folder with blanks and letters beyond ASCII, as a home may.
    """
    tmp_path /= "Länge & mehr"
    tmp_path.mkdir()
    for name in ("tools", "lexviz"):
        shutil.copytree(notebooks.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "requirements.txt"):
        shutil.copy(notebooks.ROOT / name, tmp_path)
    shutil.copytree(notebooks.ROOT / "book" / "extra", tmp_path / "book" / "extra")
    shutil.copy(notebooks.ROOT / "book" / "references.bib", tmp_path / "book")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/chapter\n")
    write_chapter(tmp_path, "# Chapter")
    return tmp_path


def write_chapter(root, text, code=""):
    source = f"with open({str(root / 'runs')!r}, 'a') as file:\n    file.write('run\\n'){code}"
    cells = [nbformat.v4.new_markdown_cell(text, id="text"), nbformat.v4.new_code_cell(source, id="code")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "book" / "chapter.ipynb")


def build(root):
    """(exit code, what was said, how often the chapter has run by now)"""
    done = subprocess.run([sys.executable, "tools/website.py"], cwd=root, capture_output=True, text=True)
    runs = root / "runs"
    return done.returncode, done.stdout + done.stderr, len(runs.read_text().split()) if runs.exists() else 0


def test_a_chapter_is_run_again_when_what_it_depends_on_changes_and_only_then(small):
    assert build(small)[::2] == (0, 1)
    assert build(small)[::2] == (0, 1)
    (small / "README.md").write_text("changed")
    write_chapter(small, "# Other words")
    assert build(small)[::2] == (0, 1)
    assert "Other words" in (small / "_build" / "html" / "book" / "chapter.html").read_text()
    pieces = "\nimport time\nfor word in ('one', 'piece'):\n    print(word, end=' ', flush=True)\n    time.sleep(0.5)"
    write_chapter(small, "# Other words", pieces)
    next((small / "_build" / "executed").rglob("global.db")).write_bytes(b"damaged")
    assert build(small)[::2] == (0, 2)
    assert "one piece" in (small / "_build" / "html" / "book" / "chapter.html").read_text()
    (small / "lexviz" / "theory.py").write_text("# changed")
    assert build(small)[::2] == (0, 3)
    (small / "requirements.txt").write_text("# changed")
    assert build(small)[::2] == (0, 4)
    assert len(list((small / "_build" / "executed").iterdir())) == 1


def test_a_killed_kernel_and_a_killed_build_are_named_and_the_next_build_succeeds(small):
    # the chapter's first run kills its kernel, the second one the build that started it
    kill = "\nimport os\nif runs < 3: os.kill([os.getpid(), os.getppid()][runs - 1], 9)"
    write_chapter(small, "# Chapter", f"\nruns = len(open({str(small / 'runs')!r}).read().split()){kill}")
    code, said, _ = build(small)
    assert code > 0
    assert "the kernel that ran book/chapter died" in said
    code, said, _ = build(small)
    assert code != 0
    assert "lexviz: the build was killed (signal 9). Run make book again" in said
    assert build(small)[::2] == (0, 3)
    assert build(small)[::2] == (0, 3)


def test_of_a_build_that_did_not_end_only_whole_chapters_are_kept(tmp_path):
    for name, text in (("whole", "{}"), ("half", '{"cells": [')):
        (tmp_path / "executed" / "fingerprint" / "executed" / name).mkdir(parents=True)
        (tmp_path / "executed" / "fingerprint" / "executed" / name / "base.ipynb").write_text(text)
    (tmp_path / ".doctrees").mkdir()
    website.forget(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["executed"]
    assert [path.name for path in (tmp_path / "executed" / "fingerprint" / "executed").iterdir()] == ["whole"]


LEADS_NOWHERE = """# Chapter

[page](no-page.md), [place](#no-place), [place on a page](chapter.ipynb#no-place), {ref}`no-label`, {eq}`no-equation`,
{term}`no-term`, {cite:p}`no-source`, [scheme](htp://example.org)
"""


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (LEADS_NOWHERE, "", ["no-page", "no-place", "no-label", "no-equation", "no-term", "no-source", "htp"]),
        ("# Chapter\n\nHere $\\zetta$ is wrong.", "", ["chapter.ipynb", "does not understand \\zetta"]),
        ("# Chapter", "\n1 / 0", ["ZeroDivisionError"]),
        ("# Chapter", "\nimport sys; print('careful', file=sys.stderr)", ["stderr"]),
    ],
)
def test_a_warning_fails_the_build_and_fails_it_again(small, text, code, said):
    write_chapter(small, text, code)
    for _ in range(2):
        returned, printed, _ = build(small)
        assert returned != 0
        assert [each for each in said if each not in printed] == []
        assert "lexviz: the book was not built" in printed


def test_a_figure_is_not_dropped_in_silence(small):
    """Plotly's own output is one that myst-nb cannot show; it says so, and that must fail the build."""
    payload = json.dumps({"application/vnd.plotly.v1+json": {"data": []}})
    write_chapter(small, "# Chapter", f"\nfrom IPython.display import display\ndisplay({payload}, raw=True)")
    returned, printed, _ = build(small)
    assert returned != 0
    assert "skipping unknown output mime type" in printed


def test_the_repository_s_address_puts_buttons_on_chapters_and_a_cell_before_their_first(small):
    page, chapter = small / "_build" / "html" / "book" / "chapter.html", small / "book" / "chapter.ipynb"
    before = chapter.read_text()
    assert build(small)[0] == 0
    assert "mybinder" not in page.read_text()
    config = small / "_config.yml"
    without = config.read_text()
    config.write_text(without.replace('url: ""', "url: https://github.com/someone/some-book"))
    code, said, _ = build(small)
    assert code != 0
    assert "chapter.ipynb: run .venv/bin/python tools/launch.py" in said
    in_line = [sys.executable, "tools/launch.py"]
    assert subprocess.run(in_line, cwd=small, capture_output=True, text=True).stdout == "chapter.ipynb\n"
    assert subprocess.run(in_line, cwd=small, capture_output=True, text=True).stdout == ""
    assert build(small)[0] == 0
    assert re.findall(r'href="(https://(?:mybinder|colab)[^"]*)"', page.read_text()) == [
        "https://mybinder.org/v2/gh/someone/some-book/main?urlpath=lab/tree/book/chapter.ipynb",
        "https://colab.research.google.com/github/someone/some-book/blob/main/book/chapter.ipynb",
    ]
    assert "git clone" not in page.read_text()
    config.write_text(without)
    subprocess.run(in_line, cwd=small, check=True)
    assert re.sub(r'"execution_count": \w+', "", chapter.read_text()) == re.sub(r'"execution_count": \w+', "", before)


@pytest.mark.parametrize(("known", "wanted"), [(True, []), (False, ["git clone", "%pip install", "%cd -q"])])
def test_the_first_cell_fetches_the_book_where_lexviz_is_missing_and_else_does_nothing(
    known, wanted, tmp_path, monkeypatch
):
    chapter = nbformat.read(CHAPTERS[1], as_version=4)
    assert launch.fetching(chapter, "https://github.com/someone/some-book", "main")
    assert notebooks.complaints(chapter) == []
    (source,) = (cell.source for cell in chapter.cells if cell.id == "fetch")
    asked = []

    def system(command):
        asked.append(command)
        (tmp_path / "the-book" / "book").mkdir(parents=True)

    shell = types.SimpleNamespace(system=system, run_line_magic=lambda name, line: asked.append(f"%{name} {line}"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: known or None)
    exec(TransformerManager().transform_cell(source), {"get_ipython": lambda: shell})
    assert [" ".join(command.split()[:2]) for command in asked] == wanted


def test_what_that_cell_installs_is_what_chapters_and_students_need():
    project = tomllib.loads((notebooks.ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["notebooks"]
    installed = {Requirement(each).name.removesuffix("-cpu") for each in asked}
    cells = [cell for path in CHAPTERS for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    imported = set(re.findall(r"^(?:import|from) (\w+)", "\n".join(cell.source for cell in cells), re.M))
    needed = {name.removesuffix("-cpu") for name in versions.NEEDED if not name.startswith("jupyterlab")}
    assert imported - sys.stdlib_module_names - {"lexviz"} <= needed <= installed
