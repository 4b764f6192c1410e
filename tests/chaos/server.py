"""The program of a server process: `python -m tests.chaos.server '{"environment": ..., "port": ..., ...}'`."""

import json
import os
import sys
import threading

import uvicorn
from tests.chaos import environments
from tests.chaos.processes import IDLE_S

from openenv.server import threads
from openenv.server.app import create_app
from openenv.server.budgets import Budgets
from openenv.server.serving import serve, wire_options


def main() -> None:
    options = json.loads(sys.argv[1])
    os.environ["OPENENV_MAX_MESSAGE_SIZE_MB"] = "1"  # so that little is needed to be over it
    threads.IDLE_S = IDLE_S / 2  # so that a thread that is left over shows soon
    app = create_app(
        getattr(environments, options["environment"]),
        max_concurrent_envs=options["sessions"],
        budgets=Budgets(**options["budgets"]),
    )
    threading.Thread(target=_end_with_the_suite, daemon=True).start()
    if options["fast"]:
        serve(app, port=options["port"], log_level="warning")
    else:
        by_asgi = {**wire_options(), "ws": "websockets-sansio"}
        uvicorn.run(app, port=options["port"], log_level="warning", **by_asgi)


def _end_with_the_suite() -> None:
    """Whoever started this has the other end of its input, and lets go of it by whatever way it ends."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
