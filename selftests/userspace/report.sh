#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# pymalloc report, diff, growing and leaks: what they print about snapshots whose blocks are
# known. This needs no device.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
cd "$scratch" || exit 1
export TZ=UTC PYTHONDONTWRITEBYTECODE=1

# snap CODE: run Python code that writes files of snapshots.
snap()
{
	PYTHONPATH=$here python3 -c "from snapfile import *
$1"
}

# table COMMAND ARG...: the lines of the last table, with one blank between columns.
table()
{
	"$pymalloc" "$@" >out || return
	awk '/^ *~?(BYTES|SIZE|FIRST|DIED) / { found = 1; next }
		found && !NF { exit } found { $1 = $1; print }' out
}

# lines TEXT COMMAND ARG...: the table has these lines, and no other.
lines()
{
	diff <(printf '%s' "${1:+$1$'\n'}") <(table "${@:2}")
}

# json EXPRESSION COMMAND ARG...: the command prints JSON, and EXPRESSION is true of it.
json()
{
	"$pymalloc" "${@:2}" --json >json || return
	python3 -c "import json, sys
d = json.loads(open('json', 'rb').read().decode('utf-8'))
if not ($1):
	sys.exit(json.dumps(d, indent=1))"
}

prints()
{
	grep -q -- "$1" <("${@:2}")
}

misses()
{
	"${@:2}" >out && ! grep -- "$1" out
}

# warns MESSAGE STATUS CMD...: CMD has this exit status, and says so.
warns()
{
	status "${@:2}" 2>stderr || return
	cat stderr
	grep -q -- "$1" stderr
}

# says MESSAGE CMD...: CMD prints nothing, fails and says why.
says()
{
	status 1 "${@:2}" >stdout 2>stderr || return
	cat stdout stderr
	[ ! -s stdout ] && grep -q -- "$1" stderr
}

# An exact trace: two files, two lines of one function, two threads, two sizes of a site.
snap "
t = Table(start=1000 * SECOND)
a = t.code('/srv/a.py', 'load')
b = t.code('/srv/lib/b.py', 'Cache.put')
c = t.code('/srv/a.py', 'main')
main, worker = t.thread(7, 'main'), t.thread(8, 'worker')
load10 = t.site(t.stack((a, 10), (c, 99)), main, 1000, 1995 * SECOND)
load11 = t.site(t.stack((a, 11), (c, 99)), main, 20, 1900 * SECOND)
put = t.site(t.stack((b, 5), (a, 11), (c, 99)), worker, 30, 1100 * SECOND)
put2 = t.site(t.stack((b, 5), (c, 98)), main, 40, 1200 * SECOND)
dead = t.site(t.stack((b, 77)), main, 5000, 1200 * SECOND)
write('exact.snap', section([
	(load10, 64, 10), (load10, 128, 5), (load11, 512, 20), (put, 32, 30), (put2, 32, 4),
	(put2, 48, 1, 0, 700), (load11, 16, 9, CACHED), (BEFORE, 64, 100), (UNKNOWN, 8, 3),
	(123456, 8, 1)], t))"

