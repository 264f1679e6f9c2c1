# SPDX-License-Identifier: GPL-2.0
"""How Sphinx builds these pages, with the kernel's own extensions."""

import logging
import os
import sys

from sphinx.util import cfamily

root = os.path.abspath("..")
source = os.path.join(root, "build/kernel/source")
sys.path.insert(0, os.path.join(source, "Documentation/sphinx"))

project = "pymalloc"
extensions = ["kerneldoc", "automarkup"]
primary_domain = "c"
highlight_language = "none"

kerneldoc_bin = os.path.join(source, "scripts/kernel-doc")
kerneldoc_srctree = root

html_title = project
html_theme = "alabaster"
html_theme_options = {"page_width": "62em", "fixed_sidebar": True}
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


def setup(app):
    logging.getLogger("sphinx.sphinx.domains.c").addFilter(not_a_name_twice)
