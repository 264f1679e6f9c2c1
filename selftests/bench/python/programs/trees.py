# SPDX-License-Identifier: GPL-2.0
"""Binary trees: objects with slots that point at each other."""

COUNT = 2500
DEPTH = 6


class Node:
    __slots__ = ("left", "right", "value")

    def __init__(self, left, right, value):
        self.left = left
        self.right = right
        self.value = value


def grow(depth, value):
    if not depth:
        return Node(None, None, value)
    return Node(grow(depth - 1, 2 * value), grow(depth - 1, 2 * value + 1), value)


def size(node):
    return 1 + size(node.left) + size(node.right) if node else 0


def build(count):
    trees = []
    for i in range(count):
        trees.append(grow(DEPTH, i))
        # For each tree that stays, one that is dropped at once.
        assert size(grow(DEPTH - 1, i)) == 2 ** DEPTH - 1
    return trees
