"""Colours: each is named in one place, stands out from the page, light or dark, and from those beside it."""

import itertools
import pathlib
import re

import numpy as np
import pytest

import lexviz
from lexviz import palette

LEXVIZ = pathlib.Path(lexviz.__file__).parent
COLOURS = {name: colour for name, colour in vars(palette).items() if re.fullmatch("#[0-9a-f]{6}", str(colour))}
GROUNDS = {"PALE", "SKY"}  # and the text that stands on them
LITERAL = re.compile(r"""["']#[0-9a-f]{3,8}["']|\b(rgb|hsl)a?\(""", re.I)


@pytest.mark.parametrize("path", sorted(LEXVIZ.rglob("*.py")), ids=lambda path: path.stem)
def test_colours_are_those_of_the_palette_by_name(path):
    assert bool(LITERAL.search(path.read_text(encoding="utf-8"))) == (path.stem == "palette")


def linear(colour):
    """Red, green and blue as amounts of light."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(*colours):
    low, high = sorted(linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in colours)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
@pytest.mark.parametrize("name", sorted(COLOURS.keys() - GROUNDS - {"INK"}))
def test_a_colour_stands_out_from_the_page(name, page):
    assert contrast(COLOURS[name], page) >= 3


@pytest.mark.parametrize("name", sorted(GROUNDS))
def test_text_stands_out_from_the_cells_that_it_stands_on(name):
    assert contrast(COLOURS[name], palette.INK) >= 4.5


def lab(light):
    """CIELAB, in which distance is about what the eye tells apart: above some 20 two lines are not taken for one."""
    to_xyz = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ light / [0.9505, 1, 1.0888], 0.009))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


SIGHT = {  # Machado, Oliveira and Fernandes, 2009
    "full colour": np.eye(3),
    "no green": np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    "no red": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
}


@pytest.mark.parametrize("sight", SIGHT)
def test_encodings_stay_apart_for_colour_blind_readers(sight):
    seen = {name: lab(np.clip(SIGHT[sight] @ linear(colour), 0, 1)) for name, colour in palette.ENCODING.items()}
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 18, (one, other)
    assert len(set(zip(palette.ENCODING.values(), palette.DASH.values(), strict=True))) == 8
    assert palette.DASH.keys() == palette.ENCODING.keys()


@pytest.mark.parametrize(("colour", "opacity", "words"), [("red", 0.5, "colour is"), ("#16181c", 2, "opacity is 2")])
def test_a_tint_of_what_is_no_colour_is_refused(colour, opacity, words):
    with pytest.raises(ValueError, match=words):
        palette.tint(colour, opacity)
