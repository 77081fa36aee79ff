"""Sphinx's settings for the slides (see tools/slides.py): no host but this one, formulas and figures as in the book."""

import pathlib
import sys

from docutils import nodes
from sphinx.writers.html5 import HTML5Translator
from sphinx_revealjs._ext.notes import revealjs_notes

TOOLS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOOLS))
import offline  # noqa: E402

project = "Reading past the training length"
language = "en"
extensions = ["myst_parser", "formulas", "sphinx_revealjs"]
myst_enable_extensions = ["colon_fence", "dollarmath", "amsmath"]
exclude_patterns = [".doctrees"]
pygments_style = "a11y-light"
smartquotes = False
html_copy_source = False
templates_path = ["templates"]

html_math_renderer = "drawn"

revealjs_html_theme = "revealjs-simple"
revealjs_style_theme = "slides.css"
revealjs_static_path = ["static", "../../book/_static/explore.js", "../../book/_static/explore.css",
                        "../../book/_static/formulas.css"]  # fmt: skip
revealjs_css_files = ["explore.css", "formulas.css"]
revealjs_js_files = [("explore.js", {"defer": "defer"}), ("slides.js", {"defer": "defer"})]
revealjs_script_plugins = [{"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"}]
revealjs_script_conf = {
    **{"width": 1280, "height": 720, "margin": 0, "minScale": 0.2, "maxScale": 4, "center": False, "display": "flex"},
    **{"transition": "none", "slideNumber": "c/t", "controlsTutorial": False, "controlsBackArrows": "visible"},
    **{"hash": False, "respondToHashChanges": False},  # slides.js knows more addresses than reveal.js
}


def open_notes(writer, node):
    """The speaker's notes with their formulas and lists; sphinx-revealjs leaves only their letters."""
    writer.body.append('<aside class="notes">')


def close_notes(writer, node):
    """End them."""
    writer.body.append("</aside>")


def setup(app):
    """Called by Sphinx."""
    app.connect("builder-inited", offline.copy)
    app.add_node(revealjs_notes, override=True, revealjs=(open_notes, close_notes))
    # code in the book's colours, put there now and not by a script
    literal = (HTML5Translator.visit_literal_block, HTML5Translator.depart_literal_block)
    app.add_node(nodes.literal_block, override=True, revealjs=literal)
