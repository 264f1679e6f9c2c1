# SPDX-License-Identifier: LGPL-2.1-or-later
"""pymalloc convert: write a snapshot in a format of another tool."""
import argparse
import io
import os
import signal
import sys

from . import sites, stacks
from .formats import collapsed, flamegraph, mprof, pickled, pprof, speedscope

FORMATS = {"tracemalloc": pickled, "collapsed": collapsed, "speedscope": speedscope,
           "pprof": pprof, "svg": flamegraph, "mprof": mprof}
COLUMNS = ("BYTES", "USED", "METADATA")


def parse(argv):
    """What the line asks for."""
    parser = argparse.ArgumentParser(
        prog="pymalloc convert", allow_abbrev=False,
        description="Write the snapshot in FILE, or for mprof a file of `pymalloc record`, "
        "in a format of another tool.",
        epilog="Formats: tracemalloc (a pickle for tracemalloc.Snapshot.load() of Python), "
        "collapsed (stacks, for flamegraph.pl and others), speedscope (JSON), pprof "
        "(profile.proto, with gzip), svg (a flame graph), mprof (memory_profiler's .dat).")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("-t", "--to", metavar="FORMAT", required=True, choices=FORMATS,
                        help="the format")
    parser.add_argument("-o", "--output", metavar="OUT",
                        help="the file to write; standard output if not given")
    parser.add_argument("-c", "--column", metavar="COLUMN", choices=COLUMNS, default="BYTES",
                        help="with mprof, the figure: BYTES (of pages; if not given), USED "
                        "or METADATA")
    parser.add_argument("-n", "--names", metavar="REPORT",
                        help="take names of frames from this file, which `pymalloc report "
                        "--json` has printed, instead of running that; with - from nowhere")
    return parser.parse_args(argv)


def _names(wish, sections):
    if wish.names == "-":
        return None
    if wish.names is None:
        return stacks.ask_names(wish.file, sections)
    with open(wish.names, encoding="utf-8") as file:
        return stacks.read_report(file.read(), sections)


def convert(wish):
    """What is to be written, as bytes.  Raises OSError and ValueError."""
    out = io.BytesIO()
    if wish.to == "mprof":
        with open(wish.file, encoding="utf-8", errors="replace") as file:
            text = file.read()
        try:
            mprof.write(text, wish.column, out)
        except ValueError as error:
            raise ValueError(f"{wish.file}: {error}") from None
        return out.getvalue()
    sections = sites.read_snapshot(wish.file)
    FORMATS[wish.to].write(sections, _names(wish, sections), out)
    return out.getvalue()


def _write(path, data):
    if path is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    # Names of functions and files are the user's, as in the snapshot.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)


def main(argv=None):
    """Returns the exit status: 0, or 1 after a message; 2 is a wrong line."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    wish = parse(argv)
    if wish.output is None and wish.to in ("tracemalloc", "pprof") and sys.stdout.isatty():
        print("pymalloc convert: this format is not for a terminal: -o FILE writes it to a file",
              file=sys.stderr)
        return 2
    try:
        _write(wish.output, convert(wish))
    except (OSError, ValueError) as error:
        print(f"pymalloc convert: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
