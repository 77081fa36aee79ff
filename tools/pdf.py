"""Print the whole book into one PDF: the pages of _toc.yml, put together into one document, by headless Chromium.

The pages are those of the website, so that both say the same. Left out is what paper has no use for: sidebars, buttons,
folded code. Folded solutions stand at the end of the book, where they are out of sight as well. Every id gets its
page's name before it, every link to another page leads to a place in the document, and the style is tools/pdf.css.
Chromium cannot yet write the page that a link leads to, so the book is printed twice: the first printing tells on which
page each heading stands, the second has these numbers in its table of contents.
"""

import copy
import io
import json
import os
import pathlib
import posixpath
import shutil
import subprocess
import sys
from urllib.parse import unquote, urldefrag, urljoin

import bs4
import pypdf
import yaml
from playwright.sync_api import sync_playwright

import notebooks
import website

ROOT = pathlib.Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
PDF = ROOT / "_build" / "reading-past-the-training-length.pdf"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
COLUMN = 627  # pixels: the width of A4 less the margins that pdf.css sets

# What is wider than its place becomes smaller: formulas, tables, code with long lines (to 6.5 points, then they wrap).
FIT = """() => {
  const shrink = (element, width, room, least = 0) => {
    const size = parseFloat(getComputedStyle(element).fontSize);
    if (width > room) element.style.fontSize = `${Math.max(least, 0.99 * size * room / width)}px`;
  };
  for (const formula of document.querySelectorAll("mjx-container[display='true']"))
    shrink(formula, formula.scrollWidth, formula.clientWidth);
  for (const table of document.querySelectorAll("table"))
    shrink(table, table.scrollWidth, table.parentElement.clientWidth);
  for (const code of document.querySelectorAll("pre")) {
    const style = getComputedStyle(code);
    const around = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
    const room = code.clientWidth - around;
    code.style.cssText = "white-space: pre; width: max-content";
    const width = code.clientWidth - around;
    code.style.cssText = "";
    shrink(code, width, room, 6.5 * 96 / 72);
  }
}"""


def name(path: str) -> str:
    """A page's name, which is its id in the document and stands before all of its ids: the file's name."""
    return posixpath.splitext(posixpath.basename(path))[0]


def chapter(page: bs4.BeautifulSoup, path: str, pages: list[str]) -> bs4.Tag:
    """The text of a page as a section of the document: ids made its own, links to other pages leading within."""
    text = page.select_one("article.bd-article")
    text.name, text["id"] = "section", name(path)
    for useless in text.select("a.headerlink, details.hide, .lex-choices, .lex-quiz :is(script, style)"):
        useless.decompose()
    for key in ("id", "for", "aria-labelledby", "aria-describedby"):
        for part in text.select(f"[{key}]:not(svg *)"):  # a picture's ids, which are random, are its own affair
            part[key] = " ".join(f"{name(path)}.{one}" for one in part[key].split())
    for part in text.select("[src]"):
        part["src"] = urljoin(path, part["src"])
    for plot in text.select(".lex-plot:not(:has(*))"):
        plot["class"].append("to-draw")
    for link in text.select("a[href]"):
        goal, anchor = urldefrag(urljoin(path, link["href"]))
        if goal in pages:
            figure, is_state, _ = unquote(anchor).partition(":")
            anchor = f"lex-{figure}" if is_state else anchor  # on paper a figure has one state
            link["href"] = f"#{name(goal)}.{anchor}" if anchor else f"#{name(goal)}"
        elif not goal.startswith(("http:", "https:", "mailto:")):
            link.unwrap()  # a file of the website, which a PDF does not have
    return text


def heading(part: bs4.Tag) -> str:
    """The words of the first heading in a part, its formulas as they were written."""
    return " ".join(part.find(["h1", "h2"]).get_text().split())


def solutions(chapters: list[bs4.Tag]) -> bs4.Tag:
    """What the chapters fold away, as a chapter of its own; where it stood, a link leads there."""
    new = bs4.BeautifulSoup('<section id="solutions"><h1>Solutions</h1></section>', "html.parser")
    for text in chapters:
        part = new.new_tag("section", id=f"solutions.{text['id']}")
        part.append(new.new_tag("h2", string=heading(text)))
        for number, folded in enumerate(text.select("details, div.solution.dropdown")):
            place = f"{part['id']}.{number}"
            if folded.name == "details":
                said = folded.summary.extract().get_text()
            else:  # its title says nothing but "Solution", as it follows the exercise
                said = "Solution"
                asked = folded.find_previous(class_="exercise").p
                folded.p.replace_with(copy.copy(asked))
            link = f'<p><a class="to-page" href="#{place}">{said}</a></p>'
            folded.insert_before(bs4.BeautifulSoup(link, "html.parser"))
            part.append(folded.extract())
            folded.name, folded["id"] = "div", place
        if part.div:
            new.section.append(part)
    return new.section.extract()


