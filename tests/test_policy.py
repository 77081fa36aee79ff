"""Every page says what may run and load on it; what else is in it does nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import policy


def test_each_page_has_one_policy_before_anything_that_it_governs_and_no_handler(site):
    pages = [path for path in (site / "book").rglob("*.html")] + [site / "search.html", site / "genindex.html"]
    for path in pages:
        page = path.read_text(encoding="utf-8")
        (meta,) = policy.META.finditer(page)
        assert meta.start() < min(page.index(part) for part in ("<script", "<link", "<img", "<style") if part in page)
        assert not policy.HANDLER.search(policy.INLINE.sub("", page)), path
        assert "unsafe-inline" not in re.search("script-src[^;]*", meta[0])[0]


@given(
    st.lists(st.sampled_from(["<p onclick='x()'>", "<script>let a = '<p onclick=1>'</script>", "text", "\n", "<b>"]))
)
def test_scripts_keep_their_text_and_guarding_twice_is_guarding_once(parts):
    page = '<head><meta charset="utf-8" /></head>' + "".join(parts)
    once = policy.guarded(page)
    assert policy.guarded(once) == once
    assert policy.INLINE.findall(once) == policy.INLINE.findall(page)
    assert "onclick='x()'" not in once


@pytest.fixture
def tab(browser, served):
    page = browser.new_page()
    page.add_init_script("window.print = () => { window.printed = true; }")
    page.goto(f"{served}/book/04-oscillation-versus-decay.html")
    yield page
    page.close()


@pytest.mark.parametrize(
    "markup",
    ['<img src="data:," onerror="window.ran = 1">', "<svg onload='window.ran = 1'></svg>",
     '<iframe srcdoc="<script>parent.ran = 1</script>"></iframe>', '<a id="go" href="javascript:window.ran = 1">x</a>'],
)  # fmt: skip
def test_markup_that_got_into_a_page_runs_nothing(tab, markup):
    tab.evaluate("markup => document.body.insertAdjacentHTML('beforeend', markup)", markup)
    if tab.locator("#go").count():
        tab.evaluate("document.querySelector('#go').click()")
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.ran") is None


def test_another_script_and_another_host_are_refused(tab):
    refused = """async () => {
        const said = [];
        addEventListener("securitypolicyviolation", event => said.push(event.effectiveDirective));
        document.head.append(Object.assign(document.createElement("script"), {textContent: "window.ran = 1"}));
        await fetch("http://127.0.0.2:9/").catch(() => {});
        const build = () => { try { new Function("window.ran = 1")(); } catch { said.push("eval"); } };
        await new Promise(done => setTimeout(() => done(build()), 50));  // a driver itself may evaluate
        return said;
    }"""
    assert {"script-src-elem", "connect-src", "eval"} <= set(tab.evaluate(refused))
    assert tab.evaluate("window.ran") is None


def test_the_theme_s_button_still_prints(tab):
    tab.evaluate("document.querySelector('.btn-download-pdf-button').click()")
    assert tab.evaluate("window.printed")
