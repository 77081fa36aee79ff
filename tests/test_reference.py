"""The library's reference: complete, each name with a text and an example, found by the search, and linked to."""

import importlib
import inspect
import re

import bs4
import pytest

import names
import notebooks
import reference

PAGE = "book/appendix-e-the-library"
EVERY = names.every()

# Whose example stands elsewhere, and where: what a function gives, at the function; what takes minutes, at its record.
ELSEWHERE = {
    "theory.Search": "theory.maximise_resolution",
    "positions.PositionEncoding.embed": "positions.Sinusoidal",
    "positions.PositionEncoding.rotate": "positions.Rope",
    "attention.Window": "attention.windows",
    "cache.KeyValueCache.inputs": "cache.SegmentCache",
    "cache.SegmentCache.attend": "cache.KeyValueCache",
    "landmark.Fetched": "landmark.LandmarkCache",
    "landmark.LandmarkCache.inputs": "cache.SegmentCache",
    "model.Layer": "model.LanguageModel.look",
    "model.ModelConfig.head_dim": "model.Block.heads",
    "model.Block.forward": "model.Block",
    "corpus.Corpus": "corpus.load",
    "corpus.PassKey": "corpus.passkey",
    "checkpoint.load": "checkpoint.save",
    "checkpoint.resume": "train.train",
    "train.Settings": "train.Settings.shape",
    "train.Batch": "train.text",
    "train.Entry": "train.train",
    "train.compiled": "train.train",
    "evaluate.Losses": "evaluate.losses",
    "evaluate.Trial": "evaluate.passkey_trials",
    "retrieval.Written": "retrieval.written",
    "runs.make": "runs.results",
    **{
        f"runs.measures.{each}": "runs.results"
        for each in ("lengths", "places", "repeats", "copies", "resolution", "windows")
    },
    **{
        f"runs.measures.{each}": "runs.results"
        for each in ("retrieval", "reach", "fetching", "passkeys", "passkey_ways", "ask", "answers")
    },
    "explore.Figure.live": "explore.explore",
    "page.render": "explore.Figure",
    "exercises.trial.Wrong": "exercises.trial.near",
    "exercises.questions.Quiz": "exercises.questions.ask",
    "exercises.questions.Quiz.html": "exercises.questions.ask",
}


def test_every_module_is_in_the_reference_and_on_its_page():
    files = {path.stem for path in (names.ROOT / "lexviz").glob("*.py")} - {"__init__", "__main__"}
    assert {module for module in names.MODULES if "." not in module} == files | {"evaluate", "exercises", "runs"}
    text = (names.ROOT / f"{PAGE}.md").read_text(encoding="utf-8")
    assert re.findall(r"^```{library} (.*)$", text, re.M) == list(names.MODULES)


@pytest.mark.parametrize("module", names.MODULES)
def test_the_names_are_those_that_python_finds_with_the_same_arguments(module):
    loaded = importlib.import_module(f"lexviz.{module}")
    files = {f"lexviz.{file}" for file in (module, *names.parts_of(module))}
    own = {name: each for name, each in vars(loaded).items() if getattr(each, "__module__", "") in files}
    wanted = {name: each for name, each in own.items() if name[0] != "_" and callable(each) and inspect.isroutine(each)}
    found = {name.path: name for name in names.of(module) if name.kind == "function"}
    assert found.keys() == wanted.keys()
    for path, name in found.items():
        assert list(name.parameters) == list(inspect.signature(wanted[path]).parameters), path
    classes = {name for name, each in own.items() if name[0] != "_" and inspect.isclass(each)}
    assert {name.path for name in names.of(module) if name.kind == "class"} == classes
    for name in names.of(module):
        if name.kind in ("method", "property"):
            assert inspect.getattr_static(loaded, name.path.split(".")[0]).__dict__[name.path.split(".")[1]]


def test_every_name_says_what_it_is():
    assert [name.full for name in EVERY.values() if not name.text] == []


def has_example(name):
    """Of its own; or, for what belongs to a class, among the class's, where it is used."""
    owner = EVERY.get(name.full.rpartition(".")[0])
    used = owner and re.search(rf"^(?:>>>|\.\.\.) .*\.{name.path.split('.')[-1]}\b", owner.text, re.M)
    return ">>>" in name.text or bool(used)


def test_every_name_has_an_example_and_those_with_one_elsewhere_are_few():
    without = [full for full, name in EVERY.items() if name.kind != "data" and not has_example(name)]
    assert without == [full for full in EVERY if full.removeprefix("lexviz.") in ELSEWHERE]
    assert [place for place in ELSEWHERE.values() if not has_example(EVERY[f"lexviz.{place}"])] == []
    assert len(without) < len(EVERY) / 5


@pytest.fixture(scope="module")
def page(site):
    return bs4.BeautifulSoup((site / f"{PAGE}.html").read_text(encoding="utf-8"), "html.parser").article


def words(text):
    """Its words, without what typography changes."""
    return re.findall(r"\w+", text)


def test_the_page_has_every_name_with_its_whole_text(page):
    for full, name in EVERY.items():
        entry = page.find(id=full)
        assert entry is not None, full
        said = "".join(words(entry.find_next_sibling("dd").get_text()))
        text = re.sub("  # doctest: .*", "", name.text)  # Sphinx leaves it out
        for part in re.split(r"\n\s*\n", text):
            assert "".join(words(part)) in said, full
        for parameter in name.parameters:
            assert parameter in entry.get_text(), full
    assert not [code.get_text() for code in page.select("dd p") if re.search(r"`|>>>", code.get_text())]


def test_the_page_has_what_the_commands_say(page):
    for command in ("train", "evaluate", "runs"):
        (told,) = [pre.get_text() for pre in page.select("pre") if f"usage: python -m lexviz {command} " in pre.text]
        assert "--help" in told


def test_code_that_names_something_of_the_library_leads_to_it(site):
    linked = set()
    for path in notebooks.pages():
        file = site / path.relative_to(notebooks.ROOT).with_suffix(".html")
        text = bs4.BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser").article
        for code in text.select("p code, td code, li code"):
            target = reference.address(code.get_text())
            if target and not code.find_parent("dl", class_="py"):
                link = code.find_parent("a")
                assert link, (path.name, code.get_text())
                linked |= {target} if link["href"].endswith(f"{PAGE.split('/')[1]}.html#{target}") else set()
    assert {"lexviz.theory.expected_score", "lexviz.positions.Xpos", "lexviz.masks.flex"} <= linked
    assert reference.address("plotly.figure") == reference.address("head_dim") == reference.address("a.b c") == ""


def test_the_search_finds_every_name(browser, served):
    tab = browser.new_page()
    tab.goto(f"{served}/search.html?q=lexviz")
    tab.locator("#search-results a").first.wait_for()
    missing = {}
    for full in EVERY:
        last = full.rpartition(".")[2]
        found = tab.evaluate("text => Search._performSearch(...Search._parseQuery(text))", last)
        places = [address + anchor for address, _, anchor, *_ in found]
        if not any(f"{PAGE}#{full}" in place for place in places):
            missing[full] = places[-3:]
    tab.close()
    assert missing == {}
