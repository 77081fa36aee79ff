/* What the slides add to reveal.js: addresses of figures, keys that a control and the slides do not fight for, and notes
   whose formulas every browser draws. A figure's own script, explore.js, is the book's. */

(function () {
  "use strict";
  const CONTROL = "figure.lex :is(input, select, button)";

  /* A slide's address is #/3, that of a figure in some state the book's own, #name:gamma=0.4, which explore.js reads. */
  function visit() {
    const { hash } = location, name = hash.slice(1).split(":")[0];
    const figure = !name.startsWith("/") && document.getElementById(`lex-${decodeURIComponent(name)}`);
    const { h, v } = figure ? Reveal.getIndices(figure.closest("section")) : { h: Number(name.slice(1).split("/")[0]), v: 0 };
    Reveal.slide(h || 0, v || 0);
    if (hash) history.replaceState(null, "", hash);
    document.querySelector(".reveal").scrollIntoView(); // explore.js scrolls to its figure, as on a page
  }

  /* While a control has the focus its keys are its own; Escape gives them back, and a presenter's clicker (Page Up and
     Page Down) always changes the slide. A button needs two keys only. */
  const leaves = (event) => {
    const part = event.target.closest(CONTROL);
    return !part || (part.tagName === "BUTTON" && ![" ", "Enter"].includes(event.key));
  };
  function pressed(event) {
    if (!event.target.closest(CONTROL)) return;
    if (event.key === "Escape") event.target.blur();
    else if (event.key === "PageDown") Reveal.next();
    else if (event.key === "PageUp") Reveal.prev();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function start() {
    Reveal.configure({ keyboardCondition: leaves });
    document.querySelector(".reveal").removeAttribute("role"); // an "application" has no text to be read
    addEventListener("keydown", pressed, { capture: true });
    Reveal.on("slidechanged", ({ indexh, currentSlide }) => {
      if (!currentSlide.contains(document.activeElement)) document.activeElement.blur();
      history.replaceState(null, "", `#/${indexh}`);
    });
    addEventListener("hashchange", visit);
    visit();
    // The speaker's window has none of this page's style: formulas go there as MathML.
    document.querySelectorAll("aside.notes mjx-container").forEach((formula) => {
      formula.replaceWith(formula.querySelector("mjx-assistive-mml > math"));
    });
  }
  if (Reveal.isReady()) start();
  else Reveal.on("ready", start);
})();
