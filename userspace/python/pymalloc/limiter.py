# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits on what a part of a program may add to the heap.

The limit of a heap is fixed when it is made, and the malloc shim takes objects that the
service refuses from the C library.  So the limit here is not the service's.  A thread waits
until the kernel reports that the heap has as many bytes of pages as the limit allows bytes of
objects: the limit cannot be met before.  Only then does it look, every INTERVAL seconds.
"""
import ctypes
import os
import select
import threading

from .heap import Heap, live_bytes

# How often to look at a heap that has enough pages, in seconds.
INTERVAL = 0.01


class LimitExceeded(MemoryError):
    """The heap has grown by more than pymalloc.limit() allows."""


# The limits that are in force, and what the kernel reported before there was one.
_lock = threading.RLock()
_limits = []
_threshold_before = 0


def _set_threshold(heap):
    """Have the kernel report the lowest limit."""
    heap.notify(min((each.most for each in _limits), default=_threshold_before))


def _raise_in(thread, kind):
    """Raise an exception in a thread before its next instruction.

    It is never taken back, which CPython 3.11 could do: afterwards, the next function with a
    trace function (a debugger's, or that of profile) would never begin.
    """
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


class limit:
    """with pymalloc.limit(size): LimitExceeded, a MemoryError, if the heap grows by more.

    It is raised in the thread that has entered the block: between two instructions of it,
    not later than INTERVAL after the limit was met, or at the latest at the end of the block.
    What other threads allocate counts, too.
    """

    def __init__(self, size):
        if size < 0:
            raise ValueError("limit() of less than 0 bytes")
        self.size = size
        self.most = 0
        self._raised = False

    def __enter__(self):
        global _threshold_before
        self._thread_id = threading.get_ident()
        self._heap = Heap.own()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._watcher = threading.Thread(target=self._watch, name="pymalloc.limit", daemon=True)
        self._raised = False
        with _lock:
            if not _limits:
                _threshold_before = self._heap.stats().threshold
            self.most = live_bytes() + self.size
            _limits.append(self)
            _set_threshold(self._heap)
        self._watcher.start()
        return self

    @property
    def grown(self):
        """By how many bytes the heap has grown; less than 0 if it has shrunk."""
        return live_bytes() - (self.most - self.size)

    def _exceeded(self):
        return LimitExceeded(f"the heap has grown by {self.grown} bytes, "
                             f"of {self.size} that are allowed")

    def _watch(self):
        pages = select.poll()
        pages.register(self._heap.fd, select.POLLPRI)
        pages.register(self._wake, select.POLLIN)
        end = select.poll()
        end.register(self._wake, select.POLLIN)
        while True:
            pages.poll()
            if end.poll(0):
                return
            with _lock:
                if self in _limits and live_bytes() > self.most:
                    self._raised = True
                    _raise_in(self._thread_id, LimitExceeded)
                    return
            if end.poll(INTERVAL * 1000):
                return

    def _stop(self):
        with _lock:
            if self in _limits:
                _limits.remove(self)
                _set_threshold(self._heap)
                os.eventfd_write(self._wake, 1)
        self._watcher.join()

    def __exit__(self, kind, error, traceback):
        # The exception may come even here, but only once.
        try:
            self._stop()
            if self._raised and not isinstance(error, LimitExceeded):
                # It is on its way, and comes at the next jump.
                for _ in range(1000):
                    pass
        except LimitExceeded:
            self._stop()
        exceeded = self._exceeded() if self.grown > self.size else None
        self._heap.close()
        os.close(self._wake)
        if exceeded and kind is None:
            raise exceeded
        if self._raised and kind is LimitExceeded and not error.args:
            error.args = (f"the heap has grown by more than {self.size} bytes",)
