"""Chapter 11's figures of pass keys, against the numbers that they are given; what the chapter says of them."""

import itertools
import re
from math import comb

import numpy as np
import pytest

from charts import cells, numbers, printed, runs_like, trace
from lexviz import evaluate, runs
from lexviz.figures import passkeys as figures

RNG = np.random.default_rng(0)
CELLS = cells("11-random-access")


# ---- by length, by depth, in other ways -------------------------------------------------------------------------


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
    passkey_distractors_0={
        "passkeys": [keys(2048, filler, **USUAL) for filler in figures.FILLERS],
        "passkey_ways": [keys(2048, filler, **USUAL | {"distractors": 1}) for filler in figures.FILLERS],
    },
    passkey_dense_0={"passkeys": DENSE_ROWS},
)
OTHERS = figures.RUNS["passkey-distractors-0"]


def test_keys_are_counted_by_length_and_depth_with_their_intervals():
    every = figures.keys_of(PASSKEYS)
    assert list(every) == [figures.LANDMARKS, OTHERS, "RoPE, all at once", "RoPE, block causal", figures.TRUE]
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
    made, readouts = figures.ways(PASSKEYS)(figures.LANDMARKS, change)
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


def test_each_model_that_was_asked_in_other_ways_can_be_chosen():
    assert figures.asked_in_ways(PASSKEYS) == {figures.LANDMARKS: "passkey-0", OTHERS: "passkey-distractors-0"}
    made, _ = figures.ways(PASSKEYS)(OTHERS, figures.OTHERS)
    results = PASSKEYS["passkey-distractors-0"]["results"]
    for i, filler in enumerate(figures.FILLERS):
        rights = (results["passkeys"][i]["right"], results["passkey_ways"][i]["right"])
        assert list(trace(made, filler).y) == ["".join(right).count("1") / 50 for right in rights]


# ---- what is left to the key ------------------------------------------------------------------------------------


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


# ---- what the chapter says --------------------------------------------------------------------------------------


def test_keys_are_found_as_the_text_says():
    lines = printed(CELLS, "landmarks, found of 50")
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


def test_another_seed_finds_keys_too_and_a_model_without_landmarks_only_what_it_sees():
    found = figures.keys_of(runs.results())
    other = found["landmarks, another seed"]
    counts = {place: figures.share(right)[0] for place, right in other.items()}
    assert [counts[32768, filler] for filler in figures.FILLERS] == [50, 44]
    assert min(count for (length, _), count in counts.items() if length < 32768) >= 48
    dense = {place: figures.share(right)[0] for place, right in found["RoPE, all at once"].items()}
    for filler in figures.FILLERS:
        assert dense[256, filler] == 50
        assert dense[512, filler] < 25
        assert dense[1024, filler] in (2, 3)
        assert dense[2048, filler] == dense[4096, filler] == 0
        staircase = found["RoPE, block causal"]
        for length, depths in ((256, 10), (512, 5), (1024, 3), (4096, 1)):
            assert staircase[length, filler] == ["0" * (10 - depths) + "1" * depths] * 5


def test_each_way_of_asking_is_as_the_text_says():
    found = {
        change: [numbers(said)[1::2] for _, said, _ in figures.ways(runs.results())(figures.LANDMARKS, change)[1]]
        for change in (figures.K, figures.OTHERS, figures.CONTROL)
    }
    among = [figures.ways(runs.results())(OTHERS, change)[1] for change in (figures.OTHERS, figures.CONTROL)]
    assert [[numbers(said)[1::2] for _, said, _ in each] for each in among] == [[[50] * 4] * 2, [[0]] * 2]
    assert min(itertools.chain(*found[figures.K])) >= 49
    for none, one, four, sixteen in found[figures.OTHERS]:
        assert none == 50
        assert 37 <= one <= 41  # a fifth to a quarter are lost
        assert 23 <= four <= 28
        assert 7 <= sixteen <= 10
    assert found[figures.CONTROL] == [[0], [0]]  # "no: 50, yes: 0"


def test_what_is_foretold_from_short_texts_comes_near_to_what_was_found():
    (said,) = (line for line in printed(CELLS, "Figure keys-foretold") if line.startswith("  foretold ="))
    (near, off), (far, more_off) = [map(float, x) for x in re.findall(r"([\d.]+) ± ([\d.]+) at", said)]
    assert (near, far, more_off) == pytest.approx((0.95, 0.75, 0.07), abs=0.02)
    for share, error, right in ((near, off, 49), (far, more_off, 40)):
        low, high = evaluate.interval(right, 50)
        assert low - error <= share <= high + error
    usual, longer = (
        [
            [float(x) for x in line.split(":")[1].replace(",", " ").split()]
            for line in printed(CELLS, "score of the key's block")[i : i + 2]
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


def test_what_the_calculation_promises_of_three_models_is_as_the_text_says():
    said = [
        numbers(line.split(":", 1)[1].replace(",", " "))
        for line in printed(CELLS, "if one of the heads keeps half")[1:]
    ]
    assert len(said) == len(figures.MODELS)
    usual, longer, among = ([share for share in row if share <= 1] for row in said)
    assert longer == [1, 1]  # and by hand 44 of 50 were counted
    assert usual[1] < evaluate.interval(44, 50)[1]
    found = "".join(runs.results()["passkey-distractors-0"]["results"]["passkeys"][-1]["right"]).count("1")
    low, high = evaluate.interval(found, 50)
    assert found == 48
    assert low <= among[1] <= found / 50 <= high  # too little, by no more than chance allows


def test_by_one_head_alone_a_quarter_of_its_attention_foretells_what_was_found_and_half_too_little():
    half, quarter = (numbers(line.split(":")[1])[::2] for line in printed(CELLS, "keys foretold if head 4")[1:])
    for share, right in zip(quarter, (49, 40), strict=True):
        low, high = evaluate.interval(right, 50)
        assert low <= share <= high
    assert half[1] < evaluate.interval(40, 50)[0]


def test_a_chance_without_dice_is_that_of_draws():
    """The exercise's formula against what section 6 does: draw."""
    scores = np.arange(30.0)
    drawn = [RNG.choice(scores, 7, replace=False).max() > 27.5 for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(1 - comb(28, 7) / comb(30, 7), abs=0.03)
