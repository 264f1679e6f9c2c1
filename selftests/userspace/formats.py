#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Snapshots in the formats of other tools, made of files with known content."""
import contextlib
import gzip
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import tracemalloc
import xml.etree.ElementTree as ElementTree

import snapfiles
import tap
from tap import equal, raises

from pymalloc import convert, sites, snapshot, stacks
from pymalloc.formats import collapsed, flamegraph, merged, mprof, pickled, pprof, speedscope

scratch = tempfile.TemporaryDirectory()


def path_of(name, data):
    """A file of this content."""
    path = os.path.join(scratch.name, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def write(writer, sections, names=None):
    """What a format's writer writes."""
    out = io.BytesIO()
    writer.write(sections, names, out)
    return out.getvalue()


def known(scale=1):
    """The sections of the known snapshot."""
    return sites.parse_snapshot(snapfiles.known(scale)[0])


def sampled(size=64, blocks=1000, interval=4096):
    """A sampled heap: one site, with as many recorded blocks, and as many without a site."""
    table = snapfiles.Table(snapfiles.SAMPLED, interval)
    code = table.code("/srv/a.py", "f", 1)
    site = table.site(table.stack((code, 2, 0)), table.thread(1, "t"), blocks)
    return sites.parse_snapshot(snapfiles.section(
        [(snapfiles.BEFORE, size, 0, 99), (site, size, 0, blocks)], table))


def report(rows, heap=7):
    """What `pymalloc report --json` prints, as far as it counts here."""
    return json.dumps({"format": 1, "heaps": [{
        "heap": heap, "pid": 42, "comm": "python3", "mode": "exact", "interval": 0, "time": 0,
        "start": 0, "rows": rows}]})


def frame(file, line, function, object=None, address=0):
    """A frame of such a report."""
    return {"file": file, "line": line, "function": function, "object": object,
            "address": address}


def lines(statistics):
    """What tracemalloc says by line: (bytes, blocks) by "file:line"."""
    return {str(each.traceback[-1]): (each.size, each.count) for each in statistics}


KNOWN_LINES = {
    "/srv/cache.py:10": (3 * 48 + 2 * 64, 5), "/srv/main.py:5": (7 * 32, 7),
    "/usr/lib/extension.so:0": (4 * 128, 4), "<before the trace>:0": (5 * 16, 5)}


def test_a_snapshot_is_parsed():
    data, numbers = snapfiles.known()
    section, = sites.parse_snapshot(data)
    equal((section.heap, section.pid, section.comm, section.name, section.time, section.uid),
          (7, 42, "python3", "malloc", 1_700_000_002_000_000_000, 1000))
    equal(len(section.rows), 6)
    equal(section.rows[2], sites.Row(numbers["by_main"], 48, True, None, 11))
    settings = section.table.settings
    equal((settings.mode, settings.time, settings.pid), (3, 1_700_000_000_000_000_000, 42))
    site = section.table.sites[numbers["by_worker"]]
    equal((site.count, site.thread), (50, sites.Thread(43, "worker; 2")))
    equal([(each.code.file, each.code.name, each.code.first_line, each.line)
           for each in site.frames],
          [("/srv/cache.py", "Cache.load", 8, 10), ("/srv/main.py", "main", 3, 9)])
    library = section.table.sites[numbers["in_c"]].frames[0].object
    equal(library, sites.Object(0x70000000, 0x70010000, 0x70000000,
                                bytes.fromhex("0123456789abcdef"), "/usr/lib/extension.so"))


def test_longer_headers_and_rows_of_later_versions():
    data = bytearray(snapfiles.section([(0, 16, 0, 3)]))
    data[12:16] = (144).to_bytes(4, "little")
    data[120:124] = (32).to_bytes(4, "little")
    section, = sites.parse_snapshot(bytes(data[:136]) + bytes(8) + bytes(data[136:]) + bytes(8))
    equal([(row.size, row.blocks) for row in section.rows], [(16, 3)])


def test_tracemalloc_loads_the_pickle():
    path = path_of("known.pickle", write(pickled, known()))
    program = ("import sys, tracemalloc\n"
               "for each in tracemalloc.Snapshot.load(sys.argv[1]).statistics('lineno'):\n"
               "    print(each.traceback[-1], each.size, each.count)")
    # Without this package, and without the rest that is installed.
    out = subprocess.run([sys.executable, "-I", "-c", program, path], check=True, text=True,
                         capture_output=True).stdout
    equal({line.split(" ")[0] if line[0] != "<" else "<before the trace>:0":
           tuple(map(int, line.split(" ")[-2:])) for line in out.splitlines()}, KNOWN_LINES)


def test_tracemalloc_by_line_and_by_stack():
    taken = snapshot.take_snapshot(path_of("known", snapfiles.known()[0]))
    equal(type(taken), tracemalloc.Snapshot)
    equal(lines(taken.statistics("lineno")), KNOWN_LINES)
    equal({tuple(map(str, each.traceback)): (each.size, each.count)
           for each in taken.statistics("traceback")}, {
        ("/srv/main.py:5", "/srv/cache.py:10"): (144, 3),
        ("/srv/main.py:9", "/srv/cache.py:10"): (128, 2),
        ("/srv/main.py:5",): (224, 7), ("<before the trace>:0",): (80, 5),
        ("<unknown>:0", "/usr/lib/extension.so:0"): (512, 4)})
    equal({str(each.traceback[0]): each.size
           for each in taken.statistics("lineno", cumulative=True)},
          {"/srv/cache.py:10": 272, "/srv/main.py:5": 368, "/srv/main.py:9": 128,
           "/usr/lib/extension.so:0": 512, "<unknown>:0": 512, "<before the trace>:0": 80})


def test_tracemalloc_filters():
    taken = snapshot.to_tracemalloc(known())
    only = taken.filter_traces([tracemalloc.Filter(True, "*/cache.py")])
    equal(lines(only.statistics("lineno")), {"/srv/cache.py:10": KNOWN_LINES["/srv/cache.py:10"]})


def test_tracemalloc_compares():
    old, new = snapshot.to_tracemalloc(known()), snapshot.to_tracemalloc(known(3))
    equal([(str(each.traceback), each.size, each.size_diff, each.count, each.count_diff)
           for each in new.compare_to(old, "lineno") if each.size_diff],
          [("/srv/cache.py:10", 816, 544, 15, 10)])


def test_tracemalloc_dumps_and_loads():
    taken = snapshot.to_tracemalloc(known())
    path = os.path.join(scratch.name, "dumped")
    taken.dump(path)
    equal(tracemalloc.Snapshot.load(path).statistics("lineno"), taken.statistics("lineno"))


def test_too_many_blocks_for_tracemalloc():
    section = sites.parse_snapshot(snapfiles.section([(0, 16, 0, 1 << 62)]))
    raises(ValueError, "more than", snapshot.to_tracemalloc, section)
    equal(len(snapshot.to_tracemalloc(known(), traces_max=21).traces), 21)
    raises(ValueError, "heap 7, site", snapshot.to_tracemalloc, known(), traces_max=20)


def test_sampled_blocks_have_weights():
    weight = 1 / (1 - 2.718281828459045 ** (-64 / 4096))
    held, = stacks.held(sampled())
    equal(round(held.blocks, 6), round(1000 * weight, 6))
    traces = snapshot.to_tracemalloc(sampled()).traces
    assert abs(len(traces) - 1000 * weight) < 1, len(traces)
    equal({trace.size for trace in traces}, {64})


def test_sampled_traces_have_no_bias():
    # Each of many sites has a part of a block too much: rounding would lose or gain all.
    for blocks in 1, 2, 3:
        table = snapfiles.Table(snapfiles.SAMPLED, 4096)
        code = table.code("a.py", "f", 1)
        thread = table.thread(1, "t")
        rows = [(table.site(table.stack((code, line, 0)), thread, 1), 512, 0, blocks)
                for line in range(1, 400)]
        sections = sites.parse_snapshot(snapfiles.section(rows, table))
        expected = sum(each.blocks for each in stacks.held(sections))
        counts = [each.count for each in snapshot.to_tracemalloc(sections).statistics("lineno")]
        assert abs(sum(counts) - expected) < 1, (sum(counts), expected)
        whole = int(expected / 399)
        equal(set(counts), {whole, whole + 1})
    # And over many draws, what a single site gets is its estimate.
    expected = stacks.held(sampled(blocks=1))[0].blocks
    counts = []
    for time in range(2000):
        section, = sampled(blocks=1)
        section.time = time
        counts.append(len(snapshot.to_tracemalloc([section]).traces))
    assert abs(sum(counts) / 2000 - expected) < 0.05, (sum(counts) / 2000, expected)


def test_estimates_of_a_million_blocks():
    # What a program would sample, drawn by the rule of the header.
    draw = random.Random(3)
    live = {48: 700_000, 128: 200_000, 512: 100_000}
    table = snapfiles.Table(snapfiles.SAMPLED, 16384)
    code = table.code("a.py", "f", 1)
    thread = table.thread(1, "t")
    rows = []
    for line, (size, count) in enumerate(live.items(), 1):
        chance = 1 - 2.718281828459045 ** (-size / 16384)
        hits = sum(draw.random() < chance for _ in range(count))
        rows.append((table.site(table.stack((code, line, 0)), thread, hits), size, 0, hits))
    sections = sites.parse_snapshot(snapfiles.section(rows, table))
    found = lines(snapshot.to_tracemalloc(sections).statistics("lineno"))
    for line, (size, count) in enumerate(live.items(), 1):
        assert abs(found[f"a.py:{line}"][1] / count - 1) < 0.05, (size, found)
        assert abs(found[f"a.py:{line}"][0] / (count * size) - 1) < 0.05, (size, found)


def test_names_of_a_report():
    data, numbers = snapfiles.known()
    sections = sites.parse_snapshot(data)
    names = stacks.read_report(report([
        {"site": numbers["in_c"], "stack": [
            frame("extension.c", 77, "make_node", "/usr/lib/extension.so", 0x70001234),
            frame("/srv/main.py", 12, "main"),
            frame(None, 0, "Py_RunMain", "/usr/bin/python3", "0x1000")]},
        {"site": "all", "stack": [frame("x", 1, "y")]}, {"site": 3, "stack": []}]), sections)
    equal(collapse(sections, names)["Py_RunMain;main (/srv/main.py:12);"
                                    "make_node (extension.c:77)"], 512)
    # tracemalloc gets the frames of Python alone, where there are some.
    found = lines(snapshot.to_tracemalloc(sections, names).statistics("lineno"))
    equal(found["/srv/main.py:12"], (512, 4))
    # Names of one heap are not those of another.
    other = stacks.read_report(report([{"site": numbers["in_c"], "stack": [
        frame("x.c", 1, "y")]}], heap=8), sections)
    equal(collapse(sections, other), collapse(sections))


def test_hostile_reports():
    sections = known()
    for text in ("", "[]", "1", "{}", '{"format": 2}', '{"format": 1}', "[" * 100000,
                 '{"format": 1, "heaps": 3}', '{"format": 1, "heaps": [1]}',
                 '{"format": 1, "heaps": [{"heap": [], "rows": []}]}',
                 '{"format": 1, "heaps": [{"heap": 7, "rows": [{"site": 1, "stack": [3]}]}]}',
                 '{"format": 1, "heaps": [{"heap": 7, "rows": [{"site": 1, "stack": "ab"}]}]}',
                 '{"format": 1, "heaps": [{"heap": 7, "rows": [{"stack": [{"object": []}]}]}]}'):
        raises(ValueError, "", stacks.read_report, text, sections)
    odd = report([{"site": 20, "stack": [frame(3, "x", [], "no", "zz"), {}]}])
    equal(stacks.read_report(odd, sections),
          {7: {20: (stacks.Place(None, 0, None), stacks.Place(None, 0, None))}})


def collapse(sections, names=None):
    """The lines of collapsed stacks, as a dict."""
    text = write(collapsed, sections, names).decode()
    found = {}
    for line in text.splitlines():
        stack, _, size = line.rpartition(" ")
        assert stack not in found, line
        found[stack] = int(size)
    return found


KNOWN_STACKS = {
    "main (/srv/main.py:5);Cache.load (/srv/cache.py:10)": 144,
    "main (/srv/main.py:9);Cache.load (/srv/cache.py:10)": 128,
    "main (/srv/main.py:5)": 224, "<before the trace>": 80,
    "0xdeadbeef;extension.so+0x1234": 512}


def test_collapsed_stacks():
    equal(collapse(known()), KNOWN_STACKS)


def test_collapsed_stacks_of_two_heaps():
    data = snapfiles.known()[0] + snapfiles.section([(0, 16, 0, 2)], heap=9, pid=50, comm="a;b\n")
    found = collapse(sites.parse_snapshot(data))
    equal(found, {f"python3 [42];{stack}": size for stack, size in KNOWN_STACKS.items()} |
          {"a:b  [50];<before the trace>": 32})


def test_speedscope():
    found = json.loads(write(speedscope, known()))
    equal(found["$schema"], "https://www.speedscope.app/file-format-schema.json")
    equal(found.keys(), {"$schema", "exporter", "name", "activeProfileIndex", "profiles",
                         "shared"})
    frames = found["shared"]["frames"]
    for each in frames:
        assert each.keys() <= {"name", "file", "line", "col"}, each
        equal((type(each["name"]), type(each.get("file", "")), type(each.get("line", 1))),
              (str, str, int))
    profile, = found["profiles"]
    equal(profile.keys(), {"type", "name", "unit", "startValue", "endValue", "samples",
                           "weights"})
    equal((profile["type"], profile["unit"], profile["startValue"]), ("sampled", "bytes", 0))
    equal(len(profile["samples"]), len(profile["weights"]))
    equal(profile["endValue"], sum(profile["weights"]))
    equal({tuple((frames[i]["name"], frames[i].get("file"), frames[i].get("line"))
                 for i in sample): weight
           for sample, weight in zip(profile["samples"], profile["weights"])}, {
        (("main", "/srv/main.py", 5), ("Cache.load", "/srv/cache.py", 10)): 144,
        (("main", "/srv/main.py", 9), ("Cache.load", "/srv/cache.py", 10)): 128,
        (("main", "/srv/main.py", 5),): 224, (("<before the trace>", None, None),): 80,
        (("0xdeadbeef", None, None), ("extension.so+0x1234", "/usr/lib/extension.so", None)):
            512})


def profile_class():
    """perftools.profiles.Profile, made by Google's library out of the fields of its schema."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    kinds = {"i": 3, "u": 4, "b": 8, "s": 9}
    schema = {
        "ValueType": "type:1:i unit:2:i",
        "Label": "key:1:i str:2:i num:3:i num_unit:4:i",
        "Sample": "location_id:1:*u value:2:*i label:3:*Label",
        "Mapping": "id:1:u memory_start:2:u memory_limit:3:u file_offset:4:u filename:5:i "
                   "build_id:6:i has_functions:7:b",
        "Line": "function_id:1:u line:2:i",
        "Location": "id:1:u mapping_id:2:u address:3:u line:4:*Line",
        "Function": "id:1:u name:2:i system_name:3:i filename:4:i start_line:5:i",
        "Profile": "sample_type:1:*ValueType sample:2:*Sample mapping:3:*Mapping "
                   "location:4:*Location function:5:*Function string_table:6:*s time_nanos:9:i "
                   "period_type:11:ValueType period:12:i default_sample_type:14:i"}
    file = descriptor_pb2.FileDescriptorProto(name="p.proto", package="p", syntax="proto3")
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        for field in fields.split():
            label, number, kind = field.split(":")
            added = message.field.add(name=label, number=int(number),
                                      label=3 if kind[0] == "*" else 1)
            kind = kind.lstrip("*")
            added.type = kinds.get(kind, 11)
            if kind not in kinds:
                added.type_name = f".p.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("p.Profile")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(found)
    return message_factory.MessageFactory(pool).GetPrototype(found)


def unknown_fields(message):
    """Whether a message, or one within it, has what its schema does not know."""
    whole = message.SerializeToString()
    message.DiscardUnknownFields()
    return whole != message.SerializeToString()


def decode(data):
    """A profile of pprof as Google's library reads it; and its samples, by stack."""
    profile = profile_class()()
    profile.ParseFromString(gzip.decompress(data))
    assert not unknown_fields(profile)
    texts = profile.string_table
    equal(texts[0], "")
    locations = {each.id: each for each in profile.location}
    functions = {each.id: each for each in profile.function}
    mappings = {each.id: each for each in profile.mapping}
    assert 0 not in locations and 0 not in functions and 0 not in mappings
    samples = {}
    for sample in profile.sample:
        stack = []
        for number in sample.location_id:
            where = locations[number]
            assert not where.mapping_id or where.mapping_id in mappings
            stack += [(texts[functions[line.function_id].name],
                       texts[functions[line.function_id].filename], line.line)
                      for line in where.line] or [(hex(where.address), "", 0)]
        labels = tuple(sorted((texts[label.key], texts[label.str] or label.num)
                              for label in sample.label))
        key = tuple(stack), labels
        equal(len(sample.value), len(profile.sample_type))
        values = samples.setdefault(key, [0] * len(sample.value))
        for i, value in enumerate(sample.value):
            values[i] += value
    return profile, samples


def test_pprof():
    profile, samples = decode(write(pprof, known()))
    texts = profile.string_table
    equal([(texts[each.type], texts[each.unit]) for each in profile.sample_type],
          [("inuse_space", "bytes"), ("inuse_objects", "count"), ("alloc_objects", "count")])
    equal(texts[profile.default_sample_type], "inuse_space")
    equal(profile.time_nanos, 1_700_000_002_000_000_000)
    by_stack = {}
    for (stack, labels), values in samples.items():
        sums = by_stack.setdefault(stack, [0, 0, 0])
        for i, value in enumerate(values):
            sums[i] += value
        equal(dict(labels)["process"], "python3 [42]")
    load, main = ("Cache.load", "/srv/cache.py", 10), ("main", "/srv/main.py", 5)
    equal(by_stack, {
        (load, main): [144, 3, 100], (load, ("main", "/srv/main.py", 9)): [128, 2, 50],
        (main,): [224, 7, 7], (("<before the trace>", "", 0),): [80, 5, 0],
        (("0x70001234", "", 0), ("0xdeadbeef", "", 0)): [512, 4, 4]})
    threads = {dict(labels).get("thread") for _, labels in samples}
    equal(threads, {None, "python3 [42]", "worker; 2 [43]"})
    sizes = {dict(labels).get("bytes") for _, labels in samples}
    equal(sizes, {None, 16, 32, 48, 64, 128})
    mapping, = profile.mapping
    equal((mapping.memory_start, mapping.memory_limit, mapping.file_offset,
           texts[mapping.filename], texts[mapping.build_id]),
          (0x70000000, 0x70010000, 0, "/usr/lib/extension.so", "0123456789abcdef"))
    equal({texts[each.name]: each.start_line for each in profile.function},
          {"Cache.load": 8, "main": 3, "<before the trace>": 0, "0xdeadbeef": 0})


def test_pprof_of_a_sampled_heap():
    profile, samples = decode(write(pprof, sampled()))
    texts = profile.string_table
    equal([texts[each.type] for each in profile.sample_type], ["inuse_space", "inuse_objects"])
    equal((texts[profile.period_type.type], texts[profile.period_type.unit], profile.period),
          ("space", "bytes", 4096))
    blocks = 1000 / (1 - 2.718281828459045 ** (-64 / 4096))
    (values,) = samples.values()
    equal(values, [round(64 * blocks), round(blocks)])


def svg_frames(text):
    """The frames of a picture: (name, depth, x, width, bytes)."""
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    found = []
    for group in root.iter(space + "g"):
        rect = group.find(space + "rect")
        assert group.get("data-name") in group.find(space + "title").text
        equal(float(rect.get("x")), float(group.get("data-x")))
        equal(float(rect.get("width")), float(group.get("data-w")))
        found.append((group.get("data-name"), int(group.get("data-depth")),
                      float(rect.get("x")), float(rect.get("width")),
                      int(group.get("data-bytes")), float(rect.get("y"))))
    return found


def test_flame_graph():
    frames = svg_frames(write(flamegraph, known()))
    equal(sorted((depth, name, size) for name, depth, _, _, size, _ in frames), [
        (0, "all", 1088), (1, "0xdeadbeef", 512), (1, "<before the trace>", 80),
        (1, "main (/srv/main.py:5)", 368), (1, "main (/srv/main.py:9)", 128),
        (2, "Cache.load (/srv/cache.py:10)", 128), (2, "Cache.load (/srv/cache.py:10)", 144),
        (2, "extension.so+0x1234", 512)])
    for name, depth, x, width, size, y in frames:
        assert abs(width - size / 1088 * flamegraph.WIDTH) < 0.001, name
        if depth:
            # It lies within one frame of the row below, and beside the others of its row.
            below = [each for each in frames if each[1] == depth - 1 and
                     each[2] - 0.001 <= x and x + width <= each[2] + each[3] + 0.001]
            equal(len(below), 1, name)
            assert below[0][5] > y, name
        for other in frames:
            if other[1] == depth and other[2] > x:
                assert x + width <= other[2] + 0.001, (name, other)


def test_a_flame_graph_needs_no_other_file():
    text = write(flamegraph, known()).decode()
    root = ElementTree.fromstring(text)
    equal(text.count("http"), 1, "only the name of the language is a link")
    for each in root.iter():
        assert not [name for name in each.attrib if name.endswith(("href", "src"))], each
        assert not [name for name in each.attrib if name.startswith("on")], each


def test_a_flame_graph_of_hostile_names():
    table = snapfiles.Table()
    code = table.code('</g><script>alert("1")</script>&]]>', "\x01\x1b\ufffe'\"<&;", 1)
    site = table.site(table.stack((code, 2, 0)), table.thread(1, "t"), 1)
    data = snapfiles.section([(site, 16, 0, 1)], table, comm="<&>\x02")
    frames = svg_frames(write(flamegraph, sites.parse_snapshot(data)))
    equal([frame[1] for frame in frames], [0, 1])
    assert '</g><script>alert("1")</script>&]]>' in frames[1][0]


def test_an_empty_heap():
    empty = sites.parse_snapshot(snapfiles.section([]))
    equal(snapshot.to_tracemalloc(empty).statistics("lineno"), [])
    equal(write(collapsed, empty), b"")
    equal(json.loads(write(speedscope, empty))["profiles"][0]["samples"], [])
    equal(decode(write(pprof, empty))[1], {})
    equal(len(svg_frames(write(flamegraph, empty))), 1)


def test_deep_stacks():
    table = snapfiles.Table()
    code = table.code("a.py", "f", 1)
    site = table.site(table.stack(*[(code, line, 0) for line in range(1, 51)]),
                      table.thread(1, "t"), 1)
    sections = sites.parse_snapshot(snapfiles.section([(site, 16, 0, 1)], table))
    equal(len(svg_frames(write(flamegraph, sections))), 51)
    equal(snapshot.to_tracemalloc(sections).traceback_limit, 50)
    too_deep = snapfiles.Table()
    code = too_deep.code("a.py", "f", 1)
    too_deep.stack(*[(code, line, 0) for line in range(1, 52)])
    raises(ValueError, "51 frames", sites.Table, too_deep.bytes())


RECORD = ("# pymalloc record 1\nSECONDS\tBYTES\tUSED\tMETADATA\n# begun 1000.25\n"
          "0.000\t1048576\t524288\t1000\n1.500\t3145728\t2097152\t1000\n2.0")


def test_mprof():
    out = io.BytesIO()
    mprof.write(RECORD, "BYTES", out)
    # As mprof reads it: a word, and the rest of the line.
    read = [line.split(" ", 1) for line in out.getvalue().decode().splitlines()]
    equal([field for field, _ in read], ["CMDLINE", "MEM", "MEM"])
    equal([tuple(map(float, rest.split(" "))) for field, rest in read if field == "MEM"],
          [(1.0, 1000.25), (3.0, 1001.75)])
    out = io.BytesIO()
    mprof.write(RECORD, "USED", out)
    assert b"MEM 2.000000 1001.7500\n" in out.getvalue()
    raises(ValueError, "no column RSS", mprof.write, RECORD, "RSS", io.BytesIO())


def test_hostile_records():
    for text, part in (("", "line 1"), ("# pymalloc record 2\n\n\n", "line 1"),
                       ("# pymalloc record 1\n", "line 2"),
                       ("# pymalloc record 1\nA\tB\n1\t2\n", "line 2"),
                       (RECORD.replace("1048576", "1e9"), "line 4"),
                       (RECORD.replace("1048576", "-1"), "line 4"),
                       (RECORD.replace("1048576", "9" * 400), "line 4"),
                       (RECORD.replace("1048576", "\u0663"), "line 4"),
                       (RECORD.replace("1000.25", "now"), "line 3"),
                       (RECORD.replace("\t524288", ""), "line 4")):
        raises(ValueError, part, mprof.parse_record, text)


def everything(data):
    """All that can be made of a file, with a bound on what tracemalloc makes of it."""
    sections = sites.parse_snapshot(data)
    snapshot.to_tracemalloc(sections, traces_max=1000)
    for writer in collapsed, speedscope, pprof, flamegraph:
        write(writer, sections)


def test_files_that_are_cut_off():
    data = snapfiles.known()[0] + snapfiles.section([(0, 16, 0, 2)], heap=9)
    first = len(snapfiles.known()[0])
    for size in range(len(data)):
        if size == first:
            continue
        error = raises(ValueError, "snapshot, byte ", everything, data[:size])
        assert ("byte 0" in str(error)) == (size < first), (size, error)


def test_files_with_bits_flipped():
    data = snapfiles.known()[0]
    draw = random.Random(1)
    refused = 0
    for _ in range(2000):
        broken = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            broken[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        with contextlib.suppress(ValueError):
            everything(bytes(broken))
            continue
        refused += 1
    assert 200 < refused < 2000, refused


def test_files_with_numbers_at_their_limits():
    data = snapfiles.known()[0]
    for offset in range(0, len(data) - 3, 4):
        for value in 0, 1, 7, 8, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff:
            broken = data[:offset] + value.to_bytes(4, "little") + data[offset + 4:]
            with contextlib.suppress(ValueError):
                everything(broken)


def test_what_is_wrong_with_a_table():
    def broken(change):
        table = snapfiles.Table()
        change(table)
        return table.bytes()

    for part, change in (
            ("none before it", lambda t: t.site(10, 10, 1)),
            ("none before it", lambda t: t.site(t.code("a", "b", 1), t.thread(1, "t"), 1)),
            ("neither code nor an object", lambda t: t.stack((t.thread(1, "t"), 0, 0))),
            ("neither code nor an object", lambda t: t.stack((999, 0, 0))),
            ("its texts are longer", lambda t: t.add(snapfiles.CODE, bytes(4) + b"\xff" * 12)),
            ("a name has no end", lambda t: t.add(
                snapfiles.CODE, (1).to_bytes(4, "little") * 3 + bytes(4) + b"ab")),
            ("ends before it starts", lambda t: t.object("x", 9, 8, 0)),
            ("settings a second time", lambda t: t.add(snapfiles.SETTINGS, bytes(72))),
            ("too few for kind 6", lambda t: t.add(snapfiles.SITE, bytes(8)))):
        error = raises(ValueError, part, sites.Table, broken(change))
        assert "table of sites, record " in str(error), error
    # A kind that a later version may have is passed over.
    equal(sites.Table(broken(lambda t: t.add(77, bytes(16)))).sites, {})


def test_rows_of_sites_that_are_not_there():
    raises(ValueError, "heap 7, row 0: there is no site 12", sites.parse_snapshot,
           snapfiles.section([(12, 16, 0, 1)], snapfiles.Table()))
    raises(ValueError, "there is no site 12", sites.parse_snapshot,
           snapfiles.section([(12, 16, 0, 1)]))


def run(*args):
    """The command line, as `pymalloc convert` runs it: status, stdout, stderr."""
    done = subprocess.run([sys.executable, "-B", "-m", "pymalloc.convert", *args],
                          env=os.environ | {"PYTHONPATH": tap.PACKAGE}, capture_output=True,
                          check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def test_the_command_line():
    path = path_of("known", snapfiles.known()[0])
    status, out, errors = run(path, "--to", "collapsed", "--names=-")
    equal((status, out, errors), (0, write(collapsed, known()), ""))
    target = os.path.join(scratch.name, "out")
    equal(run("--to=tracemalloc", "--names=-", "-o", target, path), (0, b"", ""))
    equal(lines(tracemalloc.Snapshot.load(target).statistics("lineno")), KNOWN_LINES)
    equal(os.stat(target).st_mode & 0o777, 0o600)
    for to, writer in convert.FORMATS.items():
        if to != "mprof":
            equal(run(path, "-t", to, "-n", "-"), (0, write(writer, known()), ""), to)
    record = path_of("record", RECORD.encode())
    equal(run(record, "-t", "mprof", "-c", "METADATA")[1].split(b"\n")[1],
          b"MEM 0.000954 1000.2500")


def test_the_command_line_takes_names():
    data, numbers = snapfiles.known()
    names = path_of("names", report([{"site": numbers["in_c"], "stack": [
        frame("x.c", 3, "leak")]}]).encode())
    status, out, _ = run(path_of("known", data), "-t", "collapsed", "-n", names)
    equal(status, 0)
    assert b"leak (x.c:3) 512\n" in out, out
    status, _, errors = run(path_of("known", data), "-t", "collapsed", "-n",
                            path_of("names", b"no"))
    equal(status, 1)
    equal(errors.count("\n"), 1)


def test_errors_of_the_command_line():
    for args, status, part in (
            (["-t", "pprof"], 2, "FILE"), (["x"], 2, "-t/--to"), (["x", "-t", "x"], 2, "choose"),
            (["/nonexistent", "-t", "svg"], 1, "No such file"),
            (["/", "-t", "svg"], 1, "Is a directory"),
            ([path_of("empty", b""), "-t", "svg"], 1, "byte 0: the file ends in the middle"),
            ([path_of("empty", b""), "-t", "mprof"], 1, "line 1"),
            ([path_of("text", b"x" * 500), "-t", "svg"], 1, "text: snapshot, byte 0: this is no")):
        found, out, errors = run(*args)
        equal((found, out), (status, b""), args)
        assert part in errors and "Traceback" not in errors, errors


def test_merged_stacks_are_whole():
    equal(sum(merged.merge(known(), None).values()), 1088)


if __name__ == "__main__":
    tap.main(globals())
