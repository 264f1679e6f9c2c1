#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# `pymalloc top`: what it prints into a pipe, and what it draws on a terminal.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "${0%/*}/tap.sh"

pymalloc=$userspace/pymalloc
cd "$scratch" || exit 1

# subject NAME OBJECTS: a process with this name and a heap of so many objects, which makes more
# when it reads a line. Its last letters would move a terminal's cursor.
cat >subject.py <<'END'
import ctypes, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode() + b"\x1b[2J\xff")
kept = [str(i) * 3 for i in range(int(sys.argv[2]))]
print("ready", flush=True)
for line in sys.stdin:
	kept += [str(i) * 3 for i in range(10000)]
	print("more", flush=True)
END

subject()
{
	mkfifo "$1.in"
	exec {from}< <(exec "$pymalloc" run -- python3 subject.py "$@" <"$1.in")
	pid=$!
	exec {to}>"$1.in"
	read -r answer <&"$from"
	# The name of a heap's command is that of the time when the heap was made.
	heap=$("$pymalloc" ls -nro HEAP,PID | awk -v pid="$pid" '$2 == pid { print $1 }')
	[ "$answer" = ready ] && "$pymalloc" policy "$heap" --no-decay --no-steal --no-mesh
}

subject small 20000 >policy
small=$heap small_to=$to small_pid=$pid
subject large 60000 >policy
large=$heap large_to=$to large_from=$from large_pid=$pid

# once ARG...: plain text, soon.
once()
{
	"$pymalloc" top --output once --interval 0.01 "$@" >text && cat -A text &&
		! grep -q '[^ -~]' text
}

# order HEAP...: these are the heaps that the text has, in its order.
order()
{
	[ "$(awk 'NR > 1 { print $1 }' text | xargs)" = "$*" ]
}

as_text()
{
	once && head -1 text | grep -q \
		'^ HEAP     PID COMMAND      NAME     BYTES  USED FRAG ALLOCS/S PAGES/S$' &&
		order "$large" "$small" && [ "$(grep -c '^ .* \[#*\.*\]$' text)" = 2 ] &&
		[ "$(awk 'length > 80' text)" = "" ]
}

# The figures are those of ls.
as_listed()
{
	once --sort heap && diff <(awk 'NR > 1 { print $1, $2, $5, $6, $7 }' text | sort) \
		<("$pymalloc" ls -nro HEAP,PID,BYTES,USED,FRAG | sort)
}

sorted()
{
	once -x "$1" && order "${@:2}"
}

