#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The documentation's examples print what it says they print, and it explains what
# `pymalloc show` and `pymalloc export` print.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../userspace/tap.sh
. "${0%/*}/tap.sh"

root=$(realpath "$here/../../..")
output=$root/Documentation/output

for example in heap words upkeep; do
	ok "$example" diff "$output/$example.txt" \
		<("$root/build/examples/$example" </dev/null)
done
ok "module parameters" diff <(sed 1d "$output/modinfo.txt") \
	<(modinfo -F parm "$PYMALLOC_MODULE")

# The fields of a heap, and then those of its size classes.
fields()
{
	"$userspace/pymalloc" run -- bash -c '"$0" show --pid $$; :' "$userspace/pymalloc" |
		awk '/^$/ { classes = 1; next }
			!classes { print $1 }
			classes { for (i = 1; i <= NF; i++) print $i; exit }'
}

# Those that have a row in a table of the page about the command.
explained()
{
	sed -n 's/^   \* - ``\([A-Z_]*\)``$/\1/p' "$root/Documentation/command.rst"
}

# members STRUCT: its members that are figures of a heap.
members()
{
	sed -n "/^struct $1 {/,/^}/s/.*[[:space:]]\([a-z_]*\);$/\1/p" \
		"$root/uapi/linux/pymalloc.h" |
		grep -vx 'argsz\|flags\|reserved\|classes\|nr_classes\|class_size'
}

members_are_named()
{
	local name missing=0

	for name in $(members pymalloc_stats) $(members pymalloc_class_stats); do
		grep -q "^     - \`\`$name\`\`$" "$root/Documentation/command.rst" || {
			echo "no field is said to be $name"
			missing=1
		}
	done
	return $missing
}

# The metrics that the page about the command names, and those that are printed.
named_metrics()
{
	sed -n 's/^   \* - ``\(pymalloc_[a-z_]*\)``$/\1/p' "$root/Documentation/command.rst" | sort -u
}

exported_metrics()
{
	"$userspace/pymalloc" run -- bash -c '"$0" export --classes --check' "$userspace/pymalloc" |
		sed -n 's/^# TYPE \(pymalloc_[a-z_]*\) counter$/\1_total/p
			s/^# TYPE \(pymalloc_[a-z_]*\) gauge$/\1/p' | sort -u
}

ok "metrics of export" diff <(named_metrics) <(exported_metrics)
ok "fields of show" diff <(explained) <(fields)
ok "members of the structs that show prints" members_are_named
finish
