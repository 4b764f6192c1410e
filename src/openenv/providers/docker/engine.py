"""The connection to an engine that speaks Docker's API, and what its errors mean to people.

Every call to the engine is made within `told`, so an error of the SDK never reaches a caller: what the engine
says is recognised by its words where its status does not tell, and the answer says what to do next.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv import settings
from openenv.errors import (
    ConfigurationError,
    EngineUnavailableError,
    ImageNotFoundError,
    NameTakenError,
    OpenEnvError,
    OutOfSpaceError,
    PortTakenError,
    ProviderStartError,
)

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["NO_SPACE", "address", "closed_at_last", "connect", "is_lost", "is_timeout", "told"]

DEFAULT_SOCKET = "/var/run/docker.sock"
KNOCK_S = 5.0

NO_SPACE = ("no space left on device", "disk quota exceeded", "not enough space")
# A part of what the engine says (in lower case), the error it stands for, and what helps.
_MEANINGS: tuple[tuple[tuple[str, ...], type[OpenEnvError], str], ...] = (
    (
        NO_SPACE,
        OutOfSpaceError,
        "Free some: `openenv gc`, `docker system df`, `docker image prune`.",
    ),
    (
        ("port is already allocated", "address already in use", "failed to bind port", "already in use by service"),
        PortTakenError,
        "Choose another port, or none to get a free one.",
    ),
    (
        ("is already in use by container", "name is already in use", "name conflict"),
        NameTakenError,
        "Choose another name, or none to get a random one.",
    ),
    (
        ("bind source path does not exist", "mounts denied", "is not shared from the host", "statfs"),
        ConfigurationError,
        "The engine does not see this machine's files: give network='bridge', and no volumes of this machine.",
    ),
    (
        ("no such image", "image not known", "pull access denied", "manifest unknown", "repository does not exist"),
        ImageNotFoundError,
        "Build it with `openenv build`, or correct its name.",
    ),
)


def address(base_url: str | None = None) -> str:
    """Return where the engine is: what was given, else `DOCKER_HOST`, else the first socket that is there.

    The sockets are those of Docker, of a Docker without root, and of Podman.
    """
    environment = settings.inherited_environment()
    if base_url or environment.get("DOCKER_HOST"):
        return base_url or environment["DOCKER_HOST"]
    own = environment.get("XDG_RUNTIME_DIR")
    candidates = [DEFAULT_SOCKET]
    if own:
        candidates += [f"{own}/docker.sock", f"{own}/podman/podman.sock"]
    candidates.append("/run/podman/podman.sock")
    return "unix://" + next((path for path in candidates if Path(path).exists()), DEFAULT_SOCKET)


def connect(base_url: str | None = None, *, timeout_s: float = 60.0) -> DockerClient:
    """Return a client of an engine that has answered; it may be used from several threads.

    Args:
        base_url: Such as `unix:///run/podman/podman.sock` or `tcp://host:2376`; None for the usual one, see
            `address`.
        timeout_s: Seconds that an answer may take.

    Raises:
        ConfigurationError: The SDK is not installed.
        EngineUnavailableError: There is no engine, it does not answer, or does not let us in.
    """
    try:
        import docker
    except ImportError as error:
        raise ConfigurationError(
            "Docker's SDK for Python is not installed: pip install 'openenv[docker]'."
        ) from error
    where = address(base_url)
    environment = settings.inherited_environment()
    with told("be reached", where):
        if base_url is None and environment.get("DOCKER_HOST"):  # with the certificates the variables name
            return docker.from_env(environment=environment, timeout=timeout_s, version="auto")  # type: ignore[arg-type]
        return docker.DockerClient(base_url=where, timeout=timeout_s, version="auto")  # type: ignore[arg-type]


def _knock(where: str) -> None:
    """Raise OSError if nobody listens at an address that is a Unix domain socket.

    The SDK would tell as much, and leave a socket open.
    """
    if where.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(KNOCK_S)
            probe.connect(where.removeprefix("unix://"))


@contextlib.contextmanager
def told(doing: str, where: str) -> Iterator[None]:
    """Turn what the SDK raises into an error of ours.

    Args:
        doing: What is being tried, to complete "The engine could not ...".
        where: The engine's address.

    Raises:
        EngineUnavailableError: The engine is not there, went away, or refuses us.
        ImageNotFoundError, NameTakenError, OutOfSpaceError, PortTakenError, ConfigurationError: As they say.
        ProviderStartError: Anything else the engine refused.
    """
    import docker.errors
    import requests
    import urllib3

    try:
        _knock(where)
        yield
    except docker.errors.APIError as error:
        raise _of_answer(error, doing) from error
    except (
        docker.errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        if isinstance(error, OpenEnvError):
            raise
        raise _of_connection(error, where) from error


@contextlib.contextmanager
def closed_at_last(stream: Any) -> Iterator[Any]:
    """Close what a stream of the SDK has open when it has been read; `close` of the stream itself only cuts it."""
    try:
        yield stream
    finally:
        response = getattr(stream, "_response", None)
        if response is not None:
            with contextlib.suppress(Exception):
                response.close()


def is_lost(error: BaseException | None) -> bool:
    """Return whether an error of `told` leaves open if the engine has done what it was asked to."""
    return isinstance(error, EngineUnavailableError)


def _of_answer(error: Exception, doing: str) -> OpenEnvError:
    said = str(getattr(error, "explanation", None) or error).strip()
    lower = said.lower()
    for words, kind, advice in _MEANINGS:
        if any(word in lower for word in words):
            return kind(f"The engine could not {doing}: {said.rstrip('.')}. {advice}")
    if getattr(error, "status_code", None) in (401, 403):
        return EngineUnavailableError(f"The engine does not let us {doing}: {said}")
    return ProviderStartError(f"The engine could not {doing}: {said}")


def _of_connection(error: Exception, where: str) -> EngineUnavailableError:
    number = _errno(error)
    if number == errno.ENOENT:
        why = "nothing is there. Start Docker or Podman, or say where the engine is: base_url=..., or DOCKER_HOST"
    elif number in (errno.EACCES, errno.EPERM):
        why = (
            "this user may not connect. Join the group 'docker', or use an engine of this user's own, such as "
            "Podman's or a Docker without root"
        )
    elif number == errno.ECONNREFUSED:
        why = "the engine is not running. Start it"
    elif is_timeout(error):
        why = "it does not answer in time. Look at the engine's own log, or give it longer by create_timeout_s"
    else:
        why = f"the connection broke: {error}. Look at the engine's own log, and start it if it has ended"
    return EngineUnavailableError(f"The container engine at {where} cannot be used: {why}.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all it came of; the SDK and its libraries hide the first cause in several ways."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]


def _errno(error: BaseException) -> int | None:
    return next((one.errno for one in _causes(error) if isinstance(one, OSError) and one.errno), None)


def is_timeout(error: BaseException) -> bool:
    """Return whether an error came of an answer that took too long."""
    return any(isinstance(one, TimeoutError) or "timed out" in str(one).lower() for one in _causes(error))
