#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The probes of sampled blocks, as bpftrace sees them: those of the malloc shim and those of
# the library.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
cd "$scratch" || exit 1
# Addresses of blocks that are there at one time.
export BPFTRACE_MAP_KEYS_MAX=200000 BPFTRACE_STRLEN=64

# watch LIBRARY COMMAND...: what happens at its probes while the command runs, as NAME VALUE
# lines. An address is in @live from its alloc to its free. With -c, bpftrace would look for the
# library in a process that has not loaded it yet. What it prints comes when it is attached.
watch()
{
	local library=$1

	shift
	: >seen
	bpftrace -q -B line -e "
		BEGIN { printf(\"attached\\n\"); }
		usdt:$library:otel_memory:alloc {
			@allocs = count();
			@weight = sum(arg2);
			@bytes = sum(arg1);
			if (@live[arg0]) { @twice = count(); }
			@live[arg0] = (uint64)1;
		}
		usdt:$library:otel_memory:free {
			@frees = count();
			if (!@live[arg0]) { @strange = count(); }
			delete(@live[arg0]);
		}
		END { clear(@live); }" >seen &
	tracer=$!
	until grep -q attached seen; do
		kill -0 $tracer || return
		sleep 0.1
	done
	"$@" || return
	kill -INT $tracer && wait $tracer || return
	cat seen
	sed -n 's/^@\([a-z]*\): \([0-9]*\)$/\1 \2/p' seen >figures
}

# within BLOCKS BYTES FREED: so many blocks of so many bytes were allocated, and so many of them
# freed; one in 4096 bytes was sampled. Some 3000 samples: 10 % are more than five standard
# deviations.
within()
{
	awk -v blocks="$1" -v bytes="$2" -v freed="$3" '
		{ of[$1] = $2 }
		function near(what, found, wanted) {
			print what, found, "expected", wanted
			if (found < 0.9 * wanted || found > 1.1 * wanted)
				wrong = 1
		}
		END {
			near("allocs", of["allocs"], blocks * bytes / 4096)
			near("weight", of["weight"], blocks * bytes)
			near("bytes", of["bytes"], blocks * bytes / 4096 * bytes)
			near("frees", of["frees"], freed * bytes / 4096)
			print "allocated twice", of["twice"] + 0, "freed twice", of["strange"] + 0
			exit wrong || of["twice"] || of["strange"]
		}' figures
}

shim()
{
	watch "$userspace/libpymalloc-malloc-trace.so" \
		"$pymalloc" run --trace=sampled --interval 4096 -- "$here/usdt_subject" malloc &&
		within 200000 64 100000
}

# Without a trace there are no samples.
untraced()
{
	watch "$userspace/libpymalloc-malloc-trace.so" \
		"$pymalloc" run -- "$here/usdt_subject" malloc && grep -qx 'allocs 0' figures &&
		! grep -v ' 0$' figures
}

library()
{
	watch "$(realpath "$userspace/libpymalloc.so.0")" "$here/usdt_subject" heap &&
		within 200000 64 100000
}

# probes FILE: the probes and their arguments, as tools find them in the file.
probes()
{
	[ "$(bpftrace -l "usdt:$1:otel_memory:*" | sed 's/.*:otel_memory/otel_memory/' | sort |
		xargs)" = "otel_memory:alloc otel_memory:free" ]
}

for file in libpymalloc-malloc-trace.so libpymalloc-malloc.so libpymalloc.so.0; do
	ok "$file has the probes" probes "$(realpath "$userspace/$file")"
done
ok "the shim's samples" shim
ok "none without a trace" untraced
ok "the library's samples" library
finish
