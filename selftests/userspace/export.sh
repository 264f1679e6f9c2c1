#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# `pymalloc export`: what it prints is OpenMetrics and says the same as `pymalloc show`, and a
# file that it writes is never there in part. The sample of alerting rules uses only metrics
# that it prints.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
rules=$here/../../../userspace/samples/pymalloc-rules.yml

# A process whose names are full of what must be escaped. Its heap has most of what a heap can
# have, and stays as it is once it gives nothing back by itself.
exec 3< <(exec python3 -c "
import ctypes, fcntl, os, random, signal, struct
class Options(ctypes.Structure):
	_fields_ = [('name', ctypes.c_char_p), ('alignment', ctypes.c_uint),
		('flags', ctypes.c_uint), ('limit', ctypes.c_uint64), ('window', ctypes.c_uint64)]
ctypes.CDLL(None).prctl(15, b'x\"y\\\\z\\n\\\\nw')
library = ctypes.CDLL('$userspace/libpymalloc.so.0')
library.pymalloc_heap_create.restype = ctypes.c_void_p
library.pymalloc_malloc.restype = ctypes.c_void_p
heap = ctypes.c_void_p(library.pymalloc_heap_create(ctypes.byref(
	Options(b'\"a\\\\b\\\\n', 0, 0, 1 << 26, 0))))
def malloc(size):
	return ctypes.c_void_p(library.pymalloc_malloc(heap, size))
random.seed(1)
blocks = [malloc(random.choice((24, 100, 512))) for i in range(20000)]
runs = [malloc(20000) for i in range(3)]
for block in random.sample(blocks, 18000):
	library.pymalloc_free(heap, block)
fd = library.pymalloc_heap_fd(heap)
try:
	os.write(fd, struct.pack('=IIQ', 0, 0, 0))
except OSError as error:
	print(error.errno, end=' ')
fcntl.ioctl(fd, 0xbf58, struct.pack('=IIQ', 16, 0, 1 << 25))
print('ready', flush=True)
signal.pause()")
odd=$!
read -r error _ <&3
heap=$("$pymalloc" ls -nro HEAP,PID | awk -v pid="$odd" '$2 == pid { print $1 }')
"$pymalloc" policy "$heap" --no-decay --no-steal --no-mesh >"$scratch/policy"
"$pymalloc" compact "$heap" >"$scratch/compact"

# A process of another user, whose name is not UTF-8. Not even its user may look at its heap,
# but may list it.
exec 4< <(exec setpriv --reuid 65534 --regid 65534 --clear-groups python3 -c "
import ctypes, signal
ctypes.CDLL(None).prctl(15, b'caf\xc3\xa9 \xff')
library = ctypes.CDLL('$userspace/libpymalloc.so.0')
library.pymalloc_heap_create.restype = ctypes.c_void_p
library.pymalloc_heap_id.restype = ctypes.c_uint64
heap = ctypes.c_void_p(library.pymalloc_heap_create(None))
print(library.pymalloc_heap_id(heap), flush=True)
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
print('closed', flush=True)
signal.pause()")
closed=$!
read -r closed_heap <&4
read -r _ <&4

as_nobody()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

# is EXPRESSION [ARG...]: what `export ARG...` prints is OpenMetrics, and EXPRESSION is true.
is()
{
	"$pymalloc" export "${@:2}" >"$scratch/metrics" &&
		python3 "$here/metrics.py" "$scratch/metrics" "$1"
}

# as_shown EXPRESSION [ARG...]: the same, about the heap that `show` shows.
as_shown()
{
	"$pymalloc" show --json "$heap" >"$scratch/shown" &&
		"$pymalloc" export "${@:2}" >"$scratch/metrics" &&
		python3 "$here/metrics.py" "$scratch/metrics" "$1" "$scratch/shown"
}

# nobody_is EXPRESSION [ARG...]: the same as is, for another user.
nobody_is()
{
	as_nobody "$pymalloc" export "${@:2}" >"$scratch/metrics" &&
		python3 "$here/metrics.py" "$scratch/metrics" "$1"
}

# says MESSAGE CMD...: CMD prints nothing, fails and says why.
says()
{
	status 1 "${@:2}" >"$scratch/stdout" 2>"$scratch/stderr" || return
	cat "$scratch/stdout" "$scratch/stderr"
	[ ! -s "$scratch/stdout" ] && grep -q -- "$1" "$scratch/stderr"
}

# While processes come and go.
exports_heaps_that_end()
{
	local pids=()

	for _ in {1..10}; do
		"$pymalloc" run -- true &
		pids+=($!)
		is "$heap in heaps()" --classes --check || return
	done
	wait "${pids[@]}"
}

ok "the subjects are there" test "$error" -gt 0 -a -n "$heap" -a -n "$closed_heap"
ok "the heap has figures that are not 0" as_shown \
	"all(shown['heap'][field] for field in HEAP.values()
	if field not in ('shared', 'pools_empty', 'pages_decayed', 'pages_shrunk'))"
ok "figures are those of show" as_shown "same_heap()"
ok "figures are those of show, for one heap" as_shown "same_heap() and heaps() == {$heap}" "$heap"
ok "figures are those of show, for a process" as_shown "same_heap() and heaps() == {$heap}" \
	--pid "$odd"
ok "size classes are those of show" as_shown "same_classes()" --classes "$heap"
ok "no size classes without --classes" is "not [s for s in samples if 'size' in s.labels]"
ok "names come back as they are" is "all(s.labels['comm'] == 'x\"y\\\\z\n\\\\nw' and
	s.labels['name'] == '\"a\\\\b\\\\n' and s.labels['pid'] == '$odd' and
	s.labels['uid'] == '0' for s in samples if s.labels.get('heap') == '$heap')" "$heap"
