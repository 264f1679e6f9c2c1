# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# What every script needs: where things are, and how to complain.

root=$(realpath "${BASH_SOURCE[0]%/*}/../..")
tools=$root/selftests/tools
vm=$root/selftests/vm
build=$root/build
cache=${PYMALLOC_CACHE:-${XDG_CACHE_HOME:-~/.cache}/pymalloc}
PATH=$PATH:/usr/sbin:/sbin

say()
{
	echo "${0##*/}: $*" >&2
}

die()
{
	say "$*"
	exit 125
}

# The words of package lists: one name or more a line, comments after '#'.
list()
{
	sed 's/#.*//' "$@" | xargs
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_get()
{
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq \
		-o DPkg::Lock::Timeout=600 "$@" >&2
}

# code FILE...: files without comments, to name what is made from them: by other words
# nothing else would be made. kconfig's "# CONFIG_X is not set" is no comment.
code()
{
	sed -E '/^\s*#/{/^# CONFIG_\w+ is not set$/!d}' "$@"
}

# cache_make FILE FUNCTION: unless FILE is in the cache, have FUNCTION make
# $tmp/new and call it FILE when it is complete. One at a time makes a file.
cache_make()
{
	if [ -e "$1" ]; then
		return
	fi
	mkdir -p "${1%/*}"
	exec 9>"$1.lock"
	flock 9
	if [ ! -e "$1" ]; then
		tmp=$(mktemp -d "$cache/tmp.XXXXXX")
		trap 'rm -rf "$tmp"' EXIT
		"$2"
		mv -T "$tmp/new" "$1"
	fi
	rm -f "$1.lock"
}
