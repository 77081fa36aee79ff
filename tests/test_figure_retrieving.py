"""What the figures of chapter 11 plot, against the numbers that they are given; what the chapter says of the models."""

import itertools
import json
import re
from math import comb

import numpy as np
import pytest
import torch

import charts
import notebooks
from lexviz import corpus, evaluate, explore, paper, runs
from lexviz.figures import inside
from lexviz.figures import retrieving as figures
from lexviz.inside import Written

RNG = np.random.default_rng(0)


def trace(made, name):
    (found,) = (t for t in made.data if t.name == name)
    return found


def runs_like(**results):
    """Records as `runs.results()` gives them."""
    return {
        name.replace("_", "-"): {"settings": {"length": 256, "landmark_block": 15}, "results": of}
        for name, of in results.items()
    }


# ---- perplexity by length ---------------------------------------------------------------------------------------

LENGTHS = [256 * 2**e for e in range(6)]


def retrieval(seed):
    """Rows as `measures.retrieval` makes them, with random numbers."""
    rng = np.random.default_rng(seed)
    asked = [(n, None, None, False) for n in LENGTHS[:3]]
    asked += [(n, k, "head and token", True) for k in (1, 2, 4, 8) for n in LENGTHS]
    asked += [(n, 4, choose, True) for choose in ("head", "token") for n in LENGTHS[3::2]]
    asked += [(n, 4, "head and token", False) for n in LENGTHS[:4]]
    names = ("length", "k", "choose", "stingy")
    return [dict(zip(names, how, strict=True)) | {"perplexity": rng.uniform(3, 6)} for how in asked]


WINDOWS = [
    {"length": n, "mask": mask, "perplexity": RNG.uniform(3, 30)}
    for mask in ("causal()", "block_causal(128)", "segment_recurrent(64, 192)", "sliding_window(256)")
    for n in LENGTHS[mask != "causal()" :]
]


@pytest.mark.parametrize("recorded", [("landmark_0", "landmark_from_rope_0"), ("landmark_0",), ()], ids=len)
def test_lines_by_length_are_the_recorded_rows(recorded):
    rows = {name: retrieval(i) for i, name in enumerate(recorded)}
    about = runs_like(rope_0={"windows": WINDOWS}, **{name: {"retrieval": of} for name, of in rows.items()})
    assert (figures.TUNED in figures.comparisons(about)) == (len(recorded) == 2)
    far = figures.far(about)
    for by, beside, close in itertools.product(figures.comparisons(about), (False, True), (False, True)):
        made, readouts = far(by, beside, close)
        assert len(readouts) == 2
        names = {t.name for t in made.data} - {"training length"}
        assert {name for name in names if name.startswith("RoPE, ")} == set(
            list(figures.WITHOUT.values())[: 4 if beside else 2]
        )
        for line in made.data[:-1]:
            assert list(line.x) == sorted(line.x)
        low, high = made.layout.yaxis.range
        drawn = [np.log10(y) for t in made.data[:-1] for y in t.y]
        assert close or (low < min(drawn) and max(drawn) < high)
    if recorded:
        made, _ = far(figures.BY_K, False, True)
        wanted = {r["length"]: r["perplexity"] for r in rows["landmark_0"] if r["k"] == 8}
        assert dict(zip(*(trace(made, "k = 8")[i] for i in "xy"), strict=True)) == wanted
        made, _ = far(figures.BY_POSITIONS, False, True)
        assert list(trace(made, "true positions").x) == LENGTHS[:4]
        assert list(trace(made, "landmarks, all at once").x) == LENGTHS[:3]


# ---- pass keys --------------------------------------------------------------------------------------------------


def keys(length, filler, **how):
    """A row with random answers."""
    right = ["".join(RNG.choice(["0", "1"], 10, p=[0.2, 0.8])) for _ in range(5)]
    return {"length": length, "filler": filler, **how, "right": right}


