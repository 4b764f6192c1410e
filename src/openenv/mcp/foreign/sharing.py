"""Who uses which connection: one for each environment, or one for all that speak to the same server.

A shared one belongs to the event loop it was opened on, is opened by the first, and ends with the last.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from weakref import WeakKeyDictionary

from openenv.mcp.foreign.address import ServerAddress
from openenv.mcp.foreign.connection import Connection

__all__ = ["acquire", "release"]

_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ServerAddress, Connection]] = WeakKeyDictionary()
_users: Counter[Connection] = Counter()


def acquire(address: ServerAddress, start_timeout_s: float, *, shared: bool) -> Connection:
    """Return a connection to be opened by whoever gets it, and to be released once.

    Args:
        address: The server.
        start_timeout_s: Seconds it may take to begin, if it is a new one.
        shared: Take the one that others have, unless that is lost.
    """
    if not shared:
        return Connection(address, start_timeout_s)
    here = _shared.setdefault(asyncio.get_running_loop(), {})
    connection = here.get(address)
    if connection is None or connection.over:
        connection = here[address] = Connection(address, start_timeout_s)
    _users[connection] += 1
    return connection


async def release(connection: Connection) -> None:
    """Close a connection, unless others use it."""
    if connection in _users:
        _users[connection] -= 1
        if _users[connection]:
            return
        del _users[connection]
        for here in _shared.values():
            for address in [address for address, found in here.items() if found is connection]:
                del here[address]
    await connection.close()
