# SPDX-License-Identifier: GPL-2.0
"""Values in shared heaps: processes publish, look up, give and receive them, and die.

shared.sh starts it.
"""
import contextlib
import ctypes
import gc
import os
import random
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time

import tap
from tap import equal, raises

from pymalloc import abi, shared

VALUES = [
    None, True, False, 0, 1, -1, 127, 128, -128, -129, 2 ** 64, -2 ** 63, 2 ** 2000, 1.5,
    float("inf"), "", "text", "\u00e9\U0001f600", "\udc80", b"", b"bytes", bytes(range(256)) * 40,
    (), [], {}, (1, "two", [3.0, (None,)]), [[[]], ((),)], {"a": {1: [2], b"b": None}, 2.5: ()},
    {True: "true", None: "none", -5: b"x"}, list(range(5000)),
]


def same(found, value):
    """Equal, and of the same types: True is not 1."""
    equal(repr(found), repr(value))


def used(heap):
    """Bytes of objects that the heap has."""
    stats = abi.call(heap.fd, abi.IOC_STATS, abi.Stats())
    return stats.block_bytes + stats.run_pages * abi.POOL_SIZE


def sound(heap):
    """The kernel has found no contradiction."""
    equal(abi.call(heap.fd, abi.IOC_CHECK, abi.Check()).errors, 0)


def within(condition):
    """Something comes true."""
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it does not come true")
        time.sleep(0.01)


@contextlib.contextmanager
def worker(heap, text):
    """A process that has the number of the heap, and nothing else."""
    program = ("import os, signal, sys\nfrom pymalloc import shared\n"
               f"heap = shared.Heap.open_id({heap.id})\n{textwrap.dedent(text)}")
    process = subprocess.Popen([sys.executable, "-B", "-c", program],
                               env=os.environ | {"PYTHONPATH": tap.PACKAGE})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ended(process, status=0):
    equal(process.wait(60), status, "status")


def scribble(heap, name, data, offset=0):
    """Write to the object that has a name, as any client can."""
    window = heap._window
    ref = heap._get(window, name)
    window.write(ref + offset, data)
    window.holds.release(ref)


def test_values_are_what_they_were():
    for value in VALUES:
        same(shared.decode(shared.encode(value)), value)
    same(shared.decode(shared.encode(bytearray(b"x"))), b"x")
    same(shared.decode(shared.encode(memoryview(b"abcd")[::2])), b"ac")


def test_the_format_is_as_the_page_says():
    equal(shared.encode({"a": (1, None)}),
          bytes.fromhex("17 00 00 00 00 00 00 00") + b"Py\x01"
          b"{\x01\0\0\0" b"s\x01\0\0\0a" b"(\x02\0\0\0" b"i\x01\0\0\0\x01" b"N")
    equal(shared.encode(b"abc")[16:], b"abc")
    equal(shared.encode(1.5)[11:], b"d" + struct.pack("<d", 1.5))
    equal(shared.encode([True, False])[11:], b"[\x02\0\0\0TF")


def test_what_is_no_value():
    for value in object(), {1, 2}, 1j, len, [object()], {"a": object()}:
        raises(TypeError, "cannot be in a shared heap", shared.encode, value)
    circle = []
    circle.append(circle)
    raises(ValueError, "in each other", shared.encode, circle)
    raises(ValueError, "too large", shared.encode, bytes(shared.SIZE_MAX + 1))
    raises(ValueError, "too large", shared.encode, [bytes(6 << 20)] * 3)
    wide = []
    for _ in range(60):
        wide = [wide, wide]
    raises(ValueError, "too large", shared.encode, wide)
    raises(ValueError, "a key is a tuple", shared.encode, {(): 1})
    raises(ValueError, "61 bits", shared.encode, {2 ** 61: 1})


def refuses(value, part):
    raises(ValueError, part, shared.decode,
           struct.pack("<Q3s", len(value), b"Py\x01") + value)


