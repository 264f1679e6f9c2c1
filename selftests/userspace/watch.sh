#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A heap over time: what pymalloc stat prints and pymalloc record writes, and how they end.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
cd "$scratch" || exit 1

# A process with one heap, which stays as it is but for what it is told: "allocate N"
# keeps N more objects, "end" ends the heap with the process. It answers with a line.
cat >subject.py <<'END'
import ctypes, os, sys
library = ctypes.CDLL(sys.argv[1])
library.pymalloc_heap_create.restype = ctypes.c_void_p
library.pymalloc_malloc.restype = ctypes.c_void_p
library.pymalloc_malloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
heap = library.pymalloc_heap_create(None)
print("ready" if heap else "no heap", flush=True)
while True:
	words = os.read(0, 100).split()
	if words[:1] != [b"allocate"]:
		break
	print(all(library.pymalloc_malloc(heap, 100) for i in range(int(words[1]))), flush=True)
END

# begin: start a subject, and set $subject and $heap. tell WORDS: have it do something.
begin()
{
	coproc SUBJECT { exec python3 subject.py "$userspace/libpymalloc.so.0"; }
	subject=$SUBJECT_PID
	exec {to}>&"${SUBJECT[1]}" {from}<&"${SUBJECT[0]}"
	read -r answer <&"$from"
	heap=$("$pymalloc" ls -nr -o PID,HEAP | awk -v pid="$subject" '$1 == pid { print $2 }')
	[ "$answer" = ready ] && [ -n "$heap" ] &&
		"$pymalloc" policy --no-decay --no-steal --no-mesh "$heap" && tell allocate 5000
}

tell()
{
	echo "$@" >&"$to"
	read -r answer <&"$from" && [ "$answer" = True ]
}

end()
{
	echo end >&"$to"
	wait "$subject"
}

# python CODE ARG...: CODE, with what the tests need. FIGURES are those that stat prints.
python()
{
	python3 -c "
import json, subprocess, sys, time
AMOUNTS = ['bytes', 'used', 'metadata']
COUNTS = ['allocs', 'frees', 'pages_in', 'pages_out', 'pages_meshed', 'blocks_stolen']
FIGURES = AMOUNTS + COUNTS
def run(*words):
	return subprocess.run(['$pymalloc', *words], stdout=subprocess.PIPE, check=True, text=True).stdout
def show(heap):
	heap = json.loads(run('show', '--json', heap))['heap']
	return {name: heap[name] for name in FIGURES}
def recorded(name):
	text = open(name).read()
	version, names, begun, *lines = text.splitlines()
	assert text.endswith('\n') and version == '# pymalloc record 1', text
	assert names.split('\t') == ['SECONDS'] + [name.upper() for name in FIGURES], names
	assert 0 <= time.time() - float(begun.removeprefix('# begun ')) < 86400, begun
	lines = [[float(word) for word in line.split('\t')] for line in lines]
	assert all(len(line) == 1 + len(FIGURES) for line in lines), lines
	assert [line[0] for line in lines] == sorted(line[0] for line in lines), lines
	return [dict(zip(FIGURES, line[1:])) for line in lines]
$1" "${@:2}"
}

stat_as_show='
heap = sys.argv[1]
lines = [json.loads(line) for line in run("stat", "--json", heap, "0.01", "3").splitlines()]
assert len(lines) == 3 and lines[0] == show(heap) and lines[0]["allocs"] >= 5000, lines
for line in lines[1:]:
	assert line == {**lines[0], **{name: 0 for name in COUNTS}}, lines'

# The sums of all lines are what show says at last.
differences='
heap, subject_in, subject_out = sys.argv[1], open(sys.argv[2], "w"), open(sys.argv[3])
stat = subprocess.Popen(["'$pymalloc'", "stat", "-j", heap, "0.01"], stdout=subprocess.PIPE)
sums = json.loads(stat.stdout.readline())
before = sums["allocs"]
subject_in.write("allocate 700")
subject_in.flush()
assert subject_out.readline() == "True\n"
end = show(heap)
assert end["allocs"] > before
while sums["allocs"] < end["allocs"]:
	line = json.loads(stat.stdout.readline())
	sums = {name: line[name] + (sums[name] if name in COUNTS else 0) for name in FIGURES}
assert sums == end, (sums, end)
stat.kill()'

# Headings, and the same figures as with show --bytes, in a table that fits a terminal.
as_text()
{
	"$pymalloc" stat "$heap" 0.01 2 >text && cat text &&
		[ "$(wc -l <text)" = 3 ] && [ "$(awk 'NF != 9' text)" = "" ] &&
		[ "$(awk 'length > 80' text)" = "" ] && grep -q '^BYTES .* BLOCKS_STOLEN$' text
}

