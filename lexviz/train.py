"""Training: settings, what a step learns from, and the loop. `python -m lexviz train --help` is its other face.

    model = new_model(LIVE)
    for entry in train(LIVE, model):
        print(entry.step, entry.loss)

`Settings` hold all that decides the result: the same settings on the same machine, with as many threads, give the same
weights, bit for bit, also when the training was killed and went on from its checkpoint. Nothing but the step says which
text comes next.
"""

import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn import functional as F

from lexviz import attention, checks, corpus, masks, positions
from lexviz import checkpoint as checkpoints
from lexviz.corpus import Corpus
from lexviz.model import LanguageModel, ModelConfig

# ---- settings ---------------------------------------------------------------------------------------------------


def setting(default, text: str):
    """A field of `Settings`; the command line shows its text.

    >>> from dataclasses import fields
    >>> {each.name: each.metadata["help"] for each in fields(Settings)}["length"]
    "tokens of a training sequence, the paper's l"
    """
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Settings:
    """All that decides what training gives; `replace(LAPTOP, position="Alibi")` makes others."""

    position: str = setting("Xpos", "encoding: a class of lexviz.positions, with arguments: 'Xpos(scale_base=128)'")
    layers: int = setting(4, "layers of the model")
    width: int = setting(128, "numbers that represent a token")
    heads: int = setting(4, "attention heads of a layer")
    hidden: int = setting(512, "numbers in the middle of a feed-forward layer")
    mask: str = setting("causal()", "who may attend to whom: a call of lexviz.masks")
    landmark_block: int = setting(0, "ordinary tokens that share a landmark; 0: no landmarks")
    start_from: str = setting("", "checkpoint whose weights training starts from (fine-tuning); landmarks may be added")

    task: str = setting("text", "what to learn: 'text', or 'passkey', to find a number hidden in a text")
    corpus: str = setting("", "folder, file or glob to learn from; the sources of sympy if not given")
    wording: str = setting("short", "of pass keys: 'paper' or 'short'")
    distractors: int = setting(0, "other numbers in the text that hides a pass key, once sequences are no longer short")

    length: int = setting(256, "tokens of a training sequence, the paper's l")
    batch: int = setting(16, "sequences in a step, over all processes")
    steps: int = setting(1500, "steps in all")
    short_steps: int = setting(0, "of these, how many first steps take shorter sequences")
    short_length: int = setting(96, "their length")
    short_batch: int = setting(48, "and how many of them are in a step")
    learning_rate: float = setting(2e-3, "AdamW's learning rate at its highest")
    warmup: int = setting(100, "steps over which it rises")
    decay: float = setting(1.0, "last part of all steps over which it falls to 0, linearly")
    beta1: float = setting(0.9, "AdamW's, as in the paper")
    beta2: float = setting(0.98, "AdamW's, as in the paper")
    epsilon: float = setting(1e-6, "AdamW's, as in the paper")
    weight_decay: float = setting(0.01, "AdamW's, on matrices only")
    clip: float = setting(1.0, "longest gradient; longer ones are shortened to it")
    bfloat16: bool = setting(False, "matrix products in bfloat16: where the hardware has it, several times as fast")
    seed: int = setting(0, "of the first weights and of the text's order")

    def __post_init__(self):
        checks.at_least(1, length=self.length, batch=self.batch, steps=self.steps)
        checks.at_least(1, short_length=self.short_length, short_batch=self.short_batch)
        checks.at_least(0, short_steps=self.short_steps, warmup=self.warmup, seed=self.seed)
        checks.at_least(0, landmark_block=self.landmark_block, distractors=self.distractors)
        checks.at_least(1, layers=self.layers, width=self.width, heads=self.heads, hidden=self.hidden)
        checks.above(0, learning_rate=self.learning_rate, decay=self.decay, clip=self.clip)
        checks.within(0, math.inf, weight_decay=self.weight_decay, epsilon=self.epsilon)
        checks.within(0, 1, beta1=self.beta1, beta2=self.beta2)
        texts = ("position", "mask", "start_from", "task", "corpus", "wording")
        checks.a(str, **{name: getattr(self, name) for name in texts})
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; it must be one of {', '.join(map(repr, TASKS))}")
        if self.wording not in corpus.WORDINGS:
            raise ValueError(f"wording is {self.wording!r}; it must be one of {', '.join(map(repr, corpus.WORDINGS))}")

    def shape(self, step: int) -> tuple[int, int]:
        """Sequences in a step, and their length.

        >>> warm = Settings(short_steps=500, short_batch=48, short_length=96)
        >>> warm.shape(499), warm.shape(500)
        ((48, 96), (16, 256))
        """
        return (self.short_batch, self.short_length) if step < self.short_steps else (self.batch, self.length)

    def rate(self, step: int) -> float:
        """The learning rate: a rise over the warm-up, a fall over the decay, in between the highest.

        >>> [Settings(steps=8, warmup=2, decay=0.5, learning_rate=1.0).rate(step) for step in range(8)]
        [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
        """
        rise, fall = (step + 1) / max(1, self.warmup), (self.steps - step) / (self.decay * self.steps)
        return self.learning_rate * min(1.0, rise, fall)