USUAL = {"k": 4, "choose": "head and token", "stingy": True}
DENSE_ROWS = [
    keys(n, filler, mask=mask)
    for mask in ("causal()", "block_causal(128)")
    for n in (256, 512)
    for filler in figures.FILLERS
]
WAYS = [
    keys(2048, filler, **USUAL | way)
    for way in ({"k": 1}, {"k": 2}, {"k": 8}, {"choose": "head"}, {"choose": "token"}, {"distractors": 1},
                {"distractors": 4}, {"distractors": 16}, {"overwrite": True})
    for filler in figures.FILLERS
]  # fmt: skip
WAYS += [keys(n, filler, **USUAL | {"stingy": False}) for n in (256, 512) for filler in figures.FILLERS]
PASSKEYS = runs_like(
    passkey_0={
        "passkeys": [keys(n, filler, **USUAL) for n in (256, 2048, 32768) for filler in figures.FILLERS],
        "passkey_ways": WAYS,
    },
    passkey_dense_0={"passkeys": DENSE_ROWS},
)


def test_keys_are_counted_by_length_and_depth_with_their_intervals():
    every = figures.keys_of(PASSKEYS)
    assert list(every) == [figures.LANDMARKS, "RoPE, all at once", "RoPE, block causal", figures.TRUE]
    for (asked, rows), filler in itertools.product(every.items(), figures.FILLERS):
        made, readouts = figures.by_depth(PASSKEYS)(asked, filler)
        z = np.array(trace(made, "found of five").z, dtype=float)
        names = list(trace(made, "found of five").x)
        above = trace(made, "share found")
        for (n, hidden_in), right in rows.items():
            if hidden_in == filler:
                column = z[:, names.index(f"{n:,}")]
                assert column.tolist() == [sum(int(pad[depth]) for pad in right) for depth in range(10)]
                at = list(above.x).index(f"{n:,}")
                count = "".join(right).count("1")
                low, high = evaluate.interval(count, 50)
                assert above.y[at] == count / 50
                assert above.y[at] + above.error_y.array[at] == pytest.approx(high)
                assert above.y[at] - above.error_y.arrayminus[at] == pytest.approx(low)
        asked_for = {n for n, hidden_in in rows if hidden_in == filler}
        assert [name for name in names if np.isnan(z[:, names.index(name)]).all()] == [
            name for name in names if int(name.replace(",", "")) not in asked_for
        ]
        longest = max(asked_for)
        assert readouts[0][1].startswith(f"{''.join(rows[longest, filler]).count('1')} of 50 at {longest:,} bytes")


def test_all_found_up_to_where_the_first_is_missed():
    whole, missed = ["1" * 10] * 5, ["1" * 10] * 4 + ["1" * 9 + "0"]
    rows = [(256, whole), (512, whole), (1024, missed), (2048, whole)]
    about = runs_like(
        passkey_0={"passkeys": [{"length": n, "filler": "sentences", **USUAL, "right": r} for n, r in rows]}
    )
    assert figures.by_depth(about)(figures.LANDMARKS, "sentences")[1][1] == ("all found up to", "512 bytes", "")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (figures.K, ["1", "2", "4", "8"]),
        (figures.CHOOSE, ["head and token", "head", "token"]),
        (figures.OTHERS, ["0", "1", "4", "16"]),
        (figures.CONTROL, ["no", "yes"]),
    ],
)
def test_each_way_is_compared_with_the_usual_one(change, names):
    made, readouts = figures.ways(PASSKEYS)(change)
    assert list(made.layout.xaxis.ticktext) == names
    usual = {figures.K: "4", figures.CHOOSE: "head and token", figures.OTHERS: "0", figures.CONTROL: "no"}[change]
    for filler, (_, said, _) in zip(figures.FILLERS, readouts, strict=True):
        shares = dict(zip(names, trace(made, filler).y, strict=True))
        for name, share in shares.items():
            rows = PASSKEYS["passkey-0"]["results"]["passkeys" if name == usual else "passkey_ways"]
            key = {
                figures.K: "k",
                figures.CHOOSE: "choose",
                figures.OTHERS: "distractors",
                figures.CONTROL: "overwrite",
            }
            value = {"yes": True, "no": False}.get(name, int(name) if name.isdigit() else name)
            (row,) = (
                r for r in rows
                if r["length"] == 2048 and r["filler"] == filler and (name == usual or r.get(key[change]) == value)
            )  # fmt: skip
            assert share == "".join(row["right"]).count("1") / 50
            assert f"{name}: {50 * share:.0f}" in said


# ---- digit by digit, in the text --------------------------------------------------------------------------------


