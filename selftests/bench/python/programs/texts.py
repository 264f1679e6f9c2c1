# SPDX-License-Identifier: GPL-2.0
"""Text: written a piece at a time, cut, translated, encoded, and indexed by word."""

COUNT = 9000
VOWELS = str.maketrans("aeiou", "uoiea")


def sentence(i):
    text = ""
    for k in range(16):
        text += f"{'aeiou'[(i + k) % 5]}{i * 31 % 997}x{k * i % 89} "
    return text.rstrip()


def build(count):
    texts = []
    index = {}
    for i in range(count):
        text = sentence(i)
        data = text.translate(VOWELS).encode()
        pieces = [data[k:k + 11] for k in range(0, len(data), 11)]
        assert b"".join(pieces).decode().translate(str.maketrans("uoiea", "aeiou")) == text
        for word in text.split():
            index.setdefault(word[:3], []).append(word.ljust(12, ".") + str(i))
            if len(index[word[:3]]) > 50:
                index[word[:3]].clear()
        texts.append((text.title(), pieces, text.partition("x"), text[::-1].split("x", 5)))
    return texts
