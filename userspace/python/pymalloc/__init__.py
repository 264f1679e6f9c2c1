# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pymalloc kernel service, from Python: see Documentation/python.rst.

A program on the service (`pymalloc run -- python3 program.py`) has its objects of up to 512
bytes in a heap of the kernel's.  Larger ones come from the C library: they are not in the
heap, and not in what is here, where nothing else is said.

pymalloc.shared, which has to be imported by itself, is for values that processes share.
"""
from .heap import Heap, NoHeap, heaps, info, live_bytes
from .limiter import LimitExceeded, limit
from .profiler import profile
from .snapshot import take_snapshot

__all__ = ["Heap", "LimitExceeded", "NoHeap", "heaps", "info", "limit", "live_bytes",
           "profile", "take_snapshot"]
