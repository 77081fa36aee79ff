"""Exercises have what they need; their solutions are right; likely mistakes are found, and told of in words.

What stubs and solutions print stands in git, and nbval compares it with what they print now.
"""

import ast
import importlib
import json
import re

import nbformat
import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe

import notebooks
from lexviz import exercises
from lexviz.exercises import questions
from lexviz.exercises.trial import Trial, Wrong, near, shaped

CHAPTERS = {path.stem[:2]: path for path in notebooks.pages() if re.match(r"\d\d-.*ipynb", path.name)}
NUMBERS = list(CHAPTERS)
EXERCISE = re.compile(r"^::::\{exercise\} (.+)\n:label: (ex-\S+)\n\*Difficulty ([123]) of 3, (\d+) minutes\.\* ")


def cells(number, tag=None):
    """The cells of a chapter, or those with a tag."""
    all_ = nbformat.read(CHAPTERS[number], as_version=4).cells
    return [cell for cell in all_ if tag is None or tag in cell.metadata.get("tags", ())]


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def labels(number):
    """The exercises of a chapter by their labels: their titles."""
    found = [EXERCISE.match(cell.source) for cell in cells(number) if cell.source.startswith("::::{exercise}")]
    return {match[2]: match[1] for match in found}


def stubs(number):
    """The functions to be written in a chapter, by name: the cells."""
    return {ast.parse(cell.source).body[-2].name: cell for cell in cells(number, "stub")}


def of_label(name, number):
    return f"ex-{number}-{name.replace('_', '-')}"


# ---- what a chapter's exercises have ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS)
def test_every_exercise_has_difficulty_minutes_and_a_solution_and_there_are_enough(number):
    said = [cell.source for cell in cells(number) if "{exercise}" in cell.source]
    assert [text for text in said if not EXERCISE.match(text)] == []
    assert all(label.startswith(f"ex-{number}-") for label in labels(number))
    solved = re.findall(
        r"\{solution(?:-start)?\} (ex-\S+)", "\n".join(cell.source for cell in cells(number, "solution"))
    )
    assert solved == list(labels(number))  # in their order, each once
    coded = [of_label(name, number) for name in stubs(number)]
    assert set(coded) <= set(labels(number))
    assert len(coded) >= 2
    assert len(labels(number)) - len(coded) >= 2
    source = "\n".join(cell.source for cell in cells(number, "solution"))
    assert source.count("{solution-start}") == source.count("{solution-end}")
    assert source.count(":class: dropdown") == len(solved)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_stub_says_that_there_is_nothing_yet_and_the_solution_is_right(number):
    solved = "".join(printed(cell) for cell in cells(number, "solution") if cell.cell_type == "code")
    for name, cell in stubs(number).items():
        assert cell.source.rstrip().endswith(f'exercises.check("{name}", {name})')
        assert "raise NotImplementedError" in cell.source
        assert '"""' in cell.source
        assert printed(cell).startswith(f"{name}: nothing to check yet. ")
        assert f"{name}: right.\n" in solved
    for cell in cells(number, "solution"):
        if cell.cell_type == "code":
            assert cell.metadata.get("jupyter", {}).get("source_hidden"), cell.source


@pytest.mark.parametrize("number", NUMBERS)
def test_every_check_belongs_to_an_exercise(number):
    assert importlib.import_module(f"lexviz.exercises.ch{number}").__all__ == sorted(stubs(number))


def wrong_answers():
    for number in NUMBERS:
        known = importlib.import_module(f"wrong_answers.ch{number}").WRONG
        assert known.keys() == stubs(number).keys()
        for name, answers in known.items():
            assert len(answers) >= 3, name
            yield from (pytest.param(number, name, answer, id=f"{name}-{answer.__name__}") for answer in answers)


@pytest.mark.parametrize(("number", "name", "answer"), wrong_answers())
def test_a_likely_mistake_is_told_of_in_words_and_not_by_showing_the_solution(number, name, answer):
    said = exercises.verdict(name, answer)
    assert said.startswith("not yet. ")
    assert "it raised" not in said
    words = re.sub(r"Called with \(.*?\),", "", said)
    assert not re.search(r"\d\.\d", words)
    (solution,) = [cell.source for cell in cells(number, "solution") if f'check("{name}"' in cell.source]
    assert [line for line in map(str.strip, solution.splitlines()) if len(line) > 9 and line in said] == []


