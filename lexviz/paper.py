"""What the LEX paper reports, as data, to be read beside our own numbers. Perplexities, except for Table 3.

The paper's names are "Transformer" (sinusoidal), "Roformer" (RoPE) and "LEX" (XPos, with blockwise causal attention
beyond the training length of 1024). BCA is blockwise causal attention. Appendix A says what Table 2 compares with what.
"""

LENGTHS = (256, 512, 1024, 2048, 4096)  # of the tables' columns, in tokens

TABLE_2 = {  # arXiv, trained at 1024
    "Sinusoidal": (46.34, 36.39, 29.94, 132.63, 1283.79),
    "ALiBi": (37.66, 29.92, 24.99, 23.14, 24.26),
    "RoPE": (38.09, 30.38, 25.52, 73.6, 294.45),
    "LEX": (34.3, 27.55, 23.31, 21.6, 20.73),
}

TABLE_3 = {  # resolution, averaged over layers, at 1024 and 2048
    "Sinusoidal": (0.87, 0.28),
    "ALiBi": (0.81, 0.88),
    "RoPE": (0.91, 0.08),
    "LEX": (0.98, 1.08),
    "LEX without BCA": (0.98, 0.54),
}

TABLE_4 = {"RoPE": 17.74, "XPos": 17.54, "XPos without rotation": 33.68}  # validation set, at 1024

TABLE_5 = {  # arXiv, at 2048 and 4096
    "RoPE": (73.6, 294.45),
    "RoPE + BCA": (25.57, 25.65),
    "ALiBi": (23.14, 24.26),
    "ALiBi + BCA": (24.6, 25.37),
    "XPos": (22.56, 28.43),
    "XPos + BCA": (21.6, 20.73),
}
