"""A program that starts a project with uv and waits to be killed: `doomed_uv.py PROJECT CACHE`."""

import sys
import threading

from openenv.providers import UVProvider

provider = UVProvider(sys.argv[1], cache=sys.argv[2], context_timeout_s=120)
provider.start(workers=2)
provider.wait_for_ready()
print(provider.pid, flush=True)
threading.Event().wait()
