# SPDX-License-Identifier: GPL-2.0
"""work.py PROGRAM DIVISOR: do the work of one of the programs.

Makes its data, drops all of it but one item in 200, chosen at random, then drops
these, too. In between it sleeps for half a minute. Prints the time and the page faults
that the work took as lines "METRIC VALUE". After a line "look NAME" or "watch NAME
SECONDS LOOKS" it waits for a byte: ../observe measures its memory and then writes one.
The start of the interpreter is not counted.
"""

import gc
import importlib
import os
import random
import resource
import sys
import time

KEPT = 200
SLEEP = 30


def say(line):
    os.write(1, f"{line}\n".encode())


class Meter:
    """A context that measures time and page faults in it."""

    def __init__(self):
        self.time = 0
        self.faults = 0

    def __enter__(self):
        self.faults -= self.count_faults()
        self.time -= time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def __exit__(self, *_):
        self.time += time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self.faults += self.count_faults()

    @staticmethod
    def count_faults():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_minflt + usage.ru_majflt


def ask(line):
    say(line)
    os.read(0, 1)


def look(name):
    ask(f"look {name}")


def main(program, divisor):
    build = importlib.import_module("programs." + program)
    count = build.COUNT // divisor
    chosen = sorted(random.Random(1).sample(range(count), -(-count // KEPT)))
    meter = Meter()
    gc.collect()
    look("start")
    with meter:
        items = build.build(count)
        gc.collect()
    look("peak")
    with meter:
        kept = [items[i] for i in chosen]
        del items
        gc.collect()
    look("kept")
    ask(f"watch slept {-(-SLEEP // divisor)} 1")
    with meter:
        del kept
        gc.collect()
    look("final")
    say(f"time {meter.time}")
    say(f"faults {meter.faults}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
