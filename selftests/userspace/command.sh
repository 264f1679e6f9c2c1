#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The pymalloc command: what it prints about a heap that is in use, and how it
# ends when there is no such heap.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc

# A process with a heap full of strings. It stays while the tests look at it.
exec 3< <(exec "$pymalloc" run -- python3 -c '
import signal
kept = [str(i) * 3 for i in range(50000)]
print("ready", flush=True)
signal.pause()')
subject=$!
read -r _ <&3

# A process with two heaps, which it made with the library. One has a name that
# is not UTF-8.
exec 4< <(exec python3 -c "
import ctypes, signal
ctypes.CDLL(None).prctl(15, b'caf\xc3\xa9 \xff\xe2\x82')
library = ctypes.CDLL('$userspace/libpymalloc.so.0')
library.pymalloc_heap_create.restype = ctypes.c_void_p
print(bool(library.pymalloc_heap_create(None) and library.pymalloc_heap_create(None)), flush=True)
signal.pause()")
two=$!
read -r made_two <&4

# json EXPRESSION ARG...: the command prints JSON, and EXPRESSION is true of it.
json()
{
	local expression=$1

	shift
	"$pymalloc" "$@" --json >"$scratch/json" || return
	python3 -c "import json, sys
d = json.loads(open(sys.argv[1], 'rb').read().decode('utf-8'))
if not ($expression):
	sys.exit(json.dumps(d))" "$scratch/json"
}

heap=$("$pymalloc" ls | awk -v pid="$subject" '$2 == pid { print $1 }')

prints()
{
	grep -q -- "$1" <("${@:2}")
}

# A line for each arena, which begins with the arena's offset, and then the
# legend.
mapped()
{
	"$pymalloc" map "$heap" >"$scratch/map" || return
	! grep -q $'\e' "$scratch/map" || return
	[ "$(sed '$d' "$scratch/map" | grep -vcE '^ *0x[0-9a-f]+ \|[.0-9#mRr]{64}\|$')" = 0 ] &&
		[ "$(wc -l <"$scratch/map")" -gt 2 ] && tail -1 "$scratch/map" | grep -q 'no page' &&
		[ "$(longest "$scratch/map")" -le 80 ]
}

longest()
{
	awk 'length > n { n = length } END { print n }' "$@"
}

# at_rest CMD...: CMD succeeds.  The heap may give pages back between two looks of it, so it
# gets some more tries: until then there are none left to give back.
at_rest()
{
	for _ in {1..20}; do
		! "$@" || return 0
	done
	return 1
}

# Offsets and letters are the same as in debugfs.
mapped_as_in_debugfs()
{
	"$pymalloc" map "$heap" | sed -n 's/^ *\(0x[0-9a-f]*\) |\(.*\)|$/\1 \2/p' >"$scratch/map" &&
		sed -n 's/^ *\(0x[0-9a-f]*\) \([^ ]*\)$/\1 \2/p' \
			"/sys/kernel/debug/pymalloc/heap$heap/pools" >"$scratch/debugfs" &&
		[ -s "$scratch/map" ] && diff "$scratch/map" "$scratch/debugfs"
}

kinds_as_in_debugfs()
{
	"$pymalloc" map "$heap" --json |
		python3 -c "import json, sys
for arena in json.load(sys.stdin)['arenas']:
	print(hex(arena['offset']), arena['kind'])" >"$scratch/map" &&
		awk '/^ *0x/ { print $1, $2 }' \
			"/sys/kernel/debug/pymalloc/heap$heap/arenas" >"$scratch/debugfs" &&
		[ -s "$scratch/map" ] && diff "$scratch/map" "$scratch/debugfs"
}

# narrow COLUMNS POOLS: a line of the map has so many pools, and fits.
narrow()
{
	COLUMNS=$1 "$pymalloc" map "$heap" >"$scratch/map" || return
	[ "$(longest "$scratch/map")" -le "$1" ] &&
		[ "$(grep -cE "^ *(0x[0-9a-f]+)? \|.{$2}\|\$" "$scratch/map")" = \
			"$(($("$pymalloc" map "$heap" | grep -c '|$') * 64 / $2))" ]
}

# terminal COMMAND: the output of COMMAND on a terminal of 60 columns.
terminal()
{
	script -qec "stty cols 60; $1" /dev/null </dev/null | tr -d '\r'
}

fits_a_terminal()
{
	terminal "TERM=dumb $pymalloc map $heap" >"$scratch/map" &&
		grep -q '|$' "$scratch/map" && [ "$(longest "$scratch/map")" -le 60 ]
}

# colours VARIABLE=VALUE...: how many lines of the map have colours on a
# terminal.
colours()
{
	terminal "env $* $pymalloc map $heap" | grep -c $'\e'
}

# full CMD...: the disk that CMD writes to is full.
full()
{
	"$@" >/dev/full
}

# says MESSAGE CMD...: CMD fails and says why.
says()
{
	local message=$1

	shift
	status 1 "$@" 2>"$scratch/stderr" || return
	cat "$scratch/stderr"
	grep -q -- "$message" "$scratch/stderr"
}

# column COLUMN ARG...: what ls prints in this column, one line for each heap.
column()
{
	"$pymalloc" ls --noheadings --raw --bytes --output "$@"
}

sorted()
{
	column "$1" --sort "$1" >"$scratch/sorted" && sort "$2" -c "$scratch/sorted" &&
		[ "$(wc -l <"$scratch/sorted")" -ge 3 ]
}

# The sums are those of the list before them. It is one list: from one call to the next,
# heaps give memory back by themselves.
summed_up()
{
	"$pymalloc" ls --noheadings --bytes --output USED --summary=always >"$scratch/sum" &&
		awk '/^ *[0-9]+$/ { heaps++; used += $1 }
		/^Heaps:/ { right = $2 == heaps }
		/^Bytes of objects:/ { exit !(right && heaps > 0 && $4 == used) }' "$scratch/sum"
}

only_summed_up()
{
	"$pymalloc" ls --bytes --summary=only >"$scratch/sum" &&
		[ "$(wc -l <"$scratch/sum")" = 3 ] && head -n 1 "$scratch/sum" | grep -q '^Heaps: *[1-9]'
}

# The bars of pools that share a page are in proportion to all blocks of the page.
bars_of_meshed_pools()
{
	local offset

	offset=$("$pymalloc" map --pid "$sparse" | sed -n '0,/|.*m/s/^ *\(0x[0-9a-f]*\) |.*m.*/\1/p')
	[ -n "$offset" ] && json "[p for p in d['pools'] if p['meshed']] and
		all(len(p['blocks']) == 32 and
			p['blocks'].count('#') == p['allocated'] * 32 // (4096 // p['size']) and
			p['blocks'].count('m') >= 32 - 32 * (p['allocated'] + p['free']) // (4096 // p['size'])
		for p in d['pools'] if p['meshed'])" map --pid "$sparse" "$offset"
}

# policy OPTIONS MS KEEP DECAY STEAL MESH: after these options, this is in force.
policy()
{
	# shellcheck disable=SC2086
	"$pymalloc" policy --bytes --pid "$sparse" $1 >"$scratch/set" &&
		"$pymalloc" policy --bytes --pid "$sparse" >"$scratch/asked" &&
		diff "$scratch/set" "$scratch/asked" &&
		diff - <(awk 'NR > 1 { print $2 }' "$scratch/asked" | xargs) <<<"${*:2}"
}

as_nobody()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

ok "the subjects are there" test -n "$heap" -a "$made_two" = True

ok "ls" prints "^ *$heap *$subject root *python3 *malloc " "$pymalloc" ls
ok "ls --json" json "[h for h in d['heaps'] if h['heap'] == $heap and
	h['pid'] == $subject and h['command'] == 'python3' and h['user'] == 'root' and
	0 < h['used'] <= h['bytes'] and 0 <= h['frag'] <= 100 and h['shared'] == 0]" ls
ok "ls --json of a name that is not UTF-8" json \
	"[h for h in d['heaps'] if h['pid'] == $two and h['command'].startswith('caf')]" ls
ok "ls -o" test "$(column heap,pid,Uid | grep -w "$subject")" = "$heap $subject 0"
ok "ls -o +" prints '^HEAP .* FRAG  *LIMIT$' "$pymalloc" ls -o +LIMIT
ok "ls -o in JSON" json "all(set(h) == {'uid', 'limit'} and h['limit'] is None
	for h in d['heaps'])" ls -o UID,LIMIT
