# SPDX-License-Identifier: LGPL-2.1-or-later
"""Heaps: which there are, their figures, their blocks, and what can be done with them."""
import ctypes
import os
import time

from . import abi, sites
from .libc import shim_bytes

MODES = {"off": abi.TRACE_OFF, "growth": abi.TRACE_GROWTH, "sampled": abi.TRACE_SAMPLED,
         "exact": abi.TRACE_EXACT}

# Entries that one call of LIST or WALK asks for.
_BATCH = 4096


class NoHeap(RuntimeError):
    """The process has no heap."""


def _list(fd, flags=0):
    """All heaps that this descriptor lists: the device's are all of them."""
    entries = (abi.HeapInfo * _BATCH)()
    after = 0
    while True:
        asked = abi.call(fd, abi.IOC_LIST, abi.List(
            flags=flags, heaps=ctypes.addressof(entries), after=after, count=_BATCH,
            entry_size=ctypes.sizeof(abi.HeapInfo)))
        for entry in entries[:asked.done]:
            yield abi.HeapInfo.from_buffer_copy(entry)
        if asked.done < _BATCH:
            return
        after = entries[asked.done - 1].id


def heaps(*, dead=False):
    """The heaps of this user, for root of all users: a list of abi.HeapInfo.

    dead: those that the kernel has kept after their process has ended.
    """
    device = abi.open_device()
    try:
        return list(_list(device, abi.LIST_DEAD if dead else 0))
    finally:
        os.close(device)


def info():
    """The version, the geometry and the limits of the service: abi.Info."""
    device = abi.open_device()
    try:
        return abi.call(device, abi.IOC_INFO, abi.Info())
    finally:
        os.close(device)