def test_bad_data_is_refused():
    raises(ValueError, "no value", shared.decode, b"")
    raises(ValueError, "no value", shared.decode, bytes(100))
    raises(ValueError, "no value", shared.decode, b"\xff" * 100)
    refuses(b"", "too early")
    refuses(b"?", "unknown type")
    refuses(b"NN", "too many bytes")
    refuses(b"d123", "too early")
    refuses(b"b\xff\xff\xff\xff12", "too early")
    refuses(b"[\xff\xff\xff\xffNN", "more than there is")
    refuses(b"{\x01\0\0\0N", "more than there is")
    refuses(b"s\x01\0\0\0\xff", "decode")
    refuses(b"{\x01\0\0\0[\0\0\0\0N", "a key is a list")
    refuses(b"{\x02\0\0\0NNNN", "a key twice")
    refuses(b"{\x01\0\0\0i\x08\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7fN", "61 bits")
    refuses(b"[\x01\0\0\0" * 100 + b"N", "too often in each other")


def test_any_data_is_a_value_or_refused():
    random.seed(1)
    good = [shared.encode(value) for value in VALUES[:-1]]
    refused = 0
    for _ in range(20000):
        data = bytearray(random.choice(good))
        for _ in range(random.randint(1, 3)):
            data[random.randrange(len(data))] = random.randrange(256)
        try:
            shared.decode(data)
        except ValueError:
            refused += 1
    assert refused > 1000, refused


def test_names():
    with shared.Heap.create("names") as heap:
        before = used(heap)
        for number, value in enumerate(VALUES):
            heap.publish(f"value {number}", value)
            same(heap.lookup(f"value {number}"), value)
        equal(len(heap.names()), len(VALUES))
        heap.publish("value 0", "new")
        equal(heap.lookup("value 0"), "new")
        raises(FileExistsError, "", heap.publish, "value 0", "newer", replace=False)
        equal(heap.lookup("value 0"), "new")
        heap.publish("other", 1, replace=False)
        raises(KeyError, "nothing", heap.lookup, "nothing")
        raises(KeyError, "nothing", heap.lookup_view, "nothing")
        raises(KeyError, "nothing", heap.remove, "nothing")
        for name in "", "x" * 32, "\u00e9", "a\n":
            raises(ValueError, "a name has 1 to 31", heap.publish, name, 1)
            raises(ValueError, "a name has 1 to 31", heap.lookup, name)
        sound(heap)
        for name in heap.names():
            heap.remove(name)
        equal(used(heap), before)
        equal([info.holds for info in heap.clients()], [0])


def test_what_is_no_shared_heap():
    raises(OSError, "", shared.Heap.open_id, 1 << 40)
    private = abi.Create()
    device = abi.open_device()
    fd = abi.call_fd(device, abi.IOC_CREATE, private)
    raises(ValueError, "is not a shared one", shared.Heap.open, fd)
    raises(ValueError, "is not a shared one", shared.Heap.open_id, private.id)
    # It is still the caller's.
    os.close(fd)
    os.close(device)


def test_a_limit():
    with shared.Heap.create("small", limit=1 << 20) as heap:
        raises(OSError, "", heap.publish, "large", bytes(2 << 20))
        heap.publish("small", bytes(1000))
        equal(heap.lookup("small"), bytes(1000))
        equal(heap.names(), ["small"])


def test_closed():
    heap = shared.Heap.create()
    heap.publish("x", b"abc")
    view = heap.lookup_view("x")
    heap.close()
    heap.close()
    for call in (lambda: heap.lookup("x"), lambda: heap.publish("x", 1), heap.receive,
                 lambda: heap.give(1, 1), lambda: heap.remove("x")):
        raises(ValueError, "closed", call)
    equal(bytes(view.data), b"abc")
    view.release()


def test_a_process_that_knows_the_number():
    with shared.Heap.create("common") as heap:
        heap.publish("config", {"workers": 4, "names": ["a", "b"]})
        with worker(heap, """
                assert heap.lookup("config") == {"workers": 4, "names": ["a", "b"]}
                heap.publish("answer", ("seen", os.getpid()))
                """) as process:
            equal(heap.wait("answer"), ("seen", process.pid))
            ended(process)
        # It has died, and what it has published stays.
        equal(heap.lookup("answer"), ("seen", process.pid))
        equal(len(heap.clients()), 1)


def test_a_descriptor_that_is_passed():
    with shared.Heap.create("passed") as heap:
        heap.publish("x", 1)
        program = ("import sys\nfrom pymalloc import shared\n"
                   "heap = shared.Heap.open(int(sys.argv[1]))\n"
                   "heap.publish('y', heap.lookup('x') + 1)\n")
        subprocess.run([sys.executable, "-B", "-c", program, str(heap.fd)], check=True,
                       pass_fds=[heap.fd], env=os.environ | {"PYTHONPATH": tap.PACKAGE})
        equal(heap.lookup("y"), 2)