# The figures are those of show.
classes_as_shown()
{
	once "$small" && head -1 text | grep -q '^  SIZE .* ALLOCS/S   FREES/S$' &&
		diff <(awk 'NR > 1 { print $1, $2, $3, $4, $5 }' text | sort) \
			<("$pymalloc" show "$small" | awk '/^ *SIZE/ { classes = 1; next }
				classes { print $1, $2 + $3, $4, $5 + $6, $7 }' | sort)
}

as_nobody()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

# says STATUS MESSAGE ARG...
says()
{
	status "$1" "$pymalloc" top "${@:3}" >output 2>stderr || { cat stderr; return 1; }
	cat stderr
	grep -q -- "$2" stderr && [ ! -s output ]
}

# draws CODE [ARG...]: CODE, with a terminal on which `pymalloc top ARG...` runs, and pyte to say
# what is on it.
draws()
{
	python3 -c "
import fcntl, os, pty, pyte, select, signal, struct, subprocess, sys, termios, time
class Terminal:
	def __init__(self, *words, term='linux', size=(24, 80), command='$pymalloc'):
		self.screen = pyte.Screen(size[1], size[0])
		self.stream = pyte.ByteStream(self.screen)
		self.raw = b''
		self.pid, self.fd = pty.fork()
		if not self.pid:
			os.environ['TERM'] = term
			os.environ.pop('COLUMNS', None)
			fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('4H', *size, 0, 0))
			signal.signal(signal.SIGINT, signal.SIG_DFL)
			os.execv(command, [command, 'top', *words])
		self.before = termios.tcgetattr(self.fd)
	def read(self):
		'False at the end.'
		try:
			data = os.read(self.fd, 65536)
		except OSError:
			data = b''
		self.raw += data
		self.stream.feed(data)
		return bool(data)
	def lines(self):
		return [line.rstrip() for line in self.screen.display]
	def until(self, true):
		while not true(self.lines()):
			assert self.read(), (self.lines(), self.raw)
	def has(self, text):
		self.until(lambda lines: any(text in line for line in lines))
	def type(self, keys):
		os.write(self.fd, keys.encode())
	def resize(self, *size):
		self.screen.resize(*size)
		fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('4H', *size, 0, 0))
	def selected(self):
		rows = [y for y in range(self.screen.lines) if self.screen.buffer[y][5].reverse]
		return self.lines()[rows[0]] if rows else ''
	def end(self):
		'The exit status; -N if signal N has ended it. The terminal must be as before.'
		self.restored = termios.tcgetattr(self.fd) == self.before
		while self.read():
			self.restored = self.restored or termios.tcgetattr(self.fd) == self.before
		status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
		print(status, self.raw)
		return status
	def quit(self):
		self.type('q')
		assert self.end() == 0 and self.is_restored()
	def is_restored(self):
		# The cursor is there again, and nothing is reversed.
		return b'\x1b[?25h' in self.raw.rsplit(b'\x1b[?25l', 1)[-1]
UP, DOWN, RIGHT, LEFT = '\x1b[A', '\x1b[B', '\x1b[C', '\x1b[D'
small, large = '$small', '$large'
def number(line):
	return line.split()[0] if line.split() else ''
$1" "${@:2}"
}

ok "the subjects are there" test -n "$small" -a -n "$large"
ok "plain text" as_text
ok "it is as ls" as_listed
ok "into a pipe" test "$("$pymalloc" top -i 0.01 | wc -l)" = 3
ok "--pid" bash -c "'$pymalloc' top --pid $small_pid -i 0.01 | grep -q SIZE"
ok "a heap: its size classes as show has them" classes_as_shown
ok "names do not move the cursor" grep -q 'large?\[2J?\|python3' <("$pymalloc" top -i 0.01)
ok "--sort heap" sorted heap "$large" "$small"
ok "--sort PID" sorted PID "$large" "$small"
ok "--sort used" sorted used "$large" "$small"
ok "without heaps" test "$(as_nobody "$pymalloc" top -i 0.01 | wc -l)" = 1
ok "a wide terminal has longer bars" bash -c "COLUMNS=110 '$pymalloc' top -i 0.01 |
	awk 'NR == 2 { exit length != 110 }'"
ok "a narrow one has none" bash -c "! COLUMNS=70 '$pymalloc' top -i 0.01 | grep -q '\['"

# A heap that makes objects has rates, and one that makes none has not.
rates='
subject_in, subject_out = open(sys.argv[1], "w"), open(sys.argv[2])
top = subprocess.Popen(["'$pymalloc'", "top", "-i", "3"], stdout=subprocess.PIPE, text=True)
while top.poll() is None:
	print("more", file=subject_in, flush=True)
	assert subject_out.readline() == "more\n"
rates = {number(line): line.split()[7:9] for line in top.stdout.readlines()[1:]}
assert rates[small] == ["0", "0"] and "0" not in rates[large], rates'
ok "rates" draws "$rates" /proc/$$/fd/"$large_to" /proc/$$/fd/"$large_from"

