"""Sphinx extension: a chapter is run again when its cells, lexviz, questions or the pins change, and only then.

jupyter-cache notices changed cells. The rest is in the cache's name, a fingerprint of lexviz, the questions and the
pins, and the same fingerprint as a setting makes Sphinx read every page anew when it changes.
"""

import contextlib
import hashlib
import pathlib
import shutil
import sqlite3

from nbclient.exceptions import DeadKernelError
from sphinx.util import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent


def fingerprint() -> str:
    """Twelve hex digits over every file that a chapter's output depends on, its own cells aside."""
    files = [path for path in (ROOT / "lexviz").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    digest = hashlib.sha256()
    questions = sorted((ROOT / "book" / "questions").glob("*.json"))
    for path in [*sorted(files), *questions, ROOT / "requirements.txt"]:
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def damaged(cache: pathlib.Path) -> bool:
    """Whether a cache has an index that cannot be read: the disk was full, or somebody pulled the plug.

    >>> damaged(pathlib.Path("nowhere"))
    False
    """
    try:
        if (cache / "global.db").exists():
            with contextlib.closing(sqlite3.connect(cache / "global.db")) as index:
                index.execute("SELECT * FROM nbcache LIMIT 1").fetchall()
    except sqlite3.DatabaseError:
        return True
    return False


def name_the_cache(app, config):
    """Point myst-nb at this fingerprint's cache, and drop those of older ones."""
    config.chapters_depend_on = fingerprint()
    caches = ROOT / "_build" / "executed"
    config.nb_execution_cache_path = str(caches / config.chapters_depend_on)
    for old in caches.glob("*"):
        if old.name != config.chapters_depend_on or damaged(old):
            shutil.rmtree(old, ignore_errors=True)


def name_the_dead(app, exception):
    """Say whose kernel died, before Sphinx says where in its own code it noticed."""
    if isinstance(exception, DeadKernelError):
        logging.getLogger(__name__).error(
            "lexviz: the kernel that ran %s died: it was killed, or took more memory than there is. "
            "Run the same command again; finished chapters are not run anew.",
            app.env.docname,
        )


def setup(app):
    """Called by Sphinx."""
    app.add_config_value("chapters_depend_on", "", rebuild="env", types=[str])
    app.connect("config-inited", name_the_cache, priority=100)  # before myst-nb takes its settings
    app.connect("build-finished", name_the_dead)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
