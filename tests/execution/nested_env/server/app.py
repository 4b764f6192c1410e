"""Serves the environment."""

import asyncio

from openenv import execution
from openenv.environment import Environment
from openenv.execution import Execution, Limits
from openenv.models import State
from openenv.server import create_app

from ..models import Came, Given

LIMITS = Limits(memory_bytes=512 * 2**20, processes=40, disk_bytes=32 * 2**20)


class NestedEnvironment(Environment[Given, Came, State]):
    """Opens workspaces for one step, runs, and closes them."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset(self, seed=None, episode_id=None, **kwargs):
        return Came()

    async def step(self, action, timeout_s=None, **kwargs):
        make = getattr(execution, action.backend) if action.backend else execution.backend
        backend = make(LIMITS)
        came = Came()

        async def one() -> None:
            async with await backend.open() as workspace:
                came.layers = list(workspace.layers.active)
                came.absent = dict(workspace.layers.absent)
                came.weaknesses = list(workspace.layers.weaknesses)
                came.folders.append(workspace.folder)
                if action.code:
                    came.python.append(_told(await workspace.python(action.code, timeout_s=action.timeout_s)))
                if action.reset:
                    await workspace.reset()
                if action.before:
                    await workspace.shell(action.before, timeout_s=1.0)
                if action.command:
                    came.shell.append(_told(await workspace.shell(action.command, timeout_s=action.timeout_s)))

        await asyncio.gather(*(one() for _ in range(action.workspaces)))
        return came

    @property
    def state(self):
        return State()


def _told(found: Execution) -> list[object]:
    return [found.stdout, found.stderr, found.exit_code, found.signal, found.timed_out, found.killed_for]


app = create_app(NestedEnvironment, Given, Came)
