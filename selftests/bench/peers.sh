# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What is measured side by side, and in which surroundings. Sets $here, where
# the script lies, and $preload: what is preloaded for a subject. The shim is
# the "service" to programs that have no other way to it.

here=$(dirname "$(realpath "$0")")
userspace=$(realpath "$here/../../userspace")
thp=/sys/kernel/mm/transparent_hugepage
khugepaged_values=(khugepaged/pages_to_scan khugepaged/scan_sleep_millisecs)

declare -A library=([jemalloc]=libjemalloc.so.2
	[tcmalloc]=libtcmalloc_minimal.so.4 [mimalloc]=libmimalloc.so.2)
# Used by the scripts.
# shellcheck disable=SC2034
declare -A preload=([shim]=$userspace/libpymalloc-malloc.so
	[service]=$userspace/libpymalloc-malloc.so)

# The loader goes on without a library that it cannot find.
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

# set_thp FILE VALUE: who may not choose takes what there is.
set_thp()
{
	[ ! -w "$thp/$1" ] || echo "$2" >"$thp/$1"
}

choose_thp()
{
	set_thp enabled "$1"
}

# khugepaged makes pages huge behind a program's back: when its clock says so,
# and with the lock that a page fault needs. Who meets it has fewer faults of its
# own, and waits, and how long that is nobody can tell. It cannot be ended, but it
# can be told to look at one page only, and then to sleep. That page is one of a
# program that is measured by nobody: its sleep begins when it has found some work.
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

# The machine's own choice is the word in brackets.
keep_thp()
{
	local file commands

	[ -e $thp/enabled ] || return 0
	commands="choose_thp $(sed 's/.*\[\(.*\)\].*/\1/' $thp/enabled)"
	for file in "${khugepaged_values[@]}"; do
		commands+="; set_thp $file $(<"$thp/$file")"
	done
	# shellcheck disable=SC2064
	trap "$commands" EXIT
	stop_khugepaged
}

# observe_python WORKLOAD SUBJECT UNIT SCRIPT [ARGS...]: addresses and hashes that
# are the same every time make the figures so, too.
observe_python()
{
	local workload=$1 subject=$2 unit=$3 python=malloc

	shift 3
	[ "$subject" != pymalloc ] || python=pymalloc
	PATH=$userspace:$PATH "$here/python/observe" setarch -R env LD_BIND_NOW=1 \
		LD_PRELOAD="${preload[$subject]:-}" PYTHONMALLOC=$python \
		PYTHONHASHSEED=0 python3 -B "$here/python/$1" "${@:2}" \
		"$workload" "$subject" "$unit"
}

find_libraries
