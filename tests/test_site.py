"""The website in a real browser: nothing from another host, no error, readable, at any width and in both themes."""

import filecmp
import functools
import http.server
import importlib.util
import pathlib
import re
import threading
import urllib.parse

import bs4
import pytest

import conftest
import notebooks
import pictures

CHAPTERS = [path.relative_to(notebooks.ROOT).with_suffix(".html").as_posix() for path in notebooks.pages()]
PAGES = [*CHAPTERS, "search.html", "genindex.html"]
WAYS = ["http", "file"]

# Every element's text against the ground that it stands on, by WCAG 2: the ratio of their luminances. Returns what
# is below 4.5. Formulas are drawings in the text's colour; what is folded or hidden has no size.
CONTRAST = """() => {
  const parse = colour => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    return colour.startsWith("color(") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[3] * top[i] + (1 - top[3]) * below[i]).concat(1);
  const ground = element => {
    if (!element) return [255, 255, 255, 1];
    const colour = parse(getComputedStyle(element).backgroundColor);
    return colour[3] === 1 ? colour : over(colour, ground(element.parentElement));
  };
  const luminance = colour => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const c = colour[i] / 255;
    return sum + weight * (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  }, 0);
  const weak = new Set();
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join("");
    if (!text || element.closest("svg, mjx-container, script, style, .visually-hidden")) continue;
    if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    const behind = ground(element);
    const inFront = over(parse(getComputedStyle(element).color), behind);
    const [low, high] = [inFront, behind].map(luminance).sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) weak.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}: ${text.slice(0, 30)}`);
  }
  return [...weak];
}"""

# What sticks out of the page to the right, unless something around it scrolls. (The list of contents waits outside.)
TOO_WIDE = """() => [...document.querySelectorAll("main *")].filter(element => {
  if (element.closest("#pst-secondary-sidebar")) return false;
  if (!element.checkVisibility() || element.getBoundingClientRect().right <= innerWidth + 1) return false;
  for (let around = element; around !== document.body; around = around.parentElement)
    if (around !== element && getComputedStyle(around).overflowX !== "visible") return false;
  return true;
}).map(element => element.outerHTML.slice(0, 80))"""


