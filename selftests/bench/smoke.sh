#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Does the benchmark work? Runs every workload on every subject with few operations,
# the checker on each of our heaps afterwards, and the reports. So few operations say
# nothing about speed.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../userspace/tap.sh
. "${0%/*}/tap.sh"

workloads=(calibrate pair lifo replace queue touch touch-thp arenas-1 arenas-100
	arenas-10000 threads-1 threads-2-heaps threads-2-shared)

measure_all()
{
	"$here/measure" ns 1 --quick "${workloads[@]}" >"$scratch/raw"
}

# did SUBJECT [WORKLOAD...]: there is a figure of each workload but those given.
did()
{
	local subject=$1 workload

	shift
	for workload in "${workloads[@]}"; do
		[[ " $* " != *" $workload "* ]] || continue
		grep -E "^$workload,$subject,ns,[0-9.]+$" "$scratch/raw" || return
	done
}

report_all()
{
	"$here/report" "$scratch" "$scratch/raw" >"$scratch/report" || return
	cat "$scratch/report"
	! grep -q 'not measured' "$scratch/report" &&
		[ "$(head -n 1 "$scratch/alloc.csv")" = workload,subject,metric,value ]
}

# Only the programs of the targets: each one starts the interpreter twelve times.
python_programs=(dicts json)

measure_python()
{
	"$here/measure-python" ns 500 "${python_programs[@]}" >"$scratch/raw-python"
}

# There is a figure of each program on each allocator, and of each target.
report_python()
{
	"$here/report-python" "$scratch" "$scratch/raw-python" >"$scratch/report" || return
	cat "$scratch/report"
	! grep -q 'not measured' "$scratch/report" &&
		[ "$(head -n 1 "$scratch/python.csv")" = workload,subject,metric,value ] &&
		[ "$(cut -d'"' -f2 "$scratch/python.dat" | xargs)" = \
			"${python_programs[*]} geometric mean" ]
}

measure_trace()
{
	"$here/measure-trace" ns 500 json >"$scratch/raw-trace"
}

report_trace()
{
	"$here/report-trace" "$scratch" "$scratch/raw-trace" >"$scratch/report" || return
	cat "$scratch/report"
	! grep -q 'not measured' "$scratch/report" &&
		[ "$(head -n 1 "$scratch/trace.csv")" = workload,subject,metric,value ]
}

# Each program on the subjects of the targets; the others only differ by a preloaded
# library. Needs the right to use real-time priorities, which root has in the VM.
measure_fork()
{
	local subject

	for subject in service library pymalloc glibc; do
		"$here/measure-fork" $subject ns 1 --quick || return
	done >"$scratch/raw-fork"
}

report_fork()
{
	"$here/report-fork" "$scratch" "$scratch/raw-fork" >"$scratch/report" || return
	cat "$scratch/report"
	! grep -q 'not measured' "$scratch/report" &&
		[ "$(head -n 1 "$scratch/fork.csv")" = workload,subject,metric,value ]
}

# program NAME LINES: a program for run-program, whose report has so many lines of figures.
program()
{
	"$here/$1" ns --quick >"$scratch/raw-$1" &&
		"$here/report-$1" "$scratch" "$scratch/raw-$1" >"$scratch/report" || return
	cat "$scratch/report"
	! grep -q 'not measured' "$scratch/report" &&
		[ "$(wc -l <"$scratch/$1.csv")" = "$2" ]
}

# Memory, and not time: so few operations say which way it goes.
measure_return()
{
	local subject

	for subject in library service pymalloc glibc jemalloc tcmalloc mimalloc; do
		"$here/measure-return" $subject ns --quick || return
	done >"$scratch/raw-return"
}

# returned SUBJECT: it has given memory back in each workload, at the latest when asked to.
returned()
{
	awk -F, -v subject="$1" '
		$2 == subject && $3 == "memory-peak" { peak[$1] = $4 }
		$2 == subject && $3 == "memory-trimmed" { workloads++; less += $4 < peak[$1] }
		END { exit workloads < 5 || less < workloads }' "$scratch/raw-return"
}

report_return()
{
	"$here/report-return" "$scratch" "$scratch/raw-return" >"$scratch/report" || return
	cat "$scratch/report"
	! grep -q 'not measured' "$scratch/report" &&
		[ "$(head -n 1 "$scratch/return.csv")" = workload,subject,metric,value ] &&
		[ "$(grep -c '^"' "$scratch/return.dat")" = 6 ]
}

ok "every workload on every subject" measure_all
for subject in library inline; do
	ok "$subject" did $subject
done
for subject in shim glibc jemalloc tcmalloc mimalloc; do
	ok "$subject" did $subject threads-2-heaps
done
ok "pyobject" did pyobject queue threads-2-heaps threads-2-shared
ok "report" report_all
ok "Python programs on every allocator" measure_python
ok "report of the Python programs" report_python
ok "a Python program with each kind of trace" measure_trace
ok "report of the traces" report_trace
ok "stacks, and their report" program stack 10
ok "types, and their report" program type 26
ok "shared heaps, and their report" program refs 7
ok "fork, by each program" measure_fork
ok "report of fork" report_fork
ok "memory given back, by each program" measure_return
for subject in library glibc; do
	ok "$subject gives memory back" returned $subject
done
ok "report of the memory given back" report_return
finish
