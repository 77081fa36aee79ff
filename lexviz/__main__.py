"""The commands: `python -m lexviz` lists them, `python -m lexviz train --help` says what one takes."""

import argparse
import contextlib
import math
import os
import pathlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import torch
from torch import distributed
from tqdm import tqdm

from lexviz import checkpoint as checkpoints
from lexviz import checks, corpus, evaluate, masks, model, runs, train
from lexviz.runs import tables


def main(arguments: list[str] | None = None) -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m lexviz", description="How Transformers read past their training.")
    commands = parser.add_subparsers(title="commands", metavar="")
    add_train(commands)
    add_evaluate(commands)
    add_runs(commands)
    given = parser.parse_args(arguments)
    if "run" not in given:
        parser.print_help()
        return
    try:
        given.run(given)
    except (ValueError, FloatingPointError, OSError) as error:
        sys.exit(f"lexviz: {error}")
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else "of this process"
        sys.exit(f"lexviz: this needs more memory than there is ({reason:.200}); take smaller sizes")
    except KeyboardInterrupt:
        sys.exit("lexviz: stopped")


# ---- train ------------------------------------------------------------------------------------------------------


def add_train(commands) -> None:
    """Describe `train`: a preset, each of its settings, and where to run and to keep it."""
    parser = commands.add_parser(
        "train", help="train a model", argument_default=argparse.SUPPRESS,
        description="Train a model. The same command goes on from its checkpoint. Under torchrun (torchrun "
        "--nproc-per-node 8 -m lexviz train ...) each process takes its share of every batch.",
    )  # fmt: skip
    parser.add_argument("--preset", choices=train.PRESETS, default="laptop", help="which settings to start from")
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        type=pathlib.Path,
        default=None,
        help="keep the model at PATH.json, and go on there",
    )
    parser.add_argument("--every", type=int, default=100, metavar="STEPS", help="how often to keep it (100)")
    parser.add_argument("--device", default=None, help="cuda, mps or cpu; the first that there is if not given")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None, help="by default on CUDA")
    parser.add_argument("--any-version", action="store_true", default=False, help="learn from any version of sympy")
    settings = parser.add_argument_group("settings", "by default those of the preset")
    for each in fields(train.Settings):
        values = {name: getattr(preset, each.name) for name, preset in train.PRESETS.items()}
        same = len(set(values.values())) == 1
        shown = repr(values["laptop"]) if same else ", ".join(f"{name} {value}" for name, value in values.items())
        how = {"action": argparse.BooleanOptionalAction} if each.type is bool else {"type": each.type, "metavar": "X"}
        settings.add_argument(
            f"--{each.name.replace('_', '-')}", help=f"{each.metadata['help']} ({shown})".replace("%", "%%"), **how
        )
    parser.set_defaults(run=run_train)


def run_train(given: argparse.Namespace) -> None:
    """Train, with a progress bar."""
    chosen = {each.name: getattr(given, each.name) for each in fields(train.Settings) if each.name in given}
    settings = replace(train.PRESETS[given.preset], **chosen)
    device = train.usable(given.device or train.best_device())
    if device.type == "cuda":  # sums in a fixed order, so that the same settings give the same weights there too
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    checks.at_least(1, every=given.every)
    with processes(device) as rank, kept_alone(given.checkpoint if rank == 0 else None):
        source = corpus.load(settings.corpus or None, given.any_version)
        learner = train.new_model(settings)
        if rank == 0:
            size = model.parameters(learner.config)
            print(f"training on {train.name_of(device)}: {settings.position}, {size:,} parameters, {source.name}")
            if not given.checkpoint:
                print("nothing is kept: --checkpoint PATH keeps the model, and lets it go on when it was stopped")
        history = train.train(settings, learner, source, given.checkpoint, given.every, device, given.compile)
        with tqdm(total=settings.steps, unit="step", disable=rank > 0, smoothing=0.05) as bar:
            for entry in history:
                bar.set_postfix_str(f"loss {entry.loss:.3f}, {entry.tokens_per_second:,.0f} tokens/s", refresh=False)
                bar.update()
        if rank == 0 and given.checkpoint:
            print(f"kept at {given.checkpoint}.json")


def kept_alone(checkpoint: pathlib.Path | None):
    """No other process writes the checkpoint, if there is one."""
    return checkpoints.alone(checkpoint) if checkpoint else contextlib.nullcontext()


@contextlib.contextmanager
def processes(device: torch.device):
    """The process's rank among those that torchrun has started; 0 where it has not."""
    if "RANK" not in os.environ:
        yield 0
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield distributed.get_rank()
    finally:
        distributed.destroy_process_group()


# ---- evaluate ---------------------------------------------------------------------------------------------------


