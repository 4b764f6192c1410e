"""The connection to a Ray cluster, and the names of our actors in it.

Ray connects a program to one cluster. All providers of a program share that connection, whoever has made it, and
none of them ends it. An actor's name carries its ownership: more than the name Ray does not tell of another
program's actors.
"""

from __future__ import annotations

import socket
import time
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlencode

from openenv.errors import ConfigurationError, EngineUnavailableError, ProviderError
from openenv.providers.ownership import Ownership

__all__ = ["actor_name", "connect", "imported", "kill", "named_actors", "node_of_driver"]

NAMESPACE = "openenv"
CONNECT_S = 10.0
GONE_S = 30.0
"""Seconds until an actor that was killed must be gone. Ray notices the death of a node within that time."""


def imported() -> ModuleType:
    """Return Ray.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(f"The provider 'ray' needs Ray: pip install 'openenv[ray]' ({error}).") from error
    module: ModuleType = ray
    return module


def connect(address: str | None) -> ModuleType:
    """Return Ray, connected; an existing connection of the program is used.

    Args:
        address: `host:port` of the cluster, `auto` for the one that `RAY_ADDRESS` names or that runs on this
            machine, `local` to start one here that ends with the program, None for `auto` and else `local`.

    Raises:
        EngineUnavailableError: There is no cluster at the address.
        ConfigurationError: The program is connected to another one, or Ray is not installed.
    """
    ray = imported()
    if ray.is_initialized():
        _check_same(ray, address)
        return ray
    _check_reachable(address)
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level="error",
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = "on this machine, nor at RAY_ADDRESS" if address in (None, "auto") else f"at {address}"
        raise EngineUnavailableError(
            f"No Ray cluster can be reached {where}: {error}. Start one with 'ray start --head', give its address, "
            "or give address='local'."
        ) from error
    return ray


def node_of_driver(ray: ModuleType) -> str | None:
    """Return the id of the node that this program runs on; None if it is connected from outside (`ray://`)."""
    from ray.util.client import ray as outside

    return None if outside.is_connected() else str(ray.get_runtime_context().get_node_id())


def actor_name(ownership: Ownership, replica: int) -> str:
    """Return the name of an actor, which says whose it is."""
    return f"{ownership.name}-{replica}?{urlencode(ownership.labels())}"


def named_actors(ray: ModuleType) -> dict[str, Ownership]:
    """Return all actors of ours that live or are about to, by name."""
    found = ray.util.list_named_actors(all_namespaces=True)
    names = [each["name"] for each in found if each["namespace"] == NAMESPACE]
    owned = ((name, Ownership.from_labels(dict(parse_qsl(name.partition("?")[2])))) for name in names)
    return {name: ownership for name, ownership in owned if ownership is not None}


def kill(ray: ModuleType, actors: dict[str, Any]) -> None:
    """Kill actors and wait until Ray counts them as gone.

    Args:
        ray: The library, connected.
        actors: Handles, by name.

    Raises:
        ProviderError: Some are still there after `GONE_S` seconds.
    """
    for actor in actors.values():
        ray.kill(actor, no_restart=True)
    end = time.monotonic() + GONE_S
    pause = 0.01
    while left := actors.keys() & named_actors(ray).keys():
        if time.monotonic() > end:
            raise ProviderError(
                f"Ray still has {len(left)} actors {GONE_S:g} s after they were killed: "
                f"{', '.join(sorted(name.partition('?')[0] for name in left))}. Call stop() again later."
            )
        time.sleep(pause)
        pause = min(2 * pause, 0.25)


def _check_same(ray: ModuleType, address: str | None) -> None:
    connected = str(ray.get_runtime_context().gcs_address)
    if address not in (None, "auto", "local", connected) and not str(address).startswith("ray://"):
        raise ConfigurationError(
            f"This program is connected to the Ray cluster at {connected}, and Ray allows one at a time. Leave the "
            f"address {address} out, or call ray.shutdown() first."
        )


def _check_reachable(address: str | None) -> None:
    """Refuse an address where nothing listens; Ray would wait for it for a minute and then end the program."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise EngineUnavailableError(
            f"No Ray cluster listens at {address}: {error}. Start one with 'ray start --head', or correct it."
        ) from error
