"""What a reader waits for on the website: the weight of each page, and the time from a key to the new plot."""

import functools
import gzip
import http.server
import pathlib
import random
import re
import shutil
import statistics
import threading

from playwright.sync_api import sync_playwright

SITE = pathlib.Path(__file__).resolve().parent.parent / "_build" / "html"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]

# From the key's own time stamp until after the paint: a figure draws before the next frame or within it, and a message
# that is posted in that frame arrives when it has been painted.
STOPWATCH = """() => {
window.times = [];
const channel = new MessageChannel();
document.addEventListener('input', (event) => {
  requestAnimationFrame(() => channel.port2.postMessage(event.timeStamp));
}, true);
channel.port1.onmessage = (message) => window.times.push(performance.now() - message.data);
}"""

# A mobile network in the third generation, and a processor a quarter as fast as this one.
NETWORK = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
SLOWER = 4

# When a reader first sees text, a figure, and a figure that moves, and how far things move under the reader's eyes.
# A plot or its picture is there when it has an extent; what is drawn in a frame is painted before the next begins.
WATCH = """
window.seen = { shift: 0 };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.seen.shift += entry.value;
}).observe({ type: 'layout-shift', buffered: true });
(function look() {
  const figure = document.querySelector('figure.lex');
  const drawings = figure ? [...figure.querySelectorAll('.lex-plot svg')] : [];
  const drawn = drawings.some((svg) => svg.getBoundingClientRect().width > 50);
  const live = figure && figure.dataset.state === 'ready';
  requestAnimationFrame((now) => {
    if (drawn) window.seen.picture ??= now;
    if (live) window.seen.live ??= now;
    look();
  });
})();
"""
SEEN = """() => [performance.getEntriesByName('first-contentful-paint')[0].startTime, window.seen.picture,
  window.seen.live, window.seen.shift]"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the site, compressed as hosts do, and says nothing; a browser may keep what it gets for an hour."""

    def log_message(self, *arguments):
        """Nothing."""

    def do_GET(self):
        """Answer with the file, compressed."""
        path = pathlib.Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        body = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=3600")
        self.end_headers()
        self.wfile.write(body)


def visits():
    """(page, which visit, first text, first picture, first live figure, shift) on a slow network and processor, in ms.

    The first figure of each page is in the window from the start: the address names it.
    """
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for page in pages_with_figures():
            # Nothing is kept from other pages; to wait, playwright evaluates, which the pages' policy forbids.
            context = browser.new_context(viewport={"width": 1200, "height": 900}, bypass_csp=True)
            name = re.search('<figure class="lex" id="([^"]+)"', page.read_text(encoding="utf-8"))[1]
            for which in ("first", "repeat"):
                tab = context.new_page()
                session = context.new_cdp_session(tab)
                session.send("Network.enable")
                session.send("Network.emulateNetworkConditions", NETWORK)
                session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
                tab.add_init_script(WATCH)
                tab.set_default_timeout(120_000)
                tab.goto(f"http://127.0.0.1:{server.server_port}/book/{page.name}#{name}", wait_until="commit")
                tab.wait_for_function("window.seen.live")
                tab.wait_for_timeout(500)
                yield page.stem, which, *tab.evaluate(SEEN)
                tab.close()
            context.close()
        browser.close()
    server.shutdown()


def pages_with_figures():
    """The pages that have a figure, in order."""
    return [
        path for path in sorted((SITE / "book").glob("*.html")) if 'class="lex"' in path.read_text(encoding="utf-8")
    ]


