"""Who made a thing, in which run, and until when it may live: written on everything that an engine keeps for us.

The labels are the only record. No file and no server of ours remembers what was started, so nothing has to be
kept in step: `openenv ps` and `openenv gc` ask the engines. Keys and values are within what every engine takes,
which is what Kubernetes takes for labels.
"""

from __future__ import annotations

import getpass
import re
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from openenv import settings

__all__ = ["OwnedResource", "Ownership"]

PREFIX = "openenv."
LONGEST_VALUE = 63

_RUN = uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class Ownership:
    """What is written on everything that one start of a provider makes.

    Attributes:
        provider: The provider's name in the registry, such as `docker`.
        name: Unique for this start, such as `openenv-3f2a9c51d0e4`; engines call their things by it, so making
            one a second time is noticed.
        owner: User and machine, such as `ada.lab7`.
        run: The same for all that one program makes, or what `OPENENV_RUN` says.
        expires: Unix time in whole seconds when it must be gone; None for never.
    """

    provider: str
    name: str
    owner: str
    run: str
    expires: int | None

    @classmethod
    def new(cls, provider: str, lifetime_s: float | None) -> Self:
        """Return the ownership of something that is made now by this program.

        Args:
            provider: The provider's name in the registry.
            lifetime_s: Seconds it may live; None for no limit.
        """
        expires = None if lifetime_s is None else int(time.time() + lifetime_s)
        return cls(provider, f"openenv-{uuid.uuid4().hex[:12]}", owner(), run(), expires)

    def labels(self) -> dict[str, str]:
        """Return the labels that say all this."""
        labels = {"provider": self.provider, "name": self.name, "owner": self.owner, "run": self.run}
        if self.expires is not None:
            labels["expires"] = str(self.expires)
        return {PREFIX + key: value for key, value in labels.items()}

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> Self | None:
        """Return what labels say, or None if they are not ours."""
        found = {key: labels.get(PREFIX + key, "") for key in ("provider", "name", "owner", "run", "expires")}
        if not (found["provider"] and found["name"]):
            return None
        expires = int(found["expires"]) if found["expires"].isdigit() else None
        return cls(found["provider"], found["name"], found["owner"], found["run"], expires)


@dataclass(frozen=True)
class OwnedResource:
    """One thing that an engine keeps for us, as `openenv ps` shows it.

    Attributes:
        ownership: What its labels say.
        id: What the engine calls it.
        kind: Such as `container`, `network`, `service`, `pod`, `actor`, `image`.
        state: In the engine's words, such as `running`.
        created: Unix time in seconds; None if the engine does not tell.
        where: How the engine was reached, as in `Provider.where`.
        found_by: The provider class's name, in the registry or `module:class`; a survey fills it in.
    """

    ownership: Ownership
    id: str
    kind: str
    state: str = ""
    created: float | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    found_by: str = ""

    @property
    def expired(self) -> bool:
        """Whether it should be gone."""
        return self.ownership.expires is not None and self.ownership.expires <= time.time()


def owner() -> str:
    """Return user and machine, as a label's value."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without an entry in the user database
        user = "unknown"
    return _as_label(f"{user}.{socket.gethostname()}")


def run() -> str:
    """Return the id of this run: what `OPENENV_RUN` says, else a random one for each process."""
    return _as_label(settings.run() or _RUN)


def _as_label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:LONGEST_VALUE].strip("._-") or "unknown"
