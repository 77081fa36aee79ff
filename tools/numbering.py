"""Sphinx extension: the second exercise of chapter 3 is Exercise 3.2, wherever it is named.

Sphinx counts through the whole book, so that a new exercise in chapter 1 would rename all that follow.
"""

import copy
import re

TYPE = "exercise"


def chapter(page: str) -> str:
    """What the numbers of a page begin with: its chapter, or the letter of its appendix.

    >>> chapter("book/03-deriving-xpos"), chapter("book/appendix-d-teaching"), chapter("book/index")
    ('3', 'D', '')
    """
    found = re.search(r"(?:^|/)(?:0*(\d+)|appendix-(\w))-", page)
    return (found[1] or found[2].upper()) if found else ""


def restore(app, env):
    """Give Sphinx the numbers back that it counted last time: it compares, and writes pages anew that have others."""
    env.toc_fignumbers = getattr(env, "counted_through", env.toc_fignumbers)
    return []


def renumber(app, env):
    """Count each chapter's exercises by themselves."""
    env.counted_through = copy.deepcopy(env.toc_fignumbers)
    for page, kinds in env.toc_fignumbers.items():
        if chapter(page):
            for place, anchor in enumerate(kinds.get(TYPE, {}), 1):
                kinds[TYPE][anchor] = (chapter(page), place)
    return []


def setup(app):
    """Called by Sphinx."""
    app.connect("env-get-updated", restore, priority=400)  # before Sphinx counts, and after
    app.connect("env-get-updated", renumber, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
