"""A program that starts a provider and waits to be killed: `doomed_parent.py TOY_SERVER [MODE ...]`."""

import os
import socket
import sys
import threading
import time

from openenv.providers import ProcessProvider

MODES = sys.argv[2:]


class Toy(ProcessProvider):
    def command(self, fd: int) -> list[str]:
        return [sys.executable, "-I", "-S", sys.argv[1], str(fd), *MODES]


provider = Toy()
url = provider.start()
if "stuck" in MODES:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        connection.recv(1)
for mode in {"grandchild", "runaway", "stuck"}.intersection(MODES):
    while mode not in provider.logs():
        time.sleep(0.005)
if "forks" in MODES:
    stopped, has_stopped = os.pipe()
    if os.fork() == 0:
        provider.stop()
        os.write(has_stopped, b".")
        # Holds copies of every descriptor for as long as somebody keeps our own standard input open.
        sys.stdin.read()
        os._exit(0)
    os.read(stopped, 1)
print(provider.pid, provider.logs().replace("\n", ";"), sep=";", flush=True)
if "returns" not in MODES:
    threading.Event().wait()
