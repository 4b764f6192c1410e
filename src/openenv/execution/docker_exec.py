"""Workspaces in a container, each with a keeper that `docker exec` runs there; programs are restricted besides.

The image needs nothing but a Python of 3.11 or later: the keeper is sent to it. What the kernel of the container
allows is found out there, for the engine may be on another machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openenv.containment.layers import NAMES, Layers
from openenv.errors import ConfigurationError, IsolationError
from openenv.execution.backends import VARIABLES, Backend, process_limits
from openenv.execution.exec_stream import Demultiplexed, answer, plain_socket
from openenv.execution.inside.frames import pack
from openenv.execution.limits import Limits
from openenv.execution.link import Link
from openenv.execution.sent import bootstrap, modules
from openenv.execution.workspace import Workspace
from openenv.providers.docker.command import first_process
from openenv.providers.docker.container import create, start
from openenv.providers.docker.engine import address, connect, told
from openenv.providers.docker.images import find_image
from openenv.providers.docker.options import ContainerOptions
from openenv.providers.docker.owned import remove_container
from openenv.providers.docker.plan import Plan
from openenv.providers.ownership import Ownership

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["DockerExec"]

ANSWER_S = 30.0
KIND = "docker"  # so that `openenv ps` and `openenv gc` find it where they look for containers

# What the container runs: it ends, and all in it, when this program does, whose end of its input is closed then.
_WAIT = "import os\nwhile os.read(0, 4096):\n    pass"


class DockerExec(Backend):
    """Runs programs in a container, by `docker exec`.

    One that is started here is held in as those of `LocalDockerProvider` are. All workspaces are in the one
    container, so its memory and processes are for all together; it is removed by `close`, and ends by itself when
    this program does, or after `lifetime_s`.

    Args:
        limits: What the programs of one workspace may use. The total of memory is the container's.
        container: Name or id of a container that runs. It is left as it is, but for what programs do.
        image: Image that a container is started of, instead.
        python: The Python in it, 3.11 or later. Programs can import what is installed for it.
        read: More files and folders of it, below `/run`, `/mnt` or `/tmp`, that programs may read.
        write: Folders of it that they may change, besides the work folder.
        env: Environment variables besides those of the container and a few for Python.
        user: Who the keeper is: root makes every workspace a user of its own. None is the container's user.
        require: Layers that must be active; see `openenv.containment`.
        without: Layers that are not to be used.
        base_url: The engine's address; None for the usual one.
        pull: As for `LocalDockerProvider`, with the next.
        lifetime_s: Seconds until a container that was started ends by itself; None for never.
        **options: Others of `LocalDockerProvider` for the container that is started, such as `memory` or `cpus`.

    Raises:
        ConfigurationError: Not one of `container` and `image` is given, or an option contradicts.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        container: str | None = None,
        image: str | None = None,
        python: str = "python3",
        read: Sequence[str] = (),
        write: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        require: Collection[str] = (),
        without: Collection[str] = (),
        base_url: str | None = None,
        pull: bool | None = None,
        lifetime_s: float | None = 86400.0,
        **options: Any,
    ) -> None:
        if (container is None) == (image is None):
            raise ConfigurationError("DockerExec takes a container that runs or an image to start one of.")
        if container is not None and options:
            raise ConfigurationError(f"{', '.join(options)}: the container is there already; leave it out.")
        self.limits = limits or Limits()
        self._image, self._pull, self._lifetime_s = image, pull, lifetime_s
        options.setdefault(
            "tmpfs",
            {"/tmp": f"rw,exec,nosuid,nodev,size={self.limits.disk_bytes},mode=1777"},  # noqa: S108
        )
        self._options = ContainerOptions.of(options)
        self._python, self._user, self._env = python, user, dict(env or {})
        self._asked: dict[str, Any] = {
            "limits": process_limits(self.limits),
            "read": list(read),
            "write": list(write),
            "require": list(require),
            "without": list(without),
            "own_user": image is not None,  # nobody else's files are in a container of ours
        }
        self._base_url, self._place = base_url, address(base_url)
        self._lock = threading.Lock()
        self._client: DockerClient | None = None
        self._container = container
        self._held: socket.socket | None = None  # the input of the container that was started
        self._layers: Layers | None = None

    @property
    def layers(self) -> Layers:
        """See `Backend.layers`; the first look takes as long as a workspace does."""
        if self._layers is None:
            line, _ = self._keeper()
            line.close()
        assert self._layers is not None
        return self._layers

    async def open(self) -> Workspace:
        """See `Backend.open`.

        Raises:
            IsolationError: The container cannot hold programs.
            ConfigurationError: It has no Python, or the engine is reached in a way that does not do.
            EngineUnavailableError: There is no engine.
            ProviderStartError: The engine refuses.
        """
        line, found = await asyncio.to_thread(self._keeper)
        link = Link()
        try:
            await asyncio.get_running_loop().create_connection(lambda: Demultiplexed(link), sock=line)
        except BaseException:
            line.close()
            raise
        workspace = Workspace(link, self.layers, self.limits, self._left)
        try:
            await workspace.begin(self._configuration(found))
        except BaseException:
            await workspace.close()
            raise
        return workspace

    async def close(self) -> None:
        """Remove the container if it was started here."""
        await asyncio.to_thread(self._close)

    async def _left(self) -> None:
        """Be what a workspace refers to: the container ends with this object, and not before its workspaces."""

    # --- the container, in threads ---------------------------------------------------------------

    def _keeper(self) -> tuple[socket.socket, dict[str, Any]]:
        """Run a keeper; return the line to it, and what it has found."""
        client, container = self._running()
        command = [self._python, "-I", "-S", "-c", bootstrap("contained", "keep_contained")]
        with told("run a program in a container", self._place):
            made = client.api.exec_create(
                container, command, stdin=True, stdout=True, stderr=True, user=self._user or "", workdir="/"
            )
            line = plain_socket(client.api.exec_start(made["Id"], socket=True))
        try:
            line.settimeout(ANSWER_S)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # why is read below
                line.sendall(modules(compiled=False) + pack(self._asked))
            frame = answer(line)
            if isinstance(frame, str):
                raise ConfigurationError(
                    f"The container cannot run {self._python}; DockerExec takes a Python of 3.11 or later in it, "
                    f"and it may be named by python=. It said: {frame[-500:]}"
                )
            found, _ = frame
            if "error" in found:
                raise IsolationError(f"The container cannot hold programs. {found['error']}")
            self._layers = _layers(found, client.api.inspect_container(container)["HostConfig"])
            missing = [name for name in self._asked["require"] if name not in self._layers.active]
            if missing:
                raise IsolationError(f"Required layers are not to be had: {', '.join(missing)}. {self._layers}")
        except BaseException:
            line.close()
            raise
        return line, found

    def _running(self) -> tuple[DockerClient, str]:
        with self._lock:
            if self._client is None:
                self._client = connect(self._base_url)
            if self._container is None:
                self._container = self._start(self._client)
            return self._client, self._container

    def _start(self, client: DockerClient) -> str:
        assert self._image is not None
        image = find_image(client, self._image, self._place, pull=self._pull)
        ownership = Ownership.new(KIND, self._lifetime_s)
        plan = Plan(
            image=image,
            options=self._options,
            env_vars={},
            ownership=ownership,
            names=[ownership.name],
            lifetime_s=self._lifetime_s,
            grace_s=1.0,
        )
        waiting = [self._python, "-I", "-S", "-c", _WAIT]
        command = first_process(waiting, lifetime_s=plan.lifetime_s, grace_s=plan.grace_s, port=0)
        arguments = {**plan.arguments(None), "stdin_open": True}
        made = create(client, image, ownership.name, ownership, command, arguments, self._place)
        try:
            with told("reach a container's input", self._place):
                stream = client.api.attach_socket(str(made.id), params={"stdin": 1, "stream": 1})
                self._held = plain_socket(stream)
            start(made, self._place)
        except BaseException:
            remove_container(client, str(made.id), self._place)
            raise
        return str(made.id)

    def _close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
            held, self._held = self._held, None
            if client is None:
                return
            if self._image is not None and self._container is not None:
                container, self._container = self._container, None
                remove_container(client, container, self._place)
            if held is not None:
                held.close()
            client.close()

    def _configuration(self, found: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "base": "/tmp",  # noqa: S108 - the container's
            "restrictions": found["restrictions"],
            "groups": [],
            "path": found["packages"],
            "disk_bytes": self.limits.disk_bytes,
            "env": {"PATH": found["path"], **VARIABLES, **self._env},
        }


def _layers(found: Mapping[str, Any], host: Mapping[str, Any]) -> Layers:
    """Return what holds programs: what was found inside, and the container itself."""
    active, absent = {*found["active"], "namespaces"}, dict(found["absent"])
    weaknesses = list(found["weaknesses"])
    if host.get("Memory") and (host.get("PidsLimit") or 0) > 0:
        active.add("cgroup")
        weaknesses = [one for one in weaknesses if not one.startswith(("Memory is", "The number of processes"))]
    else:
        absent["cgroup"] = "the container has no limits of memory and processes"
    if host.get("ReadonlyRootfs"):
        weaknesses = [one for one in weaknesses if not one.startswith("Disk use")]
    if host.get("Privileged"):
        weaknesses.append("The container is privileged")
    for name in active:
        absent.pop(name, None)
    return Layers(tuple(name for name in NAMES if name in active), absent, tuple(weaknesses))
