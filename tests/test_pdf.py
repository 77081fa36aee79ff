"""The book as one PDF: complete, numbered, its links and bookmarks lead somewhere, and nothing in it is cut."""

import copy
import io
import re

import bs4
import pypdf
import pytest

import notebooks
import pdf

PAGES = [path.relative_to(notebooks.ROOT).with_suffix(".html").as_posix() for path in notebooks.pages()]

# What ends to the right of the column; what is for screen readers only is a point somewhere.
TOO_WIDE = """() => [...document.querySelectorAll("main *")].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width > 1 && box.right > innerWidth + 1 && !element.closest("svg *, mjx-assistive-mml, .lex-description");
}).map(element => element.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def tab(browser, site):
    """The book as it goes to the printer."""
    tab = pdf.opened(browser)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def book(tab):
    return pypdf.PdfReader(io.BytesIO(pdf.printed(tab)))


def close(text):
    """Text without the spaces, which are guesswork in a PDF."""
    return re.sub(r"\s", "", text)


@pytest.fixture(scope="module")
def texts(book):
    """The text of each page; it begins with what stands at the foot, the number and the chapter."""
    return [close(page.extract_text()) for page in book.pages]


@pytest.fixture(scope="module")
def chapters(site):
    """The articles of the website, without what a PDF leaves out."""
    soups = [bs4.BeautifulSoup((site / name).read_text(encoding="utf-8"), "html.parser") for name in PAGES]
    for soup in soups:
        for part in soup.select("a.headerlink, details.hide, .lex-choices, .lex-quiz :is(script, style)"):
            part.decompose()
    return [soup.article for soup in soups]


def bookmarks(outline):
    for entry in outline:
        if isinstance(entry, list):
            yield from bookmarks(entry)
        else:
            yield entry


def test_nothing_ends_to_the_right_of_the_column_and_nothing_comes_from_another_host(tab):
    assert tab.evaluate(TOO_WIDE) == []
    assert tab.locator("[src^='http'], link[href^='http']").count() == 0


def test_every_heading_is_a_bookmark_that_leads_to_its_page(book, texts, chapters):
    entries = list(bookmarks(book.outline))
    headings = sum(len(text.select("h1, h2, h3, h4, h5, h6")) for text in chapters)
    solutions = sum(text.select_one("details, div.solution.dropdown") is not None for text in chapters)
    assert len(entries) == len(["Contents"]) + headings + len(["Solutions"]) + solutions
    for entry in entries:
        words = re.split(r"[^\w .,:?]", entry.title)[0]  # up to a formula or a sign that fonts draw otherwise
        assert close(words) in texts[book.get_destination_page_number(entry)], entry.title


def test_the_contents_have_the_right_numbers_and_each_page_its_own(book, texts, tab):
    rows = tab.locator("#contents a").evaluate_all("rows => rows.map(row => [row.hash.slice(1), row.dataset.page])")
    assert len(rows) > 50
    places = pdf.numbers(book.stream.getvalue())
    assert [page for _, page in rows] == [str(places[anchor]) for anchor, _ in rows]
    numbers = [int(page) for _, page in rows]
    assert numbers == sorted(numbers)
    for number, text in enumerate(texts[1:], 2):
        assert text.startswith(str(number))


def test_links_within_the_book_lead_to_places_in_it(book, chapters):
    within = 0
    for page in book.pages:
        for annotation in page.get("/Annots", ()):
            link = annotation.get_object()
            if "/Dest" in link:
                within += 1
                assert link["/Dest"] in book.named_destinations
            elif "/A" in link:
                assert re.match("https?:", link["/A"]["/URI"])  # nothing leads to a file of this machine
    assert within >= sum(len(text.select("a.reference.internal:not(.image-reference)")) for text in chapters)


def test_the_text_and_the_code_of_every_chapter_are_in_it(texts, chapters):
    printed = "".join(texts)
    for text in map(copy.copy, chapters):  # other tests want them whole
        for part in text.select(".math, figure, summary"):
            part.replace_with("\n")
        for part in text.select("p, pre"):
            for piece in map(close, part.get_text().split("\n")):
                half = min(15, (len(piece) + 1) // 2)  # a page may end in one of the two
                assert piece[:half] in printed or piece[-half:] in printed, piece


def test_no_figure_is_cut_by_the_end_of_a_page(texts, site):
    figures = 0
    for name in PAGES:
        soup = bs4.BeautifulSoup((site / name).read_text(encoding="utf-8"), "html.parser")
        for figure in soup.select("figure.lex"):
            caption = close(next(figure.figcaption.stripped_strings))
            first = close(figure.select_one("label").get_text())
            (text,) = [text for text in texts if caption in text]
            assert first in text[: text.index(caption)], figure["id"]
            figures += 1
    assert figures > 20
