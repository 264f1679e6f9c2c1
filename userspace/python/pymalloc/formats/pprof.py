# SPDX-License-Identifier: LGPL-2.1-or-later
"""profile.proto of pprof, compressed with gzip.

The numbers of fields are those of https://github.com/google/pprof/blob/main/proto/profile.proto
"""
import gzip

from .. import abi
from ..stacks import held, name_sites

_U64 = (1 << 64) - 1


def _varint(value):
    """A number as protobuf writes it: 7 bits a byte, the lowest first."""
    value &= _U64
    data = bytearray()
    while value > 0x7f:
        data.append(value & 0x7f | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


class _Message:
    """A message that is being written."""

    def __init__(self):
        self.data = bytearray()

    def number(self, field, value):
        """A whole number; 0 is what is not written."""
        if value:
            self.data += _varint(field << 3) + _varint(int(value))
        return self

    def bytes(self, field, data):
        """A string, or a message within."""
        self.data += _varint(field << 3 | 2) + _varint(len(data)) + data
        return self

    def numbers(self, field, values):
        """A list of numbers."""
        return self.bytes(field, b"".join(map(_varint, values)))


class _Profile:
    """A profile that is being written; each string, function, location has a number."""

    def __init__(self):
        self.message = _Message()
        self.strings = {"": 0}
        self.functions = {}
        self.mappings = {}
        self.locations = {}

    def string(self, text):
        return self.strings.setdefault(text, len(self.strings))

    def value_type(self, kind, unit):
        return _Message().number(1, self.string(kind)).number(2, self.string(unit)).data

    def mapping(self, found, named):
        """An object that is mapped; 0 for none."""
        if not found:
            return 0
        if found not in self.mappings:
            self.mappings[found] = len(self.mappings) + 1
            mapping = _Message().number(1, self.mappings[found]).number(2, found.start)
            mapping.number(3, found.end).number(4, max(found.start - found.bias, 0))
            mapping.number(5, self.string(found.path))
            mapping.number(6, self.string(found.build_id.hex()))
            mapping.number(7, named)
            self.message.bytes(3, mapping.data)
        return self.mappings[found]

    def function(self, place):
        key = place.function, place.file, place.first_line
        if key not in self.functions:
            self.functions[key] = len(self.functions) + 1
            name = self.string(place.function if place.function is not None else place.label())
            function = _Message().number(1, self.functions[key]).number(2, name).number(3, name)
            function.number(4, self.string(place.file or "")).number(5, place.first_line)
            self.message.bytes(5, function.data)
        return self.functions[key]

    def location(self, place):
        if place not in self.locations:
            self.locations[place] = len(self.locations) + 1
            named = place.function is not None or not place.object
            location = _Message().number(1, self.locations[place])
            location.number(2, self.mapping(place.object, named)).number(3, place.address)
            if named:
                line = _Message().number(1, self.function(place)).number(2, place.line)
                location.bytes(4, line.data)
            self.message.bytes(4, location.data)
        return self.locations[place]

    def sample(self, stack, values, size, section, thread):
        sample = _Message().numbers(1, [self.location(place) for place in stack])
        sample.numbers(2, values)
        if size:
            unit = self.string("bytes")
            sample.bytes(3, _Message().number(1, unit).number(3, size).number(4, unit).data)
        labels = {"process": f"{section.comm} [{section.pid}]", "heap": str(section.heap)}
        if thread:
            labels["thread"] = f"{thread.name} [{thread.tid}]"
        for key, value in labels.items():
            sample.bytes(3, _Message().number(1, self.string(key))
                         .number(2, self.string(value)).data)
        self.message.bytes(2, sample.data)

    def finish(self):
        for text in self.strings:
            self.message.bytes(6, text.encode("utf-8", "backslashreplace"))
        return bytes(self.message.data)


def _thread(section, site):
    found = section.table.sites.get(site) if section.table else None
    return found.thread if found else None


def _add_allocated(profile, section, names):
    """How many blocks have been allocated, which only an exact trace counts."""
    for number, stack in name_sites(section, names).items():
        site = section.table.sites[number]
        if site.count:
            profile.sample(stack, [0, 0, site.count], 0, section, site.thread)


def encode(sections, names):
    """The profile as protobuf writes it."""
    profile = _Profile()
    message = profile.message
    exact = all(section.mode == abi.TRACE_EXACT for section in sections)
    types = [("inuse_space", "bytes"), ("inuse_objects", "count")]
    if exact:
        types.append(("alloc_objects", "count"))
    for kind in types:
        message.bytes(1, profile.value_type(*kind))
    for each in held(sections, names):
        values = [round(each.bytes), round(each.blocks)] + [0] * exact
        profile.sample(each.stack, values, each.size, each.section,
                       _thread(each.section, each.site))
    for section in sections if exact else ():
        _add_allocated(profile, section, names)
    sampled = next((section.table.settings for section in sections
                    if section.mode == abi.TRACE_SAMPLED), None)
    message.number(9, sections[0].time)
    if sampled:
        message.bytes(11, profile.value_type("space", "bytes")).number(12, sampled.interval)
    message.number(14, profile.string("inuse_space"))
    return profile.finish()


def write(sections, names, stream):
    """Write the profile, compressed.  It does not contain when it was written."""
    stream.write(gzip.compress(encode(sections, names), mtime=0))
