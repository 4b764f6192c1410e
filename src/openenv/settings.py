"""The only reader of environment variables.

| variable | meaning | default |
|---|---|---|
| `OPENENV_MODE` | `simulation` or `production` | `simulation` |
| `OPENENV_CLIENT_MODE` | the same, for clients | `simulation` |
| `OPENENV_MAX_MESSAGE_SIZE_MB` | largest message in either direction, MiB | 100 |
| `MAX_CONCURRENT_ENVS` | sessions of a server, where the program does not say | by environment |
| `OPENENV_MAX_SNAPSHOTS` | snapshots a process of a server keeps | 64 |
| `OPENENV_MAX_SNAPSHOTS_MB` | size of all states among them, MiB | 256 |
| `OPENENV_LINGER` | stay awake for a moment where a frame is about to come, see `openenv.protocol.lingering` | on |
| `ENABLE_WEB_INTERFACE` | serve the page to play on | off; on where `SPACE_ID` is set, as on Hugging Face Spaces |
| `OPENENV_EGRESS` | `deny`: servers refuse themselves outgoing connections | none |
| `OPENENV_OWN_USER` | the user that a server runs as owns nothing but what the server makes, as in an image | off |
| `OPENENV_CACHE` | folder for what can be made again, such as the environments of uv | `~/.cache/openenv` |
| `OPENENV_RUN` | name of this run, on all that providers make | random |
| `AZURE_SUBSCRIPTION_ID` | subscription that the provider `aca` uses, where it is not told | none |
| `KUBECONFIG` | files that say how to reach a Kubernetes cluster | `~/.kube/config` |
| `KUBERNETES_SERVICE_HOST`, `KUBERNETES_SERVICE_PORT` | the cluster this program runs in; it sets them | none |
"""

from __future__ import annotations

import os
from pathlib import Path

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


def snapshot_limits() -> dict[str, float]:
    """Return how many snapshots a server shall keep, and how many MiB of them, as far as that was set."""
    found = {"count": "OPENENV_MAX_SNAPSHOTS", "megabytes": "OPENENV_MAX_SNAPSHOTS_MB"}
    texts = {key: (name, os.environ.get(name, "")) for key, name in found.items()}
    limits = {key: _number(name, text, 0) for key, (name, text) in texts.items() if text}
    if limits.get("count", 0) % 1:
        raise ConfigurationError(f"OPENENV_MAX_SNAPSHOTS={texts['count'][1]!r} is not a whole number")
    return limits


def server_mode() -> str:
    """Return the mode of servers."""
    return os.environ.get("OPENENV_MODE", "") or "simulation"


def client_mode() -> str:
    """Return the mode of clients."""
    return os.environ.get("OPENENV_CLIENT_MODE", "") or "simulation"


def web_interface() -> bool:
    """Return whether the page to play on is wanted."""
    told = os.environ.get("ENABLE_WEB_INTERFACE", "true" if os.environ.get("SPACE_ID") else "")
    return told.lower() in ("1", "true", "yes", "on")


def keep_gradio_quiet() -> None:
    """Have Gradio report to nobody, unless the user has said otherwise by its own variable."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")


def egress_denied() -> bool:
    """Return whether servers are to refuse themselves outgoing connections."""
    text = os.environ.get("OPENENV_EGRESS", "").lower()
    if text not in ("", "allow", "deny"):  # a slip must not open what was meant to be shut
        raise ConfigurationError(f"OPENENV_EGRESS={text!r} is neither 'deny' nor 'allow'")
    return text == "deny"


def own_user() -> bool:
    """Return whether this process's user owns nothing but what the process makes, so it can spoil nothing else."""
    return os.environ.get("OPENENV_OWN_USER", "").lower() in ("1", "true", "yes", "on")


def cache_folder() -> Path:
    """Return the folder for what can be made again; it need not be there."""
    if given := os.environ.get("OPENENV_CACHE"):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "openenv"


def run() -> str:
    """Return the name of this run, empty if it has none."""
    return os.environ.get("OPENENV_RUN", "")


def azure_subscription() -> str:
    """Return the id of the Azure subscription to use, empty if there is none."""
    return os.environ.get("AZURE_SUBSCRIPTION_ID", "")


def kubeconfig() -> str:
    """Return the paths of the kubeconfig files, separated as on PATH; empty if none was set."""
    return os.environ.get("KUBECONFIG", "")


def kubernetes_service() -> tuple[str, str] | None:
    """Return host and port of the API of the cluster this program runs in, or None outside one."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    return (host, os.environ.get("KUBERNETES_SERVICE_PORT", "") or "443") if host else None


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
