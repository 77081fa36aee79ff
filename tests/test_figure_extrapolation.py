"""What the figures of chapter 8 plot, against loops, for any number of seeds; what the chapter says of the runs."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import charts
from charts import decimals, printed
from lexviz import corpus, evaluate, explore, paper, runs
from lexviz.figures import extrapolation as found

CHAPTER = charts.cells("08-does-it-extrapolate")
RECORDED = runs.results()
LENGTHS = [64, 128, 256, 512, 1024, 2048, 4096]
BINS = [0, 1, 16, 32, 64, 128, 256, 512, 1024, 2048]
BCA = "block_causal(128)"


def measured(seed=0):
    rng = np.random.default_rng(seed)
    return {name: {n: rng.uniform(0, 2, 40) for n in (0, 32, 64, 128)} for name in ("RoPE", "XPos", "ALiBi")}


def figures(recorded):
    return charts.made_in(CHAPTER, recorded=recorded, found=found, measured=measured())


def record(rng, seed, limit=None):
    """A record as `runs.results()` has it, of random numbers."""
    ways = [(n, "causal()") for n in LENGTHS] + [(n, BCA) for n in LENGTHS[3:]]
    defined = [(n, mask) for n, mask in ways if not limit or n <= limit]
    lengths = [
        {"length": n, "mask": mask, "perplexity": rng.uniform(2, 90) if (n, mask) in defined else None}
        for n, mask in ways
    ]
    far = [mask for n, mask in defined if n == 4096]
    places = [{"length": 4096, "mask": mask, "nats": rng.uniform(1, 5, 64).tolist()} for mask in far]
    readings = [(256, "causal()"), *((4096, mask) for mask in far)]
    repeats = [
        {"length": n, "mask": mask, "from": first, "bytes": 10 + first, "nats": rng.uniform(0, 3)}
        for (n, mask), first in itertools.product(readings, BINS)
    ]
    resolution = [
        {"length": n, "mask": mask, "resolution": rng.uniform(0.001, 0.5, (4, 4)).tolist()}
        for n, mask in ((256, "causal()"), (512, "causal()"), (512, BCA))
        if (n, mask) in defined
    ]
    results = {"lengths": lengths, "places": places, "repeats": repeats, "resolution": resolution}
    curve = [[10 * i, rng.uniform(1, 5)] for i in range(1, 151)]
    return {"settings": {"length": 256, "seed": seed}, "curve": curve, "results": results}


@st.composite
def recorded(draw):
    """The paper's four, with one to three seeds each; of the others some; and runs of another kind."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = {"rope-wide-0": record(rng, 0), "passkey-0": {"settings": {}, "results": {"passkeys": []}}}
    for name, run in found.RUNS.items():
        for seed in range(draw(st.integers(1, 3) if name in found.IN_TABLE_3 else st.integers(0, 2))):
            made[f"{run}-{seed}"] = record(rng, seed, limit=256 if name == "Learned" else None)
    return made


def of(made, name):
    return [about for run, about in sorted(made.items()) if re.fullmatch(rf"{found.RUNS[name]}-\d", run)]


def row(about, kind, **where):
    (one,) = (one for one in about["results"][kind] if all(one[key] == value for key, value in where.items()))
    return one


def traces(figure, axis=None):
    return {trace.name: trace for trace in figure.data if (trace.xaxis or "x") == (axis or "x")}


def check(drawn, name, rows):
    """A line is the mean of its rows, a band goes around them; with one row there is none."""
    rows = np.array(rows)
    assert list(drawn[name].y) == pytest.approx(rows.mean(0))
    if len(rows) == 1:
        assert f"{name}, spread" not in drawn
    else:
        around = np.array(drawn[f"{name}, spread"].y).reshape(2, -1)
        assert around[0] == pytest.approx(rows.min(0))
        assert around[1][::-1] == pytest.approx(rows.max(0))


# ---- the figures ------------------------------------------------------------------------------------------------


