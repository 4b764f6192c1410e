"""A workspace is stopped, and its files are taken to another one as they are."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from openenv.errors import WorkspaceLostError
from openenv.execution import WarmFork, Workspace

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workspaces are for Linux")


def with_two(play: Callable[[Workspace, Workspace], Awaitable[None]]) -> None:
    async def main() -> None:
        backend = WarmFork()
        async with asyncio.timeout(60), await backend.open() as first, await backend.open() as second:
            await play(first, second)

    asyncio.run(main())


def test_a_packed_folder_is_unpacked_elsewhere_with_its_links_and_modes_and_without_its_pipes():
    async def play(first: Workspace, second: Workspace) -> None:
        made = await first.run(
            "mkdir -p a/b && cp /bin/true a/b/program && ln -s /bin/sh a/away && ln -s ../.. a/b/up && "
            "ln -s nowhere a/dangling && mkfifo a/pipe"
        )
        assert made.ok, made.stderr
        await second.unpack(await first.pack("a"), "copy")
        assert await second.names("copy") == ["away", "b/", "dangling"]
        looked = await second.run("copy/b/program && readlink copy/away copy/b/up")
        assert looked.stdout == "/bin/sh\n../..\n"

    with_two(play)


def test_what_is_stopped_leaves_its_files_and_runs_on_anew():
    async def play(first: Workspace, _: Workspace) -> None:
        await first.shell("x=1; (while :; do echo >> ticks; done) & disown")
        await first.python("x = 1")
        running = asyncio.ensure_future(first.run("sleep 600"))
        await asyncio.sleep(0)
        await first.stop()
        with pytest.raises(WorkspaceLostError, match="stopped"):
            await running
        ticks = await first.read("ticks")
        assert (await first.shell("echo ${x-unset}")).stdout == "unset\n"
        assert (await first.python("x")).error.type == "NameError"
        assert await first.read("ticks") == ticks

    with_two(play)


@pytest.mark.parametrize("path", ["pipe", "/dev/zero", "folder"])
def test_what_is_no_file_is_neither_read_nor_written(path):
    async def main() -> None:
        async with asyncio.timeout(60), await WarmFork().open() as workspace:
            await workspace.run("mkfifo pipe; mkdir folder")
            with pytest.raises(OSError, match=r"regular|directory"):
                await workspace.read(path)
            with pytest.raises(OSError):
                await workspace.write(path, "x")

    asyncio.run(main())


def test_temporary_files_of_an_interpreter_are_made_where_it_may_write():
    async def main() -> None:
        async with asyncio.timeout(60), await WarmFork().open() as workspace:
            made = await workspace.python("import tempfile; tempfile.TemporaryFile(); tempfile.gettempdir()")
            assert made.value == repr(workspace.folder.removesuffix("work") + "tmp"), made.stderr

    asyncio.run(main())