ok "it draws heaps" draws '
top = Terminal("-i", "0.2")
top.has("h: help")
lines = top.lines()
assert "2 heaps" in lines[0] and "by BYTES" in lines[0], lines
assert lines[1].split()[0] == "HEAP", lines
assert [number(line) for line in lines[2:4]] == [large, small], lines
assert lines[2].endswith("]") and top.selected() == lines[2], lines
top.quit()'
ok "it sorts by keys" draws '
top = Terminal("-i", "0.2", "--sort", "heap")
top.has("by HEAP")
top.until(lambda lines: number(lines[2]) == large)
top.type("r")
top.until(lambda lines: number(lines[2]) == small)
for key, name in (("i", "PID"), ("c", "COMMAND"), ("m", "NAME"), ("u", "USED"), ("f", "FRAG"),
		("a", "ALLOCS/S"), ("p", "PAGES/S"), ("b", "BYTES"), ("n", "HEAP")):
	top.type(key)
	top.has("by " + name)
top.until(lambda lines: number(lines[2]) == large)
top.quit()'
ok "the selected heap stays selected" draws '
top = Terminal("-i", "3600", "--sort", "heap")
top.until(lambda lines: number(top.selected()) == large)
top.type(DOWN)
top.until(lambda lines: number(top.selected()) == small)
top.type("r")
top.until(lambda lines: number(lines[2]) == small and top.selected() == lines[2])
top.type(DOWN + DOWN + DOWN)
top.until(lambda lines: number(top.selected()) == large)
top.type(UP + UP + UP)
top.until(lambda lines: number(top.selected()) == small)
top.quit()'
ok "Enter opens a heap, Escape closes it" draws '
top = Terminal("-i", "0.2")
top.has("by BYTES")
for enter, leave in (("\r", "\x1b"), (RIGHT, LEFT), ("\n", "\x7f")):
	top.type(enter)
	top.has(f"heap {large}: ")
	top.until(lambda lines: "SIZE" in lines[1])
	top.type("s")
	top.has("size classes, by SIZE")
	top.type(leave)
	top.has("2 heaps")
top.quit()'
ok "a heap of the line" draws '
top = Terminal(small)
top.has(f"heap {small}: ")
top.type(LEFT)
top.has("2 heaps")
top.quit()'
ok "help" draws '
top = Terminal("-i", "3600")
top.has("2 heaps")
top.type("h")
top.has("reverse the order")
top.type("x")
top.has("2 heaps")
top.type("?")
top.has("reverse the order")
top.quit()'
ok "other sizes" draws '
top = Terminal("-i", "3600")
top.has("2 heaps")
for size in (24, 120), (5, 40), (3, 10), (2, 1), (1, 1), (50, 200), (24, 80):
	top.resize(*size)
	if size[1] >= 80:
		top.until(lambda lines: lines[2].endswith("]") and "h: help" in lines[size[0] - 1]
			and size[1] - len(lines[2]) < 90)
top.quit()'
ok "a small terminal shows what is selected" draws '
top = Terminal(large, "-i", "3600", "-x", "heap", size=(5, 80))
top.has("size classes")
top.type("sr")
top.until(lambda lines: top.selected() and top.selected() == lines[2])
smallest = int(number(top.selected()))
top.type("\x1b[4~")
top.until(lambda lines: top.selected() == lines[3] and int(number(lines[3])) > smallest + 100)
top.quit()'
ok "it needs no UTF-8" draws '
os.environ["LC_ALL"] = "C"
top = Terminal("-i", "0.2")
top.has("2 heaps")
top.quit()'
for signal in INT TERM HUP QUIT; do
	ok "SIG$signal" draws '
top = Terminal("-i", "3600")
top.has("h: help")
number = getattr(signal, "SIG" + sys.argv[1])
if sys.argv[1] == "INT":
	top.type("\x03")
else:
	os.kill(top.pid, number)
assert top.end() == -number and top.is_restored()' "$signal"
done
ok "its terminal goes" draws '
top = Terminal("-i", "3600")
top.has("h: help")
os.close(top.fd)
assert os.waitstatus_to_exitcode(os.waitpid(top.pid, 0)[1]) in (0, -signal.SIGHUP)'
for term in dumb "" unknown; do
	ok "TERM=$term" draws '
