# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tables of sites (pymalloc-sites.h) and files of snapshots (snapfile.h).

Their content comes from a program that may be hostile.  Everything here either returns what
is well formed or raises ValueError, which says what is wrong and where.
"""
import math
import os
import struct
from typing import NamedTuple

from . import abi

SITE_BEFORE = 0
SITE_UNKNOWN = 1
FRAMES_MAX = 25

_TABLE_MAGIC = b"PYMSITES"
_FILE_MAGIC = b"PYMSNAP\n"
_VERSION = 1
_CACHED = 1 << 0
_NO_IDLE = 0xffffffff

# The kinds of records, and their fixed parts, all little endian.
_SETTINGS, _OBJECT, _CODE, _THREAD, _STACK, _SITE = range(1, 7)
_RECORD = struct.Struct("<IHH")
_PARTS = {
    _SETTINGS: struct.Struct("<8sIIQIIQQQII"),
    _OBJECT: struct.Struct("<QQQII"),
    _CODE: struct.Struct("<IIII"),
    _THREAD: struct.Struct("<II16s"),
    _STACK: struct.Struct("<"),
    _SITE: struct.Struct("<IIQQ"),
}
_FRAME = struct.Struct("<IIQ")
_HEADER = struct.Struct("<8sIIQQII16s32sQQQQIIQ")
_ROW = struct.Struct("<IIIIQ")


class Settings(NamedTuple):
    """How the heap is traced: struct pymalloc_settings_record."""
    mode: int
    interval: int
    python_frames: int
    native_frames: int
    time: int
    nr_unknown: int
    pid: int


class Object(NamedTuple):
    """A file that is mapped to be executed: struct pymalloc_object_record."""
    start: int
    end: int
    bias: int
    build_id: bytes
    path: str


class Code(NamedTuple):
    """A function in Python: struct pymalloc_code_record."""
    first_line: int
    file: str
    name: str


class Thread(NamedTuple):
    """A thread: struct pymalloc_thread_record."""
    tid: int
    name: str


class Frame(NamedTuple):
    """A frame of a stack: a Python frame has code, another one has an address."""
    code: Code | None
    line: int
    object: Object | None
    address: int


class Site(NamedTuple):
    """Where blocks were allocated: struct pymalloc_site_record."""
    frames: tuple
    thread: Thread
    time: int
    count: int


class Row(NamedTuple):
    """Blocks that have all of this in common: struct snapfile_row."""
    site: int
    size: int
    cached: bool
    idle: int | None
    blocks: int


def _until_nul(data):
    return abi.text(data.split(b"\0", 1)[0])


def _name(data, where):
    if not data.endswith(b"\0"):
        raise ValueError(f"{where}: a name has no end")
    return abi.text(data[:-1])


class Table:
    """A table of sites.

    settings: Settings; sites: the sites by their numbers; objects: all objects.
    """

    def __init__(self, data):
        """Parse a table, which may have unused bytes behind it."""
        self._data = memoryview(data)
        self._records = {}
        self._used = _RECORD.size + _PARTS[_SETTINGS].size
        self.sites = {}
        self.objects = []
        if len(data) < self._used:
            raise ValueError(f"table of sites: {len(data)} bytes are too few")
        self.settings = self._parse_settings()
        # Its program may have gone on while it was copied.
        self._used = min(self._used, len(data) // 8 * 8)
        self._parse_records()

    def _parse_settings(self):
        size, kind, _ = _RECORD.unpack_from(self._data)
        if kind != _SETTINGS or size < self._used:
            raise ValueError("table of sites: it does not begin with settings")
        magic, version, mode, interval, python, native, used, time, unknown, pid, _ = \
            _PARTS[_SETTINGS].unpack_from(self._data, _RECORD.size)
        if magic != _TABLE_MAGIC:
            raise ValueError("table of sites: this is none")
        if version != _VERSION:
            raise ValueError(f"table of sites: version {version} is not known")
        if mode > abi.TRACE_EXACT:
            raise ValueError(f"table of sites: mode {mode} is not known")
        if mode == abi.TRACE_SAMPLED and not abi.INTERVAL_MIN <= interval <= abi.INTERVAL_MAX:
            raise ValueError(f"table of sites: an interval of {interval} bytes")
        if used < size or used % 8:
            raise ValueError(f"table of sites: {used} bytes cannot be all")
        self._used = used
        return Settings(mode, interval, python, native, time, unknown, pid)

    def _parse_records(self):
        parsers = {_OBJECT: self._parse_object, _CODE: self._parse_code,
                   _THREAD: self._parse_thread, _STACK: self._parse_stack,
                   _SITE: self._parse_site}
        offset = _RECORD.unpack_from(self._data)[0]
        if offset % 8:
            raise ValueError("table of sites: the settings have an odd size")
        while offset < self._used:
            where = f"table of sites, record {offset // 8}"
            size, kind, count = _RECORD.unpack_from(self._data, offset)
            if size < _RECORD.size or size % 8 or size > self._used - offset:
                raise ValueError(f"{where}: it cannot have {size} bytes")
            if kind in parsers:
                part = _PARTS[kind]
                body = self._data[offset + _RECORD.size:offset + size]
                if len(body) < part.size:
                    raise ValueError(f"{where}: {size} bytes are too few for kind {kind}")
                record = parsers[kind](part.unpack_from(body), body[part.size:], count, where)
                self._records[offset // 8] = kind, record
            elif kind == _SETTINGS:
                raise ValueError(f"{where}: settings a second time")
            offset += size
        self.sites = {number: record for number, (kind, record) in self._records.items()
                      if kind == _SITE}

    def _parse_object(self, fields, rest, _, where):
        start, end, bias, id_bytes, path_bytes = fields
        if id_bytes + path_bytes > len(rest):
            raise ValueError(f"{where}: its texts are longer than the record")
        if end < start:
            raise ValueError(f"{where}: it ends before it starts")
        path = _name(bytes(rest[id_bytes:id_bytes + path_bytes]), where)
        found = Object(start, end, bias, bytes(rest[:id_bytes]), path)
        self.objects.append(found)
        return found

    @staticmethod
    def _parse_code(fields, rest, _, where):
        first_line, file_bytes, name_bytes, _ = fields
        if file_bytes + name_bytes > len(rest):
            raise ValueError(f"{where}: its texts are longer than the record")
        return Code(first_line, _name(bytes(rest[:file_bytes]), where),
                    _name(bytes(rest[file_bytes:file_bytes + name_bytes]), where))

    @staticmethod
    def _parse_thread(fields, _rest, _, _where):
        tid, _, name = fields
        return Thread(tid, _until_nul(name))

    def _parse_stack(self, _, rest, count, where):
        if count > 2 * FRAMES_MAX:
            raise ValueError(f"{where}: {count} frames are too many")
        if count * _FRAME.size > len(rest):
            raise ValueError(f"{where}: its {count} frames are longer than the record")
        return tuple(self._frame(*_FRAME.unpack_from(rest, i * _FRAME.size), where)
                     for i in range(count))

    def _frame(self, number, line, address, where):
        if not number:
            return Frame(None, line, None, address)
        kind, record = self._records.get(number, (None, None))
        if kind == _CODE:
            return Frame(record, line, None, 0)
        if kind == _OBJECT:
            return Frame(None, 0, record, address)
        raise ValueError(f"{where}: a frame names record {number}, "
                         "which is neither code nor an object before it")

    def _parse_site(self, fields, _rest, _, where):
        stack, thread, time, count = fields
        return Site(self._find(stack, _STACK, "stack", where),
                    self._find(thread, _THREAD, "thread", where), time, count)

    def _find(self, number, kind, name, where):
        found, record = self._records.get(number, (None, None))
        if found != kind:
            raise ValueError(f"{where}: its {name}, record {number}, is none before it")
        return record

    def weight(self, size):
        """How many blocks one recorded block of this size stands for."""
        if self.settings.mode != abi.TRACE_SAMPLED or not size:
            return 1.0
        return -1 / math.expm1(-size / self.settings.interval)


class Section:
    """What one heap had: the header of its section, its rows, its table (or None)."""

    NUMBERS = ("time", "heap", "pid", "uid", "page_bytes", "meta_bytes", "used_bytes")

    def __init__(self, rows, table=None, *, comm="", name="", **numbers):
        self.rows = rows
        self.table = table
        self.comm = comm
        self.name = name
        for number in self.NUMBERS:
            setattr(self, number, numbers.get(number, 0))
        # The rows before the first that names a site that is not there.
        for i, row in enumerate(rows):
            if row.site not in (SITE_BEFORE, SITE_UNKNOWN) and \
                    not (table and row.site in table.sites):
                raise ValueError(f"heap {self.heap}, row {i}: there is no site {row.site}")

    @property
    def mode(self):
        """How the heap was traced: abi.TRACE_*."""
        return self.table.settings.mode if self.table else abi.TRACE_OFF


def _take(data, offset, size, where):
    """The next bytes of a file, and where they end."""
    if size > len(data) - offset:
        raise ValueError(f"{where}: the file ends in the middle")
    return data[offset:offset + size], offset + size


def _parse_section(data, start):
    where = f"snapshot, byte {start}"
    fixed, _ = _take(data, start, _HEADER.size, where)
    (magic, version, header_bytes, time, heap, pid, uid, comm, name, page_bytes, meta_bytes,
     used_bytes, nr_rows, row_bytes, _, table_bytes) = _HEADER.unpack(fixed)
    if magic != _FILE_MAGIC:
        raise ValueError(f"{where}: this is no snapshot")
    if version != _VERSION:
        raise ValueError(f"{where}: version {version} is not known")
    if header_bytes < _HEADER.size or row_bytes < _ROW.size:
        raise ValueError(f"{where}: a header of {header_bytes} bytes, rows of {row_bytes}")
    _, offset = _take(data, start, header_bytes, where)
    lines, offset = _take(data, offset, nr_rows * row_bytes, f"{where}, rows")
    text, offset = _take(data, offset, table_bytes, f"{where}, table")
    rows = []
    for i in range(nr_rows):
        site, size, flags, idle, blocks = _ROW.unpack_from(lines, i * row_bytes)
        rows.append(Row(site, size, bool(flags & _CACHED),
                        None if idle == _NO_IDLE else idle, blocks))
    try:
        section = Section(rows, Table(text) if table_bytes else None,
                          comm=_until_nul(comm), name=_until_nul(name), time=time, heap=heap,
                          pid=pid, uid=uid, page_bytes=page_bytes, meta_bytes=meta_bytes,
                          used_bytes=used_bytes)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return section, offset


def parse_snapshot(data):
    """The sections of a snapshot's file, of which there is at least one."""
    data = memoryview(data)
    sections = []
    offset = 0
    while offset < len(data) or not sections:
        section, offset = _parse_section(data, offset)
        sections.append(section)
    return sections


def read_snapshot(path):
    """The sections of the snapshot in a file.  Raises OSError and ValueError."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return parse_snapshot(data)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None
