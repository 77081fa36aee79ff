"""Who reads with the keyboard, by ear, enlarged, without motion or in colours of their own misses nothing."""

import itertools

import pytest
from axe_playwright_python.sync_playwright import Axe

from test_site import PAGES

# Axe knows one text colour only, CSS's, and drawings have another, SVG's: it can say nothing about the text in them.
# What they are called, and what else stands in a plot, is tested below, and so is the contrast of their text.
DRAWINGS = [".lex-plot svg", "mjx-container > svg"]
CODE = ["pre"]  # whose thousand spans take axe half a minute; tests/test_site.py measures their contrast
COLOURS = ["color-contrast", "link-in-text-block"]
NARROW = ["scrollable-region-focusable", "aria-hidden-focus", "button-name", "link-name", "region", "landmark-unique"]
FIGURES = "book/04-oscillation-versus-decay.html"  # the page that is walked through in whole
START = "book/index.html"  # a short page with one figure


@pytest.fixture(scope="module")
def visit(browser, site):
    """Opens a page of the site, opens what is folded and draws every figure."""
    contexts = []

    def open_(page, **options):
        options = {"reduced_motion": "reduce", "color_scheme": "light", **options}
        contexts.append(browser.new_context(bypass_csp=True, **options))  # to wait for things, playwright evaluates
        tab = contexts[-1].new_page()
        tab.set_default_timeout(120_000)
        tab.goto(f"{site.as_uri()}/{page}")
        tab.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
        tab.evaluate(
            "document.querySelectorAll('.toggle-hidden').forEach(folded => folded.classList.remove('toggle-hidden'))"
        )
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


def complaints(tab, rules=None, less=()):
    """What axe finds, of whatever impact: [(rule, impact, where), ...]; by these rules, or by all but those on colours.

    `less` are parts that are left out.
    """
    chosen = {"runOnly": rules} if rules else {"rules": {rule: {"enabled": False} for rule in COLOURS}}
    found = Axe().run(tab, {"exclude": [*DRAWINGS, *less]}, {"resultTypes": ["violations"], **chosen})
    violations = found.response["violations"]
    return [(rule["id"], rule["impact"], node["target"]) for rule in violations for node in rule["nodes"]]


# The theme looks anew for code that scrolls some time after a window's change of size.
REACHABLE = """[...document.querySelectorAll("main pre")].every(code =>
  code.tabIndex === 0 || code.scrollWidth <= code.clientWidth)"""


# ---- every page -------------------------------------------------------------------------------------------------


def test_axe_finds_nothing_in_either_theme_and_on_a_phone(page):
    assert complaints(page) == []
    assert complaints(page, COLOURS, CODE) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert complaints(page, COLOURS, CODE) == []
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_function(REACHABLE)
    assert complaints(page, NARROW) == []


@pytest.mark.full
def test_axe_finds_nothing_by_any_rule_at_any_width(page):
    for scheme in ("dark", "light"):
        for width in (360, 800, 1280):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 740})
            page.wait_for_function(REACHABLE)
            assert complaints(page) + complaints(page, COLOURS) == [], (scheme, width)


def test_a_page_has_an_outline(page):
    """One title, no level left out below it, links that say where they lead, tables whose columns have names."""
    assert page.locator("html").get_attribute("lang") == "en"
    levels = page.locator("main :is(h1, h2, h3, h4, h5, h6):visible").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    text = "a.textContent.trim() || a.ariaLabel || a.querySelector('img')?.alt || a.outerHTML"
    links = page.locator("a[href]:visible").evaluate_all(f"all => all.map(a => ({text}).toLowerCase())")
    assert not {"here", "link", "this", "click here", "more"} & set(links)
    headless = "all => all.filter(table => !table.querySelector('th')).map(table => table.outerHTML.slice(0, 200))"
    assert page.locator("main table:not(.indextable)").evaluate_all(headless) == []  # the index is laid out in some


# ---- with the keyboard ------------------------------------------------------------------------------------------

