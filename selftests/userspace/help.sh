#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Each command and each of its options is in --help, in the manual page, in the page of the
# command, and is offered by the completion, which takes them from --help; and the manual page
# has no option that no command has. The Python package has the options of `convert`.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
root=$(realpath "$here/../../..")
page=$root/userspace/man/pymalloc.1.in

commands()
{
	"$pymalloc" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]\+\) .*/\1/p'
}

# options COMMAND: its long options, without those that all have.
options()
{
	"$pymalloc" "$1" --help | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+' |
		grep -vxE -- '--(help|usage|version)'
}

# The manual page without the marks of its language.
plain_page()
{
	sed -e 's/\\f[A-Z]//g' -e 's/\\-/-/g' "$page"
}

# has WORD TEXT: the word is in the text, on its own.
has()
{
	grep -qE -- "(^|[^a-z-])$1([^a-z-]|\$)" <<<"$2" || echo "$1"
}

in_text()
{
	local text=$1 command option missing=

	while read -r command; do
		missing+=$(has "$command" "$text")
		while read -r option; do
			missing+=" $(has "$option" "$text")"
		done < <(options "$command")
	done < <(commands)
	missing=$(xargs <<<"$missing")
	[ -z "$missing" ] || { echo "missing: $missing"; return 1; }
}

# Options that the manual page explains, but no command has.
no_other_option()
{
	comm -13 <(while read -r command; do options "$command"; done < <(commands) | sort -u) \
		<(plain_page | sed -n '/^\.SH OPTIONS/,/^\.SH EXIT/p' | grep '^\.BR' |
			grep -oE -- '--[a-z-]+' | grep -vxE -- '--(help|version)' | sort -u) \
		>"$scratch/other"
	[ ! -s "$scratch/other" ] || { cat "$scratch/other"; return 1; }
}

of_package()
{
	PYTHONPATH=$root/userspace/python python3 -B -m pymalloc.convert --help |
		grep -oE -- '--[a-z-]+' | sort -u | grep -vx -- --help
}

ok "there are commands and options" test "$(commands | wc -l)" -gt 10 -a \
	"$(options policy | wc -l)" -gt 5
ok "the manual page has all" in_text "$(plain_page)"
ok "the page of the command has all" in_text "$(<"$root/Documentation/command.rst")"
ok "the manual page has no other option" no_other_option
ok "bash can read the completion" bash -n "$root/userspace/completion/pymalloc"
ok "the completion takes them from --help" grep -q "_parse_help \"\$1\" .*--help" \
	"$root/userspace/completion/pymalloc"
# "--json" is what the help says of `pymalloc report`.
ok "the Python package has the options of convert" \
	diff <(options convert | sort) <(of_package | grep -vx -- --json)
finish
