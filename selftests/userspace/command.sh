#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The pymalloc command: what it prints of a heap that is in use, and how it
# ends when it is asked for what is not there.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc

# A process with a heap full of strings, which stays while we look.
exec 3< <(exec "$pymalloc" run -- python3 -c '
import signal
kept = [str(i) * 3 for i in range(50000)]
print("ready", flush=True)
signal.pause()')
subject=$!
read -r _ <&3

# A process with two heaps, which it made with the library.
exec 4< <(exec python3 -c "
import ctypes, signal
library = ctypes.CDLL('$userspace/libpymalloc.so.0')
library.pymalloc_heap_create.restype = ctypes.c_void_p
print(bool(library.pymalloc_heap_create(None) and library.pymalloc_heap_create(None)), flush=True)
signal.pause()")
two=$!
read -r made_two <&4

# json EXPRESSION ARG...: what the command prints is JSON, and EXPRESSION of it
# is true.
json()
{
	local expression=$1

	shift
	"$pymalloc" "$@" --json >"$scratch/json" || return
	python3 -m json.tool "$scratch/json" >/dev/null || return
	python3 -c "import json, sys
d = json.load(open(sys.argv[1]))
if not ($expression):
	sys.exit(json.dumps(d))" "$scratch/json"
}

heap=$("$pymalloc" ls | awk -v pid="$subject" '$2 == pid { print $1 }')

prints()
{
	grep -q -- "$1" <("${@:2}")
}

mapped()
{
	"$pymalloc" map "$heap" >"$scratch/map" || return
	! grep -q $'\e' "$scratch/map" || return
	# Every line is an arena but the last, the legend.
	[ "$(sed '$d' "$scratch/map" | grep -vcE '^ *[0-9]+ \|[._1-9#R=]{64}\|$')" = 0 ] &&
		[ "$(wc -l <"$scratch/map")" -gt 2 ] && tail -1 "$scratch/map" | grep -q 'no page'
}

# colours VARIABLE=VALUE...: how many the map has on a terminal.
colours()
{
	env "$@" script -qec "$pymalloc map $heap" /dev/null </dev/null | grep -c $'\e'
}

# full CMD...: the disk that it writes to has no room.
full()
{
	"$@" >/dev/full
}

# says MESSAGE CMD...: it fails, and says why.
says()
{
	local message=$1

	shift
	status 1 "$@" 2>"$scratch/stderr" || return
	cat "$scratch/stderr"
	grep -q -- "$message" "$scratch/stderr"
}

as_nobody()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

ok "the subjects are there" test -n "$heap" -a "$made_two" = True

ok "ls" prints "^ *$heap *$subject python3 *malloc " "$pymalloc" ls
ok "ls --json" json "[h for h in d['heaps'] if h['heap'] == $heap and
	h['pid'] == $subject and h['command'] == 'python3' and
	0 < h['used'] <= h['bytes'] and 0 <= h['frag'] <= 100]" ls

ok "show" prints "^NAME  *malloc" "$pymalloc" show "$heap"
ok "show --pid" prints "^HEAP  *$heap" "$pymalloc" show --pid "$subject"
ok "show --json" json "d['heap'][0]['heap'] == $heap and
	d['heap'][0]['alignment'] == 16 and d['heap'][0]['blocks'] > 50000 and
	sum(c['blocks'] for c in d['classes']) == d['heap'][0]['blocks'] and
	sum(c['bytes'] for c in d['classes']) == d['heap'][0]['block_bytes']" show "$heap"

ok "map" mapped
ok "map is in colour on a terminal" test "$(colours NO_COLOR=)" -gt 1
ok "map is not with NO_COLOR" test "$(colours NO_COLOR=1)" = 0
ok "map --json" json "len(d['arenas']) > 1 and
	all(len(a['pools']) == 64 and a['kind'] == 'object' for a in d['arenas'])" map "$heap"
ok "map of an arena" prints '^ *0  *0x40000 \(used\|full\) .* ##*[-.]*$' "$pymalloc" map "$heap" 1
ok "map --json of an arena" json "len(d['pools']) == 64" map "$heap" 1

ok "check" prints "^heap $heap: sound$" "$pymalloc" check "$heap"
ok "check --json" json "d['check'][0]['errors'] == 0" check --pid "$subject"
ok "trim" prints "^heap $heap: [0-9]* bytes given back$" "$pymalloc" trim "$heap"
ok "trim --json" json "d['trim'][0]['released'] >= 0" trim "$heap"

for command in "" run ls show map check trim; do
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
ok "no command" status 2 "$pymalloc"
ok "an unknown command" status 2 "$pymalloc" nothing
ok "run nothing" status 2 "$pymalloc" run --
ok "help of an unknown command" status 2 "$pymalloc" help nothing
ok "ls with an argument" status 2 "$pymalloc" ls 1
ok "ls into a full disk" says 'No space left on device' full "$pymalloc" ls
ok "ls --json into a full disk" status 1 full "$pymalloc" ls --json
for command in show map check trim; do
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
	sed -n 's/^  \([0-9]*\) .*/\1/p')" = "$("$pymalloc" ls | awk -v pid="$two" '$2 == pid { print $1 }')"
ok "a user's process without a heap" says "has no heap" \
	as_nobody bash -c "'$pymalloc' show --pid \$\$"
ok "map of no arena" status 1 "$pymalloc" map "$heap" 999999
ok "map of an arena out of reach" status 1 "$pymalloc" map "$heap" 0xffffffffffffffff

ok "others do not see the heap" as_nobody bash -c "! '$pymalloc' ls | grep -q '^ *$heap '"
ok "a user sees the heaps of his own" as_nobody "$pymalloc" run -- python3 -c "
import os, subprocess
subprocess.run(['$pymalloc', 'check', '--pid', str(os.getpid())], check=True)"

ok "run passes the exit status on" status 7 "$pymalloc" run -- sh -c 'exit 7'
ok "run of no program" status 1 "$pymalloc" run /no/such/program
ok "run leaves options to the program" prints '^-l --json$' "$pymalloc" run echo -l --json
ok "run sets PYTHONMALLOC" prints '^PYTHONMALLOC=malloc$' "$pymalloc" run env
ok "run leaves PYTHONMALLOC" prints '^PYTHONMALLOC=debug$' \
	env PYTHONMALLOC=debug "$pymalloc" run env
ok "run --debug" prints '^PYMALLOC_DEBUG=debug$' "$pymalloc" run --debug -- env
ok "run --strict" prints '^PYMALLOC_DEBUG=strict$' \
	env PYMALLOC_DEBUG=debug "$pymalloc" run -s env
ok "run without either" status 1 prints '^PYMALLOC_DEBUG' "$pymalloc" run env
ok "run preloads in front of others" \
	prints '^LD_PRELOAD=.*/libpymalloc-malloc.so:libm.so.6$' \
	env LD_PRELOAD=libm.so.6 "$pymalloc" run env

ok "the heap goes with its process" bash -c "kill $subject; tail -f /dev/null --pid $subject -s 0.1
	'$pymalloc' show $heap; [ \$? = 1 ]"
kill "$two"
finish
