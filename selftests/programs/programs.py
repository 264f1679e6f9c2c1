# SPDX-License-Identifier: GPL-2.0
"""The programs of the file "list"."""

import os
from typing import NamedTuple

HERE = os.path.dirname(os.path.realpath(__file__))


class Program(NamedTuple):
    kind: str
    name: str
    seconds: int = 0
    classes: tuple = ()
    reason: str = ""    # why it is left out

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
            else:
                seconds, *classes = rest.split()
                programs.append(Program(kind, name, int(seconds), tuple(classes)))
    return programs
