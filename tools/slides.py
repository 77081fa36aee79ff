"""Slides of each chapter, from the metadata `slides` of its cells: reveal.js, figures alive, notes for the speaker.

`deck` writes a chapter's slides as one page of Markdown, with what the cells gave when the site was built; Sphinx and
sphinx-revealjs (tools/deck has their settings, the style and the script) make the presentation of it.
"""

import pathlib
import re
import shutil
import subprocess
import sys

import nbformat
from jupyter_cache import get_cache

import fresh
import notebooks

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ROOT / "_build" / "decks"
CODE = 10  # lines of code that a slide can hold, empty ones aside
SIZES = (28, 25, 22, 20)  # of its letters, in pixels
TALL, HIGH = 500, 550  # pixels: a plot that is so high on a page needs height; what a slide has for it
ROOM = 1096, 500  # for code and what it prints, in pixels


def executed(path: pathlib.Path) -> nbformat.NotebookNode:
    """A chapter with what its cells gave when the site was built."""
    cache = get_cache(ROOT / "_build" / "executed" / fresh.fingerprint())
    notebook = cache.merge_match_into_notebook(nbformat.read(path, as_version=4), cell_meta=())[1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = notebooks.merge_streams(cell.outputs)  # where the kernel cut them is chance
    return notebook


def plain(text: str) -> str:
    """MyST without what leads to other pages of the book, which are not there.

    >>> plain("{term}`RoPE`, {term}`the window <window>`, [chapter 6](06-x.ipynb#a), [there](https://x.org), `a[0](b)`")
    'RoPE, the window, chapter 6, [there](https://x.org), `a[0](b)`'
    """
    text = re.sub(r"\{term\}`([^`<]*?)(?:\s*<[^`]*>)?`", r"\1", text)
    return re.sub(r"(?<![\w\]`])\[([^\]]+)\]\((?!https?:|#)[^)]*\)", r"\1", text)


def fenced(text: str, kind: str) -> str:
    """A block of Markdown that ends where it should, whatever stands in it."""
    return f"``````{kind}\n{text.rstrip()}\n``````"


def placed(figure: str) -> str:
    """A figure for a slide: where its plot needs height, the controls stand beside it, and it is enlarged by less.

    >>> placed('<figure class="lex" id="lex-a"><div class="lex-plot" style="min-height:400px"></div></figure>')[:21]
    '<figure class="lex" i'
    >>> placed('<figure class="lex" id="lex-a"><div class="lex-plot" style="min-height:640px"></div></figure>')[:47]
    '<figure class="lex lex-beside" style="--grow:1.'
    """
    height = re.search(r'<figure class="lex".*?min-height:(\d+)px', figure, re.DOTALL)
    if not height or (int(height[1]) < TALL and "scaleanchor" not in figure):
        return figure
    grow = min(1.25, max(1, HIGH / (0.85 * int(height[1]))))  # several panels bear to be 15% flatter, and not much more
    return figure.replace('<figure class="lex"', f'<figure class="lex lex-beside" style="--grow:{grow:.2f}"', 1)


def given(output: nbformat.NotebookNode) -> str:
    """An output as Markdown: a figure alive, all else as text."""
    if output.output_type == "stream":
        return fenced(output.text, "text")
    data = output.get("data", {})
    if "text/html" not in data:
        return fenced(data["text/plain"], "text")
    return fenced(placed(data["text/html"]), "{raw} html")


def size(texts: list[str]) -> int:
    r"""The largest letters, in pixels, in which these blocks of code or output fit on a slide.

    >>> size(["x = 1"]), size(["x" * 80]), size(["x\n" * 9, "x\n" * 5])
    (28, 22, 22)
    >>> size(["x" * 100])
    Traceback (most recent call last):
    ValueError: a slide does not hold 1 lines of up to 100 characters
    """
    lines = [line for text in texts for line in text.splitlines()]
    width, height = 0.602 * max(map(len, lines), default=0), 1.4 * len(lines)
    room = ROOM[1] - 46 * (len(texts) - 1)
    fitting = [size for size in SIZES if size * width <= ROOM[0] and size * height <= room]
    if not fitting:
        raise ValueError(f"a slide does not hold {len(lines)} lines of up to {max(map(len, lines))} characters")
    return fitting[0]


def shown(cell: nbformat.NotebookNode, show: str | None) -> list[str]:
    """What of a cell stands on a slide, as Markdown."""
    if show not in (None, "output", "code", "both"):
        raise ValueError(f"show is {show!r}; it must be output, code or both, or be left out")
    code = [fenced(cell.source, "python")] if show in ("code", "both") else []
    parts = code + ([given(output) for output in cell.outputs] if show in ("output", "both") else [])
    texts = [part.split("\n", 1)[1].rsplit("\n", 1)[0] for part in parts if "{raw}" not in part.split("\n", 1)[0]]
    return [f":::{{revealjs-section}}\n:data-code: {size(texts)}\n:::", *parts] if texts else parts


def slide(cell: nbformat.NotebookNode, about: dict, level: int) -> str:
    """One slide, as a section of Markdown."""
    if unknown := sorted(set(about) - {"title", "text", "notes", "show"}):
        raise ValueError(f"slides has {unknown[0]!r}; a slide has title, text, notes and show")
    show = about.get("show")
    if show in ("code", "both") and sum(map(bool, cell.source.split("\n"))) > CODE:
        raise ValueError(f"the slide {about['title']!r} shows more than {CODE} lines of code")
    try:
        parts = shown(cell, show)
    except ValueError as error:
        raise ValueError(f"the slide {about['title']!r}: {error}") from None
    notes = f"::::::{{revealjs-notes}}\n{plain(about['notes'])}\n::::::"
    return "\n\n".join([f"{'#' * level} {about['title']}", plain(about.get("text", "")), *parts, notes])


def deck(notebook: nbformat.NotebookNode) -> str:
    """All slides of a chapter that was executed, in its order."""
    found = [(cell, about) for cell in notebook.cells for about in cell.metadata.get("slides", ())]
    return "\n\n".join(slide(cell, about, 2 if i else 1) for i, (cell, about) in enumerate(found)) + "\n"


def build(chapters: dict[str, nbformat.NotebookNode], target: pathlib.Path) -> None:
    """The presentations of chapters that were executed, by name, into a folder."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    SOURCES.mkdir(parents=True)
    for name, notebook in chapters.items():
        page = f"---\norphan: true\n---\n\n{deck(notebook)}"  # in no table of contents
        (SOURCES / f"{name}.md").write_text(page, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-b", "revealjs", "-c", str(ROOT / "tools" / "deck"), "-q", "-E", "-W"]
    settings = ["-D", f"root_doc={next(iter(chapters))}", "-d", str(SOURCES / ".doctrees")]
    if subprocess.run([*command, "--keep-going", *settings, str(SOURCES), str(target)]).returncode:
        raise RuntimeError("the slides were not built; the first warning above says why")
    for useless in ("_sources", ".buildinfo", "objects.inv", "search.html", "searchindex.js", "genindex.html"):
        path = target / useless
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
