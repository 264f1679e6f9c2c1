# SPDX-License-Identifier: GPL-2.0
"""A cache: entries of all sizes replace each other at random, so that entries that are
dropped together have been made at different times."""

import random

COUNT = 4000
ENTRIES = 30


def build(count):
    choose = random.Random(2).randrange
    cache = {}
    for i in range(3 * count * ENTRIES):
        key = choose(count * ENTRIES)
        cache[key] = (i, bytes(16 + i * 31 % 450))
    for key in range(count * ENTRIES):
        if key not in cache:
            cache[key] = (key, bytes(16 + key * 31 % 450))
    return [[cache[item * ENTRIES + k] for k in range(ENTRIES)] for item in range(count)]
