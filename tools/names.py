"""The public names of lexviz and what its files say of them, read from the sources, of which nothing is run.

A name is public if it has no leading underscore: functions, classes, methods and properties that no class of lexviz
further up has, and constants; what a package takes from a file of its own that is none of MODULES counts as its own.
Text is the docstring; of a field or a constant, the comment beside or above it.
"""

import ast
import functools
import pathlib
import re
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
# In reading order: the modules whose names the reference explains one by one.
MODULES = (
    *("theory", "masks", "paper", "positions", "attention", "cache", "landmark", "model", "corpus", "checkpoint"),
    *("train", "evaluate", "inside", "retrieval", "runs", "runs.measures", "explore", "palette", "page", "exercises"),
    *("exercises.trial", "exercises.questions", "checks"),
)


class Name(NamedTuple):
    """A public name and what its file says of it."""

    kind: str  # function, class, method, property or data
    module: str  # as in "runs.measures"
    path: str  # within the module: "Mask.span"
    signature: str = ""  # with its parentheses; of data the value, as it is written
    text: str = ""
    fields: tuple[tuple[str, str], ...] = ()  # of a class: ("width: int = 128", what the comment beside it says)
    base: str = ""  # the class of lexviz, if any, that a class begins as
    parameters: tuple[str, ...] = ()

    @property
    def full(self) -> str:
        """The address: "lexviz.masks.Mask.span"."""
        return f"lexviz.{self.module}.{self.path}"


def path_of(module: str) -> pathlib.Path:
    """The file of a module.

    >>> path_of("runs.measures").name, path_of("runs").name
    ('measures.py', '__init__.py')
    """
    path = ROOT.joinpath("lexviz", *module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def parts_of(module: str) -> dict[str, list[str]]:
    """The files that are a package's own affair, {file: names that it takes from there}.

    >>> parts_of("evaluate")["evaluate.resolution"], parts_of("exercises")
    (['measured_resolution', 'scores_by_distance'], {})
    """
    taken = {
        node.module.removeprefix("lexviz."): [alias.name for alias in node.names]
        for node in read(module)[1].body
        if isinstance(node, ast.ImportFrom) and node.module.startswith(f"lexviz.{module}.")
    }
    return {file: own for file, own in taken.items() if file not in MODULES}


@functools.cache
def _read(path: pathlib.Path, changed: int) -> tuple[str, ast.Module]:
    source = path.read_text(encoding="utf-8")
    return source, ast.parse(source)


def read(module: str) -> tuple[str, ast.Module]:
    """A module's source and what Python makes of it."""
    path = path_of(module)
    return _read(path, path.stat().st_mtime_ns)


def says(module: str) -> str:
    """A module's docstring."""
    return ast.get_docstring(read(module)[1]) or ""


def of(module: str) -> list[Name]:
    """A module's public names, in the order of the file, each class followed by its methods.

    >>> [name.path for name in of("checks")][:3]
    ['at_least', 'above', 'within']
    >>> of("theory")[0].signature
    '(head_dim: int, base: float=10000.0) -> np.ndarray'
    """
    source, tree = read(module)
    found = [
        name._replace(module=module)
        for file, own in parts_of(module).items()
        for name in of(file)
        if name.path.split(".")[0] in own
    ]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name[0] != "_":
            found.append(_function("function", module, node.name, node))
        elif isinstance(node, ast.ClassDef) and node.name[0] != "_":
            found += _class(module, node, source)
        elif isinstance(node, ast.Assign):
            targets = [part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)]
            value, text = ast.get_source_segment(source, node.value), comment(source, node)
            found += [Name("data", module, name, value, text) for name in targets if name[0] != "_"]
    return found


@functools.cache
def every() -> dict[str, Name]:
    """All public names, by their addresses."""
    return {name.full: name for module in MODULES for name in of(module)}


def _function(kind: str, module: str, path: str, node: ast.FunctionDef) -> Name:
    arguments, parameters = _arguments(node, method=kind != "function")
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    signature = result if kind == "property" else f"({arguments}){result}"
    return Name(kind, module, path, signature, ast.get_docstring(node) or "", parameters=parameters)


def _arguments(node: ast.FunctionDef, method: bool) -> tuple[str, tuple[str, ...]]:
    """As they are written, less self; and their names."""
    parts = ast.arguments(**dict(ast.iter_fields(node.args)))
    parts.args = parts.args[1:] if method else parts.args
    every = [*parts.posonlyargs, *parts.args, *filter(None, [parts.vararg]), *parts.kwonlyargs]
    return ast.unparse(parts), tuple(each.arg for each in [*every, *filter(None, [parts.kwarg])])


def _class(module: str, node: ast.ClassDef, source: str) -> list[Name]:
    bases = [ast.unparse(base) for base in node.bases]
    above = [found for base in bases if (found := _find(module, base))]
    inherited = {name for tree in _ancestors(module, node) for name in _methods(tree)}
    fields = tuple(
        _field(source, part) for part in node.body if isinstance(part, ast.AnnAssign) and part.target.id[0] != "_"
    )
    start = _methods(node).get("__init__")
    signature, parameters = _arguments(start, method=True) if start else ("", ())
    signature = f"({signature})" if signature else ""
    text = ast.get_docstring(node) or ""
    base = above[0][1].name if above else ""
    found = [Name("class", module, node.name, signature, text, fields, base, parameters)]
    for name, method in _methods(node).items():
        if name[0] != "_" and name not in inherited:
            kind = "property" if "property" in map(ast.unparse, method.decorator_list) else "method"
            found.append(_function(kind, module, f"{node.name}.{name}", method))
    return found


def _methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}


def _ancestors(module: str, node: ast.ClassDef):
    """The classes of lexviz that a class stands on."""
    for base in node.bases:
        if found := _find(module, ast.unparse(base)):
            yield found[1]
            yield from _ancestors(*found)


def _find(module: str, name: str) -> tuple[str, ast.ClassDef] | None:
    """A class by the name that it has in a module, and the module that it comes from."""
    _, tree = read(module)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
        imports = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lexviz.")
        if imports and name in [alias.name for alias in node.names]:
            return _find(node.module.removeprefix("lexviz."), name)
    return None


def _field(source: str, node: ast.AnnAssign) -> tuple[str, str]:
    """A field as it is written, and the comment beside it. `train.setting` carries its text as an argument."""
    if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "setting":
        default, text = node.value.args
        return f"{node.target.id}: {ast.unparse(node.annotation)} = {ast.unparse(default)}", text.value
    return ast.unparse(node), comment(source, node)


def comment(source: str, node: ast.stmt) -> str:
    r"""What the comment beside the first line of a statement says, or else the one above it and others like it.

    >>> source = "# both\nA = 1\nB = 2\n\nC = 3  # its own"
    >>> [comment(source, node) for node in ast.parse(source).body]
    ['both', 'both', 'its own']
    """
    lines = source.splitlines()
    for number in (node.lineno, node.end_lineno):
        if beside := re.search(r"  # (?!noqa)(.*)$", lines[number - 1]):
            return beside[1]
    above = []
    for line in reversed(lines[: node.lineno - 1]):
        if line.startswith("# "):
            above.insert(0, line[2:])
        elif above or not line.strip() or line.startswith("#"):
            break
    return " ".join(above)
