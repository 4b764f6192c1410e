"""What the escape suite is run against here, and what each has been told to allow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.escape.suite import PROBE_ENV, Limits

from openenv import containment
from openenv.providers import ProcessProvider, Provider, SandboxProvider

__all__ = ["CONTROL", "SUBJECTS", "Subject"]

_READY_S = 120.0  # also on a machine that has much else to do


@dataclass(frozen=True)
class Subject:
    """A provider to get out of.

    Attributes:
        make: Makes one, not started.
        limits: What it has been told.
    """

    make: Callable[[], Provider]
    limits: Limits


def _sandbox(limits: Limits, **options: Any) -> Subject:
    def make() -> Provider:
        return SandboxProvider(
            PROBE_ENV,
            memory_bytes=limits.memory,
            processes=limits.processes,
            files=limits.files or 1024,
            file_bytes=limits.file_bytes or limits.memory,
            tmp_bytes=limits.disk_bytes or limits.memory,
            cpu_s=limits.cpu_s,
            ready_timeout_s=_READY_S,
            **options,
        )

    return Subject(make, limits)


# Without control groups nothing holds the memory of several processes, and the provider says so.
_LIMITS = Limits(memory_total=containment.probe()["cgroup"] is None)
# Without namespaces nothing holds the disk use of many files, and the provider says so.
_LIMITS_OF_FALLBACK = replace(_LIMITS, disk_bytes=None)


def _workspace(limits: Limits) -> Subject:
    told = {
        "memory_bytes": limits.memory,
        "processes": limits.processes,
        "files": limits.files,
        "file_bytes": limits.file_bytes,
    }

    def make() -> Provider:
        return ProcessProvider(PROBE_ENV, env_vars={"PROBE_LIMITS": json.dumps(told)}, ready_timeout_s=_READY_S)

    return Subject(make, limits)


SUBJECTS = {
    "sandbox": _sandbox(_LIMITS),
    "no-namespaces": _sandbox(_LIMITS_OF_FALLBACK, without={"namespaces"}),
    # The disk is only looked at now and then, and time is the wall clock's: tests of their own try both.
    "workspace": _workspace(replace(_LIMITS, cpu_s=None, disk_bytes=None)),
}
"""None of these may let anything out."""

REFUSED = {"sandbox-fallback": _sandbox(_LIMITS_OF_FALLBACK)}
"""The same for a machine that refuses namespaces of itself."""

WEAKENED = {
    "no-landlock": _sandbox(_LIMITS, without={"landlock"}),
    "no-seccomp": _sandbox(_LIMITS, without={"seccomp"}),
    "no-limits": _sandbox(_LIMITS, without={"rlimits", "cgroup", "uid"}),
}
"""To see what the one missing layer had stopped alone; these may let something out."""

CONTROL = Subject(lambda: ProcessProvider(PROBE_ENV, ready_timeout_s=_READY_S), _LIMITS)
"""Nothing stops anything here, so that the suite is seen to fail."""
