"""What holds for every test: threads, the order in which files start, and what nbval compares."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes (make test): each computes on one core
    os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(items):
    """Files that take long start first: one of the website, which is built for it, notebooks, the website's others."""
    slow = {item.path for item in items if {"site", "browser"} & set(getattr(item, "fixturenames", ()))}
    first = next((item.path for item in items if "site" in getattr(item, "fixturenames", ())), None)
    items.sort(key=lambda item: (item.path != first, item.path.suffix != ".ipynb", item.path not in slow))


def pytest_collectstart(collector):
    """nbval compares what git keeps of an output, which is text; questions also show themselves as HTML."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("text/html",)