def answer(block, seed=0, filler=None):
    """A pass key, and what a model may have looked at while it wrote: random weights in blocks fetched at random."""
    rng = np.random.default_rng(seed)
    asked = corpus.passkey(400, seed=[0, 3], wording="short", depth=0.3, filler=filler)
    steps = []
    for i in range(5):
        read = asked.start + i
        count = read // block - 2  # the last two finished blocks and the rest are local
        weights, fetched = np.full((4, 4, read), np.nan), np.zeros((4, 4, count), dtype=bool)
        for layer, head in itertools.product(range(4), repeat=2):
            fetched[layer, head, rng.choice(count, 3, replace=False)] = True
            seen = np.concatenate((np.repeat(fetched[layer, head], block), np.ones(read - count * block, dtype=bool)))
            weights[layer, head, seen] = rng.dirichlet(np.ones(seen.sum()))
        steps.append(Written(ord("12345"[i]), weights, fetched, rng.normal(size=(4, 4, count))))
    return figures.Answer(asked, steps, block)


@pytest.mark.parametrize(("block", "row"), [(15, 45), (31, 31), (50, 50)])
def test_what_is_fetched_for_a_digit_is_framed_and_shaded_in_the_text(block, row):
    of = answer(block)
    assert (of.row, of.said) == (row, b"12345")
    for digit, layer, head in ((1, 1, 1), (3, 2, 4), (5, 4, 2)):
        made, readouts = figures.in_the_text({"here": of})("here", digit, layer, head)
        step = of.steps[digit - 1]
        weights, fetched = step.weights[layer - 1, head - 1], step.fetched[layer - 1, head - 1]
        z = np.array(trace(made, "weights").z, dtype=float).ravel()
        assert z[: len(weights)] == pytest.approx(np.round(1000 * weights), nan_ok=True)
        assert np.isnan(z[len(weights) :]).all()
        drawn = trace(made, "text")
        characters = {(y, x): c for y, x, c in zip(drawn.y, drawn.x, drawn.text, strict=True)}
        text = bytes(of.asked.document[: of.asked.start].tolist()) + b"12345"[: digit - 1]
        assert [characters.get(divmod(i, row), " ") for i in range(len(text))] == inside.shown(text)
        assert len(characters) == len([c for c in inside.shown(text) if c != " "])
        framed = set()
        for frame, wanted in (("fetched", np.repeat(fetched, block)), ("the key", None), ("read last", None)):
            x, y = (np.array(trace(made, frame)[i]).reshape(-1, 6) for i in "xy")
            framed = {
                round(line[0] + 0.45) * row + j
                for at, line in zip(x, y, strict=True)
                for j in range(round(at[0] + 0.5), round(at[1] + 0.5))
            }
            wanted = {
                "fetched": set() if wanted is None else set(np.flatnonzero(wanted)),
                "the key": set(range(of.asked.needle.start, of.asked.needle.stop)),
                "read last": {len(weights) - 1},
            }[frame]
            assert framed == wanted, frame
        assert list(trace(made, "scores, fetched").x) == np.flatnonzero(fetched).tolist()
        assert trace(made, "scores").y == pytest.approx(step.scores[layer - 1, head - 1], abs=0.006)
        said = {name: value for name, value, _ in readouts}
        assert said["fetched"] == ", ".join(map(str, np.flatnonzero(fetched)))
        share = np.nansum(weights[of.asked.needle])
        assert said["to the sentence with the key"] == f"{100 * share:.0f}%"
        assert of.shares()[digit - 1, layer - 1, head - 1] == pytest.approx(share)
        number = of.asked.answer.decode()
        assert said["the key, and what is written"] == f"{number}, {'12345'[: digit - 1]}[{digit}]"


def test_text_stays_text():
    document = torch.frombuffer(bytearray(b"<b>bold</b>&amp;\n" * 60), dtype=torch.uint8)
    of = answer(15, filler=[document])
    figure = explore.explore(
        figures.in_the_text({"one": of, "other": of}), text=explore.choice("one", "other"),
        digit=explore.slider(1, 5, step=1), layer=explore.choice(1, 2), head=explore.choice(1, 2),
    )  # fmt: skip
    made, _ = figure.state(**figure.first)
    assert "&lt;" in trace(made, "text").text
    assert not any("<b>" in text for text in trace(made, "scores").text)


