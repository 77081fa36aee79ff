r"""Sphinx extension: formulas are drawn when the page is written, so that a reader's browser has nothing left to do.

MathJax draws them, in V8 without a browser, as it would on the page: as SVG, which needs no fonts, with MathML beside
it for those who listen. A page is complete before any script runs and never jumps as formulas appear; a formula that
MathJax does not understand fails the build.
"""

import atexit
import functools
import hashlib
import html
import importlib.util
import pathlib
import re

from docutils import nodes
from myst_parser.sphinx_ext.mathjax import html_visit_displaymath
from py_mini_racer import MiniRacer
from sphinx.ext.mathjax import html_visit_math
from sphinx.util import logging

FILES = pathlib.Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
# AMS TeX and no more: all that JupyterLab, where the notebooks are read as well, is sure to understand.
PARTS = ["startup", "core", "adaptors/liteDOM", "input/tex-base", "input/tex/extensions/ams", "output/svg",
         "output/svg/fonts/tex"]  # fmt: skip
PROGRAM = """
const { adaptors, core, handlers, input, mathjax, output } = MathJax._;
const adaptor = adaptors.liteAdaptor.liteAdaptor();
handlers.html_ts.RegisterHTMLHandler(adaptor);
const page = mathjax.mathjax.document("", {
  InputJax: new input.tex_ts.TeX({ packages: ["base", "ams"] }),
  // letters are drawn where they stand: what compresses a page does better than references from one to the other
  OutputJax: new output.svg_ts.SVG({ fontCache: "none", font: new output.svg.fonts.tex_ts.TeXFont() }),
});
const writer = new core.MmlTree.SerializedMmlVisitor.SerializedMmlVisitor();
const draw = (text, display) => [
  adaptor.innerHTML(page.convert(text, { display })),
  writer.visitTree(page.convert(text, { display, end: core.MathItem.STATE.CONVERT })),
];
"""
WORDS = re.compile(r'(<div class="lex-words mathjax_process">)(.*?)(</div>)', re.DOTALL)  # lexviz.exercises.questions
MARKED = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)


@functools.cache
def engine() -> MiniRacer:
    """V8 with MathJax in it, started when the first formula is drawn."""
    v8 = MiniRacer()
    atexit.register(v8.close)  # left open, it would keep Python from ending
    v8.eval("globalThis.MathJax = { startup: { typeset: false } }")
    for part in PARTS:
        v8.eval((FILES / f"{part}.js").read_text(encoding="utf-8"))
    v8.eval(PROGRAM)
    return v8


@functools.cache
def drawn(tex: str, display: bool = False) -> str:
    r"""A formula as HTML, in its line or set apart.

    >>> page = drawn(r"\zeta^{n}")
    >>> page[:28], page.count("<path"), re.sub(r"\s", "", page[page.index("<msup") : page.index("</math")])
    ('<mjx-container class="MathJa', 2, '<msup><mi>&#x3B6;</mi><mrow><mi>n</mi></mrow></msup>')
    >>> drawn(r"\zetta")
    Traceback (most recent call last):
    ValueError: MathJax does not understand \zetta: Undefined control sequence \zetta
    """
    svg, mathml = engine().call("draw", tex, display)
    if error := re.search(r'<merror data-mjx-error="([^"]*)"', mathml):
        raise ValueError(f"MathJax does not understand {tex}: {html.unescape(error[1])}")
    svg = svg.replace(' role="img" focusable="false"', ' aria-hidden="true"', 1)
    mathml = re.sub(r"(?<=>)\n\s*|\s(?:data-mjx|class)[\w-]*=\"[^\"]*\"", "", mathml)
    kind = ' display="true"' if display else ""
    return (
        f'<mjx-container class="MathJax" jax="SVG"{kind}>{svg}<mjx-assistive-mml>{mathml}</mjx-assistive-mml>'
        "</mjx-container>"
    )


def fill(page: str) -> str:
    r"""HTML with the formulas drawn that it has between \( and \), or between \[ and \]."""

    def draw(formula):
        inline, display = formula.groups()
        return drawn(html.unescape(inline or display).strip(), bool(display))

    return MARKED.sub(draw, page)


def filled(visit):
    """A visitor that writes what Sphinx and MyST write, its classes, anchor and number, with the formula drawn."""

    def visit_formula(writer, node):
        start = len(writer.body)
        try:
            visit(writer, node)
        except nodes.SkipNode:
            page = "".join(writer.body[start:])
            try:
                writer.body[start:] = [fill(page)]
            except ValueError as error:
                logging.getLogger(__name__).warning(error, location=node)
            raise

    return visit_formula


def fill_questions(app, pagename, templatename, context, doctree):
    """Draw the formulas of a page's questions, which a cell wrote and which are no formulas to Sphinx."""
    if app.builder.format == "html" and "body" in context:
        try:
            context["body"] = WORDS.sub(lambda words: words[1] + fill(words[2]) + words[3], context["body"])
        except ValueError as error:
            logging.getLogger(__name__).warning(error, location=pagename)


def setup(app):
    """Called by Sphinx."""
    made = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
    app.add_config_value("formulas_are_made_with", made, rebuild="html", types=[str])
    app.add_html_math_renderer("drawn", (filled(html_visit_math), None), (filled(html_visit_displaymath), None))
    app.connect("html-page-context", fill_questions)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
