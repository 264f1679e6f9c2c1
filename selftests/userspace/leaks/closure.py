# SPDX-License-Identifier: GPL-2.0
"""A list in a closure grows with each call."""

from rounds import rounds


def make_counter():
    history = []

    def count(number):
        entry = {"number": number}  # LEAK
        history.append(entry)
        return sum(1 for item in history[-5:] if item["number"] % 2)

    return count


rounds(make_counter())
