# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts have in common that write to output/ what the pages show.

set -eu

cd "$(realpath "$(dirname "${BASH_SOURCE[0]}")")"
out=$PWD/output
# shellcheck disable=SC2034	# for those that read this file
examples=$PWD/examples
build=$(realpath ../build)
PATH=$build/userspace:$build/examples:$PATH
export NO_COLOR=1
mkdir -p "$out"

# show NAME COMMAND: store the command, as a shell reads it, and its output. It may fail.
show()
{
	{
		echo "# $2"
		eval "$2"
	} >"$out/$1.txt" 2>&1 || true
}

# installed: have the command, the shims and the Python package where `make install` has them.
installed()
{
	install -t /usr/local/bin "$build/userspace/pymalloc"
	install -t /usr/local/lib "$build"/userspace/libpymalloc-malloc{,-trace}.so
	cp -r ../userspace/python/pymalloc /usr/local/lib/python3.11/dist-packages
	PATH=/usr/local/bin:$PATH
}

# serve LIMIT CMD...: run the server with CMD, and with so many answers at most if LIMIT is
# not empty; and have clients ask it. stop ends both.
serve()
{
	local limit=$1

	shift
	mkdir -p /sys/fs/cgroup/server
	(
		echo "$BASHPID" >/sys/fs/cgroup/server/cgroup.procs
		exec "$@" python3 server.py 7007 $limit
	) >server.log &
	PID=$!
	until grep -qs ready server.log; do
		kill -0 "$PID"
		sleep 0.1
	done
	python3 client.py 7007 0 1000000 &
	client=$!
	sleep 5
}

stop()
{
	kill "$client" "$PID"
	wait || true
}