top = Terminal("-i", "0.01", term=sys.argv[1])
assert top.end() == 0
assert b"\x1b" not in top.raw and b"HEAP" in top.raw, top.raw' "$term"
done
ok "no keys can be read" bash -c "script -qec \"'$pymalloc' top -i 0.01 </dev/null\" /dev/null \
	</dev/null | grep -q HEAP"
ok "without heaps" draws '
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
top = Terminal("-i", "0.2")
top.has("0 heaps")
top.type("\r" + DOWN + UP + "r")
top.has("0 heaps")
top.quit()'

# A heap that ends while it is shown. $1: the subject.
ok "a heap that is open ends" draws '
top = Terminal("-i", "0.05")
top.has("2 heaps")
top.type("\r")
top.has(f"heap {large}: ")
os.kill(int(sys.argv[1]), 15)
top.has(f"Heap {large} has ended.")
top.has("1 heaps")
top.quit()' "$large_pid"
ok "the heap of the line ends" draws '
top = Terminal(small, "-i", "0.05")
top.has(f"heap {small}: ")
os.kill(int(sys.argv[1]), 15)
assert top.end() == 0 and top.is_restored()' "$small_pid"

# Sites: one heap that has a trace, with a line that makes more, and one that has none.
cat >traced.py <<'END'
import sys
kept = []
def grow(n):
	for i in range(n):
		kept.append(bytes(100))
def stay(n):
	for i in range(n):
		kept.append(bytes(200))
stay(5000)
grow(1000)
print("ready", flush=True)
for line in sys.stdin:
	grow(10000)
	print("more", flush=True)
END
mkfifo traced.in
exec {traced_from}< <(exec "$pymalloc" run --trace -- python3 traced.py <traced.in)
traced_pid=$!
exec {traced_to}>traced.in
read -r _ <&"$traced_from"
traced=$("$pymalloc" ls -nro HEAP,PID | awk -v pid="$traced_pid" '$2 == pid { print $1 }')
subject plain 1000 >policy
plain=$heap plain_to=$to plain_from=$from plain_pid=$pid

# The figures are those of report. Lines with as many bytes have no order.
sites_as_reported()
{
	once --sites "$traced" &&
		head -1 text | grep -q '^ BYTES SHARE     BLOCKS  BYTES/S PLACE$' &&
		diff <(awk 'NR > 1 { $4 = ""; print }' text | tr -s ' ' | sort) \
			<("$pymalloc" report --top 0 "$traced" | awk '/^ *BYTES.*PLACE/ { lines = 1; next }
				/^$/ { lines = 0 }
				lines { $3 = $5 = ""; print }' | tr -s ' ' |
				sed -E 's/^(\S+) (\S+) (\S+) /\1 \3 \2 /' | sort)
}

ok "sites as report has them" sites_as_reported
ok "sites: the place is whole" grep -q " ${scratch}/traced.py:8 (stay)\$" text
ok "sites of a process" bash -c "'$pymalloc' top --sites --pid $traced_pid -i 0.01 | grep -q stay"
ok "sites without a trace" says 1 \
	"Heap $plain has no trace: pymalloc trace $plain --mode exact begins one" --sites "$plain"
ok "sites of no heap" says 2 'the sites of which heap?' --sites -o once
ok "sites without a trace, drawn" draws '
top = Terminal(sys.argv[1], "-i", "0.05", "--sites")
top.has(f"Heap {sys.argv[1]} has no trace: pymalloc trace {sys.argv[1]} --mode exact begins one.")
assert "0 places" in top.lines()[0]
subprocess.run([sys.argv[2], "trace", sys.argv[1], "--mode", "exact"], check=True, stdout=2)
top.has("The trace begins when the program next needs blocks.")
top.has("before the trace")
print("more", file=open(sys.argv[3], "w"), flush=True)
assert open(sys.argv[4]).readline() == "more\n"
top.has("h: help")
top.has("subject.py")
top.quit()' "$plain" "$pymalloc" /proc/$$/fd/"$plain_to" /proc/$$/fd/"$plain_from"
ok "it draws sites, and goes back and forth" draws '
top = Terminal(sys.argv[1], "-i", "0.05")
top.has("Tab: sites")
top.has("size classes, by BYTES")
for _ in range(2):
	top.type("\t")
	top.has("places, by BYTES")
	top.until(lambda lines: lines[2].endswith("traced.py:8 (stay)"))
	assert top.lines()[1].split() == ["BYTES", "SHARE", "BLOCKS", "BYTES/S", "PLACE"]
	assert all(len(line) <= 80 for line in top.lines())
	top.type("\t")
	top.has("size classes, by BYTES")
