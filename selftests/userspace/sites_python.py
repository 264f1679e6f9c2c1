# SPDX-License-Identifier: GPL-2.0
"""sites_python.py [TEST]: tests of the Python frames of sites; without TEST, their names.

sites_probe.so, which is preloaded, finds the frames from outside; they must be those that
Python itself reports.  This is for CPython 3.11.
"""

import asyncio
import ctypes
import gc
import glob
import os
import struct
import sys
import threading
import time
import tracemalloc
import types

PROBE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "sites_probe.so")
# Functions of the first keep the GIL while they run, those of the second do not.
probe = ctypes.PyDLL(PROBE)
outside = ctypes.CDLL(PROBE)
for library in probe, outside:
    library.probe_site.restype = ctypes.c_uint32
probe.probe_table.restype = ctypes.c_void_p
probe.probe_begin.argtypes = ctypes.c_uint, ctypes.c_uint, ctypes.c_size_t
probe.probe_begin.restype = ctypes.c_bool
probe.probe_line.argtypes = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_size_t
probe.probe_line.restype = ctypes.c_uint32
probe.probe_site_of.argtypes = ctypes.c_void_p,
probe.probe_site_of.restype = ctypes.c_uint32

SETTINGS, OBJECT, CODE, THREAD, STACK, SITE = range(1, 7)
MOST = 25
UNKNOWN = 1


def begin(python=MOST, native=0, size=64 << 20):
    assert probe.probe_begin(python, native, size)


class Record:
    """A record of the table: its fields are read with unpack()."""

    def __init__(self, number, kind):
        self.at = probe.probe_table() + number * 8
        self.bytes, self.kind, self.count = self.unpack("IHH", 0)
        assert self.kind == kind, f"record {number} is of kind {self.kind}, not {kind}"
        assert self.bytes % 8 == 0

    def unpack(self, layout, offset):
        return struct.unpack(layout, ctypes.string_at(self.at + offset,
                                                      struct.calcsize(layout)))

    def text(self, offset, size):
        data = ctypes.string_at(self.at + offset, size)
        assert data[-1] == 0 and 0 not in data[:-1]
        return data[:-1].decode()


def code(number):
    record = Record(number, CODE)
    first, file_bytes, name_bytes, reserved = record.unpack("4I", 8)
    assert reserved == 0 and 24 + file_bytes + name_bytes <= record.bytes
    return record.text(24, file_bytes), record.text(24 + file_bytes, name_bytes), first


def stack(site):
    """The frames of a site, as (file, function, line), the innermost first."""
    number, = Record(site, SITE).unpack("I", 8)
    record = Record(number, STACK)
    frames = []
    for i in range(record.count):
        where, line, address = record.unpack("IIQ", 8 + 16 * i)
        if not address:
            frames.append((*code(where)[:2], line))
    return frames


def count(site):
    return Record(site, SITE).unpack("Q", 24)[0]


def reported(frame):
    """The same, as Python reports them."""
    frames = []
    while frame and len(frames) < MOST:
        frames.append((frame.f_code.co_filename, frame.f_code.co_qualname, frame.f_lineno or 0))
        frame = frame.f_back
    return frames


checks = 0


def check(*_, site=probe.probe_site):
    """Is this stack what Python says it is?  Twice: the second time, it is known."""
    global checks
    for _ in range(2):
        found, expected = site(), reported(sys._getframe())
        assert found > UNKNOWN
        assert stack(found) == expected, f"{stack(found)}\nis not\n{expected}"
    checks += 1
    return True