def weights():
    """(page, bytes of its HTML compressed, bytes of everything that a first visit transfers, compressed)"""
    sizes = {path: len(gzip.compress(path.read_bytes(), 6)) for path in SITE.rglob("*") if path.is_file()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for page in sorted((SITE / "book").glob("*.html")):
            tab = browser.new_page(bypass_csp=True)
            asked = set()
            tab.on("request", lambda request, asked=asked: asked.add(request.url.split("?")[0].split("#")[0]))
            tab.goto(page.as_uri())
            scroll_through(tab)
            files = [path for path in sizes if path.as_uri() in asked]
            yield page.stem, sizes[page], sum(sizes[path] for path in files)
            tab.close()
        browser.close()


def scroll_through(tab):
    """Bring every figure of a page to life."""
    for figure in tab.locator("figure.lex").all():
        figure.scroll_into_view_if_needed()
        tab.wait_for_function("root => root.dataset.state === 'ready'", arg=figure.element_handle())


def latencies(slower: int = 1, steps: int = 60):
    """(figure, control, median, 95th percentile) in milliseconds, for every slider, on a so much slower processor."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for page in pages_with_figures():
            tab = browser.new_page(viewport={"width": 1200, "height": 900}, bypass_csp=True)
            tab.goto(page.as_uri())
            scroll_through(tab)
            tab.evaluate(STOPWATCH)
            tab.context.new_cdp_session(tab).send("Emulation.setCPUThrottlingRate", {"rate": slower})
            for slider in tab.locator("figure.lex input[type=range]").all():
                slider.scroll_into_view_if_needed()
                slider.focus()
                tab.evaluate("window.times = []")
                key = "ArrowRight"
                for _ in range(steps):
                    at, end = slider.evaluate("input => [Number(input.value), Number(input.max)]")
                    key = "ArrowRight" if at == 0 else "ArrowLeft" if at == end else key
                    tab.keyboard.press(key)
                    tab.wait_for_timeout(random.uniform(40, 70))
                times = sorted(tab.evaluate("window.times"))
                figure, control = slider.get_attribute("id").removeprefix("lex-").rsplit("-", 1)
                yield figure, control, statistics.median(times), times[int(0.95 * len(times))]
            tab.close()
        browser.close()


# The time between two frames; while a page scrolls evenly, each that takes longer is a jerk.
FRAMES = """() => {
window.frames = [];
let before = performance.now();
(function next(now) { window.frames.push(now - before); before = now; requestAnimationFrame(next); })(before);
}"""


def scrolling(slower: int):
    """(figures, all frames, those over 50 ms, the longest) of one page with every figure of the book, scrolled once."""
    texts = [path.read_text(encoding="utf-8") for path in pages_with_figures()]
    figures = [figure for text in texts for figure in re.findall('<figure class="lex".*?</figure>', text, re.S)]
    head = re.search("<head>.*?</head>", texts[0], re.S)[0]
    every = SITE / "book" / "every-figure.html"
    text = f"<!doctype html><html>{head}<body><main>{'<p>Text</p>'.join(figures)}</main></body></html>"
    every.write_text(text, encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        tab = browser.new_page(viewport={"width": 1200, "height": 900}, bypass_csp=True)
        tab.goto(every.as_uri())
        every.unlink()
        tab.wait_for_function("document.querySelector('figure.lex').dataset.state === 'ready'")  # plotly is there
        tab.context.new_cdp_session(tab).send("Emulation.setCPUThrottlingRate", {"rate": slower})
        tab.mouse.move(600, 450)
        tab.evaluate(FRAMES)
        while tab.evaluate("scrollY + innerHeight < document.documentElement.scrollHeight - 1"):
            tab.mouse.wheel(0, 60)
            tab.wait_for_timeout(16)
        times = tab.evaluate("window.frames")
        browser.close()
    return len(figures), len(times), sum(time > 50 for time in times), max(times)


def main():
    """Print the tables."""
    print(f"\n{'page':>34}  {'its HTML':>9}  {'first visit':>11}  (kB, gzip)")
    for name, own, everything in weights():
        print(f"{name:>34}  {own / 1e3:>9.0f}  {everything / 1e3:>11.0f}")
    print(f"\n{'page':>34}  {'visit':>6}  {'text':>6}  {'figure':>6}  {'live':>6}  {'shift':>6}", end="")
    print(f"  (s, at 1.6 Mbit/s, 150 ms and a processor {SLOWER} times slower; shift: of the layout, 0.1 is good)")
    for name, which, text, picture, live, shift in visits():
        print(f"{name:>34}  {which:>6}  {text / 1e3:>6.2f}  {picture / 1e3:>6.2f}  {live / 1e3:>6.2f}  {shift:>6.3f}")
    print(f"\n{'figure':>28}  {'slider':>12}  {'median':>7}  {'95%':>7}  {f'{SLOWER}x slower':>9}  {'95%':>7}", end="")
    print("  (ms, from the key to the painted plot)")
    for (figure, control, *fast), (_, _, *slow) in zip(latencies(), latencies(SLOWER), strict=True):
        median, most, slow_median, slow_most = *fast, *slow
        print(f"{figure:>28}  {control:>12}  {median:>7.1f}  {most:>7.1f}  {slow_median:>9.1f}  {slow_most:>7.1f}")
    print(f"\n{'page with every figure':>28}  {'figures':>7}  {'frames':>7}  {'over 50':>7}  {'longest':>7}  (ms)")
    for slower in (1, SLOWER):
        figures, frames, late, longest = scrolling(slower)
        print(f"{f'{slower}x slower':>28}  {figures:>7}  {frames:>7}  {late:>7}  {longest:>7.0f}")