top.type("\t")
for key, name in (("o", "BLOCKS"), ("e", "SHARE"), ("g", "BYTES/S"), ("l", "PLACE"), ("b", "BYTES")):
	top.type(key)
	top.has("places, by " + name)
top.type("\x1b")
top.has("2 heaps")
top.type("\t")
top.has("2 heaps")
top.quit()' "$traced"
ok "sites that grow, and the selected one stays" draws '
top = Terminal(sys.argv[1], "--sites", "-i", "0.05")
top.until(lambda lines: lines[2].endswith("(stay)") and top.selected() == lines[2] and
	any(line.endswith("(grow)") and line.split()[3] == "0" for line in lines))
print("more", file=open(sys.argv[2], "w"), flush=True)
assert open(sys.argv[3]).readline() == "more\n"
top.until(lambda lines: lines[2].endswith("(grow)") and lines[2].split()[2] == "11000")
top.until(lambda lines: top.selected().endswith("(stay)"))
top.until(lambda lines: lines[2].split()[3] == "0")
top.quit()' "$traced" /proc/$$/fd/"$traced_to" /proc/$$/fd/"$traced_from"
ok "a site's rate" draws '
subject_in, subject_out = open(sys.argv[2], "w"), open(sys.argv[3])
top = subprocess.Popen(["'"$pymalloc"'", "top", "--sites", sys.argv[1], "-i", "3"],
	stdout=subprocess.PIPE, text=True)
while top.poll() is None:
	print("more", file=subject_in, flush=True)
	assert subject_out.readline() == "more\n"
	# However long top takes, the heap is not to meet its limit meanwhile.
	time.sleep(0.1)
lines = top.stdout.readlines()
rates = {line.split()[-1]: line.split()[3] for line in lines[1:]}
assert rates["(stay)"] == "0" and rates["(grow)"] not in ("0", "0.0"), "".join(lines)' \
	"$traced" /proc/$$/fd/"$traced_to" /proc/$$/fd/"$traced_from"
ok "a narrow terminal shows the end of places" draws '
top = Terminal(sys.argv[1], "--sites", "-i", "0.05", size=(24, 55))
top.until(lambda lines: "..." in lines[2] and lines[2].endswith("traced.py:5 (grow)"))
for size in (24, 120), (5, 40), (3, 10), (2, 1), (1, 1), (24, 80):
	top.resize(*size)
top.until(lambda lines: lines[2].endswith("traced.py:5 (grow)"))
top.quit()' "$traced"
ok "a heap that is open at its sites ends" draws '
top = Terminal(sys.argv[1], "--sites", "-i", "0.05")
top.has("(stay)")
os.kill(int(sys.argv[2]), 15)
assert top.end() == 0 and top.is_restored()' "$traced" "$traced_pid"
kill "$plain_pid"

for line in "x" "1 2" "--interval 0" "--interval x" "--sort x" "-o twice" "--pid 0" "--json"; do
	# shellcheck disable=SC2086
	ok "top $line" says 2 '^pymalloc top: ' $line
done
ok "no such heap" says 1 'no heap has the number 999999' 999999
ok "no such process" says 1 'there is no process 999999999' --pid 999999999
ok "into a full disk" status 1 bash -c "'$pymalloc' top -i 0.01 >/dev/full"
exec {small_to}>&- {large_to}>&- {traced_to}>&- {plain_to}>&-
finish
