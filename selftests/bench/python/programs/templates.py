# SPDX-License-Identifier: GPL-2.0
"""Pages of text from templates: strings of some hundred bytes to some thousand, made
of short ones, joined, filled in, escaped and cut."""

import html
import string

COUNT = 3000
PAGE = string.Template("<h1>$title</h1>\n<ul>\n$rows\n</ul>\n<p>$note</p>\n")


def page(i):
    rows = []
    for k in range(8 + i % 17):
        text = f"{'<&>' * (k % 3)} row {i * k % 9973} of {i}"
        rows.append("  <li class=%s>%s</li>" % ("odd" if k % 2 else "even", html.escape(text)))
    note = ""
    for k in range(12):
        note += f"note {k * i % 31}, "
    return PAGE.substitute(title=f"Page {i}", rows="\n".join(rows), note=note)


def build(count):
    pages = []
    for i in range(count):
        text = page(i)
        plain = html.unescape(text.replace("<li class=odd>", "* ").replace("</li>", ""))
        lines = plain.splitlines()
        assert lines[0].startswith("<h1>")
        words = {word.strip("<>&,./") for line in lines for word in line.split()}
        pages.append((text, lines, sorted(words), text.encode(), plain.upper()[:400 + i % 300]))
    return pages
