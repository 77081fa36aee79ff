"""Run every chapter and keep of it what belongs in git: what its cells print, as text.

Pictures, widget state and time stamps are left out: the website makes them again. `complaints` says what a notebook
must not be like; the tests ask it about every chapter.
"""

import pathlib
import sys

import nbclient
import nbformat
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINES = 15  # of a cell: longer ones are functions in lexviz
BYTES = 200_000
KEPT = ("tags", "slides", "teacher", "jupyter", "cellView")  # metadata of cells: by which editions are made, and folded


def pages() -> list[pathlib.Path]:
    """Every page that _toc.yml names."""

    def names(entry):
        for key in ("root", "file"):
            if key in entry:
                yield entry[key]
        for key in ("parts", "chapters", "sections"):
            for below in entry.get(key, ()):
                yield from names(below)

    stems = list(names(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))))
    return [next(ROOT.glob(f"{stem}.*")) for stem in stems]


def complaints(notebook: nbformat.NotebookNode, size: int = 0) -> list[str]:
    """What is wrong with a notebook that is to be committed; nothing, for a good one."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    wrong = []
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        wrong.append("it was not executed from top to bottom, so that its numbers are compared with nothing")
    if "widgets" in notebook.metadata:
        wrong.append("it carries widget state")
    if size > BYTES:
        wrong.append(f"it has {size} bytes, more than {BYTES}")
    for number, cell in enumerate(code, 1):
        if len(cell.source.splitlines()) > LINES:
            wrong.append(f"cell {number} has more than {LINES} lines; make it a function in lexviz")
        if "filterwarnings" in cell.source or "%%html" in cell.source:
            wrong.append(f"cell {number} hides warnings or sets style")
        for output in cell.outputs:
            if output.output_type == "error":
                wrong.append(f"cell {number} ends in an error")
            elif output.get("name") == "stderr":
                wrong.append(f"cell {number} prints a warning")
            elif others := set(output.get("data", {})) - {"text/plain"}:
                wrong.append(f"cell {number} carries {', '.join(sorted(others))}")
    return wrong


def merge_streams(outputs: list) -> list:
    """Printed text in one piece: where the kernel cuts it in two is chance."""
    merged = []
    for output in outputs:
        if merged and output.output_type == "stream" and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def strip(notebook: nbformat.NotebookNode) -> None:
    """Leave text, and metadata that is the same on every machine."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {name: cell.metadata[name] for name in KEPT if name in cell.metadata}
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
        for output in cell.get("outputs", ()):
            if "data" in output:
                output.metadata = {}
                output.data = {mime: value for mime, value in output.data.items() if mime == "text/plain"}


def main():
    """Run the chapters named, or all of them, in place."""
    chosen = [pathlib.Path(name).resolve() for name in sys.argv[1:]] or pages()
    for path in (path for path in chosen if path.suffix == ".ipynb"):
        print(f"running {path.relative_to(ROOT)} ...", flush=True)
        notebook = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(notebook, resources={"metadata": {"path": path.parent}}).execute()
        strip(notebook)
        nbformat.write(notebook, path)
        for wrong in complaints(notebook, path.stat().st_size):
            print(f"  {path.name}: {wrong}")


if __name__ == "__main__":
    main()
