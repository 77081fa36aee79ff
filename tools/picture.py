"""Draw the picture on the first page: what XPos changes, and what blockwise causal attention sees.

SVG written by hand: sharp, small, and it follows the reader's light or dark theme.
"""

import pathlib

import numpy as np

from lexviz import masks, theory

PICTURE = pathlib.Path(__file__).resolve().parent.parent / "book" / "images" / "extrapolation.svg"
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #3d4451 }
  .title { font-weight: 600; font-size: 14px; fill: #1b1f26 }
  .card { fill: #fff } .axis { stroke: #9aa1ac; fill: none } .beyond { fill: #9aa1ac; opacity: .14 }
  .rope { stroke: #c2570c; fill: none; stroke-width: 1.4 } .rope-text { fill: #b04d08 }
  .xpos { stroke: #1f66b0; fill: none; stroke-width: 2.2 } .xpos-text { fill: #1f66b0 }
  .own { fill: #1f66b0 } .last { fill: #7fb2e5 } .none { fill: #9aa1ac; opacity: .16 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #14181e } text { fill: #b9c0cb } .title { fill: #eef1f5 }
    .rope { stroke: #f0975a } .rope-text { fill: #f0975a } .xpos { stroke: #72b1f2 } .xpos-text { fill: #72b1f2 }
    .own { fill: #72b1f2 } .last { fill: #2f6299 }
  }
"""


def curve(scores, kind, x, y):
    """A polyline of scores over distances; x and y map numbers to the picture."""
    points = " ".join(f"{x(n):.1f},{y(s):.1f}" for n, s in scores)
    return f'<polyline class="{kind}" points="{points}"/>'


def draw() -> str:
    """The whole picture as SVG."""
    distance = np.arange(0, 4097, 16)
    x = lambda n: 40 + n * 400 / 4096  # noqa: E731 (two maps, used once each, beside the numbers they map)
    y = lambda s: 170 - s * 120 / 32  # noqa: E731
    parts = [
        '<rect class="card" width="100%" height="100%" rx="6"/>',  # its own ground: any page theme may be around it
        '<text class="title" x="40" y="24">Expected attention score by distance</text>',
        f'<rect class="beyond" x="{x(1024)}" y="40" width="{x(4096) - x(1024)}" height="210"/>',
        f'<text x="{x(1024) + 8}" y="56">beyond a training length of 1,024</text>',
        f'<path class="axis" d="M40 40 V250 M40 {y(0)} H440"/>',
        curve(zip(distance, theory.expected_score(distance, 64, None), strict=True), "rope", x, y),
        curve(zip(distance, theory.expected_score(distance, 64), strict=True), "xpos", x, y),
        '<text class="rope-text" x="240" y="232">RoPE oscillates</text>',
        '<text class="xpos-text" x="240" y="112">XPos fades</text>',
        *(f'<text x="{x(n)}" y="270" text-anchor="middle">{n:,}</text>' for n in (0, 1024, 2048, 3072, 4096)),
        '<text class="title" x="500" y="24">Blockwise causal attention</text>',
    ]
    n, block, cell = 16, 4, 13
    allowed = masks.dense(masks.block_causal(block), n)
    for i in range(n):
        for j in range(n):
            kind = ("own" if i // block == j // block else "last") if allowed[i, j] else "none"
            place = f'x="{500 + j * cell}" y="{42 + i * cell}"'
            parts.append(f'<rect class="{kind}" {place} width="{cell - 1}" height="{cell - 1}"/>')
    parts.append('<text x="500" y="270">a row for each token: what it sees</text>')
    body = "\n  ".join(parts)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 285" role="img" '
        'aria-label="Left: with distance, the expected score of RoPE keeps oscillating, that of XPos fades. '
        'Right: each token sees its own block and the one before.">\n'
        f"  <style>{STYLE}  </style>\n  {body}\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(), encoding="utf-8")
