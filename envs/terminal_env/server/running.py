"""A command that goes on while the agent takes further steps, and what it has written so far."""

from __future__ import annotations

import asyncio
import codecs
import contextlib

from openenv.execution import Execution, Workspace


class Running:
    """A command in a shell that is looked at again and again.

    Args:
        workspace: Where the shell is.
        shell: Its name.
        command: The command line.
        limit_s: Seconds after which it is interrupted in any case.
    """

    def __init__(self, workspace: Workspace, shell: str, command: str, limit_s: float) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._seen = ""
        self._shown = 0
        call = workspace.shell(command, name=shell, timeout_s=limit_s, on_output=self._take)
        self._ended = asyncio.ensure_future(call)

    def _take(self, _: str, data: bytes) -> None:
        self._seen += self._decoder.decode(data)

    async def look(self, seconds: float) -> tuple[str, Execution | None]:
        """Wait for its end, but not for longer than some seconds.

        Returns:
            What it has written since the last look, and how it ended, or None if it still runs.

        Raises:
            WorkspaceLostError: The workspace has ended.
        """
        await asyncio.wait([self._ended], timeout=seconds)
        if self._ended.done():
            done = self._ended.result()
            return done.stdout[self._shown :], done
        new = self._seen[self._shown :]
        self._shown = len(self._seen)
        return new, None

    async def end(self) -> None:
        """End it, with its shell."""
        self._ended.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):  # whatever it was, it is over
            await self._ended
