#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shared heaps in Python: shared.py, as a program whose own objects are in no heap.

unset LD_PRELOAD _STDBUF_O
exec python3 "${0%/*}/shared.py"
