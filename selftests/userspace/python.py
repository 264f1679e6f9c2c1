# SPDX-License-Identifier: GPL-2.0
"""The Python package on the real device: a program whose objects are in a heap.

python.sh starts it.
"""
import array
import asyncio
import ctypes
import gc
import io
import os
import re
import subprocess
import sys
import tempfile
import threading

import tap
from tap import equal, raises

import pymalloc
from pymalloc import abi, limiter, sites
from pymalloc.profiler import Profiler

HERE = os.path.dirname(os.path.realpath(__file__))
scratch = tempfile.TemporaryDirectory()

# What bytes(n) takes of the heap: a header of 33 bytes, and blocks are multiples of 16.
BYTES_100 = 144
BYTES_200 = 240


def layout():
    """What the compiler says about the headers: structs, their fields, numbers."""
    out = subprocess.run([os.path.join(HERE, "abi_layout")], check=True, text=True,
                         capture_output=True).stdout
    structs, numbers = {}, {}
    for line in out.splitlines():
        kind, name, *rest = line.split()
        if kind == "struct":
            structs[name] = int(rest[0]), []
        elif kind == "field":
            structs[name][1].append((rest[0], int(rest[1]), int(rest[2])))
        else:
            numbers[name] = int(rest[0])
    return structs, numbers


def test_every_struct_is_that_of_the_header():
    structs, _ = layout()
    compared = 0
    for name, (size, fields) in structs.items():
        if not name.startswith("pymalloc_") or hasattr(sites, name) or \
                name.endswith(("_record", "pymalloc_frame")):
            continue
        found = getattr(abi, "".join(map(str.capitalize, name.split("_")[1:])))
        equal((ctypes.sizeof(found), [
            (field, getattr(found, field).offset, getattr(found, field).size)
            for field, *_ in found._fields_]), (size, fields), name)
        compared += 1
    equal(compared, sum(issubclass(each, abi.Struct) and each is not abi.Struct
                        for each in vars(abi).values() if isinstance(each, type)))


def test_every_number_is_that_of_the_header():
    _, numbers = layout()
    own = {name: value for name, value in vars(abi).items() if isinstance(value, int)}
    ours = {name[len("PYMALLOC_"):]: value for name, value in numbers.items()
            if name.startswith("PYMALLOC_") and
            not name.startswith(("PYMALLOC_RECORD_", "PYMALLOC_SITE_", "PYMALLOC_SITES_V",
                                 "PYMALLOC_FRAMES_"))}
    ours["SITE_CACHED"] = numbers["PYMALLOC_SITE_CACHED"]
    equal(own, ours)


def offsets(format):
    """Where the fields of a struct.Struct lie."""
    found, offset = [], 0
    for part in re.findall(r"\d*[A-Za-z]", format):
        size = int(part[:-1]) if part[-1] == "s" else {"I": 4, "H": 2, "Q": 8}[part[-1]]
        for _ in range(1 if part[-1] == "s" else int(part[:-1] or 1)):
            found.append((offset, size))
            offset += size
    return found


def test_every_struct_of_a_snapshot_is_that_of_the_header():
    structs, numbers = layout()
    record = offsets(sites._RECORD.format)
    equal(record, [field[1:] for field in structs["pymalloc_record"][1]])
    kinds = {"settings": sites._SETTINGS, "object": sites._OBJECT, "code": sites._CODE,
             "thread": sites._THREAD, "stack": sites._STACK, "site": sites._SITE}
    for name, kind in kinds.items():
        equal(kind, numbers[f"PYMALLOC_RECORD_{name.upper()}"], name)
        size, fields = structs[f"pymalloc_{name}_record"]
        equal(sites._PARTS[kind].size + sites._RECORD.size, size, name)
        equal([(offset + 8, width) for offset, width in offsets(sites._PARTS[kind].format)],
              [field[1:] for field in fields[1:] if field[2]], name)
    for name, found in (("pymalloc_frame", sites._FRAME), ("snapfile_header", sites._HEADER),
                        ("snapfile_row", sites._ROW)):
        equal((found.size, offsets(found.format)),
              (structs[name][0], [field[1:] for field in structs[name][1]]), name)
    equal((sites.SITE_BEFORE, sites.SITE_UNKNOWN, sites.FRAMES_MAX, sites._VERSION,
           sites._VERSION, sites._CACHED, sites._NO_IDLE),
          tuple(numbers[name] for name in (
              "PYMALLOC_SITE_BEFORE", "PYMALLOC_SITE_UNKNOWN", "PYMALLOC_FRAMES_MAX",
              "PYMALLOC_SITES_VERSION", "SNAPFILE_VERSION", "SNAPFILE_CACHED",
              "SNAPFILE_NO_IDLE")))


