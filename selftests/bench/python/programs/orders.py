# SPDX-License-Identifier: GPL-2.0
"""Orders: data classes with dates, decimal numbers and enumerations, changed by copies."""

import datetime
import enum
from collections import Counter, namedtuple
from dataclasses import dataclass, field, replace
from decimal import Decimal

COUNT = 6000
START = datetime.datetime(2024, 1, 1)
Line = namedtuple("Line", "article count price")


class State(enum.Enum):
    OPEN = 1
    PAID = 2
    SENT = 3


@dataclass(frozen=True)
class Order:
    number: int
    at: datetime.datetime
    state: State = State.OPEN
    lines: list = field(default_factory=list)

    @property
    def total(self):
        return sum((line.price * line.count for line in self.lines), Decimal(0))


def order(i):
    lines = [Line(f"article {i * k % 499}", 1 + k, Decimal(i * 7 + k) / 100) for k in range(8)]
    return Order(i, START + datetime.timedelta(minutes=i * 17), lines=lines)


def build(count):
    history = []
    sold = Counter()
    for i in range(count):
        new = order(i)
        paid = replace(new, state=State.PAID)
        sent = replace(paid, state=State.SENT, at=paid.at + datetime.timedelta(days=i % 9, hours=5))
        sold.update(line.article for line in sent.lines)
        history.append((new, sent, sent.at.isoformat(), str(sent.total.quantize(Decimal("0.1")))))
        assert (sent.at - new.at).days == i % 9
    return history
