"""Sphinx extension: the list of references is a list for those who listen, too.

docutils calls each entry of a list doc-biblioentry: a role that browsers have dropped, and no item of any list.
"""

from docutils import nodes
from sphinx.writers.html5 import HTML5Translator


def visit_citation(writer, node):
    """Open an entry as docutils does, and give it the role of a list's item."""
    HTML5Translator.visit_citation(writer, node)
    writer.body[-1] = writer.body[-1].replace("doc-biblioentry", "listitem")


def setup(app):
    """Called by Sphinx."""
    app.add_node(nodes.citation, override=True, html=(visit_citation, HTML5Translator.depart_citation))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
