# SPDX-License-Identifier: GPL-2.0
"""A handler of logging keeps what it has formatted."""

import logging

from rounds import rounds


class Keeper(logging.Handler):
    def __init__(self):
        super().__init__()
        self.kept = []

    def emit(self, record):
        self.kept.append(record.getMessage().encode())  # LEAK


log = logging.getLogger("service")
log.setLevel(logging.INFO)
log.addHandler(Keeper())
log.propagate = False
rounds(lambda number: log.info("request %d has been served", number))
