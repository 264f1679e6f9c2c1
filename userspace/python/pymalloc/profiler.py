# SPDX-License-Identifier: LGPL-2.1-or-later
"""@profile: what each line of a function adds to the heap, as a table of memory_profiler.

Python's own tracing calls the profiler at each line.  A line's increment is what the bytes of
the heap have grown by from its begin to its end, so that what it calls counts as well; lines
of the same table that it calls (recursion, comprehensions, functions within the function)
count where they are.  What the profiler itself allocates meanwhile is taken off.
"""
import array
import dis
import functools
import inspect
import linecache
import sys
import threading
import time
import types

from . import heap, libc

_TEMPLATE = "{0:>6} {1:>12} {2:>12}  {3:>10}   {4:<}"
MIB = 1 << 20


def _measure_heap():
    if libc.shim_bytes is None or not libc.shim_bytes():
        raise heap.NoHeap("this process has no heap: start it with `pymalloc run`")
    return libc.shim_bytes


def _measure_malloc():
    if libc.malloc_bytes is None:
        raise heap.NoHeap("this C library has no mallinfo2()")
    return libc.malloc_bytes


# What can be measured: objects in the heap; or all that malloc has handed out, with the
# C library's memory of threads' free objects.
BACKENDS = {"heap": _measure_heap, "malloc": _measure_malloc}


class _Line:
    """What is known about a line: @most: the most bytes there were at its end."""

    __slots__ = ("increment", "most", "occurrences")

    def __init__(self):
        self.increment = 0
        self.most = 0
        self.occurrences = 0


class Table:
    """The lines of a function that is profiled, and of the functions within it."""

    def __init__(self, function):
        self.function = function
        self.code = function.__code__
        self.first_line = self.code.co_firstlineno
        self.lines = {}
        self.calls = []
        lines = [line for code in self.codes() for *_, line in code.co_lines() if line]
        self.last_line = max(lines, default=self.first_line)

    def codes(self):
        """The code of the function and of all functions within."""
        codes = [self.code]
        for code in codes:
            codes += filter(inspect.iscode, code.co_consts)
        return codes

    def line(self, number):
        """What is known about a line."""
        line = self.lines.get(number)
        if line is None:
            line = self.lines[number] = _Line()
        return line


def _resumptions(code):
    """Where a generator goes on after a yield, or a coroutine after an await."""
    return frozenset(instruction.offset for instruction in dis.get_instructions(code)
                     if instruction.opname == "RESUME" and instruction.arg & 3)


class _Open:
    """A frame that is being executed, and its line."""

    __slots__ = ("frame", "line", "at")

    def __init__(self, frame):
        self.frame = frame
        self.line = 0
        # Bytes of the heap when the line began.
        self.at = array.array("q", [0])


class _Thread(threading.local):
    """What a thread is in the middle of."""

    def __init__(self):
        self.depth = 0
        self.previous = None
        # Frames that are being executed, by table: the innermost last.
        self.open = {}
        # Bytes of the heap when the profiler begins its work at a line, and when it ends.
        self.clock = array.array("q", [0, 0])


