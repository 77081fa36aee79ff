"""Make a course of the book: `make course` writes dist/course from the chapters, by tags and metadata of their cells.

    student/    the notebooks without solutions, and all that they need on a student's machine
    teacher/    the notebooks with everything, and notes on where students stumble
    slides/     a presentation of each chapter, figures alive, with notes for the speaker
    handout/    the slides and their notes on paper
    otter/      the coding exercises as assignments that otter-grader grades
    index.html  leads to all of it

Nothing is written twice: editions.py, slides.py, handout.py and assignments.py say how each comes about.
"""

import html
import pathlib
import shutil
import subprocess
import sys

import nbformat
import yaml

import assignments
import editions
import handout
import notebooks
import slides
import website
from student import versions

ROOT = notebooks.ROOT
COURSE = ROOT / "dist" / "course"


def taught() -> list[str]:
    """The notebooks that have slides, by name: chapters."""
    books = {path.stem: nbformat.read(path, as_version=4) for path in notebooks.pages() if path.suffix == ".ipynb"}
    return [name for name, notebook in books.items() if any("slides" in cell.metadata for cell in notebook.cells)]


def environment(folder: pathlib.Path) -> None:
    """What a student needs to run the notebooks: lexviz itself, the versions of all else, a script that installs it."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    built = ROOT / "_build" / "wheel"  # setuptools keeps its intermediate files beside the sources otherwise
    shutil.rmtree(built, ignore_errors=True)
    shutil.copytree(ROOT / "lexviz", built / "lexviz", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, built)
    subprocess.run([*command, "--wheel-dir", str(folder), str(built)], check=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    shutil.copy(ROOT / "requirements.txt", folder / "pins.txt")
    pins = versions.pins((folder / "pins.txt").read_text(encoding="utf-8"))
    wanted = [f"{name}=={pins[name]}" for name in versions.NEEDED]
    lines = ["--constraint pins.txt", f"./{wheel.name}", *wanted, ""]
    (folder / "requirements.txt").write_text("\n".join(lines), encoding="utf-8")
    for path in (*(ROOT / "tools" / "student").glob("*.*"), ROOT / "LICENSE"):
        shutil.copy(path, folder)


def index(folder: pathlib.Path, chapters: dict[str, nbformat.NotebookNode]) -> str:
    """A page that leads to all that the folder has of each chapter."""
    rows = []
    for name, chapter in chapters.items():
        title = html.escape(chapter.cells[0].source.splitlines()[0].lstrip("# "))
        places = {
            "slides": f"slides/{name}.html",
            "handout": f"handout/{name}.pdf",
            "without solutions": f"student/{name}.ipynb",
            "with solutions": f"teacher/{name}.ipynb",
            "assignment": f"otter/{name}",
        }
        links = {word: f'<a href="{place}" aria-label="{title}: {word}">{word}</a>' for word, place in places.items()}
        cells = [f"<td>{links[word] if (folder / place).exists() else ''}</td>" for word, place in places.items()]
        rows.append(f'<tr><th scope="row">{title}</th>{"".join(cells)}</tr>\n')
    about = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    page = (ROOT / "tools" / "deck" / "index.html").read_text(encoding="utf-8")
    return page.replace("TITLE", about["title"]).replace("ROWS", "".join(rows))


def build(folder: pathlib.Path, names: list[str]) -> None:
    """Write the course: notebooks of the whole book; slides, handouts and assignments of the chapters named."""
    found = {name: slides.executed(editions.BOOK / f"{name}.ipynb") for name in names}
    editions.write(folder / "student", teacher=False)
    editions.write(folder / "teacher", teacher=True)
    environment(folder / "student")
    assignments.build(found, folder / "otter")
    slides.build(found, folder / "slides")
    handout.build(found, folder / "slides", folder / "handout")
    (folder / "index.html").write_text(index(folder, found), encoding="utf-8")


def main():
    """Build the website, whose figures the slides show, and write the course."""
    if website.build():
        sys.exit("lexviz: the website was not built, and so no course; the first warning above says why.")
    shutil.rmtree(COURSE, ignore_errors=True)
    build(COURSE, taught())
    print(f"The course is in {COURSE.relative_to(ROOT)}; open {(COURSE / 'index.html').as_uri()}")


if __name__ == "__main__":
    main()