# ---- what is left to the key, and found -------------------------------------------------------------------------


def test_what_is_left_to_the_key_is_a_softmax_beside_the_best_of_those_drawn():
    ours, others = RNG.normal(size=(2, 5, 2)), RNG.normal(size=(2, 5, 2, 30))
    kept = figures.left_to_the_key(ours, others, blocks=30)  # all of them are drawn
    best = np.sort(others)[..., -4:]
    assert kept == pytest.approx(np.broadcast_to(np.exp(ours) / (np.exp(ours) + np.exp(best).sum(-1)), kept.shape))
    few = figures.left_to_the_key(ours, others, blocks=2)  # fewer than are fetched
    assert few.min() >= (np.exp(ours) / (np.exp(ours) + np.exp(best[..., -2:]).sum(-1))).min() - 1e-12
    assert (few.mean(0) > kept.mean(0)).all()


def test_foretold_is_the_share_of_draws_in_which_every_digit_is_seen():
    kept = {n: RNG.random((20, 3, 5, 2)) ** (n / 40_000) for n in (256, 8192, 32768)}
    right = ["1111111111"] * 4 + ["1111100000"]
    measured = {figures.LANDMARKS: {(8192, "source code"): right, (256, "sentences"): ["0" * 10] * 5}}
    make = figures.foretold(dict.fromkeys(figures.MODELS, kept), measured)
    for rule, seen in ((figures.EITHER, np.any), (figures.BOTH, np.all)):
        made, readouts = make("usual", rule, "all digits")
        by_text = [seen(of > 0.5, axis=-1).all(-1).mean(0) for of in kept.values()]
        mean, off = np.mean(by_text, axis=1), np.std(by_text, axis=1, ddof=1) / 3**0.5
        assert trace(made, "foretold").y == pytest.approx(mean)
        assert trace(made, "one standard error").y == pytest.approx([*(mean - off), *(mean + off)[::-1]])
        assert trace(made, "measured").y == pytest.approx([45 / 50])
        said = ", ".join(f"{mean[i]:.2f} ± {off[i]:.2f} at {n} bytes" for i, n in ((1, "8,192"), (2, "32,768")))
        assert readouts == [("foretold", said, ""), ("found", "45 of 50 at 8,192", "")]
        made, _ = make("usual", rule, "digit by digit")
        for digit in range(5):
            wanted = [seen(of[:, :, digit] > 0.5, axis=-1).mean() for of in kept.values()]
            assert trace(made, f"digit {digit + 1}").y == pytest.approx(wanted)
    made, readouts = make("trained for longer", figures.EITHER, "all digits")
    assert readouts[1][1] == "not measured"
    assert "measured" not in [t.name for t in made.data]


def test_an_index_is_drawn_where_it_looks_and_what_it_finds():
    of = {"exact": figures.Searched(100, 1.0), "HNSW, ef = 4": figures.Searched(20, 0.5)}
    of |= {"lifted HNSW, ef = 4": figures.Searched(30, 0.92), "IVF, nprobe = 1": figures.Searched(40.5, 0.95)}
    made, readouts = figures.search({("all", 100): of})("all", 100)
    for family, index in (("HNSW", "HNSW, ef = 4"), ("lifted HNSW", "lifted HNSW, ef = 4"), ("exact", "exact")):
        line = trace(made, family)
        assert (list(line.x), list(line.y)) == ([of[index].looked], [of[index].recall])
    assert readouts == [("cheapest that finds 90%", "lifted HNSW, ef=4, looks at 30%", "")]


