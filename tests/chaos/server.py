"""The program of a server process: `python -m tests.chaos.server '{"environment": ..., "port": ..., ...}'`."""

import json
import os
import sys

import uvicorn
from tests.chaos import environments
from tests.chaos.processes import IDLE_S

from openenv.server import threads
from openenv.server.app import create_app
from openenv.server.budgets import Budgets
from openenv.server.serving import wire_options


def main() -> None:
    options = json.loads(sys.argv[1])
    os.environ["OPENENV_MAX_MESSAGE_SIZE_MB"] = "1"  # so that little is needed to be over it
    threads.IDLE_S = IDLE_S / 2  # so that a thread that is left over shows soon
    app = create_app(
        getattr(environments, options["environment"]),
        max_concurrent_envs=options["sessions"],
        budgets=Budgets(**options["budgets"]),
    )
    carrier = {} if options["fast"] else {"ws": "websockets-sansio"}
    uvicorn.run(app, port=options["port"], log_level="warning", **{**wire_options(), **carrier})


if __name__ == "__main__":
    main()
