# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What is measured side by side, and in which surroundings. Sets $here, where
# the script lies, and $preload: what is preloaded for a subject.

here=$(dirname "$(realpath "$0")")
userspace=$(realpath "$here/../../userspace")
thp=/sys/kernel/mm/transparent_hugepage/enabled

declare -A library=([jemalloc]=libjemalloc.so.2
	[tcmalloc]=libtcmalloc_minimal.so.4 [mimalloc]=libmimalloc.so.2)
# Used by the scripts.
# shellcheck disable=SC2034
declare -A preload=([shim]=$userspace/libpymalloc-malloc.so)

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

find_libraries
