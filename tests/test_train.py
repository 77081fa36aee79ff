"""Training learns, repeats itself, survives being killed, and is the same on one process or two."""

import hashlib
import itertools
import json
import math
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from lexviz import checkpoint, corpus, inside, masks, model, positions, runs, train
from lexviz.__main__ import main

TINY = train.Settings(
    layers=1, width=16, heads=2, hidden=16, length=24, batch=4, steps=8, warmup=2, learning_rate=1e-2
)  # fmt: skip
PASSKEY = replace(TINY, task="passkey", landmark_block=15, length=100, short_steps=3, short_length=96, short_batch=2)
VARIANTS = {
    "text": TINY,
    "shorter first": replace(TINY, short_steps=4, short_length=8, short_batch=4),
    "learned positions": replace(TINY, position="Learned"),
    "learned biases": replace(TINY, position="T5Bias"),
    "pass keys": PASSKEY,
    "bfloat16": replace(TINY, bfloat16=True),
}
SOURCE = corpus.load()


def trained(settings, **arguments):
    learner = train.new_model(settings)
    return learner, list(train.train(settings, learner, SOURCE, device="cpu", **arguments))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def curve(history):
    return [entry.loss for entry in history]


def options(settings):
    names = [each.name for each in fields(settings) if each.type is not bool]
    return [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in names]


# ---- what is learned from ---------------------------------------------------------------------------------------


@given(step=st.integers(0, 10), seed=st.integers(0, 9))
def test_text_is_followed_by_its_own_next_byte_and_all_count_alike(step, seed):
    settings = replace(TINY, seed=seed, short_steps=5, short_length=7, short_batch=4)
    tokens, targets, weights = train.text(settings, SOURCE)(step)
    assert tokens.shape == targets.shape == weights.shape == (4, 7 if step < 5 else 24)
    assert torch.equal(tokens[:, 1:], targets[:, :-1])
    assert torch.equal(weights, torch.full(weights.shape, 1 / weights.numel()))
    drawn = corpus.Windows(SOURCE.training, tokens.shape[1], seed)(step, 4)
    assert torch.equal(torch.cat((tokens[:, :1], targets), dim=1), drawn)


@given(step=st.integers(0, 6), seed=st.integers(0, 9), wording=st.sampled_from(["short", "paper"]))
def test_the_weights_of_pass_keys_are_half_the_texts_mean_plus_the_answers(step, seed, wording):
    settings = replace(PASSKEY, seed=seed, wording=wording, length=260, short_length=250)
    tokens, targets, weights = train.passkeys(settings, SOURCE)(step)
    assert tokens.shape == ((2, 250) if step < 3 else (4, 260))
    assert torch.equal(tokens[:, 1:], targets[:, :-1])
    losses = torch.rand(targets.shape, dtype=torch.float64)
    digits = []
    for row in range(len(targets)):
        text = bytes(targets[row].tolist())
        answer = text.rstrip(b"\n").split(b" ")[-1]
        start = text.rindex(b" ") + 1
        assert 1 <= int(answer) <= 50000
        digits += [losses[row, start + i].item() for i in range(len(answer))]
    wanted = 0.5 * losses.mean().item() + sum(digits) / len(digits)
    assert (losses * weights).sum().item() == pytest.approx(wanted, rel=1e-6)


def test_pass_keys_take_turns_and_no_two_are_alike():
    settings, answers, pads = replace(PASSKEY, batch=6, short_steps=0, length=260), [], []
    for seed, step in itertools.product(range(2), repeat=2):
        tokens, targets, _ = train.passkeys(replace(settings, seed=seed), SOURCE)(step)
        for row, text in enumerate(bytes(x.tolist()) for x in torch.cat((tokens[:, :1], targets), dim=1)):
            answers.append(text.split()[-1])
            pads.append(len(text) - len(text.rstrip(b"\n")))
            assert (b"The grass is green." in text) == (row % 2 == 0)  # the paper's sentences, or the corpus
    assert len(set(answers)) == len(answers) == 24
    assert len({tuple(pads[i : i + 6]) for i in range(0, 24, 6)}) == 4
    assert 0 <= min(pads) < 4
    assert 12 <= max(pads) < 16


def test_short_texts_hold_no_number_but_the_key():
    settings = replace(PASSKEY, short_steps=1, length=300, distractors=3)
    for step, numbers in ((0, 1), (1, 4)):
        tokens, *_ = train.passkeys(settings, SOURCE)(step)
        for text in (bytes(row.tolist()) for row in tokens):
            assert text.count(b"The key is ") == 1
            assert text.count(b"The page is ") == numbers - 1


