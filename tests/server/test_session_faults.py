"""What goes wrong in an environment: told once, logged with its traceback, and the session goes on."""

import asyncio
import json
import logging

import pytest
from tests.server.driving import Moody, asked, manage, opened, reset, step, told
from tests.toys import Add, AsyncCounter, Counter, InlineCounter

from openenv.errors import InvalidRequestError
from openenv.models import Observation, StepResult
from openenv.server.dispatch import ask


class Hostile(Exception):
    def __str__(self) -> str:
        raise SystemExit("even this")


class Raising(Counter):
    """Raises what it is told to."""

    error: BaseException = LookupError("no such key")

    def step(self, action):
        if action.amount == 0:
            raise self.error
        return super().step(action)


class RaisingInline(Raising):
    NON_BLOCKING = True


class RaisingAsync(AsyncCounter):
    error: BaseException = LookupError()

    async def step(self, action):
        if action.amount == 0:
            raise self.error
        return await super().step(action)


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (LookupError("no such key: 'x'"), "LookupError", "LookupError: no such key: 'x'"),
        (SystemExit(3), "SystemExit", "3"),
        (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt"),
        (Hostile(), "Hostile", "Hostile: (its message could not be read)"),
        (asyncio.CancelledError(), "CancelledError", "CancelledError"),
        (StopIteration(), "StopIteration", "StopIteration"),
        (ExceptionGroup("several", [ValueError("a")]), "ExceptionGroup", "several"),
        (type("Ünusual", (Exception,), {})("ä"), "Ünusual", "Ünusual: ä"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("environment", [Raising, RaisingInline, RaisingAsync])
async def test_whatever_a_step_raises_is_told_and_the_session_goes_on(environment, error, name, message, caplog):
    session = await opened(manage(type("Env", (environment,), {"error": error})))
    await asked(session, reset(), step(2))
    reply = await ask(session, step(0))
    assert reply.error.code == "EXECUTION_ERROR"
    assert message in reply.error.message
    wrapped = environment is RaisingAsync and name in ("SystemExit", "KeyboardInterrupt", "StopIteration")
    assert reply.error.exception == ("RuntimeError" if wrapped else name)
    json.loads(reply.data)
    assert await asked(session, step(3)) == [5]


async def test_a_message_that_is_no_text_in_any_encoding_is_told_as_far_as_it_is(caplog):
    caplog.set_level(logging.CRITICAL, "openenv.server")  # the same text would break the report of this test
    session = await opened(manage(type("Env", (Raising,), {"error": ValueError("lone \ud800")})))
    await asked(session, reset())
    reply = await ask(session, step(0))
    assert json.loads(reply.data)["message"] == "ValueError: lone \\ud800"
    assert await asked(session, step(3)) == [3]


async def test_the_traceback_is_in_the_log_under_the_id_and_not_in_the_answer(caplog):
    session = await opened(manage(Raising))
    await asked(session, reset())
    with caplog.at_level(logging.ERROR, "openenv.server"):
        reply = await ask(session, step(0))
    [record] = caplog.records
    assert reply.error.error_id in record.getMessage()
    assert session.id in record.getMessage()
    assert record.exc_info[1] is Raising.error
    assert b"Traceback" not in reply.data
    assert b".py" not in reply.data


async def test_a_server_may_keep_class_and_message_to_itself():
    session = await opened(manage(Raising, mode="production"))
    await asked(session, reset())
    reply = await ask(session, step(0))
    assert reply.error.message == "The environment failed in step"
    assert reply.error.exception is None
    assert reply.error.error_id


@pytest.mark.parametrize("environment", [Raising, RaisingInline, RaisingAsync])
async def test_an_environment_may_refuse_an_action_as_the_agents_fault(environment, caplog):
    refusal = InvalidRequestError("a king does not jump")
    session = await opened(manage(type("Env", (environment,), {"error": refusal}), mode="production"))
    await asked(session, reset(), step(2))
    reply = await ask(session, step(0))
    assert (reply.error.code, reply.error.message) == ("VALIDATION_ERROR", "a king does not jump")
    assert reply.error.outcome.status == "policy_fault"
    assert session.info().step_count == 1
    assert await asked(session, step(3)) == [5]
    assert not caplog.records


async def test_a_reset_that_fails_leaves_no_episode():
    session = await opened(manage(Moody))
    await asked(session, reset(), step(3))
    before = session.info()
    assert await asked(session, reset(trouble="raise"), step(1)) == ["EXECUTION_ERROR", "NOT_RESET"]
    assert before.episode_id is not None
    assert session.info().episode_id is None
    assert session.info().step_count == 0


@pytest.mark.parametrize("returned", [None, {"total": 1}, (1, 2), StepResult], ids=repr)
async def test_a_step_that_returns_something_else_is_an_error_that_says_what_to_return(returned):
    class Wrong(Counter):
        def step(self, action):
            return returned

    session = await opened(manage(Wrong))
    await asked(session, reset())
    reply = await ask(session, step())
    assert reply.error.code == "EXECUTION_ERROR"
    assert "return an Observation or a StepResult" in reply.error.message


async def test_an_observation_that_breaks_the_serialiser_does_not_break_the_session():
    class Breaks(Observation):
        def __getattribute__(self, name):
            if name == "done":
                raise SystemExit("from an attribute")
            return super().__getattribute__(name)

    class Environment(InlineCounter):
        def step(self, action):
            return Breaks() if action.amount == 0 else super().step(action)

    session = await opened(manage(Environment))
    await asked(session, reset())
    assert await asked(session, step(0)) == ["EXECUTION_ERROR"]
    reply = session.step_now(1, Add(amount=0))
    assert reply is not None
    assert told(reply) == "EXECUTION_ERROR"
    assert await asked(session, step(2)) == [2]
