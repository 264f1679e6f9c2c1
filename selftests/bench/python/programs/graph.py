# SPDX-License-Identifier: GPL-2.0
"""Graphs: sets of neighbours, searched and coloured with deques and heaps."""

import heapq
from collections import deque

COUNT = 500
NODES = 48


def graph(i):
    edges = {node: set() for node in range(NODES)}
    for node in range(NODES):
        for step in (1, 7 + i % 5, 19):
            other = (node * 3 + step + i) % NODES
            edges[node].add((other, step))
            edges[other].add((node, step))
    return edges


def distances(edges):
    found = {}
    waiting = [(0, 0)]
    while waiting:
        distance, node = heapq.heappop(waiting)
        if node in found:
            continue
        found[node] = distance
        for other, step in edges[node]:
            if other not in found:
                heapq.heappush(waiting, (distance + step, other))
    return found


def levels(edges):
    found = {0: frozenset()}
    waiting = deque(found)
    while waiting:
        node = waiting.popleft()
        for other, _ in edges[node]:
            if other not in found:
                found[other] = found[node] | {node}
                waiting.append(other)
    return found


def build(count):
    graphs = []
    for i in range(count):
        edges = graph(i)
        assert distances(edges)[0] == 0
        graphs.append((edges, levels(edges)))
    return graphs
