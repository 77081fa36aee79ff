"""A figure as a page holds it: all states packed, only what differs, equal arrays once; and the HTML around them.

`leaves` takes a state apart into leaves (an array, a name, a range ...), each at a path such as data/0/y. `pack` keeps,
for every path whose leaf is not the same in all states, the different leaves, and a column that says which state has
which. Arrays become whole numbers between their own least and greatest value: exact for whole numbers that fit 16 bits,
one of 2,047 levels otherwise, off by at most 1/4,092 of their range: a tenth of a pixel where a plot is 400 high. Finer
levels would be noise that nobody sees and gzip cannot compress. On logarithmic axes this is done to the logarithms.
Arrays that are not drawn along an axis (customdata, tick values, sizes) stay exact, in 64 bits.

    packed = gzip(length of the head, 4 bytes | head, JSON | the arrays, one after the other)
    head   = {"paths": [[path, leaves, column], ...], "arrays": [[bits, start, count, columns, least, step, log], ...]}

A column is the number of an array; a leaf that is an array is {"array": number}, one that a state does not have, null.
The highest code of an array, 255 or 65,535, is a gap (nan). Of 16 bits all lower bytes come first, then all higher,
which compress better apart. book/_static/explore.js does the reverse.
"""

import base64
import gzip
import html
import json
import math
import struct

import numpy as np

# where a string is no text to show: kinds, axes, templates
NOT_TEXT = (
    "hovertemplate",
    "texttemplate",
    "mode",
    "type",
    "hoverinfo",
    "visible",
    "xaxis",
    "yaxis",
    "fill",
    "template",
)


def as_text(part, key=""):
    """A figure's JSON whose texts plotly shows as they are: it reads a little HTML, and data must not be read so.

    >>> as_text({"name": "a < b", "hovertemplate": "<b>%{y}</b>"})
    {'name': 'a &lt; b', 'hovertemplate': '<b>%{y}</b>'}
    """
    if isinstance(part, dict):
        return {name: as_text(value, name) for name, value in part.items() if name != "template"}
    if isinstance(part, list | tuple):
        return [as_text(value, key) for value in part]
    if isinstance(part, np.ndarray) and part.dtype.kind in "OU":
        return as_text(part.tolist(), key)
    if isinstance(part, str) and key not in NOT_TEXT:
        return part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return part


def leaves(figure, readouts) -> dict[tuple, object]:
    """{path: leaf} of one state; arrays are numpy arrays, lists of shapes or annotations are one leaf.

    >>> import plotly.graph_objects as go
    >>> found = leaves(go.Figure(go.Scatter(y=[1.0, 2.0, 4.0], name="line")), [("end", "4")])
    >>> list(found), found["data", 0, "y"]
    ([('readouts', 0), ('data', 0, 'name'), ('data', 0, 'y'), ('data', 0, 'type')], array([1., 2., 4.]))
    """
    found = {("readouts", row): text for row, (_, text) in enumerate(readouts)}

    def take(path, part):
        if isinstance(part, dict) and part and path != ("layout", "template"):
            for name, value in part.items():
                take((*path, name), value)
        elif path != ("layout", "template"):
            found[path] = _numbers(part)

    for index, trace in enumerate(figure.data):
        take(("data", index), trace.to_plotly_json())
    take(("layout",), figure.layout.to_plotly_json())
    return found


def _numbers(part):
    """A numpy array where `part` is a row or a table of more than two numbers; else plain JSON, with None for nan."""
    if isinstance(part, np.ndarray) and part.dtype.kind not in "biuf":
        part = part.tolist()
    if isinstance(part, list | tuple) and len(part) > 2 and not isinstance(part[0], dict | str):
        rows = [[np.nan if v is None else v for v in row] if isinstance(row, list | tuple) else row for row in part]
        widths = {len(row) if isinstance(row, list | tuple | np.ndarray) else 0 for row in rows}
        array = np.array([np.nan if row is None else row for row in rows]) if len(widths) == 1 else np.array([""])
        part = array if array.dtype.kind in "biuf" else part
    if isinstance(part, np.ndarray) and part.size > 2:
        return part
    return _plain(part)


