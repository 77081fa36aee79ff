"""Sphinx extension: every statement, proof and solution has an address of its own, which derives from a name.

sphinx-proof gives all proofs the id "proof" and the text of all statements "proof-content", several on one page too.
Here both are called after the labelled statement that they belong to: a proof belongs to the one before it.
sphinx-exercise does the same with the texts of exercises and solutions, and counts solutions through the book.
"""

import pathlib
import zlib

from docutils import nodes
from sphinx.util import logging
from sphinx_exercise.nodes import is_extension_node, solution_node
from sphinx_proof.nodes import NODE_TYPES, proof_node


def name_proofs(app, document):
    """Run on each page that was read."""
    statement = None
    for node in document.findall(nodes.Element):
        if isinstance(node, tuple(NODE_TYPES.values())):
            statement = node["label"]
        elif node.get("ids") == ["proof-content"]:
            node["ids"] = [f"{statement}-text"]
        elif isinstance(node, proof_node):
            if statement is None:
                missing = "a proof takes its address from the statement before it; here is none, or it has its proof"
                logging.getLogger(__name__).warning(missing, location=node[0])
            node[0]["ids"] = [f"proof-of-{statement}"]
            statement = None


def name_exercises(app, document):
    """Run on each page that was read."""
    for node in document.findall(is_extension_node):
        label = node["label"]
        if isinstance(node, solution_node):
            label = f"{node['target_label']}-solution"
            node["ids"] = [label]
        node[-1]["ids"] = [f"{label}-text"]


def setup(app):
    """Called by Sphinx."""
    app.connect("doctree-read", name_proofs, priority=100)  # before what counts sections
    app.connect("doctree-read", name_exercises, priority=900)  # after sphinx-exercise has looked at them
    version = zlib.crc32(pathlib.Path(__file__).read_bytes())  # with another one, Sphinx reads all pages anew
    return {"env_version": version, "parallel_read_safe": True, "parallel_write_safe": True}
