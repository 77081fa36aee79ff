"""Slides on paper, two to a page, with what the speaker says below each: a PDF for each chapter, by headless Chromium.

It is made of the presentation itself. Of reveal.js nothing is needed: the style of the slides stands for itself.
"""

import pathlib

import bs4
from playwright.sync_api import sync_playwright

import pdf
import pictures

STYLE = pathlib.Path(__file__).resolve().parent / "deck" / "handout.css"


def document(path: pathlib.Path) -> str:
    """A presentation as a page to be printed."""
    page = bs4.BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    kept = []
    for part in page.select("head link[rel=stylesheet], head script"):
        source = part.get("href", part.get("src", ""))
        if "revealjs/" not in source and "slides.js" not in source:
            kept.append(str(part))
    pairs = []
    for section in page.select(".slides > section > section"):
        said = section.select_one("aside.notes").extract()
        slides = f'<div class="slides"><section>{section}</section></div>'
        frame = f'<div class="frame"><div class="reveal">{slides}</div></div>'
        pairs.append(f'<div class="pair">{frame}<div class="said">{said.decode_contents()}</div></div>')
    style = STYLE.read_text(encoding="utf-8").replace("TITLE", page.title.get_text().replace('"', "'"))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{page.title.get_text()}</title>{"".join(kept)}
<style>{style}</style></head><body>{"".join(pairs)}</body></html>"""


def printed(chromium, path: pathlib.Path) -> bytes:
    """A presentation as PDF, its figures drawn."""
    tab = chromium.new_page(viewport={"width": 680, "height": 1000}, reduced_motion="reduce", offline=True)
    tab.emulate_media(media="print")
    html, address = document(path), path.with_name("handout.html").as_uri()  # beside the files that it uses
    tab.route(address, lambda route: route.fulfill(body=html, content_type="text/html"))
    tab.goto(address)
    pdf.draw(tab, "figure.lex")
    made = tab.pdf(prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
    tab.close()
    return made


def build(names, slides: pathlib.Path, folder: pathlib.Path) -> None:
    """The handouts of these presentations, or a line that says why there are none."""
    path = pictures.chromium()
    if not path:
        print(
            "lexviz: no handout: no Chromium was found (Debian: apt install chromium; CHROMIUM=/path/to/it names one)."
        )
        return
    folder.mkdir()
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=pdf.FLAGS)
        for name in names:
            (folder / f"{name}.pdf").write_bytes(printed(chromium, slides / f"{name}.html"))
        chromium.close()
