"""What the README promises: pins, floors, light imports, one's own encoding, clear words where something is missing."""

import ast
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import torch
import yaml
from packaging.requirements import Requirement

import notebooks
import picture
import ready
import shots
import website
from lexviz import positions
from test_positions import HEADS, check_batch, check_chunk, scores

ROOT = notebooks.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [Requirement(line) for line in re.findall(r"^[\w.-]+==[^#\n]*", (ROOT / "requirements.txt").read_text(), re.M)]
DIRECT = [Requirement(line) for line in re.findall(r"^[^#\s][^#\n]*", (ROOT / "requirements.in").read_text(), re.M)]


def test_every_pin_is_one_version_and_torch_is_the_one_that_the_book_is_made_with():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] not in "# "]
    assert len(lines) == len(PINS)
    assert {pin.name: str(pin.specifier) for pin in PINS}["torch"] == "==2.13.0"


def test_what_publishes_the_site_tests_it_first_as_ci_does():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text())["jobs"]
    commands = [step["run"] for step in jobs["test"]["steps"] if "run" in step]
    assert commands == [".ci/run", "make book"]
    (upload,) = [step["with"]["path"] for step in jobs["test"]["steps"] if "upload-pages" in step.get("uses", "")]
    assert ROOT / upload == website.BUILD / "html"
    assert jobs["publish"]["needs"] == "test"


def test_no_pin_brings_cuda():
    assert not [pin.name for pin in PINS if re.match(r"nvidia|cuda|triton", pin.name)]


def test_pins_know_linux_macos_and_windows():
    markers = " ".join(str(pin.marker) for pin in PINS if pin.marker)
    assert "win32" in markers
    assert "darwin" in markers


def test_what_is_installed_is_what_is_pinned():
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate():
            assert pin.specifier.contains(importlib.metadata.version(pin.name)), pin.name


def test_what_is_used_directly_is_pinned_and_says_what_it_is_for():
    assert {direct.name for direct in DIRECT} <= {pin.name for pin in PINS}
    for line in (ROOT / "requirements.in").read_text().splitlines():
        assert not line or "#" in line


def test_pyproject_asks_for_nothing_that_requirements_in_does_not_list():
    asked = PROJECT["dependencies"] + [name for extra in PROJECT["optional-dependencies"].values() for name in extra]
    assert {Requirement(name).name for name in asked} <= {direct.name for direct in DIRECT}


# module: what it may import from lexviz
FLOORS = {
    **{"__init__": "", "checks": "", "paper": "", "palette": "", "page": "", "explore": "checks page palette"},
    **{"theory": "checks", "masks": "checks", "corpus": "checks", "positions": "checks theory"},
    "attention": "checks masks positions",
    "cache": "attention checks masks positions",
    "landmark": "checks attention masks positions",
    "model": "checks attention cache landmark masks positions",
    "checkpoint": "checks corpus masks model positions",
    "train": "attention checkpoint checks corpus masks model positions",
    "evaluate/__init__": "evaluate",
    "evaluate/arguments": "checks model",
    "evaluate/loss": "checks evaluate masks model",
    "evaluate/passkeys": "checks corpus evaluate masks model",
    "evaluate/resolution": "checks evaluate masks model theory",
    "runs/measures": "corpus evaluate landmark masks model train",
    "runs/tables": "evaluate",
    "runs/provenance": "runs train",
    "runs/__init__": "checkpoint checks corpus model runs train",
    "inside": "attention checks landmark masks model positions",
    "retrieval": "checks landmark model",
    "__main__": "checkpoint checks corpus evaluate masks model runs train",
    **{"exercises/trial": "", "exercises/questions": "", "exercises/__init__": "exercises"},
    "figures/retrieving": "corpus figures palette retrieval",  # types of theirs
    "figures/passkeys": "evaluate figures palette",  # Wilson's interval
    "figures/training": "explore figures palette train",  # its settings and its history: it draws, and does not train
}
# checks have something independent to compare with, and may take it from wherever chapters do
CHECKS = (
    "attention cache checks corpus evaluate exercises inside landmark masks model paper positions runs theory train"
)
# they never train or evaluate
FIGURES = "attention cache checks figures landmark masks model palette paper positions theory"
LEXVIZ = ROOT / "lexviz"


