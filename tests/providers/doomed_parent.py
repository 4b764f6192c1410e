"""A program that starts a provider and waits to be killed: `doomed_parent.py TOY_SERVER [MODE ...]`."""

import os
import sys
import threading

from openenv.providers import ProcessProvider


class Toy(ProcessProvider):
    def command(self, fd: int) -> list[str]:
        return [sys.executable, "-I", "-S", sys.argv[1], str(fd), *sys.argv[2:]]


provider = Toy()
provider.start()
provider.wait_for_ready()
while "stuck" in sys.argv and "stuck" not in provider.logs():
    pass
if "forks" in sys.argv and os.fork() == 0:
    # Holds copies of every descriptor for as long as somebody keeps our own standard input open.
    sys.stdin.read()
    os._exit(0)
print(provider.pid, provider.logs().replace("\n", ";"), sep=";", flush=True)
if "returns" not in sys.argv:
    threading.Event().wait()