def _plain(part):
    if isinstance(part, np.ndarray | np.generic):
        part = part.tolist()
    if isinstance(part, dict):
        return {name: _plain(value) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [_plain(value) for value in part]
    return None if isinstance(part, float) and not math.isfinite(part) else part


class _Store:
    """Arrays as bytes, equal ones once."""

    def __init__(self):
        self.heads, self.bytes, self.numbers = [], bytearray(), {}

    def add(self, array: np.ndarray, log: bool = False, exact: bool = False) -> int:
        """The number under which the array is kept."""
        values = np.array(array, dtype=np.float64).ravel()
        finite = values[np.isfinite(values)]
        whole = np.array_equal(finite, np.round(finite)) and (not len(finite) or np.ptp(finite) < 65535)
        log = log and not whole
        if log:  # what is not positive has no place on the axis
            values = np.log10(values, where=values > 0, out=np.full(values.shape, np.nan))
            finite = values[np.isfinite(values)]
        least, most = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        bits = 8 if whole and most - least < 255 else 16 if whole or not exact else 64
        if bits == 64:
            least, step, raw = 0.0, 1.0, values.astype("<f8").tobytes()
        else:
            step = 1.0
            if not whole:  # seven digits will do for levels; seventeen would weigh more than the codes
                least, step = float(f"{least:.7g}"), float(f"{(most - least) / 2046:.7g}") or 1.0
            codes = np.round((np.where(np.isfinite(values), values, least) - least) / step).clip(0, 2**bits - 2)
            codes = np.where(np.isfinite(values), codes, 2**bits - 1)
            size = bits // 8
            raw = codes.astype(f"<u{size}").view("u1").reshape(-1, size).T.tobytes()  # low bytes, then high ones
        shape = (bits, len(values), array.shape[1] if array.ndim == 2 else 0, float(least), float(step), int(log))
        if (shape, raw) not in self.numbers:
            self.numbers[shape, raw] = len(self.heads)
            self.heads.append([bits, len(self.bytes), *shape[1:]])
            self.bytes += raw
        return self.numbers[shape, raw]


def pack(states: list[dict[tuple, object]]) -> bytes:
    """All states of a figure, from the `leaves` of each, as the bytes that a page carries.

    What does not differ between states is not kept:

    >>> def kept(states):
    ...     data = gzip.decompress(pack(states))
    ...     return json.loads(data[4 : 4 + struct.unpack("<I", data[:4])[0]])["paths"]
    >>> kept([{("title",): "x", ("data", 0, "name"): "a"}, {("title",): "x", ("data", 0, "name"): "b"}])
    [[['data', 0, 'name'], ['a', 'b'], 0]]
    """
    store, paths = _Store(), []
    for path in dict.fromkeys(path for state in states for path in state):
        different, column = {}, []
        for state in states:
            leaf = state.get(path)
            if isinstance(leaf, np.ndarray):
                leaf = {"array": store.add(leaf, _is_log(state, path), exact=path[-1] not in ("x", "y", "z"))}
            column.append(different.setdefault(json.dumps(leaf, allow_nan=False), len(different)))
        if len(different) > 1:
            paths.append([path, [json.loads(text) for text in different], store.add(np.array(column))])
    head = json.dumps({"paths": paths, "arrays": store.heads}, separators=(",", ":")).encode()
    return gzip.compress(struct.pack("<I", len(head)) + head + bytes(store.bytes), 9, mtime=0)


def _is_log(state: dict, path: tuple) -> bool:
    """Does this array lie along a logarithmic axis?"""
    if len(path) != 3 or path[0] != "data" or path[2] not in ("x", "y"):
        return False
    axis = state.get((*path[:2], f"{path[2]}axis"), path[2])  # "x", "x2", ...
    return state.get(("layout", f"{path[2]}axis{axis[1:]}", "type")) == "log"


def _first(figure) -> str:
    """The first state as JSON for plotly.js, arrays in base64 of the smallest type that holds them."""

    def encode(part):
        if isinstance(part, dict):
            return {name: encode(value) for name, value in part.items()}
        if isinstance(part, list | tuple) and part and isinstance(part[0], dict):
            return [encode(value) for value in part]
        part = _numbers(part)
        if not isinstance(part, np.ndarray):
            return part
        array = part.astype(_smallest_type(part))
        spec = {"dtype": array.dtype.str.lstrip("<|="), "bdata": base64.b64encode(array.tobytes()).decode()}
        return {**spec, "shape": ", ".join(map(str, array.shape))} if array.ndim == 2 else spec

    traces, layout = [trace.to_plotly_json() for trace in figure.data], figure.layout.to_plotly_json()
    return json.dumps({"data": encode(traces), "layout": encode(layout)}, separators=(",", ":"), allow_nan=False)


def _smallest_type(array: np.ndarray) -> np.dtype:
    """Whole numbers exactly; others in four bytes where that moves none visibly or to 0, else in eight."""
    finite = array[np.isfinite(array)].astype(np.float64)
    if not len(finite):
        return np.dtype("<f4")
    if len(finite) == array.size and np.array_equal(finite, np.round(finite)) and np.abs(finite).max() < 2**31:
        low, high = np.min_scalar_type(int(finite.min())), np.min_scalar_type(int(finite.max()))
        return np.promote_types(low, high).newbyteorder("<")
    with np.errstate(over="ignore", under="ignore"):
        short = finite.astype("f4").astype("f8")
    moved = np.abs(short - finite).max() > np.ptp(finite) / 8192 or np.any((short == 0) != (finite == 0))
    return np.dtype("<f8" if moved else "<f4")


def summary(trace) -> str:
    """A trace in a few numbers, the same on every machine.

    >>> import plotly.graph_objects as go
    >>> summary(go.Scatter(x=[1, 2, 3], y=[0.5, 0.25, 0.125]))
    'x 3 numbers from 1 to 3, y 3 numbers from 0.125 to 0.5'
    """
    said = []
    for name in ("x", "y", "z"):
        array = np.asarray(trace[name] if name in trace and trace[name] is not None else ())
        if array.size and array.dtype.kind in "biuf":
            size = " x ".join(map(str, array.shape))
            said.append(f"{name} {size} numbers from {np.nanmin(array):.3g} to {np.nanmax(array):.3g}")
    return ", ".join(said) or "no numbers"


def now(figure, readouts) -> str:
    """The first state in words, as explore.js says the others.

    >>> from lexviz.explore import choice, explore
    >>> def line(slope):
    ...     'A line through the origin.'
    >>> now(explore(line, slope=choice(1, 2)), [("end", "1")])
    'slope 1; end 1'
    """
    controls = [f"{control.label or name} {control.text(control.value)}" for name, control in figure.controls.items()]
    return "; ".join([*controls, *(f"{name} {text}" for name, text in readouts)])


def render(figure, plot, readouts, packed: bytes) -> str:
    """The HTML of an explore figure: controls, plot, read-outs, caption, and inert data for explore.js."""
    name, says = f"lex-{figure.id}", html.escape(f"Plot: {now(figure, readouts)}")
    rows = "".join(f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd></div>" for name, text in readouts)
    controls = "".join(_control(figure.id, name, control) for name, control in figure.controls.items())
    first = _first(plot).replace("<", "\\u003c")  # no text in it may end the script
    height = plot.layout.height or plot.layout.template.layout.height
    return f"""<figure class="lex" id="{name}" data-figure="{figure.id}" aria-labelledby="{name}-caption">
<div class="lex-controls" role="group" aria-label="Controls of this figure">{controls}
<span class="lex-buttons"><button type="button" class="lex-reset">Reset</button>
<button type="button" class="lex-link">Copy link</button></span></div>
<div class="lex-plot" role="img" aria-label="{says}" aria-describedby="{name}-description"
style="min-height:{height:.0f}px"></div>
<dl class="lex-readouts">{rows}</dl>
<p class="lex-status" role="status"></p>
<p class="lex-description" id="{name}-description">{html.escape(figure.description)}</p>
<figcaption><span id="{name}-caption">{html.escape(figure.caption)}</span>
<a class="headerlink" href="#{name}" title="Link to this figure">#</a></figcaption>
<script type="application/json" class="lex-first">{first}</script>
<script type="text/plain" class="lex-states">{base64.b64encode(packed).decode()}</script>
</figure>"""


def _control(figure_id: str, name: str, control) -> str:
    """A native control with its label; texts of all values ride along, so that the script formats nothing."""
    place = f'id="lex-{figure_id}-{name}" data-control="{html.escape(name)}"'
    texts = html.escape(json.dumps([control.text(value) for value in control.values]))
    keys = html.escape(json.dumps([str(value) for value in control.values]))
    start = control.values.index(control.value)
    data = f'{place} data-texts="{texts}" data-keys="{keys}" data-start="{start}"'
    called = f"lex-{figure_id}-{name}-label"
    label = f'<label for="lex-{figure_id}-{name}" id="{called}">{html.escape(control.label or name)}</label>'
    if control.kind == "toggle":
        return f'<span class="lex-control">{label}<input type="checkbox" {data}{" checked" * start}></span>'
    if control.kind == "choice":
        options = "".join(
            f'<option value="{i}"{" selected" * (i == start)}>{html.escape(control.text(value))}</option>'
            for i, value in enumerate(control.values)
        )
        return f'<span class="lex-control">{label}<select {data}>{options}</select></span>'
    shown = html.escape(control.text(control.value))
    bar = (
        f'<input type="range" min="0" max="{len(control.values) - 1}" value="{start}" aria-valuetext="{shown}" {data}>'
    )
    # The slider says its value itself; an output, live by its nature, would say it again at every step.
    value = f'<output aria-live="off">{shown}</output>'
    run = f"lex-{figure_id}-{name}-play"  # listeners hear what the button says, Play or Pause, and what it plays
    run = f'<button type="button" class="lex-play" id="{run}" aria-labelledby="{run} {called}">Play</button>'
    return f'<span class="lex-control">{label}{bar}{value}{run * (control.kind == "play")}</span>'
