#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What others see of a program's memory: cores, made by the kernel and by a
# debugger, and a debugger on a living process.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
program=$here/core_user

# The core holds 10 MiB of objects in pages, a magazine or two, and what the
# program begins with. The window is at most twice as large as it has been used.
most_blocks=$((16 << 11))
most_bytes=$((56 << 20))

echo core >/proc/sys/kernel/core_pattern
ulimit -c unlimited
cd "$scratch" || exit 1

gdb()
{
	command gdb -nx -batch "$@" 2>&1 </dev/null
}

# crash FILTER: make a core of the program, which crashes, and set $address.
crash()
{
	rm -f core
	(echo "$1" >/proc/self/coredump_filter && "$pymalloc" run -- "$program" abort >address)
	address=$(<address)
	[ -s core ]
}

object_is_in()
{
	gdb -ex "x/s $address" "$program" "$1" | tee gdb.log
	grep -q '"a small object"$' gdb.log
}

core_has_it()
{
	crash "$1" && object_is_in core
}

core_is_small()
{
	stat -c '%b blocks, %s bytes' core
	[ "$(stat -c %b core)" -le $most_blocks ] && [ "$(stat -c %s core)" -le $most_bytes ]
}

core_has_none()
{
	crash "$1" && ! object_is_in core
}

"$pymalloc" run -- "$program" sleep >living &
pid=$!
until [ -s living ]; do sleep 0.1; done

named()
{
	grep pymalloc "/proc/$pid/maps"
	[ "$(grep -c ' /pymalloc:malloc (deleted)$' "/proc/$pid/maps")" -ge 2 ]
}

attached()
{
	address=$(<living)
	gdb -p $pid -ex "x/s $address" | tee gdb.log
	grep -q '"a small object"$' gdb.log
}

# A place without a page reads as zero, and cannot be written.
holes_are_zero()
{
	local start

	start=$(grep -m 1 'rw-s 00000000 .*pymalloc' "/proc/$pid/maps")
	gdb -p $pid -ex "x/xg 0x${start%%-*}" -ex "set {long}0x${start%%-*} = 1" | tee gdb.log
	grep -q '0x0000000000000000$' gdb.log && grep -q '^Cannot access memory' gdb.log
}

generated()
{
	gdb -p $pid -ex "generate-core-file generated" >gdb.log
	cat gdb.log
	! grep -q 'Memory read failed' gdb.log && object_is_in generated
}

generated_is_small()
{
	stat -c '%b blocks, %s bytes' generated
	[ "$(stat -c %s generated)" -le $most_bytes ]
}

ok "a default core has the object" core_has_it 0x33
ok "it is as large as what is used" core_is_small
ok "a core of all mappings has it" core_has_it 0x7f
ok "it is as large as what is used" core_is_small
ok "a core without shared memory has it not" core_has_none 0x31
ok "the mappings say what they are" named
ok "a debugger on the process sees it" attached
ok "holes read as zero" holes_are_zero
ok "gcore has it" generated
ok "it is as large as what is used" generated_is_small
kill $pid
finish
