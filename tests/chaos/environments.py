"""Environments that write down every reset and step before they do it: in each of the ways to run one.

What a step is told to do decides where a fault can strike: in a nap, in a hang, in a large answer.
"""

import asyncio
import time
from pathlib import Path

from tests.chaos.books import LEDGER, Book, folder

from openenv.client import EnvClient
from openenv.client.link import Link, WebSocketLink, websocket_url
from openenv.environment import Environment
from openenv.models import Action, Observation, State

RELEASE = "release"
"""The file that lets hung steps go, once it is there."""

HANG_S = 120.0
"""Seconds after which a hung step ends if nobody lets it go."""


class Mark(Action):
    """A step with a name that no other step or reset has.

    Attributes:
        token: The name.
        episode: Name of the reset whose episode the client believes to be in.
        nap_ms: Milliseconds to sleep.
        hang: Do not come back.
        size: Characters, or bytes, of filling in the answer.
    """

    token: str
    episode: str
    nap_ms: int = 0
    hang: bool = False
    size: int = 0


class Told(Observation):
    """What was executed, where, and as which step of its episode."""

    token: str
    instance: str
    episode: str
    count: int
    filling: str = ""


class ToldInBytes(Told):
    """The same with binary data, for which client and server choose MessagePack."""

    blob: bytes = b""


class Standing(State):
    """Where the episode stands."""

    instance: str = ""
    episode: str = ""
    count: int = 0


class _Kept:
    """What all of them share.

    Attributes:
        in_bytes: Answer with `ToldInBytes`.
    """

    in_bytes = False

    def __init__(self) -> None:
        self.book = Book(folder(), LEDGER)
        self.release = folder() / RELEASE
        self.episode = ""
        self.count = self.length = 0

    def _begin(self, token: str, length: int) -> Told:
        self.book.write("reset", token=token)
        self.episode, self.count, self.length = token, 0, length
        return self._told(token, 0)

    def _execute(self, action: Mark) -> Told:
        self.count += 1
        self.book.write("step", token=action.token, claimed=action.episode, episode=self.episode, count=self.count)
        return self._told(action.token, action.size)

    def _told(self, token: str, size: int) -> Told:
        fields = {
            "token": token,
            "instance": self.book.name,
            "episode": self.episode,
            "count": self.count,
            "reward": 1.0,
            "done": bool(self.length) and self.count >= self.length,
        }
        if self.in_bytes:
            return ToldInBytes(**fields, blob=b"\xff" * size)
        return Told(**fields, filling="x" * size)

    def _stand(self) -> Standing:
        return Standing(instance=self.book.name, episode=self.episode, count=self.count)

    def _end(self) -> None:
        self.book.write("close")
        self.book.close()


class OwnProcess(_Kept, Environment[Mark, Told, Standing]):
    """Says nothing of concurrent sessions, so each gets a process."""

    def reset(self, seed: int | None = None, token: str = "", length: int = 0) -> Told:
        return self._begin(token, length)

    def step(self, action: Mark) -> Told:
        told = self._execute(action)
        time.sleep(action.nap_ms / 1000)
        if action.hang:
            _wait_for(self.release)
        return told

    @property
    def state(self) -> Standing:
        return self._stand()

    def close(self) -> None:
        self._end()


class OnThread(OwnProcess):
    """Runs on a thread."""

    SUPPORTS_CONCURRENT_SESSIONS = True


class Direct(OnThread):
    """Runs on the event loop; it never blocks, whatever it is asked."""

    NON_BLOCKING = True

    def step(self, action: Mark) -> Told:
        return self._execute(action)


class Awaited(_Kept, Environment[Mark, Told, Standing]):
    """Runs on the event loop, as coroutines."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset(self, seed: int | None = None, token: str = "", length: int = 0) -> Told:
        return self._begin(token, length)

    async def step(self, action: Mark) -> Told:
        told = self._execute(action)
        if action.nap_ms:
            await asyncio.sleep(action.nap_ms / 1000)
        if action.hang:
            await asyncio.sleep(HANG_S)
        return told

    async def state(self) -> Standing:
        return self._stand()

    async def close(self) -> None:
        self._end()


class OwnProcessInBytes(OwnProcess):
    in_bytes = True


class AwaitedInBytes(Awaited):
    in_bytes = True


class DirectInBytes(Direct):
    in_bytes = True


def _wait_for(file: Path) -> None:
    end = time.monotonic() + HANG_S
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.02)


class Player(EnvClient[Mark, Told, Standing]):
    """The client of all that answer in text."""


class PlayerInBytes(EnvClient[Mark, ToldInBytes, Standing]):
    """The client of the others."""


class OldPlayer(Player):
    """A client that speaks version 1, whose session ends with its connection."""

    def _make_link(self, base_url: str) -> Link:
        return WebSocketLink(websocket_url(base_url), self._options)


def client_of(environment: str) -> type[EnvClient]:
    """Return the client class for an environment, given its class name."""
    return PlayerInBytes if environment.endswith("InBytes") else Player
