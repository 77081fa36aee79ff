/* Brings the figures of lexviz.explore to life on a static page.

A figure arrives as plain HTML: native controls, a picture of its first state (tools/pictures.py), read-outs, that state
as plotly's own JSON, and all states packed (lexviz/page.py says how). The picture is what a reader sees first. When the
page is complete and the figure near the window, or at once when it is touched, this script puts plotly's plot in place
of the picture and from then on looks states up. It computes no mathematics: what it plots is what Python computed when
the book was built. Colours are explore.css's: picture, plot, paper and both themes follow the same rules.

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
      script.onerror = () => {
        plotly = undefined; // the next figure tries again
        reject(new Error("plotly.min.js could not be loaded"));
      };
      document.head.append(script);
    });
    return plotly;
  }

  /* ---- unpacking: the reverse of lexviz/page.py ---- */

  async function unpack(text, first) {
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
    let last = first;
    /* [[path, value], ...] of all that differs between the last state asked for and this one; null: not there */
    return (state) => {
      const changed = paths.filter(({ column }) => column[state] !== column[last]);
      last = state;
      return changed.map(({ path, leaves, column }) => {
        const leaf = leaves[column[state]];
        return [path, leaf && typeof leaf === "object" && "array" in leaf ? array(leaf.array) : leaf];
      });
    };
  }

  /* ---- the short way to draw ---- */

  const NUMBERS = ["x", "y", "z", "text", "customdata", "hovertemplate"], ENDS = ["range", "tickvals", "ticktext"];
  const isAxis = (name) => /^[xy]axis\d*$/.test(name);
  const numeric = (array) => Array.isArray(array) && array.length > 0 && array.every((v) => typeof v !== "string");
  const draws = {
    scatter: (trace, given) => given.mode && !trace.stackgroup,
    heatmap: (trace) => trace.zauto === false,
    bar: () => true,
  };

  /* Draws `changes` without Plotly.react, and says whether it did. Most moves change the numbers of lines, bars and maps,
     some an axis' ends or title: for these plotly's own steps from numbers to drawn paths are enough, a thirtieth of the
     time that it takes to go through all defaults, texts, margins and buttons again. Anything else, and whatever the
     reader has zoomed or hidden, is left to react. What hovering, zooming and a later react need is kept as react would. */
  function drawNumbers(plot, spec, changes) {
    const full = plot._fullLayout, moved = new Set(), axes = {};
    if (plot._fullData.some((trace) => trace.visible !== true)) return false;
    for (const [path, value] of changes) {
      const [kind, name, part, ...rest] = path;
      if (value === null) return false;
      if (kind === "data" && NUMBERS.includes(part) && !rest.length) {
        const trace = plot._fullData[name], map = trace?.type === "heatmap";
        if (!trace) return false; // a new one
        if ("xyz".includes(part) && !(map && part === "z" ? value.length && value.every(numeric) : numeric(value))) return false;
        if (!draws[trace.type]?.(trace, spec.data[name])) return false;
        moved.add(name);
      } else if (kind === "layout" && isAxis(name) && ENDS.includes(part) && !rest.length) {
        const { range, autorange } = full[name], set = spec.layout[name].range;
        if (!set || autorange || set.some((end, i) => end !== range[i])) return false; // zoomed
        axes[`${name}.range`] ??= [...set];
        if (part === "range") axes[`${name}.range`] = [...value];
      } else if (kind === "layout" && isAxis(name) && part === "title" && rest.join() === "text") {
        axes[`${name}.title.text`] = value;
      } else return false;
    }
    for (const [[kind, name, part], value] of changes) {
      if (kind === "layout" && part !== "tickvals" && part !== "ticktext") continue; // relayout, below, sets it
      for (const holder of kind === "data" ? [plot.data[name], plot._fullData[name]] : [plot.layout[name], full[name]]) {
        holder[part] = value;
      }
    }
    for (const index of moved) {
      const trace = plot._fullData[index];
      if (trace.type !== "heatmap") trace._length = Math.min((trace.x ?? trace.y).length, (trace.y ?? trace.x).length);
      const points = trace._module.calc(plot, trace);
      Object.assign(points[0], { t: points[0].t || {}, trace });
      plot.calcdata[index] = points;
      trace._module.crossTraceCalc?.(plot, full._plots[trace.xaxis + trace.yaxis]);
      for (const id of [trace.xaxis, trace.yaxis]) {
        const name = `${id[0]}axis${id.slice(1)}`;
        if (full[name].autorange) axes[`${name}.autorange`] = true;
      }
    }
    if (Object.keys(axes).length) {
      window.Plotly.relayout(plot, axes);
      for (const key of Object.keys(full._preGUI)) { // or react would take ours for a reader's zoom or title, and keep it
        if (isAxis(key.split(".")[0]) && /range|title/.test(key)) delete full._preGUI[key];
      }
    } else drawMoved(plot, moved);
    return true;
  }

  /* Draws the traces that have moved and no other; of maps and bars all of a subplot, and of lines that fill the space to
     the next one too, since plotly takes what it is not given for gone. Lines one by one, or it would reorder them. */
  function drawMoved(plot, moved) {
    for (const [id, subplot] of Object.entries(plot._fullLayout._plots)) {
      const here = plot.calcdata.filter(([{ trace }]) => trace.xaxis + trace.yaxis === id);
      const hasMoved = ([{ trace }]) => moved.has(trace.index);
      for (const module of new Set(here.filter(hasMoved).map(([{ trace }]) => trace._module))) {
        const alike = here.filter(([{ trace }]) => trace._module === module);
        const layer = subplot.plot.select(`.${module.layerName ?? `${module.name}layer`}`);
        if (module.name === "scatter" && !alike.some(([{ trace }]) => trace.fill?.startsWith("tonext"))) {
          alike.filter(hasMoved).forEach((line) => module.plot(plot, subplot, [line], layer, { duration: 0 }));
        } else {
          module.plot(plot, subplot, alike, layer);
          module.style(plot);
        }
      }
    }
  }

  /* ---- one figure ---- */

  const NAMING = ["role", "aria-label", "aria-describedby"]; // what makes the picture, or its empty place, an image

  /* Says in its place that a figure failed; its picture, if it has one, stays, and nothing can be moved any more. */
  function sayFailed(root, text) {
    const plot = root.querySelector(".lex-plot"), picture = plot.querySelector(".lex-picture");
    const says = document.createElement("p");
    says.className = "lex-failed";
    says.setAttribute("role", "alert");
    says.textContent = text + (picture ? " The picture shows its first state." : "");
    if (picture) plot.before(says);
    plot.replaceChildren(picture ?? says);
    if (!picture) for (const name of NAMING) plot.removeAttribute(name);
    root.querySelectorAll(".lex-controls :is(input, select, button)").forEach((part) => (part.disabled = true));
    root.dataset.state = "failed";
  }

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
      this.start = this.controls.map((control) => control.start).join();
      this.shown = this.start; // by the picture, later by the plot
      this.naming = NAMING.map((name) => [name, this.plot.getAttribute(name)]);
      this.readouts = Array.from(root.querySelectorAll(".lex-readouts dd"), (value) => value.textContent);
      for (const control of this.controls) control.input.addEventListener("input", () => this.moved());
      this.pauses = []; // one for each slider that can run by itself
      this.running = new Set(); // the buttons of those that do
      root.querySelector(".lex-reset").addEventListener("click", () => this.reset());
      root.querySelector(".lex-link").addEventListener("click", () => this.copyLink());
      root.querySelectorAll(".lex-play").forEach((button) => this.playable(button));
      this.note = document.createElement("p"); // what an address asked for in vain
      this.note.className = "lex-note";
      root.querySelector(".lex-controls").after(this.note);
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
      if (byReader) {
        this.touched = true;
        this.note.textContent = "";
      }
      this.root.toggleAttribute("data-moved", this.indexes().join() !== this.start);
      // The first input is drawn at once, and however fast a slider is dragged, at most one state for each frame.
      if (this.frame || !this.ready) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = undefined;
        if (this.indexes().join() !== this.shown) this.moved(false);
      });
      try {
        this.draw();
      } catch (error) {
        this.fail(error);
      }
    }

    indexes() {
      return this.controls.map((control) => this.index(control));
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

    /* Plotly writes a reader's zoom and hidden traces into what it is given: it gets copies. On a slide the plot is as
       high as what title and text leave it, not as its layout says. */
    copies() {
      this.keepZoom();
      const layout = structuredClone(this.spec.layout);
      if (this.root.closest(".reveal")) {
        layout.autosize = true;
        delete layout.height;
        delete layout.template?.layout.height;
      }
      return [this.spec.data.map((trace) => ({ ...trace })), layout];
    }

    /* The states, so that read-outs move; then the plot, at whatever state the controls have by then. */
    live() {
      this.living ??= (async () => {
        try {
          await Promise.all([loadPlotly(), this.read()]);
          const shown = this.shown;
          const config = { responsive: true, typesetMath: false, displaylogo: false, modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"] };
          await window.Plotly.newPlot(this.plot, ...this.copies(), config);
          this.drawn = true;
          if (this.shown !== shown) await window.Plotly.react(this.plot, ...this.copies()); // moved meanwhile
          this.describe();
          this.root.dataset.state = "ready";
        } catch (error) {
          this.fail(error);
        }
      })();
      return this.living;
    }

    async read() {
      this.spec = JSON.parse(this.root.querySelector(".lex-first").textContent);
      const first = this.state(this.controls.map((control) => control.start));
      this.changes = await unpack(this.root.querySelector(".lex-states").textContent, first);
      this.ready = true;
      this.draw();
    }

    /* Everything goes back to what the picture shows, and stays there. */
    fail(error) {
      this.ready = false;
      this.pauses.forEach((pause) => pause());
      clearTimeout(this.resting);
      this.set(this.controls.map((control) => control.start), false);
      this.root.querySelectorAll(".lex-readouts dd").forEach((value, i) => (value.textContent = this.readouts[i]));
      window.Plotly?.purge(this.plot);
      for (const [name, text] of this.naming) this.plot.setAttribute(name, text);
      sayFailed(this.root, `This figure could not be drawn: ${error.message}.`);
    }

    state(indexes) {
      return indexes.reduce((sum, index, i) => sum * this.controls[i].keys.length + index, 0);
    }

    draw() {
      const indexes = this.indexes();
      if (indexes.join() === this.shown) return;
      const again = this.shown === undefined;
      this.shown = indexes.join();
      const changes = [], values = this.root.querySelectorAll(".lex-readouts dd");
      for (const [path, value] of this.changes(this.state(indexes))) {
        if (path[0] === "readouts") values[path[1]].textContent = value;
        else changes.push([path, value]);
      }
      const drawn = !this.drawn || (!again && drawNumbers(this.plot, this.spec, changes));
      for (const [path, value] of changes) {
        let part = this.spec;
        for (const step of path.slice(0, -1)) part = part[step] ??= {};
        if (value === null) delete part[path.at(-1)];
        else part[path.at(-1)] = value;
      }
      this.spec.data = this.spec.data.filter((trace) => trace.type); // of a line that is gone nothing is left
      if (!drawn) window.Plotly.react(this.plot, ...this.copies()).catch((error) => this.fail(error));
      this.rest();
    }

    /* Once the controls rest: browsers refuse a new address at every step, and nobody wants each one read aloud. */
    rest() {
      clearTimeout(this.resting);
      this.resting = setTimeout(() => {
        if (this.drawn) this.describe();
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

    label(control) {
      return document.querySelector(`label[for="${control.input.id}"]`).textContent;
    }

    /* The state in words: each control and each read-out with its value. */
    words() {
      return [
        ...this.controls.map((control) => `${this.label(control)} ${control.texts[this.index(control)]}`),
        ...Array.from(this.root.querySelectorAll(".lex-readouts div"), (row) => [...row.children].map((part) => part.textContent).join(" ")),
      ];
    }

    /* ---- a state has an address: #name:gamma=0.4;base=512 ---- */

    address() {
      const parts = this.controls.map((c) => `${encodeURIComponent(c.name)}=${encodeURIComponent(c.keys[this.index(c)])}`);
      return `#${encodeURIComponent(this.name)}:${parts.join(";")}`;
    }

    /* A link may be older than the figure: what is gone falls to the nearest, or to the start, and that is said. */
    visit(parts) {
      const wanted = new Map(parts.split(";").filter(Boolean).map((part) => part.split(/=(.*)/s).map(decodeURIComponent)));
      const gone = [...wanted.keys()].filter((name) => !this.controls.some((control) => control.name === name));
      const missing = gone.map((name) => `a control “${name}”`);
      const indexes = this.controls.map((control) => {
        const key = wanted.get(control.name);
        if (key === undefined) return control.start;
        if (control.keys.includes(key)) return control.keys.indexOf(key);
        const away = key.trim() === "" ? [NaN] : control.keys.map((k) => Math.abs(Number(k) - Number(key)));
        const least = Math.min(...away); // nan, unless all are numbers
        const index = Number.isFinite(least) ? away.indexOf(least) : control.start;
        if (least !== 0) missing.push(`${this.label(control)} ${key} (here ${control.texts[index]})`);
        return index;
      });
      this.set(indexes, false);
      this.note.textContent = missing.length ? `The link asks for what this figure does not have: ${missing.join(", ")}.` : "";
      this.say(this.note.textContent);
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
        playing = setInterval(() => document.hidden || step(), 400); // it waits while the reader is elsewhere
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
        sayFailed(root, `This figure could not be read: ${error.message}.`);
      }
    }

    // Figures near the window come to life when the page is complete, one by one, each in a moment when the browser has
    // nothing better to do and the page lies still: text and pictures never wait for a plot, nor does scrolling. One that
    // is touched comes to life at once.
    const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 50));
    const complete = new Promise((done) => (document.readyState === "complete" ? done() : addEventListener("load", done)));
    const queue = new Set();
    let busy = false, scrolled = -Infinity;
    addEventListener("scroll", () => (scrolled = performance.now()), { capture: true, passive: true });
    async function still() {
      for (let rest; (rest = scrolled + 150 - performance.now()) > 0;) await new Promise((done) => setTimeout(done, rest));
    }
    async function work() {
      if (busy) return;
      busy = true;
      await complete;
      while (queue.size) {
        await still();
        await new Promise((done) => idle(done, { timeout: 1000 }));
        const [figure] = queue; // none, if it has left again meanwhile
        queue.delete(figure);
        await figure?.live();
      }
      busy = false;
    }
    const near = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        const figure = figures.get(target);
        if (isIntersecting && !figure.living) queue.add(figure);
        else queue.delete(figure);
      }
      work();
    }, { rootMargin: "600px" });
    figures.forEach((figure, root) => {
      near.observe(root);
      for (const touch of ["pointerdown", "focusin", "input"]) root.addEventListener(touch, () => figure.live(), { once: true });
    });

    // On paper a figure that was moved stands as the reader left it, scaled to the paper; others as pictures.
    const drawings = () => document.querySelectorAll(".lex-plot .main-svg");
    addEventListener("beforeprint", () => drawings().forEach((svg) => {
      svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
    }));
    addEventListener("afterprint", () => drawings().forEach((svg) => svg.removeAttribute("viewBox")));

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
