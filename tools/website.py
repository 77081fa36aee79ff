"""Build the website: chapters run (where `fresh` says that they must be), every warning an error, pages guarded."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import policy

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"


def forget(folder: pathlib.Path) -> None:
    """Drop what a build that failed or was killed left behind, and keep the chapters that it had run to their ends.

    Sphinx remembers the pages that it has read, their warnings it forgets: a second build would find nothing to do and
    succeed. And a file may be there in half.
    """
    shutil.rmtree(folder / ".doctrees", ignore_errors=True)
    for chapter in folder.glob("executed/*/executed/*/base.ipynb"):
        try:
            json.loads(chapter.read_bytes())
        except ValueError:
            shutil.rmtree(chapter.parent)


def build() -> int:
    """Jupyter Book's exit code; its progress goes to the terminal."""
    # There is no `python -m jupyter_book`. Kernels that talk in the clear warn of it, once for each chapter.
    program = (
        "import jupyter_client, zmq; from jupyter_book.cli.main import main; "
        "jupyter_client.KernelManager.transport_encryption.default_value = 'auto' if zmq.has('curve') else 'disabled'; "
        "main()"
    )
    options = ["--warningiserror", "--nitpick", "--keep-going"]
    command = [sys.executable, "-c", program, "build", ".", *options]
    unfinished = BUILD / "unfinished"
    if unfinished.exists():
        forget(BUILD)
    BUILD.mkdir(exist_ok=True)
    unfinished.touch()
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, "LEXVIZ_PAGE": "1"}).returncode  # see lexviz.explore
    if not code:
        policy.apply(BUILD / "html")
        unfinished.unlink()
    return code


def main():
    """Build; Jupyter Book itself says where to open the result, this what to do about a failure."""
    if not os.access(ROOT, os.W_OK):
        sys.exit(f"lexviz: cannot write to {ROOT}; clone the project to a folder of your own.")
    code = build()
    if not code:
        sys.exit()
    if shutil.disk_usage(ROOT).free < 50e6:
        print("\nlexviz: the disk is full. Make room (`make clean` removes what was built) and run make book again.")
    elif code < 0:
        print(
            f"\nlexviz: the build was killed (signal {-code}). Run make book again; finished chapters are not run anew."
        )
    else:
        print("\nlexviz: the book was not built; the first warning or error above says why.")
    sys.exit(code)


if __name__ == "__main__":
    main()
