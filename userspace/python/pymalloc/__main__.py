# SPDX-License-Identifier: LGPL-2.1-or-later
"""python3 -m pymalloc SCRIPT: run a program, and print what the lines of its functions add.

As with python3 -m memory_profiler, functions with @profile are profiled, which need not be
imported.  Functions that use pymalloc.profile print their tables by themselves.
"""
import argparse
import builtins
import os
import runpy
import sys

from . import profiler, stacks


def parse(argv):
    """What the line asks for; the rest belongs to the program."""
    parser = argparse.ArgumentParser(
        prog="python3 -m pymalloc", allow_abbrev=False,
        description="Run a program in Python, and print at its end what the lines of functions "
        "with @profile add to its heap. If the program is not run by `pymalloc run`, that is "
        "started first.")
    parser.add_argument("-o", "--output", metavar="OUT",
                        help="write the tables to this file; standard output if not given")
    parser.add_argument("--precision", metavar="N", type=int, choices=range(17),
                        help="print MiB with N digits behind the point; plain bytes if not given")
    parser.add_argument("--backend", metavar="BACKEND", choices=profiler.BACKENDS,
                        default="heap", help="heap (if not given): bytes of the objects in the "
                        "heap of the service, which are those of up to 512 bytes; malloc: also "
                        "those that the C library has handed out")
    parser.add_argument("--marks", metavar="FILE",
                        help="append the calls of functions to this .dat file of mprof")
    parser.add_argument("program", metavar="SCRIPT")
    parser.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER)
    return parser.parse_args(argv)


def run_on_service(argv):
    """Start all this again by `pymalloc run`, if it has not been: returns if that is so."""
    if "PYMALLOC_RUN" in os.environ:
        return
    command = stacks.find_command()
    if command:
        os.execv(command, [command, "run", "--", sys.executable, "-m", "pymalloc", *argv])


def _report(wish, profiled):
    if wish.output:
        with open(wish.output, "w", encoding="utf-8") as file:
            profiled.print(file, wish.precision)
    else:
        profiled.print(sys.stdout, wish.precision)
    if wish.marks:
        with open(wish.marks, "a", encoding="utf-8") as file:
            profiled.write_marks(file)


def main():
    """Run the program; its exit status is what it has."""
    argv = sys.argv[1:]
    wish = parse(argv)
    if wish.backend == "heap":
        run_on_service(argv)
    profiled = profiler.Profiler(wish.backend)
    try:
        with profiled:
            pass
    except profiler.heap.NoHeap as error:
        sys.exit(f"python3 -m pymalloc: {error}")
    builtins.profile = profiled.wrap
    sys.argv[:] = [wish.program, *wish.args]
    sys.path[0] = os.path.dirname(os.path.abspath(wish.program))
    try:
        runpy.run_path(wish.program, run_name="__main__")
    finally:
        _report(wish, profiled)


if __name__ == "__main__":
    main()