class Profiler:
    """Profiles functions, and prints their tables."""

    def __init__(self, backend="heap"):
        self.backend = backend
        self.tables = {}
        self._measure = None
        self._codes = {}
        self._resumptions = {}
        self._thread = _Thread()
        # Calls that are going on.
        self._calls = 0
        # Bytes that the profiler itself has added to the heap.
        self._own = array.array("q", [0])
        self._lock = threading.RLock()
        # Bound once: each event would make another object of the method.
        self._line_tracer = self._trace_line

    def add(self, function):
        """Profile this function from now on.  Returns its table."""
        with self._lock:
            table = self._codes.get(function.__code__)
            if table is None:
                table = Table(function)
                self.tables[function.__code__] = table
                for code in table.codes():
                    self._codes[code] = table
                    self._resumptions[code] = _resumptions(code)
            return table

    # The tracing of a thread, from the first profiled function that it calls on.

    def __enter__(self):
        thread = self._thread
        if not thread.depth:
            if self._measure is None:
                self._measure = BACKENDS[self.backend]()
            thread.previous = sys.gettrace()
            sys.settrace(self._trace_call)
        thread.depth += 1
        return self

    def __exit__(self, *_):
        thread = self._thread
        thread.depth -= 1
        if not thread.depth:
            sys.settrace(thread.previous)
            thread.previous = None

    # Each of these measures before it does anything that stays in memory and after it, so
    # that the difference can be taken off.  Whenever it measures, the numbers lie in the
    # array: as objects they would be in the heap, and count.

    def _trace_call(self, frame, event, _):
        if event != "call" or frame.f_code not in self._codes:
            return None
        clock = self._thread.clock
        clock[0] = self._measure()
        self._enter(frame, clock[0] - self._own[0])
        clock[1] = self._measure()
        self._own[0] += clock[1] - clock[0]
        return self._line_tracer

    def _trace_line(self, frame, event, _):
        clock = self._thread.clock
        clock[0] = self._measure()
        if event == "line":
            self._next_line(frame, clock[0] - self._own[0])
        elif event == "return":
            self._leave(frame, clock[0] - self._own[0])
        clock[1] = self._measure()
        self._own[0] += clock[1] - clock[0]
        return self._line_tracer

    def _enter(self, frame, at):
        table = self._codes[frame.f_code]
        stack = self._thread.open.setdefault(table, [])
        if stack:
            self._end_line(table, stack[-1], at)
        entry = _Open(frame)
        stack.append(entry)
        entry.at[0] = at
        if frame.f_lasti in self._resumptions[frame.f_code]:
            entry.line = frame.f_lineno
        elif frame.f_code is table.code:
            # The line of the function's head: it says what there is at the begin.
            line = table.line(table.first_line)
            line.occurrences += 1
            line.most = max(line.most, at)

    def _next_line(self, frame, at):
        table = self._codes[frame.f_code]
        stack = self._thread.open.get(table)
        if not stack or stack[-1].frame is not frame:
            self._enter(frame, at)
            stack = self._thread.open[table]
        entry = stack[-1]
        self._end_line(table, entry, at)
        entry.line = frame.f_lineno
        entry.at[0] = at
        with self._lock:
            table.line(entry.line).occurrences += 1

    def _leave(self, frame, at):
        table = self._codes[frame.f_code]
        stack = self._thread.open.get(table)
        if not stack or stack[-1].frame is not frame:
            return
        self._end_line(table, stack.pop(), at)
        if stack:
            stack[-1].at[0] = at
        else:
            del self._thread.open[table]

    def _end_line(self, table, entry, at):
        if not entry.line:
            return
        with self._lock:
            line = table.line(entry.line)
            line.increment += at - entry.at[0]
            line.most = max(line.most, at)

    def bytes(self):
        """Bytes of the heap now, without the profiler's own."""
        return self._measure() - self._own[0]

    def _begin_call(self):
        with self._lock:
            self._calls += 1
        return self.bytes(), time.time(), self._thread.depth

    def _end_call(self, table, begin):
        """Returns whether no call is going on any more."""
        with self._lock:
            self._calls -= 1
            table.calls.append((begin, (self.bytes(), time.time())))
            return not self._calls

    def wrap(self, function, after=None):
        """A function that does what this one does, and profiles it.

        after: what is to be called when all calls of functions that are profiled have ended.
        """
        table = self.add(function)
        profiler = self

        def finish(begin):
            if profiler._end_call(table, begin) and after:
                after()

        if inspect.iscoroutinefunction(function):
            async def wrapper(*args, **kwargs):
                with profiler:
                    begin = profiler._begin_call()
                try:
                    return await _steps(profiler, function(*args, **kwargs))
                finally:
                    finish(begin)
        elif inspect.isasyncgenfunction(function):
            async def wrapper(*args, **kwargs):
                with profiler:
                    begin = profiler._begin_call()
                inner = function(*args, **kwargs)
                try:
                    step, value = inner.asend, None
                    while True:
                        try:
                            item = await _steps(profiler, step(value))
                        except StopAsyncIteration:
                            return
                        try:
                            value = yield item
                            step = inner.asend
                        except GeneratorExit:
                            await _steps(profiler, inner.aclose())
                            raise
                        except BaseException as error:
                            step, value = inner.athrow, error
                finally:
                    finish(begin)
        elif inspect.isgeneratorfunction(function):
            def wrapper(*args, **kwargs):
                with profiler:
                    begin = profiler._begin_call()
                try:
                    return (yield from _steps(profiler, function(*args, **kwargs)))
                finally:
                    finish(begin)
        else:
            def wrapper(*args, **kwargs):
                with profiler:
                    begin = profiler._begin_call()
                    try:
                        return function(*args, **kwargs)
                    finally:
                        finish(begin)
        return functools.wraps(function)(wrapper)

    def print(self, stream=None, precision=None):
        """Print the tables.  precision: digits of MiB; without it, plain bytes."""
        stream = stream or sys.stdout
        for table in self.tables.values():
            if table.lines:
                _print_table(table, stream, precision)

    def write_marks(self, stream):
        """Write the calls of functions as lines of an mprof file: bytes in MiB, seconds."""
        for table in self.tables.values():
            name = f"{table.function.__module__}.{table.function.__qualname__}"
            # Such a file has words between blanks.
            name = "_".join(name.split())
            for (before, start, depth), (after, end) in table.calls:
                stream.write(f"FUNC {name} {before / MIB:.6f} {start:.4f} "
                             f"{after / MIB:.6f} {end:.4f} {depth}\n")