ok "ls -n" status 1 prints HEAP "$pymalloc" ls -n
ok "ls sorts numbers" sorted BYTES -n
ok "ls sorts by what is not shown" test "$(column PID --sort HEAP)" = "$(column PID)"
ok "ls sorts names" sorted COMMAND -f
ok "ls --bytes" prints '^[0-9]*$' column BYTES
ok "ls has no summary by itself" status 1 prints '^Heaps: ' "$pymalloc" ls
ok "ls --summary=never" status 1 prints '^Heaps: ' "$pymalloc" ls --summary=never
ok "ls --summary=always has the list" prints "^ *$heap " "$pymalloc" ls --summary=always
ok "ls --summary=always" prints '^Heaps: ' "$pymalloc" ls --summary=always
ok "ls --summary=always sums up" summed_up
ok "ls --summary=only" only_summed_up
ok "ls without heaps" test "$(as_nobody "$pymalloc" ls -o HEAP,PID)" = "HEAP PID"
ok "ls -n without heaps" test -z "$(as_nobody "$pymalloc" ls -n)"

ok "show" prints "^NAME  *malloc" "$pymalloc" show "$heap"
ok "show --pid" prints "^HEAP  *$heap" "$pymalloc" show --pid "$subject"
ok "show --bytes" prints "^BYTES  *[0-9]*$" "$pymalloc" show --bytes "$heap"
ok "show --json" json "d['heap']['heap'] == $heap and d['heap']['limit'] is None and
	d['heap']['alignment'] == 16 and d['heap']['blocks'] > 50000 and
	sum(c['blocks'] for c in d['classes']) == d['heap']['blocks'] and
	sum(c['bytes'] for c in d['classes']) == d['heap']['block_bytes']" show "$heap"