ok "by line" lines \
"10K 20 512B 54% 20 /srv/a.py:11 (load)
6.3K 100 64B 34% before the trace
1.3K 15 85B 7% 1000 /srv/a.py:10 (load)
1.1K 35 32B 6% 70 700 /srv/lib/b.py:5 (Cache.put)
32B 4 8B 0% unknown" report exact.snap
ok "by file" lines \
"11520 35 329 60% 1020 /srv/a.py
6400 100 64 34% before the trace
1136 35 32 6% 5070 700 /srv/lib/b.py
32 4 8 0% unknown" report --bytes --by file exact.snap
ok "by function" lines \
"11520 35 329 60% 1020 load (/srv/a.py)
6400 100 64 34% before the trace
1136 35 32 6% 5070 700 Cache.put (/srv/lib/b.py)
32 4 8 0% unknown" report -b --by=function exact.snap
ok "by site" lines \
"10240 20 512 54% 20 /srv/a.py:11 (load)
6400 100 64 34% before the trace
1280 15 85 7% 1000 /srv/a.py:10 (load)
960 30 32 5% 30 /srv/lib/b.py:5 (Cache.put)
176 5 35 1% 40 700 /srv/lib/b.py:5 (Cache.put)
32 4 8 0% unknown" report -b --by site exact.snap
ok "by class" lines \
"10240 20 512 54% 512 bytes
7040 110 64 37% 64 bytes
1088 34 32 6% 32 bytes
640 5 128 3% 128 bytes
48 1 48 0% 700 48 bytes
32 4 8 0% 8 bytes" report -b --by class exact.snap
ok "by thread" lines \
"11696 40 292 61% 6060 700 main (7)
6400 100 64 34% before the trace
960 30 32 5% 30 worker (8)
32 4 8 0% unknown" report -b --by thread exact.snap
ok "by age" lines \
"10240 20 512 54% 20 1 to 10 minutes
6400 100 64 34% before the trace
1280 15 85 7% 1000 1 to 10 seconds
1136 35 32 6% 5070 700 10 to 60 minutes
32 4 8 0% unknown" report -b --by age exact.snap
ok "by idle" lines \
"19040 173 110 100% not known
48 1 48 0% 700 10 to 60 minutes" report -b --by idle exact.snap
ok "whole stacks" lines \
"10240 20 512 54% 20 /srv/a.py:11 (load)
/srv/a.py:99 (main)" report -b --stacks --top 1 exact.snap
ok "magazines are left out, and that is said" prints \
	'^9 free blocks in magazines, with 144B, are left out' "$pymalloc" report exact.snap
ok "magazines with --cached" lines "10384 29 358 54% 20 /srv/a.py:11 (load)" \
	report -b --cached --top 1 exact.snap
ok "nothing is left out with --cached" status 1 prints magazines \
	"$pymalloc" report --cached exact.snap
ok "the rest is summed up" prints '^3 more, with 2.4K in 54 blocks; --top 0 ' \
	"$pymalloc" report --top 2 exact.snap
ok "all lines" status 1 prints ' more, with ' "$pymalloc" report --top 0 exact.snap
ok "the heading" prints '^ *1  *7 python3 malloc .* 1970-01-01 00:33:20 exact  *none  *1000$' \
	"$pymalloc" report exact.snap

ok "filter by file" lines "1136 35 32 100% 70 700 /srv/lib/b.py:5 (Cache.put)" \
	report -b --filter '/srv/lib/*' exact.snap
ok "filter by a file's last part" lines "1136 35 32 100% 70 700 /srv/lib/b.py:5 (Cache.put)" \
	report -b --filter b.py exact.snap
ok "filter by function" lines "1136 35 32 100% 70 700 /srv/lib/b.py:5 (Cache.put)" \
	report -b --filter 'Cache.*' exact.snap
ok "filters are alternatives" lines \
"11520 35 329 91% 1020 /srv/a.py
1136 35 32 9% 5070 700 /srv/lib/b.py" report -b --by file --filter a.py --filter b.py exact.snap
ok "filter that leaves out" lines \
"10240 20 512 57% 20 /srv/a.py:11 (load)
6400 100 64 36% before the trace
1280 15 85 7% 1000 /srv/a.py:10 (load)
32 4 8 0% unknown" report -b --filter '!Cache.put' exact.snap
ok "filters of both kinds" lines "" report -b --filter '!load' --filter a.py exact.snap
ok "filter by all frames" lines \
"10240 20 512 81% 20 /srv/a.py:11 (load)
1280 15 85 10% 1000 /srv/a.py:10 (load)
1136 35 32 9% 70 700 /srv/lib/b.py:5 (Cache.put)" \
	report -b --all-frames --filter main exact.snap
ok "a filter that matches nothing" lines "" report --filter nothing exact.snap

ok "temporary" lines \
"5000 5000 0 0% /srv/lib/b.py:77 (Cache.put)
985 1000 15 1% /srv/a.py:10 (load)
35 70 35 50% /srv/lib/b.py:5 (Cache.put)" report --temporary exact.snap
ok "temporary by file" lines \
"5035 5070 35 0% /srv/lib/b.py
985 1020 35 3% /srv/a.py" report --temporary --by file exact.snap
ok "temporary --json" json "d['temporary'][0] == {'died': 5000, 'allocated': 5000, 'live': 0,
	'alive': 0, 'place': '/srv/lib/b.py:77 (Cache.put)'}" report --temporary exact.snap
