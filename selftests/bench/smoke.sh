#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Does the benchmark work? Every workload on every subject, with few operations,
# the checker on every heap of ours afterwards, and a report of all of it. The
# figures themselves say nothing here.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../userspace/tap.sh
. "${0%/*}/tap.sh"

workloads=(calibrate pair lifo replace queue touch touch-thp arenas-1 arenas-100
	arenas-10000 threads-1 threads-2-heaps threads-2-shared)

measure_all()
{
	"$here/measure" ns 1 --quick "${workloads[@]}" >"$scratch/raw"
}

# did SUBJECT [WORKLOAD...]: all of them, but for those given.
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

# Those that the targets name: each takes twelve starts of the interpreter.
python_programs=(dicts json)

measure_python()
{
	"$here/measure-python" ns 500 "${python_programs[@]}" >"$scratch/raw-python"
}

# Each program on each allocator, and no target without its figures.
report_python()
{
	"$here/report-python" "$scratch" "$scratch/raw-python" >"$scratch/report" || return
	cat "$scratch/report"
	! grep -q 'not measured' "$scratch/report" &&
		[ "$(head -n 1 "$scratch/python.csv")" = workload,subject,metric,value ] &&
		[ "$(cut -d'"' -f2 "$scratch/python.dat" | xargs)" = \
			"${python_programs[*]} geometric mean" ]
}

# Each program, on whom the targets name; the others are only preloaded. Needs a
# machine whose scheduler it may ask to run first, as the VM's is.
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
ok "fork, by each program" measure_fork
ok "report of fork" report_fork
finish