# ---- costs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "n", "k"), itertools.product(figures.SIZES, (256, 4096, 100_003), (1, 8)))
def test_costs_are_counted_block_by_block(model, n, k):
    size = figures.SIZES[model]
    finished = [b for b in range(n) if (b + 1) * size.block <= n][: n // size.block + 1] if n < 5000 else None
    blocks = len(finished) if finished is not None else n // size.block
    of_token = 2 * size.layers * size.width * size.bytes  # key and value
    cost = {
        (name, quantity): figures.cost(size, name, quantity, n, k)
        for name in (figures.DENSE, figures.WINDOW, figures.HERE, figures.AWAY)
        for quantity in (figures.LOOKED, figures.KEPT, figures.MOVED)
    }
    assert cost[figures.DENSE, figures.LOOKED] == n
    assert cost[figures.DENSE, figures.KEPT] == n * of_token
    assert cost[figures.WINDOW, figures.LOOKED] == min(n, size.window)
    fetched = min(k, blocks) * (size.block + 1)
    local = n - blocks * size.block + 1
    assert cost[figures.AWAY, figures.LOOKED] == cost[figures.HERE, figures.LOOKED] == blocks + fetched + local
    assert cost[figures.HERE, figures.KEPT] == (n + blocks) * of_token  # landmarks have values too
    assert cost[figures.AWAY, figures.KEPT] == blocks * of_token / 2 + (fetched + local) * of_token
    assert cost[figures.AWAY, figures.MOVED] == fetched * of_token
    assert cost[figures.HERE, figures.MOVED] == 0


def test_lines_of_costs_are_the_formula_and_nothing_is_drawn_where_nothing_is_moved():
    for model, quantity in itertools.product(figures.SIZES, (figures.LOOKED, figures.KEPT, figures.MOVED)):
        made, readouts = figures.cost_and_memory(model, quantity, 4)
        for line, (name, _, _) in zip(made.data, readouts, strict=True):
            wanted = [figures.cost(figures.SIZES[model], line.name, quantity, n, 4) or np.nan for n in figures.LENGTHS]
            assert np.array_equal(np.array(line.y, dtype=float), np.array(wanted, dtype=float), equal_nan=True)
            assert name.endswith(line.name)


def test_measured_times_are_those_of_the_record():
    record = json.loads((notebooks.ROOT / "lexviz" / "runs" / "benchmark-cpu.json").read_text())
    assert {row["name"] for row in record["decoding"]} == {figures.DENSE, figures.WINDOW, "landmarks"}
    for sizes in ("4 heads of 32", "8 heads of 128"):
        made, readouts = figures.times(record)(sizes, "time")
        faster, _ = figures.times(record)(sizes, "times as fast")
        for line, ratio in zip(made.data, faster.data, strict=True):
            assert np.array(ratio.y) * np.array(line.y) == pytest.approx(np.array(made.data[0].y))
        for row in record["decoding"]:
            if sizes.startswith(f"{row['heads']} "):
                line = trace(made, row["name"])
                assert line.y[list(line.x).index(row["length"])] == row["seconds"]
        assert [name for name, _, _ in readouts] == ["at 65,536 tokens, window", "at 65,536 tokens, landmarks"]


# ---- the chapter ------------------------------------------------------------------------------------------------

CELLS = charts.cells("11-random-access")
PRINTED = [
    "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", ())
    )
    for cell in CELLS
]


def printed(holds):
    """The lines that the first cell prints whose output holds these words."""
    return next(text for text in PRINTED if holds in text).splitlines()


def numbers(line):
    return [float(x.replace(",", "")) for x in re.findall(r"[-+]?\d[\d,]*\.?\d*", line)]


def test_perplexity_by_length_is_as_the_text_says():
    recorded = runs.results()
    k1, k4, k8 = (figures.fetching(recorded["landmark-0"], k) for k in (1, 4, 8))
    at_once, true = (
        figures.fetching(recorded["landmark-0"], None),
        figures.fetching(recorded["landmark-0"], 4, stingy=False),
    )
    head = figures.fetching(recorded["landmark-0"], 4, "head")
    without = figures.without(recorded["rope-0"])
    dense, blocks = without["RoPE, all at once"], without["RoPE, block causal"]
    assert min(at_once[1024], true[1024]) > 1.3 * at_once[256]
    assert k8[256] > k8[512] > k8[1024] > k8[2048] > k8[4096] == pytest.approx(k8[8192], rel=0.002)
    for k in (k1, k4):
        assert k[256] > k[512] > k[1024]
        assert k[1024] < k[8192]
        assert k[2048] < k[4096] < k[8192]
    assert k1[8192] == pytest.approx(k1[256], rel=0.005)
    assert all(0.98 < of / k4[n] < 1 for n, of in head.items())
    assert 1 - k4[8192] / k4[256] == pytest.approx(0.015, abs=0.002)
    assert 1 - k8[8192] / k8[256] == pytest.approx(0.023, abs=0.002)
    assert 1 - blocks[8192] / dense[256] == pytest.approx(0.027, abs=0.002)
    leads = [1 - k4[n] / (dense if n == 256 else blocks)[n] for n in k4]
    assert 0.02 < min(leads) <= max(leads) < 0.04


