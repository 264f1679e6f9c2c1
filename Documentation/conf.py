# SPDX-License-Identifier: GPL-2.0
"""How Sphinx builds these pages, with the kernel's own extensions."""

import glob
import logging
import os
import pathlib
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

# Attributes in a function's declaration are for the compiler; readers need none of them.
c_id_attributes = ["PYMALLOC_API", "__attribute_malloc__", "__user"]
cfamily.ASTIdAttribute.describe_signature = lambda attribute, node: None


def not_a_name_twice(record):
    """In C, a function may have the name of a struct. Sphinx takes it for a duplicate."""
    return not (record.msg.startswith("Duplicate C declaration")
                and ".. c:function:: " in record.msg)


# Characters that fit in a line of output or code, in the normal and in the smaller type
# of static/pages.css.
WIDE = 100
TOO_WIDE = 125


def fit_literals(_, doctree):
    """Set long lines in the smaller type, and warn of lines that are too long for it."""
    for block in doctree.findall(nodes.literal_block):
        longest = max(map(len, block.astext().expandtabs().splitlines()), default=0)
        if longest > TOO_WIDE:
            getLogger(__name__).warning("a line of %d characters runs off the page",
                                        longest, location=block)
        elif longest > WIDE:
            block["classes"].append("wide")


def align_figures(_, doctree):
    """Mark tables of numbers. In the first row of such a table, all cells are numbers."""
    for table in doctree.findall(nodes.table):
        row = next(next(table.findall(nodes.tbody)).findall(nodes.row))
        cells = [entry.astext() for entry in row.findall(nodes.entry)][1:]
        if all(re.fullmatch(r"[0-9.,–]*", cell) for cell in cells):
            table["classes"].append("figures")


# The tables of class "layers" in design.rst, and the folder whose rooms each lists.
LAYERS = {"core": "module/core", "refs": "module/refs", "module": "module",
          "lib": "userspace/lib"}


def headers_of(room, folder):
    """The rooms of a folder whose headers the files of a room include."""
    for path in folder.glob(room + ".[ch]"):
        for name in re.findall(r'^#include "([^"/]+)"', path.read_text("utf-8"), re.MULTILINE):
            if (folder / name).exists():
                yield name.rpartition(".")[0]


def check_layers(_, doctree):
    """Warn if a room is in no table, or uses one that does not come earlier there."""
    for table in doctree.findall(nodes.table):
        folder = next((LAYERS[key] for key in table["classes"] if key in LAYERS), None)
        if not folder:
            continue
        folder = pathlib.Path(root, folder)
        earlier = set()
        for row in table.findall(nodes.row):
            rooms = [literal.astext() for literal in row[0].findall(nodes.literal)]
            earlier.update(rooms)
            for room in rooms:
                for used in set(headers_of(room, folder)) - earlier:
                    getLogger(__name__).warning("%s comes before %s, which it uses",
                                                room, used, location=table)
        if earlier != {path.stem for path in folder.glob("*.[ch]")}:
            getLogger(__name__).warning("these rooms are not those of %s: %s", folder,
                                        " ".join(sorted(earlier)), location=table)


def find_unpublished(app, env):
    """Warn of functions of the module that have a kernel-doc comment and are on no page."""
    published = {name for name, _, kind, *_ in env.get_domain("c").get_objects()
                 if kind in ("function", "macro")}
    for path in glob.glob(os.path.join(root, "module/**/*.[ch]"), recursive=True):
        with open(path, encoding="utf-8") as file:
            names = re.findall(r"/\*\*\n \* (\w+)\(\) - ", file.read())
        for name in set(names) - published:
            getLogger(__name__).warning("%s() is on no page", name, location=path)


def setup(app):
    app.connect("doctree-read", fit_literals)
    app.connect("doctree-read", align_figures)
    app.connect("doctree-read", check_layers)
    app.connect("env-check-consistency", find_unpublished)
    logging.getLogger("sphinx.sphinx.domains.c").addFilter(not_a_name_twice)
