"""Say in words which package that the notebooks need is missing, or has another version than they were made with.

    python versions.py        (in a notebook: %run versions.py)

It compares what is installed with the requirements.txt of the folder that it is run in, and needs nothing but Python.
"""

import importlib.metadata
import pathlib
import re
import sys

NEEDED = {  # what a reader of the notebooks needs besides lexviz, and what for
    "torch": "which the models are made of",
    "numpy": "which the formulas are computed with",
    "sympy": "whose sources are the text that the models learn from",
    "safetensors": "which reads the trained models",
    "tqdm": "which shows how far a training is",
    "plotly": "which draws the figures",
    "anywidget": "which the figures live on in a notebook",
    "ipywidgets": "which are the sliders",
    "jupyterquiz": "which shows the questions",
    "faiss-cpu": "which chapter 11 compares exact search with",
    "jupyterlab": "which opens the notebooks",
    "jupyterlab-myst": "which typesets definitions and formulas in JupyterLab",
}
PYTHON = (3, 11)


def installed(name: str) -> str:
    """A package's version, nothing if it is not installed.

    >>> installed("a-package-that-nobody-has")
    ''
    """
    try:
        return importlib.metadata.version(name).split("+")[0]  # 2.13.0+cpu is 2.13.0
    except importlib.metadata.PackageNotFoundError:
        return ""


def pins(requirements: str) -> dict[str, str]:
    r"""The version of each package that a file of requirements pins.

    >>> pins("torch==2.13.0  # tensors\nlexviz\ncolorama==0.4.6 ; sys_platform == 'win32'")
    {'torch': '2.13.0', 'colorama': '0.4.6'}
    """
    return dict(re.findall(r"^([\w.-]+)==([^\s;#]+)", requirements, re.MULTILINE))


def wrong(requirements: str) -> list[str]:
    """A sentence for each package that is not as a file of requirements wants it.

    >>> wrong("torch==2.13.0")[-1]
    'requirements.txt names no version of jupyterlab-myst, which typesets definitions and formulas in JupyterLab.'
    """
    wanted, said = pins(requirements), []
    if not installed("lexviz"):
        said.append("lexviz, the library that the notebooks are about, is not installed.")
    if sys.version_info < PYTHON:
        said.append(f"Python is {sys.version.split()[0]}; {'.'.join(map(str, PYTHON))} or newer is needed.")
    for name, purpose in NEEDED.items():
        if name not in wanted:
            said.append(f"requirements.txt names no version of {name}, {purpose}.")
            continue
        found = installed(name)
        if not found:
            said.append(f"{name}, {purpose}, is not installed; {wanted[name]} is needed.")
        elif found != wanted[name]:
            said.append(f"{name}, {purpose}, is version {found}; the notebooks were made with {wanted[name]}.")
    return said


def main():
    """Print what is wrong, or that nothing is."""
    path = pathlib.Path("requirements.txt")
    if not path.exists():
        sys.exit(f"There is no requirements.txt in {path.absolute().parent}; run this in the notebooks' folder")
    if said := wrong(path.read_text(encoding="utf-8")):
        sys.exit("\n".join([*said, "To put this right: python -m pip install -r requirements.txt"]))
    print(f"Everything is as it should be: Python {sys.version.split()[0]} and {len(NEEDED)} packages.")


if __name__ == "__main__":
    main()
