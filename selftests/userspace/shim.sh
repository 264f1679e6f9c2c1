#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Programs of other authors on the malloc shim: with the device, without it, and
# with everything that programs do to make an allocator's work hard.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc

# python CODE [ARG...]: run CODE on the shim. If it writes to stderr, the test
# fails.
python()
{
	"$pymalloc" run -- python3 -c "$@" 2>"$scratch/stderr" || {
		cat "$scratch/stderr"
		return 1
	}
	! grep . "$scratch/stderr"
}

work='
import ast, glob, hashlib, os
digest = hashlib.sha256()
for path in sorted(glob.glob(os.path.dirname(ast.__file__) + "/a*.py")):
	digest.update(ast.dump(ast.parse(open(path).read())).encode())
print(digest.hexdigest())'

same_output()
{
	[ "$(python3 -c "$work")" = "$(python "$work")" ]
}

# The shim alone, with LD_PRELOAD, as in the environment of a service.
alone=(env "LD_PRELOAD=$userspace/libpymalloc-malloc.so" PYTHONMALLOC=malloc)

# Without the device: in a mount namespace whose /dev has only what is needed.
without_device()
{
	# shellcheck disable=SC2016
	unshare -m bash -c '
		mount -t tmpfs none /mnt && touch /mnt/null &&
		mount --bind /dev/null /mnt/null && mount --move /mnt /dev &&
		exec "$@"' - "$@"
}

# With a device of another service.
with_other_device()
{
	# shellcheck disable=SC2016
	unshare -m bash -c 'mount --bind /dev/null /dev/pymalloc && exec "$@"' - "$@"
}

# says MESSAGE CMD...: CMD works, and writes this line and no other to stderr.
says()
{
	local message=$1

	shift
	"$@" 2>"$scratch/stderr" || return
	cat "$scratch/stderr"
	[ "$(wc -l <"$scratch/stderr")" = 1 ] && grep -q "$message" "$scratch/stderr"
}

family='
import os, subprocess
assert subprocess.run(["true"]).returncode == 0
assert os.system("true; true") == 0
assert len([str(i) for i in range(10000)]) == 10000
assert os.environ.get("LD_PRELOAD") is None and os.environ.get("PYTHONMALLOC") is None'

no_device='^pymalloc: /dev/pymalloc: No such file or directory; the C library serves '

# Set for the command CMD..., and put back afterwards.
with_user_heaps()
{
	local parameter=/sys/module/pymalloc/parameters/user_heaps before result=0

	before=$(<$parameter)
	echo "$1" >$parameter
	"${@:2}" || result=$?
	echo "$before" >$parameter
	return $result
}

# The program's own heap is the only one that this user may have.
children_without_heaps_are_silent()
{
	with_user_heaps 1 setpriv --reuid 4321 --regid 4321 --clear-groups \
		"$pymalloc" run python3 -c '
import subprocess
for _ in range(3):
	subprocess.run(["python3", "-c", ""], check=True)' 2>"$scratch/stderr" || return
	! grep . "$scratch/stderr"
}

