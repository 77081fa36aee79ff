"""Chapter 11: what it costs to look something up: approximate search, memory, time.

Nothing is run here. The functions take numbers, measured or of a formula, and give what `lexviz.explore` takes.
"""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from lexviz.figures.parts import TENS, digits, line
from lexviz.palette import BLUE, GREEN, ORANGE, REFERENCE, VIOLET

# ---- search -----------------------------------------------------------------------------------------------------


class Searched(NamedTuple):
    """What an index did, at one setting of it."""

    looked: float  # vectors that it compared with a query, on average
    recall: float  # of the k best, how many it found


LOOKING = (
    ("exact", REFERENCE, "square"), ("HNSW", ORANGE, "circle"),
    ("lifted HNSW", GREEN, "star"), ("IVF", BLUE, "diamond"),
)  # fmt: skip


def search(found: dict[tuple[str, int], dict[str, Searched]]):
    """found[queries, number of landmarks][index and setting]; indexes are told apart by their first word."""

    def approximate_search(queries, landmarks):
        """What share of the four best landmarks an index finds, against how many landmarks it looks at for each query
        (logarithmic); every point is one setting. The exact search looks at all.

        HNSW walks through a graph of neighbours; the larger its list of candidates, ef, the farther. Lifted, it does so
        among vectors that have one more component, by which all become equally long. IVF has sorted the landmarks into
        cells and looks into the nearest ones, nprobe of them, after it has looked at the centres of all cells.
        """
        of = found[queries, landmarks]
        traces = []
        for family, colour, symbol in LOOKING:
            at = {name: one for name, one in of.items() if name.startswith(family)}
            x, y = (np.array([one[i] for one in at.values()]) for i in (0, 1))
            marker = {"color": colour, "size": 9, "symbol": symbol}
            told = {"text": list(at), "hovertemplate": "%{text}<br>%{x:,.0f} looked at: %{y:.2f}<extra></extra>"}
            traces.append(line(family, x, y, colour, mode="lines+markers", marker=marker) | told)
        layout = {
            "xaxis": {"type": "log", "title": "landmarks looked at", "range": np.log10([15, 20_000]).tolist()}
            | {"tickvals": [20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]},
            "yaxis": {"title": "of the four best, found", "range": [-0.03, 1.05], "dtick": 0.25},
            "height": 400,
        }
        enough = {name: one for name, one in of.items() if one.recall >= 0.9}
        least = min(enough, key=lambda name: enough[name].looked)
        share_of = of[least].looked / landmarks
        return go.Figure(traces, layout), [
            ("cheapest that finds 90%", f"{least.replace(' = ', '=')}, looks at {share_of:.0%}", "")
        ]

    return approximate_search


# ---- what it costs ----------------------------------------------------------------------------------------------


class Size(NamedTuple):
    """What decides the costs of a model's attention."""

    layers: int
    width: int  # all heads' components together
    bytes: int  # of a number
    block: int
    window: int  # tokens that a model without landmarks sees, where it reads in windows

    @property
    def token(self) -> int:
        """Bytes of a token's keys, in all layers; its values take as many."""
        return self.layers * self.width * self.bytes


SIZES = {"ours": Size(4, 128, 4, 15, 256), "LLaMA 7B": Size(32, 4096, 2, 50, 2048)}
DENSE, WINDOW, HERE, AWAY = "all at once", "window", "landmarks, all on the device", "landmarks, blocks elsewhere"
LOOKED, KEPT, MOVED = "keys looked at", "kept on the device", "moved for a token"


def cost(size: Size, name: str, quantity: str, n: int, k: int) -> float:
    """Of one new token after n others: keys that it looks at in a layer and head; bytes kept, or moved, in all.

    With landmarks, each finished block's one, k blocks, and at most an unfinished block. Blocks that lie elsewhere are
    moved for the token, those of each layer, with keys and values, for all heads.

    >>> cost(SIZES["ours"], DENSE, LOOKED, 32768, 4), cost(SIZES["ours"], AWAY, LOOKED, 32768, 4)
    (32768, 2257)
    """
    blocks, size_of_block = n // size.block, size.block + 1
    fetched = min(k, blocks) * size_of_block
    local = n % size.block + 1
    if name in (DENSE, WINDOW):
        seen = n if name == DENSE else min(n, size.window)
        return {LOOKED: seen, KEPT: 2 * seen * size.token, MOVED: 0}[quantity]
    everything = 2 * (n + blocks) * size.token
    here = everything if name == HERE else blocks * size.token + 2 * (fetched + local) * size.token
    moved = 0 if name == HERE else 2 * fetched * size.token
    return {LOOKED: blocks + fetched + local, KEPT: here, MOVED: moved}[quantity]


