"""Pass keys: what is asked, of whom, and what counts as found."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lexviz import corpus, evaluate, masks
from lexviz.landmark import LandmarkCache
from lexviz.model import LanguageModel
from lexviz.positions import Xpos
from test_evaluate import small


class Finder(LanguageModel):
    """Reads the number off the prompt: what every model is asked to do."""

    def generate(self, prompt, count, mask=None, cache=None, temperature=0.0, seed=0):
        self.asked = corpus.to_text(torch.cat([*getattr(self, "read", []), prompt]))
        key = self.asked.split("The key is ")[-1].split(".")[0].encode()
        yield from (key + b" " * count)[:count]

    def forward(self, tokens, mask=None, cache=None):
        self.read = [*getattr(self, "read", []), tokens[0]]


def finder():
    return Finder(small().config)


def test_a_model_that_finds_is_right_and_one_that_does_not_is_wrong():
    assert evaluate.passkey_accuracy(finder(), 200, 5, wording="short") == 1.0
    assert evaluate.passkey_accuracy(small(), 200, 5, wording="short") == 0.0


def test_with_the_number_overwritten_no_one_can_know():
    assert evaluate.passkey_accuracy(finder(), 200, 5, wording="short", overwrite=True) == 0.0


def test_depths_are_spread_and_the_prompt_ends_with_the_question():
    model = finder()
    found = list(evaluate.passkey_trials(model, 150, 5, wording="short"))
    assert [trial.depth for trial in found] == [0, 0.25, 0.5, 0.75, 1]
    assert model.asked.endswith("What is the key? ")
    assert len({trial.answer for trial in found}) == 5


def test_with_a_cache_the_whole_prompt_goes_through_in_chunks():
    model = finder()
    (trial,) = evaluate.passkey_trials(model, 150, 1, cache=list, chunk=16, wording="short")
    assert trial.right
    assert {len(part) for part in model.read} == {16}
    assert len(model.asked) == 150 - len(trial.answer)


@pytest.mark.parametrize("kind", ["plain", "block causal", "cache", "landmark cache"])
def test_what_is_said_is_what_the_model_finds_likeliest_byte_by_byte(kind):
    """Against whole forward passes over all the text so far."""
    more = {"landmark_block": 7} if "landmark" in kind else {"mask": masks.block_causal(16)} if kind == "cache" else {}
    model = small(Xpos(8), **more)
    mask = masks.block_causal(16) if kind == "block causal" else None
    made = {"cache": model.caches, "landmark cache": lambda: [LandmarkCache(7, k=99, stingy=False) for _ in range(2)]}
    found = evaluate.passkey_trials(model, 120, 3, made.get(kind), mask, chunk=50, seed=8, wording="short", pad=2)
    for trial, (depth, answer, said) in enumerate(found):
        document, wanted, start, _ = corpus.passkey(120, [8, trial], wording="short", pad=2, depth=depth)
        text = document[:start].tolist()
        with torch.no_grad():
            for _ in answer:
                text.append(int(model(torch.tensor([text]), mask)[0, -1].argmax()))
        assert (answer, said) == (wanted, bytes(text[start:]))


@given(st.integers(1, 300), st.data())
def test_the_interval_holds_the_share_and_solves_its_equation(trials, data):
    right = data.draw(st.integers(0, trials))
    low, high = evaluate.interval(right, trials)
    assert 0 <= low <= right / trials + 1e-12
    assert right / trials - 1e-12 <= high <= 1
    for end in {low, high} - {0.0, 1.0}:  # a true share that lies 1.96 standard deviations from what was seen
        assert (right / trials - end) ** 2 == pytest.approx(1.96**2 * end * (1 - end) / trials, abs=1e-9)
