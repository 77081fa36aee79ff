"""What holds of everything in lexviz.evaluate: the model is left as it was, and bad values are named."""

import pytest
import torch

from lexviz import evaluate, masks
from lexviz.model import LanguageModel, ModelConfig
from lexviz.positions import Learned, Rope, Xpos


def small(position=None, **sizes):
    """A model whose predictions are far from even, and differ by place."""
    torch.manual_seed(3)
    model = LanguageModel(ModelConfig(position=position or Rope(8), width=16, layers=2, heads=2, hidden=32, **sizes))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(6 if weight.ndim == 2 else 1)
    return model.eval()


def texts(*sizes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(256, (size,), generator=draw, dtype=torch.uint8) for size in sizes]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "measure",
    [
        lambda model: evaluate.perplexity(model, texts(20), 9),
        lambda model: evaluate.perplexity(model, texts(20), 9, cache=model.caches, chunk=4),
        lambda model: evaluate.measured_resolution(model, texts(20), 9),
        lambda model: next(evaluate.passkey_trials(model, 150, 2, wording="short")),
    ],
)
def test_a_model_is_left_as_it_was_and_can_learn_on(measure, training):
    model = small(Xpos(8)).train(training)
    before, modes = [p.clone() for p in model.parameters()], []
    model.norm.register_forward_hook(lambda *_: modes.append(model.norm.training))
    model.blocks[0].norm_feed.register_forward_hook(lambda *_: modes.append(model.norm.training))
    measure(model)
    assert set(modes) == {False}
    assert model.training is model.norm.training is training
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    model(texts(9)[0][None]).sum().backward()  # nothing was made that gradients cannot go through
    assert model.embedding.weight.grad is not None


def test_each_module_keeps_its_mode():
    model = small().train()
    model.blocks[0].eval()  # frozen, while the rest learns
    evaluate.perplexity(model, texts(20), 9)
    assert model.training
    assert model.blocks[1].norm_feed.training
    assert not model.blocks[0].training
    assert not model.blocks[0].norm_feed.training


def test_a_model_is_left_as_it_was_when_measuring_fails():
    model = small(Learned(8, 16)).train()
    with pytest.raises(ValueError, match="Learned"):
        evaluate.perplexity(model, texts(30), 9)
    assert model.training


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-4), (torch.bfloat16, 0.3), (torch.float16, 0.05)])
def test_a_model_in_other_numbers_and_documents_in_whole_ones(dtype, close):
    documents, model = texts(30, 11), small(Xpos(8))
    wanted, scores = evaluate.losses(model, documents, 10).nats, evaluate.scores_by_distance(model, documents, 10)
    assert torch.equal(evaluate.losses(model, [document.long() for document in documents], 10).nats, wanted)
    model.to(dtype)
    found = evaluate.losses(model, documents, 10).nats
    assert found.dtype == torch.float32
    assert torch.allclose(found, wanted, atol=close * 5, rtol=close)
    assert evaluate.scores_by_distance(model, documents, 10) == pytest.approx(scores, abs=close * 5)


def used():
    caches = small().caches()
    small()(texts(3)[0][None], cache=caches)
    return caches


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: evaluate.perplexity(small(), [], 4), "documents is empty; what is needed is a list"),
        (lambda: evaluate.perplexity(small(), iter(texts(9)), 4), "documents is a list_iterator; what is needed"),
        (lambda: evaluate.perplexity(small(), texts(9)[0], 4), "documents is a Tensor"),
        (lambda: evaluate.perplexity(small(), [b"bytes"], 4), r"documents\[0\] is bytes; .* corpus.from_text"),
        (lambda: evaluate.perplexity(small(), [*texts(9), torch.ones(9)], 4), r"documents\[1\] is torch.float32"),
        (lambda: evaluate.perplexity(small(), [texts(9)[0][None]], 4), r"documents\[0\] is .*uint8 of shape \(1, 9\)"),
        (lambda: evaluate.perplexity(small(), texts(9, 1), 4), r"documents\[1\] is .* two bytes or more"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, cache=small().caches()), "cache is a list; a function"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, cache=used), "caches that have seen text"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, masks.causal(), small().caches), "mask is causal"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, masks.full()), r"mask is full\(\); with it"),
        (lambda: evaluate.perplexity(m := small(), texts(9), 4, cache=lambda: m.caches(masks.full())), "mask is full"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, "causal()"), r"mask is 'causal\(\)'; it must be of class"),
        (lambda: evaluate.perplexity("xpos-0", texts(9), 4), "model is 'xpos-0'; it must be of class LanguageModel"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, cache=lambda: None), "cache is None; it must be of class"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, cache=lambda: [1, 2]), "cache has 1; each of its entries"),
        (lambda: evaluate.twice(texts(90), 0, 4, 16), "documents has 1; two are needed"),
        (lambda: evaluate.twice([], 0, 4, 16), "documents is empty"),
        (lambda: evaluate.first_parts(None, 3), "documents is None; it must be of class Sequence"),
        (lambda: evaluate.loss_by_place(None), "found is None; it must be of class Losses"),
        (lambda: evaluate.repeats(torch.arange(300)), r"(?s)document is .*; whole numbers \(length,\) from 0 to 255"),
        (lambda: next(evaluate.passkey_trials(None, 150, 1)), "model is None; it must be of class LanguageModel"),
        (lambda: next(evaluate.passkey_trials(small(), 150, 1, depth=0.5)), "depth is given; trials spread it"),
        (lambda: evaluate.measured_resolution(small(), [], 4), "documents is empty"),
        (lambda: evaluate.perplexity(small(), texts(9), 0), "length is 0"),
        (lambda: evaluate.perplexity(small(), texts(9), 4, cache=list, chunk=0), "chunk is 0"),
        (lambda: evaluate.measured_resolution(small(), texts(9), 1), "length is 1"),
        (lambda: evaluate.measured_resolution(small(landmark_block=2), texts(9), 4), "landmark_block=2"),
        (
            lambda: evaluate.measured_resolution(small(), texts(9), 9, masks.dilated(2, 3)),
            "some distances have no pair",
        ),
        (lambda: list(evaluate.passkey_trials(small(), 150, 0)), "trials is 0"),
        (lambda: evaluate.passkey_accuracy(small(), 300, 1, small().caches()), "cache is a list"),
        (lambda: evaluate.passkey_accuracy(small(), 150, 1, mask=masks.causal(), cache=list), "mask is causal"),
        (lambda: evaluate.passkey_accuracy(small(landmark_block=3), 150, 1, mask=masks.causal()), "mask is causal"),
        (lambda: evaluate.interval(6, 5), "trials is 5; it must be a whole number of at least 6"),
        (lambda: evaluate.interval(1, 0), "trials is 0"),
        (lambda: evaluate.first_parts([], 0), "size is 0"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=words):
        call()
