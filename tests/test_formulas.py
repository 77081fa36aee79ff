r"""Formulas are drawn when the book is built: each is there, right and readable, before any script has run."""

import html
import re
import subprocess
import sys
import unicodedata

import bs4
import pytest
from hypothesis import given
from hypothesis import strategies as st

import formulas
import notebooks

PAGES = [path.relative_to(notebooks.ROOT).with_suffix(".html").as_posix() for path in notebooks.pages()]
LETTERS = st.text("abcdxyzABCXYZ0123456789", min_size=1, max_size=12)


def shown(drawn):
    """What a formula says to those who listen, in plain letters and without white space."""
    math = bs4.BeautifulSoup(drawn, "html.parser").select_one("mjx-assistive-mml > math")
    return "".join(unicodedata.normalize("NFKD", math.get_text()).split())


@given(LETTERS, st.booleans())
def test_every_letter_is_drawn_and_told(text, display):
    drawn = formulas.drawn(text, display)
    assert drawn.count("<path") == len(text)
    assert shown(drawn) == text
    assert ('display="true"' in drawn) is ('display="block"' in drawn) is display


@given(LETTERS, LETTERS)
def test_what_stands_in_a_formula_is_not_markup(left, right):
    drawn = formulas.drawn(f"{left}<{right}>{left}\\text{{<b>&}}")
    soup = bs4.BeautifulSoup(drawn, "html.parser")
    assert not soup.select("b")
    assert shown(drawn) == f"{left}<{right}>{left}<b>&"
    assert formulas.fill(html.escape(f"1 \\({left}<{right}\\) 2")) == f"1 {formulas.drawn(f'{left}<{right}')} 2"


def test_text_in_which_no_formula_is_marked_stays_as_it_is():
    for text in ("", "a costs $5, b $6", "re.sub('(a)', x[0])", "\\(", "\\[ and \\)"):
        assert formulas.fill(text) == text


@pytest.mark.parametrize("tex", [r"\zetta", r"\frac{1}", r"x & y", r"\begin{cases}", r"}", r"\href{https://x.org}{x}"])
def test_what_is_no_formula_is_refused(tex):
    with pytest.raises(ValueError, match=f"^MathJax does not understand {re.escape(tex)}: "):
        formulas.drawn(tex)


def test_a_formula_is_drawn_alike_in_every_process():
    program = r"import formulas; print(formulas.drawn(r'\mathbf{R}^{d}_{\Theta,m} = \sum_i \zeta_i^{m/512}', True))"
    said = subprocess.run([sys.executable, "-c", program], cwd=notebooks.ROOT / "tools", capture_output=True, text=True)
    assert said.stderr == ""
    assert said.stdout.strip() == formulas.drawn(r"\mathbf{R}^{d}_{\Theta,m} = \sum_i \zeta_i^{m/512}", True)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds_its_formulas_drawn(site, page):
    soup = bs4.BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser")
    for math in soup.select(".math"):
        (formula,) = math.select("mjx-container")
        assert formula.select("svg path, svg rect")
        assert formula.select("mjx-assistive-mml > math")
    for code in soup.select("pre, code, script, style, .docutils.literal"):
        code.decompose()
    assert re.findall(r"\\[(\[].{,40}", soup.get_text()) == []
    assert not [script for script in soup.select("script") if "mathjax" in str(script).lower()]


@pytest.mark.parametrize("width", [1280, 360])
def test_formulas_are_seen_and_heard_where_no_script_runs(browser, site, width):
    context = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": 800})
    tab = context.new_page()
    tab.goto(f"{site.as_uri()}/{next(page for page in PAGES if '03-' in page)}")
    inline = tab.locator("article section > p .math:visible")
    assert inline.count() > 100
    sizes = "all => all.map(math => [math.querySelector('svg'), math.querySelector('mjx-assistive-mml')].map("
    sizes += "part => [part.getBoundingClientRect().width, part.getBoundingClientRect().height]))"
    for (wide, high), heard in inline.evaluate_all(sizes):
        assert wide > 3
        assert 3 < high < 80
        assert max(heard) <= 1  # not seen
    assert "math" in tab.locator("article section > p:has(.math)").first.aria_snapshot()
    context.close()
