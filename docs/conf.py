"""How Sphinx builds the documentation; script/docs runs it with warnings as errors."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

import ctm  # noqa: E402  the installed package: its docstrings and its own description are the source

project = "libctm"
author = "the libctm authors"
copyright = "the libctm authors; Apache-2.0"
release = version = ctm.version()

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "header", "mathml", "options"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_ext"]
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"libctm {release}"
html_theme_options = {"source_directory": "docs/"}
html_copy_source = False


def without_constructors(app, what, name, thing, options, signature, returns):
    """Objects are made by functions and methods; only a state is made by its class."""
    return ("", returns) if what == "class" and name != "ctm.State" else (signature, returns)


def setup(app):
    app.connect("autodoc-process-signature", without_constructors)
