"""Sphinx extension: each figure of lexviz.explore gets a picture of its first state, which plotly draws at build time.

It is what a reader sees first, before any script has run, without JavaScript, and on paper. Headless Chromium draws it
where one is found (CHROMIUM names one; else `chromium`), for a wide page and for a phone, as SVG inside the page: it
follows the theme by the same rules of explore.css as the plot that takes its place. `_build/pictures` keeps each
picture under a fingerprint of what it was made from, so that only figures that changed are drawn again.
"""

import hashlib
import os
import pathlib
import re
import shutil
import urllib.parse

from playwright.sync_api import Error, sync_playwright
from sphinx.util import logging

from offline import PLOTLY

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ROOT / "_build" / "pictures"
WIDTHS = {"wide": 702, "narrow": 320}  # of a plot, in pixels: what book.css gives it on most screens, and on a phone
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
DRAW = """async ([spec, width]) => {
    const { data, layout } = JSON.parse(spec), height = layout.height ?? layout.template.layout.height;
    return Plotly.toImage({ data, layout: { ...layout, width, height } }, { format: "svg", width, height });
}"""
FIGURE = re.compile(
    r'<figure class="lex" id="lex-(?P<id>[^"]+)".*?<div class="lex-plot"[^>]*>(?P<place>)</div>.*?'
    r'<script type="application/json" class="lex-first">(?P<first>[^<]*)</script>.*?</figure>',
    re.DOTALL,
)


def chromium() -> str | None:
    """Where Chromium is, if anywhere."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


def fingerprint(*texts: str) -> str:
    """Sixteen hex digits over these texts, this file and plotly's script."""
    parts = [pathlib.Path(__file__).read_bytes(), str(PLOTLY.stat().st_size).encode(), *(t.encode() for t in texts)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


class Painter:
    """Draws figures in one browser, started when one of them is not kept yet; `missing` says why that cannot be."""

    def __init__(self):
        self.driver = self.tab = self.missing = None

    def start(self):
        path = chromium()
        if not path:
            self.missing = "no Chromium was found (Debian: apt install chromium; CHROMIUM=/path/to/it names one)"
            return
        self.driver = sync_playwright().start()
        try:
            self.tab = self.driver.chromium.launch(executable_path=path, args=FLAGS).new_page()
            self.tab.add_script_tag(path=PLOTLY)
        except Error as error:
            self.missing = f"{path} does not start ({str(error).splitlines()[0]})"

    def picture(self, name: str, first: str) -> str:
        """The first state of the figure `name` as HTML; nothing, where it cannot be drawn."""
        kept = KEPT / f"{fingerprint(name, first)}.html"
        if kept.exists():
            return kept.read_text(encoding="utf-8")
        if not self.driver and not self.missing:
            self.start()
        if self.missing:
            return ""
        drawn = []
        for kind, width in WIDTHS.items():
            address = self.tab.evaluate(DRAW, [first, width])
            drawn.append(tidy(urllib.parse.unquote(address.split(",", 1)[1]), kind, f"{name}-{kind[0]}"))
        text = f'<div class="lex-picture">{"".join(drawn)}</div>'
        KEPT.mkdir(parents=True, exist_ok=True)
        kept.with_suffix(".part").write_text(text, encoding="utf-8")
        kept.with_suffix(".part").replace(kept)  # whole or not at all
        return text

    def stop(self):
        if self.driver:
            self.driver.stop()


def tidy(svg: str, kind: str, prefix: str) -> str:
    """Plotly's SVG as a page needs it: no fixed size, ids of its own, and none of what changes nothing."""
    width, height = re.search(r'width="(\d+)" height="(\d+)"', svg).groups()
    svg = re.sub(r"<svg [^>]*>", "<svg>", svg, count=1)
    for number, name in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg))):
        svg = svg.replace(f'id="{name}"', f'id="{prefix}{number}"')
        svg = re.sub(rf"url\((&quot;|'|)#{re.escape(name)}(&quot;|'|)\)", f"url(#{prefix}{number})", svg)
    svg = re.sub(r' (class|data-[\w-]+|pointer-events|vector-effect|xml:space|xmlns(:\w+)?)="[^"]*"', "", svg)
    svg = re.sub(
        r"\b((fill|stroke)-opacity|opacity): 1(; |;?(?=\"))|\b(white-space|pointer-events|cursor): [\w-]+;? ?", "", svg
    )
    svg = re.sub(r"\bfont-(style|variant|weight): normal; |\b(text-decoration-line|text-transform): none; ?", "", svg)
    svg = re.sub(r' style="\s*"', "", svg)
    while (less := re.sub(r"<g(?: [^>]*)?(?:/>|></g>)", "", svg)) != svg:
        svg = less
    svg = svg.replace("xlink:href=", "href=")
    return svg.replace("<svg>", f'<svg class="lex-{kind}" viewBox="0 0 {width} {height}" aria-hidden="true">', 1)


def insert(body: str, painter: Painter) -> str:
    """A page's HTML with a picture in each figure's place."""

    def fill(figure):
        picture = painter.picture(figure["id"], figure["first"])
        at = figure.start("place") - figure.start()
        return figure[0][:at] + picture + figure[0][at:]

    return FIGURE.sub(fill, body)


def setup(app):
    """Called by Sphinx."""
    painter = Painter()

    def fill(app, pagename, templatename, context, doctree):
        if app.builder.format == "html" and "body" in context:
            context["body"] = insert(context["body"], painter)

    def finish(app, exception):
        painter.stop()
        if painter.missing:
            logging.getLogger(__name__).info(
                "lexviz: the figures stand without pictures in print and without JavaScript: %s", painter.missing
            )

    # pages are written anew when this file or plotly changes, and when a Chromium appears
    app.add_config_value("pictures_are_made_with", fingerprint(str(bool(chromium()))), rebuild="html", types=[str])
    app.connect("html-page-context", fill)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
