# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# For scripts to source: where things are, messages, packages, the cache.

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

# list FILE...: the names in lists of packages, which have comments after '#'.
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

# code FILE...: print files without comments. Cached files are named by a hash of what
# they are made from, and a better comment does not change what is made. kconfig's
# "# CONFIG_X is not set" is no comment.
code()
{
	sed -E '/^\s*#/{/^# CONFIG_\w+ is not set$/!d}' "$@"
}

# cache_make FILE FUNCTION: unless FILE is in the cache, have FUNCTION make $tmp/new, and
# rename that to FILE when it is complete. A lock keeps others from making it, too.
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
