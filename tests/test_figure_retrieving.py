"""Chapter 11's figures of reading far and of what is fetched for a digit, against the numbers that they are given."""

import itertools

import numpy as np
import pytest
import torch

from charts import cells, numbers, printed, runs_like, trace
from lexviz import corpus, explore, paper, runs
from lexviz.figures import retrieving as figures
from lexviz.figures.weights import shown
from lexviz.retrieval import Written

RNG = np.random.default_rng(0)
CELLS = cells("11-random-access")


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
        ends = {t.name: t.y[-1] for t in made.data[:-1] if t.x[-1] == LENGTHS[-1]}
        lowest = min(ends, key=ends.get)
        assert readouts == [
            ("lowest at 8,192 bytes", f"{ends[lowest]:.2f}, {lowest.replace(' = ', '=')}", ""),
            ("RoPE in blocks, there", f"{ends['RoPE, block causal']:.2f}", ""),
        ]
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
        characters = {}
        for drawn in (trace(made, "text"), trace(made, "written")):
            characters |= {(y, x): c for y, x, c in zip(drawn.y, drawn.x, drawn.text, strict=True) if c}
        text = bytes(of.asked.document[: of.asked.start].tolist()) + b"12345"[: digit - 1]
        assert [characters.get(divmod(i, row), " ") for i in range(len(text))] == shown(text)
        assert len(characters) == len([c for c in shown(text) if c != " "])
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


# ---- what the chapter says --------------------------------------------------------------------------------------


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
    *kinds, by_file = printed(CELLS, "last stood")[2:]
    changes = [numbers(line)[-1] for line in kinds]
    assert max(map(abs, changes)) < 0.01
    assert changes[-2] > -0.005  # where only far blocks could help
    assert sum(change > 0 for change in numbers(by_file)) == 6


def test_two_heads_of_one_layer_find_the_key_and_read_the_block_that_has_the_digit():
    lines = printed(CELLS, "given to the sentence")
    given = np.array([numbers(line)[1:] for line in lines[2:6]])
    found = [int(x) for x in numbers(lines[-1])]
    assert found == [2, 2, 4]
    assert (given[1, [1, 3]] > 95).all()
    assert np.sort(given.ravel())[-3] < 10
    lines = printed(CELLS, "block 17 gets")
    for text in (lines[1:6], lines[7:12]):
        assert [int(numbers(line.split("block")[1])[0]) for line in text] == [17, 17, 17, 18, 18]
        assert all(numbers(line.split("gets")[1])[0] >= 95 for line in text)
    others = lines[13:]
    assert len({int(numbers(line.split("block")[1])[0]) for line in others}) >= 3
    assert any("The page is" in line for line in others)


def test_one_head_is_the_cause_and_the_other_company():
    found = [int(line.split()[-2].rstrip("%")) for line in printed(CELLS, "blind: none")]
    assert found == [100, 10, 100, 100, 10, 100]  # none, both, the other two, head 2, head 4, all but head 4


def test_what_the_paper_reports_is_what_the_chapter_says_of_it():
    table = paper.LANDMARKS
    at_512, at_4096 = table[512, "k = 2 of 10, and 250 tokens"], table[4096, "k = 4 of 80, and 250 tokens"]
    assert 1 - at_4096[0] / at_512[0] == pytest.approx(0.1, abs=0.01)
    assert 1 - at_4096[1] / at_512[1] == pytest.approx(0.2, abs=0.01)
    assert paper.LANDMARKS_CHOSEN["head"] / paper.LANDMARKS_CHOSEN["head and token"] == pytest.approx(1.02, abs=0.003)
