# SPDX-License-Identifier: LGPL-2.1-or-later
"""A flame graph as a picture in SVG that needs no other file.

The outermost frames are at the bottom.  A frame is as wide as what is held in it and in what
it calls.  A click on a frame shows it and what it calls over the whole width; a click on a
frame below it goes back.
"""
from xml.sax.saxutils import escape

from .merged import merge

WIDTH = 1200
HEIGHT = 17
TOP = 40
# Frames that are narrower, in parts of a pixel, cannot be seen, and are left out.
NARROW = 0.1

_COLOURS = ("#f4a582", "#fddbc7", "#d1e5f0", "#92c5de", "#f6c667", "#c7e9b4", "#e5c1dd")

_STYLE = """
text { font: 12px sans-serif; pointer-events: none; }
#head { font-size: 16px; }
g.frame { cursor: pointer; }
g.frame rect { stroke: white; stroke-width: 0.5; }
g.frame:hover rect { stroke: black; }
"""

# x, w: the place of a frame in the whole picture.  It is in view from x0 on, w0 wide.
_SCRIPT = """
"use strict";
const WIDTH = %d;
const frames = Array.from(document.querySelectorAll("g.frame"), (g) => ({
  g, rect: g.querySelector("rect"), label: g.querySelector("text"),
  name: g.dataset.name, x: Number(g.dataset.x), w: Number(g.dataset.w),
  depth: Number(g.dataset.depth),
}));
function zoom(to) {
  for (const f of frames) {
    const left = Math.max(f.x, to.x);
    const right = Math.min(f.x + f.w, to.x + to.w);
    const inside = right > left && (f.depth >= to.depth || f.x <= to.x);
    f.g.style.display = inside ? "" : "none";
    if (!inside)
      continue;
    const x = (left - to.x) / to.w * WIDTH;
    const w = (right - left) / to.w * WIDTH;
    f.rect.setAttribute("x", x);
    f.rect.setAttribute("width", w);
    f.label.setAttribute("x", x + 3);
    const fits = Math.floor((w - 6) / 7);
    f.label.textContent = fits < 3 ? "" :
      f.name.length <= fits ? f.name : f.name.slice(0, fits - 2) + "..";
  }
}
for (const f of frames)
  f.g.addEventListener("click", () => zoom(f));
"""


class _Node:
    """A frame in its place: what is held in it and in what it calls."""

    __slots__ = ("size", "children")

    def __init__(self):
        self.size = 0
        self.children = {}


def _tree(paths):
    root = _Node()
    for path, size in paths.items():
        node = root
        node.size += size
        for name in path:
            node = node.children.setdefault(name, _Node())
            node.size += size
    return root


def _printable(text):
    """A text without characters that XML cannot have."""
    return "".join(char if char in "\t\n" or " " <= char <= "\ud7ff" or
                   "\ue000" <= char <= "\ufffd" or char > "\uffff" else "\ufffd"
                   for char in text)


def _quote(text):
    return escape(_printable(text), {'"': "&quot;"})


def _size(size):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return None


def _colour(name):
    return _COLOURS[sum(name.encode("utf-8", "replace")) % len(_COLOURS)]


def _layout(root):
    """The frames that can be seen: (name, node, x, width, depth), the outer ones first."""
    total = root.size or 1
    todo = [("all", root, 0, 0)]
    while todo:
        name, node, before, depth = todo.pop()
        width = node.size / total * WIDTH
        if width < NARROW and depth:
            continue
        yield name, node, before / total * WIDTH, width, depth
        for child, below in sorted(node.children.items()):
            todo.append((child, below, before, depth + 1))
            before += below.size


def _frame(name, node, x, width, y, depth, total):
    part = f"{_size(node.size)}, {node.size / (total or 1):.2%}"
    fits = int((width - 6) / 7)
    label = "" if fits < 3 else name if len(name) <= fits else name[:fits - 2] + ".."
    return (f'<g class="frame" data-name="{_quote(name)}" data-x="{x:.6f}" '
            f'data-w="{width:.6f}" data-depth="{depth}" data-bytes="{node.size}">'
            f"<title>{_quote(name)}: {node.size} bytes ({part})</title>"
            f'<rect x="{x:.6f}" y="{y}" width="{width:.6f}" height="{HEIGHT - 1}" '
            f'fill="{_colour(name)}"/>'
            f'<text x="{x + 3:.6f}" y="{y + 12}">{_quote(label)}</text></g>\n')


def draw(paths, title):
    """The picture of a dict of stacks to bytes, as text."""
    root = _tree(paths)
    frames = list(_layout(root))
    deepest = max(depth for *_, depth in frames)
    height = TOP + (deepest + 1) * HEIGHT + 10
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n',
             f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             f'viewBox="0 0 {WIDTH} {height}">\n',
             f"<style>{_STYLE}</style>\n",
             '<rect x="0" y="0" width="100%" height="100%" fill="white"/>\n',
             f'<text id="head" x="{WIDTH // 2}" y="24" text-anchor="middle">'
             f"{_quote(title)}</text>\n"]
    for name, node, x, width, depth in frames:
        y = TOP + (deepest - depth) * HEIGHT
        parts.append(_frame(name, node, x, width, y, depth, root.size))
    parts.append(f"<script><![CDATA[{_SCRIPT % WIDTH}]]></script>\n</svg>\n")
    return "".join(parts)


def write(sections, names, stream):
    """Write the picture."""
    paths = merge(sections, names)
    heaps = ", ".join(f"{section.comm or 'process'} [{section.pid}]" for section in sections[:3])
    title = f"{heaps}: {_size(sum(paths.values()))} in blocks"
    stream.write(draw(paths, title).encode())
