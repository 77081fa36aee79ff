"""The reference runs: how they are made, that they can go on, and that what is recorded comes out again."""

import json
import math
import re
from dataclasses import asdict, replace

import pytest
import torch

from lexviz import checkpoint, corpus, evaluate, masks, runs, train
from lexviz.__main__ import main, make_run
from lexviz.runs import measures, tables

TINY = {"layers": 1, "width": 16, "heads": 2, "hidden": 16, "length": 8, "steps": 6, "warmup": 1}
ENCODING = ["lengths", "places", "repeats", "copies", "resolution"]  # what is measured of an encoding
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
    return {"name": "tiny-0", "preset": "live", "settings": settings, "evaluate": ENCODING}


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
    assert {x.dtype for x in checkpoint.read(runs.FOLDER / "tiny-0")[1].values()} == {torch.float16}
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
    most, nothing = made(here, tmp_path / "stopped", deadline=0, every=10)
    assert nothing is None  # past the deadline it is not measured either
    assert len(most) == 6
    _, resumed = made(here, tmp_path / "stopped", every=2)
    assert comparable(resumed) == comparable(whole)


def test_a_run_can_start_from_another_and_add_landmarks(here, tmp_path):
    made({**here, "keep": True}, tmp_path / "work")
    still = {"start_from": "tiny-0", "landmark_block": 2, "learning_rate": 1e-12, "steps": 1}
    tuned = {**here, "name": "tuned-0", "settings": here["settings"] | still, "evaluate": [], "keep": True}
    _, about = made(tuned, tmp_path / "work")
    assert about["settings"]["start_from"] == "tiny-0"
    assert about["model"]["landmark_block"] == 2
    was, now = runs.load("tiny-0").state_dict(), runs.load("tuned-0").state_dict()
    for name, weights in was.items():
        assert torch.equal(now[name][: len(weights)], weights)
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*no-run"):
        made({**tuned, "name": "other-0", "settings": tuned["settings"] | {"start_from": "no-run"}}, tmp_path)


def test_weights_that_are_not_kept_are_not_there(here, tmp_path):
    made(here, tmp_path)
    assert not list(runs.FOLDER.glob("*.safetensors"))
    with pytest.raises(ValueError, match="name is 'tiny-0'; the runs whose weights are here are"):
        runs.load("tiny-0")


@pytest.mark.parametrize("name", ["xpos", "*", "", "xpos-", 0, None])
def test_a_run_that_is_not_there_is_named(name):
    with pytest.raises(ValueError, match=f"name is {re.escape(repr(name))}; the runs whose weights are here .*xpos-0"):
        runs.load(name)


def test_a_damaged_record_is_named(here, tmp_path):
    made(here, tmp_path / "work")
    path = runs.FOLDER / "tiny-0.json"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"tiny-0\.json is damaged: .*; restore it, or delete it and make"):
        runs.results()


def test_where_no_position_is_defined_nothing_is_run(here, tmp_path):
    here["settings"] |= {"position": "Learned"}
    _, about = made(here, tmp_path)
    rows = about["results"]["lengths"]
    assert [row["perplexity"] is None for row in rows] == [row["length"] > 8 for row in rows]
    assert about["results"]["places"] == []
    assert [row["length"] for row in about["results"]["resolution"]] == [8]
    assert " -" in tables.tables(runs.results())


def test_the_list_names_each_run_once_and_each_can_be_made():
    plan = runs.planned()
    assert list(plan)[:2] == ["xpos-0", "rope-0"]
    for run in plan.values():
        settings = replace(train.PRESETS[run["preset"]], **run["settings"])
        assert train.new_model(replace(settings, start_from=""))
        assert not settings.start_from or plan[settings.start_from].get("keep")
        assert set(run["evaluate"]) <= set(measures.MEASURES)


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
    documents = measures.validation(settings, corpus.load())
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
    assert found["xpos-0", 4096, "causal()"] < 2.5 * within
    for name in ("xpos-0", "rope-0"):
        assert found[name, 4096, "block_causal(128)"] < within


# ---- the commands -----------------------------------------------------------------------------------------------


def refused(arguments, words):
    with pytest.raises(SystemExit, match=words):
        main(arguments)


