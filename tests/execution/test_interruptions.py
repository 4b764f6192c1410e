"""A shell outlives the end of a command's time, also where the shell itself is what waits or runs."""

import asyncio
from pathlib import Path

import pytest

from openenv.execution import WarmFork

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workspaces are for Linux")


@pytest.mark.parametrize(
    "command",
    [
        "cat",
        "read line",
        "mapfile lines",
        "while :; do :; done",
        "sleep 600 | cat",
        "for n in 1 2; do sleep 9; done",
    ],
)
def test_a_command_that_never_ends_is_interrupted_and_its_shell_goes_on(command):
    async def main() -> None:
        async with asyncio.timeout(60), await WarmFork().open() as workspace:
            await workspace.shell("kept=7")
            late = await workspace.shell(command, timeout_s=0.3)
            assert (late.timed_out, late.exit_code, late.context_lost) == (True, 130, False)
            assert (await workspace.shell("echo $? $kept")).stdout == "130 7\n"

    asyncio.run(main())


def test_typing_into_no_shell_or_one_that_does_not_read_is_refused_and_the_workspace_goes_on():
    async def main() -> None:
        async with asyncio.timeout(60), await WarmFork().open() as workspace:
            with pytest.raises(OSError, match="no shell 'other'"):
                await workspace.send_keys("x", name="other")
            await workspace.shell("stty raw")
            with pytest.raises(OSError, match="does not read"):
                await workspace.send_keys("x" * 1_000_000)
            assert (await workspace.shell("echo fine", name="other")).stdout == "fine\n"

    asyncio.run(main())
