"""Build the website: every chapter run (where `fresh` says that it must be), every warning an error."""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"


def build() -> int:
    """Jupyter Book's exit code; its progress goes to the terminal."""
    command = [
        sys.executable,
        "-m",
        "jupyter_book.cli.main",
        "build",
        ".",
        "--warningiserror",
        "--nitpick",
        "--keep-going",
    ]
    code = subprocess.run(command, cwd=ROOT).returncode
    if code:
        # Sphinx remembers the pages that it has read, their warnings it forgets: without this, a second build
        # would find nothing to do and succeed.
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
    return code


def main():
    """Build, then say where to open the result or what to do about the failure."""
    code = build()
    if not code:
        print(f"\nThe book is built. Open {(BUILD / 'html' / 'index.html').as_uri()}")
    elif shutil.disk_usage(ROOT).free < 50e6:
        print("\nlexviz: the disk is full. Make room (`make clean` removes what was built) and run make book again.")
    else:
        print("\nlexviz: the book was not built; the first warning or error above says why.")
    sys.exit(code)


if __name__ == "__main__":
    main()
