# SPDX-License-Identifier: GPL-2.0
"""Records as dictionaries, of a few keys and of many, grouped and counted."""

COUNT = 40000


def record(i):
    entry = {"id": i, "name": f"user{i}", "score": i * 1.5}
    entry["tags"] = {f"tag{i % 1000 + k}": i + k for k in range(12)}
    entry["place"] = dict(zip(("x", "y", "z"), (i + 0.25, i + 0.5, i + 0.75)))
    return entry


def build(count):
    records = []
    counts = {}
    for i in range(count):
        records.append(record(i))
        for tag, value in records[-1]["tags"].items():
            counts[tag] = counts.get(tag, 0) + value
        # A merged copy that is used once and dropped.
        merged = {**records[i // 2], "seen": len(counts)}
        assert merged["id"] == i // 2
    return records