def test_the_learning_rate_rises_stays_and_falls():
    settings = replace(TINY, steps=100, warmup=10, decay=0.4, learning_rate=0.5)
    rates = [settings.rate(step) for step in range(100)]
    for step, rate in enumerate(rates):
        if step < 10:
            assert rate == pytest.approx(0.5 * (step + 1) / 10)
        elif step <= 60:
            assert rate == 0.5
        else:
            assert rate == pytest.approx(0.5 * (100 - step) / 40)


# ---- the loop ---------------------------------------------------------------------------------------------------


def test_training_is_adamw_as_it_is_written():
    """Three steps of our loop against Adam's formulas (Kingma and Ba; decoupled decay: Loshchilov and Hutter)."""
    settings = replace(TINY, steps=3, clip=0.3, weight_decay=0.1)
    learner, history = trained(settings)
    naive = train.new_model(settings)
    weights = dict(naive.named_parameters())
    m, v = ({name: np.zeros(w.shape) for name, w in weights.items()} for _ in range(2))
    draw = train.text(settings, SOURCE)
    for t in range(1, 4):
        tokens, targets, _ = draw(t - 1)
        loss = F.cross_entropy(naive(tokens).flatten(0, 1), targets.flatten())
        assert history[t - 1].loss == pytest.approx(loss.item(), abs=1e-5)
        gradients = dict(zip(weights, torch.autograd.grad(loss, weights.values()), strict=True))
        length = math.sqrt(sum(g.double().square().sum().item() for g in gradients.values()))
        assert length > settings.clip  # so that it is clipped
        for name, w in weights.items():
            g = gradients[name].double().numpy() * settings.clip / length
            m[name] = settings.beta1 * m[name] + (1 - settings.beta1) * g
            v[name] = settings.beta2 * v[name] + (1 - settings.beta2) * g**2
            update = m[name] / (1 - settings.beta1**t)
            update = update / (np.sqrt(v[name] / (1 - settings.beta2**t)) + settings.epsilon)
            if w.ndim == 2:
                update = update + settings.weight_decay * w.detach().numpy()
            with torch.no_grad():
                w -= torch.from_numpy(settings.rate(t - 1) * update).float()
    for name, w in learner.named_parameters():
        assert torch.allclose(w, weights[name], atol=2e-5), name


@pytest.mark.parametrize("name", ["shorter first", "pass keys"])
def test_a_steps_loss_is_the_weighted_sum_of_its_targets(name):
    settings = replace(VARIANTS[name], learning_rate=1e-12)  # the model stays what it was
    learner, history = trained(settings)
    draw = train.TASKS[settings.task](settings, SOURCE)
    for step in range(settings.steps):
        tokens, targets, weights = draw(step)
        assert tokens.shape == settings.shape(step)
        log_p = learner(tokens).detach().double().log_softmax(-1)
        wanted = -(log_p.gather(-1, targets[..., None])[..., 0] * weights).sum().item()
        assert history[step].loss == pytest.approx(wanted, abs=1e-4)
        assert history[step].step == step + 1


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_the_same_seed_gives_the_same_curve_and_weights(settings):
    (one, first), (other, second) = trained(settings), trained(settings)
    assert curve(first) == curve(second)
    assert same(one, other)
    assert curve(trained(replace(settings, seed=1))[1]) != curve(first)
    assert not same(train.new_model(settings), train.new_model(replace(settings, seed=1)))


def test_the_live_preset_learns():
    settings = replace(train.LIVE, steps=160)
    _, history = trained(settings)
    assert history[0].loss == pytest.approx(math.log(256), abs=0.1)  # it knows nothing
    last = sum(curve(history)[-10:]) / 10
    assert last < 3.0  # well below what the bytes' frequencies alone would give
    frequencies = np.bincount(torch.cat(list(SOURCE.training[:50])).numpy(), minlength=256)
    p = frequencies[frequencies > 0] / frequencies.sum()
    assert last < -(p * np.log(p)).sum()


def test_the_gpu_preset_runs_on_a_cpu(tmp_path, capsys):
    path = tmp_path / "gpu"
    main(f"train --preset gpu --device cpu --steps 2 --batch 1 --checkpoint {path}".split())
    about, _ = checkpoint.read(path)
    assert about["settings"] == asdict(replace(train.GPU, steps=2, batch=1))
    assert all(4 < loss < 7 for _, loss, _, _ in about["history"])