def test_the_service():
    info = pymalloc.info()
    equal((info.abi_version, info.block_max, info.user_heaps), (1, 512, 1))
    heap, = pymalloc.heaps()
    equal((heap.pid, heap.name, heap.uid), (os.getpid(), b"malloc", 0))


def test_figures_of_the_own_heap():
    with pymalloc.Heap.own() as heap:
        stats = heap.stats()
        classes = heap.class_stats()
        equal(len(classes), 32)
        equal(sum(each.size * each.blocks for each in classes) // 65536,
              stats.block_bytes // 65536)
        equal(heap.info().as_dict()["name"], "malloc")
        equal(heap.check().errors, 0)
        assert pymalloc.live_bytes() <= stats.block_bytes


def test_live_bytes_are_exact():
    # The number lies in an array, as it would be an object in the heap itself.
    before = array.array("q", [0])

    def grown(make):
        before[0] = pymalloc.live_bytes()
        kept = make()
        return pymalloc.live_bytes() - before[0], kept

    grown(lambda: bytes(100))
    equal(grown(lambda: None)[0], 0)
    equal(grown(lambda: bytes(100))[0], BYTES_100)
    many = [None] * 5000

    def fill():
        for i in range(5000):
            many[i] = bytes(200)

    grown(fill)
    for i in range(5000):
        many[i] = None
    equal(grown(fill)[0], 5000 * BYTES_200)
    # Larger objects are the C library's.
    equal(grown(lambda: bytes(100000))[0], 0)


def test_trim_and_compact():
    with pymalloc.Heap.own() as heap:
        # Or else the heap may give back by itself before.
        heap.policy(off=abi.POLICY_NO_DECAY | abi.POLICY_NO_STEAL | abi.POLICY_NO_MESH,
                    keep_bytes=1 << 30)
        kept = [bytes(100) for _ in range(100000)]
        del kept
        before = heap.stats()
        done = heap.compact()
        assert done.blocks_taken > 0 and done.pages_freed > 100, done.as_dict()
        after = heap.stats()
        assert after.page_bytes < before.page_bytes - 100 * 4096, after.as_dict()
        heap.policy(reset=True)
        equal(heap.trim() % 4096, 0)
        raises(ValueError, "nothing to do", heap.compact, stock=False, caches=False, mesh=False)


def test_blocks_pools_and_arenas():
    kept = [bytes(464) for _ in range(1000)]
    with pymalloc.Heap.own() as heap:
        blocks = [block for block in heap.blocks() if block.state == abi.BLOCK_ALLOCATED]
        assert sum(block.size == 512 for block in blocks) >= 1000
        pools = list(heap.pools())
        assert all(pool.offset % 4096 == 0 for pool in pools)
        arenas = list(heap.arenas())
        assert {pool.offset // abi.ARENA_SIZE for pool in pools} == \
            {arena.offset // abi.ARENA_SIZE for arena in arenas}
    equal(len(kept), 1000)


def test_policy():
    with pymalloc.Heap.own() as heap:
        before = heap.policy().as_dict()
        equal(heap.policy(keep_bytes=8192, decay_ms=500).as_dict(),
              {"flags": abi.POLICY_SET, "decay_ms": 500, "off": before["off"],
               "keep_bytes": 8192})
        equal(heap.policy(off=abi.POLICY_NO_MESH).keep_bytes, 8192)
        equal(heap.policy(reset=True).off, before["off"])
        raises(OSError, "Invalid argument", heap.policy, decay_ms=1)
        raises(TypeError, "has no keep", heap.policy, keep=1)
        raises(ValueError, "reset", heap.policy, reset=True, off=0)


def test_a_heap_of_ones_own():
    with pymalloc.Heap.create("mine", limit=1 << 20) as heap:
        refs = heap.alloc(100, 1000, zero=True)
        equal((len(refs), len(set(refs)), heap.stats().blocks), (1000, 1000, 1000))
        heap.free(refs[:400])
        equal(heap.stats().blocks, 600)
        raises(OSError, "", heap.free, refs[:1])
        raises(OSError, "Cannot allocate", heap.alloc, 512, 4000)
        equal(heap.info().as_dict()["name"], "mine")
        other = pymalloc.Heap.open(heap.info().id, readonly=True)
        raises(OSError, "Bad file", other.trim)
        other.close()
    equal([each.name for each in pymalloc.heaps()], [b"malloc"])


def test_heaps_of_other_processes():
    raises(pymalloc.NoHeap, "process 1 has no heap", pymalloc.Heap.of_process, 1)
    # A child has a heap of its own.
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        with pymalloc.Heap.own() as heap:
            os.write(write, str(heap.info().pid).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    equal(os.read(read, 100), str(pid).encode())
    os.close(read)
    os.close(write)


def test_the_dead():
    parameter = "/sys/module/pymalloc/parameters/keep_dead"
    with open(parameter, encoding="ascii") as file:
        before = file.read()
    with open(parameter, "w", encoding="ascii") as file:
        file.write("16")
    pid = os.fork()
    if not pid:
        os._exit(7)
    os.waitpid(pid, 0)
    found = []
    while not found:
        found = [heap for heap in pymalloc.heaps(dead=True) if heap.pid == pid]
    equal((found[0].death, found[0].death_code, found[0].page_bytes), (abi.DIED_EXIT, 7, 0))
    equal([heap.pid for heap in pymalloc.heaps()], [os.getpid()])
    taken = pymalloc.take_snapshot(heap=found[0].id)
    equal(sum(trace.size for trace in taken.traces) <= found[0].used_bytes, True)
    assert len(taken.traces) > 1000
    device = abi.open_device()
    equal(abi.call(device, abi.IOC_FORGET, abi.Forget(id=found[0].id)).done, 1)
    os.close(device)
    equal(pymalloc.heaps(dead=True), [])
    with open(parameter, "w", encoding="ascii") as file:
        file.write(before)


# The functions that are profiled: what lines add is in the tests.

def plain(other=None):
    first = bytes(100)
    second = bytes(200)
    pass
    many = [bytes(100) for _ in range(500)]
    del second
    if other:
        kept = other()
    del many


def recursive(depth):
    mine = bytes(100)
    if depth:
        return mine, recursive(depth - 1)
    return mine, None


def generator(count):
    kept = []
    for _ in range(count):
        kept.append(bytes(200))
        yield len(kept)


async def coroutine(count):
    kept = []
    for _ in range(count):
        kept.append(bytes(200))
        await asyncio.sleep(0)
    return kept


async def async_generator(count):
    for _ in range(count):
        item = bytes(200)
        yield item


def failing():
    kept = bytes(100)
    raise KeyError(kept[:1])


def table_of(profiled, function):
    """The table of a function, by how many lines below its head: (increment, occurrences)."""
    table = profiled.tables[function.__code__]
    return {number - table.first_line: (line.increment, line.occurrences)
            for number, line in table.lines.items()}


def profiled(function, *args, run=lambda result: result, rounds=1):
    """The table of a function after so many calls, of which the first does not count.

    By then Python has all that it keeps itself about code that is traced.
    """
    profiler = Profiler()
    wrapped = profiler.wrap(function)
    run(wrapped(*args))
    gc.collect()
    for table in profiler.tables.values():
        table.lines.clear()
    for _ in range(rounds):
        kept = run(wrapped(*args))
        del kept
    return profiler, table_of(profiler, function)


def test_profile_is_exact_by_line():
    for rounds in 1, 3:
        _, table = profiled(plain, rounds=rounds)
        equal(table, {
            0: (0, rounds), 1: (BYTES_100 * rounds, rounds), 2: (BYTES_200 * rounds, rounds),
            3: (0, rounds), 4: (500 * BYTES_100 * rounds, 502 * rounds),
            5: (-BYTES_200 * rounds, rounds), 6: (0, rounds),
            8: (-500 * BYTES_100 * rounds, rounds)})


def test_profile_with_what_a_line_calls():
    _, table = profiled(plain, lambda: [bytes(200), bytes(200)])
    # The list is in a block of 64, its two items in one of 16.
    equal(table[7], (2 * BYTES_200 + 64 + 16, 1))


def test_profile_of_a_recursion():
    _, table = profiled(recursive, 9)
    equal({line: occurrences for line, (_, occurrences) in table.items()},
          {0: 10, 1: 10, 2: 10, 3: 9, 4: 1})
    equal(table[1][0], 10 * BYTES_100)
    equal(table[2][0], 0)


def test_profile_of_a_generator():
    _, table = profiled(generator, 100, run=sum)
    equal({line: occurrences for line, (_, occurrences) in table.items()},
          {0: 1, 1: 1, 2: 101, 3: 100, 4: 100})
    equal((table[3][0] - table[3][0] % BYTES_200, table[4][0], table[2][0]),
          (100 * BYTES_200, 0, 0))


def test_profile_does_not_count_while_a_generator_waits():
    profiler = Profiler()
    steps = profiler.wrap(generator)(10)
    kept = []
    for _ in steps:
        kept.append([bytes(300) for _ in range(100)])
    table = table_of(profiler, generator)
    assert sum(increment for increment, _ in table.values()) < 4096, table


def test_generators_are_used_as_before():
    def echo():
        got = []
        try:
            while True:
                try:
                    got.append((yield len(got)))
                except KeyError as error:
                    got.append(error.args[0])
        finally:
            got.append("end")
            ends.append(got)

    ends = []
    wrapped = Profiler().wrap(echo)
    steps = wrapped()
    equal([next(steps), steps.send("a"), steps.throw(KeyError("b")), steps.send("c")],
          [0, 1, 2, 3])
    steps.close()
    equal(ends, [["a", "b", "c", "end"]])

    def returns():
        yield 1
        return 2

    def delegates():
        found.append((yield from Profiler().wrap(returns)()))

    found = []
    equal((list(delegates()), found), ([1], [2]))


def test_profile_of_coroutines():
    async def both():
        return await asyncio.gather(wrapped(50), wrapped(50))

    profiler = Profiler()
    wrapped = profiler.wrap(coroutine)
    equal([len(kept) for kept in asyncio.run(both())], [50, 50])
    table = table_of(profiler, coroutine)
    equal({line: occurrences for line, (_, occurrences) in table.items()},
          {0: 2, 1: 2, 2: 102, 3: 100, 4: 100, 5: 2})
    assert 100 * BYTES_200 <= table[3][0] < 100 * BYTES_200 + 4096, table

    async def collect():
        return [item async for item in Profiler().wrap(async_generator)(5)]

    equal(asyncio.run(collect()), [bytes(200)] * 5)


def test_profile_of_a_function_that_raises():
    before = sys.gettrace()
    profiler = Profiler()
    raises(KeyError, "", profiler.wrap(failing))
    equal(sys.gettrace(), before)
    table = table_of(profiler, failing)
    equal({line: occurrences for line, (_, occurrences) in table.items()}, {0: 1, 1: 1, 2: 1})


def test_profiles_within_profiles():
    profiler = Profiler()
    inner = profiler.wrap(lambda: [bytes(200) for _ in range(100)])

    def outer():
        return inner()

    wrapped = profiler.wrap(outer)
    wrapped()
    for table in profiler.tables.values():
        table.lines.clear()
    kept = wrapped()
    outside = table_of(profiler, outer)[1][0]
    inside = sum(line.increment for table in profiler.tables.values()
                 for line in table.lines.values()) - outside
    equal(len(kept), 100)
    # Both have all of it; the call itself has a frame or two.
    assert 100 * BYTES_200 <= inside <= 100 * BYTES_200 + 1024, (inside, outside)
    assert 100 * BYTES_200 <= outside <= 100 * BYTES_200 + 1024, (inside, outside)


def test_profile_in_threads():
    profiler = Profiler()
    wrapped = profiler.wrap(plain)
    threads = [threading.Thread(target=wrapped) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal({line: occurrences for line, (_, occurrences) in table_of(profiler, plain).items()},
          {0: 4, 1: 4, 2: 4, 3: 4, 4: 4 * 502, 5: 4, 6: 4, 8: 4})
    equal(len(profiler.tables[plain.__code__].calls), 4)


def printed(**options):
    """What the decorator prints about two calls."""
    out = io.StringIO()
    wrapped = pymalloc.profile(stream=out, **options)(failing)
    for _ in range(2):
        raises(KeyError, "", wrapped)
    equal(wrapped.__name__, "failing")
    return out.getvalue()


def test_the_decorator_prints_a_table_for_each_call():
    text = printed()
    equal(text.count("Filename: "), 2)
    head = failing.__code__.co_firstlineno
    lines = text.splitlines()
    equal(lines[0], f"Filename: {__file__}")
    equal(lines[2], "Line #    Mem usage    Increment  Occurrences   Line Contents")
    equal(lines[3], "=" * len(lines[2]))
    assert re.fullmatch(rf" *{head} +\d+ B +0 B +1   def failing\(\):", lines[4]), lines[4]
    assert re.fullmatch(rf" *{head + 1} +\d+ B +144 B +1       kept = bytes\(100\)",
                        text.splitlines()[5 + len(lines) // 2]), text


def test_precision_and_backend():
    assert re.search(r"^ +\d+ +\d+\.\d{4} MiB +0\.0001 MiB +1       kept", printed(precision=4),
                     re.MULTILINE)
    assert "Increment" in printed(backend="malloc")
    raises(ValueError, "no backend 'rss'", pymalloc.profile, backend="rss")


def test_methods_are_profiled():
    out = io.StringIO()

    class Some:
        @pymalloc.profile(stream=out)
        def method(self):
            return self

        @pymalloc.profile(stream=out)
        @staticmethod
        def static():
            return 1

        @pymalloc.profile(stream=out)
        @classmethod
        def of_class(cls):
            return cls

    some = Some()
    equal((some.method(), some.static(), some.of_class()), (some, 1, Some))
    equal(out.getvalue().count("Filename: "), 3)


def program(text):
    """A program's file."""
    path = os.path.join(scratch.name, "program.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


PROGRAM = """import sys
@profile
def work(n):
    kept = [bytes(100) for _ in range(n)]
    return kept

work(int(sys.argv[1]))
kept = work(int(sys.argv[1]))
print(sys.argv[1:], __name__, "--precision" in sys.argv)
sys.exit(3)
"""


def run_module(*args, env=None):
    """python3 -m pymalloc: status, stdout, stderr."""
    done = subprocess.run([sys.executable, "-B", "-m", "pymalloc", *args], text=True,
                          capture_output=True, check=False,
                          env=(env or os.environ) | {"PYTHONPATH": tap.PACKAGE})
    return done.returncode, done.stdout, done.stderr


def test_the_module_runs_a_program():
    path = program(PROGRAM)
    status, out, errors = run_module(path, "1000", "--precision")
    equal((status, errors), (3, ""))
    assert out.startswith("['1000', '--precision'] __main__ True\nFilename: "), out
    # The table of both calls, at the end. The first call may add what Python itself keeps.
    increment, = re.findall(r"^ +4 +\d+ B +(\d+) B +2004 +kept = ", out, re.MULTILINE)
    assert 2000 * BYTES_100 <= int(increment) <= 2000 * BYTES_100 + 256, increment


def test_the_module_starts_on_the_service_by_itself():
    clean = {name: value for name, value in os.environ.items()
             if name not in ("LD_PRELOAD", "PYMALLOC_RUN", "PYTHONMALLOC")}
    path = program(PROGRAM)
    status, out, errors = run_module(path, "1000", env=clean | {
        "PATH": f"{os.path.dirname(HERE)}/../userspace:{os.environ['PATH']}"})
    equal((status, errors), (3, ""))
    assert re.search(r"^ +4 +\d+ B +288\d\d\d B ", out, re.MULTILINE), out
    # Not in a circle, if there is no shim.
    status, _, errors = run_module(path, "1", env=clean | {"PYMALLOC_RUN": "1"})
    equal((status, errors), (1, "python3 -m pymalloc: this process has no heap: start it "
                             "with `pymalloc run`\n"))


def test_files_of_the_module():
    tables, marks = (os.path.join(scratch.name, name) for name in ("tables", "marks"))
    path = program(PROGRAM)
    status, out, _ = run_module("-o", tables, "--precision=2", "--marks", marks, path, "1000")
    equal((status, out), (3, "['1000'] __main__ False\n"))
    with open(tables, encoding="utf-8") as file:
        assert " MiB " in file.read()
    with open(marks, encoding="utf-8") as file:
        calls = [line.split() for line in file]
    # As mprof reads them: a name, MiB and seconds of begin and end, the depth.
    equal([(len(call), call[:2], call[-1]) for call in calls], [(7, ["FUNC", "__main__.work"],
                                                                 "1")] * 2)
    # What it returned the first time is gone, and the second time it is not.
    grown = [round((float(call[4]) - float(call[2])) * (1 << 20)) for call in calls]
    for each in grown:
        assert 1000 * BYTES_100 <= each <= 1000 * BYTES_100 + 2048, grown
    assert float(calls[0][3]) <= float(calls[0][5]) <= float(calls[1][3])


def test_a_limit_that_is_met():
    kept = []
    gc.collect()

    def fill():
        while True:
            kept.append(bytes(464))

    def within():
        with pymalloc.limit(4 << 20):
            fill()

    error = raises(MemoryError, "more than 4194304 bytes", within)
    equal(type(error), pymalloc.LimitExceeded)
    assert len(kept) * 512 > 4 << 20, len(kept)
    equal(limiter._limits, [])
    with pymalloc.Heap.own() as heap:
        equal(heap.stats().threshold, 0)


def test_a_limit_at_the_end_of_the_block():
    def within():
        # No instruction of Python in between.
        with pymalloc.limit(1 << 20):
            kept.extend(map(bytes, [464] * 10000))

    kept = []
    # Or else what is collected meanwhile makes the heap smaller.
    gc.collect()
    raises(pymalloc.LimitExceeded, "1048576", within)


def test_limits_that_are_not_met():
    gc.collect()
    with pymalloc.limit(1 << 20) as limit:
        kept = [bytes(100) for _ in range(1000)]
        assert 1000 * BYTES_100 <= limit.grown < 1000 * BYTES_100 + 4096, limit.grown
    # What has been freed again does not count, though the pages are there.
    with pymalloc.limit(1 << 20):
        for _ in range(20):
            del kept
            kept = [bytes(464) for _ in range(1500)]
    raises(KeyError, "x", lambda: pymalloc.limit(1 << 20).__enter__() and limited_error())
    raises(ValueError, "less than 0", pymalloc.limit, -1)


def limited_error():
    """Leaves a block by another exception."""
    try:
        raise KeyError("x")
    finally:
        limiter._limits[-1].__exit__(KeyError, KeyError("x"), None)


def test_a_trace_after_a_limit_that_was_met():
    """The next traced function hung, for ever."""
    try:
        with pymalloc.limit(1 << 20):
            kept = []
            while True:
                kept.append(bytes(100))
    except pymalloc.LimitExceeded:
        del kept
    calls = []
    sys.settrace(lambda *event: calls.append(event[1]))
    (lambda: None)()
    sys.settrace(None)
    equal(calls, ["call"])


def test_limits_within_limits():
    kept = []

    def within():
        with pymalloc.limit(1 << 20):
            with pymalloc.limit(1 << 30):
                kept.extend(map(bytes, [464] * 10000))

    gc.collect()
    error = raises(pymalloc.LimitExceeded, "1048576", within)
    assert "1073741824" not in str(error)
    equal(limiter._limits, [])


def test_a_limit_leaves_what_poll_reported():
    with pymalloc.Heap.own() as heap:
        heap.notify(1 << 40)
        with pymalloc.limit(1 << 20):
            pass
        equal(heap.stats().threshold, 1 << 40)
        heap.notify(0)


def test_without_a_heap():
    clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    program_text = ("import pymalloc\n"
                    "for name in 'live_bytes', 'take_snapshot':\n"
                    "    try: getattr(pymalloc, name)()\n"
                    "    except pymalloc.NoHeap as error: print(error)\n"
                    "@pymalloc.profile\n"
                    "def f(): pass\n"
                    "try: f()\n"
                    "except pymalloc.NoHeap as error: print(error)\n")
    out = subprocess.run([sys.executable, "-B", "-c", program_text], check=True, text=True,
                         capture_output=True, env=clean | {"PYTHONPATH": tap.PACKAGE}).stdout
    equal(len(re.findall("^(?:this process|process [0-9]+) has no heap", out, re.MULTILINE)), 3,
          out)


if __name__ == "__main__":
    tap.main(globals())
