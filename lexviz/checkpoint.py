"""Checkpoints: tensors in safetensors, all else in JSON beside them; written whole or not at all, nothing unpickled.

PATH.json says what the model is, how it came to be, and which file holds its tensors: PATH-<hash>.safetensors, named
after the sha256 of its content. The tensors are written first, then PATH.json replaces its predecessor in one step, and
only then the older tensors go. Killed at any moment, PATH.json and what it names are whole and belong together.
"""

import ast
import contextlib
import hashlib
import inspect
import json
import math
import os
import pathlib
import platform
import re
from collections.abc import Callable, Iterator

import numpy
import safetensors.torch
import torch
from torch import Tensor

from lexviz import checks, masks, positions
from lexviz.model import LanguageModel, ModelConfig, parameters

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

FORMAT = "lexviz checkpoint, version 1"  # the first line of every PATH.json


# ---- files ------------------------------------------------------------------------------------------------------


def place(path: str | os.PathLike) -> pathlib.Path:
    """The path of a checkpoint, which ends with its name; "runs/x/" is "runs/x".

    >>> place("runs/x/").as_posix()
    'runs/x'
    >>> place(".")
    Traceback (most recent call last):
    ValueError: path is '.'; it must end with the checkpoint's name, as in runs/x
    """
    checks.a(str | os.PathLike, path=path)
    found = pathlib.Path(path)
    if found.name in ("", ".."):
        raise ValueError(f"path is {str(path)!r}; it must end with the checkpoint's name, as in runs/x")
    return found


def write(path: str | os.PathLike, tensors: dict[str, Tensor], about: dict) -> None:
    """Replace the checkpoint at `path` by these tensors, if there are any, and what is to be said about them.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/x", {"weight": torch.ones(2)}, {"model": {}, "note": "two ones"})
    ...     about, tensors = read(f"{folder}/x")
    >>> about["note"], tensors["weight"]
    ('two ones', tensor([1., 1.]))
    """
    path = os.fspath(place(path))
    folder = pathlib.Path(path).parent
    digest = file = None
    if tensors:
        data = safetensors.torch.save({name: x.detach().cpu().contiguous() for name, x in tensors.items()})
        digest = hashlib.sha256(data).hexdigest()
        file = f"{os.path.basename(path)}-{digest[:16]}.safetensors"
    about = {"format": FORMAT, "tensors": file, "sha256": digest, **about, "versions": versions()}
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value, default=_plain)}" for key, value in about.items())
    folder.mkdir(parents=True, exist_ok=True)
    if tensors:
        _replace(folder / file, data)
    _replace(pathlib.Path(f"{path}.json"), ("{\n" + lines + "\n}\n").encode())
    ours = re.compile(re.escape(os.path.basename(path)) + r"-[0-9a-f]{16}\.safetensors(\.tmp)?")
    for old in list(folder.iterdir()):
        if ours.fullmatch(old.name) and old.name != file:
            old.unlink()


def read(path: str | os.PathLike) -> tuple[dict, dict[str, Tensor]]:
    """What PATH.json says, and its tensors; a ValueError says what is wrong with the files, and what to do.

    >>> read("nowhere/model")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: there is no checkpoint nowhere/model.json; train with --checkpoint nowhere/model, or check ...
    """
    path = os.fspath(place(path))
    described = pathlib.Path(f"{path}.json")
    if not described.exists():
        raise FileNotFoundError(
            f"there is no checkpoint {described}; train with --checkpoint {path}, or check the path (without .json)"
        )
    try:
        about = json.loads(described.read_bytes())
        known = about["format"] == FORMAT and {"tensors", "sha256", "model"} <= about.keys()
        named = about["tensors"] or "none-0000000000000000.safetensors"
        known = known and re.fullmatch(r".{1,200}-[0-9a-f]{16}\.safetensors", named)
        file = described.with_name(named)
    except (ValueError, TypeError, KeyError, RecursionError):
        known = False
    if not known:
        raise ValueError(f"{described} is damaged or no checkpoint of lexviz; {_REMEDY}")
    if not about["tensors"]:
        raise ValueError(f"{described} is the record of a model whose weights were not kept; train it again")
    if not file.exists():
        raise ValueError(f"{file} is missing, which {described} belongs to; {_REMEDY}")
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise ValueError(f"{file} is damaged: its bytes are not those that {described} was written for; {_REMEDY}")
    try:
        return about, safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{file} holds no tensors ({error}); {_REMEDY}") from None


def _plain(value):
    """A number of numpy's as Python's, which JSON can say."""
    if isinstance(value, numpy.generic):
        return value.item()
    raise ValueError(f"what is to be kept holds {value!r:.60}; it may hold numbers, texts, lists and dicts only")


