"""Photograph the site for the README, in either theme: a chapter's page, and a figure of what a model looked at.

    make book && .venv/bin/python tools/shots.py

Run it again when those pages look different. It needs Chromium.
"""

import base64
import pathlib
import sys

from playwright.sync_api import Page, sync_playwright

import pdf
import pictures
import website

FOLDER = website.ROOT / ".github" / "pictures"
SITE = website.BUILD / "html" / "book"
# picture: the page, what of it is seen, and the size of the window
SHOTS = {
    "page": ("04-oscillation-versus-decay.html", "#lex-oscillation-and-decay", None, (1280, 870)),
    "figure": ("11-random-access.html", "#lex-fetched-for-each-digit", "#lex-fetched-for-each-digit", (1280, 1200)),
}


def shot(tab: Page, page: str, place: str, part: str | None) -> bytes:
    """A picture of a page where a figure is, or of a part of it, as WebP."""
    tab.goto(f"{(SITE / page).as_uri()}{place}")
    tab.locator(f"{place} .js-plotly-plot .main-svg").first.wait_for()
    tab.locator(place).evaluate("figure => figure.scrollIntoView({block: 'center'})")
    tab.wait_for_timeout(1000)  # the list of contents follows
    box = tab.locator(part).bounding_box() if part else {"x": 0, "y": 0, **tab.viewport_size}
    clip = {**box, "y": box["y"] + tab.evaluate("scrollY"), "scale": 1}  # counted from the page's top
    session = tab.context.new_cdp_session(tab)
    options = {"format": "webp", "quality": 80, "clip": clip, "captureBeyondViewport": False}
    return base64.b64decode(session.send("Page.captureScreenshot", options)["data"])


def main():
    """Take all of them."""
    path = pictures.chromium() or sys.exit("lexviz: no Chromium was found (Debian: apt install chromium)")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=pdf.FLAGS)
        for name, (page, place, part, (width, height)) in SHOTS.items():
            for theme in ("light", "dark"):
                size = {"width": width, "height": height}
                tab = chromium.new_page(viewport=size, color_scheme=theme, reduced_motion="reduce", bypass_csp=True)
                file = pathlib.Path(FOLDER, f"{name}-{theme}.webp")
                file.write_bytes(shot(tab, page, place, part))
                print(f"{file.relative_to(website.ROOT)}: {file.stat().st_size // 1000} kB")
        chromium.close()


if __name__ == "__main__":
    main()