ok "a name that is not UTF-8" is "{s.labels['comm'] for s in samples
	if 'comm' in s.labels} == {'caf\u00e9 \ufffd'}" "$closed_heap"
ok "a heap that is named twice is there once" is "heaps() == {$heap}" "$heap" "$heap"
ok "two heaps" is "heaps() == {$heap, $closed_heap}" "$heap" "$closed_heap"
ok "all heaps" is "heaps() == {$(column=$("$pymalloc" ls -nro HEAP | xargs); echo "${column// /, }")}"
ok "units and types" is "all(f.type in ('gauge', 'counter') and f.documentation and
	(f.unit == 'bytes') == f.name.endswith('_bytes') for f in families.values())" --classes
ok "the older format" is "not openmetrics and '# EOF' not in text and '# UNIT' not in text and
	all(f.type in ('gauge', 'counter') and f.documentation for f in families.values()) and
	all((f.type == 'counter') == s.name.endswith('_total')
		for f in families.values() for s in f.samples)" --format text --classes --check
ok "the older format names counters as their samples" test "$("$pymalloc" export --format text |
	grep -c '^# TYPE .*_total counter$')" = "$("$pymalloc" export | grep -c '^# TYPE .* counter$')"
ok "the older format has the same figures" as_shown "same_heap()" --format=text
ok "names come back from the older format" is "{(s.labels['comm'], s.labels['name'])
	for s in samples if 'comm' in s.labels} == {('x\"y\\\\z\n\\\\nw', '\"a\\\\b\\\\n')}" \
	--format text "$heap"
ok "--format openmetrics" is "openmetrics and heaps() == {$heap}" --format openmetrics "$heap"
ok "no check without --check" is "not values('pymalloc_heap_check_errors')"
ok "--check" is "values('pymalloc_heap_check_errors', heap='$heap') == [0] and
	len(values('pymalloc_heap_check_errors')) == len(heaps())" --check
ok "figures of the user" is "values('pymalloc_user_heaps', uid='0') == [1] and
	values('pymalloc_user_heaps_limit', uid='0') ==
		[$(</sys/module/pymalloc/parameters/user_heaps)] and
	values('pymalloc_user_limit_bytes', uid='0') ==
		[$(</sys/module/pymalloc/parameters/user_bytes)] and
	values('pymalloc_user_bytes', uid='0') == [values('pymalloc_heap_page_bytes', uid='0')[0] +
		values('pymalloc_heap_metadata_bytes', uid='0')[0]] and
	values('pymalloc_user_metadata_bytes', uid='0') ==
		values('pymalloc_heap_metadata_bytes', uid='0')"
ok "a heap without a limit has no figure for it" is \
	"values('pymalloc_heap_blocks') and not values('pymalloc_heap_limit_bytes') and
	not values('pymalloc_heap_threshold_bytes')" "$closed_heap"
ok "another user's heap is not there" nobody_is "heaps() == set()"
ok "what may be listed but not looked at is left out" test \
	"$(as_nobody "$pymalloc" ls -nro HEAP)" = "$closed_heap"
ok "the figures of another user" nobody_is "values('pymalloc_user_heaps', uid='65534') == [1]"
ok "heaps that end meanwhile" exports_heaps_that_end

ok "another user's heap, by its number" says "heap $heap is not yours to look at" \
	as_nobody "$pymalloc" export "$heap"
ok "another user's process" says "process $odd is not yours to look at" \
	as_nobody "$pymalloc" export --pid "$odd"
ok "no such heap" says "no heap has the number 999999" "$pymalloc" export "$heap" 999999
ok "no such process" says "there is no process 999999999" "$pymalloc" export --pid 999999999
ok "HEAP and --pid" status 2 "$pymalloc" export --pid "$odd" "$heap"
ok "an unknown format" status 2 "$pymalloc" export --format html
ok "what is no number" status 2 "$pymalloc" export 1x
ok "what cannot be a process" status 2 "$pymalloc" export --pid 0
ok "into a full disk" status 1 bash -c "'$pymalloc' export >/dev/full"