@pytest.fixture
def visit(browser, site, served):
    """Opens a page of the site over http or as a file; whatever is asked of another host or goes wrong fails the test.

    Other hosts are out of reach and the attempt is noted.
    """
    homes = {"http": served, "file": site.as_uri()}
    contexts, wrong = [], []

    def block(route):
        wrong.append(f"asks another host: {route.request.url}")
        route.abort()

    def open_(page, way="http", query="", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        context.route(lambda url: not url.startswith((homes[way] + "/", "data:", "blob:")), block)
        tab = context.new_page()
        tab.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        tab.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        tab.on("request", lambda asked: wrong.append(f"font: {asked.url}") if asked.resource_type == "font" else None)
        tab.on("requestfailed", lambda request: wrong.append(f"failed: {request.url} {request.failure}"))
        tab.on(
            "response", lambda answer: wrong.append(f"{answer.status}: {answer.url}") if answer.status > 399 else None
        )
        tab.goto(f"{homes[way]}/{page}{query}")
        if page == "index.html":  # leads on to the first page
            tab.wait_for_url(f"{homes[way]}/{CHAPTERS[0]}")
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("page", [*PAGES, "index.html"])
def test_a_page_is_complete_without_another_host(visit, page, way):
    tab = visit(page, way)
    tab.wait_for_load_state("networkidle")
    assert tab.title()
    assert tab.evaluate(
        "[...document.querySelectorAll('[class*=\"fa-\"]')].filter(icon => !getComputedStyle(icon, '::before')."
        "getPropertyValue('--icon')).map(icon => icon.className)"
    ) == []  # fmt: skip


@pytest.mark.parametrize("page", CHAPTERS[:4])
def test_a_formula_stands_in_one_line_with_the_signs_beside_it(visit, page):
    tab = visit(page, viewport={"width": 360, "height": 800})
    pieces = tab.locator("p .unbroken:visible")
    assert pieces.count() > 2 or page == CHAPTERS[0]
    broken = "pieces => pieces.filter(piece => piece.getClientRects().length > 1).map(piece => piece.outerHTML)"
    assert pieces.evaluate_all(broken) == []
    alone = """() => [...document.querySelectorAll('article p > .math')].map(math => math.nextSibling?.data ?? "")
        .filter(text => /^[.,;:!?)]/.test(text))"""
    assert tab.evaluate(alone) == []


# What readers look for, and a place that must be among the first five that they are shown.
SOUGHT = {
    "zeta": "notation-and-glossary#symbols",
    "ζ": "notation-and-glossary#symbols",
    "γ": "notation-and-glossary#symbols",
    "gamma": "notation-and-glossary#symbols",
    "θ": "03-deriving-xpos#",
    "XPos": "notation-and-glossary#term-XPos",
    "xpos": "notation-and-glossary#term-XPos",
    "RoPE": "notation-and-glossary#term-RoPE",
    "rotary": "02-saying-where-a-token-is",
    "ALiBi": "02-saying-where-a-token-is#alibi",
    "T5": "02-saying-where-a-token-is#t5",
    "BCA": "notation-and-glossary#term-BCA",
    "Eq. 10": "03-deriving-xpos#xpos",
    "Eq. 3": "04-oscillation-versus-decay#can-resolution-say-how-much-decay-is-right",
    "resolution": "04-oscillation-versus-decay#lex-resolution-landscape",
    "oscillation": "04-oscillation-versus-decay#lex-oscillation-and-decay",
    "perplexity place": "01-the-length-problem#lex-by-place",
    "translation invariance": "notation-and-glossary#term-translation-invariance",
    "block_causal_attention": "06-blockwise-causal-attention#computing-it-at-the-cost-of-its-pairs",
    "grouped_softmax": "the-library#lexviz.landmark.grouped_softmax",
}


@pytest.mark.parametrize("way", WAYS)
def test_the_search_finds_what_readers_look_for(visit, way):
    tab = visit("search.html", way, query="?q=resolution")
    found = tab.locator("#search-results a[href*='oscillation-versus-decay.html'][href$='#lex-resolution-landscape']")
    found.first.wait_for()
    tab.wait_for_load_state("networkidle")
    missing = {}
    for sought, place in SOUGHT.items():  # what the page does with each, without loading it anew
        results = tab.evaluate("text => Search._performSearch(...Search._parseQuery(text))", sought)
        shown = [page + anchor for page, _, anchor, *_ in reversed(results)][:5]
        if not any(place in address for address in shown):
            missing[sought] = shown
    assert missing == {}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_read_in_both_themes_on_paper_and_on_a_phone(visit, page):
    calm = {"reduced_motion": "reduce"}  # else colours are measured halfway
    tab = visit(page, color_scheme="light", bypass_csp=True, **calm)  # to wait for things, playwright evaluates
    tab.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
    tab.evaluate(
        "document.querySelectorAll('.toggle-hidden').forEach(folded => folded.classList.remove('toggle-hidden'))"
    )
    assert tab.evaluate(CONTRAST) == []
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert tab.evaluate(CONTRAST) == []
    tab.emulate_media(color_scheme="dark", media="print")
    assert tab.evaluate(CONTRAST) == []
    tab.emulate_media(color_scheme="dark", media="screen")
    tab.set_viewport_size({"width": 360, "height": 740})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate(TOO_WIDE) == []


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (360, 740)])
def test_the_contents_fit_one_screen_and_a_finger_finds_each(visit, width, height):
    tab = visit(CHAPTERS[5], viewport={"width": width, "height": height}, reduced_motion="reduce")
    if width < 992:  # they wait outside
        tab.locator(".primary-toggle").first.click()
    listed = tab.locator(".bd-links li > a")
    boxes = [link.bounding_box() for link in listed.all() if link.is_visible()]
    assert len(boxes) == len(CHAPTERS)
    assert all(box["height"] >= 24 and box["x"] >= 0 and 0 <= box["y"] <= height - box["height"] for box in boxes)


@pytest.mark.parametrize("page", CHAPTERS)
def test_each_page_leads_to_the_one_before_and_the_one_after(site, page):
    text = (site / page).read_text(encoding="utf-8")
    before, after = (re.findall(rf'<a class="{side}"\s+href="([^"]*)"', text) for side in ("left-prev", "right-next"))
    place = CHAPTERS.index(page)
    names = [pathlib.PurePosixPath(each).name for each in CHAPTERS]
    assert before == (names[place - 1 : place] if place else [])
    assert after == names[place + 1 : place + 2]


