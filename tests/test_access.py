"""Who reads with the keyboard, by ear, enlarged, without motion or in colours of their own misses nothing."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from test_site import PAGES

# Axe knows one text colour only, CSS's, and drawings have another, SVG's: it can say nothing about the text in them.
# (What they are called, and what else stands in a plot, is tested below, and so is the contrast of their text.)
DRAWINGS = {"exclude": [".lex-plot svg", "mjx-container > svg"]}
FIGURES = "book/04-oscillation-versus-decay.html"  # the page that is walked through in whole
START = "book/index.html"  # a short page with one figure


@pytest.fixture(scope="module")
def visit(browser, site):
    """Opens a page of the site, typesets it, opens what is folded and draws every figure."""
    contexts = []

    def open_(page, **options):
        options = {"reduced_motion": "reduce", "color_scheme": "light", **options}
        contexts.append(browser.new_context(**options))
        tab = contexts[-1].new_page()
        tab.set_default_timeout(120_000)
        tab.goto(f"{site.as_uri()}/{page}")
        if tab.evaluate("typeof MathJax") != "undefined":
            tab.evaluate("MathJax.startup.promise.then(() => 0)")
        tab.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
        for figure in tab.locator("figure.lex").all():
            figure.scroll_into_view_if_needed()
            tab.wait_for_function("root => root.dataset.state === 'ready'", arg=figure.element_handle())
        tab.evaluate("scrollTo(0, 0)")
        return tab

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="module", params=PAGES)
def page(request, visit):
    """Each page of the site in turn, for all tests that ask for it."""
    tab = visit(request.param)
    yield tab
    tab.context.close()


def complaints(tab, *rules):
    """What axe finds, of whatever impact: [(rule, impact, where), ...]."""
    options = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = list(rules)
    found = Axe().run(tab, DRAWINGS, options).response["violations"]
    return [(rule["id"], rule["impact"], node["target"]) for rule in found for node in rule["nodes"]]


# ---- every page -------------------------------------------------------------------------------------------------


def test_axe_finds_nothing_in_either_theme_and_on_a_phone(page):
    assert complaints(page) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert complaints(page, "cat.color") == []  # a theme changes nothing else
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_timeout(500)  # the theme looks anew for what scrolls 300 ms after a change
    rules = {"cat.color": {"enabled": False}}
    assert complaints(page, "wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice") == [], rules


def test_a_page_has_an_outline(page):
    """One title, no level left out below it, links that say where they lead, tables whose columns have names."""
    assert page.locator("html").get_attribute("lang") == "en"
    levels = page.locator("main :is(h1, h2, h3, h4, h5, h6):visible").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    links = page.locator("a[href]:visible").evaluate_all("all => all.map(a => a.textContent.trim().toLowerCase())")
    assert not {"", "here", "link", "this", "click here", "more"} & set(links)
    headless = "all => all.filter(table => !table.querySelector('th')).map(table => table.outerHTML.slice(0, 200))"
    assert page.locator("main table").evaluate_all(headless) == []
