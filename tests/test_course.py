"""A course from the book: editions that differ by their tags alone, slides that fit and move, graded assignments."""

import itertools
import json
import re
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import bs4
import nbclient
import nbformat
import pypdf
import pytest
from axe_playwright_python.sync_playwright import Axe

import course
import editions
import notebooks
import slides
from student import versions

BOOK, ROOT = editions.BOOK, notebooks.ROOT
TAUGHT = course.taught()
SAMPLE = "04-oscillation-versus-decay"  # the chapter whose slides, handout and assignment the default run makes
NOTEBOOKS = [path for path in notebooks.pages() if path.suffix == ".ipynb"]


def build(folder, chapters):
    """In a thread of its own: the tests' browser has an event loop in this one, and printing starts another."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(course.build, folder, chapters).result()


@pytest.fixture(scope="session")
def made(site, tmp_path_factory):
    """The course, with slides, handout and assignment of one chapter."""
    folder = tmp_path_factory.mktemp("course")
    build(folder, [SAMPLE])
    return folder


@pytest.fixture(scope="session")
def made_whole(site, tmp_path_factory):
    """The whole course."""
    folder = tmp_path_factory.mktemp("whole")
    build(folder, TAUGHT)
    return folder


def tagged(cell, tag):
    return tag in cell["metadata"].get("tags", [])


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


# ---- the notebooks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_students_have_what_teachers_have_less_what_the_tags_say(made, path):
    if path.stem.startswith(editions.TEACHERS):
        assert not (made / "student" / path.name).exists()
        return
    book, student, teacher = cells(path), cells(made / "student" / path.name), cells(made / "teacher" / path.name)
    less = [cell for cell in teacher if not tagged(cell, "solution") and not tagged(cell, "teacher")]
    assert [cell["id"] for cell in less] == [cell["id"] for cell in student]
    for theirs, ours in zip(less, student, strict=True):
        to_teachers = re.findall(rf"\[([^\]]+)\]\({editions.TEACHERS}[^)]*\)", source(theirs))
        assert (theirs == ours) != bool(to_teachers)
    # of the book's cells none is lost, and of code nothing is changed
    assert [cell["id"] for cell in student] == [cell["id"] for cell in book if not tagged(cell, "solution")]
    code = [cell for cell in teacher if cell["cell_type"] == "code"]
    assert [(cell["source"], cell["outputs"]) for cell in code] == [
        (cell["source"], cell["outputs"]) for cell in book if cell["cell_type"] == "code"
    ]
    notes = [source(cell) for cell in teacher if tagged(cell, "teacher")]
    assert len(notes) == sum("teacher" in cell["metadata"] for cell in book)
    assert not any(name in cell["metadata"] for cell in student + teacher for name in ("slides", "teacher"))
    assert not any(cell["metadata"].get("jupyter") for cell in teacher)
    assert not re.search(r"^[:`]{3,}\{(exercise|solution)", "\n".join(map(source, student + teacher)), re.M)


def strings(part):
    """All texts anywhere in a JSON document."""
    if isinstance(part, dict):
        part = [*part, *part.values()]
    if isinstance(part, list):
        return itertools.chain.from_iterable(map(strings, part))
    return [part] if isinstance(part, str) else []


def parted(path):
    """What a chapter says to everybody, and what to teachers alone: solutions, notes, what the speaker says."""
    everybody, teachers = [], []
    for cell in cells(path):
        part = teachers if tagged(cell, "solution") else everybody
        part.extend(strings([cell["source"], cell.get("outputs", [])]))
        teachers.append(cell["metadata"].get("teacher", ""))
        teachers += [about["notes"] for about in cell["metadata"].get("slides", ())]
    return "\n".join(everybody), "\n".join(teachers)


def secrets(name):
    """Lines of some length that only the teachers of a chapter have."""
    everybody = "\n".join(parted(path)[0] for path in NOTEBOOKS)
    lines = {line.strip() for line in parted(BOOK / f"{name}.ipynb")[1].splitlines()}
    found = [line for line in lines if len(line) > 20 and line not in everybody and "{solution" not in line]
    assert len(found) > 20
    return found


def test_no_solution_is_anywhere_in_what_students_get(made):
    files = [path for path in (made / "student").rglob("*") if path.suffix in (".ipynb", ".md", ".json", ".py", ".txt")]
    texts = [path.read_text(encoding="utf-8") for path in files]
    texts += [each for path in files if path.suffix == ".ipynb" for each in strings(json.loads(path.read_text()))]
    have = "\n".join(texts)
    for name in TAUGHT:
        assert [line for line in secrets(name) if line in have] == []


def test_all_that_the_notebooks_lead_to_lies_beside_them(made):
    for folder in (made / "student", made / "teacher"):
        links = 0
        for path in folder.glob("*.*"):
            if path.suffix not in (".ipynb", ".md"):
                continue
            text = "\n".join(map(source, cells(path))) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
            for goal in re.findall(r"\]\(([^)\s]+)\)|ask\(\"([^\"]+)\"\)", text):
                file = "".join(goal).split("#")[0]
                if file and not re.match(r"https?:|mailto:", file):
                    links += 1
                    assert (folder / file).exists() or file.startswith("../slides/"), (path.name, file)
        assert links > 50


def run_alone(path, folder):
    """Run a student's notebook where there is nothing but the student's folder."""
    shutil.copytree(path.parent, folder, dirs_exist_ok=True)
    notebook = nbformat.read(folder / path.name, as_version=4)
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        if tagged(cell, "stub"):
            assert "nothing to check yet" in cell.outputs[0].text


def test_a_students_notebook_runs_from_its_folder_alone(made, tmp_path):
    run_alone(made / "student" / f"{SAMPLE}.ipynb", tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in TAUGHT if name != SAMPLE])
def test_every_students_notebook_does(made, tmp_path, name):
    run_alone(made / "student" / f"{name}.ipynb", tmp_path)


# ---- a student's environment ------------------------------------------------------------------------------------


def test_the_library_is_in_the_students_folder_whole(made):
    (wheel,) = (made / "student").glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("lexviz/")}
    assert packed == {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "lexviz").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_students_requirements_are_what_is_installed_here(made):
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--quiet", "-r", "requirements.txt"]
    done = subprocess.run(command, cwd=made / "student", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([sys.executable, "versions.py"], cwd=made / "student", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Everything is as it should be: Python 3.")


@pytest.mark.parametrize("name", versions.NEEDED)
def test_a_wrong_version_is_said_in_words(made, monkeypatch, name):
    text = (made / "student" / "requirements.txt").read_text()
    assert versions.wrong(text) == []
    right = versions.installed
    monkeypatch.setattr(versions, "installed", lambda asked: "0.1" if asked == name else right(asked))
    pin = re.search(rf"^{name}==(\S+)$", text, re.M)[1]
    purpose = versions.NEEDED[name]
    assert versions.wrong(text) == [f"{name}, {purpose}, is version 0.1; the notebooks were made with {pin}."]
    monkeypatch.setattr(versions, "installed", lambda asked: "" if asked == name else right(asked))
    assert versions.wrong(text) == [f"{name}, {purpose}, is not installed; {pin} is needed."]


def test_without_its_library_or_its_folder_the_check_says_so(made, monkeypatch, tmp_path):
    text = (made / "student" / "requirements.txt").read_text()
    monkeypatch.setattr(versions, "installed", lambda asked: "")
    assert versions.wrong(text)[0].startswith("lexviz, ")
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    assert "Python is " in versions.wrong(text)[1]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"There is no requirements\.txt in "):
        versions.main()


@pytest.mark.full
def test_one_command_makes_a_fresh_environment(made, tmp_path):
    """With the package index and the network of whoever runs this."""
    shutil.copytree(made / "student", tmp_path / "student")
    command = ["python3", "start.py", "--version"]
    done = subprocess.run(command, cwd=tmp_path / "student", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything is as it should be" in done.stdout


# ---- slides -----------------------------------------------------------------------------------------------------

# What of the slide that is shown sticks out of it, and letters that are smaller than the back row can read.
CUT = """() => {
  const slide = Reveal.getCurrentSlide(), edge = slide.getBoundingClientRect(), scale = edge.width / 1280;
  const said = [...slide.querySelectorAll("*")].filter(part => {
    const box = part.getBoundingClientRect();
    if (!part.checkVisibility() || box.width < 2 || box.height < 2) return false;
    if (part.closest("aside, figcaption, .lex-description, .lex-status, mjx-assistive-mml, svg *")) return false;
    return box.left < edge.left - 1 || box.right > edge.right + 1 || box.top < edge.top || box.bottom > edge.bottom + 1;
  }).map(part => `cut: ${part.outerHTML.slice(0, 80)}`);
  if (slide.scrollWidth > 1280 || slide.scrollHeight > 720) said.push(`${slide.scrollWidth} x ${slide.scrollHeight}`);
  const least = { "p, li": 28, "td, th": 24, pre: 20, ".lex-controls": 20, ".lex-readouts": 20, h2: 40 };
  for (const [parts, size] of Object.entries(least)) {
    for (const part of slide.querySelectorAll(`:is(${parts}):not(aside *, figure p)`)) {
      if (parseFloat(getComputedStyle(part).fontSize) < size) said.push(`small: ${part.outerHTML.slice(0, 80)}`);
    }
  }
  const plot = slide.querySelector(".lex-plot");
  for (const part of slide.querySelectorAll(".lex-beside :is(dd, .lex-control > *)")) {
    if (part.getBoundingClientRect().right > plot.getBoundingClientRect().left) said.push(`over: ${part.outerHTML}`);
  }
  if (plot && plot.getBoundingClientRect().height < 300 * scale) said.push("less than 300 pixels for the plot");
  return said;
}"""


@pytest.fixture
def show(browser):
    """Opens slides from a file; whatever goes wrong or is asked of another host fails the test."""
    contexts, wrong = [], []

    def open_(path, address=""):
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="reduce"))
        contexts[-1].route(
            re.compile("^(?!file:|data:|blob:|about:)"), lambda route: (wrong.append(route), route.abort())
        )
        tab = contexts[-1].new_page()
        tab.set_default_timeout(60_000)
        tab.on("pageerror", lambda error: wrong.append(error))
        tab.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        tab.on("requestfailed", lambda asked: wrong.append(asked.url))
        tab.goto(path.as_uri() + address)
        tab.wait_for_function("Reveal.isReady()")
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


def walk(tab):
    """Every slide of a presentation, shown, its figure drawn: its number."""
    for number in range(tab.evaluate("Reveal.getTotalSlides()")):
        tab.evaluate("number => Reveal.slide(number)", number)
        if tab.locator("section.present section.present figure.lex").count():
            tab.locator(
                "section.present section.present figure.lex:is([data-state=ready], [data-state=failed])"
            ).wait_for()
        yield number


def told(name):
    """What a chapter's cells say of its slides."""
    return [about for cell in cells(BOOK / f"{name}.ipynb") for about in cell["metadata"].get("slides", ())]


