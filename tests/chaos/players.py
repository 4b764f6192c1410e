"""What runs in a client process: sessions that play, and write down what they ask for and what they are told.

They play until a file tells them that the trouble is over. Then each has to play on as if nothing had happened, and
to leave nothing behind.
"""

import asyncio
import itertools
import os
import random
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.books import JOURNAL, Book
from tests.chaos.environments import Mark, OldPlayer, client_of
from tests.chaos.processes import PATIENCE_S, descriptors, wait_until

from openenv.client.portal import run_async_safely
from openenv.errors import OpenEnvError, RequestError

AFTERWARDS = 5
"""Steps in a row that each session takes once the trouble is over."""


ENDS = ("SESSION_LOST", "SESSION_NOT_FOUND", "CAPACITY_REACHED", "FACTORY_ERROR")
"""Codes after which the next reset opens another session."""


@dataclass(frozen=True)
class Part:
    """What a client process is to do.

    Attributes:
        name: No other process has it.
        url: Where the server is, or what stands before it.
        environment: Name of its class there.
        folder: Where to write.
        stop: The file that says that the trouble is over.
        style: `tasks`, `vector`, `threads`, `visits` or `version 1`.
        sessions: How many.
        seed: Decides what is played.
        hang: Share of steps that do not come back.
        naps_ms: Milliseconds of the longest nap.
        fills: Bytes of the longest answer.
        options: Of the client class.
    """

    name: str
    url: str
    environment: str
    folder: Path
    stop: Path
    style: str = "tasks"
    sessions: int = 4
    seed: int = 0
    hang: float = 0.0
    naps_ms: int = 10
    fills: int = 3000
    options: dict[str, Any] = field(default_factory=dict)


def perform(part: Part) -> None:
    """Play the part; the target of a process."""
    run_async_safely(asyncio.sleep(0))  # the first event loop opens what all later ones share
    held = [_descriptors(), threading.active_count()]
    journal = Book(part.folder, JOURNAL)
    sessions = [_Session(part, journal, number) for number in range(part.sessions)]
    try:
        _STYLES[part.style](part, sessions)
    except Exception:
        journal.write("crash", what=traceback.format_exc())
    for what, count, before in (
        ("descriptors", _descriptors, held[0] + 1),  # with the journal
        ("threads", threading.active_count, held[1]),  # those of Python; libuv keeps some of its own
    ):
        if not wait_until(lambda count=count, before=before: count() <= before, PATIENCE_S / 2):
            names = [thread.name for thread in threading.enumerate()]
            journal.write("leak", what=what, number=count() - before, threads=names)
    journal.write("end")


def _descriptors() -> int:
    return descriptors(os.getpid())


class _Session:
    """The book-keeping of one session.

    Attributes:
        episode: Name of the reset whose episode it is in; None if a reset is due.
        finished: It has played on after the trouble.
    """

    def __init__(self, part: Part, journal: Book, number: int) -> None:
        self._part = part
        self._journal = journal
        self._name = f"{part.name}.{number}"
        self._numbers = itertools.count(1)
        self._opening = True
        self._in_a_row = 0
        self._unsure = False
        self.random = random.Random(f"{part.seed} {self._name}")
        self.episode: str | None = None
        self.token = ""
        self.instance = ""
        self.count = 0

    @property
    def calm(self) -> bool:
        return self._part.stop.exists()

    @property
    def finished(self) -> bool:
        if not self.calm:
            self._in_a_row = 0
        return self._in_a_row > AFTERWARDS

    def reset(self) -> dict[str, Any]:
        """Write a reset down; return its arguments."""
        self._ask("reset")
        return {"token": self.token, "length": self.random.choice((0, 3, 20))}

    def step(self) -> Mark:
        """Write a step down; return the action."""
        self._ask("step")
        part, draw = self._part, self.random
        return Mark(
            token=self.token,
            episode=self.episode or "",
            nap_ms=draw.randint(0, part.naps_ms) if draw.random() < 0.2 else 0,
            hang=not self.calm and draw.random() < part.hang,
            size=draw.randint(0, part.fills) if draw.random() < 0.1 else 0,
        )

    def _ask(self, verb: str) -> None:
        self.token = f"{self._name}.{next(self._numbers)}"
        self._journal.write(
            "ask",
            verb=verb,
            token=self.token,
            episode=self.episode,
            opening=self._opening,
            unsure=self._unsure,
        )

    def told(self, result: Any) -> None:
        """Write down what a reset or step came to."""
        seen = result.observation
        fields = {key: getattr(seen, key) for key in ("token", "instance", "episode", "count")}
        self._journal.write("told", token=self.token, seen=fields)
        self._opening = self._unsure = False
        self._in_a_row += 1
        self.episode, self.instance, self.count = seen.episode, seen.instance, seen.count
        if result.done:
            self.episode = None

    def leave(self) -> None:
        """Go on with another session; opening it is a request of its own."""
        self.episode, self._opening = None, True
        self._ask("open")

    def opened(self) -> None:
        """Write down that it is open."""
        self._journal.write("opened", token=self.token)

    def stands(self, state: Any) -> None:
        """Write down whether a state is that of this session."""
        told = (state.instance, state.episode, state.count)
        self._journal.write("state", fits=told == (self.instance, self.episode, self.count), told=told)

    def failed(self, error: OpenEnvError) -> None:
        """Write down that a reset or step failed."""
        self._journal.write("failed", token=self.token, code=error.code, message=error.message[:300])
        self._opening = self._opening or error.code in ENDS
        self._in_a_row = 0
        self._unsure = False
        self.episode = None

    def gave_up(self) -> None:
        """Write down that nobody waits for the answer any more; perhaps it was the last of the episode."""
        self._journal.write("gave up", token=self.token)
        self._unsure = True

    def pause(self) -> float:
        """Return the seconds to wait after a failure."""
        return self.random.uniform(0, 0.1)


