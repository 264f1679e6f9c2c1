# SPDX-License-Identifier: GPL-2.0
"""What the service did for a program: the figures in the trace of its heaps' ends, and
the kernel's log, which names each heap that was not sound."""

import collections
import os
import re
import time

INSTANCE = "/sys/kernel/tracing/instances/programs"
CHECK = "/sys/module/pymalloc/parameters/check"
BUFFER_KIB = 16384      # for each CPU
CREATE = re.compile(r" heap_create: heap=(\d+) ")
DESTROY = re.compile(r" heap_destroy: heap=(\d+) comm=(.*) allocs=(\d+) "
                     r"frees=(\d+) peak=(\d+) calls=(\d+)$")
LOST = re.compile(r"^(?:overrun|commit overrun|dropped events): (\d+)$", re.MULTILINE)
COMPLAINT = re.compile(r"pymalloc: heap \d+: .*")
# So many seconds at most until all heaps have ended: the kernel releases those that
# children have inherited a little later than their processes.
PATIENCE = 300


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class Watch:
    """A context that is entered before a program starts and left after it has ended."""

    def __enter__(self):
        os.mkdir(INSTANCE)
        write(f"{INSTANCE}/buffer_size_kb", str(BUFFER_KIB))
        for event in ("heap_create", "heap_destroy"):
            write(f"{INSTANCE}/events/pymalloc/{event}/enable", "1")
        write(CHECK, "1")
        self.log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.log, 0, os.SEEK_END)
        return self

    def __exit__(self, *error):
        os.close(self.log)
        os.rmdir(INSTANCE)

    def complaints(self):
        found = []
        while True:
            try:
                found += COMPLAINT.findall(os.read(self.log, 8192).decode())
            except BlockingIOError:
                return found

    @staticmethod
    def ends():
        """The heaps that were created, and the figures of those that have ended."""
        began, ended = set(), {}
        for line in read(f"{INSTANCE}/trace").splitlines():
            if match := CREATE.search(line):
                began.add(match[1])
            elif match := DESTROY.search(line):
                ended[match[1]] = (match[2], *(int(n) for n in match.group(3, 5, 6)))
        return began, ended

    @staticmethod
    def blocks_of(ended):
        """The blocks by name: a process's name when its heap was created."""
        blocks = collections.Counter()
        for comm, allocs, _, _ in ended.values():
            blocks[comm] += allocs
        return blocks

    @staticmethod
    def lost():
        cpus = [name for name in os.listdir(f"{INSTANCE}/per_cpu")]
        return sum(int(n) for cpu in cpus
                   for n in LOST.findall(read(f"{INSTANCE}/per_cpu/{cpu}/stats")))

    def figures(self):
        """All figures. Call this after the program's processes have ended."""
        deadline = time.monotonic() + PATIENCE
        while True:
            began, ended = self.ends()
            if began == ended.keys() or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        blocks = self.blocks_of(ended)
        return {
            "heaps": len(began),
            "blocks": sum(blocks.values()),
            "blocks of": blocks,
            "peak": max((peak for _, _, peak, _ in ended.values()), default=0),
            "calls": sum(calls for _, _, _, calls in ended.values()),
            "left": len(began ^ ended.keys()),
            "lost": self.lost(),
            "complaints": self.complaints(),
        }