@pytest.mark.parametrize("name", ["predict.weight", "blocks.0.keys_values.weight"])
def test_a_loss_that_is_not_finite_stops_and_says_where(name):
    def stops(value, words):
        learner = train.new_model(TINY)
        weight = dict(learner.named_parameters())[name]
        with torch.no_grad():
            weight[0, 0] = value
        with pytest.raises(FloatingPointError, match=words):
            list(train.train(TINY, learner, SOURCE))

    stops(math.nan, f"step 1: the loss is nan, .* First not finite: the weight {name}")
    stops(3e38, f"step 1: the loss is nan, .* First not finite: the output of {name.removesuffix('.weight')}")


def test_a_gradient_that_is_not_finite_stops_too():
    learner = train.new_model(TINY)
    learner.norm.weight.register_hook(lambda gradient: gradient * math.inf)
    before = learner.embedding.weight.clone()
    with pytest.raises(FloatingPointError, match=r"the loss is 5.*First not finite: the gradient of norm\.weight"):
        list(train.train(TINY, learner, SOURCE, device="cpu"))
    assert torch.equal(learner.embedding.weight, before)


def test_a_model_of_ones_own_is_trained_in_place():
    class Recency(positions.PositionEncoding):
        def bias(self, q, k, q_positions=None, k_positions=None):
            return -torch.log1p(positions.distances(q, k, q_positions, k_positions).abs())

    learner = model.LanguageModel(model.ModelConfig(position=Recency(), width=16, heads=2, hidden=16, layers=1))
    before = learner.embedding.weight.clone()
    history = list(train.train(replace(TINY, steps=2), learner, SOURCE))
    assert len(history) == 2
    assert not torch.equal(before, learner.embedding.weight)


@pytest.mark.parametrize("position", ["Xpos", "Alibi", "T5Bias", "Shaw(clip=9)"])
def test_a_model_compiles_in_one_piece(position):
    learner = train.new_model(replace(TINY, position=position, length=300))
    whole = train.compiled(learner, fullgraph=True, backend="eager")
    for length in (24, 300):
        tokens = torch.randint(256, (2, length))
        assert torch.allclose(whole(tokens), learner(tokens), atol=1e-5)


@pytest.mark.full
@pytest.mark.skipif(
    not shutil.which("g++") or " " in sys.prefix,
    reason="torch.compile needs g++, and torch in a path without a space: it hands g++ that path without quotes",
)
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # inside torch.compile
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # likewise
@pytest.mark.parametrize("settings", [VARIANTS["text"], VARIANTS["learned positions"]], ids=["text", "learned"])
def test_a_compiled_model_learns_the_same(settings):
    assert curve(trained(settings, compile=True)[1]) == pytest.approx(curve(trained(settings)[1]), abs=1e-3)


# ---- killed and resumed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_training_that_stops_goes_on_as_if_it_had_not(settings, tmp_path):
    whole, history = trained(settings)
    for count, stop in enumerate([0, 2, 5]):  # steps before it stops; kept every two
        path = tmp_path / f"run{count}"
        stopped = train.train(settings, train.new_model(settings), SOURCE, path, every=2, device="cpu")
        list(itertools.islice(stopped, stop))
        stopped.close()
        assert stop < 2 or at(path) == stop - stop % 2
        learner, resumed = trained(settings, checkpoint=path, every=2)
        assert curve(resumed) == curve(history)
        assert same(learner, whole)
        again, over = trained(settings, checkpoint=path)  # it is done: nothing is computed
        assert over == resumed
        assert same(again, whole)
        assert sorted(p.name for p in tmp_path.glob(f"run{count}*")) == [
            checkpoint.read(path)[0]["tensors"],
            f"run{count}.json",
        ]


def test_killed_at_any_moment_it_loses_at_most_what_came_after_the_last_checkpoint(tmp_path):
    """What was killed three times ends with the very same bytes as what was left alone.

    All of them are processes of one thread: sums in another order differ in their last bits.
    """
    settings, environment = replace(TINY, steps=400), {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(path):
        command = [sys.executable, "-m", "lexviz", "train", "--device=cpu", f"--checkpoint={path}", "--every=1"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*command, *options(settings)], env=environment, **quiet)

    path = tmp_path / "killed"
    patience = random.Random(time.time_ns())  # any moment; a failure shows the files as they were
    done = []
    for _ in range(3):
        process = start(path)
        more = (done[-1] if done else 0) + patience.randint(1, 60)
        while process.poll() is None and not (path.with_suffix(".json").exists() and at(path) >= more):
            time.sleep(0.01)
        time.sleep(patience.uniform(0, 0.02))
        seen = at(path)
        process.kill()  # SIGKILL, where there is such a thing
        process.wait()
        done.append(at(path))
        assert done[-1] >= seen >= more or process.returncode == 0
        checkpoint.read(path)  # it is whole
    assert start(path).wait() == start(tmp_path / "whole").wait() == 0
    (about, tensors), (expected, others) = checkpoint.read(path), checkpoint.read(tmp_path / "whole")
    one, other = (curve(itertools.starmap(train.Entry, each["history"])) for each in (about, expected))
    assert one == other
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def at(path):
    return json.loads(path.with_suffix(".json").read_text())["step"]


