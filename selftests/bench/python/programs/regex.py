# SPDX-License-Identifier: GPL-2.0
"""The lines of a log, parsed by regular expressions."""

import re

COUNT = 30000
LINE = re.compile(r"(?P<host>\S+) \[(?P<time>[^]]+)\] \"(?P<method>[A-Z]+) (?P<path>\S+)\" "
                  r"(?P<status>\d{3}) (?P<size>\d+)")
PART = re.compile(r"[a-z]+|\d+")


def build(count):
    requests = []
    for i in range(count):
        line = (f"10.0.{i % 256}.{i % 199} [{i % 24:02}:{i % 60:02}:{i % 59:02}] "
                f"\"GET /shop/item/{i}/view/{i * 31 % 8191}?page={i % 13}\" 200 {i * 37}")
        request = LINE.match(line).groupdict()
        request["parts"] = PART.findall(request["path"])
        request["plain"] = re.sub(r"\d+", "N", request["path"])
        requests.append(request)
    return requests
