"""What other projects test their own parts with: contracts to inherit, each the test suite of one noun.

The contracts need pytest, so nothing is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openenv.testing.adapter_contract import AdapterContract, next_move
    from openenv.testing.environment_contract import EnvironmentContract, EnvironmentMemoryContract
    from openenv.testing.local import LocalServer
    from openenv.testing.provider_contract import ProviderContract
    from openenv.testing.samples import sample_actions

__all__ = [
    "AdapterContract",
    "EnvironmentContract",
    "EnvironmentMemoryContract",
    "LocalServer",
    "ProviderContract",
    "next_move",
    "sample_actions",
]

_HOMES = {
    "AdapterContract": "adapter_contract",
    "EnvironmentContract": "environment_contract",
    "EnvironmentMemoryContract": "environment_contract",
    "LocalServer": "local",
    "ProviderContract": "provider_contract",
    "next_move": "adapter_contract",
    "sample_actions": "samples",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
