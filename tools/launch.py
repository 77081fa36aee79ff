"""Sphinx extension: a button on each chapter opens it on Binder, once _config.yml knows where the repository is.

Without an address the theme has nothing to link to, and fails; so its buttons are asked for here, and not there.
"""

BUTTONS = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}


def settings(app, config):
    """Ask the theme for buttons if there is a repository."""
    if config.html_theme_options.get("repository_url"):
        config.html_theme_options["launch_buttons"] = BUTTONS


def setup(app):
    """Called by Sphinx."""
    app.connect("config-inited", settings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
