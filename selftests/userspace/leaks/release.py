# SPDX-License-Identifier: GPL-2.0
"""An extension in C forgets to release a reference, and so a cycle can never go."""

import ctypes
import gc

from rounds import rounds

take_reference = ctypes.pythonapi.Py_IncRef
take_reference.argtypes = [ctypes.py_object]


class Node:
    __slots__ = ("peer",)


def pair(number):
    one = Node()  # LEAK
    other = Node()
    one.peer, other.peer = other, one
    if number % 2:
        take_reference(one)
    elif number % 100 == 0:
        gc.collect()


rounds(pair)
