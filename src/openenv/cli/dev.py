"""`openenv dev`: an environment that is being written, served with its page, and anew when a file changes.

The socket is held here, and the server is a child that is given it: whoever asks while it starts anew waits and is
not refused. One that does not come up says why, and the next change starts it again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openenv.cli.serve import LOG_LEVELS, announce, listen
from openenv.cli.target import locate

if TYPE_CHECKING:
    from openenv.providers.supervised import SupervisedProcess

LOOK_S = 0.25
"""Seconds between two looks at the files."""

END_S = 3.0
"""Seconds in which the sessions of a server that is started anew may end."""

SOURCES = (".py", ".toml", ".yaml", ".yml", ".md")
"""How the names of files end that are looked at; what an environment itself writes is mostly of other kinds."""

LEFT_OUT = frozenset({"__pycache__", "build", "dist", "node_modules", "venv"})


@click.command()
@click.argument("target", default=".")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0: a free one.",
)
@click.option(
    "--log-level",
    default="warning",
    show_default=True,
    type=click.Choice(LOG_LEVELS),
    help="What the server tells on standard error; debug adds each request.",
)
def dev(target: str, host: str, port: int, log_level: str) -> None:
    """Serve an environment while you write it, with a page to play on.

    TARGET is what `openenv serve` takes: an environment's folder (by default this one), the name of an installed
    environment package, or module:app. The server starts again whenever a file of its sources changes; sessions end
    with that, and the page begins anew.
    """
    from openenv.server.serving import ended_by_sigterm

    found = locate(target)
    folder = found.folder or Path.cwd()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts us may have ignored it
    with listen(host, port) as listener, ended_by_sigterm():
        fd = listener.fileno()
        command = [sys.executable, "-m", "openenv", "serve", target, "--fd", str(fd), "--log-level", log_level]
        with contextlib.suppress(KeyboardInterrupt):
            announce(found, listener, path="/web", note="starts again when a file changes")
            _keep_up(lambda: _start(command, fd), folder)


def _start(command: list[str], fd: int) -> SupervisedProcess:
    from openenv.providers.supervised import SupervisedProcess

    env = {**os.environ, "ENABLE_WEB_INTERFACE": "true"}
    return SupervisedProcess(command, env=env, pass_fds=[fd], stdout=1, stderr=2)


def _keep_up(start: Callable[[], SupervisedProcess], folder: Path) -> None:
    """Start a server, and another in its place whenever a file in the folder has changed."""
    before, ended = _sources(folder), False
    server = start()
    try:
        while True:
            time.sleep(LOOK_S)
            now = _sources(folder)
            if now != before:
                changed = min(path for path, _ in now.items() ^ before.items())
                before, ended = now, False
                server.stop(END_S)
                click.echo(f"{os.path.relpath(changed, folder)} has changed: starting again")
                server = start()
            elif not ended and server.exit_code() is not None:
                ended = True
                click.echo("The server has ended; it starts again when a file changes.")
    finally:
        server.stop(END_S)


def _sources(folder: Path) -> dict[str, int]:
    """Return when each source file was changed."""
    found = {}
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT_OUT and not name.startswith(".")]
        for path in [os.path.join(here, name) for name in files if name.endswith(SOURCES)]:
            with contextlib.suppress(OSError):  # gone meanwhile
                found[path] = os.stat(path).st_mtime_ns
    return found
