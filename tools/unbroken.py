r"""Sphinx extension: a line does not end between a formula and the sign that belongs to it.

A browser takes the drawing of a formula for a picture, and breaks the line before the full stop behind it and after
the bracket before it. Here a formula in a text is put into one piece with such signs, and with the "-th" of "$n$-th".
"""

import re

from docutils import nodes

BEFORE = re.compile(r"[^\s\w]+$")
BEHIND = re.compile(r"^(?:-\w+|[^\s\w])+")


def signs(pattern: re.Pattern, text: nodes.Node | None) -> str:
    """What of a text beside a formula belongs to the formula.

    >>> signs(BEHIND, nodes.Text("-th, and so on")), signs(BEFORE, nodes.Text("a pair (")), signs(BEHIND, None)
    ('-th,', '(', '')
    """
    found = isinstance(text, nodes.Text) and pattern.search(text)
    return found[0] if found else ""


def join(app, doctree):
    """Put every formula with its signs into a span that style.css keeps on one line."""
    for math in list(doctree.findall(nodes.math)):
        parent, at = math.parent, math.parent.index(math)
        before, behind = (parent[i] if 0 <= i < len(parent) else None for i in (at - 1, at + 1))
        left, right = signs(BEFORE, before), signs(BEHIND, behind)
        if (left or right) and not isinstance(parent, nodes.title):
            if right:
                parent[at + 1] = nodes.Text(behind[len(right) :])
            whole = [nodes.Text(left)] * bool(left) + [math] + [nodes.Text(right)] * bool(right)
            parent[at] = nodes.inline("", "", *whole, classes=["unbroken"])
            if left:
                parent[at - 1] = nodes.Text(before[: -len(left)])


def setup(app):
    """Called by Sphinx."""
    app.connect("doctree-read", join)
    return {"env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
