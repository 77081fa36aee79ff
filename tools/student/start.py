"""Open these notebooks: `python start.py` (`py start.py` on Windows). It needs Python 3.11 or newer, and nothing else.

The first time it makes an environment of its own, the folder .venv, and installs what the notebooks need, which takes
some minutes and 1.5 GB. Later it says in words if a package is missing or has another version, puts that right and
opens JupyterLab, to which it passes its arguments on.
"""

import pathlib
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = HERE / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def run(*arguments, quiet=False):
    """Run the environment's Python in this folder; 0 if it went well."""
    return subprocess.run([PYTHON, *arguments], cwd=HERE, capture_output=quiet).returncode


def main():
    """Make, check, open."""
    if sys.version_info < (3, 11):  # noqa: UP036 (whatever Python a student has runs this)
        sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}.")
    if new := not PYTHON.exists() or bool(run("-c", "import pip", quiet=True)):
        print("Making an environment in .venv ...", flush=True)
        try:
            venv.create(HERE / ".venv", clear=True, with_pip=True)
        except subprocess.CalledProcessError:
            sys.exit("Python could not make it. On Debian and Ubuntu: apt install python3-venv")
    if run("versions.py", quiet=new):
        print("Installing what the notebooks need (some minutes the first time) ...", flush=True)
        if run("-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--requirement", "requirements.txt"):
            sys.exit("It could not be installed; pip says above why. Is there a network, and room on the disk?")
        if run("versions.py"):
            sys.exit(1)
    sys.exit(run("-m", "jupyterlab", *sys.argv[1:]))


if __name__ == "__main__":
    main()
