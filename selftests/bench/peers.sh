# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The allocators that are compared, and the settings of the machine meanwhile. Sets
# $here, the script's folder, and $preload, the library to preload for each subject.
# The malloc shim is called "shim" among the workloads in C, and "service" in the
# benchmarks of CPython and of fork().

here=$(dirname "$(realpath "$0")")
userspace=$(realpath "$here/../../userspace")
thp=/sys/kernel/mm/transparent_hugepage
page_lists=/proc/sys/vm/percpu_pagelist_high_fraction
khugepaged_values=(khugepaged/pages_to_scan khugepaged/scan_sleep_millisecs)

declare -A library=([jemalloc]=libjemalloc.so.2
	[tcmalloc]=libtcmalloc_minimal.so.4 [mimalloc]=libmimalloc.so.2)
# Used by the scripts that source this file.
# shellcheck disable=SC2034
declare -A preload=([shim]=$userspace/libpymalloc-malloc.so
	[service]=$userspace/libpymalloc-malloc.so)

# A library that is missing must be an error: the loader only warns and goes on.
find_libraries()
{
	local subject path

	for subject in "${!library[@]}"; do
		path=$(/sbin/ldconfig -p |
			awk -v name="${library[$subject]}" '$1 == name && !n++ { print $NF }')
		[ -n "$path" ] || {
			echo "${0##*/}: no ${library[$subject]}" >&2
			exit 1
		}
		# shellcheck disable=SC2034
		preload[$subject]=$path
	done
}

# set_thp FILE VALUE: only root may change it; others measure with what is set.
set_thp()
{
	[ ! -w "$thp/$1" ] || echo "$2" >"$thp/$1"
}

choose_thp()
{
	set_thp enabled "$1"
}

# khugepaged merges a process's pages into huge ones from time to time, and holds
# mmap_lock meanwhile. That changes the number of page faults of whichever subject it
# meets, and delays it. It cannot be stopped. But it can be made to look at one page
# and then sleep "for ever". It sleeps only after it has found a process to look at:
# so a process that is not measured gives it one.
stop_khugepaged()
{
	set_thp khugepaged/pages_to_scan 1
	set_thp khugepaged/scan_sleep_millisecs 4294967295
	choose_thp always
	python3 -c 'import mmap, time
memory = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE)
memory[:] = bytes(len(memory))
time.sleep(1)'
}

# What restores the machine's settings at exit.
at_exit=()

restore_settings()
{
	local command

	for command in "${at_exit[@]}"; do
		$command
	done
}
trap restore_settings EXIT

# In "enabled" the current one is in brackets.
keep_thp()
{
	local file

	[ -e $thp/enabled ] || return 0
	at_exit+=("choose_thp $(sed 's/.*\[\(.*\)\].*/\1/' $thp/enabled)")
	for file in "${khugepaged_values[@]}"; do
		at_exit+=("set_thp $file $(<"$thp/$file")")
	done
	stop_khugepaged
}

set_page_lists()
{
	[ ! -w $page_lists ] || echo "$1" >$page_lists
}

# Each CPU has lists of free pages, which do not count as free memory: up to an eighth of
# the machine's memory. This makes them as short as the kernel lets them be.
keep_page_lists_short()
{
	[ -e $page_lists ] || return 0
	at_exit+=("set_page_lists $(<$page_lists)")
	set_page_lists 1000000
}

# observe WORKLOAD SUBJECT UNIT COMMAND [ARGS...]: without random addresses, so that the
# figures are the same in every run.
observe()
{
	local workload=$1 subject=$2 unit=$3

	shift 3
	PATH=$userspace:$PATH "$here/observe" setarch -R env LD_BIND_NOW=1 \
		LD_PRELOAD="${preload[$subject]:-}" "$@" "$workload" "$subject" "$unit"
}

# observe_python WORKLOAD SUBJECT UNIT SCRIPT [ARGS...]: without random hashes, too.
observe_python()
{
	local python=malloc

	[ "$2" != pymalloc ] || python=pymalloc
	observe "$1" "$2" "$3" PYTHONMALLOC=$python PYTHONHASHSEED=0 \
		python3 -B "$here/python/$4" "${@:5}"
}

find_libraries