ok "show --json has types" json "d['types'] == []" show "$heap"

# A program that has types, and waits.
mkfifo "$scratch/enter"
"$here/../../examples/types" <>"$scratch/enter" >"$scratch/types" &
typed=$!
until grep -q Enter "$scratch/types"; do
	sleep 0.1
done
ok "ls --types" prints "^ *[0-9]* *$typed *1 float *24 *100 off *0 *100 *8800 " "$pymalloc" ls --types
ok "ls --types of pools of their own" prints "^ *[0-9]* *$typed *4 dict *48 *80 *on " "$pymalloc" \
	ls --types
ok "ls --types --json" json "[t for t in d['types'] if t['pid'] == $typed and t['name'] == 'list' and
	t['kept'] == 80 and t['constructed'] == 8840 and t['own'] is False]" ls --types
ok "ls --types -o" prints '^NAME *POOLS$' "$pymalloc" ls --types -o NAME,POOLS
ok "ls --types of a heap's column" status 2 "$pymalloc" ls --types -o FRAG
ok "ls --types --sort" prints "^dict" "$pymalloc" ls --types -n -o NAME --sort NAME
ok "ls of a type's column" status 2 "$pymalloc" ls -o KEPT
ok "ls --types --summary" status 2 "$pymalloc" ls --types --summary
ok "show of types" prints "^ *2 pair *56 *16 *2000 off *0 *2000 *5000 " "$pymalloc" show \
	--pid "$typed"
ok "show --json of types" json "[t['name'] for t in d['types']] == ['float', 'pair', 'list', 'dict'] and
	'heap' not in d['types'][0] and d['types'][3]['pools'] > 0" show --pid "$typed"
echo >"$scratch/enter"
wait "$typed"

# Two processes with a shared heap, of which one dies.
ok "show --json has clients and names" json "d['clients'] == [] and d['names'] == []" \
	show "$heap"
