"""What holds for every test: threads, the order in which files start, and what nbval compares."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes (make test): each computes on one core
    os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(items):
    """The longest file starts first, and with it the website's build; while that goes on, what can do without it."""

    def late(item):
        needs_site = "site" in getattr(item, "fixturenames", ())
        if item.path.name == "test_figures_live.py":
            return 0, not needs_site
        return 1, item.path in waiting, item.path.suffix != ".ipynb"

    waiting = {item.path for item in items if "site" in getattr(item, "fixturenames", ())}
    items.sort(key=late)


def pytest_collectstart(collector):
    """nbval compares what git keeps of an output, which is text; questions also show themselves as HTML."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("text/html",)
