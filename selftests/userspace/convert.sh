#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Snapshots of real programs in the formats of other tools, and in Python: all of them say what
# `pymalloc report` says.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
package=$(realpath "$here/../../../userspace/python")
cd "$scratch" || exit 1

# A program that keeps blocks of several lines, by functions that call each other, and says
# what its own snapshot has of it, without what that takes.
cat >program.py <<'END'
import json, sys
import pymalloc
kept = []
def inner(count):
    return [bytes(100 + i % 7) for i in range(count)]
def outer(count):
    kept.append(inner(count))
    kept.append([str(i) * 9 for i in range(300)])
def own():
    taken = pymalloc.take_snapshot()
    return {str(each.traceback[-1]): (each.size, each.count)
            for each in taken.statistics("lineno") if "program.py" in str(each.traceback[-1])}
with pymalloc.Heap.own() as heap:
    heap.trace("exact", frames=5, native_frames=int(sys.argv[1]))
    outer(1000)
    outer(500)
    trace = heap.trace()
    assert (trace.mode, trace.python_frames, trace.begun) == (3, 5, trace.generation)
    sites = {}
    for block in heap.sites():
        if not block.flags & pymalloc.abi.SITE_CACHED:
            sites[block.site] = sites.get(block.site, 0) + 1
    named = {number: site.frames[0] for number, site in heap.table().sites.items()}
found = {}
for number, blocks in sites.items():
    if number in named and named[number].code and named[number].code.file.endswith("program.py"):
        line = str(named[number].line)
        found[line] = found.get(line, 0) + blocks
with open("own.json", "w") as file:
    json.dump({"snapshot": own(), "sites": found}, file)
print("ready", flush=True)
sys.stdin.readline()
END

# start NATIVE: the program, and its snapshot as a file.
start()
{
	export PYTHONPATH=$package
	coproc SUBJECT { exec "$pymalloc" run -- python3 -B -S program.py "$1"; }
	subject=$SUBJECT_PID
	exec {to}>&"${SUBJECT[1]}" {from}<&"${SUBJECT[0]}"
	read -r answer <&"$from" && [ "$answer" = ready ] &&
		"$pymalloc" snapshot -o real.snap --pid "$subject" &&
		"$pymalloc" report --json real.snap >report.json
}

end()
{
	echo >&"$to"
	wait "$subject"
}

# tracemalloc of the standard library alone: the bytes and the blocks by line, as report has.
as_tracemalloc()
{
	"$pymalloc" convert --to tracemalloc -o real.pickle real.snap &&
		python3 -I - <<'END'
import json, tracemalloc
found = {(each.traceback[-1].filename, each.traceback[-1].lineno): (each.size, each.count)
         for each in tracemalloc.Snapshot.load("real.pickle").statistics("lineno")}
wanted = {}
for row in json.load(open("report.json"))["heaps"][0]["rows"]:
    if row["cached"]:
        continue
    python = [frame for frame in row["stack"] if frame["object"] is None and frame["file"]]
    line = (("<before the trace>", 0) if row["site"] == 0 else ("<unknown>", 0)
            if row["site"] == 1 else (python[0]["file"], python[0]["line"]) if python else None)
    # What has no frame in Python has the innermost there is.
    if line is None:
        frame = row["stack"][0] if row["stack"] else {"file": None, "object": None}
        line = ((frame["file"], frame["line"]) if frame["file"] else
                (frame["object"], 0) if frame["object"] else ("<unknown>", 0))
    bytes, blocks = wanted.get(line, (0, 0))
    wanted[line] = bytes + row["bytes"], blocks + row["blocks"]
assert found == wanted, {key: (found.get(key), wanted.get(key))
                         for key in found.keys() | wanted.keys()
                         if found.get(key) != wanted.get(key)}
lines = {line: figures for (file, line), figures in wanted.items() if file.endswith("program.py")}
assert lines[5][1] == 1500 and lines[8][1] == 600, lines
print(len(wanted), "lines,", sum(bytes for bytes, _ in wanted.values()), "bytes")
END
}

# All formats have the same bytes, those of report.
same_bytes()
{
	local to

	for to in collapsed speedscope pprof svg; do
		"$pymalloc" convert --to "$to" -o "real.$to" real.snap || return
	done
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here python3 - <<'END'
import json
import formats
bytes = {"report": sum(row["bytes"] for heap in json.load(open("report.json"))["heaps"]
                       for row in heap["rows"] if not row["cached"])}
bytes["collapsed"] = sum(int(line.rsplit(" ", 1)[1]) for line in open("real.collapsed"))
bytes["speedscope"] = sum(sum(profile["weights"]) for profile in
                          json.load(open("real.speedscope"))["profiles"][:1])
_, samples = formats.decode(open("real.pprof", "rb").read())
bytes["pprof"] = sum(values[0] for values in samples.values())
frames = formats.svg_frames(open("real.svg").read())
bytes["svg"] = max(frame[4] for frame in frames if frame[1] == 0)
print(bytes)
assert len(set(bytes.values())) == 1 and bytes["report"] > 100000
END
}

# Of a process, of a heap, of its object, of a file: the same. Of the own heap: what the program
# has noted about its lines.
same_in_python()
{
	python3 - "$subject" <<'END'
import json, sys
import pymalloc
pid = int(sys.argv[1])
def lines(taken):
    return {tuple(map(str, each.traceback)): (each.size, each.count)
            for each in taken.statistics("traceback")}
with pymalloc.Heap.of_process(pid, readonly=True) as heap:
    by_object = pymalloc.take_snapshot(heap)
    number = heap.info().id
    blocks = sum(not block.flags & pymalloc.abi.SITE_CACHED for block in heap.sites())
    trace = heap.trace()
report = open("report.json").read()
found = {"file": lines(pymalloc.take_snapshot("real.snap", names=None)),
         "pid": lines(pymalloc.take_snapshot(pid=pid)),
         "heap": lines(pymalloc.take_snapshot(heap=number)), "object": lines(by_object)}
for kind in found:
    assert found[kind] == found["file"], kind
assert blocks == len(by_object.traces), (blocks, len(by_object.traces))
assert trace.mode == pymalloc.abi.TRACE_EXACT and trace.begun == trace.generation
own = json.load(open("own.json"))
by_line = {str(each.traceback[-1]): [each.size, each.count]
           for each in pymalloc.take_snapshot(pid=pid).statistics("lineno")}
for line in 5, 8:
    (key,) = [key for key in by_line if key.endswith(f"program.py:{line}")]
    assert own["snapshot"][key] == by_line[key], (own["snapshot"][key], by_line[key])
    assert own["sites"][str(line)] == by_line[key][1], (own["sites"], by_line[key])
END
}

# Without Python's frames alone: with native ones, names come from report.
named()
{
	"$pymalloc" convert --to collapsed real.snap >with-names &&
		grep -qE 'inner \(.*program.py:5\)(;[^;]*)* [0-9]+$' with-names &&
		grep -q '_PyObject\|PyObject_\|_start\|main' with-names
}

ok "a program with Python frames" start 0
ok "tracemalloc's figures are report's" as_tracemalloc
ok "all formats have the same bytes" same_bytes
ok "the Python package sees the same" same_in_python
ok "it ends" end
ok "a program with native frames" start 20
ok "tracemalloc's figures are report's, with native frames" as_tracemalloc
ok "all formats have the same bytes, with native frames" same_bytes
ok "native frames have names" named
ok "the Python package sees the same, with native frames" same_in_python
ok "it ends as well" end
finish
