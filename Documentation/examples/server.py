# SPDX-License-Identifier: GPL-2.0
"""Say where words are in the standard library: PORT [most answers to keep]."""
import pathlib
import re
import socketserver
import sys

PORT = int(sys.argv[1])
MOST = int(sys.argv[2]) if len(sys.argv) > 2 else float("inf")
INDEX = {}
ANSWERS = {}


def load():
    for file in sorted(pathlib.Path(re.__file__).parents[1].glob("*.py"))[:60]:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            for word in set(re.findall(r"\w+", line)):
                INDEX.setdefault(word, []).append((file.name, number))


def find(word):
    return [f"{name}, line {line}" for name, line in INDEX.get(word, [])[:20]]


def answer(user, word):
    if (user, word) not in ANSWERS:
        if len(ANSWERS) >= MOST:
            del ANSWERS[next(iter(ANSWERS))]
        ANSWERS[user, word] = find(word)
    return ANSWERS[user, word]


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            user, word = line.decode().split()
            self.wfile.write(("; ".join(answer(user, word)) + "\n").encode())


class Server(socketserver.TCPServer):
    allow_reuse_address = True


load()
with Server(("127.0.0.1", PORT), Handler) as server:
    print("ready", flush=True)
    server.serve_forever()
