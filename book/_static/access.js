/* Puts right what the theme leaves out for those who read with the keyboard or by ear. */

(function () {
  "use strict";
  const all = (selector) => [...document.querySelectorAll(selector)];

  addEventListener("DOMContentLoaded", () => {
    /* The page that one is on, in the list of pages. */
    all("nav.bd-links .current > a").forEach((link) => link.setAttribute("aria-current", "page"));

    /* The theme's windows have no names, and its buttons say "toggle" whatever they do. */
    const names = { primary: "Contents of the book", secondary: "Contents of this page" };
    for (const [side, name] of Object.entries(names)) {
      all(`#pst-${side}-sidebar-modal, .${side}-toggle`).forEach((part) => part.setAttribute("aria-label", name));
    }
    all("#pst-search-dialog").forEach((dialog) => dialog.setAttribute("aria-label", "Search"));

    /* On wide screens a button folds the list of pages away; it says whether it has. */
    const folds = document.querySelector(".primary-toggle"), sidebar = document.querySelector("#pst-primary-sidebar");
    const say = () => folds.setAttribute("aria-expanded", sidebar.checkVisibility());
    new MutationObserver(say).observe(sidebar, { attributeFilter: ["class"] });
    addEventListener("resize", say);
    say();

    /* Which colours are chosen. */
    const modes = { auto: "as the system", light: "light", dark: "dark" };
    const switches = all(".theme-switch-button");
    const tell = () => switches.forEach((button) => (button.ariaLabel = `Colours: ${modes[document.documentElement.dataset.mode]}`));
    new MutationObserver(tell).observe(document.documentElement, { attributeFilter: ["data-mode"] });
    tell();

    /* The theme's button prints by a handler in its tag, which the page's policy (tools/policy.py) lets nobody have. */
    all(".btn-download-pdf-button").forEach((button) => button.addEventListener("click", () => print()));

    /* The theme takes the focus from these when they are pressed, also from a reader who has nothing but the focus. */
    for (const button of all(".theme-switch-button, .search-button, .primary-toggle, .secondary-toggle")) {
      button.blur = () => button.matches(":focus-visible") || HTMLElement.prototype.blur.call(button);
    }
  });

  /* A formula that is wider than its place scrolls, and can be reached to do so. */
  const wide = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  addEventListener("load", () => {
    all('mjx-container[display="true"]').forEach((formula) => wide.observe(formula));
  });
})();
