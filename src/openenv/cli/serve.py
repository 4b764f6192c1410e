"""`openenv serve`: run an environment's server in this process.

The socket is bound here, before the environment is imported: a taken port is a plain sentence at once, and
whoever connects early waits in its queue instead of being refused.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import ipaddress
import os
import socket
import traceback
from typing import Any

import click

from openenv import settings
from openenv.cli.target import Target, load, locate
from openenv.protocol.listening import listening_at, listening_on

LOG_LEVELS = ("critical", "error", "warning", "info", "debug", "trace")


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
@click.option("--fd", type=click.IntRange(min=0), help="Serve on this open socket instead of --host and --port.")
@click.option("--uds", metavar="PATH", help="Serve on a Unix domain socket instead, which is made at this path.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Server processes behind the one address.",
)
@click.option(
    "--mcp-server",
    metavar="COMMAND|URL",
    help="Serve somebody else's MCP server as an environment, instead of TARGET.",
)
@click.option("--reload", is_flag=True, help="Start again whenever a source file changes.")
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(LOG_LEVELS),
    help="What is told on standard error; debug adds each request.",
)
def serve(
    target: str,
    host: str,
    port: int,
    fd: int | None,
    uds: str | None,
    workers: int,
    mcp_server: str | None,
    reload: bool,
    log_level: str,
) -> None:
    """Serve an environment over WebSocket and HTTP.

    TARGET is an environment's folder (by default this one), the name of an installed environment package, or
    module:app, where app may also be an Environment class.

    \b
    openenv serve my_env                       http://127.0.0.1:8000
    openenv serve my_env --workers 4           four processes behind that address
    openenv serve my_env --uds /run/env.sock   unix:///run/env.sock, for this host
    openenv serve --mcp-server "uvx mcp-server-time"   its tools are the actions

    With OPENENV_EGRESS=deny the server and all it starts can answer connections and open none.

    How many sessions it takes is said by create_app(max_concurrent_envs=...), or by the environment variable
    MAX_CONCURRENT_ENVS.
    """
    if reload and workers > 1:
        raise click.UsageError("--reload watches one server; leave out --workers.")
    if uds is not None and (fd is not None or reload):
        raise click.UsageError("--uds goes with neither --fd nor --reload.")
    several = workers > 1 or reload
    if mcp_server is not None and several:
        raise click.UsageError("--mcp-server goes with neither --workers nor --reload.")
    if settings.egress_denied():  # before anything of the environment runs, and while there is one thread
        from openenv.containment import deny_egress

        deny_egress()
    with _listening(host, port, fd, uds) as listener:
        _import_server()
        if mcp_server is not None:
            found, app = _load_mcp_server(mcp_server)
        else:
            found, app = _load(target, by_name=several, with_traceback=log_level in ("debug", "trace"))
        if listener is not None:
            fd = listener.fileno()
            announce(found, listener)

        from openenv.server.serving import serve as run

        run(
            app,
            host=host,
            port=port,
            fd=fd,
            workers=workers,
            reload=reload,
            reload_dirs=[str(found.folder)] if found.folder else None,
            log_level=log_level,
        )


def _import_server() -> None:
    """Import what every server needs, and look for no garbage in it, now or ever: a tenth of the start."""
    collects = gc.isenabled()
    gc.disable()
    importlib.import_module("openenv.server.app")
    gc.freeze()
    if collects:
        gc.enable()


def _listening(
    host: str, port: int, fd: int | None, uds: str | None
) -> contextlib.AbstractContextManager[socket.socket | None]:
    if fd is not None:
        return contextlib.nullcontext()
    if uds is None:
        return listen(host, port)
    return listening_at(uds)


def _load(text: str, *, by_name: bool, with_traceback: bool) -> tuple[Target, Any]:
    """Return the target and its app, or what worker processes import it by."""
    try:
        target = locate(text)
        app, has_a_name = load(target)
    except click.ClickException as error:
        if with_traceback and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        raise
    if not by_name:
        return target, app
    if not has_a_name:
        raise click.ClickException(_no_name(target))
    return target, target.import_string


def _load_mcp_server(server: str) -> tuple[Target, Any]:
    """Return an app whose environments are played on an MCP server, and a target to call it by."""
    from openenv.environment.adapter import Shape
    from openenv.mcp.foreign import MCPServerEnvironment
    from openenv.server import create_app

    def make() -> MCPServerEnvironment:
        return MCPServerEnvironment(server)

    shape = Shape.of(MCPServerEnvironment)
    return Target(make().address.name, "", ""), create_app(make, shape.action, shape.observation)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket.

    Raises:
        click.ClickException: The port is taken, the host is unknown, or binding is not allowed.
    """
    try:
        return listening_on(host, port)
    except socket.gaierror as error:
        raise click.ClickException(f"There is no host {host!r} to listen on: {error.strerror}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"is taken. Stop what uses it, or choose another: --port {_next(port)}, or 0 for a free one."
        else:
            reason = f"cannot be listened on: {error.strerror}."
        raise click.ClickException(f"Port {port} of {host} {reason}") from error


def _next(port: int) -> int:
    return port + 1 if port < 65535 else 8000


def announce(
    target: Target, listener: socket.socket, *, path: str = "", note: str = "interactive API at /docs"
) -> None:
    """Print where the server is, and a warning if that is not this machine alone."""
    bound = listener.getsockname()
    if isinstance(bound, str):
        click.echo(f"{target.name}: unix://{os.path.abspath(bound)}  (Ctrl+C stops it)")
        return
    host, port = bound[:2]
    address = ipaddress.ip_address(host)
    shown = "127.0.0.1" if address.is_unspecified else f"[{host}]" if address.version == 6 else host
    click.echo(f"{target.name}: http://{shown}:{port}{path}  ({note}, Ctrl+C stops it)")
    if not address.is_loopback:
        click.echo("Other machines can reach this server, and it asks nobody for a password.", err=True)


def _no_name(target: Target) -> str:
    if not target.portable:
        return f"For --workers and --reload install {target.name} first: pip install -e {target.folder}"
    return (
        f"{target.import_string} is an Environment class. For --workers and --reload every process imports "
        "an app by its name: write app = create_app(...) in a module and name that."
    )
