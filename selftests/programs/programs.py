# SPDX-License-Identifier: GPL-2.0
"""The programs of the file "list"."""

import os
import sys
from typing import NamedTuple

HERE = os.path.dirname(os.path.realpath(__file__))


class Program(NamedTuple):
    kind: str
    name: str
    seconds: int = 0
    classes: tuple = ()     # of a file of tests, the classes to run
    users: tuple = ()       # names of processes that must use the service
    reason: str = ""        # why it is left out

    @property
    def title(self):
        return f"CPython's {self.name}" if self.kind == "python" else self.name


def read_list():
    programs = []
    with open(os.path.join(HERE, "list"), encoding="utf-8") as lines:
        for line in lines:
            words = line.split("#")[0].split(maxsplit=2)
            if not words:
                continue
            kind, name, rest = words
            if kind == "without":
                programs.append(Program(kind, name, reason=rest.strip()))
                continue
            seconds, *more = rest.split()
            what = {"python": "classes", "work": "users"}[kind]
            programs.append(Program(kind, name, int(seconds), **{what: tuple(more)}))
    return programs


def choose(names):
    """The programs of these names, or all if there is none; an unknown name ends this."""
    programs = read_list()
    unknown = set(names) - {program.name for program in programs}
    if unknown:
        sys.exit(f"no program {', '.join(sorted(unknown))}")
    return [program for program in programs if not names or program.name in names]
