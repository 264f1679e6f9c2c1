# SPDX-License-Identifier: GPL-2.0
"""Tuples, sorted by different keys, and the smallest found by a heap."""

import heapq

COUNT = 4000
ROWS = 50


def table(i):
    return [((i * 7919 + k * 104729) % 100003, f"row {k * 31 % ROWS}", (k, i / 8))
            for k in range(ROWS)]


def build(count):
    tables = []
    for i in range(count):
        rows = table(i)
        by_name = sorted(rows, key=lambda row: (row[1], row[0]))
        first = heapq.nsmallest(5, rows)
        rows.sort()
        assert rows[:5] == first and len(by_name) == ROWS
        tables.append(rows)
    return tables
