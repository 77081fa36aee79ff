/* Brings the figures of lexviz.explore to life on a static page.

A figure arrives as plain HTML: native controls, an empty plot, read-outs, the first state as plotly's own JSON, and all
states packed (lexviz/page.py says how). This script draws the first state when the figure comes near the window,
unpacks the rest once that is on screen, and from then on looks states up. It computes no mathematics: what it plots is
what Python computed when the book was built.

From file:// a browser runs classic scripts only and fetches nothing, so this is one, and the states lie in the page. */

(function () {
  "use strict";
  const here = document.currentScript.src; // plotly lies beside this file

  /* ---- plotly, once for the whole site, and only where a figure is near ---- */

  let plotly;
  function loadPlotly() {
    plotly = plotly || new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL("plotly.min.js", here).href;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error("plotly.min.js could not be loaded"));
      document.head.append(script);
    });
    return plotly;
  }

  /* ---- the page's colours: plots follow the theme's switch ---- */

  function paint(layout) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    const text = colour("--pst-color-text-base", "#444"), ground = colour("--pst-color-background", "#fff");
    const template = layout.template.layout;
    template.font.color = text;
    template.modebar = { bgcolor: ground, color: text, activecolor: colour("--pst-color-primary", text) };
    template.hoverlabel = { bgcolor: ground, bordercolor: text, font: { color: text } };
    template.xaxis.linecolor = template.yaxis.linecolor = colour("--pst-color-text-muted", text);
  }

  /* ---- unpacking: the reverse of lexviz/page.py ---- */

  async function unpack(text) {
    const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const bytes = await new Response(stream).arrayBuffer();
    const length = new DataView(bytes).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
    const body = bytes.slice(4 + length);
    const ready = new Map(); // an array is decoded when it is first shown

    function codes(number) {
      const [bits, start, count] = head.arrays[number];
      if (bits === 64) return new Float64Array(body.slice(start, start + 8 * count));
      const low = new Uint8Array(body, start, count);
      if (bits === 8) return low;
      const high = new Uint8Array(body, start + count, count);
      return Uint16Array.from(low, (byte, i) => byte + 256 * high[i]);
    }

    function array(number) {
      if (!ready.has(number)) {
        const [bits, , , columns, least, step, log] = head.arrays[number];
        const gap = 2 ** bits - 1;
        const values = Array.from(codes(number), (code) => {
          const value = least + step * code;
          return code === gap || Number.isNaN(code) ? null : log ? 10 ** value : value;
        });
        const rows = columns && Array.from({ length: values.length / columns }, (_, r) => values.slice(r * columns, (r + 1) * columns));
        ready.set(number, rows || values);
      }
      return ready.get(number);
    }

    const paths = head.paths.map(([path, leaves, column]) => ({ path, leaves, column: codes(column) }));
    /* give(path, value) for everything that differs between states, as it is in this one; null: not there */
    return (state, give) => paths.forEach(({ path, leaves, column }) => {
      const leaf = leaves[column[state]];
      give(path, leaf && typeof leaf === "object" && "array" in leaf ? array(leaf.array) : leaf);
    });
  }

  /* ---- one figure ---- */

  const NAMING = ["role", "aria-label", "aria-describedby"]; // what makes the empty plot an image

  class Figure {
    constructor(root) {
      this.root = root;
      this.name = root.dataset.figure;
      this.plot = root.querySelector(".lex-plot");
      this.controls = [...root.querySelectorAll("[data-control]")].map((input) => ({
        input,
        name: input.dataset.control,
        texts: JSON.parse(input.dataset.texts), // each value as a reader sees it,
        keys: JSON.parse(input.dataset.keys), // and as an address has it
        start: Number(input.dataset.start),
      }));
      this.spec = JSON.parse(root.querySelector(".lex-first").textContent);
      this.shown = this.controls.map((control) => control.start).join();
      for (const control of this.controls) control.input.addEventListener("input", () => this.moved());
      this.pauses = []; // one for each slider that can run by itself
      this.running = new Set(); // the buttons of those that do
      root.querySelector(".lex-reset").addEventListener("click", () => this.reset());
      root.querySelector(".lex-link").addEventListener("click", () => this.copyLink());
      root.querySelectorAll(".lex-play").forEach((button) => this.playable(button));
      this.said = this.words();
      this.set(this.controls.map((control) => this.index(control)), false); // a browser may have kept old positions
    }

    index({ input }) {
      return input.type === "checkbox" ? Number(input.checked) : Number(input.value);
    }

    /* Move every control to its index; `byReader` when a reader asked for it. */
    set(indexes, byReader) {
      this.controls.forEach(({ input }, i) => {
        if (input.type === "checkbox") input.checked = indexes[i] === 1;
        else input.value = indexes[i];
      });
      this.moved(byReader);
    }

    moved(byReader = true) {
      for (const control of this.controls) {
        const text = control.texts[this.index(control)];
        if (control.input.type !== "range") continue;
        control.input.setAttribute("aria-valuetext", text);
        control.input.nextElementSibling.value = text;
      }
      if (byReader) this.touched = true;
      // However fast a slider is dragged, at most one state is drawn for each frame that the screen shows.
      if (this.frame || !this.ready) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = undefined;
        this.draw();
      });
    }

    reset() {
      this.pauses.forEach((pause) => pause());
      this.resets = (this.resets || 0) + 1;
      this.shown = undefined; // draw it even if no control has moved: the reader may have zoomed
      this.set(this.controls.map((control) => control.start), true);
    }

    /* A reader's zoom outlives a moved slider, but neither another kind of axis nor a reset. */
    keepZoom() {
      const { layout } = this.spec;
      const typed = Object.keys(layout).filter((name) => /^[xy]axis/.test(name) && layout[name].type);
      layout.uirevision = ["kept", this.resets, ...typed.map((name) => name + layout[name].type)].join();
    }

    /* Plotly writes a reader's zoom and hidden traces into what it is given: it gets copies. */
    copies() {
      this.keepZoom();
      return [this.spec.data.map((trace) => ({ ...trace })), structuredClone(this.spec.layout)];
    }

    repaint() {
      paint(this.spec.layout);
      return window.Plotly.react(this.plot, ...this.copies());
    }

    /* First the state that is in the page as plotly's JSON, then the rest, without blocking either. */
    async live() {
      try {
        const plotly = await loadPlotly();
        const theme = document.documentElement.dataset.theme;
        paint(this.spec.layout);
        const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"] };
        await plotly.newPlot(this.plot, ...this.copies(), config);
        this.root.dataset.state = "first";
        if (document.documentElement.dataset.theme !== theme) await this.repaint(); // it changed meanwhile
        this.states = await unpack(this.root.querySelector(".lex-states").textContent);
        this.ready = true;
        this.root.dataset.state = "ready";
        this.draw();
        this.describe();
      } catch (error) {
        this.root.dataset.state = "failed";
        this.plot.textContent = "This figure could not be drawn: " + error.message;
        for (const name of NAMING) this.plot.removeAttribute(name);
      }
    }

    draw() {
      const indexes = this.controls.map((control) => this.index(control));
      if (indexes.join() === this.shown) return;
      this.shown = indexes.join();
      const state = indexes.reduce((sum, index, i) => sum * this.controls[i].keys.length + index, 0);
      const values = this.root.querySelectorAll(".lex-readouts dd");
      this.states(state, (path, value) => {
        if (path[0] === "readouts") {
          values[path[1]].textContent = value;
          return;
        }
        let part = this.spec;
        for (const step of path.slice(0, -1)) part = part[step] ??= {};
        if (value === null) delete part[path.at(-1)];
        else part[path.at(-1)] = value;
      });
      window.Plotly.react(this.plot, ...this.copies());
      this.rest();
    }

    /* Once the controls rest: browsers refuse a new address at every step, and nobody wants each one read aloud. */
    rest() {
      clearTimeout(this.resting);
      this.resting = setTimeout(() => {
        this.describe();
        if (!this.touched || this.running.size) return;
        history.replaceState(null, "", this.address());
        const words = this.words(); // what has changed is said, not all of it again
        this.say(words.filter((part) => !this.said.includes(part)).join("; "));
        this.said = words;
      }, 300);
    }

    /* For those who listen: plotly's drawing is one image, which says its state; the buttons beside it are no part of it. */
    describe() {
      const [drawing, texts] = this.plot.querySelectorAll(".main-svg");
      if (!texts) return;
      const drawn = [...texts.querySelectorAll(".xtitle, .ytitle, .legendtext")].map((text) => text.textContent);
      const tools = this.plot.querySelector(".modebar");
      const says = `Plot: ${this.words().join("; ")}. Drawn: ${drawn.join(", ")}`;
      const description = this.root.querySelector(".lex-description").id;
      const set = (part, names) => Object.entries(names).forEach(([name, value]) => part.setAttribute(name, value));
      set(drawing, { role: "img", "aria-label": says, "aria-describedby": description });
      set(texts, { "aria-hidden": true });
      set(tools, { role: "group", "aria-label": "Tools of this plot" });
      for (const name of NAMING) this.plot.removeAttribute(name);
    }

    say(text) {
      this.root.querySelector(".lex-status").textContent = text;
    }

    /* The state in words: each control and each read-out with its value. */
    words() {
      const label = (control) => document.querySelector(`label[for="${control.input.id}"]`).textContent;
      return [
        ...this.controls.map((control) => `${label(control)} ${control.texts[this.index(control)]}`),
        ...Array.from(this.root.querySelectorAll(".lex-readouts div"), (row) => [...row.children].map((part) => part.textContent).join(" ")),
      ];
    }

    /* ---- a state has an address: #name:gamma=0.4;base=512 ---- */

    address() {
      const parts = this.controls.map((c) => `${encodeURIComponent(c.name)}=${encodeURIComponent(c.keys[this.index(c)])}`);
      return `#${encodeURIComponent(this.name)}:${parts.join(";")}`;
    }

    visit(parts) {
      const wanted = new Map(parts.split(";").map((part) => part.split("=").map(decodeURIComponent)));
      const indexes = this.controls.map((control) => {
        const key = wanted.get(control.name);
        if (key === undefined) return control.start;
        if (control.keys.includes(key)) return control.keys.indexOf(key);
        const away = control.keys.map((k) => Math.abs(Number(k) - Number(key))); // nearest, for numbers
        return Number.isFinite(Math.min(...away)) ? away.indexOf(Math.min(...away)) : control.start;
      });
      this.set(indexes, false);
      this.root.scrollIntoView({ block: "center" });
      this.root.tabIndex = -1; // from here on with Tab, as after any link to a place in the page
      this.root.focus({ preventScroll: true });
    }

    async copyLink() {
      const url = location.href.split("#")[0] + this.address();
      const button = this.root.querySelector(".lex-link");
      history.replaceState(null, "", this.address());
      try {
        await navigator.clipboard.writeText(url);
        button.textContent = "Copied";
      } catch {
        button.textContent = "See the address bar"; // no clipboard: the address is there
      }
      this.say(button.textContent);
      setTimeout(() => (button.textContent = "Copy link"), 2000);
    }

    /* ---- a slider that runs by itself; who prefers reduced motion gets one step for each press ---- */

    playable(button) {
      const input = button.parentElement.querySelector("input");
      const calm = matchMedia("(prefers-reduced-motion: reduce)");
      let playing;
      const step = () => {
        input.value = Number(input.value) === Number(input.max) ? 0 : Number(input.value) + 1;
        this.moved();
      };
      const pause = () => {
        clearInterval(playing);
        playing = undefined;
        if (this.running.delete(button)) this.rest();
        button.textContent = calm.matches ? "Step" : "Play";
      };
      button.addEventListener("click", () => {
        if (calm.matches) return step();
        if (playing) return pause();
        playing = setInterval(step, 400);
        this.running.add(button);
        button.textContent = "Pause";
      });
      input.addEventListener("pointerdown", pause);
      input.addEventListener("keydown", pause);
      this.pauses.push(pause);
      pause();
    }
  }

  /* ---- all figures of the page ---- */

  document.addEventListener("DOMContentLoaded", () => {
    const figures = new Map();
    for (const root of document.querySelectorAll("figure.lex")) {
      try {
        figures.set(root, new Figure(root));
      } catch (error) { // one that is damaged takes no other along
        root.dataset.state = "failed";
        root.querySelector(".lex-plot").textContent = "This figure could not be read: " + error.message;
      }
    }
    const near = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        figures.get(target).live();
      }
    }, { rootMargin: "600px" });
    figures.forEach((_, root) => near.observe(root));

    new MutationObserver(() => {
      for (const figure of figures.values()) if (/first|ready/.test(figure.root.dataset.state)) figure.repaint();
    }).observe(document.documentElement, { attributeFilter: ["data-theme"] });

    function visit() {
      const [name, parts] = location.hash.slice(1).split(/:(.*)/s);
      if (parts === undefined) return; // an ordinary anchor
      try {
        for (const figure of figures.values()) if (figure.name === decodeURIComponent(name)) figure.visit(parts);
      } catch (error) {
        if (!(error instanceof URIError)) throw error; // not an address that this script has written
      }
    }
    addEventListener("hashchange", visit);
    visit();
  });
})();