def test_landmarks_given_afterwards_are_as_the_text_says():
    recorded = runs.results()
    if "landmark-from-rope-0" in recorded:
        tuned = recorded["landmark-from-rope-0"]
        before, after = figures.without(recorded["rope-0"]), figures.fetching(tuned, 4)
        dense, start = before["RoPE, all at once"], figures.fetching(recorded["landmark-0"], 4)
        assert (round(dense[8192], 2), round(after[8192], 2)) == (33.76, 3.62)
        assert 0.97 < after[8192] / after[256] < 1
        assert figures.fetching(tuned, None)[1024] > 1.5 * after[1024]
        assert figures.fetching(tuned, None)[1024] < 0.5 * dense[1024]
        assert after[256] / dense[256] == pytest.approx(1.02, abs=0.01)
        assert after[8192] / start[8192] == pytest.approx(1.06, abs=0.01)
        assert round(before["RoPE, block causal"][8192], 2) == 3.49


def test_far_blocks_are_of_no_use_to_the_model_of_text():
    *kinds, by_file = printed("last stood")[2:]
    changes = [numbers(line)[-1] for line in kinds]
    assert max(map(abs, changes)) < 0.01
    assert changes[-2] > -0.005  # where only far blocks could help
    assert sum(change > 0 for change in numbers(by_file)) == 6


def test_keys_are_found_as_the_text_says():
    lines = printed("landmarks, found of 50")
    easy, hard = (numbers(lines[1].replace("(", " ").replace(")", " "))[i::3] for i in (1, 2))
    assert set(easy) == {50}
    assert set(hard[:5]) == {50}
    assert (hard[5], hard[6]) == (49, 40)
    at = [line.startswith(figures.TRUE) for line in lines].index(True)
    true = np.array(numbers(lines[at + 1].replace("(", " ").replace(")", " "))).reshape(-1, 3)
    assert true[:, 0].tolist() == [256, 512, 1024, 2048]
    assert true[0, 1:].tolist() == [50, 50]
    assert all(20 <= x <= 26 for x in true[1, 1:])
    assert true[2, 1:].max() <= 7
    assert true[3, 1:].max() <= 2
    depths = runs.results()["passkey-0"]["results"]["passkeys"][-1]["right"]
    by_depth = np.sum([[int(x) for x in pad] for pad in depths], axis=0)
    assert by_depth.min() >= 3  # no depth stands out


def test_two_heads_of_one_layer_find_the_key_and_read_the_block_that_has_the_digit():
    lines = printed("given to the sentence")
    given = np.array([numbers(line)[1:] for line in lines[2:6]])
    found = [int(x) for x in numbers(lines[-1])]
    assert found == [2, 2, 4]
    assert (given[1, [1, 3]] > 95).all()
    assert np.sort(given.ravel())[-3] < 10
    lines = printed("block 17 gets")
    for text in (lines[1:6], lines[7:12]):
        assert [int(numbers(line.split("block")[1])[0]) for line in text] == [17, 17, 17, 18, 18]
        assert all(numbers(line.split("gets")[1])[0] >= 95 for line in text)
    others = lines[13:]
    assert len({int(numbers(line.split("block")[1])[0]) for line in others}) >= 3
    assert any("The page is" in line for line in others)


def test_each_way_of_asking_is_as_the_text_says():
    found = {
        change: [numbers(said)[1::2] for _, said, _ in figures.ways(runs.results())(change)[1]]
        for change in (figures.K, figures.OTHERS, figures.CONTROL)
    }
    assert min(itertools.chain(*found[figures.K])) >= 49
    for none, one, four, sixteen in found[figures.OTHERS]:
        assert none == 50
        assert 37 <= one <= 41  # a fifth to a quarter are lost
        assert 23 <= four <= 28
        assert 7 <= sixteen <= 10
    assert found[figures.CONTROL] == [[0], [0]]  # "no: 50, yes: 0"


