"""A program that starts a sandbox and waits to be killed: `doomed_sandbox.py LAYER_TO_LEAVE_OUT`."""

import secrets
import sys
import threading
from pathlib import Path

from openenv.providers import SandboxProvider

HERE = Path(__file__).parent
MARKER = f"marker-{secrets.token_hex(8)}"


class Toy(SandboxProvider):
    def command(self, fd: int) -> list[str]:
        return [sys.executable, "-I", "-S", str(HERE / "toy_server.py"), str(fd), MARKER]


provider = Toy(HERE, without=[name for name in sys.argv[1:] if name])
provider.start()
provider.wait_for_ready(60)
print(MARKER, *provider._groups, *provider._folders, sep=";", flush=True)
threading.Event().wait()