def check_slides(tab, name):
    """All slides of a chapter: complete, nothing cut, with notes, told to those who do not see them."""
    wanted = told(name)
    assert tab.evaluate("Reveal.getTotalSlides()") == len(wanted)
    for number in walk(tab):
        slide = tab.locator("section.present section.present")
        assert tab.evaluate(CUT) == [], (number + 1, wanted[number]["title"])
        assert slide.locator("h1, h2").count() == 1
        assert tab.evaluate("Reveal.getSlideNotes().trim().length") > 20
        formulas = slide.locator(".math:not(aside *)").count()
        assert slide.locator("mjx-assistive-mml > math:not(aside *)").count() == formulas
        for figure in slide.locator("figure.lex").all():
            assert figure.get_attribute("data-state") == "ready"
            assert len(tab.locator(f"#{figure.get_attribute('aria-labelledby')}").text_content()) > 20
            plot = figure.locator("svg[role=img]")
            assert plot.get_attribute("aria-label").startswith("Plot: ")
            assert len(tab.locator(f"#{plot.get_attribute('aria-describedby')}").text_content()) > 60
        assert slide.locator("img:not([alt])").count() == 0


def test_the_slides_of_a_chapter_fit_and_are_told(made, show):
    tab = show(made / "slides" / f"{SAMPLE}.html")
    check_slides(tab, SAMPLE)
    tab.set_viewport_size({"width": 1920, "height": 1080})  # a beamer: all of it grows
    tab.wait_for_function(
        "Math.abs(document.querySelector('section.present').getBoundingClientRect().width - 1920) < 1"
    )
    assert tab.evaluate(CUT) == []


