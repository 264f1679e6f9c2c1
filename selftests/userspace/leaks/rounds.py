# SPDX-License-Identifier: GPL-2.0
"""What the leaking programs have in common: rounds of work, one for each line of the input."""

import sys


def rounds(work):
    """Do the work 200 times for each line that comes, until it says "end", and say so."""
    number = 0
    print("ready", flush=True)
    for _ in iter(sys.stdin.readline, "end\n"):
        for _ in range(200):
            number += 1
            work(number)
        print("done", flush=True)
