# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface of the service, <linux/pymalloc.h>: its structs, its numbers, its calls.

A struct has the name of the one in C: struct pymalloc_heap_info is HeapInfo here.  Numbers
have theirs without PYMALLOC_.  See Documentation/abi.rst for what they mean.
"""
import ctypes
import errno
import fcntl
import os

DEVICE = "/dev/pymalloc"

ABI_VERSION = 1
POOL_SIZE = 4096
ARENA_POOLS = 64
ARENA_SIZE = ARENA_POOLS * POOL_SIZE
BLOCK_MIN = 8
BLOCK_MAX = 512
NR_CLASSES = 64
SIZE_MAX = 64 * ARENA_SIZE
BATCH_MAX = 65536
NAME_LEN = 32
POOL_MAP_OFFSET = 1 << 42
WINDOW_MIN = 2 * ARENA_SIZE
WINDOW_MAX = 1 << 40
CACHES_MAX = 4096
CACHE_PAGES = 160
CACHES_OFFSET = 1 << 43
SLOTS_OFFSET = CACHES_OFFSET + CACHES_MAX * 4096
TABLE_MAX = 64 << 20
SITES_OFFSET = 1 << 44
WORDS_OFFSET = SITES_OFFSET + (1 << 40)

CREATE_NO_MESH = 1 << 0
CREATE_KEEP_DEAD = 1 << 1
CREATE_SHARED = 1 << 2
KERNEL = 1 << 30
SEALED = 1 << 31
OPEN_RDONLY = 1 << 0
OPEN_MAPPED = 1 << 1
LIST_DEAD = 1 << 0
FORGET_ALL = 1 << 0
ALLOC_ZERO = 1 << 0
ALLOC_PINNED = 1 << 2
ALLOC_TYPE_SHIFT = 24
ALLOC_TYPE_MASK = 0xFF << ALLOC_TYPE_SHIFT
BATCH_USABLE = 1 << 1

POOL_MESHED = 1 << 0
SITE_CACHED = 1 << 0
WORD_CACHED = 0xffffffff
WALK_ARENAS = 1
WALK_POOLS = 2
WALK_BLOCKS = 3
WALK_SITES = 4

COMPACT_STOCK = 1 << 0
COMPACT_CACHES = 1 << 1
COMPACT_MESH = 1 << 2

POLICY_SET = 1 << 0
POLICY_RESET = 1 << 1
POLICY_NO_DECAY = 1 << 0
POLICY_NO_STEAL = 1 << 1
POLICY_NO_MESH = 1 << 2
DECAY_MS_MIN = 10
DECAY_MS_MAX = 86400000

TRACE_OFF = 0
TRACE_GROWTH = 1
TRACE_SAMPLED = 2
TRACE_EXACT = 3
TRACE_SET = 1 << 0
TRACE_BEGUN = 1 << 1
TRACE_IDLE = 1 << 2
TRACE_NO_IDLE = 1 << 3
NO_IDLE = 0xffffffff
INTERVAL_MIN = 4096
INTERVAL_MAX = 1 << 40
INTERVAL_DEFAULT = 512 << 10

SITES_ADD = 1
SITES_DROP = 2
SITES_READ = 3

TYPES_MAX = 189
TYPES_MAKE = 1
TYPES_DROP = 2
TYPES_TELL = 3
TYPES_READ = 4
TYPE_OWN_POOLS = 1 << 0

HOLDS_HOLD = 0
HOLDS_DROP = 1
HOLDS_GIVE = 2
HOLDS_RECEIVE = 3
HOLDS_READ = 4
HOLDS_SERIALS = 5
HOLDS_KEEP = 1 << 0

ROOTS_SET = 0
ROOTS_NEW = 1
ROOTS_GET = 2
ROOTS_WAIT = 3
ROOTS_REMOVE = 4
ROOTS_NEXT = 5

CLIENTS_READ = 0
CLIENTS_LIMIT = 1
CLIENT_SELF = 1 << 0

SEAL_READER = 1 << 0
SEAL_OBSERVER = 1 << 1

CACHE_BAD = 8
CACHE_MAKE = 1
CACHE_SLOTS = 2
CACHE_DROP = 3
CACHE_END = 4
CACHE_STEAL = 5
STEAL_ALL = 1 << 0

(DIED_UNKNOWN, DIED_EXIT, DIED_SIGNAL) = range(3)

# enum pymalloc_ref_status
(REF_OK, REF_RANGE, REF_FOREIGN, REF_MISALIGNED, REF_UNTOUCHED, REF_FREE,
 REF_SEALED, REF_NOT_HELD, REF_STALE) = range(9)
# enum pymalloc_state
(POOL_NONE, POOL_EMPTY, POOL_USED, POOL_FULL, POOL_RUN, POOL_TAIL) = range(6)
(BLOCK_UNTOUCHED, BLOCK_FREE, BLOCK_ALLOCATED) = range(16, 19)
# enum pymalloc_arena_kind
(ARENA_OBJECT, ARENA_RUNS) = range(1, 3)

IOC_MAGIC = 0xBF


def _io(number):
    """_IO() of <linux/ioctl.h>: a number without direction and size."""
    return IOC_MAGIC << 8 | number


IOC_INFO = _io(0x40)
IOC_CREATE = _io(0x41)
IOC_OPEN = _io(0x42)
IOC_LIST = _io(0x43)
IOC_FORGET = _io(0x44)
IOC_ALLOC = _io(0x50)
IOC_FREE = _io(0x51)
IOC_USABLE = _io(0x52)
IOC_RESIZE = _io(0x53)
IOC_STATS = _io(0x54)
IOC_WALK = _io(0x55)
IOC_TRIM = _io(0x56)
IOC_CHECK = _io(0x57)
IOC_NOTIFY = _io(0x58)
IOC_CACHES = _io(0x59)
IOC_END = _io(0x5A)
IOC_GROW = _io(0x5B)
IOC_COMPACT = _io(0x5C)
IOC_POLICY = _io(0x5D)
IOC_CACHE = _io(0x5E)
IOC_TRACE = _io(0x5F)
IOC_SITES = _io(0x60)
IOC_SEAL = _io(0x61)
IOC_TYPES = _io(0x62)
IOC_HOLDS = _io(0x63)
IOC_ROOTS = _io(0x64)
IOC_CLIENTS = _io(0x65)

_TYPES = {"u32": ctypes.c_uint32, "s32": ctypes.c_int32, "u64": ctypes.c_uint64}


def _fields(*lines):
    """Fields of a struct, from "TYPE NAME..." as in C; "char N NAME" is an array."""
    fields = []
    for line in lines:
        kind, *names = line.split()
        if kind == "char":
            size, *names = names
            fields += [(name, ctypes.c_char * int(size)) for name in names]
        else:
            fields += [(name, _TYPES[kind]) for name in names]
    return fields


class Struct(ctypes.Structure):
    """A struct of the interface; if it begins with argsz, that is set."""

    def __init__(self, **fields):
        if self._fields_[0][0] == "argsz":
            fields["argsz"] = ctypes.sizeof(self)
        super().__init__(**fields)

    def as_dict(self):
        """The fields by name, with names as str."""
        values = {name: getattr(self, name) for name, *_ in self._fields_
                  if name not in ("argsz", "reserved")}
        return {name: text(value) if isinstance(value, bytes) else value
                for name, value in values.items()}


def text(name):
    """A name that the kernel reports, which may be no UTF-8."""
    return name.decode("utf-8", "backslashreplace")


class Info(Struct):
    _fields_ = _fields(
        "u32 argsz abi_version pool_size arena_size block_min block_max nr_classes batch_max",
        "u64 size_max window_default window_max limit_default user_bytes user_bytes_max",
        "u32 user_heaps user_heaps_max", "char 32 version",
        "u64 user_meta_bytes heap_bytes_min", "u32 user_dead user_dead_max",
        "u64 user_dead_bytes user_dead_bytes_max")


class Create(Struct):
    _fields_ = _fields("u32 argsz flags alignment reserved", "u64 window limit id",
                       "char 32 name", "u64 extent")


class Open(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 id")


class HeapInfo(Struct):
    _fields_ = _fields("u64 id window limit page_bytes used_bytes", "u32 alignment flags uid",
                       "s32 pid", "char 16 comm", "char 32 name", "u64 shared_bytes pss_bytes",
                       "u64 meta_bytes died", "u32 death death_code")


class List(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 heaps after",
                       "u32 count done entry_size reserved")


class Forget(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 id done")


class Alloc(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 size refs", "u32 count done")


class Free(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 refs status",
                       "u32 count done nr_bad first_bad")


class BatchHead(Struct):
    _fields_ = _fields("u32 size flags")


class Usable(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 refs sizes", "u32 count done")


class Resize(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 ref size")


class ClassStats(Struct):
    _fields_ = _fields("u32 size reserved", "u64 pools_used pools_full blocks blocks_free "
                       "blocks_untouched nr_allocs nr_frees")


class Stats(Struct):
    _fields_ = _fields(
        "u32 argsz flags",
        "u64 limit threshold page_bytes page_bytes_peak meta_bytes arenas run_arenas "
        "pools_used pools_full pools_empty blocks block_bytes runs run_pages nr_allocs "
        "nr_frees nr_bad_refs nr_pages_in nr_pages_out classes",
        "u32 nr_classes class_size",
        "u64 cache_threads cache_bytes_max shared_bytes pss_bytes pools_meshed nr_meshed "
        "nr_stolen nr_decayed nr_shrunk")


class ArenaInfo(Struct):
    _fields_ = _fields("u64 offset",
                       "u32 kind pools_none pools_empty pools_used pools_full blocks")


class PoolInfo(Struct):
    _fields_ = _fields("u64 offset", "u32 state size allocated free untouched flags")


class BlockInfo(Struct):
    _fields_ = _fields("u64 ref", "u32 size state")


class SiteInfo(Struct):
    _fields_ = _fields("u64 ref", "u32 size site flags idle")


class Walk(Struct):
    _fields_ = _fields("u32 argsz what", "u64 start end next entries",
                       "u32 count done entry_size reserved")


class Trim(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 released")


class Compact(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 pages_freed frames_joined bytes_copied "
                       "pages_pinned blocks_taken")


class Policy(Struct):
    _fields_ = _fields("u32 argsz flags decay_ms off", "u64 keep_bytes")


class Check(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 errors offset", "char 80 message")


class Notify(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 threshold")


class Caches(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 threads bytes_max")


class End(Struct):
    _fields_ = _fields("u32 argsz flags")


class Seal(Struct):
    _fields_ = _fields("u32 argsz flags")


class Grow(Struct):
    _fields_ = _fields("u32 argsz flags", "u64 extent")


class BadRef(Struct):
    _fields_ = _fields("u64 ref", "u32 status reserved")


class CacheHeader(Struct):
    _fields_ = [(name, ctypes.c_uint64 * (NR_CLASSES + 1))
                for name in ("top", "full", "low_bits", "bottom")] + \
        _fields("u64 base slots", "u32 nr_queued busy nr_bad generation") + \
        [("bad", BadRef * CACHE_BAD)]


class Cache(Struct):
    _fields_ = _fields("u32 argsz flags op index first count", "u64 stolen block_bytes")


class Trace(Struct):
    _fields_ = _fields("u32 argsz flags mode python_frames native_frames generation begun "
                       "idle", "u64 interval mark")


class Sites(Struct):
    _fields_ = _fields("u32 argsz flags op reserved", "u64 offset bytes data done")


class TypeInfo(Struct):
    _fields_ = _fields("u32 number flags size alignment keep pools",
                       "u64 objects kept constructed bytes", "char 32 name")


class Types(Struct):
    _fields_ = _fields("u32 argsz flags op number", "u64 infos",
                       "u32 count done entry_size reserved")


class Holds(Struct):
    _fields_ = _fields("u32 argsz flags op client", "u64 refs status serials",
                       "u32 count done nr_bad first_bad")


class Roots(Struct):
    _fields_ = _fields("u32 argsz flags op reserved", "u64 ref", "char 32 name")


class ClientInfo(Struct):
    _fields_ = _fields("u64 holds holds_max", "u32 number flags", "s32 pid",
                       "u32 uid inbox mappings", "char 16 comm")


class Clients(Struct):
    _fields_ = _fields("u32 argsz flags op number", "u64 infos holds_max",
                       "u32 count done entry_size reserved")


def call(fd, command, struct):
    """Call a command, and return its struct.  Raises OSError.

    A module that is older has no such command, or a shorter struct.
    """
    try:
        fcntl.ioctl(fd, command, struct)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.E2BIG):
            error.strerror += ": the pymalloc module is of another version"
        raise
    return struct


def call_fd(fd, command, struct):
    """Call a command whose result is a descriptor."""
    return fcntl.ioctl(fd, command, struct)


def open_device():
    """A descriptor of the device.  Raises OSError."""
    return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
