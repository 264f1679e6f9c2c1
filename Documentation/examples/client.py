# SPDX-License-Identifier: GPL-2.0
"""Ask server.py some 100 questions a second, each for another user: PORT FIRST-USER QUESTIONS."""
import socket
import sys
import time

PORT, FIRST, QUESTIONS = map(int, sys.argv[1:])
WORDS = "import return class self None raise while lambda".split()

with socket.create_connection(("127.0.0.1", PORT)) as server, server.makefile("rw") as file:
    for number in range(FIRST, FIRST + QUESTIONS):
        print(f"user{number}", WORDS[number % len(WORDS)], file=file, flush=True)
        file.readline()
        time.sleep(0.01)
