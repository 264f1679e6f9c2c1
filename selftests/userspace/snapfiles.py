# SPDX-License-Identifier: GPL-2.0
"""Makes files of snapshots with known content, by userspace/command/snapfile.h and
pymalloc-sites.h alone."""
import struct

OFF, GROWTH, SAMPLED, EXACT = range(4)
SETTINGS, OBJECT, CODE, THREAD, STACK, SITE = range(1, 7)
BEFORE, UNKNOWN = 0, 1
NO_IDLE = 0xffffffff


def padded(data):
    """Up to a multiple of 8 bytes."""
    return data + bytes(-len(data) % 8)


class Table:
    """A table of sites that grows."""

    def __init__(self, mode=EXACT, interval=0, nr_unknown=0):
        self.records = bytearray()
        self.head = lambda used: struct.pack(
            "<IHH8sIIQIIQQQII", 72, SETTINGS, 0, b"PYMSITES", 1, mode, interval, 1, 1, used,
            1_700_000_000_000_000_000, nr_unknown, 42, 0)

    def add(self, kind, body, count=0):
        """Returns the record's number."""
        body = padded(body)
        number = (72 + len(self.records)) // 8
        self.records += struct.pack("<IHH", 8 + len(body), kind, count) + body
        return number

    def object(self, start, end, bias, path, build_id=b""):
        path = path.encode() + b"\0"
        return self.add(OBJECT, struct.pack("<QQQII", start, end, bias, len(build_id),
                                            len(path)) + build_id + path)

    def code(self, file, name, first_line):
        file, name = file.encode() + b"\0", name.encode() + b"\0"
        return self.add(CODE, struct.pack("<IIII", first_line, len(file), len(name), 0)
                        + file + name)

    def thread(self, tid, name):
        return self.add(THREAD, struct.pack("<II16s", tid, 0, name.encode()))

    def stack(self, *frames):
        """frames: (where, line, address), the innermost first."""
        return self.add(STACK, b"".join(struct.pack("<IIQ", *frame) for frame in frames),
                        len(frames))

    def site(self, stack, thread, count, time=1_700_000_001_000_000_000):
        return self.add(SITE, struct.pack("<IIQQ", stack, thread, time, count))

    def bytes(self):
        return self.head(72 + len(self.records)) + self.records


def section(rows, table=None, *, heap=7, pid=42, comm="python3", time=1_700_000_002_000_000_000):
    """rows: (site, size, flags, blocks).  The bytes of a section of a snapshot's file."""
    data = table.bytes() if table else b""
    used = sum(size * blocks for _, size, _, blocks in rows) & (1 << 64) - 1
    return struct.pack("<8sIIQQII16s32sQQQQIIQ", b"PYMSNAP\n", 1, 136, time, heap, pid, 1000,
                       comm.encode(), b"malloc", 1 << 20, 4096, used, len(rows), 24, 0,
                       len(data)) + \
        b"".join(struct.pack("<IIIIQ", site, size, flags, NO_IDLE, blocks)
                 for site, size, flags, blocks in rows) + data


def known(scale=1):
    """A program with a cache (parse -> load -> main), a leak in C, and old blocks.

    By line, in blocks and bytes: cache.py:10 3 of 48 and 2 of 64 by load(), called from
    main.py:5 and in another thread from main.py:9; main.py:5 7 of 32; extension.so 4 of 128;
    before 5 of 16.  scale multiplies blocks of cache.py:10.
    """
    table = Table()
    library = table.object(0x7000_0000, 0x7001_0000, 0x7000_0000, "/usr/lib/extension.so",
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
