#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The Python package on the real device: python.py, as a program whose objects are in a heap.

userspace=$(realpath "${0%/*}/../../userspace")
unset LD_PRELOAD _STDBUF_O
exec "$userspace/pymalloc" run -- python3 "${0%/*}/python.py"
