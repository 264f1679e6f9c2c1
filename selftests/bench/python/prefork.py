# SPDX-License-Identifier: GPL-2.0
"""prefork.py PROGRAM DIVISOR: a server that forks when all of its data is there.

The parent makes the data of one of the programs and freezes it for the garbage
collector. Then it forks workers, each of which goes through its part of the
data, which counts references in it, makes a tenth of its own, and waits. Prints
what this took, a line "METRIC VALUE" each, as ./work.py does: from the first
fork() until the last worker has ended, all processes and the kernel. What it
takes to fork and start another program, before, is "exec".
"""

import gc
import importlib
import os
import sys
import time

from work import look, say

WORKERS = 8
OWN = 10
# Seconds after which all has been done that is to be done.
SETTLE = 0.05


def busy():
    """Nanoseconds for which CPUs have run something, up to when they last slept."""
    time.sleep(SETTLE)
    with open("/proc/schedstat", encoding="ascii") as lines:
        return sum(int(line.split()[7]) for line in lines if line.startswith("cpu"))


class Meter:
    """Counts what the machine does while it is entered."""

    def __init__(self):
        self.time = 0

    def __enter__(self):
        self.time -= busy()

    def __exit__(self, *_):
        self.time += busy()


def serve(items, build, count):
    """Answers that mention all of @items, and data that is the worker's own."""
    for item in items:
        repr(item)
    return build(count)


class Workers:
    """They live until the pipe ends that they read from."""

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
            # Held, so that it is there while somebody looks.
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