@pytest.mark.full
@pytest.mark.parametrize("name", TAUGHT)
def test_the_slides_of_every_chapter_fit_and_are_told(made_whole, show, name):
    check_slides(show(made_whole / "slides" / f"{name}.html"), name)


@pytest.mark.parametrize("name", TAUGHT)
def test_a_chapter_has_slides_enough_and_none_says_too_much(name):
    wanted = told(name)
    assert 8 <= len(wanted) <= 14
    for about in wanted:
        assert len(about.get("text", "").split()) <= 60, about["title"]
        assert 2 <= len(re.findall(r"[.!?:](?:\s|$)", about["notes"])), about["title"]
        assert re.search(r"minute", about["notes"]), about["title"]  # how long it takes
    book = nbformat.read(BOOK / f"{name}.ipynb", as_version=4)
    for cell in book.cells:
        for output in cell.get("outputs", ()):
            if output.get("data", {}).get("text/plain", "").startswith("Figure "):
                output.data = {"text/html": "<p>the figure</p>"}
    assert slides.deck(book).count("{revealjs-notes}") == len(wanted)  # code and outputs are as short as they must be


def test_axe_finds_nothing_on_slides(made, show):
    tab = show(made / "slides" / f"{SAMPLE}.html")
    kinds = {}
    for number in walk(tab):
        kinds.setdefault(tab.evaluate("!!Reveal.getCurrentSlide().querySelector('figure')"), number)
    assert kinds.keys() == {True, False}
    for number in kinds.values():
        tab.evaluate("number => Reveal.slide(number)", number)
        less = {"exclude": [".lex-plot svg", "mjx-container > svg", ".controls", ".backgrounds"]}
        off = {rule: {"enabled": False} for rule in ("page-has-heading-one", "heading-order", "region")}  # one slide
        how = {"resultTypes": ["violations"], "rules": off, "preload": False}  # from a file, no style can be read again
        found = Axe().run(tab, less, how).response["violations"]
        assert [(rule["id"], node["target"]) for rule in found for node in rule["nodes"]] == []