in_bytes()
{
	diff <("$pymalloc" stat --bytes "$heap" | awk 'NR == 1 { split($0, name) }
			NR == 2 { for (i = 1; i <= NF; i++) print name[i], $i }' | sort) \
		<("$pymalloc" show --bytes "$heap" | awk '/^$/ { exit } { print $1, $2 }' |
			grep -E '^(BYTES|USED|METADATA|ALLOCS|FREES|PAGES_IN|PAGES_OUT|PAGES_MESHED|BLOCKS_STOLEN) ' |
			sort)
}

# full CMD...: the disk that CMD writes to is full.
full()
{
	"$@" >/dev/full
}

# headings COUNT CMD...: CMD prints so many lines of headings.
headings()
{
	"${@:2}" >text
	[ "$(grep -c BYTES text)" = "$1" ]
}

on_a_terminal()
{
	script -qec "$*" /dev/null </dev/null
}

# sums_up HEAP...: these are all heaps that there are.
sums_up()
{
	python '
assert json.loads(run("stat", "--json")) == {name: sum(show(heap)[name] for heap in sys.argv[1:])
	for name in FIGURES}' "$@"
}

two_heaps()
{
	begin && sums_up "$1" "$heap" && end
}

as_nobody()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

# says STATUS MESSAGE CMD...: CMD ends with this status and one line, which says why. argp
# adds a hint to what it says about a wrong line.
says()
{
	status "$1" "${@:3}" >output 2>stderr || { cat stderr; return 1; }
	cat stderr
	grep -q -- "$2" stderr && [ "$(grep -vc '^Try \|^information' stderr)" = 1 ] && [ ! -s output ]
}

# stat waits for long, but ends when the heap does.
stat_ends()
{
	local line

	begin || return
	exec {lines}< <("$pymalloc" stat --json "$heap" 3600; echo "status $?")
	read -r line <&"$lines" && end && read -r line <&"$lines" && [ "$line" = "status 0" ]
}

# has LINES FILE: wait until the file has so many lines.
has()
{
	until [ -e "$2" ] && [ "$(wc -l <"$2")" -ge "$1" ]; do sleep 0.05; done
}

record_ends()
{
	begin || return
	"$pymalloc" record -o ends.tsv --interval 3600 "$heap" &
	has 3 ends.tsv && end && wait $! && python '
line, = recorded("ends.tsv")
assert line["allocs"] >= 5000, line'
}

# The shell has its children ignore SIGINT, which ^C sends.
interrupted()
{
	env --default-signal=INT "$pymalloc" record -o int.tsv -i 0.01 --pid "$subject" &
	has 5 int.tsv
	kill -INT $!
	status 130 wait $! && python '
lines = recorded("int.tsv")
assert len(lines) >= 3 and all(line == show(sys.argv[1]) for line in lines), lines' "$heap"
}

# The process is that of the program.
names_a_file()
{
	local pid

	# shellcheck disable=SC2016
	mkdir named && pid=$(cd named && "$pymalloc" record -- bash -c 'echo $$') && ls named &&
		head -1 "named/pymalloc.$pid.tsv" | grep -q '^# pymalloc record 1$'
}

overwrites()
{
	"$pymalloc" record -f -o mine -- true && head -1 mine | grep -q '^# pymalloc record 1$'
}

# not_run MESSAGE FILE [OPTION]: record fails before it runs the program.
not_run()
{
	says 125 "$1" "$pymalloc" record "${@:3}" -o "$2" -- touch ran && [ ! -e ran ]
}

# The program ends when the file has some more lines; and so does the file.
runs()
{
	# shellcheck disable=SC2016
	status 7 "$pymalloc" record -o runs.tsv --interval 0.01 -- bash -c '
		lines=$(wc -l <runs.tsv)
		until [ "$(wc -l <runs.tsv)" -ge $((lines + 3)) ]; do sleep 0.05; done; exit 7' &&
		python '
lines = recorded("runs.tsv")
assert len(lines) >= 3 and lines[-1]["bytes"] > 0 and lines[-1]["allocs"] > 0, lines'
}