def test_the_chapter_has_these_figures():
    assert {name: len(charts.states(figure)) for name, figure in figures(RECORDED).items()} == {
        "perplexity-by-length": 16,
        "loss-by-place": 32,
        "loss-by-repeat": 24,
        "same-words-twice": 2,
        "loss-in-training": 16,
        "resolution-and-perplexity": 6,
    }


@settings(max_examples=4, deadline=None)
@given(recorded())
def test_every_state_can_be_drawn_of_any_number_of_seeds(made):
    for figure in figures(made).values():
        said = set()
        for values in charts.states(figure):
            drawn, readouts = figure.state(**values)
            said.add(tuple(name for name, _ in readouts))
            for trace in drawn.data:
                assert len(trace.x) == len(trace.y) <= 300
        assert len(said) == 1


@settings(max_examples=8, deadline=None)
@given(recorded(), st.booleans(), st.booleans(), st.sampled_from([found.FOUR, found.ALL]))
def test_perplexity_by_length_is_recorded_above_and_the_paper_s_below(made, blocks, growth, which):
    show = found.GROWTH if growth else "perplexity"
    figure, readouts = found.by_length(made)(which, show, blocks, True)
    above, below = traces(figure), traces(figure, "x2")
    shown = [name for name in found.RUNS if of(made, name) and (which == found.ALL or name in found.IN_TABLE_3)]
    assert {name for name in above if "," not in name} == {*shown, "training length"}
    for name in shown:
        sizes = LENGTHS[:3] if name == "Learned" else LENGTHS
        rows, plain = [], []
        for about in of(made, name):
            every = [
                [
                    row(about, "lengths", length=n, mask=BCA if on and n > 256 else "causal()")["perplexity"]
                    for n in sizes
                ]
                for on in (blocks, False)
            ]
            of_seed, of_seed_plain = (np.array(one) / (one[2] if growth else 1) for one in every)
            rows.append(of_seed)
            plain.append(of_seed_plain)
        assert list(above[name].x) == [n / 256 for n in sizes]
        check(above, name, rows)
        assert list(above[f"{name}, no blocks"].y) == pytest.approx(np.mean(plain, 0))
        assert above[f"{name}, no blocks"].opacity == blocks
    for name in found.IN_TABLE_3:
        values = list(paper.TABLE_2["LEX" if name == "XPos" else name])
        if name != "Sinusoidal":
            values[3:] = paper.TABLE_5[name + " + BCA" * blocks]
        assert list(below[name].y) == pytest.approx(np.array(values) / (values[2] if growth else 1))
        assert list(below[name].x) == [0.25, 0.5, 1, 2, 4]
    for (label, said, _), name in zip(readouts, ("RoPE", "XPos", "ALiBi", "Sinusoidal"), strict=True):
        assert label.endswith(name)
        last = [
            row(a, "lengths", length=4096, mask=BCA if blocks else "causal()")["perplexity"] for a in of(made, name)
        ]
        assert float(said.split(" ±")[0]) == pytest.approx(np.mean(last), abs=0.006)
        assert ("±" in said) == (len(last) > 1)


def pairs(made, name, other, value):
    """Values of each seed, less those of the other encoding's same seed; who has no such seed is left out."""
    rows = {about["settings"]["seed"]: value(about) for about in of(made, name)}
    if other == found.NOTHING:
        return list(rows.values())
    less = {about["settings"]["seed"]: value(about) for about in of(made, other)}
    return [rows[seed] - less[seed] for seed in rows if seed in less]


OTHERS = st.sampled_from([found.NOTHING, "RoPE", "XPos", "ALiBi"])


