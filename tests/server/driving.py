"""Driving sessions directly: no transport, no web framework."""

import asyncio
import json
from typing import Any

from tests.toys import Add, Count, Counter

from openenv.mcp.actions import ActionTools
from openenv.protocol import messages as m
from openenv.server.dispatch import ask, dispatch
from openenv.server.given import as_factory, concurrency
from openenv.server.host import Reply
from openenv.server.manager import SessionManager
from openenv.server.sessions import Phase, Session

made: list[SessionManager] = []
"""All of the test that runs; cleaned up after it."""


class Moody(Counter):
    """A counter whose reset raises on request."""

    def __init__(self) -> None:
        super().__init__()
        self._start(None)

    def reset(self, trouble=""):
        if trouble:
            raise LookupError("no such level")
        return self._start(None)


def manage(env: Any, sessions: int | None = None, idle_s: float | None = None, **options: Any) -> SessionManager:
    """Return the sessions of an environment class, a factory or an instance."""
    factory, shared = as_factory(env)
    config = concurrency(env, shared, None, sessions)
    config = config.model_copy(update={"session_timeout": idle_s})
    made.append(SessionManager(factory, config, shared=shared, tools=ActionTools(Add, Count), **options))
    return made[-1]


def reset(seed: int | None = None, **options: Any) -> m.WSResetMessage:
    return m.WSResetMessage(data=m.ResetRequest(seed=seed, **options))


def step(amount: int = 1, **fields: Any) -> m.WSStepMessage[Any]:
    return m.WSStepMessage[Add](data=Add(amount=amount, **fields))


STATE = m.WSStateMessage()


async def asked(session: Session, *messages: Any) -> list[Any]:
    """Ask one thing after the other; return what each answered, an error as its code."""
    return [told(await ask(session, message)) for message in messages]


def told(reply: Reply) -> Any:
    """Return what matters of a reply: the total, the state, or the code of the error."""
    data = json.loads(reply.data)
    if reply.error is not None:
        assert data == json.loads(json.dumps(reply.error.to_wire()))
        return reply.error.code
    if reply.kind == "observation":
        return data["observation"]["total"]
    return data


class Answers:
    """Collects the replies to requests that are not waited for one by one."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.order: list[int] = []
        self.replies: dict[int, list[Any]] = {}
        self._count = 0

    def ask(self, message: Any) -> int:
        """Hand over a message and return the number under which its answers are kept."""
        number, self._count = self._count, self._count + 1
        self.replies[number] = []

        def answered(reply: Reply) -> None:
            self.order.append(number)
            self.replies[number].append(told(reply))

        dispatch(self.session, message, answered)
        return number

    def __call__(self) -> list[Any]:
        """Return all answers in the order of the questions, sure that each came once."""
        assert all(len(given) <= 1 for given in self.replies.values()), "a request was answered twice"
        return [given[0] if given else None for given in self.replies.values()]


async def until(condition: Any) -> None:
    """Wait until something holds; the test as a whole is bounded."""
    while not condition():
        await asyncio.sleep(0.001)


async def opened(manager: SessionManager, *, attached: bool = True) -> Session:
    """Open a session and wait until its environment is there."""
    session = manager.open(attached=attached)
    await until(lambda: session.phase is not Phase.CREATING)
    return session