LENGTHS = tuple(2**e for e in range(8, 21))
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes"))


def cost_and_memory(model, quantity, k):
    """What one new token needs after a text of a given length: keys that a head looks at, bytes that have to lie on the
    device, bytes that have to be moved there. By formula; both axes are logarithmic.

    Ours has 4 layers, 4 heads of 32 components, numbers of four bytes and blocks of 15; LLaMA 7B has 32 layers, 32
    heads of 128, numbers of two bytes and blocks of 50, as in the landmark paper. The window is as long as training
    was. Every head fetches k blocks of its own. With landmarks and all blocks on the device nothing is moved, and a
    little more is kept than without landmarks.
    """
    size = SIZES[model]
    looks = {DENSE: (REFERENCE, "dot"), WINDOW: (BLUE, "dash"), HERE: (VIOLET, "dashdot"), AWAY: (ORANGE, "solid")}
    traces, said = [], []
    for name, (colour, dash) in looks.items():
        y = np.array([cost(size, name, quantity, n, k) for n in LENGTHS], dtype=float)
        y[y == 0] = np.nan  # nothing is moved: there is no such place on the axis
        traces.append(line(name, np.array(LENGTHS), y, colour, dash, 2.2, "%{x:,} tokens: %{y:.3s}"))
        said.append((f"at 32,768 tokens, {name}", _amount(cost(size, name, quantity, 32768, k), quantity), ""))
    ticks = [256, 2048, 16384, 131072, 1048576]
    layout = {
        "xaxis": {"type": "log", "title": "tokens before it", "tickvals": ticks}
        | {"ticktext": ["256", "2k", "16k", "128k", "1M"], "range": np.log10([220, 1_250_000]).tolist()},
        "yaxis": {**TENS, "title": quantity + (", bytes" if quantity != LOOKED else "")},
        "height": 430,
    }
    return go.Figure(traces, layout), said


def _amount(value: float, quantity: str) -> str:
    """A number as one reads it.

    >>> _amount(17179869184, KEPT), _amount(32768, LOOKED), _amount(0, MOVED)
    ('17.2 GB', '32,768', 'nothing')
    """
    if quantity == LOOKED:
        return f"{value:,.0f}"
    if not value:
        return "nothing"
    scale, unit = next((scale, unit) for scale, unit in UNITS if value >= scale)
    return f"{value / scale:.3g} {unit}"


def times(recorded: dict):
    """The measured part, of what `python -m benchmarks --record` wrote."""

    def time_for_a_token(sizes, show):
        """The time that attention of one new token takes after a text of a given length, in one layer, as measured on a
        CPU, or how many times as fast as all at once it is; both axes are logarithmic.

        Dense attention is torch's own, over keys that lie ready; the window sees 256 tokens. Landmarks have blocks of
        50, of which 4 are fetched for each head. To search, to fetch and to turn keys takes several steps for which
        torch has one: where there is little to save, that costs more than it saves.
        """
        rows = [row for row in recorded["decoding"] if f"{row['heads']} heads of {row['head_dim']}" == sizes]
        by_name = {}
        for row in rows:
            by_name.setdefault(row["name"], {})[row["length"]] = row["seconds"]
        dense, traces, said = by_name[DENSE], [], []
        for name, colour, dash in ((DENSE, REFERENCE, "dot"), (WINDOW, BLUE, "dash"), ("landmarks", ORANGE, "solid")):
            of = by_name[name]
            x = np.array(sorted(of))
            y = np.array([of[n] if show == "time" else dense[n] / of[n] for n in x])
            traces.append(line(name, x, y, colour, dash, hover="%{x:,} tokens: %{y:.3s}", mode="lines+markers"))
            if name != DENSE:
                faster = digits(dense[x[-1]] / of[x[-1]], 2)
                said.append((f"at {x[-1]:,} tokens, {name}", f"{faster:g} times as fast as all at once", ""))
        layout = {
            "xaxis": {"type": "log", "title": "tokens before it", "tickvals": [1024, 4096, 16384, 65536]}
            | {"ticktext": ["1k", "4k", "16k", "64k"]},
            "yaxis": {**TENS, "title": "seconds" if show == "time" else "times as fast"},
            "height": 400,
        }
        return go.Figure(traces, layout), said

    return time_for_a_token