class Heap:
    """A heap, by a descriptor of it, which is closed with the object."""

    def __init__(self, fd):
        """Take over a descriptor.  See open(), of_process(), own() and create()."""
        self.fd = fd

    @classmethod
    def open(cls, number, *, readonly=False):
        """The heap that has this number in heaps()."""
        return cls._open(number, abi.OPEN_RDONLY if readonly else 0)

    @classmethod
    def at(cls, address, *, readonly=False):
        """The heap that this process has mapped at an address."""
        return cls._open(address,
                         abi.OPEN_MAPPED | (abi.OPEN_RDONLY if readonly else 0))

    @classmethod
    def _open(cls, number, flags):
        device = abi.open_device()
        try:
            return cls(abi.call_fd(device, abi.IOC_OPEN, abi.Open(flags=flags, id=number)))
        finally:
            os.close(device)

    @classmethod
    def of_process(cls, pid, *, readonly=False):
        """The heap of a process; of several that of the malloc shim, or else the first."""
        found = [heap for heap in heaps() if heap.pid == pid]
        if not found:
            raise NoHeap(f"process {pid} has no heap: was it started with `pymalloc run`?")
        found.sort(key=lambda heap: (heap.name != b"malloc", heap.id))
        return cls.open(found[0].id, readonly=readonly)

    @classmethod
    def own(cls):
        """The heap of this process, in which the malloc shim puts its small objects."""
        return cls.of_process(os.getpid())

    @classmethod
    def create(cls, name="", *, limit=0, window=0, alignment=0, mesh=True):
        """Make a heap, which ends when its descriptors are closed.

        limit: most bytes of pages and metadata; it stays as it is.
        """
        device = abi.open_device()
        try:
            return cls(abi.call_fd(device, abi.IOC_CREATE, abi.Create(
                flags=0 if mesh else abi.CREATE_NO_MESH, alignment=alignment,
                window=window, limit=limit, name=name.encode("ascii"))))
        finally:
            os.close(device)

    def close(self):
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "fd", -1) >= 0:
            os.close(self.fd)

    def info(self):
        """What heaps() has about this heap: abi.HeapInfo."""
        return next(_list(self.fd))

    def stats(self):
        """The kernel's figures: abi.Stats."""
        return abi.call(self.fd, abi.IOC_STATS, abi.Stats())

    def class_stats(self):
        """The kernel's figures by size class: a list of abi.ClassStats."""
        classes = (abi.ClassStats * abi.NR_CLASSES)()
        stats = abi.call(self.fd, abi.IOC_STATS, abi.Stats(
            classes=ctypes.addressof(classes), nr_classes=abi.NR_CLASSES,
            class_size=ctypes.sizeof(abi.ClassStats)))
        return classes[:stats.nr_classes]

    def check(self):
        """Have the kernel prove that the heap is sound: abi.Check, with 0 errors if it is."""
        return abi.call(self.fd, abi.IOC_CHECK, abi.Check())

    def trim(self):
        """Give the pages of empty pools back.  Returns the bytes."""
        return abi.call(self.fd, abi.IOC_TRIM, abi.Trim()).released

    def compact(self, *, stock=True, caches=True, mesh=True):
        """Give back all memory that the heap can give back: abi.Compact.

        stock: the pages of empty pools; caches: what threads keep in magazines; mesh: let
        sparse pools share pages.
        """
        flags = (abi.COMPACT_STOCK if stock else 0) | (abi.COMPACT_CACHES if caches else 0) | \
            (abi.COMPACT_MESH if mesh else 0)
        if not flags:
            raise ValueError("compact() with nothing to do")
        return abi.call(self.fd, abi.IOC_COMPACT, abi.Compact(flags=flags))

    def policy(self, *, reset=False, **fields):
        """How the heap gives memory back by itself: abi.Policy.

        With any of decay_ms, off and keep_bytes, these are set, and the others stay as they
        are; with reset the heap follows the module's parameters again.
        """
        if reset and fields:
            raise ValueError("policy() with reset and with something to set")
        policy = abi.call(self.fd, abi.IOC_POLICY,
                          abi.Policy(flags=abi.POLICY_RESET if reset else 0))
        if not fields:
            return policy
        known = {name: getattr(policy, name) for name in ("decay_ms", "off", "keep_bytes")}
        if not fields.keys() <= known.keys():
            raise TypeError(f"policy() has no {', '.join(fields.keys() - known.keys())}")
        return abi.call(self.fd, abi.IOC_POLICY,
                        abi.Policy(flags=abi.POLICY_SET, **(known | fields)))

    def notify(self, threshold):
        """Have poll() report POLLPRI while the heap has so many bytes of pages; 0: never."""
        abi.call(self.fd, abi.IOC_NOTIFY, abi.Notify(threshold=threshold))

    def alloc(self, size, count=1, *, zero=False):
        """Allocate objects in a heap that this process has made: a list of their refs."""
        refs = (ctypes.c_uint64 * count)()
        done = abi.call(self.fd, abi.IOC_ALLOC, abi.Alloc(
            flags=abi.ALLOC_ZERO if zero else 0, size=size,
            refs=ctypes.addressof(refs), count=count))
        return refs[:done.done]

    def free(self, refs):
        """Free objects.  A bad ref is OSError EBADSLT; all others are freed all the same."""
        array = (ctypes.c_uint64 * len(refs))(*refs)
        abi.call(self.fd, abi.IOC_FREE, abi.Free(refs=ctypes.addressof(array), count=len(refs)))

    def _walk(self, what, kind):
        entries = (kind * _BATCH)()
        start = 0
        while True:
            walk = abi.call(self.fd, abi.IOC_WALK, abi.Walk(
                what=what, start=start, entries=ctypes.addressof(entries), count=_BATCH,
                entry_size=ctypes.sizeof(kind)))
            for entry in entries[:walk.done]:
                yield kind.from_buffer_copy(entry)
            start = walk.next
            if not start:
                return

    def arenas(self):
        """The arenas: abi.ArenaInfo, one after the other."""
        return self._walk(abi.WALK_ARENAS, abi.ArenaInfo)

    def pools(self):
        """The pools, and the pages of large objects: abi.PoolInfo, one after the other."""
        return self._walk(abi.WALK_POOLS, abi.PoolInfo)

    def blocks(self):
        """The blocks of all pools, free or not: abi.BlockInfo, one after the other."""
        return self._walk(abi.WALK_BLOCKS, abi.BlockInfo)

    def sites(self):
        """The allocated blocks with their sites: abi.SiteInfo, one after the other."""
        return self._walk(abi.WALK_SITES, abi.SiteInfo)

    def trace(self, mode=None, *, frames=1, native_frames=0, interval=0):
        """Have the heap's library record where blocks are allocated: abi.Trace.

        mode: "exact", "sampled", "growth" or "off"; without it, this only asks.
        frames, native_frames: most Python frames and most others of a stack, up to 25.
        interval: with "sampled", bytes from a sample to the next on average; 0: 512 KiB.

        It begins when the library next fills or flushes a magazine.
        """
        if mode is None:
            return abi.call(self.fd, abi.IOC_TRACE, abi.Trace())
        if mode not in MODES:
            raise ValueError(f"no mode {mode!r}: {', '.join(MODES)}")
        return abi.call(self.fd, abi.IOC_TRACE, abi.Trace(
            flags=abi.TRACE_SET, mode=MODES[mode], python_frames=frames,
            native_frames=native_frames, interval=interval))

    def _read_sites(self, offset, size):
        data = ctypes.create_string_buffer(size)
        read = abi.call(self.fd, abi.IOC_SITES, abi.Sites(
            op=abi.SITES_READ, offset=abi.SITES_OFFSET + offset, bytes=size,
            data=ctypes.addressof(data)))
        return data.raw[:read.done]

    def table(self):
        """The table of sites: sites.Table; None if the heap is not traced."""
        data = bytearray()
        while len(data) < abi.TABLE_MAX:
            # It ends with a page that is not there, or at a record that is not written.
            more = self._read_sites(len(data), 1 << 20)
            data += more
            if len(more) < 1 << 20:
                break
        return sites.Table(bytes(data)) if any(data[:4]) else None

    def snapshot(self):
        """Which blocks the heap has, and their sites: sites.Section.

        It is not true at one moment: each pool is looked at by itself.
        """
        now = time.time_ns()
        counts = {}
        for block in self.sites():
            # A magazine's that nobody has allocated yet has no site.
            site = sites.SITE_UNKNOWN if block.site == abi.WORD_CACHED else block.site
            key = site, block.size, block.flags & abi.SITE_CACHED
            counts[key] = counts.get(key, 0) + 1
        rows = [sites.Row(site, size, bool(cached), None, blocks)
                for (site, size, cached), blocks in sorted(counts.items())]
        heap = self.info()
        return sites.Section(rows, self.table(), comm=abi.text(heap.comm),
                             name=abi.text(heap.name), time=now, heap=heap.id, pid=heap.pid,
                             uid=heap.uid, page_bytes=heap.page_bytes,
                             meta_bytes=self.stats().meta_bytes, used_bytes=heap.used_bytes)


def live_bytes():
    """Bytes of the objects that this process has in the heap of its malloc shim, exactly.

    What its threads keep in magazines is free for the program, and not counted.
    """
    if shim_bytes is None:
        raise NoHeap("this process has no heap: start it with `pymalloc run`")
    return shim_bytes()
