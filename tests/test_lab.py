"""JupyterLab with a live kernel: a chapter runs, and a moved slider shows a value that no page stores."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

import notebooks
from test_figures_live import CHAPTERS, explored


@pytest.fixture
def lab(tmp_path, browser):
    """The address of a JupyterLab on a copy of the chapters."""
    shutil.copytree(notebooks.ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"),
        *("--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.news_url=None"),
    ]
    log = (tmp_path / "log").open("w")
    environment = {**os.environ, **settings}
    server = subprocess.Popen(command, cwd=tmp_path / "book", stdout=log, stderr=log, env=environment)
    address = f"http://127.0.0.1:{port}/lab"
    for _ in range(120):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            break
        except OSError:
            time.sleep(0.5)
    else:
        pytest.fail("JupyterLab did not start:\n" + (tmp_path / "log").read_text())
    yield address
    server.terminate()
    server.wait(30)
    log.close()


def test_a_moved_slider_asks_the_kernel(lab, browser):
    path = next(path for path in CHAPTERS if path.stem == "04-oscillation-versus-decay")
    figure = explored(path)[0]
    name, control = next(item for item in figure.controls.items() if item[1].fine)
    tab = browser.new_page(viewport={"width": 1200, "height": 1000})
    tab.goto(f"{lab}/tree/{path.name}?reset")
    tab.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=120_000)
    tab.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
    tab.get_by_role("menuitem", name="Run", exact=True).click()
    tab.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
    tab.mouse.move(600, 600)
    for _ in range(200):  # JupyterLab makes a cell's output when the cell comes near the window
        if tab.locator(".js-plotly-plot").count():
            break
        tab.mouse.wheel(0, 400)
        tab.wait_for_timeout(250)
    slider = tab.locator(".noUi-handle").first
    slider.scroll_into_view_if_needed()
    slider.focus()
    tab.keyboard.press("ArrowRight")
    first, last, count = control.values[0], control.values[-1], 10 * (len(control.values) - 1)
    value = control.value * (last / first) ** (1 / count) if control.log else control.value + (last - first) / count
    assert value not in control.values
    wanted, _ = figure.state(**{**figure.first, name: value})
    numbers = np.array(wanted.data[-1].y, dtype=float)
    shown = "Array.from(document.querySelector('.js-plotly-plot')._fullData.at(-1).y)"
    for _ in range(40):
        found = np.array(tab.evaluate(shown), dtype=float)
        if found.shape == numbers.shape and np.allclose(found, numbers, equal_nan=True):
            break
        tab.wait_for_timeout(250)
    assert np.allclose(found, numbers, equal_nan=True)
    tab.close()