exec 5< <(PYTHONPATH=$userspace/python exec python3 -B -c '
import os, signal
from pymalloc import shared
heap = shared.Heap.create("common")
heap.publish("first", b"x" * 100)
heap.publish("second", 2)
go, gone = os.pipe()
child = os.fork()
if not child:
	heap.publish("of the child", list(range(1000)))
	view = heap.lookup_view("first")
	os.write(gone, b"x")
	signal.pause()
os.read(go, 1)
heap.give(next(c.number for c in heap.clients() if c.pid == child), "for you")
print(heap.id, child, flush=True)
signal.pause()')
sharing=$!
read -r common child <&5
ok "ls tells shared heaps from others" prints "^ *$common shared$" "$pymalloc" ls -o HEAP,KIND
ok "ls tells private heaps from others" prints "^ *$heap private$" "$pymalloc" ls -o HEAP,KIND
ok "ls --json tells them apart" json "{h['heap']: h['kind'] for h in d['heaps']}[$common] == 'shared'" \
	ls -o HEAP,KIND
ok "show of clients" prints "^ *1 *$sharing *0 *0 *none *0 *1 python3$" "$pymalloc" show "$common"
ok "show of a client that holds something" prints "^ *2 *$child *0 *1 *none *1 *1 python3$" \
	"$pymalloc" show "$common"
ok "show of names" prints "^first *0x[0-9a-f]* *128B\?$" "$pymalloc" show "$common"
ok "show of a name with blanks" prints "^of the child *0x[0-9a-f]* .*K$" "$pymalloc" show "$common"
ok "show of a private heap has no names" status 1 prints '^NAME *REF' "$pymalloc" show "$heap"
ok "show --json of clients" json "[(c['client'], c['pid'], c['holds'], c['inbox'], c['limit'])
	for c in d['clients']] == [(1, $sharing, 0, 0, None), (2, $child, 1, 1, None)]" show "$common"
ok "show --json of names" json "[n['name'] for n in d['names']] == ['first', 'of the child', 'second'] and
	d['names'][0]['size'] == 128 and d['names'][0]['ref'] % 16 == 0" show "$common"
kill -9 "$child"
ok "a client that has died is not shown" at_rest json "[c['pid'] for c in d['clients']] == [$sharing] and
	[n['name'] for n in d['names']] == ['first', 'of the child', 'second']" show "$common"
kill "$sharing"
exec 5<&-

ok "map" mapped
ok "map is as in debugfs" at_rest mapped_as_in_debugfs
ok "map has debugfs' names for arenas" kinds_as_in_debugfs
ok "map with COLUMNS" narrow 50 32
ok "map with few COLUMNS" narrow 28 8
ok "map fits a terminal" fits_a_terminal
ok "map is in colour on a terminal" test "$(colours TERM=linux NO_COLOR=)" -gt 1
ok "map is not with NO_COLOR" test "$(colours TERM=linux NO_COLOR=1)" = 0
ok "map is not on a dumb terminal" test "$(colours TERM=dumb NO_COLOR=)" = 0
ok "map --json" json "len(d['arenas']) > 1 and
	all(len(a['pools']) == 64 and a['kind'] == 'object' for a in d['arenas'])" map "$heap"
ok "map of an arena" prints '^0x40000 \(used\|full\) .* ##*[-.]*$' "$pymalloc" map "$heap" 0x40000
ok "map of a ref's arena" prints '^0x7f000 ' "$pymalloc" map "$heap" 0x40010
ok "map --json of an arena" json "len(d['pools']) == 64" map "$heap" 0x40000

ok "check" prints "^heap $heap: sound$" "$pymalloc" check "$heap"
ok "check --json" json "d['check'] == {'heap': $heap, 'errors': 0, 'offset': None,
	'message': None}" check --pid "$subject"
ok "trim" prints "^heap $heap: [0-9]* bytes given back$" "$pymalloc" trim "$heap"
ok "trim --json" json "d['trim']['heap'] == $heap and d['trim']['released'] >= 0" trim "$heap"
ok "compact" prints "^heap $heap: [0-9]* bytes given back$" "$pymalloc" compact "$heap"
ok "compact --json" json "d['compact']['heap'] == $heap and d['compact']['released'] >= 0 and
	d['compact']['pinned'] == 0" compact "$heap"

