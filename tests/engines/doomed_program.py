"""A program that starts a provider and waits to be killed: `doomed_program.py PROVIDER OPTIONS_AS_JSON`."""

import json
import sys
import threading

from openenv.providers import get_provider

provider = get_provider(sys.argv[1], **json.loads(sys.argv[2]))
print(provider.start(), flush=True)
threading.Event().wait()
