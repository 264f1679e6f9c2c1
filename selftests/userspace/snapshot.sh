#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# pymalloc snapshot, and reports about heaps that are in use.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
cd "$scratch" || exit 1

# A process with two heaps: 1000 blocks of 64 bytes, and 10 of 512 bytes. It uses no magazines.
exec 3< <(exec python3 -c "
import ctypes, signal
class Options(ctypes.Structure):
	_fields_ = [('name', ctypes.c_char_p), ('alignment', ctypes.c_uint),
		('flags', ctypes.c_uint), ('limit', ctypes.c_uint64), ('window', ctypes.c_uint64)]
library = ctypes.CDLL('$userspace/libpymalloc.so.0')
library.pymalloc_heap_create.restype = ctypes.c_void_p
library.pymalloc_heap_id.restype = ctypes.c_uint64
library.pymalloc_malloc.restype = ctypes.c_void_p
for size, count in (64, 1000), (512, 10):
	heap = ctypes.c_void_p(library.pymalloc_heap_create(ctypes.byref(Options(b'two'))))
	blocks = [library.pymalloc_malloc(heap, ctypes.c_size_t(size)) for i in range(count)]
	print(library.pymalloc_heap_id(heap), all(blocks), end=' ')
print(flush=True)
signal.pause()")
two=$!
read -r first made_first second made_second <&3

# A traced process, which keeps blocks of two lines.
cat >kept.py <<'EOP'
import signal
kept = []
def strings():
	for i in range(10000):
		kept.append(str(i) * 20)
def lists():
	for i in range(1000):
		kept.append([i])
strings()
lists()
print("ready", flush=True)
signal.pause()
EOP
exec 4< <(exec "$pymalloc" run --trace=exact -- python3 kept.py)
traced=$!
read -r _ <&4

as_nobody()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

says()
{
	status 1 "${@:2}" >stdout 2>stderr || return
	cat stdout stderr
	[ ! -s stdout ] && grep -q -- "$1" stderr
}

# json EXPRESSION ARG...: the command prints JSON, and EXPRESSION is true of it.
json()
{
	"$pymalloc" "${@:2}" --json >json || return
	python3 -c "import json, sys
d = json.loads(open('json', 'rb').read().decode('utf-8'))
def blocks(size, heap=0, cached=False):
	return sum(r['blocks'] for r in d['heaps'][heap]['rows']
		if r['size'] == size and r['cached'] == cached)
if not ($1):
	sys.exit(json.dumps(d)[:10000])"
}

# The file has as many blocks as the kernel has counted; without a trace, nobody tells which of
# them lie in magazines.
written()
{
	local counted

	(umask 0 && "$pymalloc" snapshot "$@") && [ "$(ls -A -- *.snap)" = "$file" ] &&
		[ "$(stat -c %a "$file")" = 600 ] || return
	counted=$("$pymalloc" show "$first" | awk '$1 == "BLOCKS" { print $2; exit }')
	json "d['heaps'][0]['heap'] == $first and blocks(64) == $counted >= 1000" report "$file"
}

ok "the subjects are there" test "$made_first $made_second" = "True True" -a -n "$traced"
for heap in "$first" "$second"; do
	"$pymalloc" policy "$heap" --no-decay --no-steal --no-mesh >policy
done
file=pymalloc.$two.snap
ok "snapshot" written "$first"
rm -f -- *.snap
file=of.snap
ok "snapshot -o" written -o "$file" "$first"
ok "a snapshot is replaced" written --output="$file" "$first"
ok "snapshot of a process with two heaps" written -o "$file" --pid "$two"
ok "both are there" json "[h['heap'] for h in d['heaps']] == [$first, $second] and
	10 <= blocks(512, 1) < 100 and {h['mode'] for h in d['heaps']} == {'off'}" report "$file"
ok "a heap without a trace" json "{r['site'] for r in d['heaps'][0]['rows']} == {0}" \
	report "$first"
ok "report of a process with two heaps" json "len(d['heaps']) == 2" report --pid "$two"
ok "diff of a file and a heap" status 0 "$pymalloc" diff --fail-on-growth 0 "$file" "$first"
ok "diff of two heaps" status 3 "$pymalloc" diff --fail-on-growth 0 "$second" "$first"

"$pymalloc" report --pid "$traced" --bytes >out
ok "lines of a program" grep -E '^ *[0-9]+ +10000 .*/?kept.py:5 \(strings\)$' out
# A list and its items are two blocks; some of the lists may be old ones.
ok "another line" awk '$NF == "(lists)" && $(NF - 1) ~ /kept.py:8$/ { n = $2 }
	END { print n; exit !(n > 1900 && n <= 2000) }' out
ok "its snapshot" "$pymalloc" snapshot -o traced.snap --pid "$traced"
ok "a report of it outlives the program" bash -c "kill $traced; tail -f /dev/null --pid $traced -s 0.1
	'$pymalloc' report traced.snap | grep -E ' 10000 .*kept.py:5 \(strings\)$'"

ok "another user's heap" says "heap $first is not yours to look at" \
	as_nobody "$pymalloc" snapshot -o /tmp/none.snap "$first"
ok "another user's process" says "process $two is not yours to look at" \
	as_nobody "$pymalloc" report --pid "$two"
ok "another user's report" says "heap $first is not yours to look at" \
	as_nobody "$pymalloc" report "$first"
chmod 755 .
ok "another user's file" says 'Permission denied' as_nobody "$pymalloc" report "$scratch/$file"
ok "no such heap" says "no heap has the number 999999" "$pymalloc" report 999999
ok "no such heap to write" says "no heap has the number 999999" \
	"$pymalloc" snapshot -o none.snap 999999
ok "nothing was written" test ! -e none.snap
ok "a process without a heap" says 'has no heap' "$pymalloc" leaks --pid $$
ok "a directory is no file" says 'is not a regular file' "$pymalloc" snapshot -o . "$first"
ok "snapshot of nothing" status 2 "$pymalloc" snapshot
ok "snapshot of a heap and a process" status 2 "$pymalloc" snapshot --pid "$two" "$first"
ok "snapshot of two heaps" status 2 "$pymalloc" snapshot "$first" "$second"

kill "$two"
finish