# A process whose heap has many sparse pools.
exec 5< <(exec "$pymalloc" run -- python3 -c '
import random, signal
random.seed(1)
objects = [str(i) * 10 for i in range(100000, 150000)]
kept = random.sample(objects, 1000)
del objects
print("ready", flush=True)
signal.pause()')
sparse=$!
read -r _ <&5

"$pymalloc" compact --pid "$sparse" >"$scratch/compact"
ok "map of meshed pools" bars_of_meshed_pools

ms=$(</sys/module/pymalloc/parameters/decay_ms)
keep=$(</sys/module/pymalloc/parameters/keep_bytes)
ok "policy" policy "" "$ms" "$keep" on on on
ok "policy --no-mesh" policy --no-mesh "$ms" "$keep" on on off
ok "policy keeps what is not given" policy "--decay-ms 77 --no-steal" 77 "$keep" on off off
ok "policy --keep" policy "--keep=5000 --no-decay" 77 4096 off off off
ok "policy --mesh --steal --decay" policy "--mesh --steal --decay" 77 4096 on on on
ok "policy --decay-ms 0" policy "--decay-ms 0" "$ms" 4096 on on on
ok "policy --keep 0" policy "--keep 0 --no-mesh" "$ms" 0 on on off
ok "policy in show" prints '^MESH  *off$' "$pymalloc" show --pid "$sparse"
ok "policy in show --json" json "d['heap']['mesh'] is False and d['heap']['steal'] is True and
	d['heap']['decay_ms'] == $ms and d['heap']['keep'] == 0" show --pid "$sparse"
ok "policy --json" json "d['policy'].pop('heap') > 0 and d['policy'] == {'decay_ms': $ms,
	'keep': 0, 'decay': True, 'steal': True, 'mesh': False}" policy --pid "$sparse"
ok "policy --reset" policy --reset "$ms" "$keep" on on on
for options in "--mesh --no-mesh" "--reset --mesh" "--reset --keep 0" "--keep 1T" \
	"--decay-ms 9" "--decay-ms 86400001" "--decay-ms 4294967297" "--decay-ms -1"; do
	# shellcheck disable=SC2086
	ok "policy $options" status 2 "$pymalloc" policy --pid "$sparse" $options
done
ok "policy of another user's heap" says "heap $heap is not yours to look at" \
	as_nobody "$pymalloc" policy "$heap" --no-mesh
ok "policy of a heap that nobody has set" prints '^MESH  *on$' "$pymalloc" policy "$heap"
ok "a wrong line changes nothing" policy "" "$ms" "$keep" on on on

# A process that is killed, and what is kept of its heap.
# Its heap ends a little later than the process.
killed()
{
	echo 5 >/sys/module/pymalloc/parameters/keep_dead
	"$pymalloc" run -- python3 -c '
import os, signal
kept = [str(i) * 3 for i in range(20000)]
os.kill(os.getpid(), signal.SIGKILL)'
	for _ in $(seq 6000); do
		dead=$("$pymalloc" ls --dead -nr -o HEAP)
		[ -z "$dead" ] || break
		sleep 0.01
	done
	[ -n "$dead" ]
}

# keeps_none LINE: nothing is in the list but headings, and the reason is LINE, if any.
keeps_none()
{
	"$pymalloc" ls --dead >out 2>why && cat out why && [ "$(wc -l <out)" = 1 ] &&
		[ "$(wc -l <why)" = "${1:+1}" ] && grep -q "$1" why
}

ok "no dead heaps, and why" keeps_none 'keep_dead is 0$'
ok "a process is killed" killed
ok "ls --dead" prints "^ *$dead .*SIGKILL\$" "$pymalloc" ls --dead
ok "ls --dead --json" json "[(h['heap'], h['cause'], h['bytes'], h['used'] > 1000000)
	for h in d['heaps']] == [($dead, 'SIGKILL', 0, True)]" ls --dead -o HEAP,CAUSE,BYTES,USED
ok "ls does not list the dead" bash -c "! '$pymalloc' ls -nr -o HEAP | grep -qx '$dead'"
ok "show of a dead heap" json "d['heap']['bytes'] == 0 and d['heap']['blocks'] > 20000" show "$dead"
ok "map of a dead heap" prints '|[#1-9.]*|$' "$pymalloc" map "$dead"
ok "check of a dead heap" prints "^heap $dead: sound$" "$pymalloc" check "$dead"
ok "trim of a dead heap" says "heap $dead is dead: it cannot be changed" "$pymalloc" trim "$dead"
ok "forget of another user's heap" says "heap $dead is not yours" \
	as_nobody "$pymalloc" forget "$dead"