ok "temporary by class" says "not counted by class or idle" "$pymalloc" report --temporary --by class \
	exact.snap

ok "JSON" json "d['format'] == 1 and len(d['heaps']) == 1 and
	[d['heaps'][0][k] for k in ('heap', 'pid', 'comm', 'mode', 'interval', 'time', 'start')] ==
		[1, 7, 'python3', 'exact', None, 2000 * 10**9, 1000 * 10**9] and
	[(r['bytes'], r['blocks'], r['cached'], r['size'], len(r['stack']))
		for r in d['heaps'][0]['rows']] == [(640, 10, False, 64, 2), (640, 5, False, 128, 2),
		(10240, 20, False, 512, 2), (960, 30, False, 32, 3), (128, 4, False, 32, 2),
		(48, 1, False, 48, 2), (144, 9, True, 16, 2), (6400, 100, False, 64, 0),
		(24, 3, False, 8, 0), (8, 1, False, 8, 0)]" report exact.snap
ok "JSON of a row" json "[r for r in d['heaps'][0]['rows'] if r['thread'] == 'worker' and
	r['tid'] == 8 and r['age_s'] == 900 and r['time'] == 1100 * 10**9 and
	r['allocated'] == 30 and r['idle_s'] is None and r['stack'][0] == {'file': '/srv/lib/b.py',
	'line': 5, 'function': 'Cache.put', 'object': None, 'address': None}]" report exact.snap
ok "JSON of blocks without a site" json "[(r['site'], r['thread'], r['allocated'], r['stack'])
	for r in d['heaps'][0]['rows'] if not r['stack']] ==
	[(0, None, None, []), (1, None, None, []), (1, None, None, [])]" report exact.snap
ok "JSON with a filter" json "[r['bytes'] for r in d['heaps'][0]['rows']] == [960, 128, 48]" \
	report --filter b.py exact.snap

ok "leaks" lines \
"10K 20 512B 58% 20 /srv/a.py:11 (load)
/srv/a.py:99 (main)
6.3K 100 64B 36% before the trace
960B 30 32B 5% 30 /srv/lib/b.py:5 (Cache.put)
/srv/a.py:11 (load)
/srv/a.py:99 (main)
176B 5 35B 1% 40 700 /srv/lib/b.py:5 (Cache.put)
/srv/a.py:98 (main)" leaks exact.snap
ok "leaks that are older" lines \
"6400 100 64 87% before the trace
960 30 32 13% 30 /srv/lib/b.py:5 (Cache.put)" leaks -b --by line --older-than 900 exact.snap
ok "leaks --json" json "[r['site'] == 0 or r['age_s'] >= 900 for r in d['heaps'][0]['rows']] ==
	[True, True]" leaks --older-than 900 exact.snap

# What is sampled stands for more, and the sum stays that of the heap. 1 / (1 - exp(-n/i)) is
# 64.50 for 64 bytes of 4096, and 8.51 for 512.
snap "
t = Table(SAMPLED, 4096)
big = t.site(t.stack((t.code('b.py', 'big'), 1)), t.thread(), 12)
small = t.site(t.stack((t.code('s.py', 'small'), 2)), t.thread(), 13)
write('sampled.snap', section([(big, 512, 10), (small, 64, 20), (BEFORE, 64, 10000)], t))
write('few.snap', section([(small, 64, 20), (BEFORE, 64, 10)], t))
write('few-off.snap', section([(BEFORE, 64, 10)]))"
ok "estimates" lines \
"520265 8129 64 80% before the trace
82562 1290 64 13% s.py:2 (small)
43573 85 512 7% b.py:1 (big)" report -b sampled.snap
ok "estimates are marked" prints '^~BYTES ~BLOCKS ~AVERAGE ~SHARE PLACE$' \
	"$pymalloc" report sampled.snap
ok "the sum of estimates" json "abs(sum(r['bytes'] for r in d['heaps'][0]['rows']) - 646400) < 3" \
	report sampled.snap