def test_the_command_prints_the_table_and_names_what_it_does_not_know(capsys):
    main(["runs", "--table"])
    assert "xpos, BCA (" in capsys.readouterr().out
    refused(["runs", "no-such-run"], "lexviz: names has 'no-such-run'; list.toml has xpos-0")


def test_the_command_makes_what_is_missing_until_its_time_is_over(here, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs, "planned", lambda: {"tiny-0": here})
    command = ["runs", "tiny-0", "tiny-0", "--work", str(tmp_path / "work")]
    main([*command, "--budget", "0"])
    assert not (tmp_path / "work").exists()
    with checkpoint.alone(tmp_path / "work" / "tiny-0"):
        refused(command, "tiny-0 is being trained by another process")
    assert "tiny-0" not in runs.results()
    calls, make = [], runs.make
    monkeypatch.setattr(runs, "make", lambda *arguments: calls.append(arguments) or make(*arguments))
    main([*command, "--budget", "9"])
    main(command)  # it is there
    make_run(here, tmp_path / "work", math.inf)  # as if another process had made it since the list was read
    assert len(calls) == 1
    assert "tiny-0" in runs.results()


def test_runs_of_the_gpu_preset_wait_for_a_gpu(here, tmp_path, monkeypatch):
    monkeypatch.setattr(
        runs, "planned", lambda: {"large-0": {**here, "name": "large-0", "preset": "gpu"}, "tiny-0": here}
    )
    made = []
    monkeypatch.setattr("lexviz.__main__.make_run", lambda run, *more: made.append(run["name"]))
    for device, expected in (("cpu", ["tiny-0"]), ("cuda", ["large-0", "tiny-0"])):
        made.clear()
        monkeypatch.setattr(train, "best_device", lambda device=device: device)
        main(["runs", "--work", str(tmp_path)])
        assert made == expected
    monkeypatch.setattr(train, "best_device", lambda: "cpu")
    main(["runs", "large-0", "--work", str(tmp_path)])  # who names it gets it
    assert made[-1] == "large-0"


@pytest.mark.parametrize(("option", "value"), [("budget", "-1"), ("budget", "nan"), ("processes", "0")])
def test_a_bad_option_is_named(option, value):
    refused(["runs", "xpos-0", f"--{option}", value], f"lexviz: --{option} is {value}.*; it must be")


def test_a_curve_of_nothing_is_refused():
    with pytest.raises(ValueError, match="history is empty"):
        runs.curve([])


def test_a_run_that_fails_in_its_own_process_is_told(tmp_path):
    missing = next(name for name in runs.planned() if name not in RECORDED)
    (tmp_path / "work").write_text("a file, and not a folder")
    refused(["runs", missing, "--processes", "2", "--work", str(tmp_path / "work")], "lexviz: a run has failed")


def test_a_recorded_model_can_be_measured_on_any_text(tmp_path, capsys):
    (tmp_path / "text.txt").write_text("to be or not to be, " * 500)
    given = ["--corpus", str(tmp_path / "text.txt"), "--lengths", "32", "64"]
    main(["evaluate", "xpos-0", *given, "--mask", "block_causal(16)"])
    said = capsys.readouterr().out
    assert "1 documents of" in said
    assert said.count("bits per byte") == 2
    assert "block_causal(16)" in said
    learner = train.new_model(train.Settings(layers=1, width=16, heads=2, hidden=16, length=40, position="Learned"))
    checkpoint.save(tmp_path / "learned", learner)
    main(["evaluate", str(tmp_path / "learned"), *given[:3], "40", "41"])
    said = capsys.readouterr().out
    assert said.count("bits per byte") == 1
    assert "41  undefined: Learned(size=40, dim=16) knows 40 positions" in said
    refused(["evaluate", str(tmp_path / "learned.json"), *given], r"no checkpoint .*\(without \.json\)")
    refused(["evaluate", "xpos-0", *given, "--documents", "0"], "--documents is 0")
    refused(["evaluate", "xpos-0", *given, "0"], "--lengths is 0")
    refused(["evaluate", "xpos-0", *given, "9999"], "lengths has 9999; no validation document of .* has so many bytes")
