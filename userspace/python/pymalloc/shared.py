# SPDX-License-Identifier: LGPL-2.1-or-later
"""Values in a shared heap, for processes that have nothing else in common.

    from pymalloc import shared

    heap = shared.Heap.create("jobs")           # in one process
    heap.publish("config", {"workers": 4})

    heap = shared.Heap.open_id(number)          # in another one of the same user
    heap.lookup("config")

Values are bytes, str, int, float, bool, None, and tuples, lists and dicts of these.  Each is
one object of the heap, which nobody changes; it goes when nobody needs it: no name, no inbox
and no view.  What a process needs goes with it, however it ends, and all else stays.

Other processes that may write to the heap may write anything anywhere.  What they have spoilt
raises ValueError.  The format is in Documentation/python.rst.
"""
import collections
import contextlib
import ctypes
import mmap
import os
import select
import struct
import threading
import weakref

from . import abi

# An object: the bytes of the value, these three bytes, the value.  So the bytes of a value
# of type bytes begin at 16.
_HEAD = struct.Struct("<Q3s")
_MAGIC = b"Py\x01"
_U32 = struct.Struct("<I")
_F64 = struct.Struct("<d")

# Values may be in each other so many times.
DEPTH_MAX = 64
# The most bytes of a value as it is stored.
SIZE_MAX = abi.SIZE_MAX - _HEAD.size
# Numbers that are keys: few of them have the same hash.
_KEY_MAX = 2 ** 61 - 2

_CLIENTS_A_CALL = 64


def _check_key(key):
    """Keys are what no one can choose so that a dict of them is slow."""
    if isinstance(key, int) and not -_KEY_MAX <= key <= _KEY_MAX:
        raise ValueError("a key is a number of more than 61 bits")
    if not isinstance(key, (bytes, str, int, float, type(None))):
        raise ValueError(f"a key is a {type(key).__name__}")


def _put_sized(out, kind, data):
    if len(data) > SIZE_MAX:
        raise ValueError("the value is too large")
    out += kind + _U32.pack(len(data))
    out += data


def _put_items(out, kind, count, items, depth):
    if not depth:
        raise ValueError(f"more than {DEPTH_MAX} values are in each other")
    out += kind + _U32.pack(count)
    for item in items:
        _put(out, item, depth - 1)


def _put_dict(out, value, depth):
    for key in value:
        _check_key(key)
    _put_items(out, b"{", len(value), (part for pair in value.items() for part in pair), depth)


