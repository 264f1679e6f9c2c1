#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# CPython on the malloc shim in its debug modes, and how these modes are chosen.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc

# run ARG...: `pymalloc run ARG...`. If it writes to stderr, the test fails.
run()
{
	"$pymalloc" run "$@" 2>"$scratch/stderr" || {
		cat "$scratch/stderr"
		return 1
	}
	! grep . "$scratch/stderr"
}

work='
import ast, glob, hashlib, json, os, re, threading
digest = hashlib.sha256()
for path in sorted(glob.glob(os.path.dirname(ast.__file__) + "/as*.py")):
	digest.update(ast.dump(ast.parse(open(path).read())).encode())
lists = json.dumps([[str(i)] * (i % 7) for i in range(3000)])
digest.update(re.sub("1+", "one", json.dumps(json.loads(lists))).encode())
sums = []
threads = [threading.Thread(target=lambda: sums.append(sum(len(str(i)) for i in range(5000))))
	for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(digest.hexdigest(), sums)'

same_output()
{
	[ "$(python3 -c "$work")" = "$(run "$1" python3 -c "$work")" ]
}

is_sound()
{
	run "$1" python3 -c '
import os, subprocess, sys
kept = [str(i) for i in range(20000)]
del kept[::3]
subprocess.run([sys.argv[1], "check", "--pid", str(os.getpid())], check=True)' "$pymalloc"
}

forks()
{
	run "$1" python3 -c '
import os, subprocess
kept = [str(i) for i in range(5000)]
for _ in range(3):
	pid = os.fork()
	if not pid:
		del kept
		kept = [str(i) for i in range(5000)]
		os._exit(0)
	assert os.waitpid(pid, 0)[1] == 0
assert subprocess.run("exit 3", shell=True).returncode == 3
assert kept == [str(i) for i in range(5000)]'
}

overflow='
import ctypes
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
object = library.malloc(100)
ctypes.memset(object, 0, 101)
library.free(object)'

finds_an_overflow()
{
	status 134 bash -c '"$@"; exit $?' - "$pymalloc" run "$1" python3 -c "$overflow" \
		2>"$scratch/stderr" || return
	cat "$scratch/stderr"
	grep -q '^free(): object 0x[0-9a-f]* was written to behind its end: byte 100 is 0x00, not 0xfd$' \
		"$scratch/stderr"
}

chosen_by_the_environment()
{
	PYMALLOC_DEBUG=$1 finds_an_overflow --
}

# What was freed is free for the kernel, too, without a flush.
tells_the_kernel_at_once()
{
	run --strict python3 -c '
import json, os, subprocess, sys
show = [sys.argv[1], "show", "--json", "--pid", str(os.getpid())]
def blocks():
	shown = subprocess.run(show, stdout=subprocess.PIPE, check=True).stdout
	return json.loads(shown)["heap"]["blocks"]
blocks()
kept = [str(i) * 3 for i in range(1000)]
before = blocks()
kept = None
assert 990 < before - blocks() < 1010' "$pymalloc"
}

ignored()
{
	[ "$(PYMALLOC_DEBUG=$1 "$pymalloc" run echo well 2>"$scratch/stderr")" = well ] || return
	cat "$scratch/stderr"
	[ "$(cat "$scratch/stderr")" = "pymalloc: PYMALLOC_DEBUG=$1: neither debug nor strict; ignored" ]
}

cut_short()
{
	PYMALLOC_DEBUG=$(printf 'x%.0s' {1..500}) "$pymalloc" run echo 2>"$scratch/stderr" || return
	cat "$scratch/stderr"
	[ "$(wc -l <"$scratch/stderr")" = 1 ] && [ "$(wc -c <"$scratch/stderr")" -lt 120 ]
}

says_nothing_if_empty()
{
	[ "$(PYMALLOC_DEBUG='' run echo well)" = well ]
}

# In a mount namespace without the device, where run would not preload the shim.
falls_back()
{
	local output

	# shellcheck disable=SC2016
	output=$(unshare -m bash -c 'mount --bind /dev/null /dev/pymalloc && exec "$@"' - \
		env "LD_PRELOAD=$userspace/libpymalloc-malloc.so" PYTHONMALLOC=malloc \
		PYMALLOC_DEBUG="${1#--}" python3 -c 'print(len([str(i) for i in range(10000)]))' \
		2>"$scratch/stderr")
	cat "$scratch/stderr"
	[ "$output" = 10000 ] && [ "$(wc -l <"$scratch/stderr")" = 1 ] &&
		grep -q 'the C library serves this process$' "$scratch/stderr"
}

for mode in --debug --strict; do
	ok "$mode: a program's output is the same" same_output "$mode"
	ok "$mode: the heap is sound" is_sound "$mode"
	ok "$mode: fork" forks "$mode"
	ok "$mode: an overflow is found" finds_an_overflow "$mode"
	ok "$mode: no device" falls_back "$mode"
	ok "PYMALLOC_DEBUG=${mode#--}" chosen_by_the_environment "${mode#--}"
done
ok "strict keeps no block from the kernel" tells_the_kernel_at_once
ok "another value is said to be ignored" ignored yes
ok "a long value is cut short" cut_short
ok "an empty value is none" says_nothing_if_empty
finish
