# SPDX-License-Identifier: GPL-2.0
"""How Sphinx builds these pages, with the kernel's own extensions."""

import logging
import os
import re
import sys

from docutils import nodes
from sphinx.util import cfamily
from sphinx.util.logging import getLogger

root = os.path.abspath("..")
source = os.path.join(root, "build/kernel/source")
sys.path[:0] = [os.path.join(source, "Documentation/sphinx"), os.path.abspath(".")]

project = "pymalloc"
extensions = ["kerneldoc", "automarkup", "charts"]
primary_domain = "c"
highlight_language = "none"

kerneldoc_bin = os.path.join(source, "scripts/kernel-doc")
kerneldoc_srctree = root

html_title = project
html_theme = "alabaster"
html_theme_options = {"sidebar_width": "190px", "fixed_sidebar": True}
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_copy_source = False
html_show_copyright = False

# What a function's declaration says to the compiler is nothing to readers.
c_id_attributes = ["PYMALLOC_API", "__attribute_malloc__"]
cfamily.ASTIdAttribute.describe_signature = lambda attribute, node: None


def not_a_name_twice(record):
    """C's tags have a name space of their own; to Sphinx, a function with the
    name of a struct is a duplicate."""
    return not (record.msg.startswith("Duplicate C declaration")
                and ".. c:function:: " in record.msg)


# Characters of a line of output or code: static/pages.css has room for so many,
# and for so many in a smaller type.
WIDE = 100
TOO_WIDE = 125


def fit_literals(_, doctree):
    """Long lines get a smaller type; those that do not fit are a warning."""
    for block in doctree.findall(nodes.literal_block):
        longest = max(map(len, block.astext().expandtabs().splitlines()), default=0)
        if longest > TOO_WIDE:
            getLogger(__name__).warning("a line of %d characters runs off the page",
                                        longest, location=block)
        elif longest > WIDE:
            block["classes"].append("wide")


def align_figures(_, doctree):
    """Tables of numbers are told by their first row: its cells have digits."""
    for table in doctree.findall(nodes.table):
        row = next(next(table.findall(nodes.tbody)).findall(nodes.row))
        cells = [entry.astext() for entry in row.findall(nodes.entry)][1:]
        if all(re.fullmatch(r"[0-9.,–]*", cell) for cell in cells):
            table["classes"].append("figures")


def setup(app):
    app.connect("doctree-read", fit_literals)
    app.connect("doctree-read", align_figures)
    logging.getLogger("sphinx.sphinx.domains.c").addFilter(not_a_name_twice)
