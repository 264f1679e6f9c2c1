# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is held by stack: the form that flame graphs and their like need."""
from ..stacks import held


def root(section):
    """The outermost frame's name, for a heap: its process."""
    return f"{section.comm or 'process'} [{section.pid}]"


def merge(sections, names):
    """Bytes by stack: a dict of tuples of names, the outermost first, to numbers.

    If there is more than one heap, the process comes first.  With sampling the numbers are
    estimates, rounded to whole bytes.
    """
    sums = {}
    for each in held(sections, names):
        path = tuple(place.label() for place in reversed(each.stack))
        if len(sections) > 1:
            path = (root(each.section), *path)
        sums[path] = sums.get(path, 0) + each.bytes
    return {path: round(size) for path, size in sums.items()}
