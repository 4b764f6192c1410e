"""The two provider classes of older releases, with the calls of then and of now.

Existing providers implement `start_container`, `wait_for_ready(url, timeout_s)` and `stop_container`, or
`start(port, env_vars, workers)`, `wait_for_ready(timeout_s)` and `stop`. When such a class is made, each of
these methods is wrapped once: called from outside it runs as the `launch` or `shutdown` of the provider, so
address, state and cleanup are known whichever spelling is called; called from within (`super()`, or by the
other spelling) it is the method as it was written.
"""

from __future__ import annotations

import functools
import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from openenv.errors import ConfigurationError
from openenv.providers.base import Provider
from openenv.providers.source import Source

__all__ = ["ContainerProvider", "RuntimeProvider"]


class ContainerProvider(Provider):
    """A provider whose servers are containers: `start_container` and `stop_container` are to be implemented.

    Attributes:
        image: The image to run where `start` is called instead of `start_container`; None takes the one the
            client class stands for.
    """

    image: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _wrap(cls, "start_container", _as_launch)
        _wrap(cls, "stop_container", _as_shutdown)
        _wrap(cls, "wait_for_ready", _as_wait)

    @abstractmethod
    def start_container(
        self, image: str, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any
    ) -> str:
        """Start a container and return its base URL; it need not be ready.

        Args:
            image: Name of the image.
            port: Port of the host; None takes a free one.
            env_vars: Environment variables of the container.
            **kwargs: Whatever else the engine can be told.
        """

    @abstractmethod
    def stop_container(self) -> None:
        """Stop and remove the container; called again it does nothing."""

    def wait_for_ready(  # type: ignore[override]
        self, base_url: str | float | None = None, timeout_s: float | None = None
    ) -> None:
        """Wait until the server is healthy, as in `Provider.wait_for_ready`.

        Args:
            base_url: Address of the container; None takes the one that was started. A number is the timeout.
            timeout_s: Seconds; None takes `ready_timeout_s`.
        """
        if isinstance(base_url, str):
            self._wait([base_url], timeout_s)
        else:
            super().wait_for_ready(timeout_s if base_url is None else base_url)

    def launch(self, source: Source, *_: Any, **options: Any) -> list[str]:
        """Start a container of the provider's own image, or of the source's."""
        image = self.image or source.image
        if image is None:
            raise ConfigurationError(
                f"{type(self).__name__} does not know which image to start; give it one: "
                "start_container('echo-env:latest') or start(Source(image='echo-env:latest'))."
            )
        return [self.start_container(image, **options)]

    def shutdown(self) -> None:
        """Stop the container."""
        self.stop_container()


class RuntimeProvider(Provider):
    """A provider that runs servers without a container engine: `start` and `stop` are to be implemented.

    `start` may also be called with a `Source`, as for every provider; the implementation does not see it.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _wrap(cls, "start", _as_launch)
        _wrap(cls, "stop", _as_shutdown)
        _wrap(cls, "wait_for_ready", _as_wait)

    @abstractmethod
    def start(  # type: ignore[override]
        self,
        port: int | None = None,
        env_vars: Mapping[str, str] | None = None,
        workers: int = 1,
        **kwargs: Any,
    ) -> str:
        """Start the server and return its base URL; it need not be ready.

        Args:
            port: Port to listen on; None takes a free one.
            env_vars: Environment variables of the server.
            workers: Number of server processes.
            **kwargs: Whatever else the runtime can be told.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop the server; called again it does nothing."""

    def launch(self, source: Source, *_: Any, **options: Any) -> list[str]:
        """Start the server; the source is of no use to a method that never knew one."""
        return [self.start(**options)]

    def shutdown(self) -> None:
        """Stop the server."""
        self.stop()


def _wrap(cls: type[Provider], name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    method = cls.__dict__.get(name)
    if inspect.isfunction(method) and not getattr(method, "__isabstractmethod__", False):
        setattr(cls, name, wrapper(method))


def _as_launch(method: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(method)
    def call(self: Provider, *args: Any, **kwargs: Any) -> str:
        if args and isinstance(args[0], Source):
            args = args[1:]
        if self._inside:
            return method(self, *args, **kwargs)
        return self._begin(lambda: [method(self, *args, **kwargs)])

    return call


def _as_shutdown(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def call(self: Provider, *args: Any, **kwargs: Any) -> None:
        if self._inside:
            method(self, *args, **kwargs)
        else:
            self._end(lambda: method(self, *args, **kwargs))

    return call


def _as_wait(method: Callable[..., None]) -> Callable[..., None]:
    """Fill in the address where the method wants one, and leave a timeout out that was not given."""
    wants_url = next(iter(list(inspect.signature(method).parameters)[1:]), "") in ("base_url", "url")

    @functools.wraps(method)
    def call(self: Provider, *args: Any, **kwargs: Any) -> None:
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        given = {"base_url", "url"} & kwargs.keys() or (args and isinstance(args[0], str))
        if wants_url and not given:
            args = (self.base_url, *args)
        method(self, *(value for value in args if value is not None), **kwargs)

    return call
