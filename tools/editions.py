"""The notebooks of a course: of each chapter one for students and one for teachers, by tags and metadata of its cells.

Students get no cell with the tag `solution`; teachers get all of them, unfolded, and the notes that cells carry as
metadata, `teacher`, after them. Exercises, which JupyterLab's MyST does not know, become headings in both. What the
notebooks need lies beside them: the questions, the pictures, the pages that they lead to.
"""

import copy
import pathlib
import re
import shutil
from urllib.parse import unquote

import nbformat
from nbformat import v4

import notebooks

ROOT = notebooks.ROOT
BOOK = ROOT / "book"
TEACHERS = "appendix-d"  # how the page begins that answers its own questions: not for students

DIRECTIVE = re.compile(
    r"^(?P<fence>:{3,}|`{3,})\{(?P<name>exercise|solution|solution-start|solution-end)\}[ ]*(?P<title>[^\n]*)\n"
    r"(?P<options>(?::[\w-]+:[^\n]*\n)*)(?P<text>.*?)^(?P=fence)[ ]*$\n?",
    re.MULTILINE | re.DOTALL,
)


ADDRESS = re.compile(
    r"\[(?P<words>[^\]]+)\]\(#(?P<figure>[\w-]+):(?P<state>[^)\s]+)\)|`#(?P<bare>[\w-]+):(?P<values>[^`\s]+)`"
)


def titles(chapter: nbformat.NotebookNode) -> dict[str, str]:
    """The exercises of a chapter: their titles by their labels, numbered as on the site."""
    found = {}
    for cell in chapter.cells:
        for match in DIRECTIVE.finditer(cell.source) if cell.cell_type == "markdown" else ():
            if match["name"] == "exercise":
                number = int(re.match(r"ex-(\d+)-", label(match))[1])
                found[label(match)] = f"{number}.{len(found) + 1}: {match['title'].strip()}"
    return found


def label(directive: re.Match) -> str:
    """What an exercise is called in links: ex-03-turn-back."""
    return re.search(r":label:\s*(\S+)", directive["options"])[1]


def headed(text: str, exercises: dict[str, str]) -> str:
    r"""Markdown with headings in place of sphinx-exercise's directives, which JupyterLab does not know.

    >>> exercises = {"ex-03-turn": "3.1: Turn back"}
    >>> print(headed("::::{exercise} Turn back\n:label: ex-03-turn\nWhich way?\n::::", exercises))
    (ex-03-turn)=
    ### Exercise 3.1: Turn back
    <BLANKLINE>
    Which way?
    >>> print(headed("::::{solution} ex-03-turn\n:class: dropdown\nBack.\n::::", exercises))
    #### Solution of 3.1: Turn back
    <BLANKLINE>
    Back.
    """

    def heading(match):
        body = match["text"].strip()
        if match["name"] == "solution-end":
            return ""
        if match["name"] == "exercise":
            head = f"({label(match)})=\n### Exercise {exercises[label(match)]}"
        else:
            head = f"#### Solution of {exercises[match['title'].strip()]}"
        return f"{head}\n\n{body}\n" if body else f"{head}\n\n"

    return DIRECTIVE.sub(heading, text).strip("\n")


def note(text: str) -> nbformat.NotebookNode:
    """A teacher's note as a cell that stands out."""
    source = f":::::{{admonition}} For the teacher\n:class: tip\n{text.strip()}\n:::::"
    return v4.new_markdown_cell(source, metadata={"tags": ["teacher"]})


def edition(chapter: nbformat.NotebookNode, name: str, teacher: bool) -> nbformat.NotebookNode:
    """A chapter as the teacher has it, or as students do; `name` is its file's, without the ending."""
    made, exercises, on_slides = copy.deepcopy(chapter), titles(chapter), figures_on_slides(chapter)
    made.cells = []
    for cell in copy.deepcopy(chapter.cells):
        if "fetch" in cell.metadata.get("tags", ()):  # for Colab, see launch; here everything is beside the notebook
            continue
        said = cell.metadata.pop("teacher", None)
        cell.metadata.pop("slides", None)
        if "solution" in cell.metadata.get("tags", ()):
            if not teacher:
                continue
            cell.metadata.pop("jupyter", None)  # folded in the book, open here
        if cell.cell_type == "markdown":
            cell.source = headed(cell.source, exercises)
        if not teacher:
            cell.source = unlinked(cell.source)
        if cell.source:
            made.cells.append(cell)
        if said and teacher:
            made.cells.append(note(linked(said, name, on_slides)))
            made.cells[-1].id = f"{cell.id}-teacher"
    return made


def figures_on_slides(chapter: nbformat.NotebookNode) -> set[str]:
    """The figures of a chapter that its slides show, by their ids."""
    shown = [cell for cell in chapter.cells if any("show" in about for about in cell.metadata.get("slides", ()))]
    texts = [str(output.get("data", {}).get("text/plain", "")) for cell in shown for output in cell.outputs]
    return {match[1] for match in map(re.compile(r"Figure ([\w-]+):").match, texts) if match}


def linked(text: str, name: str, on_slides: set[str]) -> str:
    """A teacher's note whose addresses of figures lead to the slide that shows them, where there is one.

    >>> linked("Show `#decay:n=4`, [this](#decay:n=1), not `#other:n=1`.", "04-x", {"decay"})
    'Show [decay: n=4](../slides/04-x.html#decay:n=4), [this](../slides/04-x.html#decay:n=1), not `#other:n=1`.'
    """

    def link(match):
        words, figure, state = match["words"], match["figure"] or match["bare"], match["state"] or match["values"]
        if figure not in on_slides:
            return match[0]
        words = words or f"{figure}: {unquote(state).replace(';', ', ')}"
        return f"[{words}](../slides/{name}.html#{figure}:{state})"

    return ADDRESS.sub(link, text)


def unlinked(text: str) -> str:
    """Without links to the teacher's page, which students do not have.

    >>> unlinked("See [the guide](appendix-d-teaching.md#plans) and [chapter 2](02-x.ipynb).")
    'See the guide and [chapter 2](02-x.ipynb).'
    """
    return re.sub(rf"\[([^\]]+)\]\({TEACHERS}[^)]*\)", r"\1", text)


def write(folder: pathlib.Path, teacher: bool) -> None:
    """All pages of the book in one edition, with what they need, into a folder."""
    for path in notebooks.pages():
        if not teacher and path.stem.startswith(TEACHERS):
            continue
        target = folder / path.relative_to(BOOK)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            nbformat.write(edition(nbformat.read(path, as_version=4), path.stem, teacher), target)
        else:
            text = path.read_text(encoding="utf-8")
            target.write_text(text if teacher else unlinked(text), encoding="utf-8")
    for name in ("images", "questions", "references.bib"):
        source = BOOK / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(".*"))
        elif source.exists():
            shutil.copy(source, folder / name)