def contents(chapters: list[bs4.Tag]) -> str:
    """The table of contents: every chapter and its sections, each with room for a page number."""
    rows = []
    for text in chapters:
        rows.append(f'<li class="chapter"><a class="to-page" href="#{text["id"]}">{heading(text)}</a></li>')
        for section in text.select("section:has(> h2)") if text["id"] != "solutions" else ():
            rows.append(f'<li><a class="to-page" href="#{section["id"]}">{heading(section)}</a></li>')
    return f'<section id="contents"><h1>Contents</h1><ol>{"".join(rows)}</ol></section>'


def version() -> str:
    """The commit that is printed and its day; nothing where git does not know."""
    try:
        command = ["git", "log", "-1", "--format=%cs, commit %h"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def document() -> str:
    """The book as one page of HTML."""
    pages = [path.relative_to(ROOT).with_suffix(".html").as_posix() for path in notebooks.pages()]
    soups = [bs4.BeautifulSoup((SITE / path).read_text(encoding="utf-8"), "html.parser") for path in pages]
    chapters = [chapter(soup, path, pages) for soup, path in zip(soups, pages, strict=True)]
    chapters.append(solutions(chapters))
    # Of the pages' heads: all styles, and the book's own scripts, which draw figures.
    own = [path.name for path in (ROOT / "book" / "_static").glob("*.js")]
    head = []
    for part in soups[0].select("head link[rel=stylesheet], head script"):
        for key in {"href", "src"} & set(part.attrs):
            part[key] = urljoin(pages[0], part[key])
        file = posixpath.basename(part.get("src", "")).split("?")[0]
        if part.name == "link" or file in own:
            head.append(str(part))
    about = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    feet = []  # each page has its chapter's title at its foot: every chapter is a kind of page
    for i, text in enumerate(chapters):
        feet.append(
            f"@page chapter-{i} {{ @bottom-left {{ content: {json.dumps(heading(text), ensure_ascii=False)} }} }}"
        )
        feet.append(f"section[id='{text['id']}'] {{ page: chapter-{i} }}")
    return f"""<!doctype html>
<html lang="en" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{about["title"]}</title>{"".join(head)}
<style>{(ROOT / "tools" / "pdf.css").read_text(encoding="utf-8")}{"".join(feet)}</style></head>
<body><main class="bd-content"><div class="bd-article">
<section id="title"><p class="title">{about["title"]}</p>
<p>Position encodings, masks and what they do to long texts, taken apart in experiments</p>
<img src="_images/extrapolation.svg" alt="">
<p>{about["author"]}<br>{version()}<br>{about["copyright"]}</p></section>
{contents(chapters)}{"".join(map(str, chapters))}</div></main></body></html>"""


def opened(chromium):
    """The book in a tab of its own, as it goes to the printer: figures drawn, all made to fit.

    A figure that the page holds no picture of comes to life, as on the website, when it comes near the window.
    """
    options = {"viewport": {"width": COLUMN, "height": 1000}, "reduced_motion": "reduce", "offline": True}
    tab = chromium.new_page(**options)
    tab.set_default_timeout(300_000)
    tab.emulate_media(media="print", color_scheme="light")
    address = (SITE / "print.html").as_uri()  # beside the pages, whose files it uses; no such file is written
    html = document()
    tab.route(address, lambda route: route.fulfill(body=html, content_type="text/html"))
    tab.goto(address)
    draw(tab, "figure.lex:has(.to-draw)")
    tab.evaluate(FIT)
    return tab


def draw(tab, figures: str) -> None:
    """Wait until the figures of a page, those of a selector, are drawn."""
    for figure in tab.locator(figures).all():
        figure.scroll_into_view_if_needed()
        figure.and_(tab.locator("[data-state=ready], [data-state=failed]")).wait_for()
        if figure.get_attribute("data-state") == "failed":
            raise RuntimeError(f"{figure.get_attribute('id')}: {figure.locator('.lex-plot').inner_text()}")
    tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # what is still drawn


def numbers(pdf: bytes) -> dict[str, int]:
    """{id: page} of all places in a PDF that a link leads to."""
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    places = reader.named_destinations
    return {key.lstrip("/"): reader.get_destination_page_number(place) + 1 for key, place in places.items()}


def printed(tab) -> bytes:
    """The book in a tab as a PDF, printed twice, the first time in a hurry."""
    options = {"prefer_css_page_size": True, "print_background": True}
    pages = numbers(tab.pdf(**options))
    tab.evaluate(
        "pages => document.querySelectorAll('a.to-page').forEach("
        "link => link.dataset.page = pages[decodeURIComponent(link.hash.slice(1))])",
        pages,
    )
    pdf = tab.pdf(**options, outline=True, tagged=True)
    if numbers(pdf) != pages:
        raise RuntimeError("the page numbers in the table of contents have moved what they number")
    return pdf


def main():
    """Build the website and print it; say where the PDF is, or in one line what is missing."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        sys.exit("lexviz: no Chromium was found (Debian: apt install chromium); CHROMIUM=/path/to/it names one.")
    if website.build():
        sys.exit("lexviz: the website was not built, so nothing was printed; the first warning above says why.")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        pdf = printed(opened(chromium))
        chromium.close()
    PDF.write_bytes(pdf)
    print(f"The book, {len(pypdf.PdfReader(io.BytesIO(pdf)).pages)} pages, is in {PDF.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