def test_what_is_foretold_from_short_texts_comes_near_to_what_was_found():
    (said,) = (line for line in printed("Figure keys-foretold") if line.startswith("  foretold ="))
    (near, off), (far, more_off) = [map(float, x) for x in re.findall(r"([\d.]+) ± ([\d.]+) at", said)]
    assert (near, far, more_off) == pytest.approx((0.95, 0.75, 0.07), abs=0.02)
    for share, error, right in ((near, off, 49), (far, more_off, 40)):
        low, high = evaluate.interval(right, 50)
        assert low - error <= share <= high + error
    usual, longer = (
        [
            [float(x) for x in line.split(":")[1].replace(",", " ").split()]
            for line in printed("score of the key's block")[i : i + 2]
        ]
        for i in (1, 3)
    )
    for scores in usual:
        ahead = np.array(scores[::2]) - scores[1::2]
        assert min(ahead[:2]) >= 2 >= max(ahead[2:4])
    assert all((np.array(head)[::2] > head[1::2]).all() for head in longer)  # so that no key should be missed
    margins = [np.array(head)[4::2].sum() - np.array(head)[5::2].sum() for head in usual]
    assert all(
        np.array(head)[4::2].sum() - np.array(head)[5::2].sum() > margin
        for head, margin in zip(longer, margins, strict=True)
    )


def test_what_the_paper_reports_is_what_the_chapter_says_of_it():
    table = paper.LANDMARKS
    at_512, at_4096 = table[512, "k = 2 of 10, and 250 tokens"], table[4096, "k = 4 of 80, and 250 tokens"]
    assert 1 - at_4096[0] / at_512[0] == pytest.approx(0.1, abs=0.01)
    assert 1 - at_4096[1] / at_512[1] == pytest.approx(0.2, abs=0.01)
    assert paper.LANDMARKS_CHOSEN["head"] / paper.LANDMARKS_CHOSEN["head and token"] == pytest.approx(1.02, abs=0.003)


def test_indexes_find_what_the_chapter_says():
    (said,) = (line for line in printed("Figure approximate-search") if "cheapest" in line)
    assert said.endswith("IVF, nprobe=8, looks at 11%")
    for line in printed("IVF looks at")[1:]:
        blocks, tokens, looks, fewer = numbers(line)
        assert tokens == 50 * blocks
        assert looks == 9 * round(blocks**0.5)
        assert fewer == pytest.approx(blocks / looks, rel=0.01)


def test_memory_and_time_are_as_the_chapter_says():
    large = figures.SIZES["LLaMA 7B"]
    assert figures.cost(large, figures.DENSE, figures.KEPT, 1, 4) == pytest.approx(0.5e6, rel=0.05)
    assert figures.cost(large, figures.DENSE, figures.KEPT, 32768, 4) == pytest.approx(17e9, rel=0.02)
    assert figures.cost(large, figures.AWAY, figures.KEPT, 32768, 4) == pytest.approx(0.29e9, rel=0.02)
    assert figures.cost(large, figures.AWAY, figures.KEPT, 10**6, 4) > 5e9
    moved = figures.cost(large, figures.AWAY, figures.MOVED, 32768, 4)
    assert moved == pytest.approx(107e6, rel=0.01)
    assert moved / 25e9 == pytest.approx(0.004, rel=0.1)
    record = json.loads((notebooks.ROOT / "lexviz" / "runs" / "benchmark-cpu.json").read_text())
    ratios = {sizes: figures.times(record)(sizes, "times as fast")[0] for sizes in ("4 heads of 32", "8 heads of 128")}
    ours, larger = (trace(made, "landmarks") for made in ratios.values())
    assert max(y for x, y in zip(ours.x, ours.y, strict=True) if x <= 4096) < 1
    assert min(y for x, y in zip(ours.x, ours.y, strict=True) if x >= 16384) > 1
    assert larger.y[-1] > 10
    for made in ratios.values():
        assert (np.array(trace(made, "window").y) > np.array(trace(made, "landmarks").y)).all()


def test_a_chance_without_dice_is_that_of_draws():
    """The exercise's formula against what section 6 does: draw."""
    scores = np.arange(30.0)
    drawn = [RNG.choice(scores, 7, replace=False).max() > 27.5 for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(1 - comb(28, 7) / comb(30, 7), abs=0.03)
