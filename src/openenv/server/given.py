"""What was given to be served, class, factory or instance: how it is made, where, and how many at once."""

from __future__ import annotations

import inspect
from typing import Any

from openenv.environment.adapter import Shape
from openenv.environment.base import Environment
from openenv.errors import (
    ConcurrencyConfigurationError,
    ConfigurationError,
)
from openenv.protocol.messages import ConcurrencyConfig
from openenv.server.runner import Factory
from openenv.server.worker.target import Target

CONCURRENT_SESSIONS = 128
"""Sessions a server holds by default when its environment declares itself safe for more than one."""


def as_factory(env: Any) -> tuple[Factory, bool]:
    """Return how to make an environment, and whether it is one shared instance that is not to be closed.

    Raises:
        ConfigurationError: It is neither a class, nor a factory, nor an instance.
    """
    if isinstance(env, Environment) or (not callable(env) and hasattr(env, "reset") and hasattr(env, "step")):
        return (lambda: env), True
    if inspect.isclass(env):
        Shape.of(env)  # a class that can not be an environment is refused now, not at the first session
        if inspect.isabstract(env):
            missing = ", ".join(sorted(getattr(env, "__abstractmethods__", ())))
            raise ConfigurationError(f"{env.__name__} does not define {missing}")
        return env, False
    if callable(env):
        return env, False
    raise ConfigurationError(
        f"An environment is given as a class, a function that makes one, or an instance, not {type(env).__name__}"
    )


def isolation_of(env: Any, shared: bool, wanted: str) -> Target | None:
    """Return what a process of its own is to run for each session; None if environments share this process.

    Args:
        env: What was given to `create_app`.
        shared: It is one instance.
        wanted: `auto` (a process where the class does not say that it can do without), `process` or `none`.

    Raises:
        ConfigurationError: A process is wanted and can not be had, or the word is unknown.
    """
    if wanted not in ("auto", "process", "none"):
        raise ConfigurationError(f"isolation is auto, process or none, not {wanted!r}")
    if wanted == "process" and instances_meet(env):
        raise ConfigurationError(
            f"{env.__name__} can not be given a process for each session: its sessions play with one another, and "
            "meet in the process of the server. Leave isolation out"
        )
    if wanted == "none" or (wanted == "auto" and (shared or is_safe(env) or not inspect.isclass(env))):
        return None
    target = None if shared else Target.of(env)
    if target is None and wanted == "process":
        raise ConfigurationError(
            "isolation='process' needs a class or function that another process can import by name; "
            "an instance, a lambda or a local class is not"
        )
    return target


def is_safe(env: Any) -> bool:
    """Return whether its instances may be used at the same time in one process."""
    return bool(getattr(env, "SUPPORTS_CONCURRENT_SESSIONS", not inspect.isclass(env)))


def instances_meet(env: Any) -> bool:
    """Return whether its instances have to be in one process, for they have to do with one another."""
    return bool(getattr(env, "INSTANCES_MEET", False))


def concurrency(
    env: Any, shared: bool, config: ConcurrencyConfig | None, limit: int | None, *, isolated: bool = False
) -> ConcurrencyConfig:
    """Return how many sessions to hold.

    Raises:
        ConcurrencyConfigurationError: More than the environment can serve.
    """
    safe = isolated or (is_safe(env) and not shared)
    if config is None:
        config = ConcurrencyConfig(max_concurrent_envs=limit or (CONCURRENT_SESSIONS if safe else 1))
    if config.max_concurrent_envs > 1 and not safe:
        name = getattr(env, "__name__", type(env).__name__)
        why = (
            "one instance is shared; give the class instead"
            if shared
            else "set SUPPORTS_CONCURRENT_SESSIONS = True on it if its instances share nothing, or define it where "
            "another process can import it"
        )
        raise ConcurrencyConfigurationError(
            f"{name} can not serve {config.max_concurrent_envs} sessions at once: {why}"
        )
    return config
