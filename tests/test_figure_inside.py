"""What the figures of chapter 9 plot, against the numbers that they are given; what the chapter says of the models."""

import itertools
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charts import cells, numbers, printed, trace
from lexviz import corpus, evaluate, explore, inside, masks, runs, theory
from lexviz.figures import inside as figures
from lexviz.figures.weights import shown

NAMES = ("RoPE", "XPos", "ALiBi")
READINGS = (figures.SHORT, figures.PLAIN, figures.BLOCKS)
RNG = np.random.default_rng(0)
TEXT = RNG.integers(256, size=2048).tolist()


def causal(rows, tiles):
    """Random shares (layers, heads, tiles, tiles), rows sum to one, nothing of the future."""
    found = np.tril(RNG.random((*rows, tiles, tiles)) ** 8 + 1e-9)
    return found / found.sum(-1, keepdims=True)


MAPS = {name: {reading: causal((4, 4), figures.TILES) for reading in READINGS} for name in NAMES}


# ---- whole maps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", READINGS)
def test_a_map_and_all_maps_in_thousandths(reading):
    made, readouts = figures.maps(TEXT, MAPS)("XPos", reading, 3, 2)
    given_ = MAPS["XPos"][reading]
    z = np.array(trace(made, "map").z, dtype=float)
    seen = np.tril(np.ones((64, 64), dtype=bool))
    assert np.isnan(z[~seen]).all()
    assert z[seen] == pytest.approx(1000 * given_[2, 1][seen], abs=0.5)
    small = np.array(trace(made, "all heads").z, dtype=float)
    for i, j, row, column in itertools.product(range(4), range(4), (0, 7, 15), (0, 7, 15)):
        part = given_[i, j, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        found = small[17 * i + row, 17 * j + column]
        assert np.isnan(found) if column > row else found == pytest.approx(1000 * part.sum(-1).mean(), abs=0.5)
    size = 4 if reading == figures.SHORT else 32
    near = 256 // size
    for head, (_, said, _) in enumerate(readouts):
        rows = given_[2, head, -near:]
        far = np.mean([rows[r, : max(0, 64 - near + r - near)].sum() for r in range(near)])
        assert float(said.rstrip("%")) == pytest.approx(100 * far, abs=0.51)


def test_every_byte_has_one_sign_that_can_be_seen_and_turns_nothing_round():
    signs = shown(range(256))
    assert [len(sign) for sign in signs] == [1] * 256
    assert all(
        sign.isprintable() and unicodedata.bidirectional(sign) not in ("R", "AL", "RLO", "RLE") for sign in signs
    )


def test_tiles_are_named_by_their_text_which_stays_text():
    text = list(b"<b>bold</b>&amp;\n" * 121)[:2048]
    figure = explore.explore(
        figures.maps(text, MAPS),
        encoding=explore.choice(*NAMES),
        reading=explore.choice(*READINGS),
        layer=explore.choice(1, 2, 3, 4),
        head=explore.choice(1, 2, 3, 4),
    )
    made, _ = figure.state(**figure.first)
    assert trace(made, "map").x[0] == "0 &lt;b&gt;bold&lt;/b&gt;&amp;am"
    assert len(set(trace(made, "map").y)) == 64


def test_what_is_forbidden_is_blank_and_what_is_nothing_is_not():
    shares = np.zeros((1, 2, 64, 64))
    shares[0, 0, :, 0] = 1  # head 1 looks at the first tile, head 2 at itself
    shares[0, 1] = np.eye(64)
    made, _ = figures.maps(TEXT, {"RoPE": {figures.PLAIN: shares}})("RoPE", figures.PLAIN, 1, 2)
    z = np.array(trace(made, "map").z, dtype=float)
    assert z[9, 0] == 0
    assert z[9, 9] == 1000
    assert np.isnan(z[9, 1:9]).all()


# ---- parts of a map, and the text -------------------------------------------------------------------------------


def pair(m, n):
    """A made-up weight that tells of which pair it is."""
    return (0.618034 * m * m + 0.7548777 * n) % 1


def weights(encoding, blocks, queries, keys):
    """The same as parts of maps are given, no two heads alike."""
    m, n = np.array(queries)[:, None], np.array(keys)
    allowed = (n <= m) & ((m // 128 - n // 128 <= 1) | (not blocks))
    one = np.where(allowed, pair(m, n), 0)
    return np.stack([[one / (1 + layer + head) for head in range(4)] for layer in range(4)])


@pytest.mark.parametrize(("blocks", "back"), itertools.product([False, True], [0, 120, 240.0, 360.0, 57.3]))
def test_a_part_is_exact_and_blank_where_nothing_can_be_seen(blocks, back):
    made, readouts = figures.exact(TEXT, weights)("RoPE", blocks, 2, 3, back)
    found = trace(made, "weights")
    z = np.array(found.z, dtype=float)
    start = round(1658 - back)
    for row, column in itertools.product(range(0, 32, 3), range(0, 32, 5)):
        m, n = 1658 + row, start + column
        if n > m or (blocks and n // 128 < m // 128 - 1):
            assert np.isnan(z[row, column])
        else:
            assert z[row, column] == round(1000 * pair(m, n) / 4)
        assert found.text[row][column].endswith(f"at {n:,}")
    assert readouts[0][1] == f"{start:,}"
    assert list(trace(made, "text").text) == shown(TEXT)[start : start + 32]
    assert list(made.layout.yaxis.ticktext) == shown(TEXT)[1658 : 1658 + 32]


@settings(max_examples=30)
@given(at=st.integers(0, 2047), blocks=st.booleans())
def test_the_text_is_shaded_by_the_row_of_the_map(at, blocks):
    made, readouts = figures.looks(TEXT, {"here": at}, weights)("RoPE", blocks, 1, 1, "here")
    row = weights("RoPE", blocks, range(at, at + 1), range(at + 1))[0, 0, 0]
    z = np.array(trace(made, "weights").z, dtype=float).ravel()
    first = max(0, (at // 128 + 1) * 128 - 512)
    assert first <= at < first + 512
    for i, value in enumerate(z):
        n = first + i
        if n > at or (blocks and n // 128 < at // 128 - 1):
            assert np.isnan(value)
        else:
            assert value == round(1000 * row[n])
    drawn = trace(made, "text")
    characters = {(y, x): c for y, x, c in zip(drawn.y, drawn.x, drawn.text, strict=True)}
    for i in range(512):
        assert characters.get(divmod(i, 32), " ") == shown(TEXT)[first + i]
    frame = made.layout.shapes[0]
    assert (round(frame.y0 + 0.5), round(frame.x0 + 0.5)) == divmod(at - first, 32)
    said = {name: value for name, value, _ in readouts}
    far = row[: max(0, at - 255)].sum()
    assert said["of the attention, 256 bytes back or farther"] == f"{100 * far:.0f}%"
    assert f"({at - int(row.argmax()):,} back" in said["the largest weights"]


# ---- by distance, and drift -------------------------------------------------------------------------------------


def test_scores_and_weights_by_distance():
    scores = {n: {r: RNG.normal(size=(4, 4, 2048)) for r in READINGS} for n in NAMES}
    shares = {n: {r: RNG.dirichlet(np.ones(2048), (4, 4)) for r in READINGS} for n in NAMES}
    made, readouts = figures.distances(scores, shares, theory.resolution)("ALiBi", figures.PLAIN, 4)
    s, w = scores["ALiBi"][figures.PLAIN][3], shares["ALiBi"][figures.PLAIN][3]
    said = {name: value for name, value, _ in readouts}
    for head in range(4):
        above, below = (t for t in made.data if t.name == f"head {head + 1}")
        assert above.x[:5] == pytest.approx([1, 2, 3, 4, 5])  # distances 0 .. 4, each by itself
        assert above.y[:5] == pytest.approx(s[head, :5])
        assert below.y[:5] == pytest.approx(w[head, :5])
        # whatever is grouped, sums stay
        edges = np.unique(np.geomspace(1, 2049, figures.POINTS).round().astype(int)) - 1
        assert (np.array(below.y) * np.diff(edges)).sum() == pytest.approx(1)
        assert said[f"resolution, head {head + 1}"] == f"{theory.resolution(s)[head]:.2g}"
        assert said[f"256 back or farther, head {head + 1}"] == f"{100 * w[head, 256:].sum():.0f}%"


def test_drift_is_drawn_by_layer_and_nothing_is_at_the_bottom():
    of = RNG.random((5, 15))
    of[1] = 1e-8
    found = {n: {figures.PLAIN: RNG.random((5, 15)), figures.BLOCKS: of} for n in NAMES}
    moved = {n: np.array([0, 0.01, 0.02, 0.03, 0.04]) for n in NAMES}
    made, readouts = figures.drift(found, moved)("XPos", True)
    for layer in range(1, 5):
        line, level = (t for t in made.data if t.name == f"layer {layer}")
        assert line.y == pytest.approx(np.maximum(of[layer], figures.LOW))
        assert line.x == pytest.approx([128 * n + 64 for n in range(1, 16)])
        assert level.y == pytest.approx([moved["XPos"][layer]] * 2)
    assert readouts[0][1] == "none"
    assert readouts[3][1] == figures.share(of[4, -1])


# ---- the chapter ------------------------------------------------------------------------------------------------

CELLS = cells("09-inside-the-attention")


def table(lines, columns):
    """{what a line is about: the numbers in its last columns}"""
    rows = [line.split() for line in lines]
    said = {" ".join(row[:-columns]).rstrip(","): row[-columns:] for row in rows}
    return {name: [float(x.strip("%").replace("none", "0")) for x in of] for name, of in said.items()}


def test_without_blocks_rope_is_lost_xpos_does_badly_and_alibi_well():
    (short, long, blocks), x, a = (table(printed(CELLS, "perplexity  ")[1:], 3)[name] for name in NAMES)
    assert long > 4 * short
    assert 1.3 * x[0] < x[1] < long / 2
    assert a[1] < a[0]
    assert max(blocks / short, x[2] / x[0], a[2] / a[0]) < 1


def test_who_looks_far():
    lines = printed(CELLS, "256 bytes back or farther   head 1")[1:]
    rows = [[int(x) for x in re.findall(r"(\d+)%", line)] for line in lines]
    rope, xpos, alibi = np.array(rows[:-1]).reshape(3, 4, 4)
    ((even,),) = rows[-1:]
    assert (rope > even).sum() >= 12
    assert xpos.mean() < rope.mean() - 20
    assert alibi[:, :3].max() < 5
    assert np.all((30 < alibi[:, 3]) & (alibi[:, 3] < 50))


def test_what_heads_look_for_is_outvoted():
    found = table(printed(CELLS, "= 24 back"), 2)
    assert len(found) == 7
    for name, (blocks, plain) in found.items():
        assert plain < (10 if "RoPE" in name else 0.7 * blocks)
        assert blocks > (50 if "RoPE" in name else 25)


def test_one_head_finds_the_copy_of_a_line():
    text = evaluate.first_parts(corpus.load().validation, 4096)[7][:2048]
    said = corpus.to_text(text)
    first, second = (match.start() for match in re.finditer("def __sympifyit_wrapper", said))
    assert second - first == 123
    copied = range(second + 3, second + 28), range(first + 4, first + 29)  # of each byte, what came after its copy
    found = {}
    for name, run in {"RoPE": "rope-0", "XPos": "xpos-0", "ALiBi": "alibi-0"}.items():
        weights = inside.region(runs.load(run), text, *copied, masks.block_causal(128))
        found[name] = weights.diagonal(axis1=-2, axis2=-1).mean(-1)  # (layers, heads)
    assert max(found["RoPE"].max(), found["XPos"].max()) < 0.01
    assert np.unravel_index(found["ALiBi"].argmax(), (4, 4)) == (1, 3)
    assert found["ALiBi"].max() == pytest.approx(0.11, abs=0.02)


def test_two_heads_of_the_first_layer_look_just_behind():
    text = evaluate.first_parts(corpus.load().validation, 4096)[7][:2048]
    for run in ("rope-0", "xpos-0"):
        of = inside.region(runs.load(run), text, range(1658, 1690), range(1642, 1690), masks.block_causal(128))[0]
        back = [of.diagonal(16 - n, axis1=-2, axis2=-1).mean(-1) for n in range(17)]  # (heads,) by distance
        assert np.argmax(back, axis=0)[:2].tolist() == [1, 2]


def test_scores_beyond_are_higher_than_before():
    lines = printed(CELLS, "highest mean score, of 16")
    counts = [int(count) for count in re.findall(r"beyond in +(\d+) of 16", "\n".join(lines))]
    assert counts[0] == 16
    assert counts[1] >= 14
    assert counts[2] == 0
    (rope, xpos, alibi) = ([float(r) for r in re.findall(r"(0\.\d+) \(", line)] for line in lines if "(256" in line)
    assert rope[1] < 0.5 * rope[0]
    assert rope[1] > xpos[1]  # and yet it reads worse
    assert rope[2] == pytest.approx(rope[0], rel=0.1)
    assert xpos[2] == pytest.approx(xpos[0], rel=0.1)
    assert max(alibi) < 1.2 * min(alibi) < 0.3 * rope[0]


def test_the_far_looks_do_the_harm_and_no_single_layer_or_head():
    rope, xpos, alibi = (numbers(line) for line in printed(CELLS, "nobody nearsighted"))
    for _, everybody, blocks in (rope, xpos, alibi):
        assert everybody == pytest.approx(blocks, rel=0.02)
    lines = printed(CELLS, "it is nearsighted")
    one, others = ([numbers(line) for line in lines[start::3]] for start in (1, 2))
    for i, (nobody, everybody, _) in enumerate((rope, xpos)):
        # in logarithms, no layer's short sight repairs more than two fifths
        assert np.all(np.log(nobody / np.array(one[i])) < 0.4 * np.log(nobody / everybody))
    assert np.argmax(others[0]) == 3
    assert np.argmin(others[0]) == 2
    assert max(one[2] + others[2]) < 1.01 * alibi[0]
    heads = np.array(list(table(printed(CELLS, "RoPE, all nearsighted but one")[1:], 4).values()))
    assert heads.max() < rope[0] / 3
    assert np.median(heads) < 1.1 * rope[1]


def test_drift_grows_by_layer_is_less_than_a_moved_window_makes_and_the_same_for_rope_and_xpos():
    found = table(printed(CELLS, "difference, mean of all blocks")[1:], 4)
    blocks = {name: np.array(found[f"{name}, 2,048 bytes, in blocks"]) for name in NAMES}
    for name in NAMES:
        assert blocks[name][0] == 0
        assert np.all(np.diff(blocks[name]) > 0)
        assert np.all(blocks[name] < found[f"{name}, window moved by 16"])
    assert blocks["RoPE"] == pytest.approx(blocks["XPos"], abs=0.15)
    assert found["RoPE, 2,048 bytes"][-1] > 80


def test_the_solutions_say_what_their_cells_print():
    found = table(printed(CELLS, "sight     ")[1:], 6)
    rope, xpos = found["RoPE"], found["XPos"]
    for near in (rope, xpos):
        assert max(near[:2]) < 1.03 * near[2]  # down to 128 nothing is lost, with 64 hardly anything
    assert rope[3] > (rope[2] + rope[4]) / 2  # at 384 RoPE has most of its trouble
    assert xpos[2] < xpos[3] < xpos[4] < xpos[5]  # XPos gets worse little by little
    plain, blocks, windows = table(printed(CELLS, "RoPE, windows of 256 bytes")[:3], 4).values()
    assert blocks == windows
    assert plain[0] / windows[0] == pytest.approx(1.2, abs=0.02)  # larger by a fifth after the first layer
    assert plain[-1] / windows[-1] == pytest.approx(0.9, abs=0.02)  # smaller by a tenth after the last


def test_numbers_of_the_exercises_that_no_cell_prints():
    """Of *How high a climb?*, and in the questions."""
    far = {x: 1792 * np.exp(x) / (256 + 1792 * np.exp(x)) for x in (-2, 0, 2, -np.log(693))}
    assert [round(100 * share, 1) for share in far.values()] == [48.6, 87.5, 98.1, 1.0]
    assert -np.log(693) == pytest.approx(-6.5, abs=0.05)
    assert numbers(printed(CELLS, "difference, mean of all blocks")[2])[-1] == 0.8  # the last question of all
