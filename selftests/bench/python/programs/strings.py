# SPDX-License-Identifier: GPL-2.0
"""Lines of text, split into words, changed, and joined again."""

COUNT = 12000


def build(count):
    lines = []
    for i in range(count):
        line = " ".join(f"{i * k % 7919:x}-{k}" for k in range(24))
        words = line.replace("-", "_ ").upper().split()
        title = "/".join(reversed(words[:8]))
        assert title.count("/") == 7
        lines.append([line, title, [word.lower().strip("_") for word in words]])
    return lines
