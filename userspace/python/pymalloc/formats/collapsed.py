# SPDX-License-Identifier: LGPL-2.1-or-later
"""Collapsed stacks, a line each: OUTERMOST;...;INNERMOST BYTES."""
from .merged import merge


def clean(name):
    """A name without what ends a frame or a line there, or what a terminal obeys."""
    return "".join(char if char.isprintable() else " " for char in name.replace(";", ":"))


def write(sections, names, stream):
    """Write a line for each stack that holds something, sorted."""
    lines = {}
    for path, size in merge(sections, names).items():
        line = ";".join(map(clean, path))
        lines[line] = lines.get(line, 0) + size
    for line, size in sorted(lines.items()):
        if size:
            stream.write(f"{line} {size}\n".encode("utf-8", "backslashreplace"))
