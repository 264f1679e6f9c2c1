# SPDX-License-Identifier: GPL-2.0
"""The program of the demonstration: CPython parses a part of its standard library and
keeps the syntax trees. SIGUSR1 makes it drop all but the first, SIGTERM ends it."""

import ast
import glob
import os
import signal
import sys


def drop(*_):
    del trees[1:]
    print("CPython has dropped all but the first tree", flush=True)


trees = []
signal.signal(signal.SIGUSR1, drop)
for name in sorted(glob.glob(os.path.dirname(os.__file__) + "/*.py"))[:60]:
    with open(name, encoding="utf-8") as file:
        trees.append(ast.parse(file.read()))
nodes = sum(1 for tree in trees for node in ast.walk(tree))
print(f"CPython {sys.version.split()[0]} holds {nodes} nodes of "
      f"{len(trees)} syntax trees", flush=True)
while True:
    signal.pause()
