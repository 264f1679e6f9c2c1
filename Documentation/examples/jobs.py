# SPDX-License-Identifier: GPL-2.0
"""A process that gives jobs to workers by a shared heap.  One of them is killed."""
import subprocess
import sys

from pymalloc import shared

WORKER = """
import sys
from pymalloc import shared

heap = shared.Heap.open_id(int(sys.argv[1]))
power = heap.lookup("config")["power"]
heap.publish(sys.argv[2], heap.client)
while True:
    master, job = heap.receive()
    heap.give(master, (sys.argv[2], job, job ** power))
"""


def start(name):
    """Start a worker.  Returns its process, and its number among the clients."""
    process = subprocess.Popen([sys.executable, "-c", WORKER, str(heap.id), name])
    return process, heap.wait(name)


heap = shared.Heap.create("jobs")
heap.publish("config", {"power": 2})
workers = [start(name) for name in ("Ada", "Blaise")]
for job, (_, client) in enumerate(workers, 5):
    heap.give(client, (heap.client, job))
for _ in workers:
    print(*heap.receive())
workers[0][0].kill()
workers[0][0].wait()
heap.publish("table", bytes(1 << 20))
table = heap.lookup_view("table")
print([client.number for client in heap.clients()], heap.names())
input("Press Enter to end.\n")
workers[1][0].kill()
