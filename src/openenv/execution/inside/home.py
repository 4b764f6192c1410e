"""The folders of one workspace, and how processes run there."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from openenv.containment.removal import remove
from openenv.containment.restrictions import Restrictions
from openenv.execution.inside import folder, tree
from openenv.execution.inside.child import Place

__all__ = ["Home", "make_mode"]

REMOVALS, REMOVAL_PAUSE_S = 200, 0.005
"""A control group counts a process until its last traces are gone."""


class Home:
    """A new folder with a place to work in and a place for temporary files.

    What is in these two is the programs' to change; they themselves stay what they are.

    Args:
        wanted: As a backend sends it: `base`, `restrictions`, `groups`, `env`, `path`, and perhaps `emptied`.

    Attributes:
        root: The folder.
        place: Where and how programs run.
        packages: Folders that their Python imports from besides the standard library.
    """

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._wanted = wanted
        # What is shown to programs may lie there, such as an interpreter that is installed in `/tmp`.
        self._emptied = {place: folder.below(place) for place in wanted.get("emptied", ())}
        self.root = tempfile.mkdtemp(prefix="openenv-work-", dir=wanted["base"])
        make_mode(self.root, 0o711)  # programs may be another user
        work, temporary = (os.path.join(self.root, name) for name in ("work", "tmp"))
        held = Restrictions.from_json(wanted["restrictions"])
        if held.read is None:  # Landlock would keep programs from it
            tree.keep_to_oneself()
        if held.refused is not None:  # memory and queues that a user has in common would outlive a reset
            held = replace(held, refused={**held.refused, "others": False})
        for place in (work, temporary):
            os.mkdir(place, 0o700)
            if held.uid is not None:
                os.chown(place, held.uid, held.uid)
        self.packages = self._linked(wanted["path"])
        if held.read is not None:
            held = replace(held, read=(*held.read, *self.packages), write=(*held.write, work, temporary))
        env = {**wanted["env"], "HOME": work, "TMPDIR": temporary}
        self.place = Place(work, held, wanted["groups"], env)

    def remove(self) -> None:
        """Remove it, and empty what else is this workspace's alone."""
        remove(self.root)
        for place, kept in self._emptied.items():
            folder.empty(place, kept)

    def remove_groups(self) -> None:
        """Remove the control groups, in which nothing runs any more."""
        for group in self._wanted["groups"]:
            for _ in range(REMOVALS):
                try:
                    os.rmdir(group)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(REMOVAL_PAUSE_S)

    def _linked(self, entries: list[str]) -> list[str]:
        """Return a folder of links to packages, for the search path: the folders beside them may not be read."""
        if not entries:
            return []
        packages = f"{self.root}/packages"
        os.mkdir(packages)
        for entry in entries:
            os.symlink(entry, os.path.join(packages, os.path.basename(entry)))
        make_mode(packages, 0o755)
        return [packages]


def make_mode(path: str, mode: int) -> None:
    """Set a folder's mode, unless that is refused: in a sandbox, where programs are our user and cannot either."""
    with suppress(PermissionError):
        os.chmod(path, mode)