# Everything that Tab is to reach, in the page's order; of several choices the first, arrows lead to the others.
STOPS = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex]")].filter(part =>
  part.tabIndex >= 0 && !part.disabled && part.checkVisibility({ visibilityProperty: true })
    && (part.type !== "radio" || part === document.querySelector(`[name="${part.name}"]`))
    && !part.closest("dialog:not([open])"))"""

# What has the focus: its place among the stops, and whether a reader can see where the focus is.
FOCUS = f"""() => {{
  const part = document.activeElement, box = part.getBoundingClientRect(), style = getComputedStyle(part);
  let opacity = 1;
  for (let around = part; around; around = around.parentElement) opacity *= getComputedStyle(around).opacity;
  const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const seen = opacity > 0.9 && box.width > 1 && inside;
  const ring = style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2;
  return [({STOPS})().indexOf(part), seen && ring, part.outerHTML.slice(0, 120)];
}}"""


def focused(tab):
    """The element that has the focus."""
    return tab.evaluate_handle("document.activeElement").as_element()


def test_tab_goes_through_a_whole_page_in_order_and_shows_where_it_is(visit):
    tab = visit(FIGURES)
    wanted = tab.evaluate(f"({STOPS})().length")
    met, hidden = [], []
    while len(met) <= wanted + 5:
        tab.keyboard.press("Tab")
        stop, seen, html = tab.evaluate(FOCUS)
        if stop < 0 or stop in met[:1]:  # the end: from here on the browser's own buttons, or the top again
            break
        met.append(stop)
        if not seen:
            hidden.append(html)
    assert met == list(range(max(wanted, len(met))))  # the list of contents unfolds the section that one is in
    assert hidden == []
    tab.keyboard.press("Shift+Tab")
    assert tab.evaluate(FOCUS)[0] >= wanted - 2  # and back, out of the last figure as into it


def test_a_link_at_the_top_skips_to_the_text(visit):
    tab = visit(START)
    tab.keyboard.press("Tab")
    assert focused(tab).text_content() == "Skip to main content"
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_windows_and_switches_give_the_focus_back(visit):
    tab = visit(START, viewport={"width": 360, "height": 740})
    for opener, window in ((".primary-toggle", "#pst-primary-sidebar-modal"), (".search-button", "#pst-search-dialog")):
        button = tab.locator(f"main {opener}").first
        button.focus()
        tab.keyboard.press("Enter")
        tab.locator(window).wait_for()
        assert complaints(tab) == []
        tab.keyboard.press("Tab")  # out of the search's only field to the browser's own buttons
        tab.keyboard.press("Tab")  # and back
        tab.keyboard.press("Escape")
        tab.locator(window).wait_for(state="hidden")
        assert tab.evaluate("button => document.activeElement === button", button.element_handle()), opener
    switch = tab.locator(".theme-switch-button").first
    switch.focus()
    said = set()
    for _ in range(3):
        tab.keyboard.press("Enter")
        said.add(switch.get_attribute("aria-label"))
        assert tab.evaluate("button => document.activeElement === button", switch.element_handle())
    assert said == {"Colours: as the system", "Colours: light", "Colours: dark"}


def test_every_state_of_every_figure_of_a_page_is_reached_with_keys(visit):
    tab = visit(FIGURES, permissions=["clipboard-read", "clipboard-write"])
    for root in tab.locator("figure.lex").all():
        for control in root.locator("[data-control]").all():
            texts = control.evaluate("control => JSON.parse(control.dataset.texts)")
            kind = control.get_attribute("type") or "select"
            control.focus()
            tab.keyboard.press("Home" if kind != "checkbox" else "Space")
            met = []
            for _ in texts:
                met.append(control.evaluate("control => control.type === 'checkbox' ? control.checked : control.value"))
                tab.keyboard.press({"range": "ArrowRight", "select": "ArrowDown", "checkbox": "Space"}[kind])
            assert len(set(map(str, met))) == len(texts)
            if kind == "range":  # said, and beside it
                assert control.get_attribute("aria-valuetext") == texts[-1]
                assert control.evaluate("control => control.nextElementSibling.textContent") == texts[-1]
        starts = root.locator("[data-control]").evaluate_all("all => all.map(control => +control.dataset.start)")
        root.locator(".lex-reset").focus()
        tab.keyboard.press("Enter")
        now = "all => all.map(control => control.type === 'checkbox' ? +control.checked : +control.value)"
        assert root.locator("[data-control]").evaluate_all(now) == starts
        root.locator(".lex-link").focus()
        tab.keyboard.press("Space")
        name = root.get_attribute("data-figure")
        tab.wait_for_function("name => location.hash.startsWith(`#${name}:`)", arg=name)
        assert tab.evaluate("navigator.clipboard.readText()") == tab.url
        zoom = root.get_by_role("button", name="Zoom in")
        ends = "root => root.querySelector('.lex-plot')._fullLayout.xaxis.range.join()"
        whole = root.evaluate(ends)
        zoom.focus()
        tab.keyboard.press("Enter")
        tab.wait_for_function(f"([root, whole]) => ({ends})(root) !== whole", arg=[root.element_handle(), whole])
        assert focused(tab).get_attribute("aria-label") == "Zoom in"
        root.locator(".lex-reset").focus()
        tab.keyboard.press("Enter")
        tab.wait_for_function(f"([root, whole]) => ({ends})(root) === whole", arg=[root.element_handle(), whole])


# ---- by ear -----------------------------------------------------------------------------------------------------


def tree(tab):
    """What Chromium tells a screen reader of the page's figure, in order: [(role, name, description, live), ...]."""
    session = tab.context.new_cdp_session(tab)
    session.send("Accessibility.enable")
    nodes = {node["nodeId"]: node for node in session.send("Accessibility.getFullAXTree")["nodes"]}
    session.detach()
    (root,) = (node for node in nodes.values() if not node["ignored"] and node["role"]["value"] == "figure")
    found = []

    def take(node):
        if not node["ignored"]:
            live = [entry["value"]["value"] for entry in node.get("properties", ()) if entry["name"] == "live"]
            texts = (node.get(key, {}).get("value", "") for key in ("role", "name", "description"))
            found.append((*texts, *(live or [""])))
        for child in node.get("childIds", ()):
            if child in nodes:
                take(nodes[child])

    take(root)
    return found


