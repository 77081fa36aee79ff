"""Settings and fixtures that every test shares: the site as `make book` builds it, a server for it, a browser."""

import functools
import http.server
import os
import shutil
import threading

import filelock
import hypothesis
import pytest
from playwright.sync_api import sync_playwright

import website

# The machine is noisy, so no deadline. In CI the examples are the same each time: a red run can be repeated.
hypothesis.settings.register_profile("sample", max_examples=50, deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.register_profile("full", max_examples=1000, deadline=None)
hypothesis.settings.load_profile("sample")

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="session")
def site(testrun_uid):
    """The folder of the site, built as `make book` builds it: once, by the first of pytest's processes to need it."""
    website.BUILD.mkdir(exist_ok=True)
    with filelock.FileLock(website.BUILD / "tests.lock"):
        result = website.BUILD / "tests.txt"
        run, _, code = result.read_text().partition(" ") if result.exists() else ("", "", "")
        if run != testrun_uid:
            code = str(website.build())
            result.write_text(f"{testrun_uid} {code}")
    assert code == "0"
    return website.BUILD / "html"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing about it."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def served(site):
    """The site's address on a plain file server."""
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, without a window. Where there is none, what needs it is skipped; in CI it must be there."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        reason = "no Chromium was found (Debian: apt install chromium); CHROMIUM=/path/to/it names one"
        (pytest.fail if "CI" in os.environ else pytest.skip)(reason)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()