def test_values_go_to_and_fro():
    with shared.Heap.create("mail") as heap:
        raises(BlockingIOError, "", heap.receive, block=False)
        raises(ProcessLookupError, "", heap.give, 12345, "nobody")
        before = used(heap)
        with worker(heap, """
                heap.publish("number", heap.client)
                while True:
                    sender, value = heap.receive()
                    if value == "end":
                        break
                    heap.give(sender, value)
                """) as process:
            number = heap.wait("number")
            for value in VALUES:
                heap.give(number, (heap.client, value))
                same(heap.receive(), value)
            heap.give(number, (heap.client, "end"))
            ended(process)
        raises(ProcessLookupError, "", heap.give, number, "too late")
        heap.remove("number")
        equal(used(heap), before)
        sound(heap)


def test_the_dead_lose_nothing_of_others():
    with shared.Heap.create("deaths") as heap:
        heap.publish("kept", b"k" * 1000)
        before = used(heap)
        with worker(heap, """
                views = [heap.lookup_view("kept") for _ in range(3)]
                heap.publish("of the dead", [1, 2, 3])
                heap.publish("client", heap.client)
                heap.receive()
                for i in range(10 ** 9):
                    heap.give(heap.client, "x" * (i % 1000))
                    heap.publish("work", bytes(i % 5000))
                    heap.receive()
                """) as process:
            number = heap.wait("client")
            heap.remove("kept")
            assert used(heap) >= before
            heap.give(number, "go")
            for _ in range(200):
                with contextlib.suppress(ProcessLookupError, BlockingIOError):
                    heap.give(number, {"more": list(range(100))})
                heap.wait("work")
            process.send_signal(signal.SIGKILL)
            ended(process, -signal.SIGKILL)
        equal(len(heap.clients()), 1)
        equal(heap.lookup("of the dead"), [1, 2, 3])
        equal(heap.names(), ["client", "of the dead", "work"])
        sound(heap)
        for name in heap.names():
            heap.remove(name)
        equal(used(heap), 0)


def test_workers_that_are_killed_one_after_the_other():
    with shared.Heap.create("jobs") as heap:
        for turn in range(5):
            with worker(heap, """
                    while True:
                        sender, job = heap.receive()
                        heap.give(sender, (heap.client, job * job))
                        heap.publish(str(heap.client), job)
                    """) as process:
                within(lambda: len(heap.clients()) == 2)
                number = heap.clients()[1].number
                for job in range(20):
                    heap.give(number, (heap.client, job))
                for job in range(10 + turn):
                    equal(heap.receive(), (number, job * job))
                process.kill()
                process.wait()
            while True:
                try:
                    heap.receive(block=False)
                except BlockingIOError:
                    break
        equal(len(heap.clients()), 1)
        sound(heap)
        for name in heap.names():
            heap.remove(name)
        equal(used(heap), 0)


def test_a_view_keeps_its_object():
    with shared.Heap.create("views") as heap:
        heap.publish("large", bytes(range(250)) * 100)
        heap.publish("empty", b"")
        heap.publish("text", "no bytes")
        with heap.lookup_view("large") as data:
            assert data.readonly and data.nbytes == 25000
            heap.remove("large")
            assert used(heap) > 25000
            equal(bytes(data[:250]), bytes(range(250)))
        with heap.lookup_view("empty") as data:
            equal(bytes(data), b"")
        raises(ValueError, "not of type bytes", heap.lookup_view, "text")
        gc.collect()
        heap.remove("empty")
        heap.remove("text")
        equal(used(heap), 0)


def test_what_is_made_of_a_view_keeps_it_as_well():
    with shared.Heap.create("slices") as heap:
        heap.publish("x", b"0123456789" * 10)
        one, two = heap.lookup_view("x"), heap.lookup_view("x")
        part = one.data[10:20]
        heap.remove("x")
        one.release()
        two.release()
        raises(ValueError, "released", lambda: two.data[0])
        del one, two
        equal(bytes(part), b"0123456789")
        equal([info.holds for info in heap.clients()], [1])
        del part
        equal(used(heap), 0)