def add_evaluate(commands) -> None:
    """Describe `evaluate`."""
    parser = commands.add_parser(
        "evaluate", help="measure a model's perplexity by length", description="Perplexity of a checkpoint by length, "
        "on the validation part of a corpus: every length predicts the same bytes.",
    )  # fmt: skip
    parser.add_argument("checkpoint", help="PATH of a checkpoint, or the name of a recorded run")
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 512, 1024], metavar="N", help="(256 512 1024)")
    parser.add_argument("--mask", default="", help="call of lexviz.masks, as 'block_causal(128)'; the model's own")
    parser.add_argument("--corpus", default="", help="folder, file or glob; the sources of sympy if not given")
    parser.add_argument("--documents", type=int, default=20, help="how many documents, at most (20)")
    parser.add_argument("--any-version", action="store_true", help="read any version of sympy")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(given: argparse.Namespace) -> None:
    """Print perplexity and bits per byte of each length."""
    checks.at_least(1, **{"--documents": given.documents})
    for length in given.lengths:
        checks.at_least(1, **{"--lengths": length})
    recorded = given.checkpoint in runs.results()
    learned = runs.load(given.checkpoint) if recorded else checkpoints.load(given.checkpoint)
    learned = learned.to(train.best_device())
    mask = checkpoints.make(given.mask, masks) if given.mask else None
    source = corpus.load(given.corpus or None, given.any_version)
    documents = evaluate.first_parts(source.validation, max(given.lengths))[: given.documents]
    if not documents:
        raise ValueError(f"lengths has {max(given.lengths)}; no validation document of {source.name} has so many bytes")
    print(f"{len(documents)} documents of {source.name}, {mask or learned.config.mask}")
    limit = learned.position.limit
    for length in given.lengths:
        if limit and length > limit:
            print(f"{length:>8}  undefined: {learned.position} knows {limit} positions")
            continue
        found = evaluate.perplexity(learned, documents, length, mask)
        print(f"{length:>8}  perplexity {found:8.3f}  {evaluate.bits_per_byte(found):.3f} bits per byte")


# ---- runs -------------------------------------------------------------------------------------------------------


def add_runs(commands) -> None:
    """Describe `runs`."""
    parser = commands.add_parser(
        "runs", help="make the reference runs", description="Make what lexviz/runs/list.toml names and is not recorded "
        "yet, in order; those of the gpu preset where there is one. The same command goes on where it was stopped.",
    )  # fmt: skip
    parser.add_argument("names", nargs="*", help="only these; all that are missing if not given")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, each with its share of the cores (1)")
    parser.add_argument("--budget", type=float, default=math.inf, metavar="MINUTES", help="stop cleanly after so long")
    parser.add_argument("--work", default="_build/runs", help="folder for training's checkpoints (_build/runs)")
    parser.add_argument("--table", action="store_true", help="only print what is recorded")
    parser.set_defaults(run=run_runs)


def run_runs(given: argparse.Namespace) -> None:
    """Make the missing runs, here or each in a process of its own."""
    if given.table:
        print(tables.tables(runs.results()))
        return
    checks.at_least(1, **{"--processes": given.processes})
    if not given.budget >= 0:
        raise ValueError(f"--budget is {given.budget}; it must be a number of minutes, at least 0")
    plan, deadline = runs.planned(), time.monotonic() + 60 * given.budget
    if unknown := sorted(set(given.names) - set(plan)):
        raise ValueError(f"names has {unknown[0]!r}; list.toml has {', '.join(plan)}")
    gpu = train.best_device() == "cuda"
    wanted = given.names or [name for name in plan if gpu or plan[name]["preset"] != "gpu"]
    missing = [name for name in dict.fromkeys(wanted) if name not in runs.results()]
    if given.processes == 1:
        for name in missing:
            make_run(plan[name], given.work, deadline)
        return

    def apart(name):
        left = max(0, deadline - time.monotonic()) / 60
        threads = str(max(1, (os.cpu_count() or 1) // given.processes))
        command = [sys.executable, "-m", "lexviz", "runs", name, "--work", given.work, "--budget", str(left)]
        return subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": threads}).returncode

    with ThreadPoolExecutor(given.processes) as pool:
        if any(list(pool.map(apart, missing))):
            sys.exit("lexviz: a run has failed; what it said stands above")


def make_run(run: dict, work: str, deadline: float) -> None:
    """Make one run, with a progress bar, unless time is over or another process has made it."""
    if time.monotonic() > deadline or run["name"] in runs.results():
        return
    alone = checkpoints.alone(pathlib.Path(work, run["name"]))
    with alone, tqdm(desc=run["name"], unit="step", smoothing=0.05, mininterval=5) as bar:
        for entry in runs.make(run, work, deadline):
            bar.set_postfix_str(f"loss {entry.loss:.3f}", refresh=False)
            bar.update()


if __name__ == "__main__":
    main()
