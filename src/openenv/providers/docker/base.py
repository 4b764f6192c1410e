"""What the providers on an engine that speaks Docker's API have in common, whatever they make there.

It is the side of the engine: where it is, who asks it, what image is meant, and what is told of its errors. What is
made of an image, containers or a service, is for the provider.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from openenv.errors import ConfigurationError, ProviderError
from openenv.providers.docker.engine import address, connect
from openenv.providers.docker.images import Image, find_image
from openenv.providers.redaction import redact
from openenv.providers.source import Source
from openenv.providers.spellings import ContainerProvider

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["EngineProvider"]


class EngineProvider(ContainerProvider):
    """A provider on an engine that speaks Docker's API. A subclass writes `_launch` and what ends it.

    Args:
        image: Name of the image; None takes the one of the client class, or of `start`.
        env_vars: Environment variables of the servers.
        replicas: How many servers.
        name: What the engine is to call what is made; None for a random name.
        base_url: Where the engine is; None for the usual one, see `engine.address`.
        pull: Whether to get a missing image from its registry; None for images whose name has a registry or user.
        ready_timeout_s: Seconds until the servers must be healthy.
        create_timeout_s: Seconds that each answer of the engine may take; pulling an image may take any time.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        lifetime_s: Seconds after which what is made ends by itself; None for never.

    Raises:
        ConfigurationError: There are to be no servers.
    """

    outlives_program: ClassVar[bool] = True

    def __init__(
        self,
        image: str | None,
        *,
        env_vars: Mapping[str, str] | None,
        replicas: int,
        name: str | None,
        base_url: str | None,
        pull: bool | None,
        ready_timeout_s: float,
        create_timeout_s: float,
        stop_grace_s: float,
        lifetime_s: float | None,
    ) -> None:
        if replicas < 1:
            raise ConfigurationError(f"replicas={replicas}: at least one is needed.")
        self.image = image
        self.replicas = replicas
        self.name = name
        self.engine_url = base_url
        self.pull = pull
        self.ready_timeout_s = ready_timeout_s
        self.create_timeout_s = create_timeout_s
        self.stop_grace_s = stop_grace_s
        self.lifetime_s = lifetime_s
        self.env_vars = dict(env_vars or {})
        self._given_env = dict(self.env_vars)

    # --- up ----------------------------------------------------------------------------------------

    @abstractmethod
    def _launch(self, image: str, given: dict[str, Any]) -> list[str]:
        """Start the servers of an image and return their addresses; `given` are options for this start."""

    def launch(self, source: Source, *_: Any, image: str | None = None, **options: Any) -> list[str]:
        """Start the servers; `options` are those of the class, for this start."""
        name = image or self.image or source.image
        if name is None:
            raise ConfigurationError(
                f"{self._name} does not know which image to start: give it one, such as 'echo-env:latest', "
                "or use with_provider() of a client class whose package is an environment."
            )
        return self._launch(name, options)

    def _start(
        self, image: str, port: int | None, env_vars: Mapping[str, str] | None, given: dict[str, Any]
    ) -> str:
        """Do what `start_container` does."""
        at = {} if port is None else {"port": port}
        return self._launch(image, {**given, **at, "env_vars": env_vars})[0]

    def _take_env(self, given: dict[str, Any]) -> None:
        """Take environment variables for this start out of its options."""
        self.env_vars = {**self._given_env, **(given.pop("env_vars", None) or {})}

    # --- the engine --------------------------------------------------------------------------------

    def _connect(self) -> tuple[DockerClient, str]:
        """Return a client of the engine, and where that is."""
        return connect(self.engine_url, timeout_s=self.create_timeout_s), address(self.engine_url)

    def _find(self, client: DockerClient, image: str, place: str) -> Image:
        return find_image(client, image, place, pull=self.pull)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Hide secrets in what is raised, and add the last lines of the log."""
        try:
            yield
        except ConfigurationError as error:
            shown = redact(str(error), self.env_vars)
            if shown == str(error):
                raise
            raise type(error)(shown) from None
        except ProviderError as error:
            shown = redact(str(error), self.env_vars)
            if self._tells_enough(error) and shown == str(error):
                raise
            raise self.failure(type(error), str(error)) from (error.__cause__ if shown == str(error) else None)

    def _tells_enough(self, error: ProviderError) -> bool:
        """Return whether the log need not be read for an error."""
        return bool(error.log_tail)

    # --- what the engine keeps ---------------------------------------------------------------------

    def where(self) -> dict[str, str]:
        """Return the engine's address if it is not the usual one."""
        return {"base_url": self.engine_url} if self.engine_url else {}

    @staticmethod
    @contextlib.contextmanager
    def _engine_at(where: Mapping[str, str]) -> Iterator[tuple[DockerClient, str]]:
        """Give a client of the engine that `where` told, and where that is."""
        base_url = where.get("base_url")
        with contextlib.closing(connect(base_url)) as client:
            yield client, address(base_url)
