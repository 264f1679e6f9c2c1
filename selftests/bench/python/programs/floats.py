# SPDX-License-Identifier: GPL-2.0
"""Arithmetic: every intermediate result is an object that is freed at once."""

COUNT = 20000


def step(bodies):
    energy = 0.0
    for i, (x, v) in enumerate(bodies):
        pull = sum((other - x) / (1.0 + (other - x) ** 2) for other, _ in bodies)
        bodies[i] = (x + v * 0.01, v + pull * 0.01)
        energy += v * v / 2
    return energy


def build(count):
    histories = []
    bodies = [(k * 1.25, 0.0) for k in range(6)]
    for i in range(count):
        energy = step(bodies)
        factor = 3 ** (40 + i % 60)
        histories.append((energy, list(bodies), factor, divmod(factor, 10 ** 17 + i)))
    return histories
