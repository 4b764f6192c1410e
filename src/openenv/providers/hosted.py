"""What providers on a service's machines have in common: each server is a sandbox that the service keeps.

A sandbox is called by the name of its start and its number, so that a create which was sent twice finds its own
work and everything can be deleted by name, whatever became of the answer to its create: no error of a create is
taken to say that nothing was made. The service itself ends it when its lifetime is over.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from openenv.errors import ConfigurationError, NameTakenError, ProviderError, ProviderStartError, ReplicaLostError
from openenv.providers.background import at_once
from openenv.providers.base import ErrorT, Provider
from openenv.providers.redaction import redact
from openenv.providers.source import Source

__all__ = ["Hosted", "HostedProvider"]

CHECK_EVERY_S = 1.0
"""Seconds between two questions whether a server still runs; services limit their rate."""
LINES_KEPT = 200
PORT = 8000


@dataclass(frozen=True)
class Hosted:
    """One sandbox.

    Attributes:
        name: What the service calls it.
        url: The base URL of its server.
        handle: What the service's library knows it by.
        headers: HTTP headers that requests to it need.
    """

    name: str
    url: str
    handle: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class HostedProvider(Provider):
    """Starts servers in sandboxes of a service. A subclass writes the methods that talk to it.

    Attributes:
        image: The image of the sandboxes; None takes the one the client class stands for.
        command: What starts the server in a sandbox; None serves the package that the client class belongs to.
        port: Where the server listens in its sandbox.
        create_timeout_s: Seconds until the service must have started a sandbox.
    """

    outlives_program: ClassVar[bool] = True

    image: str | None = None
    command: str | None = None
    port: int = PORT
    create_timeout_s: float = 300.0

    _names: list[str]
    _hosted: Sequence[Hosted] = ()
    _logs: Sequence[str] = ()
    _was_ready: bool = False
    _next_check: float = 0.0

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the state of a provider that has started nothing."""
        self = super().__new__(cls, *args, **kwargs)
        self._names = []  # of the sandboxes that the service has, or may have
        return self

    # --- what a subclass writes ------------------------------------------------------------------

    @abstractmethod
    def _prepare(self, source: Source) -> Any:
        """Find out whether the service lets us in, and return what each `_create` wants to know.

        After an error nobody is asked to delete anything.
        """

    @abstractmethod
    def _create(self, name: str, order: Any) -> Any:
        """Create a sandbox of this name and return what `_serve` wants to know; an own one of the name is taken.

        Raises:
            NameTakenError: Somebody else has one of this name, which is not to be deleted.
        """

    @abstractmethod
    def _serve(self, name: str, handle: Any, source: Source) -> Sequence[Hosted]:
        """Start what servers belong into something that was created, if creating it has not done so."""

    @abstractmethod
    def _delete(self, name: str) -> None:
        """Delete a sandbox and wait until it is gone; nothing happens if there is none."""

    @abstractmethod
    def _problem(self, hosted: Hosted) -> str | None:
        """Return why a server has ended, or None while it runs."""

    @abstractmethod
    def _tail(self, hosted: Hosted, lines: int) -> str:
        """Return the last lines of a server."""

    def _count(self) -> int:
        """Return how many things are to be created; one for each replica, unless the service groups them."""
        return self.replicas

    def _secrets(self) -> Mapping[str, str]:
        """Return what must not show up in errors, under names that say so."""
        return self.env_vars

    # --- what a provider implements --------------------------------------------------------------

    def launch(self, source: Source) -> list[str]:
        """Create the sandboxes, several at a time, and return their URLs."""
        self._was_ready, self._next_check, self._hosted = False, 0.0, ()
        self._logs = [""] * self.replicas
        order = self._prepare(source)
        self._names = [f"{self.ownership.name}-{number}" for number in range(self._count())]
        groups = at_once(lambda name: self._host(name, order, source), list(self._names))
        self._hosted = [hosted for group in groups for hosted in group]
        return [hosted.url for hosted in self._hosted]

    def shutdown(self) -> None:
        """Delete the sandboxes, also those whose creation failed half way."""
        if self._hosted:
            self._read_logs()
        at_once(self._delete, self._names)
        self._names, self._hosted = [], ()

    def wait_for_ready(self, timeout_s: float | None = None) -> None:
        """Wait as every provider does; afterwards, a server that ends is a replica that was lost."""
        super().wait_for_ready(timeout_s)
        self._was_ready = True

    def check_alive(self) -> None:
        """Raise ProviderStartError if a server has ended, ReplicaLostError once all were ready."""
        if not self._hosted or time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + CHECK_EVERY_S
        for hosted, problem in zip(self._hosted, at_once(self._problem, self._hosted), strict=True):
            if problem is not None and not self._stopping.is_set():  # else it is `stop` that has ended it
                self._next_check = 0.0
                kind: type[ProviderError] = ReplicaLostError if self._was_ready else ProviderStartError
                raise self.failure(kind, f"The server in {hosted.name} is lost. {problem}")

    def read_log(self, lines: int) -> str:
        """Return the last lines of the servers; of several, each line says whose it is."""
        if self._hosted and self._busy_thread is None:
            self._read_logs()
        if self.replicas == 1:
            found = self._logs[0].splitlines() if self._logs else []
        else:
            found = [f"[{number}] {line}" for number, log in enumerate(self._logs) for line in log.splitlines()]
        return "\n".join(found[-lines:]) if lines > 0 else ""

    def headers_for(self, url: str) -> Mapping[str, str]:
        """Return the headers that the service wants to see before it lets a request through to the server."""
        return next((hosted.headers for hosted in self._hosted if hosted.url == url), self.headers)

    def failure(self, kind: type[ErrorT], message: str) -> ErrorT:
        """Return an error with the log's last lines; secrets are hidden in both."""
        return super().failure(kind, redact(message, self._secrets()))

    def _host(self, name: str, order: Any, source: Source) -> Sequence[Hosted]:
        try:
            handle = self._create(name, order)
        except NameTakenError:
            self._names.remove(name)
            raise
        return self._serve(name, handle, source)

    def _read_logs(self) -> None:
        logs = list(self._logs)
        for number, log in enumerate(at_once(self._tail_or_nothing, self._hosted)):
            logs[number] = log or logs[number]
        self._logs = logs

    def _tail_or_nothing(self, hosted: Hosted) -> str:
        try:
            return self._tail(hosted, LINES_KEPT)
        except ProviderError:  # a log is wanted most when something is broken, and must not break what tells of it
            return ""

    def _image_for(self, source: Source) -> str:
        image = self.image or source.image
        if image is None:
            raise ConfigurationError(
                f"{self._name} does not know which image to start; give it one, such as image='ada/echo-env:1.0'."
            )
        return image

    def _command_for(self, source: Source) -> str:
        if self.command is not None:
            return self.command
        if source.package is None:
            raise ConfigurationError(
                f"{self._name} does not know how the server is started in its sandbox; give it one: "
                f"command='openenv serve echo_env --host 0.0.0.0 --port {self.port}', or use with_provider()."
            )
        return f"openenv serve {source.package} --host 0.0.0.0 --port {self.port}"