ok "estimates do not become negative" lines "82562 1290 64 100% s.py:2 (small)" \
	report -b few.snap
ok "estimates in JSON" json "d['heaps'][0]['mode'] == 'sampled' and
	d['heaps'][0]['interval'] == 4096 and d['heaps'][0]['rows'][1]['counted'] == 20 and
	abs(d['heaps'][0]['rows'][1]['blocks'] - 20 * 64.50) < 1" report sampled.snap
ok "temporary of a sampled trace" says 'not counted by a sampled trace' \
	"$pymalloc" report --temporary sampled.snap
ok "diff of estimates is marked" prints '~SIZE ~SIZE_DIFF ~COUNT ~COUNT_DIFF PLACE' \
	"$pymalloc" diff sampled.snap few.snap
ok "temporary without a trace" says 'not counted without a trace' \
	"$pymalloc" report --temporary few-off.snap
ok "growth is no estimate" test "$(snap "
t = Table(GROWTH)
write('growth.snap', section([(t.site(t.stack((t.code('g.py', 'g'), 3)), t.thread(), 32), 64, 20)], t))" &&
	table report -b --temporary growth.snap)" = "12 32 20 62% g.py:3 (g)"

# A heap without a trace, and two heaps in a file.
snap "
write('off.snap', section([(BEFORE, 64, 10), (BEFORE, 32, 2)]))
write('empty.snap', section([]))
t = Table()
s = t.site(t.stack((t.code('x.py', 'f'), 1)), t.thread())
write('two.snap', section([(s, 64, 10)], t), section([(BEFORE, 64, 1)], heap=2, name='b'))"
ok "no trace" lines "704B 12 59B 100% before the trace" report off.snap
ok "no trace: that is said" prints ' off  *$' "$pymalloc" report off.snap
ok "no trace: how to begin one" prints 'pymalloc trace 1 --mode exact' "$pymalloc" report off.snap
ok "a filter that nothing passes" prints '^no block is where --filter says$' \
	"$pymalloc" report --filter nowhere exact.snap
ok "a trace needs no such hint" misses 'is not traced' "$pymalloc" report exact.snap
ok "no trace, by class: no hint" misses 'is not traced' "$pymalloc" report --by class off.snap
ok "no trace, by class" lines "640 10 64 91% 64 bytes
64 2 32 9% 32 bytes" report -b --by class off.snap
ok "no blocks" lines "" report empty.snap
ok "no blocks, in JSON" json "d['heaps'][0]['rows'] == [] and d['heaps'][0]['start'] is None" \
	report empty.snap
ok "leaks without blocks" lines "" leaks empty.snap
ok "two heaps" lines "640B 10 64B 91% 0 x.py:1 (f)
64B 1 64B 9% before the trace" report two.snap
ok "two heaps in the heading" prints '^ *2  *7 python3 b ' "$pymalloc" report two.snap
ok "two heaps in JSON" json "[h['heap'] for h in d['heaps']] == [1, 2]" report two.snap

# The same lines have other numbers in the other snapshots.
for step in 1 2 3; do
	snap "
t = Table()
t.code('padding' * $step, '')
f, g, h = t.code('f.py', 'f'), t.code('g.py', 'g'), t.code('h.py', 'h')
def site(code, line):
	return t.site(t.stack((code, line)), t.thread())
rows = [(site(f, 1), 64, 100 * $step), (site(g, 2), 32, 50 - $step), (site(h, 3), 512, 7),
	(BEFORE, 16, 9)] + [(site(h, 4), 128, 10 * $step)] * ($step > 1)
write('$step.snap', section(rows, t, time=(2000 + 1800 * $step) * SECOND))"
done
snap "write('another.snap', section([(BEFORE, 16, 9)], pid=8, time=9000 * SECOND))"
ok "diff" lines \
"12800 +6400 200 +100 f.py:1 (f)
2560 +2560 20 +20 h.py:4 (h)
1536 -32 48 -1 g.py:2 (g)
3584 0 7 0 h.py:3 (h)
144 0 9 0 before the trace" diff -b 1.snap 2.snap
ok "diff the other way" lines \
"6.3K -6.3K 100 -100 f.py:1 (f)
0B -2.5K 0 -20 h.py:4 (h)" diff --top 2 2.snap 1.snap
ok "diff by file, with a filter" lines "6144 +2560 27 +20 h.py" \
	diff -b --by file --filter h 1.snap 2.snap
