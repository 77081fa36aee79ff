"""The coding exercises of a chapter as an assignment in otter-grader's format, for courses that grade with it.

`master` writes the notebook that otter's own `otter assign` takes apart: into one for students, and one with a file of
tests that grades what they hand in. A test asks what `exercises.check` asks; an exercise is worth its difficulty.
"""

import ast
import pathlib
import re
import subprocess
import sys

import nbformat
from nbformat import v4

import editions

CONFIG = """# ASSIGNMENT CONFIG
name: {name}
run_tests: false
export_cell:
  pdf: false
  run_tests: true
"""


def tagged(cell: nbformat.NotebookNode, tag: str) -> bool:
    """Does a cell have this tag?"""
    return tag in cell.metadata.get("tags", ())


def imports(chapter: nbformat.NotebookNode) -> str:
    """What a chapter imports, outside of its solutions, and the exercises themselves."""
    cells = [cell for cell in chapter.cells if cell.cell_type == "code" and not tagged(cell, "solution")]
    parts = [part for cell in cells for part in ast.parse(cell.source).body]
    found = [ast.unparse(part) for part in parts if isinstance(part, ast.Import | ast.ImportFrom)]
    return "\n".join(dict.fromkeys([*found, "from lexviz import exercises"]))


# Otter drops the solution and the two lines around the stub for students, and keeps all for the grader.
ANSWER = """# BEGIN SOLUTION NO PROMPT
{solution}
# END SOLUTION
''' # BEGIN PROMPT
{stub}
'''; # END PROMPT"""


def question(cells: list[nbformat.NotebookNode], exercises: dict[str, str]) -> list[nbformat.NotebookNode]:
    """Otter's cells for one exercise: its text, its stub and the solution that follow."""
    text, stub, *solution = cells
    name = re.search(r'exercises\.check\("(\w+)"', stub.source)[1]
    points = int(re.search(r"Difficulty (\d) of 3", text.source)[1])
    solved = "\n\n\n".join(cell.source for cell in solution if cell.cell_type == "code")
    right = v4.new_output("execute_result", {"text/plain": "'right.'"}, execution_count=1)
    return [
        v4.new_raw_cell(f"# BEGIN QUESTION\nname: {name}\npoints: {points}"),
        v4.new_markdown_cell(editions.headed(text.source, exercises)),
        v4.new_raw_cell("# BEGIN SOLUTION"),
        v4.new_code_cell(ANSWER.format(solution=solved, stub=stub.source)),
        v4.new_raw_cell("# END SOLUTION"),
        v4.new_raw_cell("# BEGIN TESTS"),
        v4.new_code_cell(f'exercises.verdict("{name}", {name})', outputs=[right]),
        v4.new_raw_cell("# END TESTS"),
        v4.new_raw_cell("# END QUESTION"),
    ]


def master(chapter: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """The notebook that `otter assign` makes an assignment of."""
    exercises, cells = editions.titles(chapter), chapter.cells
    title = re.search(r"^# (.+)", cells[0].source, re.MULTILINE)[1]
    made = [
        v4.new_raw_cell(CONFIG.format(name=name)),
        v4.new_markdown_cell(f"# Exercises of chapter {title}"),
        v4.new_code_cell(imports(chapter)),
    ]
    for at, cell in enumerate(cells):
        if tagged(cell, "stub"):
            end = at + 1
            while end < len(cells) and tagged(cells[end], "solution"):
                end += 1
            made += question(cells[at - 1 : end], exercises)
    return v4.new_notebook(cells=made, metadata=chapter.metadata)


def build(chapters: dict[str, nbformat.NotebookNode], folder: pathlib.Path) -> None:
    """Write an assignment for each chapter, by name: what students get, what grades it, and the master of both."""
    for name, chapter in chapters.items():
        (folder / name).mkdir(parents=True)
        nbformat.write(master(chapter, name), folder / name / f"{name}.ipynb")
    # one process for all: to import otter takes it longer than its work
    done = subprocess.run([sys.executable, __file__, str(folder), *chapters], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"otter has made no assignments: {done.stdout}{done.stderr}")


def main():
    """Let otter make assignments of the masters of a folder."""
    from otter.assign import main as assign

    folder, *names = sys.argv[1:]
    for name in names:
        place = pathlib.Path(folder, name)
        assign(str(place / f"{name}.ipynb"), str(place), no_pdfs=True)
        (grader,) = place.glob("autograder/*.zip")
        grader.rename(grader.with_name("autograder.zip"))  # otter's name has the time in it


if __name__ == "__main__":
    main()
