# SPDX-License-Identifier: GPL-2.0
"""Syntax trees and code, as CPython's own compiler makes them."""

import ast

COUNT = 1000

SOURCE = '''
def function_{0}(first, second=None, *rest, **named):
    """Number {0}."""
    total = {0}
    for index, value in enumerate(rest):
        if value is None or index % 2 == 0:
            continue
        total += value * (first - index) // ({0} + 1)
    table = {{key: [value, str(value)] for key, value in named.items() if key != "k{0}"}}
    try:
        return table["x"][0] + total
    except (KeyError, TypeError) as error:
        raise ValueError(f"{{error}}: {{first!r}} of {0}") from error
'''


def build(count):
    trees = []
    for i in range(count):
        tree = ast.parse(SOURCE.format(i))
        trees.append((tree, compile(tree, "source", "exec")))
    return trees