@types.coroutine
def _steps(profiler, inner):
    """Run a generator or what can be awaited, and profile it while it runs."""
    step, value = inner.send, None
    while True:
        try:
            with profiler:
                item = step(value)
        except StopIteration as end:
            return end.value
        try:
            value = yield item
            step = inner.send
        except GeneratorExit:
            with profiler:
                inner.close()
            raise
        except BaseException as error:
            step, value = inner.throw, error


def _amount(value, precision):
    if precision is None:
        return f"{value} B"
    return f"{value / MIB:{precision + 4}.{precision}f} MiB"


def _print_table(table, stream, precision):
    filename = table.code.co_filename
    header = _TEMPLATE.format("Line #", "Mem usage", "Increment", "Occurrences",
                              "Line Contents")
    stream.write(f"Filename: {filename}\n\n{header}\n{'=' * len(header)}\n")
    for number in range(table.first_line, table.last_line + 1):
        line = table.lines.get(number)
        figures = ("", "", "")
        if line:
            figures = (_amount(line.most, precision), _amount(line.increment, precision),
                       line.occurrences)
        text = linecache.getline(filename, number).rstrip("\n")
        stream.write(_TEMPLATE.format(number, *figures, text) + "\n")
    stream.write("\n\n")


def profile(function=None, stream=None, precision=None, backend="heap"):
    """Print what each line of a function adds to the heap, whenever the function has ended.

    Used as @profile or @profile(stream=..., precision=..., backend=...).

    stream: where to; stdout if not given.  precision: digits of MiB; plain bytes if not given.
    backend: "heap": exact bytes of the objects in the heap of the service, which are those of
    up to 512 bytes; "malloc": also those that the C library has handed out.
    """
    if backend not in BACKENDS:
        raise ValueError(f"no backend {backend!r}: {', '.join(BACKENDS)}")
    if function is None:
        return lambda found: profile(found, stream, precision, backend)
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(profile(function.__func__, stream, precision, backend))
    profiler = Profiler(backend)

    def after():
        profiler.print(stream, precision)
        for table in profiler.tables.values():
            table.lines.clear()
            table.calls.clear()

    return profiler.wrap(function, after)
