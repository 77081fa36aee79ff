"""Sphinx extension: mathematics from files in the site, not from another host.

The package sphinx-mathjax-offline carries all of MathJax, 24 MB. The site needs two of its files: the build that
draws in SVG with every TeX extension inside, which needs no fonts, and what it loads to speak to screen readers.
"""

import importlib.util
import pathlib
import shutil

FILES = ("tex-svg-full.js", "a11y/assistive-mml.js")


def copy(app, exception):
    """Put the files beside the pages once these are written."""
    if exception or app.builder.format != "html":
        return
    package = pathlib.Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    for name in FILES:
        target = pathlib.Path(app.outdir, "_static", "mathjax", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / "static" / "mathjax" / name, target)


def setup(app):
    """Called by Sphinx."""
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
