"""One colour for each position encoding, the same in every figure of the book, and a few for other roles.

Each colour stands out from white and from the dark page alike (contrast at least 3:1), so that a figure needs only one
set. That leaves little room for light and dark, by which colour-blind readers tell most colours apart: these stay
distinct in simulated red and green blindness as well, and a line's dashes say the same once more.
"""

ENCODING = {
    "RoPE": "#c8590a",
    "XPos": "#2369b3",
    "ALiBi": "#4f9d6d",
    "Sinusoidal": "#c70e36",
    "Learned": "#8083f8",
    "T5": "#0e9ebb",
    "Shaw": "#8a1fff",
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
