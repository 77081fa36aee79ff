"""nbval compares what git keeps of an output, which is text; questions also show themselves as HTML."""


def pytest_collectstart(collector):
    """Called by pytest for each file; nbval's are notebooks."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("text/html",)
