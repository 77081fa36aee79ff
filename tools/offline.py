"""Sphinx extension: all that a page needs comes from files in the site, none of it from another host.

Plots are drawn by a script that the environment holds already; it is copied beside the pages and is not in git. No page
names it: explore.js loads it where there is a figure, once. Formulas need no script (tools/formulas.py). Every .css and
.js of book/_static is put on every page, as Jupyter Book does with a _static of its own.
"""

import hashlib
import importlib.util
import pathlib
import shutil

ROOT = pathlib.Path(__file__).resolve().parent.parent
OWN = ROOT / "book" / "_static"
EXTRA = ROOT / "book" / "extra"  # copied as it is to the top of the site
TEMPLATES = ROOT / "tools" / "templates"

PLOTLY = pathlib.Path(importlib.util.find_spec("plotly").origin).parent / "package_data" / "plotly.min.js"


def settings(app, config):
    """Where Sphinx finds the book's own style and script, and its page layout; all pages are written anew for them."""
    config.templates_path.append(str(TEMPLATES))
    files = sorted(path for folder in (OWN, EXTRA, TEMPLATES) for path in folder.rglob("*.*"))
    config.pages_are_made_with = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()
    if OWN.is_dir():
        config.html_static_path.append(str(OWN))
    config.html_extra_path.append(str(EXTRA))


def copy(app):
    """Put plotly into the site."""
    if app.builder.format == "html":
        target = pathlib.Path(app.outdir, "_static", PLOTLY.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PLOTLY, target)


def setup(app):
    """Called by Sphinx."""
    app.add_config_value("pages_are_made_with", "", rebuild="html", types=[str])
    app.connect("config-inited", settings)
    app.connect("builder-inited", copy)
    for path in sorted(OWN.glob("*.css")):
        app.add_css_file(path.name, priority=900)  # after the theme's, so that it has the last word
    for path in sorted(OWN.glob("*.js")):
        app.add_js_file(path.name, priority=900, loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