def test_functions():
    """functions of all kinds"""
    def nested(depth):
        return check() if not depth else nested(depth - 1)

    class Body:
        inside = check()

        def method(self):
            return check()

        @property
        def attribute(self):
            return check()

        @staticmethod
        def static():
            return (lambda: check())()

        def __del__(self):
            check()

    nested(3)
    nested(60)
    for _ in range(20):  # Until the interpreter has specialized it.
        assert Body().method() and Body().attribute and Body.static()
    sorted([2, 1], key=lambda _: check())
    list(map(check, "ab"))
    [check() for _ in "ab"]
    {check(): [check() for _ in "ab"] for _ in "ab"}
    exec("def f():\n  return (\n    1,\n    check(\n    ),\n  )\nf()", globals())
    eval("check()")
    check(
        1,
        2)
    gc.collect()
    try:
        raise KeyError
    except KeyError:
        check()
    finally:
        check()
    with memoryview(b"") as _:
        check()


def test_generators():
    """generators and coroutines"""
    def generator():
        yield check()
        try:
            yield check()
        except KeyError:
            check()
            yield from inner()

    def inner():
        yield check()
        yield check()

    running = generator()
    next(running)
    next(running)
    running.throw(KeyError)
    list(running)
    assert all(check() for _ in "abc")
    assert list(check() for _ in "abc")

    async def coroutine():
        check()
        async for _ in asynchronous():
            check()
        await asyncio.sleep(0)
        return [check() async for _ in asynchronous()]

    async def asynchronous():
        yield check()
        await asyncio.sleep(0)
        yield check()

    async def together():
        await asyncio.gather(coroutine(), coroutine())

    asyncio.run(together())


def test_names():
    """names in all widths, and without end"""
    names = ["ascii", "latin\xe9", "greek\u03b1", "smile\U0001f600"]
    for name in names:
        space = {"check": check}
        exec(compile("def f():\n check()", "/tmp/" + name, "exec"), space)
        space["f"].__code__ = space["f"].__code__.replace(co_qualname=name)
        space["f"]()

    def named(file, name):
        space = {"site": probe.probe_site}
        exec(compile("def f(): return site()", file, "exec"), space)
        space["f"].__code__ = space["f"].__code__.replace(co_qualname=name)
        return stack(space["f"]())[0][:2]

    assert named("\udc80", "a\0b") == ("\ufffd", "a\ufffdb")
    assert named("f" * 5000, "n" * 5000) == ("f" * 4095, "n" * 511)
    # Cut between characters.
    assert named("\u03b1" * 5000, "\u03b1" * 5000) == ("\u03b1" * 2047, "\u03b1" * 255)


def test_frames():
    """no more frames than asked for"""
    def deep(depth):
        if depth:
            return deep(depth - 1)
        return probe.probe_site(), reported(sys._getframe())

    for most in 1, 2, 10, MOST:
        begin(most)
        found, expected = deep(50)
        assert stack(found) == expected[:most]
    begin(0)
    assert stack(probe.probe_site()) == []


def test_counts():
    """a site for each line and thread, with a count"""
    def line():
        return probe.probe_site()

    sites = [line() for _ in range(1000)]
    assert len(set(sites)) == 1 and count(sites[0]) == 1000
    other = line()
    assert other != sites[0] and count(other) == 1

    found = []
    thread = threading.Thread(target=lambda: found.append(line()))
    thread.start()
    thread.join()
    assert found[0] not in sites
    tid, _, name = Record(Record(found[0], SITE).unpack("I", 12)[0], THREAD).unpack("II16s", 8)
    assert tid == thread.native_id and name.split(b"\0")[0]

    def again():
        return probe.probe_site()

    times = []
    for _ in range(2):
        before = time.clock_gettime_ns(time.CLOCK_REALTIME)
        times.append(again())
        # The clock that is read is as old as a tick.
        assert abs(Record(times[-1], SITE).unpack("Q", 16)[0] - before) < 10**10
        probe.probe_next_epoch()
    assert times[0] != times[1]
    assert [Record(site, SITE).unpack("I", 8) for site in times[:1]] == \
        [Record(site, SITE).unpack("I", 8) for site in times[1:]] or \
        stack(times[0])[1:] == stack(times[1])[1:]