def test_two_descriptors_are_one_client():
    with shared.Heap.create("twice") as heap, shared.Heap.open_id(heap.id) as other:
        heap.publish("x", b"abc")
        with heap.lookup_view("x") as data:
            equal(other.lookup("x"), b"abc")
            equal(other.client, heap.client)
            other.remove("x")
            other.publish("y", b"xyz")
            equal(bytes(data), b"abc")
        other.remove("y")
        equal(used(heap), 0)


def test_a_child_of_fork():
    with shared.Heap.create("fork") as heap:
        heap.publish("x", b"abc")
        view = heap.lookup_view("x")
        own = heap.client
        child = os.fork()
        if not child:
            status = 1
            with contextlib.suppress(BaseException):
                assert heap.client != own and bytes(view.data) == b"abc"
                view.release()
                heap.give(own, heap.client)
                status = 0
            os._exit(status)
        equal(os.waitpid(child, 0)[1], 0)
        assert heap.receive() != own
        heap.remove("x")
        equal(bytes(view.data), b"abc")
        view.release()
        equal(used(heap), 0)


def test_threads():
    """They look the same object up and drop it, while it is replaced and removed."""
    with shared.Heap.create("threads") as heap:
        wrong = []
        until = time.monotonic() + 5

        def work(number):
            rng = random.Random(number)
            while time.monotonic() < until and not wrong:
                try:
                    name = str(rng.randrange(3))
                    kind = rng.randrange(4)
                    if kind == 0:
                        heap.publish(name, bytes([rng.randrange(256)]) * rng.randrange(1, 2000))
                    elif kind == 1:
                        assert len(set(heap.lookup(name))) == 1
                    elif kind == 2:
                        with heap.lookup_view(name) as data:
                            assert len(set(data)) == 1
                    else:
                        heap.remove(name)
                except KeyError:
                    pass
                except BaseException as error:
                    wrong.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(wrong, [])
        for name in heap.names():
            heap.remove(name)
        equal([info.holds for info in heap.clients()], [0])
        equal(used(heap), 0)
        sound(heap)


def test_what_others_have_spoilt():
    random.seed(2)
    with shared.Heap.create("spoilt") as heap:
        heap.publish("x", b"abc")
        for data in b"\xff" * 16, struct.pack("<Q3s", 1 << 60, b"Py\x01"), bytes(16):
            scribble(heap, "x", data)
            raises(ValueError, "", heap.lookup, "x")
            raises(ValueError, "", heap.lookup_view, "x")
        heap.publish("x", b"abc")
        scribble(heap, "x", b"\xff\xff\xff\xff", 12)
        raises(ValueError, "", heap.lookup, "x")
        raises(ValueError, "another size", heap.lookup_view, "x")
        for _ in range(2000):
            heap.publish("x", random.choice(VALUES[:-1]))
            scribble(heap, "x", random.randbytes(2), random.randrange(14))
            for look in heap.lookup, heap.lookup_view:
                with contextlib.suppress(ValueError):
                    look("x")
        # An object that was not made here, and is too small for a value.
        ref = ctypes.c_uint64()
        abi.call(heap.fd, abi.IOC_ALLOC, abi.Alloc(size=8, refs=ctypes.addressof(ref), count=1))
        heap._root(abi.ROOTS_SET, "x", ref.value)
        heap._window.holds.drop(ref.value)
        raises(ValueError, "no value", heap.lookup, "x")
        raises(ValueError, "no value", heap.lookup_view, "x")
        heap.remove("x")
        equal(used(heap), 0)


def test_the_heap_ends():
    """Who waits hears of it."""
    for wait in 'heap.receive()', 'heap.wait("never")':
        with shared.Heap.create("end") as heap, worker(heap, f"""
                heap.publish("ready", 1)
                try:
                    {wait}
                except OSError as error:
                    sys.exit(error.errno)
                """) as process:
            heap.wait("ready")
            time.sleep(0.1)
            abi.call(heap.fd, abi.IOC_END, abi.End())
            ended(process, 116)


def test_a_signal_while_it_waits():
    with shared.Heap.create("signals") as heap:
        calls = []
        old = signal.signal(signal.SIGALRM, lambda *_: calls.append(len(calls)))
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with worker(heap, f"""
                import time
                time.sleep(1)
                heap.publish("x", 1)
                heap.give({heap.client}, 2)
                """):
            equal(heap.wait("x"), 1)
            equal(heap.receive(), 2)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        assert calls


if __name__ == "__main__":
    tap.main(globals())
