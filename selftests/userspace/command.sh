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
	ok "$command with an unknown option" status 2 "$pymalloc" $command --no-such
done
ok "no command" status 2 "$pymalloc"
ok "an unknown command" status 2 "$pymalloc" nothing
ok "run nothing" status 2 "$pymalloc" run --
ok "ls with an argument" status 2 "$pymalloc" ls 1
for command in show map check trim; do
	ok "$command without a heap" status 2 "$pymalloc" $command
	ok "$command of what is no number" status 2 "$pymalloc" $command 1x
	ok "$command of too much" status 2 "$pymalloc" $command 1 2 3
	ok "$command of two heaps" status 2 "$pymalloc" $command 1 --pid 1
	ok "$command of no heap" status 1 "$pymalloc" $command 999999
	ok "$command of a process without a heap" status 1 "$pymalloc" $command --pid $$
	ok "$command of a process with two" status 1 "$pymalloc" $command --pid "$two"
done
ok "map of no arena" status 1 "$pymalloc" map "$heap" 999999
ok "map of an arena out of reach" status 1 "$pymalloc" map "$heap" 0xffffffffffffffff

ok "others do not see the heap" as_nobody bash -c "! '$pymalloc' ls | grep -q '^ *$heap '"
ok "others cannot look at it" status 1 as_nobody "$pymalloc" show "$heap"
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
ok "run without either" status 1 prints '^PYMALLOC_DEBUG' "$pymalloc" run env
ok "run preloads in front of others" \
	prints '^LD_PRELOAD=.*/libpymalloc-malloc.so:libm.so.6$' \
	env LD_PRELOAD=libm.so.6 "$pymalloc" run env

# What the loader of a program is decides whether the shim may be preloaded.  This
# is glibc's by the name of musl's, so that the program can tell what it has got.
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
kill "$two"
finish
