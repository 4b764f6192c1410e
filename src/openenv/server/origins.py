"""Which pages of a browser may use a server: its own, and those of this machine."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit


def is_allowed(headers: Any, scope: Any) -> bool:
    """Return whether whoever asks is no page of another site, which a browser would let reach this machine.

    A page's own server may be asked by it, but where that listens on loopback its name has to be a loopback one:
    another name that leads here is a trick.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    name = _host(origin)
    if _is_loopback(name):
        return True
    server = scope.get("server")
    return name == _host(f"//{headers.get('host', '')}") != "" and not (server and _is_loopback(server[0]))


def _host(address: str) -> str:
    """Return the host of an address; nothing if that is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
