"""The only reader of environment variables.

| variable | meaning | default |
|---|---|---|
| `OPENENV_MODE` | `simulation` or `production` | `simulation` |
| `OPENENV_CLIENT_MODE` | the same, for clients | `simulation` |
| `OPENENV_MAX_MESSAGE_SIZE_MB` | largest message in either direction, MiB | 100 |
| `MAX_CONCURRENT_ENVS` | sessions of a server, where the program does not say | by environment |
| `OPENENV_LINGER` | stay awake for a moment where a frame is about to come, see `openenv.protocol.lingering` | on |
| `ENABLE_WEB_INTERFACE` | serve the page to play on | off |
"""

from __future__ import annotations

import os

from openenv.errors import ConfigurationError

MIB = 1024 * 1024
DEFAULT_MAX_MESSAGE_SIZE_MB = 100.0


def max_message_size() -> int:
    """Return the largest message a server takes or sends, in bytes."""
    text = os.environ.get("OPENENV_MAX_MESSAGE_SIZE_MB", "")
    return int(_number("OPENENV_MAX_MESSAGE_SIZE_MB", text, DEFAULT_MAX_MESSAGE_SIZE_MB) * MIB)


def max_concurrent_envs() -> int | None:
    """Return how many sessions a server shall hold, if that was set."""
    text = os.environ.get("MAX_CONCURRENT_ENVS", "")
    number = _number("MAX_CONCURRENT_ENVS", text, 0)
    if number != int(number):
        raise ConfigurationError(f"MAX_CONCURRENT_ENVS={text!r} is not a whole number")
    return int(number) or None


def server_mode() -> str:
    """Return the mode of servers."""
    return os.environ.get("OPENENV_MODE", "") or "simulation"


def client_mode() -> str:
    """Return the mode of clients."""
    return os.environ.get("OPENENV_CLIENT_MODE", "") or "simulation"


def web_interface() -> bool:
    """Return whether the page to play on is wanted."""
    return os.environ.get("ENABLE_WEB_INTERFACE", "").lower() in ("1", "true", "yes", "on")


def lingers() -> bool:
    """Return whether to stay awake where a frame is about to come; never with one processor for both sides."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return usable > 1 and os.environ.get("OPENENV_LINGER", "").lower() not in ("0", "false", "no", "off")


def inherited_environment() -> dict[str, str]:
    """Return a copy of this process's environment variables, to hand on to a child process."""
    return dict(os.environ)


def _number(name: str, text: str, default: float) -> float:
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ConfigurationError(f"{name}={text!r} is not a positive number")
    return value
