"""What one who writes the book waits for: the website built cold, built again, and built after an edit of a chapter.

`python -m benchmarks.builds` clones the last commit into a temporary folder, builds there with this environment, and
prints seconds by the clock and of the processor, which other work on the machine disturbs less; its load stands beside
them. A second table says what imports take.
"""

import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import nbformat

ROOT = pathlib.Path(__file__).resolve().parent.parent
EDITED = ("04-oscillation-versus-decay", "06-blockwise-causal-attention", "11-random-access")
IMPORTS = ("numpy", "torch", "plotly.graph_objects", "lexviz", "lexviz.model", "lexviz.explore", "lexviz.train")


def timed(command: list[str], folder: pathlib.Path, environment: dict | None = None) -> tuple[float, float]:
    """Seconds by the clock, and of the processor, until a command has ended well."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def edit(path: pathlib.Path) -> None:
    """Change a word and a cell that is run, as one who writes would."""
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if cell.cell_type == "markdown").source += "\n\nA line more."
    next(cell for cell in notebook.cells if cell.cell_type == "code").source += "\n# a line more"
    nbformat.write(notebook, path)


def builds():
    """(what, seconds by the clock, seconds of the processor) for each build of the website."""
    with tempfile.TemporaryDirectory() as folder:
        clone = pathlib.Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        # This environment holds this folder's lexviz; the chapters shall run the clone's.
        environment = {**os.environ, "PYTHONPATH": str(clone)}
        command = [sys.executable, "tools/website.py"]
        yield "cold", *timed(command, clone, environment)
        yield "again", *timed(command, clone, environment)
        for chapter in EDITED:
            edit(clone / "book" / f"{chapter}.ipynb")
            yield chapter, *timed(command, clone, environment)


def main():
    """Print the tables."""
    print(f"{'the website, built':>34}  {'clock':>7}  {'processor':>9}  {'load':>5}")
    for what, wall, busy in builds():
        print(f"{what:>34}  {wall:>5.0f} s  {busy:>7.0f} s  {os.getloadavg()[0]:>5.1f}", flush=True)
    print(f"{'import, best of 3':>34}  {'clock':>7}  {'processor':>9}  {'load':>5}")
    for name in IMPORTS:
        wall, busy = min(timed([sys.executable, "-c", f"import {name}"], ROOT) for _ in range(3))
        print(f"{name:>34}  {wall:>5.2f} s  {busy:>7.2f} s  {os.getloadavg()[0]:>5.1f}")


if __name__ == "__main__":
    main()
