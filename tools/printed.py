"""Sphinx extension: a page shows what a cell prints line by line, as the cell printed it.

The kernel sends text every fifth of a second. MyST-NB ends each such piece with a line break when it puts them
together, so that a row of a table would be cut wherever the computing takes a while.
"""

from myst_nb.core import render

import notebooks


def setup(app):
    """Called by Sphinx."""
    render.coalesce_streams = notebooks.merge_streams  # what nb_merge_streams calls
    # Pages that were read without this extension are read again.
    return {"env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
