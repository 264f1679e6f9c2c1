#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Heaps of other modules, seen from outside: the sample on each allocator, who may see its
# heap, who pays for it, and that it goes. And some torture.

# shellcheck source=../userspace/tap.sh
. "${0%/*}/tap.sh"

modules=$(realpath "$here/../../module/$(uname -r)/selftests/kernel")
table=/sys/kernel/debug/pymalloc_strings/table
cgroup=/sys/fs/cgroup/kheap

load()
{
	insmod "$modules/pymalloc_$1.ko" "${@:2}"
}

add()
{
	local word

	for word in "$@"; do
		echo "$word" >$table || return
	done
}

# The table has these lines and no other.
has()
{
	[ "$(sort $table)" = "$(printf '%s\n' "$@" | sort)" ] || { cat $table; return 1; }
}

counts_uses()
{
	add one two one three one -two &&
		has "3 one" "1 three" &&
		add -one -one -one -three &&
		[ -z "$(cat $table)" ]
}

refuses_others()
{
	! add -four 2>/dev/null && ! add "$(printf '%0600d' 1)" 2>/dev/null && [ -z "$(cat $table)" ]
}

# The number of the heap with this name.
heap()
{
	pymalloc ls --noheadings --output HEAP,NAME | awk -v name="$1" '$2 == name { print $1 }'
}

# figure NAME: of the sample's heap.
figure()
{
	pymalloc show --bytes "$(heap strings)" | awk -v name="$1" '$1 == name { print $2; exit }'
}

# shows NAME VALUE
shows()
{
	[ "$(figure "$1")" = "$2" ] || { echo "$1 is $(figure "$1"), not $2"; return 1; }
}

fills_and_trims()
{
	local i pages

	for i in {1..500}; do
		add "a string of some length, the number $i of five hundred" || return
	done
	shows BLOCKS 500 || return
	pages=$(figure BYTES)
	for i in {1..500}; do
		add "-a string of some length, the number $i of five hundred" || return
	done
	pymalloc trim "$(heap strings)" >/dev/null && shows BLOCKS 0 || return
	# Strings go after a grace period, and pages after another one.
	for i in {1..1000}; do
		[ "$(figure BYTES)" != 0 ] || return 0
		[ "$(figure BYTES)" -le "$pages" ] || return
		pymalloc trim "$(heap strings)" >/dev/null
	done
	echo "$(figure BYTES) bytes stay of $pages"
	return 1
}

is_in_debugfs()
{
	grep -q "strings" /sys/kernel/debug/pymalloc/summary &&
		grep -q . "/sys/kernel/debug/pymalloc/heap$(heap strings)/stats"
}

is_exported()
{
	pymalloc export | grep "^pymalloc_heap_page_bytes" | grep -q 'name="strings"'
}

is_of_the_kernel()
{
	[ "$(pymalloc ls --noheadings --output PID,COMMAND | xargs)" = "0 [pymalloc_stri]" ]
}

# Nobody else may look at it, or knows of it.
is_hidden()
{
	local out

	out=$(setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$(command -v pymalloc)" ls --noheadings) && [ -z "$out" ] || return
	! setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$(command -v pymalloc)" show "$(heap strings)" 2>/dev/null
}

# Not even root may change it, or map the kernel's memory.
is_only_looked_at()
{
	"$here/looker" "$(heap strings)"
}

# fails_with TEXT CMD...
fails_with()
{
	local out

	! out=$("${@:2}" 2>&1) && [[ $out = *"$1"* ]]
}

refuses_to_go()
{
	! rmmod pymalloc 2>/dev/null
}

in_cgroup()
{
	mkdir -p $cgroup && sh -c "echo \$\$ >$cgroup/cgroup.procs && exec \"\$@\"" - "$@"
}

cgroup_bytes()
{
	cat $cgroup/memory.current
}

# 20,000 strings take more than a megabyte, and their cgroup pays for all of them.
is_paid_for()
{
	local before after

	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p $cgroup
	before=$(cgroup_bytes)
	in_cgroup insmod "$modules/pymalloc_strings.ko" fill=20000 || return
	after=$(cgroup_bytes)
	[ $((after - before)) -ge "$(figure BYTES)" ] || { echo "$before $after"; return 1; }
	rmmod pymalloc_strings
}

# A cgroup that is too small refuses the pages, and the module ends as if nothing had been.
is_limited()
{
	local status=0

	echo 2M >$cgroup/memory.max
	in_cgroup insmod "$modules/pymalloc_strings.ko" fill=200000 2>/dev/null && status=1
	echo max >$cgroup/memory.max
	[ -z "$(heap strings)" ] || status=1
	return $status
}

no_heap_is_left()
{
	[ -z "$(pymalloc ls --noheadings)" ]
}

ok "an allocator that does not exist is refused" status 1 load strings allocator=none
for allocator in kmalloc kmem_cache pymalloc; do
	ok "the sample is loaded on $allocator" load strings allocator=$allocator
	ok "it counts the uses of strings" counts_uses
	ok "it refuses what it does not have" refuses_others
	[ $allocator = pymalloc ] || ok "it goes" rmmod pymalloc_strings
done
ok "its heap is listed" test -n "$(heap strings)"
ok "as one of the kernel's" is_of_the_kernel
ok "it is of root" shows UID 0
ok "it gives memory back" fills_and_trims
ok "it is sound" pymalloc check "$(heap strings)"
ok "it can be drawn" pymalloc map "$(heap strings)"
ok "it is in debugfs" is_in_debugfs
ok "it is in the metrics" is_exported
ok "other users do not see it" is_hidden
ok "nobody can change, map or trace it" is_only_looked_at
ok "the command says why" fails_with "a module's: it cannot be traced" \
	pymalloc trace --mode exact "$(heap strings)"
ok "nobody can unload its allocator" refuses_to_go
ok "the sample goes with strings in it" sh -c "echo left >$table && rmmod pymalloc_strings"
ok "its heap has gone" no_heap_is_left
ok "the memory cgroup of its maker pays" is_paid_for
ok "and limits it" is_limited
ok "torture" load torture seconds=5
ok "no heap is left of it" no_heap_is_left
rmmod pymalloc_torture
rmdir $cgroup
finish