@settings(max_examples=10, deadline=None)
@given(recorded(), OTHERS, st.booleans(), st.sampled_from([64, 256]))
def test_loss_by_place(made, less, blocks, width):
    def value(about):
        nats = row(about, "places", mask=BCA if blocks else "causal()")["nats"]
        size = width // 64
        return np.array([np.mean(nats[i : i + size]) for i in range(0, 64, size)])

    figure, readouts = found.places(made)(found.FOUR, less, blocks, width)
    for name in found.IN_TABLE_3:
        drawn = traces(figure)
        check(drawn, name, pairs(made, name, less, value))
        assert list(drawn[name].x) == [start + width / 2 for start in range(0, 4096, width)]
    (_, said, _) = readouts[1]
    beyond = np.array(pairs(made, "RoPE", less, value))[:, 256 // width :].mean()
    assert float(said.split(" ±")[0]) == pytest.approx(beyond, abs=6e-4)


@settings(max_examples=10, deadline=None)
@given(recorded(), OTHERS, st.sampled_from([10, 100]))
def test_loss_in_training(made, less, smoothing):
    def value(about):
        losses = [loss for _, loss in about["curve"]]
        width = smoothing // 10
        return np.array([np.mean(losses[max(0, i + 1 - width) : i + 1]) for i in range(10, 150)])

    drawn = traces(found.training_curves(made)(found.ALL, less, smoothing)[0])
    for name in found.names(made):
        if rows := pairs(made, name, less, value):
            check(drawn, name, rows)


@settings(max_examples=10, deadline=None)
@given(recorded(), OTHERS, st.sampled_from(list(found.READINGS)))
def test_loss_by_repeat(made, less, reading):
    n, mask = {"256 bytes at a time": (256, "causal()"), "4,096 bytes at a time": (4096, "causal()")}.get(
        reading, (4096, BCA)
    )

    def value(about):
        return np.array([row(about, "repeats", **{"length": n, "mask": mask, "from": first})["nats"] for first in BINS])

    figure, readouts = found.repeats(made)(found.FOUR, less, reading)
    for name in found.IN_TABLE_3:
        check(traces(figure), name, pairs(made, name, less, value))
    near = np.mean(pairs(made, "ALiBi", less, value), 0)[2:5]
    weights = np.array([26, 42, 74])
    assert float(readouts[2][1].split(" ±")[0]) == pytest.approx(near @ weights / weights.sum(), abs=6e-4)


@settings(max_examples=10, deadline=None)
@given(recorded(), st.booleans())
def test_resolution_beside_perplexity(made, blocks):
    mask = BCA if blocks else "causal()"
    of_figure = found.resolution(made)
    shown = [name for name in found.names(made) if name != "Learned"]
    for show in (found.WITHIN, found.TWICE, found.CHANGE):
        figure, readouts = of_figure(show, blocks)
        drawn, below = traces(figure), traces(figure, "x2")
        for name in shown:
            near, far = (
                [np.array(row(about, "resolution", length=n, mask=m)["resolution"]) for about in of(made, name)]
                for n, m in ((256, "causal()"), (512, mask))
            )
            ppl_near, ppl_far = (
                np.mean([row(about, "lengths", length=n, mask=m)["perplexity"] for about in of(made, name)])
                for n, m in ((256, "causal()"), (512, mask))
            )
            check(drawn, name, [one.mean(1) for one in (near if show == found.WITHIN else far)])
            x, y = np.mean(near), ppl_near
            if show != found.WITHIN:
                x, y = np.mean(far), ppl_far
            if show == found.CHANGE:
                x, y = x / np.mean(near), y / ppl_near
            (point,) = (trace for key, trace in below.items() if key == f"{name}, both")
            assert (point.x[0], point.y[0]) == pytest.approx((x, y))
        assert readouts[2][1] == (0 if show != found.CHANGE else 1 if blocks else 4)
    lex = found.paper_resolution_and_growth(blocks)["XPos"]
    assert lex == pytest.approx((1.08 / 0.98, 21.6 / 23.31) if blocks else (0.54 / 0.98, 22.56 / 23.31))


@given(st.lists(st.tuples(st.integers(), st.integers()), min_size=3, max_size=9))
def test_rank_correlation(points):
    if all(len(set(one)) == len(one) for one in zip(*points, strict=True)):  # no ties
        n = len(points)
        ranks = [[sorted(one).index(value) for value in one] for one in zip(*points, strict=True)]
        apart = sum((a - b) ** 2 for a, b in zip(*ranks, strict=True))
        assert found.rank_correlation(points) == pytest.approx(1 - 6 * apart / (n * (n * n - 1)))


@given(st.lists(st.tuples(st.floats(2, 4), st.floats(2, 4)), min_size=1, max_size=10), st.floats(0, 1))
def test_what_blocks_must_give_block_by_block(hard, saved):
    """Blocks as hard as they like: where one before them saves as much everywhere, the formula is exact."""
    alone = np.array(hard).ravel()  # losses in windows of half the training length: two to a window of all of it
    paired, read = alone.copy(), alone.copy()
    paired[1::2] -= saved
    read[1:] -= saved  # all but the first
    at_half, at_whole = np.exp(alone.mean()), np.exp(paired.mean())
    assert found.predicted(at_half, at_whole, len(alone)) == pytest.approx(np.exp(read.mean()))


def test_the_same_words_twice():
    losses = measured(1)
    for show in ("saved", "loss"):
        figure, readouts = found.copies(losses)(show)
        drawn = traces(figure)
        for name, rows in losses.items():
            wanted = np.array([rows[n] if show == "loss" else rows[0] - rows[n] for n in (32, 64, 128)])
            assert list(drawn[name].x) == [32, 64, 128]
            assert list(drawn[name].y) == pytest.approx(wanted.mean(1), abs=6e-4)
            half = 1.96 * wanted.std(1, ddof=1) / 40**0.5
            around = [*(wanted.mean(1) - half), *(wanted.mean(1) + half)[::-1]]
            assert drawn[f"{name}, spread"].y == pytest.approx(around, abs=6e-4)
        assert readouts[1][1] == f"{(losses['RoPE'][0] - losses['RoPE'][128]).mean():.2f}"


# ---- what the chapter says --------------------------------------------------------------------------------------


def mean(name, blocks=False):
    return {n: np.mean(values) for n, values in found.perplexities(RECORDED, name, blocks).items()}


BEST = ("RoPE", "XPos", "ALiBi", "Shaw")


def test_the_chapter_was_run_with_the_runs_that_are_recorded():
    """Else: tools/notebooks.py book/08-does-it-extrapolate.ipynb."""
    said = [line.strip() for line in printed(CHAPTER, "planned and not recorded")]
    for name in found.names(RECORDED):
        assert f"{name}: {found.seeds(RECORDED, name)}" in said


def test_what_the_chapter_says_of_the_table():
    within = [mean(name)[256] for name in BEST]
    assert max(within) < 1.06 * min(within)  # a few per cent
    first = {name: found.perplexities_of(found.runs_of(RECORDED, name)[0])[256] for name in BEST}  # seed 0
    assert min(within) == within[3]  # Shaw has the lowest
    assert 1.005 < min(first[name] for name in BEST[:3]) / first["Shaw"] < 1.015  # by one per cent
    for name in set(found.names(RECORDED)) - set(BEST):
        assert mean(name)[256] > 1.245 * max(within)
    assert mean("NoPosition")[256] > 2 * max(within)
    for n in LENGTHS[:3]:
        for seed in set(found.runs_of(RECORDED, "RoPE")) & set(found.runs_of(RECORDED, "XPos")):
            rope, xpos = (found.perplexities_of(found.runs_of(RECORDED, name)[seed])[n] for name in ("RoPE", "XPos"))
            assert rope == pytest.approx(xpos, rel=0.02)
    growth = {name: mean(name)[4096] / mean(name)[256] for name in (*BEST, "Sinusoidal", "NoPosition", "T5")}
    assert growth["RoPE"] > 5
    for about in found.runs_of(RECORDED, "XPos").values():
        of_seed = found.perplexities_of(about)
        assert 1.4 < of_seed[4096] / of_seed[256] < 2.2  # by a half to as much again
        assert of_seed[512] > 1.03 * of_seed[256]  # loses at twice already
    assert mean("XPos")[1024] == pytest.approx(4 / 3 * mean("XPos")[256], rel=0.05)  # and a third at four times
    ours, (twice, four) = paper.TABLE_2["LEX"][2], paper.TABLE_5["XPos"]
    assert twice < ours  # the paper's still gains
    assert 1.18 < four / ours < 1.25  # and loses a fifth
    assert growth["ALiBi"] < 1  # reads on
    assert 1 < growth["Shaw"] < 1.3
    assert mean("Shaw")[512] < mean("Shaw")[256]  # holds for a while
    assert mean("Sinusoidal")[512] > 3 * mean("Sinusoidal")[256]
    blocks = {name: mean(name, True) for name in (*BEST, "Sinusoidal", "NoPosition", "T5")}
    ends = [found.perplexities(RECORDED, name, True)[4096][0] for name in BEST]
    assert max(ends) / min(ends) < 1.02
    by_seed = {name: np.array(found.perplexities(RECORDED, name, True)[4096]) for name in BEST[:3]}
    apart = [seeds.max() / seeds.min() for seeds in by_seed.values()]
    assert 1.02 < max(apart) < 1.03  # seeds of one encoding
    means = [seeds.mean() for seeds in by_seed.values()]
    assert max(means) / min(means) < 1.012
    assert all((seeds.argmin(), seeds.argmax()) == (2, 1) for seeds in by_seed.values())
    leads = by_seed["RoPE"] / by_seed["ALiBi"] - 1
    assert leads.max() == pytest.approx(0.02, abs=0.005)
    assert -0.003 < leads.min() < 0
    within = np.array(found.perplexities(RECORDED, "XPos")[256]) / found.perplexities(RECORDED, "RoPE")[256]
    assert np.all(np.abs(within - 1) < 0.01)
    assert all(np.all(np.diff(list(blocks[name].values())) < 0) for name in BEST)
    assert np.all(np.diff(list(mean("ALiBi").values())) < 0)
    assert blocks["Sinusoidal"][4096] > 10 * blocks["Sinusoidal"][256]
    assert blocks["NoPosition"][4096] > 1.5 * blocks["NoPosition"][256]
    assert blocks["ALiBi"][4096] == pytest.approx(mean("ALiBi")[4096], rel=0.01)  # nothing is lost far away
    decay = mean("XPos without rotation")
    assert decay[256] == pytest.approx(5 / 3 * mean("XPos")[256], rel=0.05)
    assert decay[4096] < 1.04 * decay[256]
    lead = [r / x for r, x in zip(paper.TABLE_2["RoPE"][:3], paper.TABLE_2["LEX"][:3], strict=True)]
    assert 1.09 < min(lead) < max(lead) < 1.115
    assert 1.17 < paper.TABLE_5["ALiBi + BCA"][1] / paper.TABLE_5["XPos + BCA"][1] < 1.24  # a fifth better


def test_what_the_chapter_says_of_blocks():
    for name in BEST:
        of_name = mean(name, True)
        for n in LENGTHS[3:]:
            must = found.predicted(of_name[128], of_name[256], n // 128)
            assert of_name[n] == pytest.approx(must, rel=0.01)
    t5 = mean("T5", True)
    assert t5[4096] > 1.03 * found.predicted(t5[128], t5[256], 32)
    assert mean("NoPosition", True)[4096] > 1.5 * found.predicted(mean("NoPosition")[128], mean("NoPosition")[256], 32)
    said = "\n".join(printed(CHAPTER, "predicted and measured"))
    assert "20.56  20.73 ( +1%)" in said
    assert "22.39  25.65" in said
    assert "21.83  25.37" in said
    xpos = found.of_paper("XPos", blocks=True)
    for name in ("RoPE", "ALiBi"):
        of_name = found.of_paper(name, blocks=True)
        assert 1.22 < of_name[4096] / xpos[4096] < 1.24
        must, of_xpos = (found.predicted(of[512], of[1024], 8) for of in (of_name, xpos))
        assert 1.06 < must / of_xpos < 1.09
        assert of_name[1024] / xpos[1024] == pytest.approx(must / of_xpos, abs=0.011)  # about as much as in windows
        assert must / of_xpos - 1 < 0.5 * (of_name[4096] / xpos[4096] - 1)  # more than half of the lead is lost
    alibi = found.of_paper("ALiBi")
    assert found.predicted(alibi[512], alibi[1024], 4) == pytest.approx(22.84, abs=0.005)
    said = printed(CHAPTER, "RoPE, paper: without blocks")
    assert [line.split()[-1] for line in said] == ["no", "yes", "no"]  # RoPE, XPos, ALiBi: in blocks


def test_what_the_chapter_says_of_differences_and_repeats():
    rows = [decimals(line) for line in printed(CHAPTER, "better in")]
    (middle, half), (alibi, its_half), (over_xpos, that_half) = rows
    assert -0.015 < middle - half < 0 < middle + half  # of XPos and RoPE forty files cannot tell
    assert -0.048 < alibi - its_half < alibi + its_half < -0.007  # ALiBi by one to four per cent
    assert -0.007 < over_xpos + that_half < 0  # ends near zero
    near = [decimals(line)[0] for line in printed(CHAPTER, "bytes that repeat")[1:]]
    assert near[-1] > 5 * near[0]
    accounts = [decimals(line) for line in printed(CHAPTER, "ALiBi less     in all")[1:]]
    assert len(accounts) == 6  # two others, three seeds
    for whole, *parts in accounts:
        assert sum(parts) == pytest.approx(whole, abs=3e-4)
    parts = np.array(accounts)
    assert np.all(np.abs(parts[:, 3] + 0.0115) < 0.001)  # repeats of 16 to 127
    assert -0.021 < parts[:, 0].min() < 0 < parts[:, 0].max() < 0.002
    assert parts[:, 1].min() < 0 < parts[:, 1].max()
    assert np.std(parts[:, 0] - parts[:, 1]) < 0.25 * np.std(parts[:, 0])  # that is where they differ
    assert np.all(np.diff(near) > 0)
    for other, share in zip(late_accounts(), (2 / 3, 4 / 5), strict=True):
        assert other[2][0] / sum(part for part, _ in other) == pytest.approx(share, abs=0.05)
        for kind, (part, half) in enumerate(other):
            assert (part + half < 0) == (kind == 2)  # only repeats of 16 to 127 are clear of zero
    less = np.mean(
        pairs(
            RECORDED,
            "ALiBi",
            "RoPE",
            lambda about: np.array(
                [row(about, "repeats", **{"length": 4096, "mask": BCA, "from": n})["nats"] for n in BINS]
            ),
        ),
        0,
    )  # as the figure draws it
    assert abs(less[0]) < 0.02
    assert np.all(less[2:5] < -0.07)
    places = {name: row(found.runs_of(RECORDED, name)[0], "places", mask=BCA)["nats"] for name in ("RoPE", "ALiBi")}
    by_place = np.array(places["ALiBi"]) - np.array(places["RoPE"])
    assert by_place[0] > 0.05
    assert by_place[32:].mean() < by_place[4:32].mean() < by_place[:4].mean()


def late_accounts():
    """Of ALiBi less RoPE and less XPos: (part, half its interval) of each kind of bytes."""
    rows = [decimals(line) for line in printed(CHAPTER, "of the last quarter of a text") if " back: " in line]
    return rows[: len(rows) // 2], rows[len(rows) // 2 :]


def test_what_the_chapter_says_of_copying():
    levels = {line.split()[0]: decimals(line) for line in printed(CHAPTER, "by how far back the copy is")[1:]}
    others = np.array([levels["RoPE"], levels["XPos"]])
    less = levels["ALiBi"] - others  # without a copy, 32, 64, 128, 192 bytes back
    assert np.all(np.abs(less[:, 0] - 0.1) < 0.02)  # the worst, by a tenth
    assert np.all(less[:, 1] < -0.04)  # in front
    assert np.all((-0.04 < less[:, 3]) & (less[:, 3] < 0))  # hardly so
    said = dict(line.strip().split(" = ") for line in printed(CHAPTER, "Figure same-words-twice") if " = " in line)
    near, far = ({name: decimals(said[f"saved at {n} back, {name}"])[0] for name in BEST[:3]} for n in (32, 192))
    for name in ("RoPE", "XPos"):
        assert 0 < near[name]
        assert 2 * near[name] < near["ALiBi"] < 4 * near[name]
        assert far["ALiBi"] > 5 * far[name]
    by_seed = {
        line.split(":")[0].strip(): np.array(decimals(line))
        for line in printed(CHAPTER, "32 and 128 bytes back, seed")[1:]
    }
    assert all(len(saved) == 6 for saved in by_seed.values())
    for name in ("RoPE", "XPos"):
        assert np.all(by_seed["ALiBi"][::2] > 2 * by_seed[name][::2])
        assert np.all(by_seed["ALiBi"][1::2] > 4 * by_seed[name][1::2])


def test_what_the_chapter_says_of_longer_training():
    lines = [line.split(":") for line in printed(CHAPTER, "rope-long-0:") if ":" in line]
    rows = {name.strip(): decimals(row) for name, row in lines}
    usual, longer = ({name: rows[f"{name}{more}"] for name in ("rope", "alibi")} for more in ("-0", "-long-0"))
    assert usual["rope"][1] / usual["alibi"][1] == pytest.approx(1.01, abs=0.005)
    assert longer["rope"][1] / longer["alibi"][1] == pytest.approx(1.08, abs=0.005)
    assert longer["alibi"][0] < longer["rope"][0]
    assert 0.75 * usual["alibi"][3] < longer["rope"][3] < usual["alibi"][3]  # nearly what ALiBi saved
    assert 2 < longer["alibi"][3] / longer["rope"][3] < 3
    assert 5 < longer["alibi"][4] / longer["rope"][4] < 6
    assert longer["alibi"][2] < longer["alibi"][1]  # reads on
    assert longer["rope"][2] > usual["rope"][2]
    xpos = rows["xpos-long-0"]
    for better, worse in ((longer["alibi"], xpos), (xpos, longer["rope"])):
        assert np.all(np.array(better[:3]) < worse[:3])
        assert np.all(np.array(better[3:]) > worse[3:])
    assert longer["rope"][1] / xpos[1] == pytest.approx(1.03, abs=0.005)
    assert (xpos[0], longer["rope"][0]) == (2.71, 2.79)
    assert xpos[2] > rows["xpos-0"][2]
    assert min(rows[name][4] for name in ("shaw-0", "t5-0", "none-0")) > 3 * rows["rope-0"][4]
    assert rows["none-0"][0] > 2 * rows["rope-0"][0]


def test_a_run_in_short_is_what_it_recorded():
    for name, about in RECORDED.items():
        if "copies" in about["results"]:
            at_256, blocks, at_once, near, far = found.in_short(about)
            assert at_256 == row(about, "lengths", length=256)["perplexity"]
            assert blocks == (
                row(about, "lengths", length=4096, mask=BCA)["perplexity"] if name != "learned-0" else None
            )
            assert at_once == (row(about, "lengths", length=4096, mask="causal()")["perplexity"])
            loss = {each["back"]: each["nats"] for each in about["results"]["copies"]}
            assert (near, far) == (loss[0] - loss[32], loss[0] - loss[128])


def test_what_the_chapter_says_of_training():
    curves = {name: np.array(found.runs_of(RECORDED, name)[0]["curve"])[:, 1] for name in BEST[:3]}
    beside = pairs(RECORDED, "XPos", "RoPE", lambda about: np.array(about["curve"])[:, 1])  # of all seeds
    assert np.all(np.abs(np.mean(beside, 0))[10:] < 0.02)
    alibi = np.convolve(curves["ALiBi"] - curves["RoPE"], np.ones(5) / 5, "valid")
    assert alibi[10] < -0.03
    assert 0.05 < alibi.max() < 0.1
    assert abs(alibi[-10:].mean()) < 0.02
    said = (re.search(r"(\w+, seed \d): at step (\d+)", line) for line in printed(CHAPTER, "the mean loss of 100"))
    first = {found_[1]: int(found_[2]) for found_ in said if found_}
    for seed in set(found.runs_of(RECORDED, "RoPE")) & set(found.runs_of(RECORDED, "XPos")):
        assert abs(first[f"XPos, seed {seed}"] - first[f"RoPE, seed {seed}"]) <= 20
        assert first[f"RoPE, seed {seed}"] > 1000


def test_what_the_chapter_says_of_resolution():
    level = found.resolution_and_perplexities(RECORDED, False, False)
    far = found.resolution_and_perplexities(RECORDED, True, False)
    assert max(level, key=lambda name: level[name][0]) == min(level, key=lambda name: level[name][1]) == "Shaw"
    assert level["ALiBi"][0] < 0.15 * level["RoPE"][0]
    assert level["ALiBi"][1] == pytest.approx(level["RoPE"][1], rel=0.02)
    assert far["RoPE"][0] > 1.5 * far["ALiBi"][0]
    assert far["RoPE"][1] > 1.5 * far["ALiBi"][1]
    change = found.resolution_and_growth(RECORDED)
    assert found.rank_correlation(change.values()) < -0.8
    for name, (r, ppl) in change.items():
        assert (ppl > 1.66) == (r < 0.25), name
        assert ppl < 1.01 or r < 0.7, name
    for name in ("XPos", "T5", "NoPosition"):
        assert change[name][0] < 0.5
        assert change[name][1] < 1.11
    theirs = found.paper_resolution_and_growth()
    assert theirs["Sinusoidal"][0] == pytest.approx(1 / 3, abs=0.02)
    assert theirs["Sinusoidal"][0] > theirs["RoPE"][0]
    assert theirs["Sinusoidal"][1] > max(4, theirs["RoPE"][1])
    inside = found.resolution_and_growth(RECORDED, blocks=True)
    for name in ("RoPE", "XPos"):
        assert inside[name][0] == pytest.approx(1, abs=0.1)
    assert inside["Sinusoidal"][0] < 0.5


def test_every_figure_of_the_chapter_fits_a_page():
    for figure in figures(RECORDED).values():
        assert isinstance(figure, explore.Figure)
        assert len(figure.page()) < 60_000
        explore.Figure.on_page.discard(figure.id)


# ---- its solutions ----------------------------------------------------------------------------------------------


def test_the_solutions_give_what_their_text_says():
    measured, predicted = decimals(charts.solution(CHAPTER, "ex-08-places").split("first block:")[1].splitlines()[0])
    assert measured > predicted + 0.1  # the opening lines of files
    measured, predicted = decimals(charts.solution(CHAPTER, "ex-08-places").split("later ones:")[1].splitlines()[0])
    assert measured == pytest.approx(predicted, abs=0.01)
    alike = re.findall(r"bytes at a time: ([\d.]+)", charts.solution(CHAPTER, "ex-08-perplexity-at"))
    assert len(alike) == 3
    assert len(set(alike)) == 1
    usual, worse = re.findall(r"^\d\.\d\d$", charts.solution(CHAPTER, "ex-08-blocks-law"), re.M)
    assert float(worse) / float(usual) == pytest.approx(0.95, abs=0.01)  # it falls by nearly 5 per cent
    said = re.search(
        r"in pairs -(\S+) ± (\S+), not in pairs ± (\S+)", charts.solution(CHAPTER, "ex-08-paired-difference")
    )
    mean, in_pairs, apart = map(float, said.groups())
    assert in_pairs < mean < apart / 3  # nothing remains
    steep, flat = re.findall(r"resolution (0\.\d+)", charts.solution(CHAPTER, "ex-08-resolution-of"))
    assert float(steep) > 100 * float(flat)
    rope, xpos, alibi = map(float, re.findall(r"saves (\S+)", charts.solution(CHAPTER, "ex-08-warning")))
    assert max(rope, xpos) < 0.03
    assert alibi > 3 * max(rope, xpos)


@pytest.mark.full
def test_the_solution_that_is_not_run_on_the_page_runs(capsys):
    names = {"evaluate": evaluate, "models": {"ALiBi": runs.load("alibi-0")}}
    names["documents"] = evaluate.first_parts(corpus.load().validation, 4096)[:40]
    (code,) = re.findall(r"```python\n(.*?)```", charts.solution(CHAPTER, "ex-08-farther"), re.DOTALL)
    exec(code, names)
    saved = decimals(capsys.readouterr().out)
    assert saved == sorted(saved, reverse=True)
    assert saved[1] > 0.03