ok "diff sums up" prints '^more bytes of all: 8928$' "$pymalloc" diff -b 1.snap 2.snap
ok "diff sums up what is less" prints '^fewer bytes of all: 8928$' \
	"$pymalloc" diff -b 2.snap 1.snap
ok "diff --json" json "len(d['heaps']) == 2 and d['diff'][0] == {'size': 12800,
	'size_diff': 6400, 'count': 200, 'count_diff': 100, 'place': 'f.py:1 (f)'} and
	d['diff'][2]['size_diff'] == -32" diff 1.snap 2.snap
for limit in 8928 9K 1M 1G; do
	ok "diff --fail-on-growth $limit" status 0 \
		"$pymalloc" diff --fail-on-growth $limit 1.snap 2.snap
done
for limit in 8927 8K 0; do
	ok "diff --fail-on-growth=$limit fails" warns '8928 bytes more' 3 \
		"$pymalloc" diff --fail-on-growth=$limit 1.snap 2.snap
done
ok "diff --fail-on-growth with a filter" status 0 \
	"$pymalloc" diff --fail-on-growth 0 --filter g 1.snap 2.snap
ok "diff --fail-on-growth with --json" status 3 \
	"$pymalloc" diff --fail-on-growth 0 --json 1.snap 2.snap
ok "growing" lines \
"6400 19200 +12800 12800 300 f.py:1 (f)
0 3840 +3840 3840 30 h.py:4 (h)" growing -b 1.snap 2.snap 3.snap
ok "growing, by file" lines \
"6400 19200 +12800 12800 300 f.py
3584 7424 +3840 3840 37 h.py" growing -b --by file 1.snap 2.snap 3.snap
ok "growing the other way" says '^pymalloc: 2.snap is older than 3.snap' \
	"$pymalloc" growing 3.snap 2.snap 1.snap
ok "growing of two processes" warns 'another.snap is of process 8, and 1.snap of 7' 0 \
	"$pymalloc" growing 1.snap another.snap
ok "growing in two snapshots of one time" json "d['growing'] == []" growing 1.snap 1.snap
ok "growing --json" json "d['growing'][0] == {'first': 6400, 'last': 19200, 'growth': 12800,
	'per_hour': 12800, 'blocks': 300, 'place': 'f.py:1 (f)'}" growing 1.snap 2.snap 3.snap

# Names of functions that are not Python's, by a library that this script has mapped. Python
# frames take the places of the interpreter's.
snap "
import ctypes
path = '$here/snap_subject.so'
library = ctypes.CDLL(path)
maps = [line.split() for line in open('/proc/self/maps') if line.rstrip().endswith(path)]
start, end = int(maps[0][0].split('-')[0], 16), int(maps[-1][0].split('-')[1], 16)
def address(name):
	function = getattr(library, name)
	function.restype = ctypes.c_size_t
	return function()
data = open(path, 'rb').read()
build_id = data[data.index(b'GNU\0', data.index(b'\x14\0\0\0\x03\0\0\0GNU')) + 4:][:20]
t = Table()
main, python = t.thread(), t.code('p.py', 'f')
right = t.object(path, start, end, start, build_id)
without = t.object(path, start, end, start)
wrong = t.object(path, start, end, start, bytes(20))
gone = t.object('/no/such.so', start, end, start, build_id)
pipe = t.object('$scratch/pipe', start, end, start, build_id)
libc = t.object('/lib/libc.so.6', 0, 0x1000, 0, bytes(20))
outer, interpreter = address('subject_outer'), address('_PyEval_EvalFrameDefault')
def snap(name, *frames):
	write(name, section([(t.site(t.stack(*frames), main), 64, 1)], t))
snap('right.snap', (right, 0, outer), (right, 0, interpreter))
snap('without.snap', (without, 0, outer))
for name, where in ('wrong', wrong), ('gone', gone), ('pipe', pipe):
	snap(name + '.snap', (where, 0, start + 0x1234))
