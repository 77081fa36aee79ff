"""The reference runs: how they are made, that they can go on, and that what is recorded comes out again."""

import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch

from lexviz import checkpoint, corpus, evaluate, masks, runs, train

TINY = {"layers": 1, "width": 16, "heads": 2, "hidden": 16, "length": 8, "steps": 6, "warmup": 1}
RECORDED = runs.results()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder for runs, and a run whose corpus is a few short texts."""
    monkeypatch.setattr(runs, "FOLDER", tmp_path / "runs")
    texts = tmp_path / "texts"
    texts.mkdir()
    draw = torch.Generator().manual_seed(0)
    for i in range(12):
        (texts / f"{i}.txt").write_bytes(bytes(torch.randint(256, (200,), generator=draw).tolist()))
    settings = {**TINY, "corpus": str(texts)}
    return {"name": "tiny-0", "preset": "live", "settings": settings, "evaluate": ["lengths", "places", "resolution"]}


def made(run, work, **more):
    history = list(runs.make(run, work, **more))
    return history, runs.results().get(run["name"])


def comparable(about):
    return {name: about[name] for name in about if name not in ("minutes", "date")}


def test_a_run_records_how_it_was_made_and_what_came_out(here, tmp_path):
    history, about = made({**here, "keep": True}, tmp_path / "work")
    assert [entry.step for entry in history] == [1, 2, 3, 4, 5, 6]
    assert about["settings"]["steps"] == 6
    assert about["corpus"]["fingerprint"] == corpus.load(here["settings"]["corpus"]).fingerprint
    assert about["curve"][-1] == [6, pytest.approx(history[-1].loss, abs=1e-4)]
    rows = about["results"]["lengths"]
    assert [row["length"] for row in rows] == [2, 4, 8, 16, 32, 64, 128, 16, 32, 64, 128]
    assert [row["mask"] for row in rows] == ["causal()"] * 7 + ["block_causal(4)"] * 4
    assert [len(row["nats"]) for row in about["results"]["places"]] == [64, 64]
    loaded = runs.load("tiny-0")
    documents = evaluate.first_parts(corpus.load(here["settings"]["corpus"]).validation, 128)
    for row in rows[::3]:
        mask = checkpoint.make(row["mask"], masks)
        found = evaluate.perplexity(loaded, documents, row["length"], mask)
        assert found == pytest.approx(row["perplexity"], rel=0.01)  # the weights are in half precision


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(here, tmp_path):
    _, whole = made(here, tmp_path / "whole")
    (runs.FOLDER / "tiny-0.json").unlink()
    first, nothing = made(here, tmp_path / "stopped", deadline=0, every=2)
    assert nothing is None
    assert len(first) == 2
    _, resumed = made(here, tmp_path / "stopped", every=2)
    assert comparable(resumed) == comparable(whole)


def test_weights_that_are_not_kept_are_not_there(here, tmp_path):
    made(here, tmp_path)
    assert not list(runs.FOLDER.glob("*.safetensors"))
    with pytest.raises(ValueError, match="name is 'tiny-0'; the runs whose weights are here are"):
        runs.load("tiny-0")


def test_where_no_position_is_defined_nothing_is_run(here, tmp_path):
    here["settings"] |= {"position": "Learned"}
    _, about = made(here, tmp_path)
    rows = about["results"]["lengths"]
    assert [row["perplexity"] is None for row in rows] == [row["length"] > 8 for row in rows]
    assert about["results"]["places"] == []
    assert [row["length"] for row in about["results"]["resolution"]] == [8]
    assert " -" in runs.table()


def test_the_list_names_each_run_once_and_each_can_be_made():
    plan = runs.planned()
    assert list(plan)[:2] == ["xpos-0", "rope-0"]
    for run in plan.values():
        settings = replace(train.PRESETS[run["preset"]], **run["settings"])
        assert train.new_model(settings)
        assert set(run["evaluate"]) <= set(runs.MEASURES)


def test_every_recorded_run_is_on_the_list_and_was_made_as_it_says():
    plan = runs.planned()
    for name, about in RECORDED.items():
        settings = replace(train.PRESETS[plan[name]["preset"]], **plan[name]["settings"])
        assert about["settings"] == json.loads(json.dumps(asdict(settings)))
        assert about["corpus"]["fingerprint"] == corpus.FINGERPRINT
        assert {"torch", "python"} <= set(about["versions"])


def test_all_that_is_shipped_weighs_less_than_15_megabytes():
    assert sum(path.stat().st_size for path in runs.FOLDER.iterdir() if path.is_file()) < 15e6


@pytest.mark.parametrize("name", ["xpos-0", "rope-0"])
def test_recorded_perplexities_come_out_again(name):
    """A sample: one length with the causal mask, one with the block causal one; over all their documents."""
    model, about = runs.load(name), RECORDED[name]
    settings = train.Settings(**about["settings"])
    documents = runs.validation(settings, corpus.load())
    for length, mask in ((64, masks.causal()), (512, masks.block_causal(128))):
        (row,) = [r for r in about["results"]["lengths"] if (r["length"], r["mask"]) == (length, repr(mask))]
        assert evaluate.perplexity(model, documents, length, mask) == pytest.approx(row["perplexity"], rel=0.01)


def test_what_the_paper_says_of_rope_and_xpos_shows_at_our_scale():
    """Beyond the training length RoPE fails and XPos does not; blockwise causal attention repairs RoPE."""
    found = {
        (name, row["length"], row["mask"]): row["perplexity"]
        for name in ("xpos-0", "rope-0")
        for row in RECORDED[name]["results"]["lengths"]
    }
    within = found["rope-0", 256, "causal()"]
    assert found["rope-0", 4096, "causal()"] > 5 * within
    assert found["xpos-0", 4096, "causal()"] < 2 * within
    for name in ("xpos-0", "rope-0"):
        assert found[name, 4096, "block_causal(128)"] < within


def command(*arguments):
    done = subprocess.run([sys.executable, "-m", "lexviz", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_command_prints_the_table_and_names_what_it_does_not_know():
    code, said = command("runs", "--table")
    assert code == 0
    assert "xpos-0, BCA" in said
    code, said = command("runs", "no-such-run")
    assert code == 1
    assert "names has 'no-such-run'; list.toml has xpos-0" in said


def test_a_recorded_model_can_be_measured_on_any_text(tmp_path):
    (tmp_path / "text.txt").write_text("to be or not to be, " * 500)
    code, said = command(
        "evaluate", "xpos-0", "--corpus", str(tmp_path), "--lengths", "32", "64", "--mask", "block_causal(16)"
    )
    assert code == 0, said
    assert "1 documents of" in said
    assert said.count("bits per byte") == 2
