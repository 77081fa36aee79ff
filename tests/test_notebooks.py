"""Notebooks in git were run, print only text, and are in the table of contents. nbval compares what they print."""

import subprocess
import sys

import nbformat
import pytest
from nbformat import v4

import notebooks

BOOK = notebooks.ROOT / "book"
CHAPTERS = sorted(BOOK.rglob("*.ipynb"))


def test_every_page_is_in_the_table_of_contents():
    written = {
        path for path in BOOK.rglob("*") if path.suffix in (".ipynb", ".md") and ".ipynb_checkpoints" not in path.parts
    }
    assert written == set(notebooks.pages())


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_fit_to_be_committed(path):
    assert notebooks.complaints(nbformat.read(path, as_version=4), path.stat().st_size) == []


def notebook(*outputs, source="1 + 1", count=1, metadata=None):
    cell = v4.new_code_cell(source, execution_count=count, outputs=list(outputs))
    return v4.new_notebook(cells=[cell], metadata=metadata or {})


GOOD = v4.new_output("execute_result", {"text/plain": "2"}, execution_count=1)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (notebook(GOOD, count=None), "it was not executed"),
        (notebook(GOOD, count=2), "it was not executed from top to bottom"),
        (notebook(GOOD, metadata={"widgets": {}}), "it carries widget state"),
        (notebook(GOOD, source="x = 1\n" * 16), "cell 1 has more than 15 lines"),
        (notebook(GOOD, source="warnings.filterwarnings('ignore')"), "cell 1 hides warnings"),
        (notebook(v4.new_output("error", ename="E", evalue="", traceback=[])), "cell 1 ends in an error"),
        (notebook(v4.new_output("stream", name="stderr", text="w")), "cell 1 prints a warning"),
        (notebook(v4.new_output("display_data", {"image/png": "", "text/plain": ""})), "cell 1 carries image/png"),
        (
            notebook(v4.new_output("display_data", {"application/vnd.plotly.v1+json": {}})),
            "cell 1 carries application/vnd.plotly.v1",
        ),
    ],
)
def test_a_notebook_that_is_not_is_refused(bad, complaint):
    assert notebooks.complaints(notebook(GOOD)) == []
    (found,) = notebooks.complaints(bad)
    assert found.startswith(complaint)


def test_size_counts():
    assert notebooks.complaints(notebook(GOOD), size=200_001) == ["it has 200001 bytes, more than 200000"]


def test_stripping_keeps_the_text_and_nothing_of_the_machine():
    run = notebook(
        v4.new_output("stream", name="stdout", text="a"),
        v4.new_output("stream", name="stdout", text="b"),
        v4.new_output("display_data", {"text/plain": "figure", "text/html": "<b>"}),
        metadata={"widgets": {}, "language_info": {"name": "python", "version": "3.11.7"}},
    )
    run.cells[0].metadata = {"execution": {"iopub.status.busy": "now"}, "tags": ["hide-input"]}
    notebooks.strip(run)
    assert [output.get("text") or output.data for output in run.cells[0].outputs] == ["ab", {"text/plain": "figure"}]
    assert run.cells[0].metadata == {"tags": ["hide-input"]}
    assert run.metadata.language_info == {"name": "python"}
    assert notebooks.complaints(run) == []


@pytest.mark.parametrize(("printed", "code"), [("2", 0), ("3", 1)])
def test_nbval_compares_every_number(tmp_path, printed, code):
    made = notebook(v4.new_output("execute_result", {"text/plain": printed}, execution_count=1))
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(made, tmp_path / "chapter.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "."]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == code