def test_threads():
    """threads with the GIL, and without"""
    stop = threading.Event()

    def with_gil():
        while not stop.is_set():
            check()

    def without():
        # Its frames are another thread's business, whoever holds the GIL meanwhile.
        for _ in range(2000):
            assert stack(outside.probe_site()) == []
        check()

    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    busy = [threading.Thread(target=with_gil) for _ in range(2)]
    others = [threading.Thread(target=run_noting(without)) for _ in range(3)]
    for thread in busy + others:
        thread.start()
    for thread in others:
        thread.join()
    stop.set()
    for thread in busy:
        thread.join()
    sys.setswitchinterval(old)
    assert not failures, failures[0]
    # Many threads, one after the other: states lie where others have been.
    for _ in range(200):
        thread = threading.Thread(target=run_noting(check))
        thread.start()
        thread.join()
    assert not failures, failures[0]


failures = []


def run_noting(function):
    def run():
        try:
            function()
        except BaseException as error:  # pylint: disable=broad-except
            failures.append(error)
    return run


def test_reuse():
    """functions that lie where others have been"""
    addresses = {}
    for i in range(3000):
        # Of the same length in every way, but with other lines.
        before = 3 + i % 7
        source = "x = 0" + before * "\n" + "check()" + (12 - before) * "\n" + "x = 1\n"
        made = compile(source, "same", "exec")
        addresses.setdefault(id(made), set()).add(i % 7)
        exec(made, {"check": check})
        del made
    assert max(map(len, addresses.values())) > 1, "no address was used again"


def test_many_functions():
    """more functions than there are marks"""
    begin(1)
    for i in range(70000):
        found = {}
        line = i % 100
        exec(compile("\n" * line + "found[0] = site()", "many", "exec"),
             {"site": probe.probe_site, "found": found})
        assert stack(found[0])[0] == ("many", "<module>", line + 1), (i, stack(found[0]))


def test_tracing():
    """functions that are traced line by line"""
    def trace(frame, event, arg):
        return trace

    def function():
        check()
        for _ in range(3):
            check()

    function()
    sys.settrace(trace)
    try:
        function()
        test_reuse()
        test_functions()
    finally:
        sys.settrace(None)
    function()


