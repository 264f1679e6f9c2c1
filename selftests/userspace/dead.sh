#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a traced program has allocated where is still to be seen when it has died: reports say
# the same as just before.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
parameters=/sys/module/pymalloc/parameters
cd "$scratch" || exit 1
before=$(cat $parameters/keep_dead)
echo 64 >$parameters/keep_dead
trap 'echo "$before" >$parameters/keep_dead; "$pymalloc" forget --all >/dev/null; rm -rf "$scratch"' EXIT

# Blocks that stay, and many that were freed just now: they lie in magazines.
cat >doomed.py <<'END'
import os, sys, threading
kept = []
def strings():
    kept.extend([str(i) + "x" * 40 for i in range(1234)])
def pairs():
    kept.extend([bytes(20) for i in range(700)])
def passing():
    for size in range(0, 480, 16):
        gone = [bytes(size) for i in range(60)]
strings()
worker = threading.Thread(target=pairs)
worker.start()
worker.join()
passing()
print("ready", flush=True)
# A signal ends it, or this does, without an end of Python's.
os._exit(int(sys.stdin.readline()))
END

# begin [ARG...]: a traced program that waits.
begin()
{
	coproc SUBJECT { exec "$pymalloc" run "$@" -- python3 -S doomed.py; }
	subject=$SUBJECT_PID
	exec {to}>&"${SUBJECT[1]}" {from}<&"${SUBJECT[0]}"
	read -r answer <&"$from" && [ "$answer" = ready ] || return
	heap=$("$pymalloc" ls -nro HEAP,PID | awk -v pid="$subject" '$2 == pid { print $1 }')
	[ -n "$heap" ] && "$pymalloc" policy "$heap" --no-decay --no-steal --no-mesh >policy.txt
}

# die SIGNAL|STATUS: the program ends by that, and its heap is dead.
die()
{
	local found=""

	if [[ $1 = [0-9]* ]]; then
		echo "$1" >&"$to"
	else
		kill -s "$1" "$subject"
	fi
	wait "$subject"
	until [ -n "$found" ]; do
		found=$("$pymalloc" ls --dead -no HEAP,PID,CAUSE | awk -v heap="$heap" '$1 == heap')
	done
	echo "$found"
	[[ $found =~ ^\ *$heap\ +$subject\ +$2$ ]]
}

# look NAME: everything that is to be the same.
look()
{
	"$pymalloc" snapshot -o "$1.snap" "$heap" &&
		"$pymalloc" report --bytes --top 0 "$heap" >"$1.report" &&
		"$pymalloc" report --bytes --top 0 "$1.snap" >"$1.file" &&
		"$pymalloc" report --top 0 --by thread "$heap" >"$1.threads" &&
		"$pymalloc" report --temporary --top 0 "$heap" >"$1.temporary" &&
		"$pymalloc" leaks --older-than 0 --bytes --top 0 "$heap" >"$1.leaks" &&
		"$pymalloc" report --json "$heap" >"$1.json"
}

# lines FILE: without the heading, which has the time and bytes of pages, and without what is
# said about magazines.
lines()
{
	sed '1,/^$/d; / in magazines, /d' "$1" | sed '/^$/d'
}

same()
{
	local kind

	for kind in report file threads temporary leaks; do
		[ -n "$(lines "before.$kind")" ] && diff <(lines "before.$kind") \
			<(lines "after.$kind") || return
	done
	[ "$(lines after.report)" = "$(lines after.file)" ] && python3 - <<'END'
import json
def rows(name):
    (heap,) = json.load(open(name + ".json"))["heaps"]
    heap_of = {key: heap[key] for key in ("heap", "pid", "comm", "mode", "interval", "start")}
    found = [{key: row[key] for key in row if key != "age_s"} for row in heap["rows"]]
    return heap_of, [row for row in found if not row["cached"]], \
        sum(row["blocks"] for row in found if row["cached"])
before, after = rows("before"), rows("after")
assert before[:2] == after[:2], (before, after)
# What lay in magazines is free.
assert before[2] > 50 and after[2] == 0, (before[2], after[2])
END
}

