# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the sites of snapshots hold, with the names of their frames: what formats are made of.

`pymalloc report --json` knows the names of native frames, and which Python frame belongs
where between them.  Without it, a stack with Python frames has these alone, and other frames
are the object and the address in it.
"""
import json
import os
import posixpath
import subprocess
import sys
from typing import NamedTuple

from . import abi, sites

REPORT_FORMAT = 1


class Place(NamedTuple):
    """A frame with its names; what is not known is None or 0."""
    file: str | None
    line: int
    function: str | None
    object: sites.Object | None = None
    address: int = 0
    first_line: int = 0

    def label(self):
        """The frame on one line."""
        name = self.function
        if name is None and self.object:
            base = posixpath.basename(self.object.path)
            return f"{base}+{self.address - self.object.bias:#x}"
        if name is None:
            name = f"{self.address:#x}" if self.address else "?"
        if self.file is None:
            return name
        return f"{name} ({self.file}:{self.line})" if self.line else f"{name} ({self.file})"


BEFORE = Place(None, 0, "<before the trace>")
UNKNOWN = Place(None, 0, "<unknown>")


class Held(NamedTuple):
    """What a site holds in blocks of one size.

    stack: Places, the innermost first; blocks: how many there are, with sampling an estimate
    without bias, which is no whole number; size: bytes of each.
    """
    stack: tuple
    size: int
    blocks: float
    section: sites.Section
    site: int

    @property
    def bytes(self):
        """Bytes of all of them."""
        return self.size * self.blocks


def _place(frame):
    if frame.code:
        return Place(frame.code.file, frame.line, frame.code.name,
                     first_line=frame.code.first_line)
    return Place(None, 0, None, frame.object, frame.address)


def _own_stack(frames):
    python = [frame for frame in frames if frame.code]
    return tuple(map(_place, python or frames)) or (UNKNOWN,)


def name_sites(section, names=None):
    """The stacks of all sites of a section, by the sites' numbers.

    names: what read_report() or ask_names() has returned.
    """
    if not section.table:
        return {}
    known = (names or {}).get(section.heap, {})
    return {number: known.get(number) or _own_stack(site.frames)
            for number, site in section.table.sites.items()}


def held(sections, names=None):
    """What the sites of sections hold: a list of Held.

    Objects in magazines are free for the program, and not there.  With sampling, neither are
    blocks without a site: most are younger than the trace, and have not been sampled.
    """
    result = []
    for section in sections:
        stacks = name_sites(section, names)
        stacks[sites.SITE_BEFORE] = (BEFORE,)
        stacks[sites.SITE_UNKNOWN] = (UNKNOWN,)
        sampled = section.mode == abi.TRACE_SAMPLED
        for row in section.rows:
            if row.cached or not row.blocks or \
                    (sampled and row.site in (sites.SITE_BEFORE, sites.SITE_UNKNOWN)):
                continue
            weight = section.table.weight(row.size) if sampled else 1
            result.append(Held(stacks[row.site], row.size, row.blocks * weight, section,
                               row.site))
    return result


def _whole(value):
    return value if isinstance(value, int) and 0 <= value < 1 << 64 else 0


def _text(value):
    return value if isinstance(value, str) else None


def _reported(frame, objects):
    """A frame of a report; @objects: those of the section by their paths."""
    address = frame.get("address")
    if isinstance(address, str):
        try:
            address = int(address, 0)
        except ValueError:
            address = 0
    found = objects.get(frame.get("object"))
    address = _whole(address)
    # There it is that in the file, and here that in the process.
    if found and address:
        address += found.bias
    return Place(_text(frame.get("file")), _whole(frame.get("line")),
                 _text(frame.get("function")), found, address)


def read_report(text, sections):
    """The stacks in what `pymalloc report --json` has printed, by heap and by site.

    Raises ValueError if it is no such report.
    """
    objects = {section.heap: {found.path: found for found in section.table.objects}
               for section in sections if section.table}
    names = {}
    try:
        report = json.loads(text)
        if report["format"] != REPORT_FORMAT:
            raise ValueError(f"report: format {report['format']!r} is not known")
        for heap in report["heaps"]:
            known = names.setdefault(heap["heap"], {})
            for row in heap["rows"]:
                stack = tuple(_reported(frame, objects.get(heap["heap"], {}))
                              for frame in row.get("stack") or ())
                if stack and isinstance(row.get("site"), int):
                    known[row["site"]] = stack
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"report: not what `pymalloc report --json` prints: {error!r}") from None
    return names


def find_command():
    """The command pymalloc: that beside this package, or that in $PATH; or None."""
    here = os.path.dirname(os.path.realpath(__file__))
    for way in ("../../../build/userspace/pymalloc", "../../../../bin/pymalloc"):
        path = os.path.normpath(os.path.join(here, way))
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    for folder in os.get_exec_path():
        path = os.path.join(folder, "pymalloc")
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def _has_native(sections):
    return any(not frame.code for section in sections if section.table
               for site in section.table.sites.values() for frame in site.frames)


def ask_names(path, sections):
    """The names that `pymalloc report` finds, or None after a message; None if none is needed."""
    if not _has_native(sections):
        return None
    command = find_command()
    if command is None:
        reason = "there is no command pymalloc"
    else:
        done = subprocess.run([command, "report", "--json", path], capture_output=True,
                              check=False)
        if not done.returncode:
            return read_report(done.stdout, sections)
        reason = done.stderr.decode(errors="replace").strip().split("\n")[0]
    print(f"pymalloc: no names of native frames: {reason}", file=sys.stderr)
    return None