def new_model(settings: Settings) -> LanguageModel:
    """The model that training starts with: drawn from the seed, or with the weights of `settings.start_from`.

    >>> one, same = new_model(LIVE), new_model(LIVE)
    >>> torch.equal(one.embedding.weight, same.embedding.weight)  # the same seed
    True
    >>> one.position, one.config.layers
    (Xpos(head_dim=32, gamma=0.4, scale_base=512.0, base=10000.0), 2)
    """
    checks.a(Settings, settings=settings)
    landmark_block = settings.landmark_block or None
    tokens = settings.length + (settings.length // landmark_block if landmark_block else 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        head_dim = settings.width // settings.heads
        position = checkpoints.make(
            settings.position, positions, head_dim=head_dim, heads=settings.heads, dim=settings.width, size=tokens
        )
        sizes = {name: getattr(settings, name) for name in ("layers", "width", "heads", "hidden")}
        mask = checkpoints.make(settings.mask, masks)
        model = LanguageModel(ModelConfig(position=position, mask=mask, landmark_block=landmark_block, **sizes))
        start = checkpoints.load(settings.start_from) if settings.start_from else None
    if start:
        was, now = checkpoints.describe(start), checkpoints.describe(model)
        alike = all(was[name] == now[name] for name in now if name not in ("mask", "landmark_block"))
        if not alike or (was["landmark_block"] and not landmark_block):  # landmarks are added, and not taken away
            raise ValueError(f"start_from is {settings.start_from!r}, a model of {was}; these settings ask for {now}")
        for new, old in zip(model.state_dict().values(), start.state_dict().values(), strict=True):
            new[: len(old)] = old  # a landmark's embedding, the last row, stays new
    return model


# ---- what a step learns from ------------------------------------------------------------------------------------


PAD = 15  # newlines after a pass key, at most


class Batch(NamedTuple):
    """A step's text. The loss is the sum of the targets' cross-entropies, each times its weight."""

    tokens: Tensor  # (batch, length)
    targets: Tensor  # (batch, length), the token after each
    weights: Tensor  # (batch, length)


def text(settings: Settings, source: Corpus) -> Callable[[int], Batch]:
    """Windows of the corpus, each token counting alike.

    >>> draw = text(LIVE, corpus.load())
    >>> batch = draw(7)  # step 7
    >>> batch.tokens.shape, torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    (torch.Size([16, 128]), True)
    >>> torch.equal(draw(7).tokens, batch.tokens)
    True
    """
    checks.a(Settings, settings=settings)
    checks.a(Corpus, source=source)
    lengths = {settings.shape(step)[1] for step in (0, settings.short_steps)}
    windows = {length: corpus.Windows(source.training, length, settings.seed) for length in lengths}

    def draw(step: int) -> Batch:
        count, length = settings.shape(step)
        window = windows[length](step, count)  # (batch, length + 1)
        return Batch(window[:, :-1], window[:, 1:], torch.full((count, length), 1 / (count * length)))

    return draw


def passkeys(settings: Settings, source: Corpus) -> Callable[[int], Batch]:
    """Pass keys in the paper's sentences and in the corpus, by turns; loss: the answers' mean, half of all text's.

    Short texts have no distractors: among other numbers from the start, 2,000 steps did not teach a model to copy.

    >>> from dataclasses import replace
    >>> batch = passkeys(replace(LIVE, task="passkey"), corpus.load())(0)
    >>> heavy = batch.weights[0] > batch.weights[0].min()  # where the answer is
    >>> corpus.to_text(batch.targets[0][heavy])
    '44490'
    >>> corpus.to_text(batch.tokens[0]).strip()[-22:]
    'What is the key? 44490'
    """
    checks.a(Settings, settings=settings)
    checks.a(Corpus, source=source)
    for step in {0, settings.short_steps}:
        _, length = settings.shape(step)
        distractors = settings.distractors if step >= settings.short_steps else 0
        try:
            corpus.passkey(length + 1, 0, wording=settings.wording, pad=PAD, distractors=distractors)
        except ValueError as error:
            raise ValueError(f"length is {length}; with one more, to be predicted: {error}") from None

    def draw(step: int) -> Batch:
        count, length = settings.shape(step)
        distractors = settings.distractors if step >= settings.short_steps else 0
        pads = np.random.default_rng([settings.seed, step]).integers(PAD + 1, size=count).tolist()
        keys = [
            corpus.passkey(
                length + 1, [settings.seed, step, 1 + row], filler=source.training if row % 2 else None,
                wording=settings.wording, pad=pads[row], distractors=distractors,
            )
            for row in range(count)
        ]  # fmt: skip
        window = torch.stack([key.document for key in keys]).long()  # (batch, length + 1)
        weights = torch.full((count, length), 0.5 / (count * length))
        digits = sum(len(key.answer) for key in keys)
        for row, key in enumerate(keys):
            weights[row, key.start - 1 : key.start - 1 + len(key.answer)] += 1 / digits
        return Batch(window[:, :-1], window[:, 1:], weights)

    return draw


TASKS = {"text": text, "passkey": passkeys}  # by the names that `Settings.task` uses
LAPTOP = Settings()  # under ten minutes on one core
LIVE = Settings(layers=2, width=64, heads=2, hidden=256, length=128, steps=500, warmup=50)  # under a minute
GPU = Settings(
    layers=8, width=512, heads=8, hidden=2048, length=1024, batch=64, steps=1000, learning_rate=1e-3, bfloat16=True
)  # about a minute on a data-centre GPU; the paper's training length
PRESETS = {"live": LIVE, "laptop": LAPTOP, "gpu": GPU}  # by the names that --preset uses


# ---- the loop ---------------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """A step of the history: how many are done, the loss before this one's update, and how it was computed."""

    step: int
    loss: float
    learning_rate: float
    tokens_per_second: float


def train(
    settings: Settings,
    model: LanguageModel | None = None,
    source: Corpus | None = None,
    checkpoint: str | os.PathLike | None = None,
    every: int = 100,
    device: str | torch.device | None = None,
    compile: bool | None = None,
) -> Iterator[Entry]:
    """Train `model` in place (`new_model(settings)` if none is given), and yield the history as it goes.

    source: what to learn from; the corpus that the settings name if not given.
    checkpoint: a path to keep the state at, every so many steps and at the end. What is there already is gone on from,
        and its history is yielded first.
    device: cuda, mps or cpu, the first that there is, if not given.
    compile: whether torch.compile is used; by default on CUDA, for models without landmarks.

    With torch.distributed set up, each process takes its share of every batch, and the history is that of all.

    >>> from dataclasses import replace
    >>> tiny = replace(LIVE, layers=1, width=16, hidden=16, length=32, steps=2)
    >>> for entry in train(tiny):
    ...     print(f"step {entry.step}: loss {entry.loss:.1f}, learning rate {entry.learning_rate:.5f}")
    step 1: loss 5.5, learning rate 0.00004
    step 2: loss 5.5, learning rate 0.00008

    With a checkpoint, who calls again gets the history back, and goes on where it ends:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, again = (list(train(tiny, checkpoint=f"{folder}/tiny")) for _ in range(2))
    >>> len(again), again == first
    (2, True)
    """
    checks.a(Settings, settings=settings)
    checks.a(LanguageModel | None, model=model)
    checks.a(Corpus | None, source=source)
    checks.a(str | os.PathLike | None, checkpoint=checkpoint)
    rank, processes = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    for count in {settings.shape(0)[0], settings.batch}:
        if count % processes:
            raise ValueError(f"batch is {count}; it must be a multiple of the number of processes, {processes}")
    checks.at_least(1, every=every)
    checkpoint = checkpoints.place(checkpoint) if checkpoint else None
    device = usable(device or best_device())
    source = source or corpus.load(settings.corpus or None)
    draw = TASKS[settings.task](settings, source)
    model = (model or new_model(settings)).to(device).train()
    matrices = [weight for weight in model.parameters() if weight.ndim >= 2]
    others = [weight for weight in model.parameters() if weight.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
        betas=(settings.beta1, settings.beta2), eps=settings.epsilon, fused=True,
    )  # fmt: skip
    history = []
    origin = {"name": source.name, "fingerprint": source.fingerprint}
    if checkpoint and os.path.exists(f"{checkpoint}.json"):
        about = checkpoints.resume(checkpoint, model, optimizer, settings=asdict(settings), corpus=origin)
        history = [Entry(*entry) for entry in about["history"]]
        yield from history

    if compile is None:
        compile = device.type == "cuda" and not model.config.landmark_block
    forward = compiled(model) if compile else model
    if processes > 1:
        forward = torch.nn.parallel.DistributedDataParallel(forward)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16)
    upcoming = draw(len(history))
    for step in range(len(history), settings.steps):
        started = time.perf_counter()
        tokens, targets, weights = (part[rank::processes].to(device) for part in upcoming)  # this process's share
        with autocast:
            logits = forward(tokens)  # (batch, length, vocabulary)
        losses = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
        loss = losses @ weights.flatten()
        (loss * processes).backward()  # processes' gradients are averaged, where their sum is wanted
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        upcoming = draw(step + 1)  # while a GPU is at work
        loss = loss.detach()
        if processes > 1:
            distributed.all_reduce(loss)
        value = loss.item()
        if not math.isfinite(value) or not norm.isfinite():
            raise FloatingPointError(
                f"step {step + 1}: the loss is {value}, the gradient's length {norm.item()}. First not finite: "
                f"{first_not_finite(model, tokens, autocast)}. A lower learning_rate or a longer warmup may help"
            )
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step)
        optimizer.step()
        optimizer.zero_grad()
        count, length = settings.shape(step)
        speed = count * length / (time.perf_counter() - started)
        history.append(Entry(step + 1, round(value, 6), round(settings.rate(step), 9), round(speed, 1)))
        if checkpoint and rank == 0 and ((step + 1) % every == 0 or step + 1 == settings.steps):
            checkpoints.save(
                checkpoint, model, optimizer, settings=asdict(settings), corpus=origin, device=name_of(device),
                step=len(history), history=history,
            )  # fmt: skip
        yield history[-1]