# ---- questions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS)
def test_a_chapter_asks_questions_whose_answers_each_have_a_feedback(number):
    (cell,) = cells(number, "quiz")
    assert "remove-input" in cell.metadata.tags
    assert cell.source == f'exercises.ask("questions/{number}.json")'
    asked = json.loads((notebooks.ROOT / "book" / "questions" / f"{number}.json").read_text(encoding="utf-8"))
    assert len(asked) >= 2
    for question in asked:
        questions.complaint(question)
        said = [each["feedback"] for each in question["answers"]]
        assert len(set(said)) == len(said) >= 3
        assert not [text for text in said if re.match(r"(?i)(right|wrong|correct|incorrect)\b", text)]
        for text in (question["question"], *said, *(each["answer"] for each in question["answers"])):
            assert text.count("$") % 2 == 0
            assert not re.search(r"<\w|https?:|`", text)
    right = [place for place, _ in places(asked)]
    assert max(map(right.count, right)) <= (len(right) + 1) // 2


def places(asked):
    """Where the right answer of each question stands, and among how many."""
    answers = [[each["correct"] for each in question["answers"]] for question in asked]
    return [(each.index(True), len(each)) for each in answers]


def test_where_the_right_answer_stands_gives_nothing_away():
    """Of questions with as many choices, each place is right as often as chance has it, give or take a tenth."""
    files = list((notebooks.ROOT / "book" / "questions").glob("*.json"))
    found = [place for path in files for place in places(json.loads(path.read_text(encoding="utf-8")))]
    assert len(found) >= 48
    for choices in {choices for _, choices in found}:
        right = [place for place, among in found if among == choices]
        for place in range(choices):
            off = abs(right.count(place) - len(right) / choices)
            assert off <= max(1, len(right) / 10), (place + 1, choices)


QUESTION = {
    "type": "multiple_choice",
    "question": "Is $a < b$ & $x^2$?",
    "answers": [
        {"answer": "<b>yes</b>", "correct": True, "feedback": "F1 $y$"},
        {"answer": "no", "correct": False, "feedback": "F2"},
    ],
}


def test_a_quiz_has_the_same_bytes_each_time_and_needs_nobody():
    one, two = (questions.Quiz("03-a", [QUESTION])._repr_mimebundle_() for _ in range(2))
    assert one == two
    assert one["text/plain"] == "Is $a < b$ & $x^2$?\n    <b>yes</b>\n    no"
    assert not re.search(r"https?://|\son\w+=", one["text/html"])
    assert r"Is \(a &lt; b\) &amp; \(x^2\)?" in one["text/html"]
    assert "<b>yes" not in one["text/html"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "many_choice"}, "type is 'many_choice'"),
        ({"answers": QUESTION["answers"][1:]}, "exactly one of them correct"),
        ({"answers": [*QUESTION["answers"], QUESTION["answers"][0]]}, "exactly one of them correct"),
        ({"answers": [*QUESTION["answers"], {"answer": "perhaps", "correct": False}]}, "a feedback of its own"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        questions.Quiz("name", [{**QUESTION, **change}])


# ---- what checks are made of ------------------------------------------------------------------------------------


def test_what_an_answer_raises_or_changes_is_told_with_the_call():
    def changes(x):
        x[:] = 0

    with pytest.raises(Wrong, match=r"Called with \(an array of shape \(2,\)\), it changed what it was given"):
        Trial(changes)(np.ones(2))
    with pytest.raises(Wrong, match=r"a tensor of shape \(3,\).*it changed"):
        Trial(changes)(torch.ones(3))
    with pytest.raises(Wrong, match=r"Called with \(1, to=2\), it raised TypeError"):
        Trial(lambda x: x)(1, to=2)
    with pytest.raises(NotImplementedError):
        Trial(stub)(1)


def stub(*_):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "returned nothing"),
        (np.ones(2), r"has shape \(2,\), where \(3,\) was asked for"),
        (["a", "b", "c"], "not made of numbers"),
        ([1.0, np.nan, 2.0], "not finite"),
        ([[1], [1, 2], []], "a list, where numbers were asked for"),
    ],
)
def test_a_result_of_another_kind_is_told_of(found, said):
    with pytest.raises(Wrong, match=said):
        shaped(found, (3,))


