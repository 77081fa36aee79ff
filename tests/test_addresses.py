"""What has an address keeps it: ids come from names, no page has one twice, and every link leads to one."""

import copy
import functools
import json
import re
from urllib.parse import unquote, urldefrag, urljoin

import bs4
import pytest

import notebooks

PAGES = [path.relative_to(notebooks.ROOT).with_suffix(".html").as_posix() for path in notebooks.pages()]


@pytest.fixture(scope="module")
def page(site):
    """page(name) is a page of the site, parsed once."""
    return functools.cache(lambda name: bs4.BeautifulSoup((site / name).read_text(encoding="utf-8"), "html.parser"))


@pytest.mark.parametrize("name", [*PAGES, "search.html", "genindex.html"])
def test_no_page_has_an_id_twice(page, name):
    ids = [part["id"] for part in page(name).select("[id]")]
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize("name", PAGES)
def test_a_link_leads_to_something(site, page, name):
    for link in page(name).select("main a[href]"):
        goal, anchor = urldefrag(urljoin(name, link["href"]))
        if goal.startswith(("http:", "https:")):
            continue
        assert (site / goal).is_file(), link
        if anchor:
            figure, is_state, _ = unquote(anchor).partition(":")
            found = page(goal).find(id=f"lex-{figure}" if is_state else unquote(anchor))
            assert found is not None, link


def links_to_itself(part):
    return part.select_one(f'a.headerlink[href="#{part["id"]}"]') is not None


@pytest.mark.parametrize("name", PAGES)
def test_figures_and_numbered_equations_have_an_address_by_name_and_show_it(page, name):
    for figure in page(name).select("figure.lex"):
        assert figure["id"] == f"lex-{figure['data-figure']}"
        assert links_to_itself(figure.figcaption.parent)
    for number in page(name).select("main .eqno"):
        assert re.fullmatch(r"equation-eq[\w-]*-[a-z][\w-]*", number.parent["id"])  # a label, no running number
        assert links_to_itself(number.parent)


@pytest.mark.parametrize("name", PAGES)
def test_statements_and_proofs_have_an_address_by_name(page, name):
    for statement in page(name).select("div.proof"):
        assert re.fullmatch(r"(proof-of-)?(def|thm|alg|lem|cor)[\w-]*-[a-z][\w-]*", statement["id"])


@pytest.mark.parametrize("name", PAGES)
def test_an_equation_that_the_text_speaks_of_has_a_label(page, name):
    text = copy.copy(page(name).select_one("article"))  # other tests want it whole
    for part in text.select("a, pre, code, .math"):
        part.extract()
    assert not re.findall(r"[Ee]quations? \(?\d", text.get_text())


def test_every_place_that_the_search_names_is_there(site, page):
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    objects = [
        (document, number, anchor, f"{prefix}.{name}" if prefix else name)
        for prefix, found in index["objects"].items()
        for document, number, _, anchor, name in found
    ]
    assert len(objects) > 100
    for document, number, anchor, name in objects:
        kind = index["objtypes"][str(number)].split(":")[1]
        anchor = {"": name, "-": f"{kind}-{name}"}.get(anchor, anchor)  # as Sphinx shortens them
        assert page(index["docnames"][document] + ".html").find(id=anchor) is not None, anchor
