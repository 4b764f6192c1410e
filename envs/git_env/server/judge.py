"""Says how well a task was done, by its checks, on a copy of the repositories in a workspace of their own.

The copies have the agent's objects and references and nothing else of it (see `bare`), and every object is verified
before it is believed. A check is a command line of the task; its exit status, seen from outside, is the verdict.
"""

from __future__ import annotations

import asyncio

from openenv.execution import Backend, Workspace

from ..models import CheckOutcome
from . import bare
from .building import Built
from .settings import JUDGES
from .tasks import Task

CHECK_S = 20.0


async def judge(task: Task, built: Built, workspace: Workspace, held: Backend) -> list[CheckOutcome]:
    """Make the checks of a task on what is in a workspace, and return what came of them.

    Args:
        task: The task.
        built: What the episode began with.
        workspace: Where the agent has worked; all that runs there is ended.
        held: Opens the workspace for the copies.

    Raises:
        WorkspaceLostError: The checks could not be made.
    """
    await workspace.stop()
    missing: dict[str, str] = {}
    async with await held.open() as place:
        for name, path in task.repositories.items():
            if name in built.repositories:
                await place.unpack(built.repositories[name], f"{name}_before.git")
            try:
                packed = await workspace.pack(path, most_bytes=bare.MOST_BYTES)
            except OSError as error:
                missing[name] = f"The repository {path} cannot be copied: {error}"
                continue
            await place.unpack(await asyncio.to_thread(bare.cleaned, packed), f"{name}.git")
            missing |= await _damage(place, name, path)
        if missing:
            why = " ".join(missing.values())
            return [CheckOutcome(name=name, passed=False, message=why) for name in task.checks]
        return [await _check(place, task, name, line) for name, line in task.checks.items()]


async def _damage(place: Workspace, name: str, path: str) -> dict[str, str]:
    """Return what is wrong with the objects of a copy: none of them is believed unread."""
    command = ["git", "fsck", "--full", "--no-dangling", "--no-reflogs", "--no-progress"]
    done = await place.run(command, folder=f"{name}.git", env=JUDGES, timeout_s=CHECK_S)
    return {} if done.ok else {name: f"The repository {path} is damaged: {done.stderr[-300:]}"}


async def _check(place: Workspace, task: Task, name: str, line: str) -> CheckOutcome:
    names = [one + when for one in task.repositories for when in ("", "_before")]
    folders = {one: f"{place.folder}/{one}.git" for one in names}
    done = await place.run(["/bin/sh", "-c", line], folder="work.git", env=JUDGES | folders, timeout_s=CHECK_S)
    return CheckOutcome(name=name, passed=done.ok, message="" if done.ok else done.stderr[-300:])