def paths(figure):
    """What a plot draws, as it stands in the page."""
    return figure.locator(".main-svg").first.evaluate("svg => svg.querySelector('.cartesianlayer').innerHTML")


def test_a_slider_on_a_slide_moves_the_plot_and_not_the_slides(made, show):
    tab = show(made / "slides" / f"{SAMPLE}.html")
    for _ in walk(tab):
        slider = tab.locator("section.present section.present figure.lex input[type=range]")
        if slider.count():
            break
    number, figure = tab.evaluate("Reveal.getIndices().h"), tab.locator("section.present section.present figure.lex")
    slider.first.focus()
    tab.keyboard.press("Home")
    tab.wait_for_timeout(100)
    before = paths(figure)
    start = slider.first.input_value()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("([input, start]) => input.value !== start", arg=[slider.first.element_handle(), start])
    tab.wait_for_timeout(100)
    assert paths(figure) != before
    assert tab.evaluate("Reveal.getIndices().h") == number
    figure.locator(".lex-reset").focus()  # where Space presses the button, and the arrows lead on
    tab.keyboard.press("Space")
    assert tab.evaluate("Reveal.getIndices().h") == number
    assert slider.first.input_value() == slider.first.get_attribute("data-start")
    slider.first.focus()
    tab.keyboard.press("Escape")  # the keys are the slides' again
    assert not tab.evaluate("Reveal.isOverview()")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("Reveal.getIndices().h") == number + 1
    tab.keyboard.press("ArrowLeft")
    slider.first.focus()
    tab.keyboard.press("PageDown")  # a clicker changes the slide, whatever has the focus
    assert tab.evaluate("[Reveal.getIndices().h, document.activeElement.tagName]") == [number + 1, "BODY"]
    assert tab.evaluate("location.hash") == f"#/{number + 1}"


