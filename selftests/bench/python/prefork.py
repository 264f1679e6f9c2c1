# SPDX-License-Identifier: GPL-2.0
"""prefork.py PROGRAM DIVISOR: a server that forks when all of its data is there.

The parent makes the data of one of the programs and freezes it for the garbage
collector. Then it forks workers. Each reads its part of the data, which writes to
it (reference counts), makes a tenth as much of its own, and waits. Prints the time
that this took as ./work.py does: of all processes and the kernel, from the first
fork() until the last worker has ended. "exec" is the time that fork() and the start
of another program take before.
"""

import gc
import importlib
import os
import sys
import time

from work import look, say

WORKERS = 8
OWN = 10
# See busy() and settle() in fork/time.c, which do the same.
SETTLE = 0.05


def busy():
    """Nanoseconds for which CPUs were busy, up to when each became idle last."""
    time.sleep(SETTLE)
    with open("/proc/schedstat", encoding="ascii") as lines:
        return sum(int(line.split()[7]) for line in lines if line.startswith("cpu"))


class Meter:
    """A context that measures for how long the CPUs were busy in it."""

    def __init__(self):
        self.time = 0

    def __enter__(self):
        self.time -= busy()

    def __exit__(self, *_):
        self.time += busy()


def serve(items, build, count):
    """A worker's work: it reads all of @items and makes data of its own."""
    for item in items:
        repr(item)
    return build(count)


class Workers:
    """The workers. Each waits until the parent closes a pipe, then it ends."""

    def __init__(self, work):
        self.ready = os.pipe()
        self.end = os.pipe()
        self.held = None
        self.pids = [self.start(work, i) for i in range(WORKERS)]
        for _ in self.pids:
            os.read(self.ready[0], 1)

    def start(self, work, number):
        pid = os.fork()
        if not pid:
            os.close(self.end[1])
            # Keep the data until its memory has been measured.
            self.held = work(number)
            os.write(self.ready[1], b"!")
            os.read(self.end[0], 1)
            os._exit(0)
        return pid

    def stop(self):
        os.close(self.end[1])
        for pid in self.pids:
            wait_for(pid)


def wait_for(pid):
    if os.waitpid(pid, 0)[1]:
        sys.exit("prefork.py: a child has failed")


def run_another():
    pid = os.fork()
    if not pid:
        os.execve("/bin/true", ["true"], {})
    wait_for(pid)


def main(program, divisor):
    build = importlib.import_module("programs." + program)
    count = build.COUNT // divisor
    items = build.build(count)
    gc.collect()
    gc.freeze()
    part = -(-count // WORKERS)

    def work(number):
        return serve(items[number * part:(number + 1) * part], build.build,
                     count // WORKERS // OWN)

    meter = Meter()
    with meter:
        run_another()
    say(f"exec {meter.time}")
    meter = Meter()
    look("parent")
    with meter:
        workers = Workers(work)
    look("workers")
    with meter:
        workers.stop()
    say(f"time {meter.time}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