def _put(out, value, depth):
    if value is None:
        out += b"N"
    elif isinstance(value, bool):
        out += b"T" if value else b"F"
    elif isinstance(value, int):
        _put_sized(out, b"i", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    elif isinstance(value, float):
        out += b"d" + _F64.pack(value)
    elif isinstance(value, str):
        _put_sized(out, b"s", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _put_sized(out, b"b", bytes(value))
    elif isinstance(value, (tuple, list)):
        _put_items(out, b"(" if isinstance(value, tuple) else b"[", len(value), value, depth)
    elif isinstance(value, dict):
        _put_dict(out, value, depth)
    else:
        raise TypeError(f"a {type(value).__name__} cannot be in a shared heap")
    if len(out) > SIZE_MAX:
        raise ValueError("the value is too large")


def encode(value):
    """The bytes of an object that has this value.  Raises TypeError or ValueError."""
    out = bytearray()
    _put(out, value, DEPTH_MAX)
    return _HEAD.pack(len(out), _MAGIC) + out


class _Reader:
    """What is left of a value: a copy, which nobody changes meanwhile."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def left(self):
        """How many bytes are left."""
        return len(self._data) - self._at

    def take(self, size):
        """The next bytes."""
        if size > self.left():
            raise ValueError("a value in the shared heap ends too early")
        self._at += size
        return self._data[self._at - size:self._at]

    def _number(self):
        return _U32.unpack(self.take(4))[0]

    def _items(self, each, depth):
        """The values that follow; each takes a byte at least, so there are not too many."""
        count = self._number() * each
        if count > self.left():
            raise ValueError("a value in the shared heap says that it has more than there is")
        if not depth:
            raise ValueError("values in the shared heap are too often in each other")
        return [self.value(depth - 1) for _ in range(count)]

    def _dict(self, depth):
        items = self._items(2, depth)
        keys = items[::2]
        for key in keys:
            _check_key(key)
        found = dict(zip(keys, items[1::2]))
        if len(found) != len(keys):
            raise ValueError("a dict in the shared heap has a key twice")
        return found

    def value(self, depth):
        """The next value."""
        kind = self.take(1)
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind == b"d":
            return _F64.unpack(self.take(8))[0]
        if kind == b"i":
            return int.from_bytes(self.take(self._number()), "little", signed=True)
        if kind == b"s":
            return self.take(self._number()).decode("utf-8", "surrogatepass")
        if kind == b"b":
            return self.take(self._number())
        if kind == b"(":
            return tuple(self._items(1, depth))
        if kind == b"[":
            return self._items(1, depth)
        if kind == b"{":
            return self._dict(depth)
        raise ValueError(f"a value in the shared heap has the unknown type {kind!r}")


_CONSTANTS = {b"N": None, b"T": True, b"F": False}


def _value_size(head, room):
    """The bytes of the value behind this head, in an object with room for so many."""
    size, magic = _HEAD.unpack(head)
    if magic != _MAGIC or size > room - _HEAD.size:
        raise ValueError("an object of the shared heap is no value")
    return size


def _decode_value(data):
    reader = _Reader(data)
    value = reader.value(DEPTH_MAX)
    if reader.left():
        raise ValueError("a value in the shared heap has too many bytes")
    return value


def decode(data):
    """The value of an object that has these bytes, which may be more.  Raises ValueError."""
    if len(data) < _HEAD.size:
        raise ValueError("an object of the shared heap is no value")
    size = _value_size(data[:_HEAD.size], len(data))
    return _decode_value(bytes(data[_HEAD.size:_HEAD.size + size]))


def _call(fd, command, arg):
    """A call that a signal may interrupt."""
    while True:
        try:
            return abi.call(fd, command, arg)
        except InterruptedError:
            pass


class _Libc:
    """mmap() as it is: Python's own has no address if it is read-only."""

    def __init__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        self._map = libc.mmap
        self._map.restype = ctypes.c_void_p
        self._map.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                              ctypes.c_int, ctypes.c_long]
        self.unmap = libc.munmap
        self.unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    def map(self, fd, size, access):
        """The address of a new mapping."""
        address = self._map(None, size, access, mmap.MAP_SHARED, fd, 0)
        if address == ctypes.c_void_p(-1).value:
            error = ctypes.get_errno()
            raise OSError(error, f"cannot map the shared heap: {os.strerror(error)}")
        return address


_libc = _Libc()


class _Holds:
    """Which objects of a heap this process needs, and how often.

    For the kernel a process holds an object or does not; here each use counts.  To hold and to
    count must be one, so all that makes or drops holds is done with the lock.
    """

    def __init__(self, fd):
        self.fd = os.dup(fd)
        os.set_inheritable(self.fd, False)
        weakref.finalize(self, os.close, self.fd).atexit = False
        self.lock = threading.Lock()
        self._counts = {}
        # What views have left to be dropped: they may end in the middle of anything.
        self._left = collections.deque()

    @contextlib.contextmanager
    def locked(self):
        """With the lock held, which nobody waits for long."""
        try:
            with self.lock:
                yield
        finally:
            self._settle()

    def add(self, ref):
        """One more use of what the process holds.  With the lock held."""
        self._counts[ref] = self._counts.get(ref, 0) + 1

    def forget(self, ref):
        """One use less of what somebody else has got.  With the lock held."""
        count = self._counts[ref] - 1
        if count:
            self._counts[ref] = count
        else:
            del self._counts[ref]

    def uses(self, ref):
        """How many uses there are.  With the lock held."""
        return self._counts.get(ref, 0)

    def drop(self, ref):
        """The process does not hold it any more.  With the lock held."""
        refs = ctypes.c_uint64(ref)
        # A heap that has ended has nothing to be dropped.
        with contextlib.suppress(OSError):
            _call(self.fd, abi.IOC_HOLDS, abi.Holds(
                op=abi.HOLDS_DROP, refs=ctypes.addressof(refs), count=1))

    def release(self, ref):
        """One use less, from anywhere, also from the garbage collection."""
        self._left.append(ref)
        self._settle()

    def _settle(self):
        # Who has the lock looks again when he has released it.
        while self._left and self.lock.acquire(blocking=False):
            try:
                while self._left:
                    self._end_use(self._left.popleft())
            finally:
                self.lock.release()

    def _end_use(self, ref):
        self.forget(ref)
        if not self.uses(ref):
            self.drop(ref)


# By number of the heap: a process is one client, however many descriptors it has.
_known = weakref.WeakValueDictionary()
_known_lock = threading.Lock()


def _holds_of(number, fd):
    with _known_lock:
        holds = _known.get(number)
        if holds is None:
            holds = _known[number] = _Holds(fd)
        return holds


def _after_fork():
    """Threads that had the locks are not in the child."""
    global _known_lock  # pylint: disable=global-statement
    _known_lock = threading.Lock()
    for holds in list(_known.values()):
        holds.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class _Window:
    """A mapping of a heap, which stays as long as there are views of it."""

    def __init__(self, fd, info):
        self.holds = _holds_of(info.id, fd)
        try:
            self._address = _libc.map(fd, info.window, mmap.PROT_READ | mmap.PROT_WRITE)
        except PermissionError:
            # A reader's descriptor.
            self._address = _libc.map(fd, info.window, mmap.PROT_READ)
        weakref.finalize(self, _libc.unmap, self._address, info.window).atexit = False

    def write(self, ref, data):
        """Write to an object that the process has just made."""
        ctypes.memmove(self._address + ref, data, len(data))

    def read(self, ref, size):
        """A copy of bytes of an object that the process holds."""
        return ctypes.string_at(self._address + ref, size)

    def array(self, ref, offset, size):
        """Bytes of an object, which is in use until nothing refers to these any more."""
        array = (ctypes.c_ubyte * size).from_address(self._address + ref + offset)
        array.window = self
        weakref.finalize(array, self.holds.release, ref).atexit = False
        return array


class View:
    """Bytes in a shared heap, as they lie there.

    The object stays until the view is released, or is gone, and all that was made of data is
    gone as well: slices of it, arrays of numpy.
    """

    def __init__(self, array):
        self.data = memoryview(array).cast("B").toreadonly()

    def release(self):
        """Give the object up.  Slices of data keep it."""
        self.data.release()

    def __enter__(self):
        return self.data

    def __exit__(self, *_):
        self.release()


def _name_bytes(name):
    data = name.encode("ascii", "replace")
    if not 0 < len(data) < abi.NAME_LEN or not name.isascii() or not name.isprintable():
        raise ValueError(f"a name has 1 to {abi.NAME_LEN - 1} printable characters of ASCII: "
                         f"{name!r}")
    return data


class Heap:
    """A shared heap, by a descriptor of it; the process is a client until it closes it."""

    def __init__(self, fd):
        """Take over a descriptor.  See create(), open() and open_id()."""
        self.fd = fd
        self._self = None
        info = abi.HeapInfo()
        # If this fails, the descriptor is still the caller's.
        abi.call(fd, abi.IOC_LIST, abi.List(heaps=ctypes.addressof(info), count=1,
                                            entry_size=ctypes.sizeof(info)))
        if not info.flags & abi.CREATE_SHARED:
            raise ValueError(f"heap {info.id} is not a shared one")
        self.id = info.id
        self._window = _Window(fd, info)

    @classmethod
    def create(cls, name=None, limit=0, *, window=0):
        """Make a heap, which ends when nobody has a descriptor or a mapping of it.

        limit: most bytes of pages and metadata; window: bytes of addresses.  0 is the default.
        """
        device = abi.open_device()
        try:
            fd = abi.call_fd(device, abi.IOC_CREATE, abi.Create(
                flags=abi.CREATE_SHARED, alignment=16, window=window, limit=limit,
                name=_name_bytes(name) if name else b""))
        finally:
            os.close(device)
        return cls._take(fd)

    @classmethod
    def open(cls, fd):
        """The heap of a descriptor that was inherited or received, which it takes over."""
        return cls(fd)

    @classmethod
    def open_id(cls, number):
        """The heap that has this number, of the same user."""
        device = abi.open_device()
        try:
            fd = abi.call_fd(device, abi.IOC_OPEN, abi.Open(id=number))
        finally:
            os.close(device)
        return cls._take(fd)

    @classmethod
    def _take(cls, fd):
        """The heap of a descriptor that nobody else knows."""
        try:
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    def close(self):
        """Close the descriptor, and give up what the process holds, but for views."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
        self._window = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_window", None):
            self.close()

    def _open_window(self):
        window = self._window
        if window is None:
            raise ValueError("the heap is closed")
        return window

    def clients(self):
        """The processes that map the heap: a list of abi.ClientInfo."""
        found = []
        infos = (abi.ClientInfo * _CLIENTS_A_CALL)()
        while True:
            done = _call(self.fd, abi.IOC_CLIENTS, abi.Clients(
                op=abi.CLIENTS_READ, number=found[-1].number if found else 0,
                infos=ctypes.addressof(infos), count=_CLIENTS_A_CALL,
                entry_size=ctypes.sizeof(abi.ClientInfo))).done
            found += [abi.ClientInfo.from_buffer_copy(info) for info in infos[:done]]
            if done < _CLIENTS_A_CALL:
                return found

    @property
    def client(self):
        """The number of this process among the clients, by which others give it values."""
        if not self._self or self._self[0] != os.getpid():
            self._self = os.getpid(), next(info.number for info in self.clients()
                                           if info.flags & abi.CLIENT_SELF)
        return self._self[1]

    def _root(self, op, name, ref=0):
        return _call(self.fd, abi.IOC_ROOTS, abi.Roots(op=op, ref=ref, name=_name_bytes(name))).ref

    def _make(self, window, value):
        """A new object, in use once.  Returns its ref."""
        data = encode(value)
        ref = ctypes.c_uint64()
        with window.holds.locked():
            _call(self.fd, abi.IOC_ALLOC, abi.Alloc(
                size=len(data), refs=ctypes.addressof(ref), count=1))
            window.holds.add(ref.value)
        window.write(ref.value, data)
        return ref.value

    def publish(self, name, value, *, replace=True):
        """Give a value a name, and take the name from any other value.

        Without replace, a name that there is already raises FileExistsError.
        """
        _name_bytes(name)
        window = self._open_window()
        ref = self._make(window, value)
        try:
            self._root(abi.ROOTS_SET if replace else abi.ROOTS_NEW, name, ref)
        finally:
            window.holds.release(ref)

    def _get(self, window, name):
        with window.holds.locked():
            try:
                ref = self._root(abi.ROOTS_GET, name)
            except FileNotFoundError:
                raise KeyError(name) from None
            window.holds.add(ref)
        return ref

    def _room(self, ref):
        """The bytes of an object, which only the kernel knows for certain."""
        refs, size = ctypes.c_uint64(ref), ctypes.c_uint64()
        _call(self.fd, abi.IOC_USABLE, abi.Usable(
            refs=ctypes.addressof(refs), sizes=ctypes.addressof(size), count=1))
        if size.value < _HEAD.size:
            raise ValueError("an object of the shared heap is no value")
        return size.value

    def _read(self, window, ref):
        """The value of an object, of which one use ends."""
        try:
            room = self._room(ref)
            size = _value_size(window.read(ref, _HEAD.size), room)
            data = window.read(ref + _HEAD.size, size)
        finally:
            window.holds.release(ref)
        return _decode_value(data)

    def lookup(self, name):
        """The value that has a name.  Raises KeyError, or ValueError for what is no value."""
        window = self._open_window()
        return self._read(window, self._get(window, name))

    def _find_bytes(self, window, ref):
        """Where in an object the bytes are that are its value, and how many."""
        room = self._room(ref)
        size = _value_size(window.read(ref, _HEAD.size), room)
        head = window.read(ref + _HEAD.size, min(size, 1 + _U32.size))
        if head[:1] != b"b":
            raise ValueError("the value in the shared heap is not of type bytes")
        if len(head) <= _U32.size or _U32.unpack(head[1:])[0] != size - len(head):
            raise ValueError("a value in the shared heap has another size than it says")
        return _HEAD.size + len(head), size - len(head)

    def lookup_view(self, name):
        """The bytes that have a name, without a copy: a View.

        Its data can change, if another process does what it should not.
        """
        window = self._open_window()
        ref = self._get(window, name)
        try:
            array = window.array(ref, *self._find_bytes(window, ref))
        except BaseException:
            window.holds.release(ref)
            raise
        return View(array)

    def wait(self, name):
        """The value that has a name, when there is one."""
        window = self._open_window()
        while True:
            ref = self._root(abi.ROOTS_WAIT, name)
            with window.holds.locked():
                # It was held without being counted: see whether it is in use here.
                if not window.holds.uses(ref):
                    window.holds.drop(ref)
            try:
                return self.lookup(name)
            except KeyError:
                # Somebody has removed it meanwhile.
                pass

    def remove(self, name):
        """Take a name away.  Raises KeyError."""
        self._open_window()
        try:
            self._root(abi.ROOTS_REMOVE, name)
        except FileNotFoundError:
            raise KeyError(name) from None

    def names(self):
        """The names that there are."""
        root = abi.Roots(op=abi.ROOTS_NEXT)
        found = []
        while True:
            try:
                _call(self.fd, abi.IOC_ROOTS, root)
            except FileNotFoundError:
                return found
            found.append(root.name.decode("ascii"))

    def give(self, client, value):
        """Put a value into the inbox of a client, by its number.

        Raises ProcessLookupError if there is no such client, and BlockingIOError if its inbox
        is full.
        """
        window = self._open_window()
        ref = self._make(window, value)
        refs = ctypes.c_uint64(ref)
        try:
            with window.holds.locked():
                _call(self.fd, abi.IOC_HOLDS, abi.Holds(
                    op=abi.HOLDS_GIVE, client=client, refs=ctypes.addressof(refs), count=1))
                window.holds.forget(ref)
        except BaseException:
            window.holds.release(ref)
            raise

    def _receive(self, window):
        ref = ctypes.c_uint64()
        with window.holds.locked():
            _call(self.fd, abi.IOC_HOLDS, abi.Holds(
                op=abi.HOLDS_RECEIVE, refs=ctypes.addressof(ref), count=1))
            window.holds.add(ref.value)
        return ref.value

    def receive(self, block=True):
        """The next value from the inbox; without block, BlockingIOError if it is empty."""
        window = self._open_window()
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while True:
            try:
                ref = self._receive(window)
                break
            except BlockingIOError:
                if not block:
                    raise
            poll.poll()
        return self._read(window, ref)