# Files. The directory has nothing in it but the file.
place=$scratch/place
file=$place/pymalloc.prom
mkdir "$place"

# written EXPRESSION: the file is whole, everybody may read it, and nothing else is there.
written()
{
	[ "$(ls -A "$place")" = pymalloc.prom ] && [ "$(stat -c %a "$file")" = 644 ] &&
		python3 "$here/metrics.py" "$file" "$1"
}

writes()
{
	(umask 077 && "$pymalloc" export -o "$file" "$@") >"$scratch/stdout" &&
		[ ! -s "$scratch/stdout" ] && written "heaps() == {$heap}"
}

# Whoever has opened the old file goes on reading that one.
replaces()
{
	local old

	"$pymalloc" export --output "$file" "$closed_heap" && exec 5<"$file" &&
		old=$(<"$file") && writes "$heap" && [ "$(cat <&5)" = "$old" ] &&
		[ "$(<"$file")" != "$old" ]
}

# keeps MESSAGE CMD...: CMD fails, and leaves the place as it was.
keeps()
{
	local before

	before=$(ls -A "$place" && cat "$place"/*)
	says "$@" && [ "$(ls -A "$place" && cat "$place"/*)" = "$before" ]
}

ok "a new file" writes "$heap"
ok "a file is replaced, not changed" replaces
ok "a file of no heap that there is" keeps 'no heap has the number' \
	"$pymalloc" export -o "$file" 999999
ok "a directory that does not exist" says \
	"cannot write $scratch/none/x: No such file or directory" \
	"$pymalloc" export -o "$scratch/none/x"
ok "a directory of another user" keeps 'Permission denied' \
	as_nobody bash -c "cd / && '$pymalloc' export -o '$file'"
ok "a directory is no file" keeps 'is not a regular file' "$pymalloc" export -o "$place"
ok "a device is not replaced" says '/dev/null is not a regular file' \
	"$pymalloc" export -o /dev/null
ok "the device is still there" test -c /dev/null
ln -s pymalloc.prom "$scratch/link"
ok "a symbolic link is not replaced" keeps 'is not a regular file' \
	"$pymalloc" export -o "$scratch/link"

# Two pages: one for the old file, and one for what fills the rest.
mount -t tmpfs -o size=8k none "$place"
echo old >"$file"
dd if=/dev/zero of="$place/filler" bs=4096 count=1 2>"$scratch/dd"
ok "a full file system" keeps 'No space left on device' "$pymalloc" export -o "$file"
mount -o remount,ro "$place"
ok "a file system that is read-only" keeps 'Read-only file system' \
	"$pymalloc" export -o "$file"
umount "$place"

# The metrics that the rules use, and those that are printed. The heaps have samples of all.
used()
{
	sed 's/#.*//' "$rules" | grep -o '\bpymalloc_[a-z_]*' | sort -u
}

exported()
{
	"$pymalloc" export --check "$heap" | sed -n 's/^\(pymalloc_[a-z_]*\){.*/\1/p' | sort -u
}

ok "the rules use metrics" test "$(used | wc -l)" -gt 3
ok "the rules use what is exported" diff /dev/null <(comm -23 <(used) <(exported))

# A shared heap of two processes; one holds a block, and has been given two.
exec 6< <(PYTHONPATH=$userspace/python exec python3 -B -c '
import os, signal
from pymalloc import shared
heap = shared.Heap.create("common")
for i in range(3):
	heap.publish(str(i), b"x")
child = os.fork()
if not child:
	view = heap.lookup_view("0")
	heap.publish("ready", True)
	signal.pause()
heap.wait("ready")
for i in range(2):
	heap.give(2, i)
print(heap.id, child, flush=True)
signal.pause()')
sharing=$!
read -r common child <&6

# shared CLIENTS HOLDS INBOX [ARG...]: the figures of the shared heap.
shared()
{
	is "[values('pymalloc_heap_' + name, heap='$common')
		for name in ('clients', 'holds', 'inbox_blocks', 'names')] ==
		[[$1], [$2], [$3], [4]]" "${@:4}"
}

leaves()
{
	for _ in {1..50}; do
		! shared 1 0 0 || return 0
		sleep 0.1
	done
	return 1
}

ok "a shared heap" shared 2 1 2
ok "a shared heap, by its number" shared 2 1 2 "$common"
ok "a shared heap, in the older format" shared 2 1 2 --format text
ok "a private heap has no clients" is "not values('pymalloc_heap_clients', heap='$heap') and
	not values('pymalloc_heap_names', heap='$heap')"
kill -9 "$child"
ok "a shared heap after the death of a client" leaves
kill "$sharing"

kill "$odd" "$closed"
finish