def compiled(model: LanguageModel, **how) -> Callable:
    """The model compiled in one piece, anew for each shape; what follows from shapes alone is computed once."""
    torch.compiler.reset()  # there is a limit to how many models may share its memory
    for from_shapes in attention.FROM_SHAPES:
        torch.compiler.assume_constant_result(from_shapes)
    return torch.compile(model, dynamic=False, **how)


def best_device() -> str:
    """The first of CUDA, MPS and CPU that this machine has.

    >>> torch.empty(0, device=best_device()).device.type == best_device()  # it is there, and it works
    True
    """
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usable(name: str | torch.device) -> torch.device:
    """The device of that name, or a ValueError that says why it cannot be used.

    >>> usable("meta")
    Traceback (most recent call last):
    ValueError: device is 'meta'; it must be cuda, mps or cpu, and be there: meta holds no numbers that one could train
    """
    try:
        device = torch.empty(0, device=name).device
        reason = f"{device.type} holds no numbers that one could train"
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        device, reason = None, str(error).splitlines()[0]
    if device is None or device.type not in ("cuda", "mps", "cpu"):
        raise ValueError(f"device is {name!r}; it must be cuda, mps or cpu, and be there: {reason}")
    return device


def name_of(device: torch.device) -> str:
    """A device as results record it.

    >>> name_of(torch.device("cpu")).split(", ")[0]
    'cpu'
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {platform.machine()}"


def first_not_finite(model: LanguageModel, tokens: Tensor, autocast) -> str:
    """Where it went wrong: a weight, else the first module whose output is not finite, else a gradient.

    >>> model = new_model(LIVE)
    >>> _ = model.blocks[1].out.weight.detach().fill_(torch.nan)
    >>> first_not_finite(model, torch.zeros(1, 8, dtype=torch.long), torch.autocast("cpu", enabled=False))
    'the weight blocks.1.out.weight'
    """
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            return f"the weight {name}"
    found = []

    def look(name):
        def hook(module, inputs, output):
            if isinstance(output, Tensor) and not output.isfinite().all():
                found.append(name)

        return hook

    hooks = [module.register_forward_hook(look(name)) for name, module in model.named_modules()]
    with torch.no_grad(), autocast:
        model(tokens)
    for hook in hooks:
        hook.remove()
    if found:
        return f"the output of {found[0] or 'the model'}"
    for name, weight in model.named_parameters():
        if weight.grad is not None and not weight.grad.isfinite().all():
            return f"the gradient of {name}"
    return "nothing here; it is the loss, or another process"
