"""What is measured of the reference runs, and the tables that are printed of it."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lexviz import corpus, evaluate, masks, runs, train
from lexviz.evaluate import passkeys
from lexviz.landmark import LandmarkCache
from lexviz.runs import measures, tables

TINY = {"layers": 1, "width": 16, "heads": 2, "hidden": 16}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A corpus of short texts that repeat themselves."""
    folder = tmp_path_factory.mktemp("texts")
    draw = np.random.default_rng(0)
    for i in range(30):
        words = [bytes(draw.integers(97, 123, 9).tolist()) for _ in range(12)]
        (folder / f"{i}.txt").write_bytes(b" ".join(words[draw.integers(12)] for _ in range(60)))
    return corpus.load(folder)


@given(st.text("ab", min_size=2, max_size=60), st.integers(1, 4))
def test_repeats_finds_what_a_search_finds(text, context):
    found = evaluate.repeats(corpus.from_text(text), context)
    for i in range(1, len(text)):
        here = text[i - context : i + 1]
        places = [] if i < context else [j for j in range(context, i) if text[j - context : j + 1] == here]
        assert found[i - 1] == (i - places[-1] if places else 0)


@given(st.data(), st.integers(1, 20), st.integers(2, 5))
def test_words_stand_at_the_end_and_as_far_back_as_asked(data, size, count):
    length = data.draw(st.integers(2 * size, 3 * size + 20))
    back = data.draw(st.one_of(st.just(0), st.integers(size, length + 1 - size)))
    shortest = 4 * length // 3 + 2
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    documents = [torch.from_numpy(draw.integers(256, size=shortest + i).astype(np.uint8)) for i in range(count)]
    kept = [document.clone() for document in documents]
    for i, text in enumerate(evaluate.twice(documents, back, size, length)):
        plain = documents[i][len(documents[i]) // 4 :][: length + 1]
        words = documents[i - 1][len(documents[i - 1]) // 2 :][:size]
        assert len(text) == length + 1
        ends = {length + 1, length + 1 - back}
        for end in ends:
            assert torch.equal(text[end - size : end], words)
        rest = [j for j in range(length + 1) if not any(end - size <= j < end for end in ends)]
        assert torch.equal(text[rest], plain[rest])
    assert all(map(torch.equal, documents, kept))


@pytest.mark.parametrize(
    ("asked", "says"),
    [({"back": 3}, "back is 3; it must be 0, or 4 to 13"), ({"back": 14}, "back is 14"), ({"size": 9}, "length is 16"),
     ({"size": 0}, "size is 0"), ({"length": 24}, "documents has one of 32 bytes; three quarters")],
)  # fmt: skip
def test_words_that_do_not_fit_are_refused(asked, says):
    with pytest.raises(ValueError, match=says):
        evaluate.twice([torch.arange(32)] * 2, **{"back": 0, "size": 4, "length": 16, **asked})


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 600))
def test_a_chunk_fits_into_the_positions_of_training_and_one_more_token_does_not(block, k, length):
    settings = train.Settings(length=length, landmark_block=block)
    ordinary = measures.chunk(settings, k)
    trained = length + length // block

    def needed(new):  # slots, an unfinished block, and the chunk with as many landmarks as it can have
        return (k + 1) * (block + 1) + block + new + -(-new // block)

    if ordinary > 0:
        assert needed(ordinary) <= trained + 1
        assert needed(ordinary + block) > trained


@pytest.fixture
def plain(texts):
    settings = train.Settings(**TINY, length=16, position="Alibi")
    return train.new_model(settings), settings, texts


def test_what_a_copy_saves_is_the_loss_of_the_same_words(texts):
    settings = train.Settings(**TINY, length=32, position="Alibi")
    model = train.new_model(settings)
    documents = measures.validation(settings, texts)
    rows = measures.copies(model, settings, texts)
    assert [row["back"] for row in rows] == [0, 4, 8, 16, 24]
    for row in rows:
        total = 0.0
        for text in evaluate.twice(documents, row["back"], 4, 32):
            logits = model(text[None, :-1]).log_softmax(-1).detach()
            total += (
                sum(-float(logits[0, j, int(text[j + 1])]) for j in (29, 30, 31)) / 3
            )  # the first of four is left out
        assert total / len(documents) == pytest.approx(row["nats"], abs=1e-4)


def test_the_loss_by_distance_of_the_repeat_is_a_mean_over_its_bytes(plain):
    model, settings, texts = plain
    rows = measures.repeats(*plain)
    documents = measures.validation(settings, texts)
    assert {(row["length"], row["mask"]) for row in rows} == {
        (16, "causal()"), (256, "causal()"), (256, "block_causal(8)")}  # fmt: skip
    for (n, mask), of_one in itertools.groupby(rows, key=lambda row: (row["length"], row["mask"])):
        of_one = list(of_one)
        assert [(row["from"], row["to"]) for row in of_one] == [
            (0, 0),
            (1, 15),
            (16, 31),
            (32, 63),
            (64, 127),
            (128, 255),
        ]
        assert sum(row["bytes"] for row in of_one) == sum(len(document) - 1 for document in documents)
        nats = evaluate.losses(
            model, documents, n, masks.causal() if mask == "causal()" else masks.block_causal(8)
        ).nats
        total = sum(row["bytes"] * row["nats"] for row in of_one if row["bytes"])
        assert total == pytest.approx(float(nats.sum()), rel=1e-3)
        assert any(row["bytes"] for row in of_one[2:])


def test_windows_are_read_at_every_length_and_few_see_no_more_than_training(plain):
    model, settings, texts = plain
    rows = measures.windows(*plain)
    assert len(rows) == 6 + 3 * 5
    documents = measures.validation(settings, texts, 32, 20)
    for row in rows:
        mask = train.checkpoints.make(row["mask"], masks)
        if row["mask"] != "causal()":
            assert max(mask.span(i, i)[1] - mask.span(i, i)[0] for i in range(100)) <= 16
        if row["length"] in (32, 512):
            found = evaluate.perplexity(model, documents, row["length"], mask)
            assert row["perplexity"] == pytest.approx(found, abs=1e-4)


@pytest.fixture
def landmarks(texts):
    settings = train.Settings(**TINY, length=96, landmark_block=3, position="Rope", task="passkey")
    return train.new_model(settings), settings, texts


def test_retrieval_is_measured_by_length_by_k_and_by_what_chooses(texts, monkeypatch):
    monkeypatch.setattr(measures, "FAR", 8)
    settings = train.Settings(**TINY, length=16, landmark_block=1, position="Rope")
    model = train.new_model(settings)
    rows = measures.retrieval(model, settings, texts)
    assert (
        len({(row["length"], row["k"], row["choose"], row["stingy"]) for row in rows}) == len(rows) == 3 + 4 * 4 + 2 + 4
    )
    documents = measures.validation(settings, texts, 8, 20)
    for row in rows[::4]:
        made = None if row["k"] is None else lambda row=row: [LandmarkCache(1, row["k"], row["choose"], row["stingy"])]
        found = evaluate.perplexity(model, documents, row["length"], cache=made, chunk=measures.chunk(settings))
        assert row["perplexity"] == pytest.approx(found, abs=1e-4)
    assert [row for row in rows if row in measures.reach(model, settings, texts)] == [
        row
        for row in rows
        if row["k"] is None or (row["k"], row["choose"], row["stingy"]) == (4, "head and token", True)
    ]


def test_pass_keys_are_asked_by_length_filler_and_in_every_way(landmarks, monkeypatch):
    monkeypatch.setattr(measures, "DEPTHS", 1)
    monkeypatch.setattr(measures, "PADS", (0, 2))
    asked = []

    def answer(model, parts, caches, size):
        asked.append((torch.cat(parts), caches))
        return b"no"

    monkeypatch.setattr(passkeys, "_answer", answer)
    rows = measures.passkeys(*landmarks) + measures.passkey_ways(*landmarks)
    assert len(rows) == 2 * 20
    assert len(asked) == 2 * len(rows)
    assert {tuple(row["right"]) for row in rows} == {("0", "0")}
    assert {row["length"] for row in rows} == {96 * n for n in (1, 2, 4, 8, 16, 32, 128)}
    for i, row in enumerate(rows):
        for prompt, caches in asked[2 * i : 2 * i + 2]:
            cache, text = caches[0], corpus.to_text(prompt)
            assert (cache.k, cache.choose, cache.stingy) == (row["k"], row["choose"], row["stingy"])
            assert text.endswith("What is the key? ")
            assert row["length"] - 8 <= len(text) <= row["length"]
            assert ("grass" in text) == (row["filler"] == "sentences")
            assert text.count("The page is") == row.get("distractors", 0)
            assert ("The key is" in text) != row.get("overwrite", False)


def test_without_landmarks_pass_keys_are_asked_with_two_masks(texts, monkeypatch):
    settings = train.Settings(**TINY, length=96, position="Rope", task="passkey")
    model = train.new_model(settings)
    monkeypatch.setattr(measures, "DEPTHS", 1)
    monkeypatch.setattr(measures, "PADS", (0,))
    rows = measures.passkeys(model, settings, texts)
    assert [row["mask"] for row in rows] == ["causal()"] * 10 + ["block_causal(48)"] * 10
    assert [row["length"] for row in rows[::2]] == [96, 192, 384, 768, 1536] * 2


# ---- tables -----------------------------------------------------------------------------------------------------


def test_seeds_are_put_together_with_their_mean_and_half_their_range():
    def run(value):
        rows = [{"length": n, "mask": "causal()", "perplexity": value * n} for n in (1, 2)]
        return {"results": {"lengths": [*rows, {"length": 4, "mask": "causal()", "perplexity": None}]}}

    text = tables.tables({"rope-0": run(1), "rope-1": run(2), "rope-2": run(4), "alibi-0": run(5)})
    assert text.splitlines()[0].split() == ["perplexity", "at", "length", "1", "2", "4"]
    assert text.splitlines()[1].split() == ["rope", "(3)", "2.33", "±1.50", "4.67", "±3.00", "-"]
    assert text.splitlines()[2].split() == ["alibi", "(1)", "5.00", "10.00", "-"]


def test_what_copies_save_is_a_mean_over_the_seeds():
    made = {f"rope-{i}": {"results": {"copies": [{"back": 0, "nats": 2 + i}, {"back": 32, "nats": i}]}} for i in (0, 1)}
    head, line = tables.tables(made).splitlines()
    assert head.split()[-3:] == ["nowhere", "32", "back"]
    assert line.split() == ["rope", "(2)", "2.500", "0.500"]


def test_every_recorded_number_is_in_a_table():
    recorded = runs.results()
    words = set(tables.tables(recorded).replace(",", "").split())
    for about in recorded.values():
        for kind in ("windows", "retrieval", "reach"):
            assert all(f"{row['perplexity']:.3f}" in words for row in about["results"].get(kind, []))
        for row in about["results"].get("passkeys", []) + about["results"].get("passkey_ways", []):
            assert str("".join(row["right"]).count("1")) in words
        for row in about["results"].get("resolution", []):
            assert len(row["resolution"]) == about["settings"]["layers"]
    assert sum(len(about["results"]) for about in recorded.values()) >= 9


def test_losses_by_repeat_agree_with_the_perplexity_of_the_same_text():
    for about in runs.results().values():
        for row in about["results"].get("lengths", []):
            same = [
                r
                for r in about["results"].get("repeats", [])
                if (r["length"], r["mask"]) == (row["length"], row["mask"])
            ]
            if same:
                mean = sum(r["bytes"] * r["nats"] for r in same) / sum(r["bytes"] for r in same)
                assert math.exp(mean) == pytest.approx(row["perplexity"], rel=1e-3)
