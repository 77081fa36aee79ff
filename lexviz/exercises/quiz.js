/* Puts the words into the quiz that jupyterquiz has made, and tells those who listen what it is. */
(function start() {
  const quiz = document.getElementById("QUIZ");
  if (!quiz || !quiz.querySelector(".Feedback")) {
    setTimeout(start, 200); /* in JupyterLab, which shows an output some time after it has run its script */
    return;
  }
  const root = quiz.parentElement, words = root.querySelector(".lex-words");
  /* Formulas are typeset where the words stand, sooner or later, and the quiz shows what stands there. */
  const fill = () => quiz.querySelectorAll("[data-words]").forEach((slot) => {
    const said = words.querySelector(`[data-says="${slot.dataset.words}"]`).innerHTML;
    if (slot.innerHTML !== said) slot.innerHTML = said;
  });
  new MutationObserver(fill).observe(root, { childList: true, subtree: true });
  fill();
  for (const question of quiz.querySelectorAll(".Quiz")) {
    const asked = question.querySelector(".MultipleChoiceQn"), answers = question.querySelector(".Answer");
    answers.setAttribute("role", "radiogroup");
    answers.setAttribute("aria-labelledby", asked.id);
    question.querySelector(".Feedback").setAttribute("role", "status");
  }
  root.classList.add("lex-live");
})();
