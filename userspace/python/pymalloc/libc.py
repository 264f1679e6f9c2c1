# SPDX-License-Identifier: LGPL-2.1-or-later
"""What malloc says about this process: mallinfo2() of the shim and of the C library.

The kernel counts objects in magazines as allocated; only the shim knows what is in them.
It adds the bytes of its objects, without those, to what mallinfo2() of the C library says.

The functions are called without giving up the interpreter's lock, so that no other thread
of Python allocates in between.
"""
import ctypes


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]


def _find(library):
    """mallinfo2() as a program finds it, or that of a library; None if there is none."""
    try:
        function = ctypes.PyDLL(library).mallinfo2
    except (AttributeError, OSError):
        return None
    function.restype = _Mallinfo2
    function.argtypes = []
    return function


def _address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


_both = _find(None)
_libc = _find("libc.so.6")


def _count_shim():
    return _both().uordblks - _libc().uordblks


def _count_malloc():
    info = _both()
    return info.uordblks + info.hblkhd


# Without the shim, both are the same function.
shim_bytes = _count_shim if _both and _libc and _address(_both) != _address(_libc) else None
# All bytes that malloc has handed out: those of the C library, too, which counts what its
# threads keep for themselves as handed out.
malloc_bytes = _count_malloc if _both else None
