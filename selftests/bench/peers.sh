# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What is measured side by side, and in which surroundings. Sets $here, where
# the script lies, and $preload: what is preloaded for a subject. The shim is
# the "service" to programs that have no other way to it.

here=$(dirname "$(realpath "$0")")
userspace=$(realpath "$here/../../userspace")
thp=/sys/kernel/mm/transparent_hugepage/enabled

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

# Who may not choose takes what there is.
choose_thp()
{
	[ ! -w $thp ] || echo "$1" >$thp
}

# The machine's own choice is the word in brackets.
keep_thp()
{
	local old

	[ -e $thp ] || return 0
	old=$(sed 's/.*\[\(.*\)\].*/\1/' $thp)
	# shellcheck disable=SC2064
	trap "choose_thp $old" EXIT
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