# A process gets another heap when it becomes another program.
follows_exec()
{
	# shellcheck disable=SC2016
	"$pymalloc" record -o exec.tsv --interval 0.01 -- bash -c '
		until [ "$(wc -l <exec.tsv)" -ge 4 ]; do sleep 0.05; done
		exec python3 -c "
import time
kept = [str(i) * 5 for i in range(100000)]
lines = len(open(\"exec.tsv\").readlines())
while len(open(\"exec.tsv\").readlines()) < lines + 3: time.sleep(0.05)"' && python '
lines = recorded("exec.tsv")
assert lines[-1]["allocs"] > 100000 > lines[0]["allocs"], lines'
}

# ^C is for the program, which may go on.
leaves_interrupts()
{
	mkfifo wake
	# shellcheck disable=SC2016
	env --default-signal=INT "$pymalloc" record -o program.tsv -i 0.01 -- \
		bash -c 'read -r status <wake; exit "$status"' &
	has 3 program.tsv
	kill -INT $!
	echo 5 >wake
	status 5 wait $! && python 'assert recorded("program.tsv")'
}

# A page of a file system is not much. The program goes on when no more can be written.
full_disk()
{
	mkdir small && mount -t tmpfs -o size=4k none small || return
	# shellcheck disable=SC2016
	says 125 'No space left on device' "$pymalloc" record -o small/file -i 0.01 -- bash -c '
		until grep -q "No space left" stderr; do sleep 0.05; done; touch went_on'
	went=$?
	umount small && [ $went = 0 ] && [ -e went_on ]
}

ok "the subject is there" begin
ok "stat --json is as show --json" python "$stat_as_show" "$heap"
ok "stat --pid" test "$("$pymalloc" stat --json --pid "$subject")" = "$("$pymalloc" stat -j "$heap")"
ok "stat --pid INTERVAL COUNT" test "$("$pymalloc" stat -j --pid "$subject" 0.01 2 | wc -l)" = 2
ok "stat as text" as_text
ok "stat --bytes" in_bytes
ok "stat has headings once" headings 1 "$pymalloc" stat "$heap" 0.01 41
ok "stat repeats headings on a terminal" headings 3 on_a_terminal "$pymalloc" stat "$heap" 0.01 41
ok "stat sums up one heap" sums_up "$heap"
ok "stat without heaps" test "$(as_nobody "$pymalloc" stat --bytes | awk 'NR == 2 { print $1 + $4 }')" = 0
ok "stat --all" test "$("$pymalloc" stat --all --json 0.01 3 | tail -1)" = \
	"$("$pymalloc" stat --json "$heap" 0.01 2 | tail -1)"
ok "stat counts what a heap does meanwhile" python "$differences" "$heap" \
	/proc/$$/fd/"$to" /proc/$$/fd/"$from"
first=$heap:$subject:$to:$from
ok "stat ends when the heap does" stat_ends
ok "record ends when the heap does" record_ends
ok "stat sums up two heaps" two_heaps "${first%%:*}"
IFS=: read -r heap subject to from <<<"$first"
ok "record that is interrupted" interrupted

for line in "$heap 0" "$heap 0.001" "$heap 86401" "$heap 1 0" "$heap 1 1 1" "$heap nan" "$heap 1e1" \
	"$heap 0x1" "$heap -- -1" "$heap 1 x" "x" "--all x" "--all 1 0" "--all --pid $subject" "$heap --all" \
	"$heap --pid $subject" "--pid 0"; do
	# shellcheck disable=SC2086
	ok "stat $line" says 2 '^pymalloc stat: ' "$pymalloc" stat $line
done
for line in "" "--" "x" "$heap 1" "$heap -- true" "-p $subject -- true" "-i 0 $heap" "-i x $heap" "--json $heap"; do
	# shellcheck disable=SC2086
	ok "record $line" says 2 '^pymalloc record: ' "$pymalloc" record $line
done
for command in stat record; do
	ok "$command of no heap" says 1 'no heap has the number 999999' "$pymalloc" $command 999999
	ok "$command of no process" says 1 'there is no process 999999999' \
		"$pymalloc" $command --pid 999999999
	ok "$command of a process without a heap" says 1 "process $$ has no heap" \
		"$pymalloc" $command --pid $$
	ok "$command of another user's heap" says 1 "heap $heap is not yours to look at" \
		as_nobody "$pymalloc" $command "$heap"
	ok "$command of another user's process" says 1 "process $subject is not yours to look at" \
		as_nobody "$pymalloc" $command --pid "$subject"
	ok "$command --help" bash -c "'$pymalloc' help $command | grep -q '^Usage: pymalloc $command'"
done
ok "no file is left of them" bash -c '! ls pymalloc.*.tsv'
ok "stat into a full disk" says 1 'No space left on device' full "$pymalloc" stat "$heap" 0.01

echo "not a recording" >mine
ok "record does not overwrite a file" says 1 'mine exists' "$pymalloc" record -o mine "$heap"
ok "nor with a program, which it does not run" not_run 'mine exists' mine
ok "the file is as it was" test "$(<mine)" = "not a recording"
ok "record --force does" overwrites
ok "record into no folder" not_run 'No such file' none/file
ok "record names its file" names_a_file
ok "record runs a program" runs
ok "record follows a process to its next program" follows_exec
ok "record leaves ^C to the program" leaves_interrupts
ok "record into a disk that is full" not_run 'No space left on device' /dev/full -f
ok "record into a disk that becomes full" full_disk
ok "record of a heap into a full disk" says 1 'No space left on device' \
	"$pymalloc" record -f -o /dev/full "$heap"
# shellcheck disable=SC2016
ok "record of a program that is killed" status 137 "$pymalloc" record -o killed.tsv -- \
	bash -c 'kill -9 $$'
ok "record of no program" status 127 "$pymalloc" record -o none.tsv -- /no/such/program
end
finish