_REMEDY = "restore it from a copy, or delete it and train again"


def _replace(path: pathlib.Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".tmp")
    with open(beside, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


@contextlib.contextmanager
def alone(path: str | os.PathLike) -> Iterator[None]:
    """Hold PATH.lock, so that no two processes write one checkpoint; however a process ends, the system frees it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, alone(f"{folder}/x"):
    ...     os.listdir(folder)
    ['x.lock']
    """
    path = place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "wb") as file:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except (BlockingIOError, PermissionError):
            raise ValueError(f"{path} is being trained by another process; wait for it, or give another path") from None
        except OSError:  # a file system without locks
            pass
        yield


# ---- models -----------------------------------------------------------------------------------------------------


def save(path: str | os.PathLike, model: LanguageModel, optimizer=None, half: bool = False, **about) -> None:
    """Keep a model, in half precision if asked to, its optimiser's state if there is one, and what is said about it.

    >>> import tempfile
    >>> from lexviz.positions import Xpos
    >>> model = LanguageModel(ModelConfig(position=Xpos(head_dim=32), layers=1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/x", model)
    ...     again = load(f"{folder}/x")
    >>> again.position, torch.equal(again.embedding.weight, model.embedding.weight)
    (Xpos(head_dim=32, gamma=0.4, scale_base=512.0, base=10000.0), True)
    """
    checks.a(LanguageModel, model=model)
    mask = repr(model.config.mask)
    try:
        make(mask, masks)
    except ValueError:
        raise ValueError(f"mask is {mask}; a model is kept with a mask that lexviz.masks can make again") from None
    tensors = {name: x.half() if half and x.is_floating_point() else x for name, x in model.state_dict().items()}
    for name, weight in model.state_dict().items() if half else ():
        if (tensors[name].isinf() & weight.isfinite()).any():
            raise ValueError(f"half is {half}; {name} has {weight.abs().max():g}, which half precision cannot hold")
    for name, weight in model.named_parameters() if optimizer else ():
        tensors |= {f"optimizer.{key}.{name}": x for key, x in optimizer.state[weight].items()}
    write(path, tensors, {"model": describe(model), **about})


def resume(path: str | os.PathLike, model: LanguageModel, optimizer, **expected) -> dict:
    """Fill model and optimiser from `path` and return what is said there, which has to agree with what is expected."""
    about, tensors = read(path)
    for kind, wanted in {"model": describe(model), **expected}.items():
        found = about.get(kind, {})
        if not isinstance(found, dict):
            raise ValueError(f"{path}.json is damaged: its {kind} is {found!r:.60}; {_REMEDY}")
        for name in wanted:
            if found.get(name) != wanted[name]:
                raise ValueError(
                    f"{path}.json was made with {kind} {name}={found.get(name)!r}, and now it is {wanted[name]!r}; "
                    "give another --checkpoint path, or what it was made with"
                )
    if "history" not in about:
        raise ValueError(
            f"{path}.json holds a model and not how far its training was; give another --checkpoint path, "
            f"and --start-from {path} for its weights"
        )
    entries = about["history"]
    lists = isinstance(entries, list) and all(isinstance(entry, list) and len(entry) == 4 for entry in entries)
    if not lists or not all(isinstance(x, int | float) for entry in entries for x in entry):
        raise ValueError(f"{path}.json is damaged: its history is {entries!r:.60}; {_REMEDY}")
    _fill(path, model, tensors)
    for name, weight in model.named_parameters():
        keys = [key for key in tensors if key.startswith("optimizer.") and key.split(".", 2)[2] == name]
        optimizer.state[weight] = {key.split(".")[1]: tensors[key].to(weight.device) for key in keys}
    return about


def load(path: str | os.PathLike, position: type | None = None) -> LanguageModel:
    """The model kept at `path`, in float32. Its encoding is looked up in `lexviz.positions`, or is the class given."""
    if position is not None and not (isinstance(position, type) and issubclass(position, positions.PositionEncoding)):
        raise ValueError(f"position is {position!r}; it must be a class of encodings, such as positions.Xpos")
    about, tensors = read(path)
    try:
        described = dict(about["model"])
        kind, mask = described.pop("position"), make(described.pop("mask"), masks)
        encoding = position or _named(positions).get(kind["class"])
        if encoding:
            with torch.random.fork_rng(devices=[]):  # its first weights, which are replaced, cost nobody a draw
                model = _made(encoding, kind["arguments"], tensors, mask=mask, **described)
    except (KeyError, *_UNMAKEABLE) as error:
        raise ValueError(f"{path}.json is damaged: no model can be made from it ({error!r}); {_REMEDY}") from error
    if not encoding:
        name = kind["class"]
        raise ValueError(
            f"{path}.json uses the encoding {name}, which is not in lexviz.positions; load(..., position={name})"
        )
    _fill(path, model, tensors)
    return model