def test_a_figures_address_opens_its_slide_in_that_state(made, show):
    teacher = "\n".join(map(source, cells(made / "teacher" / f"{SAMPLE}.ipynb")))
    found = re.search(rf"\]\(\.\./slides/{SAMPLE}\.html(#([\w-]+):([^)]+))\)", teacher)
    assert found  # a teacher's note leads there
    tab = show(made / "slides" / f"{SAMPLE}.html", found[1])
    figure = tab.locator("section.present section.present figure.lex")
    assert figure.get_attribute("data-figure") == found[2]
    keys = """all => all.map(control => [control.dataset.control,
        JSON.parse(control.dataset.keys)[control.type === "checkbox" ? +control.checked : +control.value]])"""
    state = dict(figure.locator("[data-control]").evaluate_all(keys))
    asked = dict(part.split("=") for part in found[3].replace("%20", " ").split(";"))
    assert {name: state[name] for name in asked} == asked
    assert tab.evaluate("location.hash") == found[1]
    assert tab.evaluate("[scrollX, scrollY, document.querySelector('.reveal').scrollTop]") == [0, 0, 0]


def test_the_speakers_window_has_the_notes_and_the_next_slide(made, show):
    tab = show(made / "slides" / f"{SAMPLE}.html")
    with tab.context.expect_page() as opened:
        tab.keyboard.press("s")
    window = opened.value
    notes = window.locator(".speaker-controls-notes .value")
    for about in told(SAMPLE)[:3]:
        first = re.match(r"[\w ]+", about["notes"])[0]
        window.wait_for_function(
            "([part, text]) => part.textContent.includes(text)", arg=[notes.element_handle(), first]
        )
        tab.keyboard.press("ArrowRight")


def test_slides_ask_for_what_they_need_once(made):
    folder = made / "slides"
    assert len([*folder.rglob("plotly*.js")]) == 1
    page = (folder / f"{SAMPLE}.html").read_text(encoding="utf-8")
    assert not re.search(r"<(?:script|link)[^>]*(?:src|href)=\"https?:", page)
    assert "plotly.min.js" not in page  # explore.js loads it where there is a figure


def test_bad_slides_are_refused():
    cell = nbformat.v4.new_code_cell("x = 1\n" * 11)
    wide = nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("stream", text="x" * 100)])
    with pytest.raises(ValueError, match=r"the slide 'A': a slide does not hold 1 lines of up to 100 characters"):
        slides.slide(wide, {"title": "A", "show": "output", "notes": "n"}, 2)
    with pytest.raises(ValueError, match=r"'A' shows more than 10 lines of code"):
        slides.slide(cell, {"title": "A", "show": "both", "notes": "n"}, 2)
    with pytest.raises(ValueError, match=r"show is 'figure'; it must be output, code or both"):
        slides.slide(cell, {"title": "A", "show": "figure", "notes": "n"}, 2)
    with pytest.raises(ValueError, match=r"slides has 'note'; a slide has title, text, notes and show"):
        slides.slide(cell, {"title": "A", "note": "n"}, 2)


# ---- on paper ---------------------------------------------------------------------------------------------------


