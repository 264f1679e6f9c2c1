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

for example in heap words upkeep stack types shared containers; do
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

# Every option of every command has a place in the manual page and on the page about the command.
# Completion has them from --help.
options_are_explained()
{
	local command option missing=0

	sed 's/\\-/-/g' "$root/userspace/man/pymalloc.1.in" >"$scratch/page"
	for command in $("$userspace/pymalloc" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]\+\) .*/\1/p'); do
		for option in $("$userspace/pymalloc" "$command" --help | grep -oE '^ +(-., )?--[a-z-]+' |
			grep -oE -- '--[a-z-]+' | grep -vx -- '--help\|--usage'); do
			if ! grep -q -- "$option\b" "$scratch/page" ||
				! grep -q -- "$option\b" "$root/Documentation/command.rst"; then
				echo "$command $option is not explained"
				missing=1
			fi
		done
	done
	return $missing
}

ok "options of the command" options_are_explained
ok "metrics of export" diff <(named_metrics) <(exported_metrics)
ok "fields of show" diff <(explained) <(fields)
ok "members of the structs that show prints" members_are_named
finish
