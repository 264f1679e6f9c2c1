#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Traces of whole programs: blocks are attributed to the right lines, in Python and in C,
# from the start on and in a program that runs; and programs that leak are found out.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
leaks=$(realpath "${0%/*}/leaks")
cd "$scratch" || exit 1

# Programs wait for lines: start COMMAND..., then tell; end waits for the program.
start()
{
	coproc SUBJECT { exec "$@"; }
	subject=$SUBJECT_PID
	exec {to}>&"${SUBJECT[1]}" {from}<&"${SUBJECT[0]}"
	read -r answer <&"$from" && [ "$answer" = ready ]
}

tell()
{
	echo "$@" >&"$to"
	read -r answer <&"$from" && [ "$answer" = "done" ]
}

end()
{
	echo end >&"$to"
	wait "$subject"
}

# Blocks whose number and size are known, by line.
cat >known.py <<'END'
import array, sys
class Pair:
    __slots__ = ("left", "right")
kept = []
class Own:
    pass
def work():
    a = [Pair() for i in range(700)]		# 700 48
    b = [str(i) + "x" * 40 for i in range(1234)]	# 1234 96
    c = []
    for i in range(321):
        c.append(bytes(100 + i % 3))		# 321 144
    d = tuple((i, i, i) for i in range(400))	# skipped
    e = [{"a": 1} for i in range(55)]		# skipped
    kept.extend([a, b, c, d, e])
print("ready", flush=True)
for line in iter(sys.stdin.readline, "end\n"):
    work()
    print("done", flush=True)
END

# look NAME: the blocks that there are, in NAME.json.
look()
{
	"$pymalloc" report --json --pid "$subject" >"$1.json"
}

# known BEFORE AFTER: from one look to the next, the work of known.py was done once.
known()
{
	python3 - "$@" <<'END'
import json, re, sys
wanted = {}
for number, line in enumerate(open("known.py"), 1):
    found = re.search(r"# (\d+) (\d+)$", line)
    if found:
        wanted[number] = int(found[1]), int(found[2])
def count(name, number, size):
    rows = json.load(open(name + ".json"))["heaps"][0]["rows"]
    return sum(row["blocks"] for row in rows
               if not row["cached"] and row["size"] == size and row["stack"] and
               row["stack"][0]["file"].endswith("known.py") and row["stack"][0]["line"] == number)
assert len(wanted) == 3
for number, (blocks, size) in wanted.items():
    before, after = (count(name, number, size) for name in sys.argv[1:3])
    print(number, size, blocks, before, after)
    assert after - before == blocks
END
}

exact_from_the_start()
{
	start "$pymalloc" run --trace -- python3 -S known.py && look none && tell work &&
		look once && known none once && tell work && look twice && known once twice && end
}

exact_in_a_program_that_runs()
{
	start "$pymalloc" run -- python3 -S known.py &&
		"$pymalloc" trace --pid "$subject" --mode exact >set.txt && tell work &&
		"$pymalloc" trace --pid "$subject" >asked.txt && cat asked.txt &&
		grep -qE '^BEGUN +on' asked.txt && look begun && tell work && look after &&
		known begun after && end
}

# The first time is before, the second traced, the third after that has been ended.
off_again()
{
	start "$pymalloc" run -- python3 -S known.py && tell work &&
		"$pymalloc" trace --pid "$subject" --mode exact >set.txt && tell work && look on &&
		tell work && look more && known on more &&
		"$pymalloc" trace --pid "$subject" --mode off >set.txt && tell work &&
		"$pymalloc" trace --pid "$subject" >asked.txt && cat asked.txt &&
		grep -qE '^BEGUN +off' asked.txt &&
		"$pymalloc" report --pid "$subject" >off.txt && cat off.txt &&
		! grep -q known.py off.txt && end
}

# The child has its parent's blocks, which are older than its trace.
children()
{
	cat >child.py <<-'END'
	import os, subprocess, sys
	def make():
	    return [bytes(200) for i in range(500)]
	mine = make()
	if not os.fork():
	    theirs = make()
	    line = [sys.argv[1], "report", "--json", "--pid", str(os.getpid())]
	    clean = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
	    with open("child.json", "w") as file:
	        subprocess.run(line, stdout=file, check=True, env=clean)
	    os._exit(0)
	sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
	END
	"$pymalloc" run --trace -- python3 -S child.py "$pymalloc" || return
	python3 - <<-'END'
	import json
	rows = json.load(open("child.json"))["heaps"][0]["rows"]
	made = sum(row["blocks"] for row in rows if not row["cached"] and row["size"] == 240 and
	           row["stack"] and row["stack"][0]["line"] == 3)
	before = sum(row["blocks"] for row in rows if row["site"] == "before" or row["site"] == 0)
	print(made, before)
	assert made == 500 and before > 500, (made, before)
	END
}

