"""What the figures of chapter 12 plot, against loops over tokens; their formulas of cost; what the chapter says."""

import ast
import functools
import itertools
import math
import re

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import charts
from charts import plotted
from lexviz import explore, masks, page
from lexviz.figures import costs, wider

CELLS = charts.cells("12-the-wider-map")
FIGURES = charts.made_in(CELLS, "explore(\n    wider.", wider=wider)

# One's own idea of who sees whom as it is, in a sum, if fetched: f(i, j, h), for loops. BigBird's is drawn at random.
ITSELF = {
    "causal": lambda i, j, h: j <= i,
    "block causal": lambda i, j, h: j <= i and i // h - j // h in (0, 1),
    "sliding window": lambda i, j, h: 0 <= i - j < 2 * h,
    "strided": lambda i, j, h: 0 <= i - j < h or (j <= i and (i - j) % h == 0),
    "fixed": lambda i, j, h: j <= i and (i // h == j // h or j % h == h - 1),
    "Longformer": lambda i, j, h: 0 <= i - j <= 2 * h or j == 0,
    "Transformer-XL": lambda i, j, h: i - i % h - 2 * h <= j <= i,
    "block-recurrent": lambda i, j, h: 0 <= i - j < h,
    "Mega": lambda i, j, h: j <= i and i // h == j // h,
    "infinite memory": lambda i, j, h: 0 <= i - j < h,
    "memorising": lambda i, j, h: 0 <= i - j < 2 * h,
    "kNN-LM": lambda i, j, h: 0 <= i - j < 2 * h,
    "landmarks": lambda i, j, h: j <= i and i // h == j // h,
}
SUMMED = {
    "block-recurrent": lambda i, j, h: j // h < i // h,
    "Mega": lambda i, j, h: j <= i,
    "linear": lambda i, j, h: j <= i,
    "Performer": lambda i, j, h: j <= i,
    "Linformer": lambda i, j, h: True,
    "infinite memory": lambda i, j, h: j <= i,
}
FETCHED = {
    "memorising": lambda i, j, h: j <= i,
    "kNN-LM": lambda i, j, h: j <= i,
    "landmarks": lambda i, j, h: j // h < i // h,
}
COUNTED = [name for name in ITSELF if name not in (*SUMMED, *FETCHED)]  # whose pairs are all that they cost


def kinds(name, h):
    """0, 1, 2 or 3 for each pair of 64 tokens, in loops."""

    def kind(i, j):
        if name == "BigBird":
            return int(j <= i and masks.bigbird(h, 64)(i, j))
        return next((k for k, of in enumerate((ITSELF, SUMMED, FETCHED), 1) if name in of and of[name](i, j, h)), 0)

    return [[kind(i, j) for j in range(64)] for i in range(64)]


def test_the_chapter_has_these_figures():
    assert {name: len(charts.states(figure)) for name, figure in FIGURES.items()} == {
        "the-wider-map": 102,
        "costs-of-all": 36,
    }


@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_states_have_the_same_traces_and_weigh_little(figure):
    states = list(charts.alike(figure, every=5, but=("line", "showlegend")))  # which are the chosen family's
    assert all(text for _, readouts in states for _, text in readouts)
    assert len(page.pack([page.leaves(*state) for state in states])) < explore.BUDGET / 10


# ---- the map ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", wider.MECHANISMS)
@pytest.mark.parametrize("block", [4, 8])
def test_the_map_shows_who_sees_whom_and_what_has_been_heard_of(name, block):
    figure, readouts = wider.the_wider_map(name, block, 8192)
    wanted = kinds(name, block)
    drawn, below = (np.array(trace.z) for trace in figure.data if trace.type == "heatmap")
    assert drawn.tolist() == wanted
    heard = [{63}, {63}, {63}]  # with steps of kind 1; of 1 and 2; of all
    for row in range(wider.DEEPEST):
        for worst, now in enumerate(heard, 1):
            now |= {j for i in now for j in range(64) if 0 < wanted[i][j] <= worst}
        best = [next((k for k, now in enumerate(heard, 1) if j in now), 0) for j in range(64)]
        assert below[row].tolist() == best
        if 0 not in best:
            assert int(wider.layers_needed(name, block)) <= row + 1
    if 0 in best:
        assert wider.layers_needed(name, block) == "more than 4"
    said = {name: value for name, value, _ in readouts}
    assert said["the last token sees"] == wanted[63].count(1)
    assert said["it loses"] == wider.MECHANISMS[name].loses
    words = wider.sees(name, 64, block)
    assert words.startswith(f"{wanted[63].count(1)} tokens") or not wanted[63].count(1)
    assert ("sums of all" in words, "what is fetched" in words) == (name in SUMMED, name in FETCHED)


# ---- costs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", wider.MECHANISMS)
@pytest.mark.parametrize(("n", "block"), [(1, 4), (50, 8), (64, 4), (203, 16), (700, 64)])
def test_pairs_are_those_of_the_mask_counted_one_by_one(name, n, block):
    of = wider.MECHANISMS[name]
    counted = int(masks.dense(of.itself(n, block), n).sum())
    assert wider.pairs(name, n, block) - of.more(n, block) == counted
    if name in (*COUNTED, "BigBird"):
        assert wider.pairs(name, n, block) == counted


@pytest.mark.parametrize("name", COUNTED)
def test_pairs_of_my_own_masks_are_as_many(name):
    n, h = 150, 16
    assert wider.pairs(name, n, h) == sum(ITSELF[name](i, j, h) for i in range(n) for j in range(n))


@pytest.mark.parametrize(("n", "block"), [(10, 16), (64, 8), (333, 16)])
def test_what_is_looked_up_costs_half_a_pair_to_score_and_a_pair_to_read(n, block):
    half, read, landmarks, blocks = 0, 0, 0, 0
    for i in range(n):
        older = [j for j in range(i + 1) if i - j >= 2 * block]
        half += len(older)
        read += min(len(older), wider.NEIGHBOURS)
        landmarks += i // block
        blocks += min(i // block, wider.BLOCKS) * block
    window = sum(0 <= i - j < 2 * block for i in range(n) for j in range(n))
    own = sum(j <= i and i // block == j // block for i in range(n) for j in range(n))
    assert wider.pairs("memorising", n, block) == window + half // 2 + read
    assert wider.pairs("kNN-LM", n, block) == window + half // 2
    assert wider.pairs("landmarks", n, block) == own + landmarks // 2 + blocks


def operations(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_sums_cost_the_operations_of_so_many_pairs():
    """What is not a pair, computed in torch and counted by torch, for one head: 4 d operations are one pair."""
    n, h, d, f = 64, 16, costs.HEAD_DIM, wider.FEATURES
    q, k, v = torch.randn(3, n, d)
    one, features, state = torch.randn(1, d), torch.randn(d, f), torch.randn(h, d)

    def linear():  # a token at a time
        for _ in range(n):
            S = one.T @ one
            one @ S

    def performer():
        for _ in range(n):
            of_q, of_k = one @ features, one @ features
            S = of_k.T @ one
            of_q @ S

    def linformer():
        E = torch.randn(h, n)
        rows, values = E @ k, E @ v
        (q @ rows.T) @ values

    def recurrent():
        (q @ state.T) @ state
        for _ in range(n // h):
            both = torch.randn(2 * h, d)
            (state @ both.T) @ both

    for name, work in (
        ("linear", linear),
        ("Performer", performer),
        ("Linformer", linformer),
        ("block-recurrent", recurrent),
    ):
        assert operations(work) == 4 * d * wider.MECHANISMS[name].more(n, h)


def needed(mask, n, horizon):
    """How many keys, at most, some query from t on can still need when t has just been read, t < n."""
    sees = masks.dense(mask, horizon)
    return max(int(sees[t:, : t + 1].any(0).sum()) for t in range(n))


@pytest.mark.parametrize("name", [*COUNTED, "BigBird"])
@pytest.mark.parametrize(("n", "block"), [(3, 4), (60, 4), (64, 8)])
def test_what_is_kept_is_what_later_queries_need(name, n, block):
    of = wider.MECHANISMS[name].itself(n, block)
    most = needed(of, n, n if name == "BigBird" else 4 * n)
    kept = wider.kept(name, n, block) // (costs.BYTES * wider.TOKEN)
    assert kept == most or (name == "BigBird" and most <= kept <= most + block)  # whole blocks are kept


@pytest.mark.parametrize("name", wider.MECHANISMS)
@pytest.mark.parametrize("n", [1, 100, 5000])
def test_the_device_holds_no_more_than_all(name, n):
    whole, here = wider.kept(name, n, 64), wider.on_device(name, n, 64)
    if name in FETCHED and n > 1000:
        assert here < whole / 5
    elif name not in FETCHED:
        assert here == whole


@pytest.mark.parametrize("quantity", wider.QUANTITIES)
@pytest.mark.parametrize("family", wider.FAMILIES)
def test_lines_of_cost_are_the_formulas_and_the_family_stands_out(quantity, family):
    traces, readouts = plotted(wider.costs_of_all(quantity, family, 128))
    formula, _, by_token = wider.QUANTITIES[quantity]
    chosen = {name for name, of in wider.MECHANISMS.items() if of.family == family}
    far = {}
    for name in wider.MECHANISMS:
        x, y = traces[name].x, traces[name].y
        assert list(y) == pytest.approx([formula(name, n, 128) / (n if by_token else 1) for n in x])
        assert traces[name].showlegend == (name in chosen or name == "causal")
        far[name] = y[-1]
    colours = [(traces[name].line.color, traces[name].line.dash) for name in chosen]
    assert len(set(colours)) == len(chosen)
    least, most = (choose(chosen, key=far.get) for choose in (min, max))
    for said, name in (("at 64k tokens, of these least", least), ("most", most)):
        of, share = readouts[said].split(", ")
        assert far[of] == far[name]
        assert share == f"{100 * far[name] / far['causal']:.3g}% of causal"


# ---- what comes back --------------------------------------------------------------------------------------------


def test_recall_is_drawn_as_it_was_found():
    found = {
        d: {"all": {16: 1.0, 32: 1.0}, "half": {16: 0.5, 32: d / 100}, "none": {16: 0.1, 32: 0.0}} for d in (16, 32)
    }
    for d in (16, 32):
        traces, readouts = plotted(wider.of(found)(d))
        for name, line in found[d].items():
            assert dict(zip(traces[name].x, traces[name].y, strict=True)) == line
        assert list(traces["chance"].y) == [1 / 16, 1 / 32]
        assert list(readouts.values()) == ["up to 32 tokens", "up to 16 tokens", "not of 16 tokens"]
        looks = [(trace.line.color, trace.line.dash) for trace in traces.values()]
        assert len(set(looks)) == len(looks)


# ---- the chapter ------------------------------------------------------------------------------------------------

PROSE = " ".join(" ".join(cell.source.split()) for cell in CELLS if cell.cell_type == "markdown")
PRINTED = {cell.id: "".join(out.get("text", "") for out in cell.get("outputs", ())) for cell in CELLS}
OUTPUT = "\n".join(PRINTED.values())


def lines(pattern):
    """What the groups of the pattern match, for each line that a cell prints and that holds it."""
    return re.findall(pattern, OUTPUT, re.M)


def recalled(name):
    (found,) = lines(rf"^ +{re.escape(name)} +(\d\.\d\d.*)$")
    return [float(x) for x in found.split()]


def test_every_comparison_with_a_slow_form_came_out_the_same():
    verdicts = lines(r"(?:same|sums to 1|at once|sum over pairs|is attention|difference): *(\w+)")
    assert len(verdicts) >= 14
    assert set(verdicts) == {"True"}
    assert lines(r"^rate .*same (\w+)") == ["True"] * 3


def test_what_comes_back_is_what_the_text_says():
    assert recalled("softmax attention") == recalled("the 1 nearest") == [1] * 5
    assert max(recalled("linear attention")) < 0.2
    corrected = recalled("linear, corrected")
    assert corrected[0] > 0.9
    assert corrected[1] == pytest.approx(1 / 3, abs=0.05)
    assert corrected[2] == pytest.approx(1 / 7, abs=0.02)
    for name in ("Performer, 64 directions", "Linformer, 32 rows", "32 coefficients"):
        assert recalled(name)[3] < 0.1
    assert recalled("256 coefficients")[2:] == [1, pytest.approx(0, abs=0.1)]
    for seen, back in lines(r"sees (\S+) of the keys, recall (\S+)"):
        assert float(back) == pytest.approx(float(seen), abs=0.015)


def test_tiles_and_layers():
    touched = {name.strip(): (int(tiles), int(used)) for name, tiles, used in lines(r"^ +([\w ]+) +(\d+) +(\d+)%$")}
    assert touched["strided"][0] == touched["fixed"][0] == touched["causal"][0] == 136
    assert max(touched[name][1] for name in ("strided", "fixed")) < 13
    assert min(touched[name][1] for name in ("block causal", "sliding window", "BigBird")) > 60
    pairs = {name.strip(): int(count) for name, count in lines(r"^ +([\w -]+): (\d+) pairs; heard")}
    assert max(pairs["fixed"], pairs["strided"]) < 2 * pairs["block causal"]
    for n, best in lines(r"^ +(\d+) tokens: best stride (\d+)"):
        assert abs(int(best) - (int(n) / 2) ** 0.5) < 1


def test_directions_catch_soft_attention_and_no_sharp_one():
    errors = np.array([[int(x) for x in row.split("%")[:3]] for row in lines(r"^ +\d+ directions: +(.*%)$")])
    assert errors.shape == (3, 3)
    assert np.all(np.diff(errors[:, :2], axis=0) < 0)
    assert errors[-1, 0] < 10
    assert errors[:, 2].min() > 90


def test_looking_up_helps_a_little_and_too_much_hurts():
    found = [float(x) for x in lines(r"^lambda .* perplexity (\S+),")]
    assert f"falls from {found[0]:.2f} to {found[1]:.2f}" in PROSE
    assert found[1] < found[2] < found[0] < found[3]
    alone, some, whole, each = (float(x) for x in lines(r": perplexity (\d\.\d\d)$"))
    assert some > alone >= max(whole, each) > 0.99 * alone


def test_the_table_says_what_the_text_says():
    rows = {name.strip(): [float(x) for x in numbers.split()] for name, numbers in
            lines(r"^ *([\w -]+?) +(\d+\.\d\d +\d+\.\d\d +\d+\.\d\d) +(?:> )?\d  ")}  # fmt: skip
    assert set(rows) == set(wider.MECHANISMS)
    assert all(50 < rows[name][0] < 53 for name in ("memorising", "kNN-LM"))
    assert min(rows, key=lambda name: rows[name][0]) == min(rows, key=lambda name: rows[name][1]) == "linear"
    whole = rows["causal"][1]
    assert rows["kNN-LM"][1] == pytest.approx(whole / 2, rel=0.05)
    assert rows["landmarks"][1] == pytest.approx(whole, rel=0.02)
    assert rows["strided"][2] == whole


def defined(*wanted):
    """The chapter's functions of these names, as its cells define them."""
    code = [cell.source for cell in CELLS if cell.cell_type == "code"]
    body = [part for source in code for part in ast.parse(source).body if getattr(part, "name", "") in wanted]
    names = {"functional": functional, "functools": functools, "math": math, "torch": torch}
    exec(compile(ast.Module(body, []), "chapter 12", "exec"), names)
    return names


def test_larger_heads_help_what_sums_over_keys():
    chapter = defined("text", "recall", "softmax_attention", "nearest", "corrected")
    recall, corrected = chapter["recall"], chapter["corrected"]
    for n in (256, 2048):
        softmax, nearest = recall(chapter["softmax_attention"], n, 16), recall(chapter["nearest"](32), n, 16)
        assert softmax == pytest.approx(nearest, abs=0.01)
        assert softmax < 1
    for n in (16, 64, 128):
        few, some, many = (recall(corrected, n, d) for d in (16, 32, 64))
        assert few < some <= many
    q, k, v, asked = chapter["text"](256)
    right = (corrected(q, k, v) @ v.T).argmax(-1) == asked
    assert asked[right].double().mean() > 200  # they are the last ones


def test_open_ends():
    both, causal = zip(*lines(r"positions: rank (\d+) by .m - n., (\d+) by"), strict=True)
    assert (both, causal) == (("4", "16", "64"), ("2", "2", "2"))
    tree = {(int(g), int(o)): (int(s), int(f)) for o, g, s, f in
            lines(r"^(\d) groups of (\d) opened: (\d+) scores .* (\d+)% found")}  # fmt: skip
    eighth = [tree[4, 4], tree[8, 2]]
    assert [found for _, found in eighth] == [pytest.approx(50, abs=3), pytest.approx(40, abs=3)]
    assert {scores / 128 for scores, _ in eighth} == {0.25, 0.375}
    rows = {
        name.strip(): numbers.split() for name, numbers in lines(r"^ +([a-z ]+?) +(\d+\.\d\d +\d+\.\d\d +\d+\.\d\d)$")
    }
    plain, squeezed, base = rows["as it is"], rows["positions squeezed"], rows["a larger base"]
    assert f"from {plain[1]} down to {base[1]}" in PROSE
    assert f"begins to cost, {base[2]}." in PROSE
    assert float(squeezed[1]) > float(plain[1]) > float(base[1])
    assert max(float(x) for x in lines(r"^in blocks of 128, reading at \d+: (\S+)")) < float(base[1])


def test_what_is_quoted_from_chapter_6_is_printed_there():
    printed = "".join(out.get("text", "") for cell in charts.cells("06-blockwise-causal-attention")
                      for out in cell.get("outputs", ()))  # fmt: skip
    off = [int(x) for x in re.findall(r"gradient of layer \d off by (\d+)%", printed)]
    assert f"off by {min(off[:3])} to {max(off[:3])} per cent" in PROSE
    assert f"by {min(off[3:])} to {max(off[3:])}. So one would cache inputs" in PROSE


def test_the_theorem_on_both_sides():
    """The matrix of rho^|m-n| cos((m-n) theta) is positive definite, so that no fixed size is enough."""
    for rho, theta, n in ((0.3, 0.0, 9), (0.9, 0.5, 20), (0.99, 3.0, 12)):
        d = np.arange(n)[:, None] - np.arange(n)
        fading = rho ** abs(d)
        assert np.linalg.det(fading) == pytest.approx((1 - rho**2) ** (n - 1), rel=1e-6)
        assert np.linalg.eigvalsh(fading * np.cos(theta * d)).min() > 0


# ---- the chapter's exercises ------------------------------------------------------------------------------------


def test_what_the_solutions_say_is_what_their_cells_print():
    squares, with_correction = recalled("squares"), recalled("with correction")
    assert squares[2] > 0.9
    assert with_correction[2] == pytest.approx(1 / 7, abs=0.02)
    rows = [[float(x) for x in line] for line in lines(r"^ +(\d+) +(\d+) +(\d\.\d\d) +(\d+) +(\d\.\d\d)$")]
    opened, scores, found, noisy_scores, noisy_found = zip(*rows, strict=True)
    assert opened == (1, 2, 4, 8, 16, 32)
    assert set(found) == {1}
    assert scores[0] / 4096 == pytest.approx(1 / 20, abs=0.005)
    assert f"a full search finds {noisy_found[-1]:.2f} of the right ones" in PROSE
    assert noisy_found[0] < noisy_found[-1] / 2
    assert noisy_found[3] > 0.9 * noisy_found[-1]
    assert noisy_scores[3] / 4096 == pytest.approx(1 / 4, abs=0.03)


def test_the_best_matrix_gives_back_more_than_it_does_exactly():
    half = {}
    for size, found in lines(r"^d = (\d+), recall of (.*)$"):
        d, back = int(size), [(int(n), float(share)) for n, share in re.findall(r"(\d+): (\S\.\d\d)", found)]
        assert [share for n, share in back if n <= d] == [1, 1]
        (n, above), (m, below) = next(pair for pair in itertools.pairwise(back) if pair[1][1] < 0.5)
        half[d] = n * (m / n) ** ((above - 0.5) / (above - below)) / d  # where the line between two lengths is at half
    assert "up to some $3d$, $4d$ and $6d$ tokens" in PROSE
    assert list(half) == [16, 32, 64]
    assert list(half.values()) == [pytest.approx(3, abs=0.5), pytest.approx(4.5, abs=0.6), pytest.approx(6, abs=0.7)]


def test_what_is_kept_grows_or_does_not_as_the_map_is_said_to_show():
    grow = {name for name in wider.MECHANISMS if wider.kept(name, 65536, 128) > wider.kept(name, 1024, 128)}
    assert grow == {"causal", "strided", "fixed", "BigBird", "memorising", "kNN-LM", "landmarks"}
