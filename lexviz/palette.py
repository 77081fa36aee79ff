"""The colours of the book's figures, by name: one for each position encoding, the same everywhere, and a few roles.

Each colour of a line stands out from white and from the dark page alike (contrast at least 3:1), so that a figure needs
only one set. That leaves little room for light and dark, by which colour-blind readers tell most colours apart: those
of the encodings stay distinct in simulated red and green blindness as well, and a line's dashes say the same once more.
"""

import re

ORANGE = "#c8590a"  # RoPE; in a map, what is largest or chosen
BLUE = "#2369b3"  # XPos; in a map, what is seen
GREEN = "#4f9d6d"  # ALiBi
RED = "#c70e36"  # Sinusoidal
LILAC = "#8083f8"  # Learned
CYAN = "#0e9ebb"  # T5
VIOLET = "#8a1fff"  # Shaw
SLATE = "#6b6f76"  # no position encoding
PINK = "#d45fa6"  # what is pointed at
GREY = "#8f9299"  # what stands beside the coloured
MAUVE = "#7d6a8e"  # between blue and orange, in the scale of weights
FRAME = "#767c86"  # axes and text; the page's style (explore.css) puts the page's own colours in its place
PALE = "#dcdee2"  # a ground of cells, light on a dark page too
SKY = "#6ea3e0"  # another
INK = "#16181c"  # text on these

LIMIT = PINK  # what a number format or a trained length does not reach past
REFERENCE = GREY  # what the coloured lines are to be compared with
ENCODING = {  # the colour of an encoding, the same in every figure
    "RoPE": ORANGE,
    "XPos": BLUE,
    "ALiBi": GREEN,
    "Sinusoidal": RED,
    "Learned": LILAC,
    "T5": CYAN,
    "Shaw": VIOLET,
    "NoPosition": SLATE,
}
DASH = {  # and how its line is dashed
    "RoPE": "solid",
    "XPos": "solid",
    "ALiBi": "dash",
    "Sinusoidal": "dot",
    "Learned": "dashdot",
    "T5": "longdash",
    "Shaw": "longdashdot",
    "NoPosition": "dot",
}


def tint(colour: str, opacity: float) -> str:
    """A colour through which the page shines, light or dark.

    >>> tint(BLUE, 0.5)
    'rgba(35,105,179,0.5)'
    """
    if not re.fullmatch("#[0-9a-fA-F]{6}", str(colour)):
        raise ValueError(f"colour is {colour!r}; it must be written as in {BLUE!r}")
    if not isinstance(opacity, int | float) or not 0 <= opacity <= 1:
        raise ValueError(f"opacity is {opacity!r}; it must be from 0 to 1")
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


FAINT = tint(GREY, 0.25)  # lines of a grid
BLANK = tint(GREY, 0.1)  # a cell that is there, and empty
CLEAR = "rgba(0,0,0,0)"  # the page alone
