# SPDX-License-Identifier: GPL-2.0
"""Snapshots of the program that the tests of the formats know, made by snapfile.py."""
import snapfile
# formats.py takes those that it needs from here, too.
from snapfile import BEFORE, CODE, EXACT, SAMPLED, SETTINGS, SITE, STACK

START = 1_700_000_000_000_000_000


class Table(snapfile.Table):
    """The table of sites of process 42."""

    def __init__(self, mode=EXACT, interval=0, nr_unknown=0):
        super().__init__(mode, interval, START, nr_unknown, pid=42, frames=(1, 1))

    def site(self, stack, thread, count=0, time=START + snapfile.SECOND):
        return super().site(stack, thread, count, time)

    def bytes(self):
        return bytes(self.data)


def section(rows, table=None, *, heap=7, pid=42, comm="python3",
            time=START + 2 * snapfile.SECOND):
    """rows: (site, size, flags, blocks).  The bytes of a section of a snapshot's file."""
    return snapfile.section([(site, size, blocks, flags) for site, size, flags, blocks in rows],
                            table, heap, pid, comm, "malloc", time, uid=1000,
                            page_bytes=1 << 20, meta_bytes=4096)


def known(scale=1):
    """A program with a cache (parse -> load -> main), a leak in C, and old blocks.

    By line, in blocks and bytes: cache.py:10 3 of 48 and 2 of 64 by load(), called from
    main.py:5 and in another thread from main.py:9; main.py:5 7 of 32; extension.so 4 of 128;
    before 5 of 16.  scale multiplies blocks of cache.py:10.
    """
    table = Table()
    library = table.object("/usr/lib/extension.so", 0x7000_0000, 0x7001_0000, 0x7000_0000,
                           bytes.fromhex("0123456789abcdef"))
    load = table.code("/srv/cache.py", "Cache.load", 8)
    main = table.code("/srv/main.py", "main", 3)
    first = table.thread(42, "python3")
    second = table.thread(43, "worker; 2")
    by_main = table.site(table.stack((load, 10, 0), (main, 5, 0)), first, 100)
    by_worker = table.site(table.stack((load, 10, 0), (main, 9, 0)), second, 50)
    in_main = table.site(table.stack((main, 5, 0)), first, 7)
    in_c = table.site(table.stack((library, 0, 0x7000_1234), (0, 0, 0xdeadbeef)), first, 4)
    rows = [(BEFORE, 16, 0, 5), (by_main, 48, 0, 3 * scale), (by_main, 48, 1, 11),
            (by_worker, 64, 0, 2 * scale), (in_main, 32, 0, 7), (in_c, 128, 0, 4)]
    return section(rows, table), {"by_main": by_main, "by_worker": by_worker,
                                  "in_main": in_main, "in_c": in_c}
