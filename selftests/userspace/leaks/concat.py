# SPDX-License-Identifier: GPL-2.0
"""Texts are made by concatenation, piece by piece, and the last ones are kept for ever."""

from rounds import rounds

TEXTS = []


def text(number):
    result = ""
    for i in range(30):
        result = result + chr(97 + (number + i) % 26) * 4  # TEMPORARY
    TEXTS.append(result + "!" + str(number))  # LEAK


rounds(text)
