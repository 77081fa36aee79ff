"""One colour for each position encoding, the same in every figure of the book, and a few for other roles.

Each colour stands out from white and from the dark page alike (contrast at least 3:1), so that a figure needs only one
set. That leaves little room for light and dark, by which colour-blind readers tell most colours apart: these stay
distinct in simulated red and green blindness as well, and a line's dashes say the same once more.
"""

ORANGE, BLUE, GREEN, RED = "#c8590a", "#2369b3", "#4f9d6d", "#c70e36"
LILAC, CYAN, VIOLET = "#8083f8", "#0e9ebb", "#8a1fff"
ENCODING = {
    "RoPE": ORANGE,
    "XPos": BLUE,
    "ALiBi": GREEN,
    "Sinusoidal": RED,
    "Learned": LILAC,
    "T5": CYAN,
    "Shaw": VIOLET,
    "NoPosition": "#6b6f76",
}
DASH = {
    "RoPE": "solid",
    "XPos": "solid",
    "ALiBi": "dash",
    "Sinusoidal": "dot",
    "Learned": "dashdot",
    "T5": "longdash",
    "Shaw": "longdashdot",
    "NoPosition": "dot",
}
LIMIT = "#d45fa6"  # what a number format or a trained length does not reach past
REFERENCE = "#8f9299"  # what the coloured lines are to be compared with