@pytest.mark.parametrize("moment", range(6))
def test_a_checkpoint_is_replaced_when_its_successor_is_whole(moment, tmp_path, monkeypatch):
    """Writing is broken off at each call that touches the disk; what is there then is the old one or the new one."""
    path, calls = tmp_path / "x", itertools.count()
    checkpoint.write(path, {"a": torch.zeros(3)}, {"model": {}, "step": 1})

    def fragile(module, name):
        work = getattr(module, name)

        def until(*arguments):
            if next(calls) == moment:
                raise KeyboardInterrupt
            return work(*arguments)

        monkeypatch.setattr(module, name, until)

    for module, name in [(os, "fsync"), (os, "replace"), (checkpoint.pathlib.Path, "unlink")]:
        fragile(module, name)
    try:
        checkpoint.write(path, {"a": torch.ones(3)}, {"model": {}, "step": 2})
    except KeyboardInterrupt:
        assert moment < 5  # two files, flushed and put in place, and the removal of the old one
    else:
        assert moment == 5
    monkeypatch.undo()
    about, tensors = checkpoint.read(path)
    assert tensors["a"].tolist() == [about["step"] - 1.0] * 3
    assert about["step"] == (1 if moment < 4 else 2)
    checkpoint.write(path, {"a": torch.zeros(2)}, {"model": {}, "step": 3})  # and the next one clears up
    assert sorted(p.name for p in tmp_path.iterdir()) == [checkpoint.read(path)[0]["tensors"], "x.json"]


def test_others_files_are_left_alone(tmp_path):
    others = ["x-1.json", "x-0123456789abcdef.safetensors.bak", "xx-0123456789abcdef.safetensors", "x-0.safetensors",
              "y-x-0123456789abcdef.safetensors"]  # fmt: skip
    for name in others:
        (tmp_path / name).touch()
    for value in range(2):
        checkpoint.write(tmp_path / "x", {"a": torch.full((2,), value)}, {"model": {}})
    assert {p.name for p in tmp_path.iterdir()} == {*others, checkpoint.read(tmp_path / "x")[0]["tensors"], "x.json"}


def test_two_processes_do_not_write_one_checkpoint(tmp_path):
    for _ in range(2):  # and when one is done, others may
        with checkpoint.alone(tmp_path / "x"):
            with checkpoint.alone(tmp_path / "y"):
                pass
            with pytest.raises(SystemExit, match=r"x is being trained by another process; wait for it, or give"):
                main(f"train --preset live --steps 1 --width 16 --device cpu --checkpoint {tmp_path / 'x'}".split())
            with pytest.raises(ValueError, match="another process"), checkpoint.alone(f"{tmp_path}/x/"):
                pass


def test_a_slash_at_a_paths_end_changes_nothing(tmp_path):
    learner, history = trained(TINY, checkpoint=f"{tmp_path}/new/x/")
    assert trained(TINY, checkpoint=tmp_path / "new" / "x")[1] == history
    assert trained(TINY, checkpoint=f"{tmp_path}/new/x/")[1] == history
    assert same(checkpoint.load(f"{tmp_path}/new/x/"), learner)
    assert {p.suffix for p in (tmp_path / "new").iterdir()} == {".json", ".safetensors"}


# ---- several processes ------------------------------------------------------------------------------------------


