"""A program that starts servers and waits to be killed: `shelf_user.py FOLDER [MODE]`."""

import os
import sys
import threading

from tests.providers.shelf import Shelf

kept, stopped = Shelf(sys.argv[1]), Shelf(sys.argv[1])
for provider in (kept, stopped):
    provider.start()
stopped.stop()
if "forks" in sys.argv and os.fork() == 0:
    sys.stdin.read()  # it holds copies of all descriptors
    os._exit(0)
print(kept.ownership.name, flush=True)
if "returns" not in sys.argv:
    threading.Event().wait()