ok "forget of a living heap" says "no dead heap has the number $heap" "$pymalloc" forget "$heap"
ok "forget" prints '^1 dead heap forgotten$' "$pymalloc" forget "$dead"
ok "forget --all" json "d['forget']['forgotten'] == 0" forget --all
ok "forget nothing" status 2 "$pymalloc" forget
ok "forget too much" status 2 "$pymalloc" forget --all 1
echo 0 >/sys/module/pymalloc/parameters/keep_dead

for command in "" run ls show map check forget trim compact policy stat record export trace \
	snapshot report diff growing leaks convert serve plot top; do
	# shellcheck disable=SC2086
	ok "$command --help" prints '^Usage: pymalloc' "$pymalloc" $command --help
	# shellcheck disable=SC2086
	ok "$command -h" prints '^Usage: pymalloc' "$pymalloc" $command -h
	# shellcheck disable=SC2086
	ok "help $command" prints "^Usage: pymalloc $command" "$pymalloc" help $command
	# shellcheck disable=SC2086
	ok "$command --help into a full disk" status 1 full "$pymalloc" $command --help
	# shellcheck disable=SC2086
	ok "$command with an unknown option" status 2 "$pymalloc" $command --no-such
done
for option in -V --version; do
	ok "$option" prints '^pymalloc [0-9]' "$pymalloc" $option
	ok "run $option" prints '^pymalloc [0-9]' "$pymalloc" run $option
	ok "$option tells the module's version" \
		prints "^module $(</sys/module/pymalloc/version)\$" "$pymalloc" $option
done
ok "no command" status 2 "$pymalloc"
ok "an unknown command" status 2 "$pymalloc" nothing
ok "run nothing" status 2 "$pymalloc" run --
ok "help of an unknown command" status 2 "$pymalloc" help nothing
ok "ls with an argument" status 2 "$pymalloc" ls 1
ok "ls with an unknown column" status 2 "$pymalloc" ls -o HEAP,NOTHING
ok "ls with an unknown column to sort by" status 2 "$pymalloc" ls --sort NOTHING
ok "ls --summary of something else" status 2 "$pymalloc" ls --summary=some
ok "ls --summary in JSON" status 2 "$pymalloc" ls --summary=always --json
ok "ls in two formats" status 2 "$pymalloc" ls --raw --json
ok "ls into a full disk" says 'No space left on device' full "$pymalloc" ls
ok "ls --json into a full disk" status 1 full "$pymalloc" ls --json
ok "ls of nothing into a full disk" as_nobody bash -c "! '$pymalloc' ls >/dev/full"
for command in show map check trim compact policy; do
	ok "$command without a heap" status 2 "$pymalloc" $command
	ok "$command of what is no number" status 2 "$pymalloc" $command 1x
	ok "$command of too much" status 2 "$pymalloc" $command 1 2 3
	ok "$command of two heaps" status 2 "$pymalloc" $command 1 --pid 1
	ok "$command of no heap" status 1 "$pymalloc" $command 999999
	ok "$command of no process" says 'there is no process 999999999' \
		"$pymalloc" $command --pid 999999999
	ok "$command of what cannot be a process" status 2 "$pymalloc" $command --pid 0
	ok "$command of a process without a heap" says "process $$ has no heap" \
		"$pymalloc" $command --pid $$
	ok "$command of a process with two" says "process $two has several heaps" \
		"$pymalloc" $command --pid "$two"
	ok "$command into a full disk" status 1 full "$pymalloc" $command "$heap"
	ok "$command --json into a full disk" status 1 full "$pymalloc" $command --json "$heap"
	ok "$command of another user's heap" says "heap $heap is not yours to look at" \
		as_nobody "$pymalloc" $command "$heap"
	ok "$command of another user's process" says "process $subject is not yours to look at" \
		as_nobody "$pymalloc" $command --pid "$subject"
done
ok "heaps of a process are named" test "$("$pymalloc" show --pid "$two" 2>&1 |
	sed -n 's/^  \([0-9]*\) .*/\1/p')" = "$(column HEAP,PID | awk -v pid="$two" '$2 == pid { print $1 }')"
ok "a user's process without a heap" says "has no heap" \
	as_nobody bash -c "'$pymalloc' show --pid \$\$"
