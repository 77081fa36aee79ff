"""What a reader waits for on the website: the weight of each page, and the time from a key to the new plot."""

import gzip
import pathlib
import random
import shutil
import statistics

from playwright.sync_api import sync_playwright

SITE = pathlib.Path(__file__).resolve().parent.parent / "_build" / "html"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]

# From the key's own time stamp until after the paint: plotly draws within a frame, and a message that is posted then
# arrives when that frame has been painted.
STOPWATCH = """() => {
window.times = [];
const channel = new MessageChannel();
let pressed;
document.addEventListener('input', (event) => (pressed = event.timeStamp), true);
document.querySelectorAll('.lex-plot').forEach((plot) => plot.on && plot.on('plotly_afterplot', () => {
  if (pressed) channel.port2.postMessage(pressed);
  pressed = undefined;
}));
channel.port1.onmessage = (message) => window.times.push(performance.now() - message.data);
}"""


def weights():
    """(page, bytes of its HTML compressed, bytes of everything that a first visit transfers, compressed)"""
    sizes = {path: len(gzip.compress(path.read_bytes(), 6)) for path in SITE.rglob("*") if path.is_file()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for page in sorted((SITE / "book").glob("*.html")):
            tab = browser.new_page()
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


def latencies(steps: int = 60):
    """(figure, control, median, 95th percentile) in milliseconds, for every slider of the book."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for page in sorted((SITE / "book").glob("*.html")):
            tab = browser.new_page(viewport={"width": 1200, "height": 900})
            tab.goto(page.as_uri())
            scroll_through(tab)
            tab.evaluate(STOPWATCH)
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


def main():
    """Print both tables."""
    print(f"\n{'page':>34}  {'its HTML':>9}  {'first visit':>11}  (kB, gzip)")
    for name, own, everything in weights():
        print(f"{name:>34}  {own / 1e3:>9.0f}  {everything / 1e3:>11.0f}")
    print(f"\n{'figure':>28}  {'slider':>12}  {'median':>7}  {'95%':>7}  (ms, from the key to the painted plot)")
    for figure, control, median, most in latencies():
        print(f"{figure:>28}  {control:>12}  {median:>7.1f}  {most:>7.1f}")