snap('nowhere.snap', (0, 0, 0x1234))
snap('libc.snap', (libc, 0, 0x10), (right, 0, outer))
snap('only-libc.snap', (libc, 0, 0x10))
snap('fits.snap', (python, 1), (python, 2), (right, 0, outer), (right, 0, interpreter),
	(right, 0, interpreter), (right, 0, outer))
snap('few.snap', (python, 1), (right, 0, interpreter), (right, 0, interpreter))
snap('many.snap', (python, 1), (python, 2), (python, 3), (right, 0, interpreter),
	(right, 0, outer), (right, 0, interpreter))
snap('none.snap', (python, 1), (python, 2), (right, 0, outer))"
mkfifo pipe
for name in snap_cxx snap_cxx_symbols; do
	snap "
import ctypes
path = '$here/$name.so'
library = ctypes.CDLL(path)
library.call_grow.restype = ctypes.c_size_t
maps = [line.split() for line in open('/proc/self/maps') if line.rstrip().endswith(path)]
start, end = int(maps[0][0].split('-')[0], 16), int(maps[-1][0].split('-')[1], 16)
t = Table()
object = t.object(path, start, end, start)
write('$name.snap', section([(t.site(t.stack((object, 0, library.call_grow())), t.thread()), 64,
	1)], t))"
done

# stack SNAP: the functions of its only stack, and its lines.
stack()
{
	"$pymalloc" report --json "$1.snap" | python3 -c "import json, sys
for frame in json.load(sys.stdin)['heaps'][0]['rows'][0]['stack']:
	file = frame['file'] and frame['file'].rpartition('/')[2]
	print(frame['function'], file, frame['line'])"
}

# stacked TEXT SNAP: the stack is this.
stacked()
{
	diff <(echo "$1") <(stack "$2")
}

outer="inner subject.c 102
subject_outer subject.c 112"
interpreter="_PyEval_EvalFrameDefault subject.c 119"
ok "functions, inlined ones too" stacked "$outer
$interpreter" right
ok "the place of functions" prints ' /.*/subject.c:102 (inner)$' "$pymalloc" report right.snap
ok "a function of C++" stacked "pym::table::grow(int) snap_cxx.cc 20" snap_cxx
ok "a function of C++, without debuginfo" stacked "pym::table::grow(int) None None" \
	snap_cxx_symbols
ok "a library without a build ID" stacked "$outer" without
ok "another library of that name" stacked "None None None" wrong
ok "its address" prints ' /.*/snap_subject.so+0x1234$' "$pymalloc" report wrong.snap
ok "a library that is gone" stacked "None None None" gone
ok "a library that is a pipe" stacked "None None None" pipe
ok "a frame that is nowhere" prints ' 0x1234$' "$pymalloc" report nowhere.snap
ok "the C library is no place" prints ' /.*/subject.c:102 (inner)$' "$pymalloc" report libc.snap
ok "the C library if there is nothing else" prints ' /lib/libc.so.6+0x10$' \
	"$pymalloc" report only-libc.snap
ok "Python frames in their places" stacked "$outer
f p.py 1
f p.py 2
$outer" fits
ok "the place is the innermost in Python" prints ' p.py:1 (f)$' "$pymalloc" report fits.snap
ok "fewer Python frames" stacked "f p.py 1
$interpreter" few
ok "more Python frames" stacked "f p.py 1
f p.py 2
$outer
f p.py 3" many
ok "Python frames without the interpreter's" stacked "$outer
f p.py 1
f p.py 2" none
ok "filter by a library" json "d['heaps'][0]['rows']" report --filter 'snap_subject*' right.snap

# Names are what a program likes.
snap "
t = Table()
s = t.site(t.stack((t.code('a\x1b[31m\"\\\\\n\udcff.py', 'f\u00e9\t'), 1)), t.thread(1, 'x\x1b]0;\x07'))
write('odd.snap', section([(s, 64, 1)], t, comm='c\x1b[2J\udcff', name='n\x07'))"
for by in line site function file thread; do
	ok "control characters, by $by" status 1 prints '[^[:print:]]' \
		"$pymalloc" report --by $by odd.snap
