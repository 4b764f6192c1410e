"""Run one probe and print what came of it as JSON: `run.py MODULE FUNCTION ARGUMENTS`.

A probe is a function that returns what it got hold of, or raises OSError. Probes need nothing but Python, and do
no harm where nothing stops them: they open and do not write, they load to a bound, they touch only what they are
given.
"""

import errno
import importlib
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def main(module, function, arguments):
    probe = getattr(importlib.import_module(module), function)
    try:
        return {"reached": str(probe(**json.loads(arguments)))[:4000]}
    except OSError as error:
        return {"error": errno.errorcode.get(error.errno, type(error).__name__), "detail": str(error)}
    except MemoryError:
        return {"error": "ENOMEM"}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])), flush=True)
    os._exit(0)