def test_lines():
    """every line of every instruction of the standard library"""
    compared = 0

    def compare(made):
        nonlocal compared
        table = made.co_linetable
        for start, end, line in made.co_lines():
            for offset in range(start, end, 2):
                found = probe.probe_line(table, len(table), made.co_firstlineno, offset // 2)
                assert found == (line or 0), (made, offset, found, line)
                compared += 1
        for constant in made.co_consts:
            if isinstance(constant, types.CodeType):
                compare(constant)

    for path in glob.glob(os.path.dirname(os.__file__) + "/**/*.py", recursive=True):
        if "-packages" in path:
            continue
        with open(path, "rb") as file:
            try:
                made = compile(file.read(), path, "exec", dont_inherit=True)
            except (SyntaxError, ValueError, UnicodeDecodeError):
                continue  # Some test data is meant to be wrong.
        compare(made)
    assert compared > 500000, compared


def test_bad_tables():
    """tables of lines that are none: nothing behind them is read"""
    numbers = ctypes.c_uint64(1)
    page = 4096
    import mmap
    area = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    libc = ctypes.CDLL(None)
    libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    assert libc.mprotect(start + page, page, 0) == 0
    line = ctypes.PyDLL(PROBE).probe_line
    line.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_size_t
    for i in range(20000):
        numbers.value = numbers.value * 6364136223846793005 + 1442695040888963407
        size = numbers.value >> 59
        data = numbers.value.to_bytes(8, "little") * 4
        at = start + page - size
        ctypes.memmove(at, data, size)
        for unit in range(0, 40, 7):
            line(at, size, 1, unit)


def test_full():
    """a table that is full"""
    begin(size=64 << 10)
    sites = set()
    for i in range(2000):
        exec(compile("\n" * i + "sites.add(site())", "full", "exec"),
             {"site": probe.probe_site, "sites": sites})
    assert UNKNOWN in sites and len(sites) > 100
    unknown, = Record(0, SETTINGS).unpack("Q", 56)
    assert unknown == 2000 - (len(sites) - 1)
    assert Record(0, SETTINGS).unpack("Q", 40)[0] <= 64 << 10


def test_native():
    """both kinds of frames"""
    begin(2, MOST)
    site = sorted([1], key=lambda _: outermost.append(probe.probe_site())) and outermost[0]
    number, = Record(site, SITE).unpack("I", 8)
    record = Record(number, STACK)
    frames = [record.unpack("IIQ", 8 + 16 * i) for i in range(record.count)]
    assert [bool(address) for _, _, address in frames] == [False] * 2 + [True] * (len(frames) - 2)
    assert len(frames) > 5 and len(stack(site)) == 2
    paths = set()
    for where, line, address in frames[2:]:
        found = Record(where, OBJECT)
        start, end, bias, id_bytes, path_bytes = found.unpack("QQQII", 8)
        assert line == 0 and start <= address < end and bias <= start
        path = found.text(40 + id_bytes, path_bytes)
        paths.add(path)
        with open(path, "rb") as file:
            assert id_bytes and b"GNU\0" + ctypes.string_at(found.at + 40, id_bytes) in file.read()
    assert os.path.realpath(sys.executable) in paths and PROBE not in paths, paths
    begin(0, 1)
    found = Record(Record(probe.probe_site(), SITE).unpack("I", 8)[0], STACK)
    assert found.count == 1


outermost = []


def test_fork():
    """a child of fork() begins anew"""
    check()
    child = os.fork()
    if not child:
        try:
            probe.probe_inherit()
            assert probe.probe_site() == UNKNOWN
            begin()
            check()
            test_functions()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    check()


ALLOCATED = (types.FunctionType, types.CodeType, types.GeneratorType, types.CellType, object,
             types.BuiltinFunctionType, property, staticmethod, classmethod)


def test_malloc():
    """what malloc() finds is what tracemalloc finds"""
    assert os.environ["PYTHONMALLOC"] == "malloc"
    tracemalloc.start(MOST)
    begin()
    probe.probe_in_malloc(True)
    kept = work()
    probe.probe_in_malloc(False)
    compared = 0
    for found in gc.get_objects() + kept + [made.__code__ for made in gc.get_objects()
                                            if isinstance(made, types.FunctionType)]:
        # Others have more before them, or are used again without malloc().
        if type(found) not in ALLOCATED:
            continue
        trace = tracemalloc.get_object_traceback(found)
        # The garbage collector's header is before the object.
        site = probe.probe_site_of(id(found) - (16 if type(found).__flags__ & 1 << 14 else 0))
        if not trace or not site:
            continue
        expected = [(frame.filename, frame.lineno) for frame in reversed(trace)]
        got = [(file, line) for file, _, line in stack(site)]
        assert got == expected, f"{got}\nis not\n{expected}"
        compared += 1
    assert compared > 1000, compared


def work():
    """Much that allocates, also while a function is being prepared to run."""
    kept = []

    def cells(a, b):
        c = [a, b]
        kept.append(lambda: (a, b, c))
        return (a for a in c)

    for i in range(300):
        kept.append(cells(i, str(i)))
        kept.append([x for x in range(i)])
        kept.append({i: object()})
        kept.append(compile(f"x = {i}", "work", "exec"))
    for name in "json", "argparse", "decimal", "email.parser", "http.client":
        kept.append(__import__(name))
    return kept


TESTS = {name: test for name, test in globals().items() if name.startswith("test_")}

if __name__ == "__main__":
    assert sys.version_info[:2] == (3, 11)
    if len(sys.argv) == 1:
        print("\n".join(f"{name} {test.__doc__}" for name, test in TESTS.items()))
    else:
        begin()
        TESTS[sys.argv[1]]()
        print(checks, "checks")
