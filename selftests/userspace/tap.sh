# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# TAP for scripts. A test is a command that must succeed.

here=$(dirname "$(realpath "$0")")
# The scripts use this: where userspace/ was built.
# shellcheck disable=SC2034
userspace=$(realpath "$here/../../userspace")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Programs under test see nothing of kselftest's runner: neither the library by which it
# makes stdout line-buffered nor the descriptors of its pipes.
unset LD_PRELOAD _STDBUF_O
exec 3>&- 4>&-
echo "TAP version 13"
tests=0
failures=0

# ok NAME CMD...
ok()
{
	local name=$1

	shift
	tests=$((tests + 1))
	if "$@" >"$scratch/log" 2>&1; then
		echo "ok $tests $name"
	else
		sed 's/^/# /' "$scratch/log"
		echo "not ok $tests $name"
		failures=$((failures + 1))
	fi
}

# status STATUS CMD...: CMD must end with this status.
status()
{
	local expected=$1 got=0

	shift
	"$@" || got=$?
	[ "$got" = "$expected" ] || {
		echo "exit status $got, not $expected"
		return 1
	}
}

finish()
{
	echo "1..$tests"
	[ "$failures" = 0 ]
}