# --- the ways to play -------------------------------------------------------------------------------


def _in_tasks(part: Part, sessions: list[_Session]) -> None:
    """Each session has a client of its own, all on one event loop."""
    client = OldPlayer if part.style == "version 1" else client_of(part.environment)

    async def play(session: _Session) -> None:
        env = client(base_url=part.url, **part.options)
        with suppress(OpenEnvError):  # the first reset tries again
            await env.connect()
        try:
            while not session.finished:
                try:
                    await _one(env, session)
                except OpenEnvError as error:
                    session.failed(error)
                    await asyncio.sleep(session.pause())
        finally:
            await env.close()

    async def play_all() -> None:
        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(play(session))

    asyncio.run(play_all())


def _in_visits(part: Part, sessions: list[_Session]) -> None:
    """Each session is left after a few steps, and another opened."""
    client = client_of(part.environment)

    async def visit(session: _Session) -> None:
        while not session.finished:
            env = client(base_url=part.url, **part.options)
            session.leave()
            try:
                await env.connect()
                session.opened()
                for _ in range(session.random.randint(1, 2 * AFTERWARDS)):
                    await _one(env, session)
            except OpenEnvError as error:
                session.failed(error)
                await asyncio.sleep(session.pause())
            finally:
                await env.close()

    async def visit_all() -> None:
        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(visit(session))

    asyncio.run(visit_all())


async def _one(env: Any, session: _Session) -> None:
    """Do one thing in a session."""
    if session.episode is None:
        session.told(await env.reset(**session.reset()))
        return
    chance = session.random.random()
    if chance < 0.03 and not session.calm:
        try:
            async with asyncio.timeout(session.random.uniform(0, 0.01)):
                session.told(await env.step(session.step()))
        except TimeoutError as error:
            if isinstance(error, RequestError):
                raise
            session.gave_up()
    else:
        session.told(await env.step(session.step()))


def _in_a_vector(part: Part, sessions: list[_Session]) -> None:
    """All sessions are one object, and share connections."""
    client = client_of(part.environment)

    async def play_all() -> None:
        envs = client.vector(base_url=part.url, num_envs=len(sessions), connections=2, **part.options)
        with suppress(OpenEnvError):
            await envs.connect()
        try:
            while not all(session.finished for session in sessions):
                try:
                    await _round(envs, sessions)
                except OpenEnvError as error:
                    for session in sessions:
                        session.failed(error)
                    await asyncio.sleep(sessions[0].pause())
        finally:
            await envs.close()

    asyncio.run(play_all())


async def _round(envs: Any, sessions: list[_Session]) -> None:
    """Reset those that are to be reset, and take a step in the others."""
    due = [index for index, session in enumerate(sessions) if session.episode is None]
    if due:
        results = await envs.reset(options=[sessions[index].reset() for index in due], indices=due)
        _tell(sessions, due, results)
        if len(due) == len(sessions):
            return
    ready = [index for index, session in enumerate(sessions) if session.episode is not None]
    if ready:
        _tell(sessions, ready, await envs.step({index: sessions[index].step() for index in ready}))


def _tell(sessions: list[_Session], indices: list[int], results: Any) -> None:
    for index, result in zip(indices, results, strict=True):
        error = getattr(result, "error", None)
        if error is not None:
            sessions[index].failed(error)
        else:
            sessions[index].told(result)


def _in_threads(part: Part, sessions: list[_Session]) -> None:
    """Each session has a blocking client on a thread of its own."""
    client = client_of(part.environment)
    crashes: list[BaseException] = []

    def play(session: _Session) -> None:
        env = client(base_url=part.url, **part.options).sync()
        try:
            while not session.finished:
                try:
                    session.told(
                        env.reset(**session.reset()) if session.episode is None else env.step(session.step())
                    )
                    if session.episode is not None and session.random.random() < 0.05:
                        session.stands(env.state())
                except OpenEnvError as error:
                    session.failed(error)
                    time.sleep(session.pause())
        except BaseException as error:
            crashes.append(error)
        finally:
            env.close()

    players = [threading.Thread(target=play, args=(session,)) for session in sessions]
    for player in players:
        player.start()
    for player in players:
        player.join()
    if crashes:
        raise crashes[0]


_STYLES: dict[str, Callable[[Part, list[_Session]], None]] = {
    "tasks": _in_tasks,
    "version 1": _in_tasks,
    "visits": _in_visits,
    "vector": _in_a_vector,
    "threads": _in_threads,
}