# arguments of encodings that say how many numbers they hold
COUNTS = ("heads", "head_dim", "dim", "size", "clip", "buckets")


def _made(encoding: type, arguments: dict, tensors: dict[str, Tensor], **described) -> LanguageModel:
    """The model, if it is no larger than its tensors: nothing is made of sizes that a stranger wrote."""
    there = sum(x.numel() for x in tensors.values())
    counts = {name: arguments[name] for name in COUNTS if isinstance(arguments.get(name), int)}
    if math.prod(max(1, count) for count in counts.values()) > there:
        raise ValueError(f"{counts} is more than its tensors hold, {there} numbers")
    config = ModelConfig(position=encoding(**arguments), **described)
    if parameters(config) > there or config.layers > len(tensors):
        raise ValueError(f"its sizes ask for {parameters(config)} numbers, and its tensors hold {there}")
    return LanguageModel(config)


def _fill(path, model: LanguageModel, tensors: dict[str, Tensor]) -> None:
    try:
        model.load_state_dict({name: x for name, x in tensors.items() if not name.startswith("optimizer.")})
    except RuntimeError as error:
        raise ValueError(f"{path}.json holds other tensors than its model needs; {_REMEDY}\n{error}") from None


# fields of `ModelConfig` that are written as they are
SIZES = ("vocabulary", "width", "layers", "heads", "hidden", "landmark_block")


def describe(model: LanguageModel) -> dict:
    """What to make the model from again.

    >>> model = LanguageModel(ModelConfig(position=positions.Alibi(heads=4)))
    >>> describe(model)["position"], describe(model)["mask"]
    ({'class': 'Alibi', 'arguments': {'heads': 4}}, 'causal()')
    """
    config, position = model.config, model.config.position
    return {
        **{name: getattr(config, name) for name in SIZES},
        "mask": repr(config.mask),
        "position": {"class": type(position).__name__, "arguments": position.arguments},
    }


def make(text: str, module, **known):
    """What a call such as "Xpos(gamma=0.5)" makes: a name of the module, literal arguments; nothing is evaluated.

    Arguments that are `known` are filled in where they are needed and not given. Masks combine with & and |.

    >>> make("Xpos(gamma=0.5)", positions, head_dim=32, heads=4)
    Xpos(head_dim=32, gamma=0.5, scale_base=512.0, base=10000.0)
    >>> make("(causal() & sliding_window(3))", masks)
    (causal() & sliding_window(3))
    """

    def built(node):
        match node:
            case ast.BinOp(left=a, op=ast.BitAnd(), right=b):
                return built(a) & built(b)
            case ast.BinOp(left=a, op=ast.BitOr(), right=b):
                return built(a) | built(b)
            case ast.Name():
                return built(ast.Call(node, [], []))
            case ast.Call(func=ast.Name(id=name)) if name in names:
                function = names[name]
                listed = [ast.literal_eval(argument) for argument in node.args]
                named = {argument.arg: ast.literal_eval(argument.value) for argument in node.keywords}
                needed = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
                filled = {name: known[name] for name in needed[len(listed) :] if name in known}
                return function(*listed, **(filled | named))
        raise ValueError(f"{ast.unparse(node)} is no call of one of {', '.join(names)}")

    names = _named(module)
    try:
        return built(ast.parse(text, mode="eval").body)
    except (SyntaxError, *_UNMAKEABLE) as error:
        raise ValueError(f"{text!r:.200} cannot be made: {error}") from None


# what comes of names and numbers that somebody wrote: of a wrong kind, nested too deep, too large for the memory
_UNMAKEABLE = (TypeError, ValueError, AttributeError, OverflowError, RuntimeError, MemoryError)


def _named(module) -> dict[str, Callable]:
    """The module's classes of encodings, and its functions that return masks."""

    def makes(x) -> bool:
        if isinstance(x, type):
            return issubclass(x, positions.PositionEncoding)
        return inspect.isfunction(x) and x.__annotations__.get("return") in (masks.Mask, masks.Interval)

    return {name: x for name, x in vars(module).items() if not name.startswith("_") and makes(x)}


def versions() -> dict:
    """What a result was computed with.

    >>> list(versions())
    ['python', 'torch', 'numpy']
    """
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}
