"""Sphinx extension: all that a page needs comes from files in the site, none of it from another host.

Mathematics and plots are drawn by scripts that the environment holds already; they are copied beside the pages and
are not in git. Every .css and .js of book/_static is put on every page, as Jupyter Book does with a _static of its own.
"""

import hashlib
import importlib.util
import pathlib
import shutil

ROOT = pathlib.Path(__file__).resolve().parent.parent
OWN = ROOT / "book" / "_static"
EXTRA = ROOT / "book" / "extra"  # copied as it is to the top of the site
TEMPLATES = ROOT / "tools" / "templates"

# sphinx-mathjax-offline carries all of MathJax, 24 MB. The site needs two of its files: the build that draws AMS TeX
# in SVG, which needs no fonts, and what speaks to screen readers. A macro beyond AMS would ask for a third file, and
# tests/test_site.py would say so. No page names plotly.min.js: explore.js loads it where there is a figure, once.
FILES = {
    "mathjax/tex-svg.js": ("sphinx-mathjax-offline", "static/mathjax/tex-svg.js"),
    "mathjax/a11y/assistive-mml.js": ("sphinx-mathjax-offline", "static/mathjax/a11y/assistive-mml.js"),
    "plotly.min.js": ("plotly", "package_data/plotly.min.js"),
}


def settings(app, config):
    """Where Sphinx finds the book's own style and script, and its page layout; all pages are written anew for them."""
    config.templates_path.append(str(TEMPLATES))
    files = sorted(path for folder in (OWN, EXTRA, TEMPLATES) for path in folder.rglob("*.*"))
    config.pages_are_made_with = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()
    if OWN.is_dir():
        config.html_static_path.append(str(OWN))
    config.html_extra_path.append(str(EXTRA))


def copy(app):
    """Put the packages' files into the site, before the first page names one."""
    if app.builder.format != "html":
        return
    for name, (package, path) in FILES.items():
        target = pathlib.Path(app.outdir, "_static", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pathlib.Path(importlib.util.find_spec(package).origin).parent / path, target)


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