@pytest.mark.parametrize("path", sorted(LEXVIZ.rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_imports_only_from_the_floors_below(path):
    name = path.relative_to(LEXVIZ).with_suffix("").as_posix()
    below = set(FLOORS.get(name, CHECKS if name.startswith("exercises/") else FIGURES).split())
    assert name in FLOORS or name.startswith(("figures/", "exercises/ch"))
    source = path.read_text()
    code = re.sub(r'""".*?"""| as \w+', "", source, flags=re.S)
    imported = set(re.findall(r"\w+", " ".join(re.findall(r"^\s*from lexviz import (.*)$", code, re.M)))) | set(
        re.findall(r"lexviz\.(\w+)", code)
    )
    assert imported <= below


def test_the_theory_and_the_masks_need_no_torch():
    code = (
        "import sys, lexviz, lexviz.theory, lexviz.masks; sys.exit('torch' in sys.modules or 'plotly' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_training_and_measuring_need_neither_plotly_nor_widgets():
    code = "import sys, lexviz.__main__; sys.exit('plotly' in sys.modules or 'ipywidgets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_picture_is_what_its_script_draws():
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.draw()


def test_the_readme_shows_the_site_in_pictures_that_are_there_and_light():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(
        r'<source media="\(prefers-color-scheme: dark\)" srcset="(.*)">\n<img src="(.*?)".* alt=".+">', readme
    )
    folder = shots.FOLDER.relative_to(ROOT).as_posix()
    assert shown == [(f"{folder}/{name}-dark.webp", f"{folder}/{name}-light.webp") for name in shots.SHOTS]
    kept = sorted(path.relative_to(ROOT).as_posix() for path in shots.FOLDER.iterdir())
    assert kept == sorted(path for pair in shown for path in pair)
    assert all((ROOT / path).stat().st_size < 150_000 for path in kept)
    for page, place, _, _ in shots.SHOTS.values():
        assert re.search(
            rf"Figure {place.removeprefix('#lex-')}:", (ROOT / "book" / page).with_suffix(".ipynb").read_text()
        )


def test_the_encoding_of_the_readme_works_like_the_others():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    assert len(code.splitlines()) <= 20
    names = {}
    exec(code, names)
    encoding = names["LogDistance"](heads=HEADS)
    with torch.no_grad():
        encoding.rate.copy_(torch.randn(HEADS))
    q, k = torch.randn(2, 1, HEADS, 5, 8)
    moved = torch.arange(5) + 10**7
    assert torch.equal(scores(encoding, q, k), scores(encoding, q, k, moved, moved))
    check_chunk(encoding, 9, 2, seed=0)
    check_batch(encoding, [[0, 4, 9], [7, 7, 100]], seed=1)
    again = positions.PositionEncoding.__repr__(encoding)
    assert again == f"LogDistance(heads={HEADS})"


def make(*arguments, **environment):
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout + done.stderr


def test_make_help_lists_every_command():
    code, said = make("help")
    assert code == 0
    for command in ("book", "test", "test-all", "lab", "bench", "clean"):
        assert f"make {command} " in said


def test_a_missing_python_is_said_in_one_line():
    code, said = make("book", "PYTHON=python-that-is-not-there")
    assert code != 0
    assert "lexviz: no python-that-is-not-there was found. Install Python 3.11 or newer" in said


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("NewConnectionError: Failed to establish a new connection", "no package index could be reached"),
        ("OSError: [Errno 30] Read-only file system: '.venv'", "cannot write to"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...", "PIP_CERT="),
        ("something else", "the usual words"),
    ],
)
def test_what_is_missing_is_said_in_one_line(errors, words):
    with pytest.raises(SystemExit) as stop:
        ready.report(errors, "the usual words")
    assert words in str(stop.value)
    assert "\n" not in str(stop.value)


def test_an_old_python_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    with pytest.raises(SystemExit, match=r"Python 3.11 or newer is needed.*make PYTHON="):
        ready.main()


def test_a_python_that_is_too_old_can_still_read_that_it_is():
    ast.parse((ROOT / "tools" / "ready.py").read_text(), feature_version=(3, 6))


def test_a_disk_that_is_too_full_is_said_before_anything_is_installed(monkeypatch):
    monkeypatch.setattr(ready, "create", lambda: None)
    monkeypatch.setattr(ready, "pip", lambda *arguments, **options: pytest.fail("it installs"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2e9, 1e9, 1e9))
    with pytest.raises(SystemExit, match="the disk is full"):
        ready.install(keep=[])


@pytest.mark.skipif(sys.platform == "win32", reason="no lock is taken there")
def test_two_at_once_set_up_one_after_the_other():
    code = "import ready\nwith ready.alone(): print('my turn', flush=True)"
    with ready.alone():
        other = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT / "tools", stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "lexviz: another make is setting up .venv; waiting for it ...\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.3)
    assert other.communicate(timeout=30)[0] == "my turn\n"


def test_nothing_that_comes_with_a_file_is_unpickled_or_evaluated_or_given_to_a_shell():
    for path in [*LEXVIZ.rglob("*.py"), *(ROOT / "tools").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                is_models = called.endswith(".eval") and not node.args
                is_v8s = called == "v8.eval" and path.name == "formulas.py"  # MathJax's own files, in no reach of ours
                assert is_models or is_v8s or called.rpartition(".")[2] not in ("eval", "exec"), (path, called)
                assert called not in ("torch.load", "yaml.load", "np.load", "os.system", "os.popen"), (path, called)
                assert not any(given.arg == "shell" for given in node.keywords), (path, called)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {name.name for name in node.names} | {getattr(node, "module", None)}
                assert not names & {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}, path


def test_no_file_names_another_host_for_scripts_or_a_path_of_this_machine():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        path = pathlib.Path(ROOT, name)
        if path.suffix in (".py", ".md", ".yml", ".toml", ".txt", ".ipynb", ".in", ".js", ".css") and path.exists():
            text = path.read_text(encoding="utf-8")
            assert str(ROOT) not in text, name
            assert not re.search(r"https?://(?:cdn|unpkg|[\w.]*jsdelivr)\.", text), name
