"""lexviz: how Transformers read past their training length, in code that is meant to be read.

Import the rooms that you need, from the ground floor up:

    from lexviz import theory      # numpy: angles, decays, expected score, resolution
    from lexviz import masks       # who may attend to whom
    from lexviz import positions   # RoPE, XPos, ALiBi and the others, behind three hooks
    from lexviz import attention   # attention whose cost follows its mask
    from lexviz import model       # a decoder that takes any encoding and any mask
    from lexviz import runs        # trained models and what was measured on them

`python -m lexviz` lists the commands: train, evaluate, runs.
"""
