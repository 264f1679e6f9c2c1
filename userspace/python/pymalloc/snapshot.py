# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots of tracemalloc, made of snapshots of heaps."""
import math
import os
import random
import tracemalloc

from . import stacks
from .heap import Heap
from .sites import read_snapshot

# tracemalloc keeps a trace for each block, so this bounds what a file can make it need.
TRACES_MAX = 1 << 26

_UNKNOWN = ("<unknown>", 0)


def _frame(place):
    """A frame as tracemalloc keeps it: (file, line)."""
    if place.file is not None:
        return place.file, place.line
    if place in (stacks.BEFORE, stacks.UNKNOWN):
        return place.function, 0
    if place.object:
        return place.object.path, 0
    return _UNKNOWN


def _python_only(stack):
    """tracemalloc knows Python frames; of a stack without any, all frames stay."""
    python = [place for place in stack if not place.object and not place.address]
    return python or stack


def to_tracemalloc(sections, names=None, *, traces_max=TRACES_MAX):
    """A tracemalloc.Snapshot of sections of a snapshot; it has one trace for each block.

    With sampling, a recorded block is there as often as the blocks that it stands for.
    That is no whole number: each site gets the whole part, and what is left over is carried
    on to the next, beginning with a random part of a block (the same for the same snapshot).
    So both bytes and counts are estimates without bias, and the number of all traces is the
    estimate of all blocks, rounded.

    Raises ValueError if there are more than traces_max blocks.
    """
    traces = []
    limit = 1
    carry = random.Random(sections[0].time).random()
    for held in stacks.held(sections, names):
        frames = tuple(map(_frame, _python_only(held.stack)))
        limit = max(limit, len(frames))
        # Exactly, as floats have no room for large whole numbers.
        if isinstance(held.blocks, int):
            count = held.blocks
        else:
            count = math.floor(held.blocks + carry)
            carry += held.blocks - count
        if count > traces_max - len(traces):
            raise ValueError(f"heap {held.section.heap}, site {held.site}: with {count} more "
                             f"blocks there are more than {traces_max}")
        traces += [(0, held.size, frames, len(frames))] * count
    return tracemalloc.Snapshot(tuple(traces), limit)


def take_snapshot(source=None, *, pid=None, heap=None, names=None):
    """A tracemalloc.Snapshot of a traced heap.

    source: the file of a snapshot (`pymalloc snapshot`), or a Heap.
    pid: a process; heap: the number of a heap.  Without any, the heap of this process.
    names: for a file, what `pymalloc report --json` has printed about it.

    The heap has the objects of up to 512 bytes; larger ones are the C library's, and not
    there.  Blocks from before the trace have the file "<before the trace>".
    """
    if sum(given is not None for given in (source, pid, heap)) > 1:
        raise TypeError("take_snapshot() of one of: a file, a process, a heap")
    if source is not None and not isinstance(source, Heap):
        sections = read_snapshot(os.fspath(source))
        return to_tracemalloc(
            sections, None if names is None else stacks.read_report(names, sections))
    if source is not None:
        return to_tracemalloc([source.snapshot()])
    if pid is not None:
        opened = Heap.of_process(pid, readonly=True)
    elif heap is not None:
        opened = Heap.open(heap, readonly=True)
    else:
        opened = Heap.own()
    with opened:
        return to_tracemalloc([opened.snapshot()])