# What lines 4 and 6 of the program have made is there.
made()
{
	python3 - <<'END'
import json
made = {row["stack"][0]["line"]: row["blocks"]
        for row in json.load(open("after.json"))["heaps"][0]["rows"]
        if row["stack"] and (row["size"], row["stack"][0]["line"]) in ((96, 4), (64, 6))}
assert made == {4: 1234, 6: 700}, made
END
}

# dies SIGNAL|STATUS CAUSE
dies()
{
	begin --trace --frames 3 && look before && die "$1" "$2" && look after && same && made
}

# It has gone on after the look before.
exits()
{
	begin --trace --frames 3 && die 3 "exit 3" && look after && made
}

# Of a sampled trace as well.
sampled()
{
	begin --trace=sampled --interval 4096 && "$pymalloc" compact "$heap" >compact.txt &&
		look_at_sampled before && die KILL SIGKILL && look_at_sampled after &&
		[ "$(grep -c doomed.py after.report)" -ge 2 ] &&
		diff <(lines before.report) <(lines after.report)
}

look_at_sampled()
{
	"$pymalloc" report --bytes --top 0 "$heap" >"$1.report"
}

# The picture has the blocks that were there, without those that lay in magazines.
mapped()
{
	begin --trace && look before && die KILL SIGKILL && "$pymalloc" map --json "$heap" >map.json &&
		"$pymalloc" map "$heap" && python3 - <<'END'
import json
arenas = json.load(open("map.json"))["arenas"]
(heap,) = json.load(open("before.json"))["heaps"]
found = sum(arena["blocks"] for arena in arenas)
wanted = sum(row["blocks"] for row in heap["rows"] if not row["cached"])
assert found == wanted > 2000, (found, wanted)
END
}

# The heap of a child of fork() that dies has the child's own trace.
child()
{
	cat >child.py <<-'END'
	import os, signal
	kept = [bytes(200) for i in range(300)]
	if not os.fork():
	    kept.append([bytes(300) for i in range(200)])
	    os.kill(os.getpid(), signal.SIGKILL)
	os.wait()
	print("ready", flush=True)
	input()
	END
	coproc SUBJECT { exec "$pymalloc" run --trace -- python3 -S child.py; }
	subject=$SUBJECT_PID
	read -r answer <&"${SUBJECT[0]}" && [ "$answer" = ready ] || return
	until "$pymalloc" ls --dead -nro HEAP,PID,COMMAND | tail -1 >child.txt &&
		heap=$(awk -v last="$last" '$1 > last && $2 != '"$subject"' { print $1 }' child.txt) &&
		[ -n "$heap" ]; do
		:
	done
	"$pymalloc" report --bytes --top 0 "$heap" >child.report
	echo >&"${SUBJECT[1]}"
	wait "$subject"
	cat child.report
	grep -qE ' 200 .*child.py:4 ' child.report && ! grep -q 'child.py:2 ' child.report &&
		grep -q 'before the trace' child.report
}

# What a dead heap refuses.
refuses()
{
	status 1 "$pymalloc" trace "$heap" --mode exact 2>stderr
	cat stderr
	grep -q "is dead" stderr && "$pymalloc" trace "$heap" >shown.txt && cat shown.txt &&
		grep -qE '^MODE +exact' shown.txt
}

ok "killed" dies KILL SIGKILL
ok "killed by a fault" dies SEGV SIGSEGV
ok "ended by itself" exits
ok "its trace can be seen, and not be set" refuses
ok "a sampled trace" sampled
ok "the picture" mapped
last=$heap
ok "a child" child
ok "forgotten" bash -c "'$pymalloc' forget --all && ! '$pymalloc' report $heap"
finish