done
ok "control characters in JSON" json "d['heaps'][0]['comm'] == 'c\x1b[2J\ufffd' and
	d['heaps'][0]['rows'][0]['stack'][0]['file'] == 'a\x1b[31m\"\\\\\n\ufffd.py' and
	d['heaps'][0]['rows'][0]['stack'][0]['function'] == 'f\u00e9\t'" report odd.snap

# Files that are something else.
snap "
good = small()
write('long.snap', good + b'x')
write('version.snap', good[:8] + b'\x02' + good[9:])
write('huge.snap', section([(BEFORE, 0xffffffff, 2**60)]))
write('zero.snap', section([(BEFORE, 0, 1)]))
write('short.snap', good[:-1])
import struct
for name, at, value in ('rows', 112, 2**62), ('table', 128, 2**63), ('rowsize', 120, 8):
	bad = bytearray(good)
	struct.pack_into('<I' if at == 120 else '<Q', bad, at, value)
	write(name + '.snap', bad)
t = Table()
t.site(5, 6)
write('site.snap', section([], t))
t = Table()
t.add(77, b'')
write('kind.snap', section([], t))
t = Table()
t.add(CODE, struct.pack('<IIII', 1, 2**32 - 1, 4, 0) + b'ab\0\0')
write('name.snap', section([], t))"
ok "no file" says 'none.such: No such file or directory' "$pymalloc" report none.such
ok "a directory" says '/: it is not a regular file' "$pymalloc" report /
: >nothing.snap
ok "a file with nothing in it" says 'nothing.snap: it is not a snapshot' \
	"$pymalloc" report nothing.snap
ok "a file that is a pipe" says 'pipe: it is not a regular file' "$pymalloc" report ./pipe
ok "something behind it" says 'has something else behind it' "$pymalloc" report long.snap
ok "another version" says 'its version is 2, and only 1 is known' "$pymalloc" report version.snap
ok "too many bytes" says 'blocks that no heap can have' "$pymalloc" report huge.snap
ok "blocks of no size" says 'blocks that no heap can have' "$pymalloc" report zero.snap
ok "cut off" says 'its table of sites is shorter than it says' "$pymalloc" report short.snap
ok "too many rows" says 'it has fewer rows than it says' "$pymalloc" report rows.snap
ok "rows that are too short" says 'its parts are too short' "$pymalloc" report rowsize.snap
ok "too large a table" says 'shorter than it says' "$pymalloc" report table.snap
ok "a site without a stack" says 'a site has no stack' "$pymalloc" report site.snap
ok "an unknown record" says 'a record of an unknown kind' "$pymalloc" report kind.snap
ok "a name that is too long" says "a function's name is longer than its record" \
	"$pymalloc" report name.snap

ok "report of nothing" status 2 "$pymalloc" report
ok "report of two" status 2 "$pymalloc" report exact.snap exact.snap
ok "report of a file and a process" status 2 "$pymalloc" report --pid 1 exact.snap
ok "report by something else" status 2 "$pymalloc" report --by colour exact.snap
ok "report of stacks by line" status 2 "$pymalloc" report --by line --stacks exact.snap
ok "report --top of what is no number" status 2 "$pymalloc" report --top x exact.snap
ok "leaks of nothing" status 2 "$pymalloc" leaks
ok "diff of one" status 2 "$pymalloc" diff exact.snap
ok "diff of three" status 2 "$pymalloc" diff exact.snap exact.snap exact.snap
ok "growing of one" status 2 "$pymalloc" growing exact.snap
for limit in x K 1X 1KB -1 18446744073709551615K; do
	ok "diff --fail-on-growth=$limit" status 2 \
		"$pymalloc" diff "--fail-on-growth=$limit" 1.snap 2.snap
done
for line in "report exact.snap" "report --json exact.snap" "diff 1.snap 2.snap" \
	"growing 1.snap 2.snap" "leaks exact.snap"; do
	# shellcheck disable=SC2086
	ok "$line into a full disk" status 1 bash -c "'$pymalloc' $line >/dev/full"
done
finish