def test_the_handout_has_every_slide_and_what_is_said(made, browser):
    book = pypdf.PdfReader(made / "handout" / f"{SAMPLE}.pdf")
    text = re.sub(r"\s", "", "".join(page.extract_text() for page in book.pages))
    wanted = told(SAMPLE)
    assert len(book.pages) == -(-len(wanted) // 2)  # two to a page
    for about in wanted:
        for words in (about["title"], about["notes"]):
            plain = re.split(r"[$*`\[{<]", words)[0]  # up to a formula or a link
            assert re.sub(r"\s", "", plain) in text, words


# ---- otter-grader -----------------------------------------------------------------------------------------------

GRADE = """
import json, sys
from otter.api import grade_submission
paths = json.loads(sys.argv[1])
results = [grade_submission(path, sys.argv[2], quiet=True) for path in paths]
print("GRADES", json.dumps([[r.total, r.possible, {n: t.score for n, t in r.results.items()}] for r in results]))
"""


def grades(submissions, grader):
    """What otter gives for notebooks: [[points, of how many, {exercise: points}], ...]."""
    command = [sys.executable, "-c", GRADE, json.dumps([str(path) for path in submissions]), str(grader)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=grader.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(re.search(r"GRADES (.*)", done.stdout)[1])


def stubs(name):
    """The exercises of a chapter that are graded, and how hard each is."""
    book, found = cells(BOOK / f"{name}.ipynb"), {}
    for text, cell in itertools.pairwise(book):
        if tagged(cell, "stub"):
            found[re.search(r'check\("(\w+)"', source(cell))[1]] = int(re.search(r"Difficulty (\d)", source(text))[1])
    return found


def check_otter(folder, name, tmp_path):
    """Right answers get all points; one wrong answer, one stub and nothing else wrong, less theirs."""
    worth = stubs(name)
    student = folder / "student" / f"{name}.ipynb"
    text = student.read_text(encoding="utf-8")
    have = "\n".join(strings(json.loads(text)))
    assert [line for line in secrets(name) if line in have] == []
    right = {}
    for cell in cells(BOOK / f"{name}.ipynb"):
        if tagged(cell, "solution") and cell["cell_type"] == "code":
            for exercise in re.findall(r'check\("(\w+)"', source(cell)):
                right[exercise] = source(cell)
    assert right.keys() == worth.keys()
    wrong, *_ = worth
    handed_in = []
    for answers in (right, {**right, wrong: f"def {wrong}(*arguments, **named):\n    return 0"}):
        notebook = nbformat.read(student, as_version=4)
        for cell in notebook.cells:
            for exercise, answer in answers.items():
                if cell.cell_type == "code" and f'check("{exercise}"' in cell.source and "grader" not in cell.source:
                    cell.source = cell.source.split("def ")[0] + answer
        handed_in.append(tmp_path / f"{len(handed_in)}" / student.name)
        handed_in[-1].parent.mkdir()
        nbformat.write(notebook, handed_in[-1])
    good, bad = grades(handed_in, folder / "autograder" / "autograder.zip")
    total = sum(worth.values())
    assert good == [total, total, worth | good[2]]
    assert (bad[0], bad[1], bad[2][wrong]) == (total - worth[wrong], total, 0)


def test_otter_grades_a_right_and_a_wrong_submission(made, tmp_path):
    check_otter(made / "otter" / SAMPLE, SAMPLE, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in TAUGHT if name != SAMPLE])
def test_otter_grades_every_chapter(made_whole, tmp_path, name):
    check_otter(made_whole / "otter" / name, name, tmp_path)


# ---- the way in -------------------------------------------------------------------------------------------------


def test_the_index_leads_to_everything(made, browser):
    page = bs4.BeautifulSoup((made / "index.html").read_text(encoding="utf-8"), "html.parser")
    links = [link["href"] for link in page.select("a[href]")]
    assert len(links) == 6
    for link in links:
        assert (made / link).exists(), link
    tab = browser.new_page()
    tab.goto((made / "index.html").as_uri())
    assert Axe().run(tab).response["violations"] == []
    tab.close()