def named(parts, role):
    return [name for found, name, *_ in parts if found == role]


def test_a_screen_reader_hears_what_a_figure_is_shows_and_becomes(visit):
    tab = visit(START)
    root = tab.locator("figure.lex")
    words = """root => [...root.querySelectorAll(".lex-readouts div")].map(
        row => row.children[0].textContent + " " + row.children[1].textContent)"""
    parts = tree(tab)
    assert parts[0][:2] == ("figure", root.locator("figcaption span").text_content())
    assert named(parts, "slider") == ["read"]
    assert named(parts, "button")[:3] == ["Step read", "Reset", "Copy link"]  # Play, for those who want motion
    assert "Tools of this plot" in named(parts, "group")
    (plot,) = [part for part in parts if part[0] == "image" and part[1].startswith("Plot: ")]
    before = root.evaluate(words)
    assert plot[1].startswith("; ".join(["Plot: read 1024 bytes", *before]) + ". Drawn: ")
    assert len(plot[2]) > 100  # the long description
    assert named(parts, "term") == root.locator("dt").all_text_contents()
    assert [part for part in parts if part[3] == "polite"] == [("status", "", "", "polite")]  # one, and silent yet
    status = root.locator(".lex-status")
    assert status.text_content() == ""

    root.locator("input").focus()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("status => status.textContent", arg=status.element_handle())
    after = root.evaluate(words)
    news = [text for text in after if text not in before]
    assert news
    assert status.text_content() == "; ".join(["read 1152 bytes", *news])  # what has changed, and nothing else
    (plot,) = [part for part in tree(tab) if part[0] == "image" and part[1].startswith("Plot: ")]
    assert plot[1].startswith("; ".join(["Plot: read 1152 bytes", *after]))


def test_a_slider_that_runs_is_not_read_aloud_until_it_rests(visit):
    tab = visit(START, reduced_motion="no-preference")
    root = tab.locator("figure.lex")
    button = root.get_by_role("button", name="Play read")
    button.focus()
    tab.evaluate("""new MutationObserver(() => (window.said = (window.said || 0) + 1))
        .observe(document.querySelector(".lex-status"), { childList: true })""")
    tab.keyboard.press("Space")
    tab.wait_for_function("document.querySelector('figure.lex input').value >= 10")
    assert tab.evaluate("window.said") is None
    root.get_by_role("button", name="Pause read").press("Space")
    tab.wait_for_function("window.said === 1")


def test_a_link_to_a_state_takes_the_focus_along(visit):
    tab = visit(FIGURES + "#one-frequency:pair=7")
    assert focused(tab).get_attribute("data-figure") == "one-frequency"
    tab.keyboard.press("Tab")
    assert focused(tab).get_attribute("data-control") == "pair"


# ---- enlarged, and in one's own colours --------------------------------------------------------------------------

# WCAG 1.4.12: whoever needs wider lines and letters can have them.
SPACING = """* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }
p { margin-bottom: 2em !important }"""


def test_nothing_is_lost_at_four_times_the_size_and_with_wide_letters(visit):
    tab = visit(FIGURES, viewport={"width": 320, "height": 256})  # a window of 1280 by 1024, four times enlarged
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320
    tab.add_style_tag(content=SPACING)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320
    parts = tab.locator("main :is(label, output, button, select, dt, dd, figcaption, summary):visible")
    cut = """all => all.filter(part => part.scrollWidth > part.clientWidth + 1
        && !["visible", "auto"].includes(getComputedStyle(part).overflowX)).map(part => part.outerHTML.slice(0, 80))"""
    assert parts.evaluate_all(cut) == []


# Every text that plotly has drawn against the ground of the plot: the ratio of their luminances.
PLOT_TEXT = """() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const c = numbers(colour)[i] / 255;
    return sum + weight * (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  }, 0);
  const ground = part => {
    const colour = getComputedStyle(part).backgroundColor;
    return numbers(colour)[3] === 0 ? ground(part.parentElement) : colour;
  };
  return [...document.querySelectorAll(".lex-plot text")].filter(text => text.textContent).map(text => {
    const colours = [getComputedStyle(text).fill, ground(text.closest(".lex-plot"))];
    const [low, high] = colours.map(luminance).sort((a, b) => a - b);
    return [(high + 0.05) / (low + 0.05), text.textContent];
  }).filter(([ratio]) => ratio < 4.5);
}"""


def test_the_text_in_plots_can_be_read_in_any_colours(visit):
    tab = visit(FIGURES)
    for colours in ({"color_scheme": "light"}, {"color_scheme": "dark"}):
        for forced in ("none", "active"):
            tab.emulate_media(**colours, forced_colors=forced)
            tab.wait_for_timeout(500)
            assert tab.evaluate(PLOT_TEXT) == [], (colours, forced)
