r"""Questions to choose from, which answer each choice: on the site and in a notebook, without a kernel or a network.

A file of questions is a list in jupyterquiz's format. Each has one right answer, and each answer, right or wrong, has
a feedback of its own: why it is so, or what makes it tempting.

    [{"type": "multiple_choice",
      "question": "By how much does $e^{in\\theta}$ turn a number?",
      "answers": [{"answer": "By $n\\theta$.", "correct": true, "feedback": "..."}, ...]}, ...]

Texts are plain, with mathematics between dollars. They stand on the page as a list, which is what one prints, or reads
without JavaScript; jupyterquiz makes the choices of it, and quiz.js puts the words in.
"""

import html
import json
import pathlib
import re

from jupyterquiz.dynamic.loader import load_questions_script
from jupyterquiz.dynamic.renderer import build_script, render_div

_HERE = pathlib.Path(__file__).parent


def ask(path: str) -> "Quiz":
    """The questions in a file, to be put last in a cell.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/sum.json"
    >>> answers = [{"answer": "$2$", "correct": True, "feedback": "One more than one."},
    ...            {"answer": "$11$", "correct": False, "feedback": "One beside one."}]
    >>> question = {"type": "multiple_choice", "question": "What is $1 + 1$?", "answers": answers}
    >>> _ = pathlib.Path(path).write_text(json.dumps([question]))
    >>> ask(path)
    What is $1 + 1$?
        $2$
        $11$
    """
    return Quiz(pathlib.Path(path).stem, json.loads(pathlib.Path(path).read_text(encoding="utf-8")))


class Quiz:
    """What `ask` gives: questions that show themselves in words and as a quiz."""

    def __init__(self, name: str, questions: list[dict]):
        for question in questions:
            complaint(question)
        self.id = "quiz_" + re.sub(r"\W", "_", name)  # jupyterquiz uses it as a name in JavaScript
        self.questions = questions

    def __repr__(self) -> str:
        lines = []
        for question in self.questions:
            lines += [question["question"], *(f"    {each['answer']}" for each in question["answers"])]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {"text/plain": repr(self), "text/html": self.html()}

    def html(self) -> str:
        """The list of questions, and the quiz that takes its place where scripts run; the same at every call."""
        listed, answered, slots = "", "", []
        for i, question in enumerate(self.questions):
            listed += f"<p {_says(i)} class='lex-question'>{_marked(question['question'])}</p><ul>"
            answered += f"<p>{_marked(question['question'])}</p><ul>"
            slots.append({"type": "multiple_choice", "question": _slot(i), "answers": []})
            for j, each in enumerate(question["answers"]):
                answer, right = _marked(each["answer"]), "Right" if each["correct"] else "Wrong"
                listed += f"<li {_says(i, j)}>{answer}</li>"
                why = f"<span {_says(i, j, 'why')}>{_marked(each['feedback'])}</span>"
                answered += f"<li>{answer} <b>{right}.</b> {why}</li>"
                slot = {"answer": _slot(i, j), "feedback": _slot(i, j, "why"), "correct": each["correct"]}
                slots[-1]["answers"].append(slot)
            listed, answered = f"{listed}</ul>", f"{answered}</ul>"
        words = f"{listed}<details><summary>Answers</summary>{answered}</details>"
        style = (_HERE / "quiz.css").read_text(encoding="utf-8")
        choices = render_div(self.id, False, False, False, len(slots), 0, 0, "left")
        choices = choices.replace("<div ", '<div class="lex-choices" ', 1)
        return (
            f'<div class="lex-quiz"><style>{style}</style><div class="lex-words mathjax_process">{words}</div>'
            f"{choices}</div><script>{self._script(slots)}</script></div>"
        )

    def _script(self, slots: list[dict]) -> str:
        start, static, url = load_questions_script(slots, self.id)
        made = build_script(start, static, url, self.id, True)
        # jupyterquiz's script is told of no MathJax, which it would have typeset words that are not yet there or load
        # anew from another host, and of no console.
        made = re.sub("https://[^']*mathjax[^']*", "", made)
        ours = (_HERE / "quiz.js").read_text(encoding="utf-8").replace("QUIZ", self.id)
        return f"(function (MathJax, console) {{\n{made}}})(undefined, {{ log() {{}}, error() {{}} }});\n{ours}"


def complaint(question: dict) -> None:
    """Refuse a question that could not be asked, or not be answered by ear and keyboard.

    >>> complaint({"type": "numeric", "question": "How many?", "answers": []})
    Traceback (most recent call last):
    ValueError: type is 'numeric' in "How many?"; only multiple_choice works with the keyboard and by ear
    """
    said = question.get("question", "")
    if question.get("type") != "multiple_choice":
        raise ValueError(
            f'type is {question.get("type")!r} in "{said}"; only multiple_choice works with the keyboard and by ear'
        )
    answers = question.get("answers", [])
    if [each.get("correct") for each in answers].count(True) != 1 or len(answers) < 2:
        raise ValueError(f'answers of "{said}" are {len(answers)}; two or more are needed, exactly one of them correct')
    for each in answers:
        if not each.get("answer") or not each.get("feedback"):
            raise ValueError(f'an answer of "{said}" is {each}; each needs a text and a feedback of its own')


def _marked(text: str) -> str:
    r"""As HTML, with formulas as MathJax looks for them: \( \)."""
    return re.sub(r"\$([^$]+)\$", r"\\(\1\\)", html.escape(text, quote=False))


def _says(*place) -> str:
    return f'data-says="{".".join(map(str, place))}"'


def _slot(*place) -> str:
    return f'<span data-words="{".".join(map(str, place))}"></span>'
