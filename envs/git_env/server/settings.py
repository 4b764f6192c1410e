"""What git is told by environment variables, so that it does the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["JUDGES", "WORKING", "dated"]

_BEGIN = 1_767_225_600  # 2026-01-01, UTC; commits of an episode come a day and more after those of its task
_STEP_S = 60


def _configuration(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings as environment variables, which count before those of a repository."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


_EVERYWHERE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "TERM": "dumb"}

WORKING = {
    **_EVERYWHERE,
    **{f"GIT_{who}_NAME": "agent" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "agent@localhost" for who in ("AUTHOR", "COMMITTER")},
    "GIT_EDITOR": "true",  # messages are taken as they are proposed
    "TZ": "UTC",
    **_configuration({"init.defaultBranch": "main", "advice.detachedHead": "false", "gc.auto": "0"}),
}
"""For an agent's commands, and for those that make a repository."""

JUDGES = {
    **_EVERYWHERE,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    **_configuration(
        {
            "core.hooksPath": "/dev/null",
            "core.fsmonitor": "",
            "core.attributesFile": "/dev/null",
            "core.commitGraph": "false",
            "protocol.allow": "never",
            "safe.directory": "*",
        }
    ),
}
"""For looking at what an agent has made: nothing of it is run, and nothing of it changes what git does."""


def dated(step: int) -> dict[str, str]:
    """Return variables that date commits, a minute later with each step: the same steps make the same ids."""
    moment = f"{_BEGIN + 24 * 3600 + step * _STEP_S} +0000"
    return {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