def test_two_processes_learn_what_one_does(tmp_path):
    settings = replace(PASSKEY, steps=6)  # unequal weights: what is to be averaged is the loss of the whole batch
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}", "-m", "lexviz", "train"]
    done = subprocess.run(
        [sys.executable, *launch, "--device=cpu", f"--checkpoint={tmp_path / 'two'}", *options(settings)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    about, _ = checkpoint.read(tmp_path / "two")
    learner, history = trained(settings)
    assert [loss for _, loss, _, _ in about["history"]] == pytest.approx(curve(history), abs=2e-5)
    for a, b in zip(checkpoint.load(tmp_path / "two").parameters(), learner.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-3)


# ---- checkpoints as others see them -----------------------------------------------------------------------------


def outputs(learner):
    with torch.no_grad():
        return learner(torch.arange(40)[None])


@pytest.mark.parametrize(
    "position",
    [positions.Xpos(8, scale_base=77.0), positions.Alibi(2), positions.Shaw(8, clip=5), positions.Learned(50, 16)],
    ids=repr,
)
def test_a_model_that_is_kept_comes_back(position, tmp_path):
    mask = masks.causal() & (masks.block_causal(16) | masks.sliding_window(3))
    config = model.ModelConfig(position=position, width=16, heads=2, hidden=16, layers=2, mask=mask)
    learner = model.LanguageModel(config)
    checkpoint.save(tmp_path / "a", learner, seed=5)
    again = checkpoint.load(tmp_path / "a")
    assert torch.equal(outputs(again), outputs(learner))
    assert repr(again.config) == repr(config)
    assert checkpoint.read(tmp_path / "a")[0]["seed"] == 5
    checkpoint.save(tmp_path / "b", learner, half=True)
    halved = checkpoint.load(tmp_path / "b")
    assert next(halved.parameters()).dtype == torch.float32
    assert torch.allclose(outputs(halved), outputs(learner), atol=0.01)
    a, b = (next(tmp_path.glob(f"{name}-*")).stat().st_size for name in "ab")
    assert b < 0.6 * a


def test_an_encoding_from_elsewhere_is_passed(tmp_path):
    class Own(positions.PositionEncoding):
        def __init__(self, rate):
            super().__init__()
            self.rate = rate

        def bias(self, q, k, q_positions=None, k_positions=None):
            return -self.rate * positions.distances(q, k, q_positions, k_positions).abs()

    learner = model.LanguageModel(model.ModelConfig(position=Own(0.3), width=16, heads=2, hidden=16, layers=1))
    checkpoint.save(tmp_path / "own", learner)
    assert torch.equal(outputs(checkpoint.load(tmp_path / "own", position=Own)), outputs(learner))
    with pytest.raises(ValueError, match=r"own\.json uses the encoding Own, which .*; load\(\.\.\., position=Own\)"):
        checkpoint.load(tmp_path / "own")


def test_a_model_is_given_landmarks_and_goes_on_from_its_weights(tmp_path):
    plain, first = trained(TINY, checkpoint=tmp_path / "plain")
    settings = replace(TINY, start_from=str(tmp_path / "plain"), landmark_block=7)
    tuned = train.new_model(settings)
    for name, weight in plain.state_dict().items():
        assert torch.equal(tuned.state_dict()[name][: len(weight)], weight)
    assert len(tuned.embedding.weight) == 257
    before = outputs(plain)[:, :7]  # before the first landmark nothing has changed
    assert torch.allclose(outputs(tuned)[:, :7], before, atol=1e-5)
    assert trained(settings)[1][0].loss < first[0].loss - 0.5
    with pytest.raises(ValueError, match=r"start_from is '.*plain', a model of .* 16.* these settings ask for .* 32"):
        train.new_model(replace(settings, width=32))
    checkpoint.save(tmp_path / "tuned", tuned)
    on = train.new_model(replace(settings, start_from=str(tmp_path / "tuned"), landmark_block=9))
    assert same(on, tuned)  # with blocks of another size
    with pytest.raises(ValueError, match=r"a model of .*'landmark_block': 7.* these settings ask for .*None"):
        train.new_model(replace(TINY, start_from=str(tmp_path / "tuned")))


def damage(path, name, change):
    file = next(path.glob(name))
    file.write_bytes(change(file.read_bytes()))


class Runs:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def pickled(path):
    """In place of the tensors a pickle, and the JSON says that it is what belongs there."""
    torch.save({"weight": Runs()}, next(path.glob("x-*.safetensors")))
    digest = hashlib.sha256(next(path.glob("x-*.safetensors")).read_bytes()).hexdigest()
    damage(path, "x.json", lambda b: re.sub(rb'"sha256": "[^"]*"', f'"sha256": "{digest}"'.encode(), b))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda p: damage(p, "x-*", lambda b: b[:-9]), r"x-.*safetensors is damaged: .*; restore it from a copy, or"),
        (lambda p: damage(p, "x-*", lambda b: b[:999] + b"!" + b[1000:]), r"x-.*safetensors is damaged"),
        (lambda p: damage(p, "x-*", lambda b: b""), r"x-.*safetensors is damaged"),
        (lambda p: next(p.glob("x-*")).unlink(), r"x-.*safetensors is missing, which .*x\.json belongs to"),
        (lambda p: damage(p, "x.json", lambda b: b[:-9]), r"x\.json is damaged or no checkpoint of lexviz"),
        (lambda p: damage(p, "x.json", lambda b: b"\xff" + b), r"x\.json is damaged"),
        (lambda p: damage(p, "x.json", lambda b: b""), r"x\.json is damaged"),
        (lambda p: damage(p, "x.json", lambda b: b"[1]"), r"x\.json is damaged"),
        (lambda p: damage(p, "x.json", lambda b: b'{"format": "onnx"}'), r"x\.json is damaged or no checkpoint"),
        (lambda p: damage(p, "x.json", lambda b: b.replace(b'"hidden": 16', b'"hidden": 9')), r"x\.json holds other"),
        (lambda p: damage(p, "x.json", lambda b: b.replace(b'"width": 16', b'"width": 99')), r"multiple of heads"),
        (lambda p: damage(p, "x.json", lambda b: b.replace(b'"hidden": 16', b'"hidden": 999')), r"ask for \d+ numbers"),
        (lambda p: damage(p, "x.json", lambda b: b.replace(b'"width"', b'"wodth"')), r"x\.json is damaged: no model"),
        (lambda p: damage(p, "x.json", lambda b: b.replace(b'"gamma"', b'"gamna"')), r"x\.json is damaged: no model"),
        (lambda p: damage(p, "x.json", lambda b: b.replace(b'"causal()"', b'"c()"')), r"x\.json is damaged: no model"),
        (lambda p: damage(p, "x.json", lambda b: b.replace(b'"Xpos"', b'"math"')), r"x\.json uses the encoding math"),
        (lambda p: damage(p, "x.json", lambda b: b.replace(b'"x-', b'"../x-')), r"x\.json is damaged or no checkpoint"),
        (lambda p: damage(p, "x.json", lambda b: b.replace(b'"x-', b'["x-",0],"')), r"x\.json is damaged"),
        (lambda p: damage(p, "x.json", lambda b: re.sub(rb'"x-[^"]*"', b'".."', b)), r"x\.json is damaged or no"),
        (lambda p: damage(p, "x.json", lambda b: b"[" * 100_000), r"x\.json is damaged or no checkpoint"),
        (lambda p: damage(p, "x.json", lambda b: b.replace(b'"Xpos"', b'"distances"')), r"uses the encoding dist"),
        (
            lambda p: damage(p, "x.json", lambda b: b.replace(b'"width": 16', b'"width": 99' + b"9" * 12)),
            "no model can",
        ),
        (pickled, r"x-[0-9a-f]{16}\.safetensors holds no tensors"),
    ],
)
def test_a_damaged_checkpoint_is_named_with_what_to_do(harm, words, tmp_path):
    trained(replace(TINY, steps=1), checkpoint=tmp_path / "x")
    harm(tmp_path)
    with pytest.raises(ValueError, match=words):
        checkpoint.load(tmp_path / "x")


