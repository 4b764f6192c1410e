"""`openenv` as a person runs it: a process that is ended by Ctrl+C."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

SOURCE = str(Path(__file__).parents[2] / "src")


@contextmanager
def served(*arguments: str, command: str = "serve", fds: tuple[int, ...] = ()) -> Iterator["subprocess.Popen[str]"]:
    """Run `python -m openenv` with a command that serves, and end it as Ctrl+C does."""
    server = subprocess.Popen(
        [sys.executable, "-m", "openenv", command, *arguments],
        env={**os.environ, "PYTHONPATH": SOURCE, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=fds,
    )
    try:
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.communicate()
            raise


def url_of(server: "subprocess.Popen[str]") -> str:
    """Return the address that the server announced; its socket takes connections from then on."""
    line = server.stdout.readline()
    assert "/docs" in line, server.communicate(timeout=5)
    return next(word for word in line.split() if word.startswith("http://"))


def ask(url: str, body: object = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data=data, headers={"content-type": "application/json"}), timeout=15) as response:
        return json.load(response)
