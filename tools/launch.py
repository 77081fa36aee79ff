"""Sphinx extension: buttons that open a chapter on Binder and on Colab, once _config.yml says where the repository is.

Binder installs what .binder/ lists. Colab opens a single notebook, with nothing beside it; so there a cell before the
chapter's first has to fetch the rest. This writes that cell into every chapter, or takes it out if there is no address:

    .venv/bin/python tools/launch.py

On the website, and in a course's notebooks, it is left out; wherever lexviz is installed it does nothing.
"""

import nbformat
import yaml
from sphinx.util import logging

import notebooks

BUTTONS = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}
COLAB = "https://colab.research.google.com"
GITHUB = "https://github.com/"  # Colab opens notebooks from there only
FETCH = "fetch"  # the cell's tag
SOURCE = """
# @title On Colab, run this cell first: it fetches the book and installs lexviz
import importlib.util
import pathlib
import sys

address = "{address}"
if not importlib.util.find_spec("lexviz"):
    !git clone --quiet --depth 1 --branch {branch} {{address}} the-book
    %pip install --quiet "./the-book[notebooks]"
if pathlib.Path("the-book").exists():
    %cd -q the-book/book
if "google.colab" in sys.modules:
    from google.colab import output

    output.enable_custom_widget_manager()
"""


def fetching(chapter: nbformat.NotebookNode, address: str, branch: str) -> bool:
    """Put the cell before the first one with code, or take it out if there is no address; whether there was need."""
    wanted = [SOURCE.format(address=address, branch=branch).strip()] if address.startswith(GITHUB) else []
    if wanted == [cell.source for cell in chapter.cells if FETCH in cell.metadata.get("tags", ())]:
        return False
    chapter.cells = [cell for cell in chapter.cells if FETCH not in cell.metadata.get("tags", ())]
    for source in wanted:
        cell = nbformat.v4.new_code_cell(source, id=FETCH)
        cell.metadata = {"tags": [FETCH, "remove-cell"], "jupyter": {"source_hidden": True}, "cellView": "form"}
        first = next(i for i, other in enumerate(chapter.cells) if other.cell_type == "code")
        chapter.cells.insert(first, cell)
    for count, cell in enumerate((cell for cell in chapter.cells if cell.cell_type == "code"), 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return True


def settings(app, config):
    """Ask the theme for buttons if there is a repository; without an address it has nothing to link to, and fails."""
    options = config.html_theme_options
    address = options.get("repository_url") or ""
    if address:
        options["launch_buttons"] = BUTTONS | ({"colab_url": COLAB} if address.startswith(GITHUB) else {})
    for path in notebooks.pages():
        if path.suffix == ".ipynb" and fetching(nbformat.read(path, 4), address, options.get("repository_branch")):
            said = "the first cell does not fit the repository's address in _config.yml; %s: run %s tools/launch.py"
            logging.getLogger(__name__).warning(said, path.name, ".venv/bin/python")


def main():
    """Bring the cell in every chapter into line with _config.yml."""
    repository = yaml.safe_load((notebooks.ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
    for path in notebooks.pages():
        chapter = nbformat.read(path, 4) if path.suffix == ".ipynb" else None
        if chapter and fetching(chapter, repository["url"], repository["branch"]):
            nbformat.write(chapter, path)
            print(path.name)


def setup(app):
    """Called by Sphinx."""
    app.connect("config-inited", settings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    main()