STRANGER = """
import itertools, json, resource, sys
from lexviz import checkpoint, masks, model, positions

resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))

def tried(path, held):
    try:
        checkpoint.load(path)
        return not held
    except ValueError as error:
        return "its tensors hold" in str(error) or "must be" in str(error)

encodings = [
    positions.NoPosition(), positions.Sinusoidal(16), positions.Learned(9, 16), positions.Rope(8), positions.Xpos(8),
    positions.XposWithoutRotation(8), positions.Alibi(2), positions.T5Bias(2), positions.Shaw(8, clip=3),
]
huge = 10**5, 10**9, 10**16
for position in encodings:
    learner = model.LanguageModel(model.ModelConfig(position, width=16, layers=1, heads=2, hidden=16))
    checkpoint.save(sys.argv[1], learner)
    about, tensors = checkpoint.read(sys.argv[1])
    described = about["model"]
    arguments = described["position"]["arguments"]
    for place, value in itertools.product((described, arguments), huge):
        for name, number in list(place.items()):
            if isinstance(number, int):
                place[name] = value
                checkpoint.write(sys.argv[1], tensors, about)
                held = name not in ("max_distance", "landmark_block")  # by the tensors
                print(type(position).__name__, name, value, tried(sys.argv[1], held))
                place[name] = number
for call in ("block_causal(N)", "sliding_window(N)", "segment_recurrent(N, N)", "padding(N)", "dilated(N, N)",
             "strided(N)", "fixed(N, N)", "longformer(N, N)", "bigbird(1, N)", "bigbird(N, 9, N, N, N)"):
    for value in huge:
        described["mask"] = call.replace("N", str(value))
        checkpoint.write(sys.argv[1], tensors, about)
        print("mask", call, value, tried(sys.argv[1], False))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process")
def test_no_size_in_a_stranger_s_file_is_allocated_or_counted_up_to(tmp_path):
    """In a process that may use a minute and 4 GB in all: a number that is believed ends it."""
    command = [sys.executable, "-c", STRANGER, tmp_path / "x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=pathlib.Path(__file__).parent.parent)
    tried = done.stdout.splitlines()
    assert (done.returncode, [line for line in tried if not line.endswith("True")]) == (0, []), done.stderr
    assert len(tried) > 150


@pytest.mark.parametrize("part", ["model", "settings", "corpus", "history"])
@pytest.mark.parametrize("value", [None, [1], 3, [[1, 2]], [[*"abcd"]], {}])
def test_a_damaged_checkpoint_is_not_gone_on_from(part, value, tmp_path):
    learner = train.new_model(TINY)
    about = {"model": checkpoint.describe(learner), "settings": asdict(TINY), "history": []}
    about["corpus"] = {"name": SOURCE.name, "fingerprint": SOURCE.fingerprint}
    checkpoint.write(tmp_path / "x", learner.state_dict(), about | {part: value})
    with pytest.raises(ValueError, match=r"x\.json (is damaged: its|was made with)"):
        next(train.train(TINY, learner, SOURCE, tmp_path / "x", device="cpu"))


def test_numbers_of_numpy_are_kept_and_what_cannot_be_kept_leaves_no_file(tmp_path):
    config = model.ModelConfig(positions.Rope(np.int64(8), base=np.float32(100)), width=np.int64(16), layers=1, heads=2)
    checkpoint.save(tmp_path / "x", model.LanguageModel(config), seed=np.int64(3), right=np.bool_(True))
    assert checkpoint.load(tmp_path / "x").config.width == 16
    assert checkpoint.read(tmp_path / "x")[0]["right"] is True
    for position, mask, words in [
        (inside.Nearsighted(positions.Rope(8), 3, [0]), masks.causal(), r"what is to be kept holds Rope\(head_dim=8"),
        (positions.Rope(8), masks.Interval("mine", lambda i: 0, lambda i: i), "mask is mine; a model is kept with"),
    ]:
        config = model.ModelConfig(position, width=16, layers=1, heads=2, mask=mask)
        with pytest.raises(ValueError, match=words):
            checkpoint.save(tmp_path / "new" / "y", model.LanguageModel(config))
        assert not (tmp_path / "new").exists()


def test_a_weight_that_half_precision_cannot_hold_is_named(tmp_path):
    learner = train.new_model(TINY)
    with torch.no_grad():
        learner.norm.weight[3] = 1e6
    with pytest.raises(ValueError, match=r"half is True; norm\.weight has 1e\+06, which half precision cannot hold"):
        checkpoint.save(tmp_path / "x", learner, half=True)
    checkpoint.save(tmp_path / "x", learner)


def test_loading_draws_no_random_numbers():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    runs.load("xpos-0")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        checkpoint.load(tmp_path / "nothing")


def test_a_checkpoint_of_something_else_is_not_gone_on_from(tmp_path):
    trained(TINY, checkpoint=tmp_path / "x")
    for changed, words in [
        (replace(TINY, learning_rate=0.5), r"x\.json was made with settings learning_rate=0.01, and now it is 0.5"),
        (replace(TINY, width=32), r"x\.json was made with model width=16, and now it is 32; give another --checkpoint"),
    ]:
        with pytest.raises(ValueError, match=words):
            trained(changed, checkpoint=tmp_path / "x")
    other = SOURCE._replace(fingerprint="another")
    with pytest.raises(ValueError, match=r"x\.json was made with corpus fingerprint='9158.*and now it is 'another'"):
        list(train.train(TINY, source=other, checkpoint=tmp_path / "x"))
    about, tensors = checkpoint.read(tmp_path / "x")
    del about["settings"]["clip"]
    checkpoint.write(tmp_path / "x", tensors, about)
    with pytest.raises(ValueError, match=r"settings clip=None, and now it is 1\.0"):
        trained(TINY, checkpoint=tmp_path / "x")
    about["settings"]["clip"] = 1.0
    checkpoint.write(tmp_path / "x", tensors, {name: about[name] for name in ("model", "settings", "corpus")})
    with pytest.raises(ValueError, match=r"x\.json holds a model and not how far its training was; .*--start-from"):
        trained(TINY, checkpoint=tmp_path / "x")


# ---- names that are looked up, and the command line -------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Xpos(", "Nothing", "nn.Linear(3, 3)", "__import__('os').system('true')", "Xpos(head_dim=open('x'))", "math",
        "Rope(base=[x for x in 'abc'])", "Rope() & 3", "lambda: 0", "Rope(gamma=1)", "_widest", "Tensor",
        "(" * 100_000, "Rope" + " & Rope" * 5000, f"Rope({'-' * 5000}1)", "distances(1, 2)", "T5Bias(heads=10**11)",
        "T5Bias(heads=100000000000)", "T5Bias(buckets=258)",
        "PositionEncoding.embed(1, 2)", "Rope.__init__.__globals__", "Rope(**vars())", "Rope(f'{print(1)}')", "Rope\0",
    ],
)  # fmt: skip
def test_only_calls_with_literal_arguments_are_made(text):
    with pytest.raises(ValueError, match="cannot be made"):
        checkpoint.make(text, positions, head_dim=8)


def test_what_no_text_can_make_is_not_offered():
    for text in ("Mask('x', 1, 2)", "Interval('x', 1, 2)", "dense(1, 2)", "flex"):
        with pytest.raises(ValueError, match=r"no call of one of full, causal, .*, longformer, bigbird$"):
            checkpoint.make(text, masks)


def test_what_is_written_goes_before_what_is_known():
    for text in ("Rope(4)", "Rope(head_dim=4)", "Rope(4, base=10000.0)"):
        assert repr(checkpoint.make(text, positions, head_dim=8)) == repr(positions.Rope(4))
    assert repr(checkpoint.make("Rope", positions, head_dim=8, size=3)) == repr(positions.Rope(8))


def test_every_encoding_is_made_from_its_name():
    for name in ("NoPosition", "Sinusoidal", "Learned", "Shaw(clip=9)", "T5Bias", "Alibi", "Rope", "Xpos",
                 "XposWithoutRotation"):  # fmt: skip
        learner = train.new_model(replace(TINY, position=name))
        assert type(learner.config.position).__name__ == name.removesuffix("(clip=9)")


def test_the_command_lists_its_commands_and_settings(capsys):
    main([])
    assert "train" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    for each in fields(train.Settings):
        assert f"--{each.name.replace('_', '-')}" in said


def test_the_command_says_what_it_trains_on_and_where_it_is_kept(tmp_path, capsys):
    main(f"train --preset live --steps 1 --width 16 --device cpu --checkpoint {tmp_path / 'x'}".split())
    said = capsys.readouterr().out
    assert "training on cpu" in said
    assert "sympy 1.14.0" in said
    assert f"kept at {tmp_path / 'x'}.json" in said
    for words, argument in [
        ("heads is 0", "--heads=0"),
        ("'Rop' cannot be made: .* is no call of one of .*, Rope, Xpos", "--position=Rop"),
        ("device is 'tpu9'; it must be cuda, mps or cpu, and be there", "--device=tpu9"),
        ("device is 'cuda:99'", "--device=cuda:99"),
        ("corpus is '/no/such/text'; no file is there", "--corpus=/no/such/text"),
        ("every is 0", "--every=0"),
        ("device is 'meta'; it must be cuda", "--device=meta"),
        ("weight_decay is nan", "--weight-decay=nan"),
        ("path is '.'; it must end with", "--checkpoint=."),
        ("this needs more memory than there is", "--position=NoPosition --heads=1 --width=1000000000000"),
    ]:
        with pytest.raises(SystemExit, match=f"lexviz: {words}"):
            main(["train", "--preset=live", "--steps=1", *argument.split()])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: replace(TINY, task="sums"), "task is 'sums'; it must be one of 'text', 'passkey'"),
        (lambda: replace(TINY, length=0), "length is 0"),
        (lambda: replace(TINY, learning_rate=0.0), "learning_rate is 0.0"),
        (lambda: train.new_model(replace(TINY, mask="causal(3)")), r"'causal\(3\)' cannot be made"),
        (lambda: train.new_model(replace(TINY, width=17)), "width is 17; it must be a multiple of heads"),
        (lambda: next(train.train(TINY, every=0)), "every is 0"),
        (lambda: next(train.train(TINY, device="foo")), "device is 'foo'; it must be cuda, mps or cpu"),
        (lambda: next(train.train(TINY, checkpoint=".")), "path is '.'; it must end with the checkpoint's name"),
        (lambda: replace(TINY, task=[]), r"task is \[\]; it must be of class str"),
        (lambda: replace(TINY, wording="long"), "wording is 'long'; it must be one of 'paper', 'short'"),
        (lambda: replace(TINY, width="8"), "width is '8'; it must be a whole number of at least 1"),
        (lambda: replace(TINY, weight_decay=math.nan), "weight_decay is nan; it must be a number of at least 0"),
        (lambda: replace(TINY, weight_decay="a"), "weight_decay is 'a'"),
        (lambda: replace(TINY, beta1=None), "beta1 is None; it must be a number of at least 0 and less than 1"),
        (lambda: replace(TINY, beta2=1.0), "beta2 is 1.0"),
        (
            lambda: train.passkeys(replace(TINY, length=16), SOURCE),
            "length is 16; with one more, .*pad=15",
        ),
        (lambda: checkpoint.save("p", "x"), "model is 'x'; it must be of class LanguageModel"),
        (lambda: checkpoint.load(None), "path is None; it must be of class str"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()
