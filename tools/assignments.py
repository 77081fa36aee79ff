"""The coding exercises of a chapter as an assignment in otter-grader's format, for courses that grade with it.

`master` writes the notebook that otter's own `otter assign` takes apart: into one for students, and one with a file of
tests that grades what they hand in. A test asks what `exercises.check` asks; an exercise is worth its difficulty.
"""

import ast
import dis
import pathlib
import re
import subprocess
import sys
import types

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


def names(cell: nbformat.NotebookNode, *operations: str) -> set[str]:
    """The names with which a cell does this, outside of its functions or in them: STORE_NAME, LOAD_GLOBAL, ...

    >>> names(v4.new_code_cell("y = [x for x in z]"), "STORE_NAME")
    {'y'}
    """
    found, codes = set(), [compile(cell.source, "cell", "exec")]
    while codes:
        code = codes.pop()
        codes += [part for part in code.co_consts if isinstance(part, types.CodeType)]
        found |= {step.argval for step in dis.get_instructions(code) if step.opname in operations}
    return found


def before(chapter: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    r"""What an answer may use: all that the chapter imports, and its cells that make what its solutions ask for.

    >>> cells = ["import math", "def half(x):\n    return x / 2", "print(1)", "def part(x):\n    return half(half(x))"]
    >>> chapter = v4.new_notebook(cells=[v4.new_code_cell(source) for source in cells])
    >>> chapter.cells[-1].metadata.tags = ["solution"]
    >>> [cell.source for cell in before(chapter)]
    ['import math\nfrom lexviz import exercises', 'def half(x):\n    return x / 2']
    """
    code = [cell for cell in chapter.cells if cell.cell_type == "code"]
    answers = [cell for cell in code if tagged(cell, "stub") or tagged(cell, "solution")]
    rest = [cell for cell in code if cell not in answers]
    parts = [part for cell in rest for part in ast.parse(cell.source).body]
    imports = [ast.unparse(part) for part in parts if isinstance(part, ast.Import | ast.ImportFrom)]
    start = v4.new_code_cell("\n".join(dict.fromkeys([*imports, "from lexviz import exercises"])))
    imported = names(start, "STORE_NAME")
    asked, made = set(), set(imported)
    for cell in answers:
        made |= names(cell, "STORE_NAME")
        asked |= names(cell, "LOAD_NAME", "LOAD_GLOBAL") - made
    needed = []
    for cell in reversed(rest):  # what a cell asks for is made above it
        given = names(cell, "STORE_NAME") - imported
        if asked & given:
            needed.insert(0, v4.new_code_cell(cell.source))
            asked = (asked - given) | (names(cell, "LOAD_NAME", "LOAD_GLOBAL") - given - imported)
    return [start, *needed]


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
        *before(chapter),
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
