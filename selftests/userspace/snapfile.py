# SPDX-License-Identifier: GPL-2.0
"""Write files of snapshots with known blocks.

As a program: snapfile.py FILE writes a small one that has records of every kind.
"""
import struct
import sys

SECOND = 10 ** 9
NO_IDLE = 0xffffffff
BEFORE, UNKNOWN = 0, 1
OFF, GROWTH, SAMPLED, EXACT = range(4)
SETTINGS, OBJECT, CODE, THREAD, STACK, SITE = range(1, 7)
CACHED = 1


class Table:
    """A table of sites.  What adds a record returns its number."""

    def __init__(self, mode=EXACT, interval=0, start=1000 * SECOND, unknown=0, *, pid=7,
                 frames=(1, 0)):
        self.data = bytearray()
        self.add(SETTINGS, struct.pack('<8sIIQIIQQQII', b'PYMSITES', 1, mode, interval,
                                       *frames, 0, start, unknown, pid, 0))

    def add(self, kind, content, count=0):
        number = len(self.data) // 8
        content += bytes(-len(content) % 8)
        self.data += struct.pack('<IHH', 8 + len(content), kind, count) + content
        struct.pack_into('<Q', self.data, 40, len(self.data))
        return number

    def code(self, file, function, first_line=1):
        file = file.encode('utf-8', 'surrogateescape') + b'\0'
        function = function.encode('utf-8', 'surrogateescape') + b'\0'
        return self.add(CODE, struct.pack('<IIII', first_line, len(file), len(function), 0) +
                        file + function)

    def object(self, path, start, end, bias, build_id=b''):
        path = path.encode() + b'\0'
        return self.add(OBJECT, struct.pack('<QQQII', start, end, bias, len(build_id),
                                            len(path)) + build_id + path)

    def thread(self, tid=7, name='main'):
        return self.add(THREAD, struct.pack('<II16s', tid, 0, name.encode()))

    def stack(self, *frames):
        """A frame is (code, line), or (object, 0, address)."""
        content = b''.join(struct.pack('<IIQ', *(frame + (0, 0))[:3]) for frame in frames)
        return self.add(STACK, content, len(frames))

    def site(self, stack, thread, count=0, time=1000 * SECOND):
        return self.add(SITE, struct.pack('<IIQQ', stack, thread, time, count))


def section(rows, table=None, heap=1, pid=7, comm='python3', name='malloc',
            time=2000 * SECOND, *, uid=0, page_bytes=None, meta_bytes=512):
    """A row is (site, size, blocks), or with flags and idle behind these."""
    data = table.data if table else b''
    rows = [(tuple(row) + (0, NO_IDLE)[len(row) - 3:])[:5] for row in rows]
    used = sum(size * blocks for _, size, blocks, _, _ in rows) % 2 ** 60
    header = struct.pack('<8sIIQQII16s32sQQQQIIQ', b'PYMSNAP\n', 1, 136, time, heap, pid, uid,
                         comm.encode('utf-8', 'surrogateescape'), name.encode(),
                         used + 4096 if page_bytes is None else page_bytes, meta_bytes, used,
                         len(rows), 24, 0, len(data))
    return header + b''.join(struct.pack('<IIIIQ', site, size, flags, idle, blocks)
                             for site, size, blocks, flags, idle in rows) + data


def write(path, *sections):
    with open(path, 'wb') as file:
        file.write(b''.join(sections))


def small():
    """A record of each kind, and a row of each."""
    table = Table(start=1500 * SECOND)
    code = table.code('/srv/app.py', 'handle')
    libc = table.object('/usr/lib/libc.so.6', 0x1000, 0x9000, 0x1000, bytes(range(20)))
    thread = table.thread()
    mixed = table.stack((code, 12), (code, 40), (libc, 0, 0x2000), (0, 0, 0x77))
    sites = [table.site(mixed, thread, 50, 1900 * SECOND),
             table.site(table.stack(), thread, 3, 1990 * SECOND)]
    return section([(sites[0], 64, 10), (sites[1], 32, 3, 0, 90), (BEFORE, 16, 5),
                    (UNKNOWN, 16, 2), (sites[0], 64, 7, CACHED)], table)


if __name__ == '__main__':
    write(sys.argv[1], small())
