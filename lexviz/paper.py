"""What the two papers report, as data, to be read beside our own numbers. Perplexities, except for Table 3.

The paper's names are "Transformer" (sinusoidal), "Roformer" (RoPE) and "LEX" (XPos, with blockwise causal attention
beyond the training length of 1024). BCA is blockwise causal attention. Appendix A says what Table 2 compares with what.

The landmark paper's (second version) models were trained at 512 tokens, with blocks of 50.
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

LANDMARKS = {  # evaluated at, what a query sees: PG-19, arXiv; k of so many cached blocks, and the local tokens
    (512, "512 tokens, no landmarks"): (16.12, 4.01),
    (512, "360 tokens, no landmarks"): (16.76, 4.31),
    (512, "k = 2 of 10, and 250 tokens"): (16.23, 4.01),
    (2048, "Transformer-XL, 256 + 256"): (14.72, None),
    (2048, "k = 2 of 40, and 250 tokens"): (15.14, 3.43),
    (2048, "k = 4 of 40, and 250 tokens"): (14.92, 3.35),
    (4096, "Transformer-XL, 256 + 256"): (14.55, None),
    (4096, "k = 4 of 40, and 250 tokens"): (14.79, 3.19),
    (4096, "k = 4 of 80, and 250 tokens"): (14.72, 3.18),
}

LANDMARKS_CHOSEN = {"head and token": 15.14, "head": 15.48, "token": 15.44}  # PG-19 at 2048, k = 2
