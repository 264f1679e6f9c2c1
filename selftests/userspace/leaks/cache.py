# SPDX-License-Identifier: GPL-2.0
"""A cache without a bound: each request has a key of its own."""

from rounds import rounds

CACHE = {}


def render(number):
    lines = [f"line {i} of {number}" for i in range(10)]
    return "".join(line[:3] for line in lines)


def answer(number):
    key = ("page", number)
    if key not in CACHE:
        CACHE[key] = render(number) + str(number)  # LEAK
    return CACHE[key]


rounds(answer)
