"""Wrong values for any argument of any function of lexviz: a result without nan, or an error that names an argument."""

import importlib
import inspect
import itertools
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import names
from lexviz import attention, evaluate, masks, positions, theory
from lexviz.model import LanguageModel, ModelConfig

MODULES = (
    *("theory", "masks", "positions", "attention", "landmark", "cache", "model", "corpus", "inside", "retrieval"),
    *("evaluate", "palette"),
)
ROPE = {"position": positions.Rope(8), "width": 16, "heads": 2, "layers": 1, "hidden": 16}
MODEL, LANDMARKS = LanguageModel(ModelConfig(**ROPE)), LanguageModel(ModelConfig(**ROPE, landmark_block=3))
X, TOKENS, MASK = torch.randn(1, 2, 12, 8), torch.arange(12), masks.block_causal(4)
# What an argument of this name may be; and where a function means something else by it.
GOOD = {
    **dict(head_dim=8, dim=8, size=16, heads=2, buckets=8, max_distance=20, clip=3, base=1e4, gamma=0.4, depth=0.5),
    **dict(scale_base=512.0, scale=1.0, rate=0.25, distance=[0, 1], zeta=theory.decays(8), distances=16, steps=2),
    **dict(scores=torch.randn(9, 9), is_landmark=torch.arange(9) % 3 == 2, landmark_id=256, dtype="float16"),
    **dict(mask=MASK, n=6, layers=2, block=3, width=4, segment=4, memory=2, stop=[3, 4], dilation=2, stride=3),
    **dict(length=12, q=X, k=X, v=X, config=MODEL.config, model=MODEL, tokens=TOKENS, prompt=TOKENS, count=1, tile=4),
    **dict(chunk=5, texts=TOKENS[None], layer=0, queries=range(4, 8), keys=range(8), last=5, text="abc", seed=0),
    **dict(position=positions.Rope(8), document=TOKENS, perplexity=3.5, right=3, trials=4),
    **dict(colour="#16181c", opacity=0.5),
    **dict(documents=[torch.arange(40)], encoding=positions.Rope(8), sight=3, window=3, stingy=True, path="tests"),
}
OTHER = {
    "theory.resolution": {"scores": [1.0, 2.0, 3.0]},
    "attention.whole": {"pieces": list(attention.windows(X, X, MASK)), "queries": 12, "keys": 12},
    "landmark.LandmarkCache": {"k": 2},
    "corpus.passkey": {"length": 300},
    "inside.states": {"tokens": TOKENS[None]},
    "retrieval.tiles": {"model": LANDMARKS, "k": 2},
    "retrieval.written": {"model": LANDMARKS, "k": 2},
    "retrieval.landmark_keys": {"model": LANDMARKS},
    "inside.losses": {"heads": {0: [1]}},
    "evaluate.loss_by_place": {"found": evaluate.losses(MODEL, [TOKENS], 4)},
    "evaluate.passkey_accuracy": {"trials": 1, "length": 300},
    "evaluate.passkey_trials": {"trials": 1, "length": 300},
    "evaluate.twice": {"documents": [torch.arange(99)] * 2, "size": 4, "back": 0},
    "inside.Nearsighted": {"chosen": [1]},
    "model.ModelConfig": ROPE | {"mask": masks.causal(), "landmark_block": None},
}
LEFT_OUT = {"masks.Mask", "masks.Interval", "masks.flex", "corpus.Documents", "model.Block"}  # functions, or slow


def calls():
    """(name, function, arguments that it takes) of what is public."""
    for name in names.every().values():
        short = f"{name.module}.{name.path}"
        if name.module not in MODULES or name.kind not in ("function", "class") or short in LEFT_OUT:
            continue
        function = getattr(importlib.import_module(f"lexviz.{name.module}"), name.path)
        if isinstance(function, type) and issubclass(function, tuple):
            continue  # a result
        wanted = {**GOOD, **OTHER.get(short, {})}
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
        good = {p.name: wanted.get(p.name, p.default) for p in parameters if p.name in wanted or p.default is p.empty}
        if good:
            yield short, function, good


CALLS = list(calls())
wrong = st.one_of(
    st.integers(-3, 40) | st.just(2**70) | st.floats() | st.booleans() | st.text(max_size=3) | st.none(),
    st.sampled_from([[], [1], [math.nan], ["a"], {}, {9: [0]}, {0: [9]}, range(0), range(9, 0, -1), object(), len]),
    st.sampled_from(
        [masks.causal, masks.padding([3] * 5), positions.Rope, positions.Alibi(3), MODEL, np.zeros((2, 0))]
    ),
    st.sampled_from([torch.zeros(()), torch.zeros(0), torch.zeros(1, 12), torch.zeros(1, 2, 12, 6), X[:, :, ::2]]),
    st.sampled_from([X.long(), X.half(), X.double(), X[0], X.to("meta"), TOKENS > 3, TOKENS - 9, TOKENS + 1000]),
)


def nan_in(found):
    if isinstance(found, torch.Tensor):
        return found.device.type != "meta" and found.is_floating_point() and bool(found.isnan().any())
    if isinstance(found, list | tuple):
        return any(map(nan_in, found))
    return isinstance(found, float | np.ndarray) and np.asarray(found).dtype.kind == "f" and bool(np.isnan(found).any())


def outcome(function, arguments):
    """What it gives, and what it says instead."""
    try:
        found = function(**arguments)
        return list(itertools.islice(found, 20)) if inspect.isgenerator(found) else found, ""
    except (ValueError, TypeError) as error:
        return None, str(error)
    except (MemoryError, NotImplementedError, RuntimeError) as error:  # too large, or on a device without numbers
        assert re.search("memory|meta|overflow", str(error)), error  # noqa: PT017
        return None, ""


@pytest.mark.parametrize(("name", "function", "good"), CALLS, ids=[name for name, *_ in CALLS])
@given(data=st.data())
def test_a_wrong_value_is_refused_in_words(name, function, good, data):
    found, said = outcome(function, good)
    assert not said
    argument = data.draw(st.sampled_from(sorted(good)), "argument")
    found, said = outcome(function, good | {argument: data.draw(wrong, "value")})
    assert not said or any(each in said for each in [*good, "tokens", "corpus"]), said
    assert not nan_in(found) or name == "retrieval.written"  # nan: what is neither fetched nor local