def test_near_compares_and_says_what_it_is_told():
    near(torch.ones(2), np.ones(2) + 1e-9, "no")
    with pytest.raises(Wrong, match="because"):
        near(1.0, 1.1, "because")


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [("nothing", print, "name is 'nothing'; the exercises with a check are"), ("rest", 3, "give the function itself")],
)
def test_a_wrong_call_of_check_says_what_is_allowed(name, answer, said):
    with pytest.raises(ValueError, match=said):
        exercises.check(name, answer)


# ---- on the page ------------------------------------------------------------------------------------------------

PAGES = [CHAPTERS[number].relative_to(notebooks.ROOT).with_suffix(".html").as_posix() for number in NUMBERS]


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request, browser, site):
    """The first page with exercises, from a file."""
    context = browser.new_context(color_scheme=request.param, reduced_motion="reduce")
    tab = context.new_page()
    said = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(f"{site.as_uri()}/{PAGES[0]}")
    yield tab
    theirs = ("[PST]", "[togglebutton]")
    assert [text for text in said if not text.startswith(theirs)] == []
    context.close()


def test_a_question_is_answered_with_the_keyboard(page):
    (asked, *_) = json.loads((notebooks.ROOT / "book" / "questions" / f"{NUMBERS[0]}.json").read_text(encoding="utf-8"))
    question = page.locator(".lex-quiz .Quiz").first
    assert page.locator(".lex-quiz .Quiz").count() == len(page.locator(".lex-quiz .lex-question").all())
    page.locator(".lex-quiz input").first.focus()
    page.keyboard.press("Space")
    feedback = question.get_by_role("status")
    for number, answer in enumerate(asked["answers"]):
        chosen = question.get_by_role("radio").nth(number)
        assert chosen.is_checked()
        kind = "correct" if answer["correct"] else "incorrect"
        assert feedback.get_attribute("class") == f"Feedback {kind}"
        assert question.locator("label").nth(number).get_attribute("class") == f"MCButton {kind}Button"
        words = re.sub(r"\$.*?\$", "", answer["feedback"])
        assert re.findall(r"\w{4,}", words)[0] in feedback.text_content()
        formulas = answer["feedback"].count("$") // 2
        assert feedback.locator("mjx-container").count() == formulas
        assert Axe().run(page, ".lex-quiz", {"preload": False}).response["violations"] == []
        page.keyboard.press("ArrowDown")
    assert question.get_by_role("radio").first.is_checked()  # around
    assert question.get_by_role("radiogroup").get_attribute("aria-labelledby")


def test_a_solution_opens_and_closes_with_the_keyboard(page):
    solution = page.locator("div.solution").first
    button = solution.locator("button.toggle-button")
    inside = solution.locator("section")
    assert not inside.is_visible()
    button.focus()
    for is_open in (True, False):
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-expanded") == str(is_open).lower()
        assert inside.is_visible() is is_open


def test_without_a_script_and_on_paper_the_questions_are_a_list(browser, site):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{site.as_uri()}/{PAGES[0]}")
    assert tab.locator(".lex-words li").first.is_visible()
    assert tab.locator("div.solution section").first.is_visible()
    context.close()
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(f"{site.as_uri()}/{PAGES[0]}")
    assert not tab.locator(".lex-words li").first.is_visible()
    tab.emulate_media(media="print")
    assert tab.locator(".lex-words li").first.is_visible()
    assert not tab.locator(".lex-choices").is_visible()
    assert not tab.locator("div.solution").first.is_visible()
    context.close()


def test_an_exercise_is_numbered_by_its_chapter(site):
    for number, page in zip(NUMBERS, PAGES, strict=True):
        text = (site / page).read_text(encoding="utf-8")
        wanted = [f"Exercise {int(number)}.{place}" for place, _ in enumerate(labels(number), 1)]
        assert (
            re.findall(r'<p class="admonition-title"><span class="caption-number">(Exercise [\d.]+) ', text) == wanted
        )