# Meanwhile, another process of this user has the only heap that the user may
# have.
past_user_heaps()
{
	local user=(setpriv --reuid 4322 --regid 4322 --clear-groups) holder result=0

	exec 3< <(exec "${user[@]}" "$pymalloc" run python3 -c '
import signal
print("ready", flush=True)
signal.pause()')
	holder=$!
	read -r _ <&3
	with_user_heaps 1 says '^pymalloc: /dev/pymalloc: this user has 1 heaps already, of 1; ' \
		"${user[@]}" "$pymalloc" run python3 -c "$family" || result=$?
	kill "$holder"
	exec 3<&-
	return $result
}

# The alignments must be right all the same.
alignments='
import ctypes
library = ctypes.CDLL(None)
library.memalign.restype = ctypes.c_void_p
for alignment in 32, 64, 128, 256, 512:
	for _ in range(10):
		assert library.memalign(alignment, 20) % alignment == 0'

# The loader preloads nothing then. It must not matter which program it is.
set_user_id()
{
	local copy=$scratch/mount/cat

	# shellcheck disable=SC2016
	unshare -m bash -c '
		mkdir -p "${1%/*}" && mount -t tmpfs -o mode=755,suid none "${1%/*}" &&
		cp /bin/cat "$1" && chown 1234 "$1" && chmod 4755 "$1" &&
		chmod 711 "${1%/*/*}" && exec setpriv --reuid 65534 --regid 65534 \
			--clear-groups "$2" run "$1" /proc/self/status /proc/self/maps' \
		- "$copy" "$pymalloc" >"$scratch/process" 2>"$scratch/stderr" || return
	cat "$scratch/stderr"
	[ ! -s "$scratch/stderr" ] &&
		grep -qP '^Uid:\t65534\t1234\t1234\t' "$scratch/process" &&
		grep -q libc "$scratch/process" && ! grep -q pymalloc "$scratch/process"
}

prints_two()
{
	[ "$("$@")" = 2 ]
}

# This holds for any limit, and also after the program has closed all
# descriptors. The limit stays.
no_descriptor()
(
	ulimit -Hn 4096 && ulimit -Sn "$1" && python '
import os, resource, sys
def seen():
	return [fd for fd in range(max(1000, os.sysconf("SC_OPEN_MAX")))
		if os.path.exists(f"/proc/self/fd/{fd}")]
assert seen() == [0, 1, 2], seen()
os.closerange(3, 4096)
kept = [str(i) for i in range(100000)]
del kept
assert len([str(i) for i in range(100000)]) == 100000
assert seen() == [0, 1, 2], seen()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (int(sys.argv[1]), 4096)' "$1"
)

# As python-daemon's DaemonContext(uid=...) does it: the process becomes another
# user, closes all descriptors, and then has children.
daemon='
import os
kept = [str(i) for i in range(10000)]
os.setgid(65534)
os.setuid(65534)
for _ in range(2):
	child = os.fork()
	if child:
		os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
	os.setsid()
os.closerange(3, 4096)
os.umask(0)
def work(n):
	return sum(len(str(i)) for i in range(n))
for n in range(3):
	child = os.fork()
	if not child:
		os._exit(kept != [str(i) for i in range(10000)] or work(100000) != 488890)
	assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert kept == [str(i) for i in range(10000)] and work(100000) == 488890
kept = None'

# The new user may not open the device. The shim says so once, and the program
# goes on.
daemon_without_device()
{
	local result=0

	chmod 660 /dev/pymalloc
	"$pymalloc" run -- python3 -c "$daemon" 2>"$scratch/stderr" || result=$?
	chmod 666 /dev/pymalloc
	cat "$scratch/stderr"
	[ $result = 0 ] && [ "$(wc -l <"$scratch/stderr")" = 1 ] &&
		grep -q '^pymalloc: /dev/pymalloc: Permission denied; process [0-9]* has closed ' "$scratch/stderr"
}

# What MALLOC_PERTURB_=85 fills. A free block begins with a mark of the library.
perturbed='
import ctypes
library = ctypes.CDLL(None)
for name in "malloc", "calloc", "realloc", "memalign":
	getattr(library, name).restype = ctypes.c_void_p
library.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
filled = lambda object, byte, size: ctypes.string_at(object, size) == bytes([byte]) * size
for size in 24, 100, 170, 512:
	kept = [library.malloc(size) for _ in range(3)]
	assert all(filled(object, 170, size) for object in kept), size
	assert filled(library.memalign(64, size), 170, size), size
	assert filled(library.calloc(1, size), 0, size), size
	library.free(kept[1])
	assert filled(kept[1] + 16, 85, size - 16), size
	ctypes.memset(kept[2], 1, size)
	grown = library.realloc(kept[2], 3 * size)
	assert filled(grown, 1, size) and (size > 170 or filled(grown + size, 170, 2 * size)), size'

perturbs()
{
	MALLOC_PERTURB_=85 python "$perturbed" && MALLOC_PERTURB_=0x55 python "$work"
}

# Free an object of SIZE bytes twice. It is flushed when its thread ends.
double_free='
import ctypes, sys, threading
size = int(sys.argv[1])
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
def twice():
	library.malloc(size)	# lest the pool goes
	object = library.malloc(size)
	library.free(object)
	library.free(object)
thread = threading.Thread(target=twice)
thread.start()
thread.join()'

# aborts MESSAGE CODE [ARG...]
aborts()
{
	local message=$1

	shift
	status 134 bash -c '"$@"; exit $?' - "$pymalloc" run python3 -c "$@" \
		2>"$scratch/stderr" || return
	grep -q "$message" "$scratch/stderr"
}

freed_twice='^free(): invalid pointer 0x[0-9a-f]*: double free$'

# The word is zero, and so is the word that the C library takes for the size of
# a chunk.
freed_within='
import ctypes
library = ctypes.CDLL(None)
library.calloc.restype = ctypes.c_void_p
library.free(ctypes.c_void_p(library.calloc(1, 1200) + 16))'

small_address_space()
{
	(ulimit -v $((8 << 20)) && python 'print(sum(len(str(i)) for i in range(100000)))') &&
		(ulimit -v $((1 << 20)) && python 'print("a small window")')
}

ok "a program's output is the same" same_output
ok "children of subprocess" python '
import subprocess
for i in range(20):
	line = subprocess.run(["echo", str(i)], stdout=subprocess.PIPE, check=True).stdout
	assert line == b"%d\n" % i
assert subprocess.run("exit 3", shell=True).returncode == 3'
ok "os.posix_spawn, os.system, os.popen" python '
import os
pid = os.posix_spawn("/bin/true", ["true"], os.environ)
assert os.waitpid(pid, 0)[1] == 0
assert os.system("true") == 0
assert os.popen("echo hello").read() == "hello\n"'
ok "exec" prints_two "$pymalloc" run sh -c 'exec python3 -c "print(1 + 1)"'
ok "threads" python '
import threading, queue
jobs, results = queue.Queue(), queue.Queue()
def work():
	while (n := jobs.get()) is not None:
		results.put([str(i) for i in range(n)])
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for i in range(400): jobs.put(i)
for thread in threads: jobs.put(None)
for thread in threads: thread.join()
assert sum(len(results.get()) for _ in range(400)) == sum(range(400))'
ok "all descriptors closed" python '
import os
os.closerange(3, 4096)
kept = [str(i) for i in range(100000)]
del kept
assert len([str(i) for i in range(100000)]) == 100000'
ok "a daemon of another user" python "$daemon"
ok "a daemon of another user who may not open the device" daemon_without_device
for limit in 1024 30; do
	ok "no descriptor is in sight, limit $limit" no_descriptor $limit
done
ok "an address space of 8 GiB, and one of 1" small_address_space
ok "the heap is sound" python '
import os, subprocess, sys
subprocess.run([sys.argv[1], "check", "--pid", str(os.getpid())], check=True)' "$pymalloc"
# A program that asks for an object's size need not care which allocator made
# it.
ok "a program linked with another allocator" env LD_PRELOAD=libjemalloc.so.2 \
	"$pymalloc" run -- python3 -c '
import ctypes
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc_usable_size.argtypes = [ctypes.c_void_p]
library.malloc_usable_size.restype = ctypes.c_size_t
for size in 1, 512, 513, 5000, 300000:
	assert size <= library.malloc_usable_size(library.malloc(size)) <= 2 * size + 4096, size'
ok "MALLOC_PERTURB_" perturbs
ok "malloc_stats" bash -c "'$pymalloc' run python3 -c 'import ctypes; ctypes.CDLL(None).malloc_stats()' \
	2>&1 | grep -A 2 '^pymalloc:$' | grep -q '^in use bytes     = *[1-9]'"
ok "a double free aborts" aborts "$freed_twice" "$double_free" 472
ok "a double free of a spare aborts" aborts "$freed_twice" "$double_free" 1200
ok "a pointer into what is the C library's aborts" \
	aborts '^free(): invalid pointer$' "$freed_within"
ok "run without the device: one line for all, and no shim" \
	says "$no_device" without_device "$pymalloc" run python3 -c "$family"
ok "run with another device: one line for all, and no shim" \
	says '^pymalloc: /dev/pymalloc: Inappropriate ioctl for device; ' \
	with_other_device "$pymalloc" run python3 -c "$family"
ok "run past the user's heaps: one line for all, and no shim" past_user_heaps
ok "the shim without the device: one line" \
	says "$no_device" without_device "${alone[@]}" python3 -c ''
ok "the shim with another device: one line" says '^pymalloc: /dev/pymalloc: ' \
	with_other_device "${alone[@]}" python3 -c "$alignments"
ok "children past the user's heaps, under run: silence" \
	children_without_heaps_are_silent
ok "a set-user-id program" set_user_id
finish
