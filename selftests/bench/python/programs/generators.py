# SPDX-License-Identifier: GPL-2.0
"""Generators: pipelines that run to their end, and some that are kept half-way."""

import itertools

COUNT = 24000


def numbers(start):
    n = start
    while True:
        yield n
        n = n // 2 if n % 2 == 0 else 3 * n + 1


def pairs(source):
    last = next(source)
    for value in source:
        yield last, value
        last = value


def build(count):
    waiting = []
    for i in range(count):
        rising = (b - a for a, b in pairs(numbers(i + 7)) if b > a)
        assert sum(itertools.islice(rising, 6)) > 0
        waiting.append((rising, pairs(numbers(i + 1000))))
        next(waiting[-1][1])
    return waiting