@pytest.mark.parametrize("page", CHAPTERS)
def test_what_leads_out_names_a_host(site, page):
    for link in re.findall(r'<a\b[^>]*\shref="([^"]*)"', (site / page).read_text(encoding="utf-8")):
        scheme, host, *_ = urllib.parse.urlsplit(link)
        assert scheme in ("", "http", "https", "mailto"), link
        assert bool(scheme) == bool(re.fullmatch(r"[\w-]+(\.[\w-]+)+", host)), link


@pytest.mark.parametrize("width", [800, 1024, 1280, 1440, 1920])
def test_a_plot_takes_no_more_and_no_less_than_the_place_of_its_picture(visit, width):
    tab = visit(CHAPTERS[0], java_script_enabled=False, viewport={"width": width, "height": 800})
    assert tab.locator(".lex-plot").first.bounding_box()["width"] == pictures.WIDTHS["wide"]


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_is_the_systems_until_the_reader_switches_it(visit, system):
    tab = visit(CHAPTERS[0], color_scheme=system)
    theme = lambda: tab.evaluate("document.documentElement.dataset.theme")  # noqa: E731
    assert theme() == system
    seen = set()
    for _ in range(3):  # automatic, light, dark
        tab.locator(".theme-switch-button").click()
        seen.add(theme())
    assert seen == {"light", "dark"}
    while theme() == system:
        tab.locator(".theme-switch-button").click()
    tab.wait_for_load_state("networkidle")  # what is still on its way when one leaves counts as failed
    tab.goto(tab.url.replace(CHAPTERS[0], CHAPTERS[1]))
    assert theme() != system


def test_no_page_loads_what_only_a_kernel_needs_and_none_names_plotly(site):
    for page in PAGES:
        text = (site / page).read_text(encoding="utf-8")
        for word in ("thebe", "require.js", "require.min.js", "html-manager"):
            assert word not in text, page
        assert not re.search(r"<script[^>]*plotly", text), page


def test_every_paper_can_be_opened(site):
    page = bs4.BeautifulSoup((site / "book" / "references.html").read_text(encoding="utf-8"), "html.parser")
    papers = {
        each.get_text(): [link["href"] for link in each.select("a.external")] for each in page.select(".citation")
    }
    without = [text for text, links in papers.items() if not links]
    assert len(papers) > 30
    assert [text for text in without if "Technical Report" not in text] == []  # a report that only its author keeps
    links = [link for each in papers.values() for link in each]
    assert len(set(links)) == len(links)
    assert all(re.fullmatch(r"https://(arxiv\.org/abs/\d{4}\.\d{5}|doi\.org/10\.\d+/\S+)", link) for link in links)


def test_plotly_is_in_the_site_once_as_it_is_installed(site):
    package = pathlib.Path(importlib.util.find_spec("plotly").origin).parent
    (copy,) = site.rglob("plotly*.js")
    assert filecmp.cmp(copy, package / "package_data" / "plotly.min.js", shallow=False)


@pytest.fixture(scope="module")
def below(site):
    """The site below a sub-path, as static hosts put it; what is missing there is answered by 404.html."""

    class Host(conftest.Quiet):
        def send_error(self, code, *arguments, **more):
            page = (site / "404.html").read_bytes()
            self.send_response(code)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

    handler = functools.partial(Host, directory=site.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{site.name}"
        server.shutdown()


def test_the_site_works_below_a_sub_path(browser, below):
    tab = browser.new_page()
    wrong = []
    tab.on("response", lambda answer: wrong.append(answer.url) if answer.status > 399 else None)
    own = lambda said: said.type in ("error", "warning") and not said.location["url"].endswith("/favicon.ico")  # noqa: E731
    tab.on("console", lambda said: wrong.append(said.text) if own(said) else None)  # browsers ask the host for that one
    tab.goto(f"{below}/index.html")
    tab.wait_for_url(f"{below}/{CHAPTERS[0]}")
    tab.locator("figure.lex .js-plotly-plot").first.wait_for()
    tab.locator("a.right-next").click()
    tab.wait_for_url(f"{below}/{CHAPTERS[1]}")
    assert wrong == []
    tab.close()


@pytest.mark.parametrize("address", ["nowhere.html", "book/13-nowhere.html", "book/deep/er/nowhere.html"])
def test_an_address_that_is_none_leads_home(browser, below, address):
    tab = browser.new_page()
    assert tab.goto(f"{below}/{address}").status == 404
    tab.locator("#home").click()
    tab.wait_for_url(f"{below}/{CHAPTERS[0]}")
    tab.close()
