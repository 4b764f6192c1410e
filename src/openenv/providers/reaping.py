"""What engines keep for us, over all providers: found by their labels, and removed.

An engine that cannot be asked hides nothing of the others; it is told beside what was found. The same holds for a
provider that fails in a way of its own: anybody may have written it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from openenv.errors import ConfigurationError, OpenEnvError, ProviderError
from openenv.providers.background import at_once
from openenv.providers.ownership import OwnedResource
from openenv.providers.redaction import redact
from openenv.providers.registry import available, provider_class

__all__ = ["Selection", "Survey", "reap", "survey"]


@dataclass(frozen=True)
class Survey:
    """What the engines have.

    Attributes:
        resources: Everything of ours, oldest first.
        problems: Why a provider's engine could not be asked, by the provider's name.
    """

    resources: tuple[OwnedResource, ...]
    problems: Mapping[str, str]


@dataclass(frozen=True)
class Selection:
    """Which of them are meant. What is not given does not restrict.

    Attributes:
        names: Of one start of a provider each.
        runs: Of one program each.
        owners: User and machine.
        expired: Only what should be gone already.
    """

    names: Sequence[str] = ()
    runs: Sequence[str] = ()
    owners: Sequence[str] = ()
    expired: bool = False

    def has(self, resource: OwnedResource) -> bool:
        """Whether it is meant."""
        owned = resource.ownership
        return (
            (not self.names or owned.name in self.names)
            and (not self.runs or owned.run in self.runs)
            and (not self.owners or owned.owner in self.owners)
            and (not self.expired or resource.expired)
        )


def survey(providers: Sequence[str] = (), where: Mapping[str, str] | None = None) -> Survey:
    """Ask the engines, all at once.

    Args:
        providers: Names of providers; all whose libraries are installed by default.
        where: How to reach the engine, as `Provider.where` tells; for one provider.
    """
    found: list[OwnedResource] = []
    problems: dict[str, str] = {}
    asked = list(dict.fromkeys(providers)) or available()
    # One after the other: imports of one package in several threads can meet in a deadlock, which is an error.
    for name in asked:
        with contextlib.suppress(Exception):  # told below
            provider_class(name)
    for name, (resources, error) in zip(asked, at_once(lambda name: _ask(name, where or {}), asked), strict=True):
        found += resources
        # Of those that were not named, one that lacks its library is simply not in use here.
        if error is not None and (providers or not isinstance(error, ConfigurationError)):
            problems[name] = error.message.split("\n")[0]
    found.sort(key=lambda resource: resource.created or time.time())
    return Survey(tuple(found), problems)


def reap(resources: Iterable[OwnedResource]) -> list[tuple[OwnedResource, OpenEnvError | None]]:
    """Remove things of a survey, and return with each why it is still there, or None.

    What belongs to one start is removed in the order it is given in, different starts at once.
    """
    by_name: dict[str, list[OwnedResource]] = {}
    for resource in resources:
        by_name.setdefault(resource.ownership.name, []).append(resource)
    groups = at_once(lambda group: [(resource, _removed(resource)) for resource in group], list(by_name.values()))
    return [outcome for group in groups for outcome in group]


def _ask(name: str, where: Mapping[str, str]) -> tuple[list[OwnedResource], OpenEnvError | None]:
    try:
        return [replace(resource, found_by=name) for resource in provider_class(name).owned(where)], None
    except Exception as error:
        return [], _told(error)


def _removed(resource: OwnedResource) -> OpenEnvError | None:
    try:
        provider_class(resource.found_by).remove(resource)
    except Exception as error:
        return _told(error)
    return None


def _told(error: Exception) -> OpenEnvError:
    return error if isinstance(error, OpenEnvError) else ProviderError(redact(f"{type(error).__name__}: {error}"))