# Another user sees nothing of it.
other_user()
{
	start "$pymalloc" run --trace -- python3 -S known.py && tell work || return
	setpriv --reuid 1234 --regid 1234 --clear-groups \
		"$pymalloc" report --pid "$subject" >other.txt 2>&1 && return 1
	cat other.txt
	! grep -q known.py other.txt && end
}

# The guards' checks need all blocks to be in the pool map.
guarded()
{
	start "$pymalloc" run --debug -- python3 -S known.py &&
		"$pymalloc" trace --pid "$subject" --mode sampled --interval 4096 >set.txt &&
		tell work && tell work && "$pymalloc" trace --pid "$subject" >asked.txt &&
		cat asked.txt && grep -qE '^BEGUN +off' asked.txt && end
}

# leak_line FILE MARK: the line with that mark.
leak_line()
{
	grep -n "$2" "$leaks/$1" | head -n 1 | cut -d: -f1
}

# three_snapshots NAME: of the program that has been started.
three_snapshots()
{
	local i

	tell round || return
	for i in 1 2 3; do
		tell round && "$pymalloc" snapshot -o "$1-$i.snap" --pid "$subject" || return
	done
}

# grows FILE COMMAND...: what grows most is the line in FILE that is marked.
grows()
{
	local file=$1 line first

	shift
	line=$(leak_line "$file" LEAK)
	start "$pymalloc" run --trace "$@" && three_snapshots "$file" && end || return
	"$pymalloc" growing "$file"-{1,2,3}.snap >"$file.txt" || return
	cat "$file.txt"
	first=$(sed -n '/GROWTH/{n;p}' "$file.txt")
	[[ $first = *"$file:$line "* ]]
}

python_grows()
{
	grows "$1" --frames 1 -- python3 -S "$leaks/$1"
}

# Its only frames in files with lines are its own.
c_grows()
{
	grows "$1.c" --native 8 -- "${leaks%/*}/$1"
}

# What dies at once, most of all.
temporary()
{
	local line

	line=$(leak_line concat.py TEMPORARY)
	"$pymalloc" report --temporary concat.py-3.snap >temporary.txt || return
	cat temporary.txt
	sed -n '/PLACE/{n;p}' temporary.txt | grep -q "concat.py:$line "
}

# A snapshot with blocks in magazines, whose words are no sites.
converts()
{
	"$pymalloc" report --json cache.py-3.snap >cache.json &&
		grep -q '"cached": *true' cache.json &&
		"$pymalloc" convert --to tracemalloc -o cache.pickle cache.py-3.snap &&
		python3 - <<-'END'
		import tracemalloc
		lines = tracemalloc.Snapshot.load("cache.pickle").statistics("lineno")
		print(*lines[:3], sep="\n")
		assert any(line.traceback[0].filename.endswith("cache.py") for line in lines)
		END
}

fails_on_growth()
{
	"$pymalloc" diff --fail-on-growth 1K cache.py-1.snap cache.py-3.snap >/dev/null
	[ $? = 3 ] && "$pymalloc" diff --fail-on-growth 1G cache.py-1.snap cache.py-3.snap >/dev/null
}

ok "a program is traced from its start on" exact_from_the_start
ok "a program is traced while it runs" exact_in_a_program_that_runs
ok "a trace ends" off_again
ok "a child has a trace of its own" children
ok "another user sees nothing" other_user
for program in cache.py release.py closure.py handler.py concat.py; do
	ok "the leak in $program is found" python_grows $program
done
for program in leak_error leak_cache leak_thread; do
	ok "the leak in $program.c is found" c_grows $program
done
ok "a traced program may be in a sandbox" "$pymalloc" run --trace --native 10 -- \
	"${leaks%/*}/sandboxed"
ok "a program with guards is not traced" guarded
ok "what dies at once is found" temporary
ok "a snapshot is converted" converts
ok "growth makes diff fail" fails_on_growth
finish
