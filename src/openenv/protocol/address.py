"""Where a server is: a TCP port, or a Unix domain socket of this host.

| spelling | means |
|---|---|
| `http://host:8000/base`, `https://`, `ws://`, `wss://`, `host:8000` | a TCP port |
| `unix:///run/env.sock` | a Unix domain socket; the rest is its path |
| `http+unix://%2Frun%2Fenv.sock/base` | the same, where the server's routes are below a path |

Inside, an address stays one text: that of a WebSocket on a Unix socket is `ws+unix://%2Frun%2Fenv.sock/ws`.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote

from openenv.errors import ConfigurationError

_WHOLE = "unix://"
_QUOTED = ("http+unix://", "ws+unix://")


class Place(NamedTuple):
    """What to ask, and through which socket file.

    Attributes:
        url: An address with a scheme of TCP, in which the host means nothing if there is a socket file.
        file: The path of the Unix domain socket; None for TCP.
    """

    url: str
    file: str | None


def is_unix(address: str) -> bool:
    """Return whether an address means a Unix domain socket."""
    return address.startswith((_WHOLE, *_QUOTED))


def place(address: str) -> Place:
    """Return what to ask for an address.

    Raises:
        ConfigurationError: It begins like that of a Unix domain socket, and is none.
    """
    if not is_unix(address):
        return Place(address, None)
    scheme, _, rest = address.partition("://")
    file, path = (rest, "") if scheme == "unix" else _cut(rest)
    if not file.startswith("/") or file.endswith("/"):
        raise ConfigurationError(
            f"{address!r} names no Unix domain socket: write unix:///run/env.sock, with its absolute path"
        )
    return Place(f"{'ws' if scheme == 'ws+unix' else 'http'}://localhost{path}", file)


def websocket_address(address: str) -> str:
    """Return the address of the same server with the scheme of WebSockets.

    `https://host/` gives `wss://host`, `host` gives `ws://host`.

    Raises:
        ConfigurationError: See `place`.
    """
    if is_unix(address):
        url, file = place(address.rstrip("/"))
        path = url.partition("://localhost")[2]
        return f"ws+unix://{quote(str(file), safe='')}{path}"
    scheme, _, rest = address.rstrip("/").rpartition("://")
    return f"{'wss' if scheme in ('https', 'wss') else 'ws'}://{rest}"


def http_address(address: str) -> str:
    """Return the address of the same server with the scheme of HTTP, without a slash at its end."""
    scheme, separator, rest = address.rstrip("/").partition("://")
    return {"ws": "http", "wss": "https", "ws+unix": "http+unix"}.get(scheme, scheme) + separator + rest


def _cut(rest: str) -> tuple[str, str]:
    file, slash, path = rest.partition("/")
    return unquote(file), slash + path