ok "map of no arena" status 1 "$pymalloc" map "$heap" 0xfffffff0000
ok "map of an arena out of reach" status 1 "$pymalloc" map "$heap" 0xffffffffffffffff

ok "others do not see the heap" as_nobody bash -c "! '$pymalloc' ls | grep -q '^ *$heap '"
ok "a user sees the heaps of his own" as_nobody "$pymalloc" run -- python3 -c "
import os, subprocess
subprocess.run(['$pymalloc', 'check', '--pid', str(os.getpid())], check=True)"

ok "run passes the exit status on" status 7 "$pymalloc" run -- sh -c 'exit 7'
ok "run of no program" status 127 "$pymalloc" run /no/such/program
ok "run of no program in PATH" status 127 "$pymalloc" run no-such-program
ok "run of what is no program" status 126 "$pymalloc" run /
ok "run of what may not be run" status 126 "$pymalloc" run "$scratch/json"
ok "run leaves options to the program" prints '^-l --json$' "$pymalloc" run echo -l --json
ok "run sets PYTHONMALLOC" prints '^PYTHONMALLOC=malloc$' "$pymalloc" run env
ok "run leaves PYTHONMALLOC" prints '^PYTHONMALLOC=debug$' \
	env PYTHONMALLOC=debug "$pymalloc" run env
ok "run --debug" prints '^PYMALLOC_DEBUG=debug$' "$pymalloc" run --debug -- env
ok "run --strict" prints '^PYMALLOC_DEBUG=strict$' \
	env PYMALLOC_DEBUG=debug "$pymalloc" run -s env
ok "run --debug --debug" prints '^PYMALLOC_DEBUG=debug$' "$pymalloc" run -dd env
for options in "--debug --strict" -sd; do
	# shellcheck disable=SC2086
	ok "run $options" status 2 "$pymalloc" run $options -- env
done
ok "run without either" status 1 prints '^PYMALLOC_DEBUG' "$pymalloc" run env
ok "run preloads in front of others" \
	prints '^LD_PRELOAD=.*/libpymalloc-malloc.so:libm.so.6$' \
	env LD_PRELOAD=libm.so.6 "$pymalloc" run env

# The loader of a program decides whether the shim may be preloaded. This file
# is glibc's loader under the name of musl's, so that the program can tell what
# it has got.
ln -s /lib64/ld-linux-x86-64.so.2 /lib/ld-musl-x86_64.so.1
sed 's|/lib64/ld-linux-x86-64.so.2|/lib/ld-musl-x86_64.so.1\x00\x00\x00|' /bin/bash \
	>"$scratch/musl"
printf '#!%s\nenv\n' "$scratch/musl" >"$scratch/script"
printf '#! %s -\n' "$scratch/script" >"$scratch/script2"
# An ELF file of 32 bits.
{ printf '\177ELF\1\1\1' && head -c 57 /dev/zero; } >"$scratch/x86"
chmod +x "$scratch"/{musl,script,script2,x86}

# without PATTERN CMD...: run says so, and CMD finds no shim in its environment.
without()
{
	"$pymalloc" run "${@:2}" >"$scratch/output" 2>"$scratch/stderr" || return
	cat "$scratch/stderr"
	[ "$(wc -l <"$scratch/stderr")" = 1 ] && grep -q -- "$1" "$scratch/stderr" &&
		! grep -q LD_PRELOAD "$scratch/output"
}

for script in "" script script2; do
	ok "run of a program with musl $script" without ': its C library is not glibc$' \
		"$scratch/${script:-musl}" -c env
done
ok "run of a 32-bit program" prints ': it is for another kind of machine$' \
	bash -c "'$pymalloc' run '$scratch/x86' 2>&1"
ok "run of a static program: its children have the shim" prints '^LD_PRELOAD=' \
	"$pymalloc" run /run/busybox env
ok "run of a static program says so" prints ' statically' \
	bash -c "'$pymalloc' run /run/busybox true 2>&1"

ok "the heap goes with its process" bash -c "kill $subject; tail -f /dev/null --pid $subject -s 0.1
	'$pymalloc' show $heap; [ \$? = 1 ]"
kill "$two" "$sparse"
finish
