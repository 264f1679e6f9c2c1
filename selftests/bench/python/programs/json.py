# SPDX-License-Identifier: GPL-2.0
"""Documents, written as JSON and read again."""

import json

COUNT = 15000


def document(i):
    return {
        "id": i,
        "user": {"name": f"user {i}", "mail": f"user{i}@example.org", "active": i % 3 == 0},
        "items": [{"sku": f"{i:06x}-{k}", "price": i + k / 4, "count": k + 1000}
                  for k in range(10)],
        "tags": [f"tag {i * k % 997}" for k in range(8)],
        "note": None,
    }


def build(count):
    documents = []
    for i in range(count):
        text = json.dumps(document(i))
        documents.append(json.loads(text))
    return documents
