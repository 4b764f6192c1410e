"""Every way of calling a client, as a function that plays a script in that way.

A script is a generator: it yields calls, and is sent what they return or gets thrown what they raise. So one script
is played by all ways, and asserts the same of each.
"""

import asyncio
import inspect
from collections.abc import Callable, Generator
from typing import Any

from openenv.client import EnvClient

Call = Callable[[], Any]
Script = Callable[[Any], Generator[Call, Any, None]]
Way = Callable[[EnvClient, Script], None]


def _advance(script: Generator[Call, Any, None], answer: Any, error: Exception | None) -> Call | None:
    try:
        return script.send(answer) if error is None else script.throw(error)
    except StopIteration:
        return None


def block(script: Generator[Call, Any, None], settle: Callable[[Any], Any] = lambda answer: answer) -> None:
    """Play a script; each answer is there when the call returns."""
    call = _advance(script, None, None)
    while call is not None:
        try:
            answer, error = settle(call()), None
        except Exception as raised:
            answer, error = None, raised
        call = _advance(script, answer, error)


async def wait(script: Generator[Call, Any, None], settle: Callable[[Any], Any] = lambda answer: answer) -> None:
    """Play a script by awaiting every answer."""
    call = _advance(script, None, None)
    while call is not None:
        try:
            answer, error = await settle(call()), None
        except Exception as raised:
            answer, error = None, raised
        call = _advance(script, answer, error)


def settled(answer: Any) -> Any:
    """Assert that an answer is the thing itself."""
    assert not inspect.iscoroutine(answer)
    return answer


def touched(answer: Any) -> Any:
    """Use an answer directly, as blocking code does that knows nothing of loops."""
    str(answer)
    return answer


# --- blocking -----------------------------------------------------------------------------------


def entered_with(client: EnvClient, script: Script) -> None:
    with client as env:
        assert env is client
        block(script(env), settled)


def sync_entered(client: EnvClient, script: Script) -> None:
    with client.sync() as env:
        block(script(env), settled)


def sync_not_entered(client: EnvClient, script: Script) -> None:
    block(script(client.sync()), settled)


def bare(client: EnvClient, script: Script) -> None:
    block(script(client), settled)


def bare_inside_a_loop(client: EnvClient, script: Script) -> None:
    async def main() -> None:
        block(script(client), touched)

    asyncio.run(main())


def sync_inside_a_loop(client: EnvClient, script: Script) -> None:
    async def main() -> None:
        with client.sync() as env:
            block(script(env), settled)

    asyncio.run(main())


def in_a_thread_of_a_loop(client: EnvClient, script: Script) -> None:
    asyncio.run(asyncio.to_thread(bare, client, script))


# --- awaited ------------------------------------------------------------------------------------


def async_with(client: EnvClient, script: Script) -> None:
    async def main() -> None:
        async with client as env:
            assert env is client
            await wait(script(env))

    asyncio.run(main())


def await_connect(client: EnvClient, script: Script) -> None:
    async def main() -> None:
        assert await client.connect() is client
        await wait(script(client))

    asyncio.run(main())


def await_client(client: EnvClient, script: Script) -> None:
    async def main() -> None:
        assert await client is client
        await wait(script(client))

    asyncio.run(main())


def entered_as_tasks(client: EnvClient, script: Script) -> None:
    async def main() -> None:
        async with client as env:
            await wait(script(env), asyncio.create_task)

    asyncio.run(main())


def _bare_awaited(settle: Callable[[Any], Any]) -> Way:
    def way(client: EnvClient, script: Script) -> None:
        async def main() -> None:
            await wait(script(client), settle)

        asyncio.run(main())

    return way


async def _first_of(gathered: Any) -> Any:
    return (await gathered)[0]


# --- both, one after the other ------------------------------------------------------------------


def awaited_then_blocking(client: EnvClient, script: Script) -> None:
    """One `asyncio.run` for each of the first calls, and blocking after that."""
    playing = script(client)
    answer, error = None, None
    for calls in range(100):
        call = _advance(playing, answer, error)
        if call is None:
            return

        async def main(call: Call = call) -> Any:
            return await call()

        try:
            answer, error = asyncio.run(main()) if calls < 3 else settled(call()), None
        except Exception as raised:
            answer, error = None, raised


BLOCKING: list[Way] = [
    entered_with,
    sync_entered,
    sync_not_entered,
    bare,
    bare_inside_a_loop,
    sync_inside_a_loop,
    in_a_thread_of_a_loop,
]

AWAITED: dict[str, Way] = {
    "async_with": async_with,
    "await_connect": await_connect,
    "await_client": await_client,
    "entered_as_tasks": entered_as_tasks,
    "bare_awaited": _bare_awaited(lambda answer: answer),
    "bare_as_tasks": _bare_awaited(asyncio.create_task),
    "bare_ensured": _bare_awaited(asyncio.ensure_future),
    "bare_gathered": _bare_awaited(lambda answer: _first_of(asyncio.gather(answer))),
    "bare_waited_for": _bare_awaited(lambda answer: asyncio.wait_for(answer, 5)),
    "awaited_then_blocking": awaited_then_blocking,
}

BY_NAME: dict[str, Way] = {way.__name__: way for way in BLOCKING} | AWAITED
