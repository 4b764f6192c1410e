"""All sessions of a server: capacity, the default session, idle ends, shutdown, what is described."""

import asyncio
import logging
import time

import pytest
from tests import shapes
from tests.server.driving import Answers, asked, manage, opened, reset, step, until
from tests.toys import AsyncCounter, Counter, Gate, InlineCounter, gated

from openenv.errors import (
    ConcurrencyConfigurationError,
    ConfigurationError,
    EnvironmentFactoryError,
    SessionCapacityError,
    SessionLost,
    SessionNotFoundError,
)
from openenv.models import EnvironmentMetadata
from openenv.server import manager as managers
from openenv.server.budgets import Budgets
from openenv.server.given import as_factory
from openenv.server.sessions import Phase


class Alone(Counter):
    SUPPORTS_CONCURRENT_SESSIONS = False


async def test_a_session_over_the_capacity_is_refused_with_what_to_do():
    manager = manage(Counter, sessions=2)
    first, _second = manager.open(), manager.open()
    with pytest.raises(SessionCapacityError, match="2/2 sessions active") as refused:
        manager.open()
    assert (refused.value.active_sessions, refused.value.max_sessions) == (2, 2)
    assert refused.value.retry_after > 0
    assert manager.capacity().is_at_capacity
    first.end()
    await until(lambda: not manager.capacity().is_at_capacity)
    await asked(manager.open(), reset())


@pytest.mark.parametrize("counter", [Counter, InlineCounter, AsyncCounter])
async def test_slots_are_free_again_after_any_number_of_sessions(counter):
    manager = manage(counter, sessions=3)
    for _ in range(20):
        session = await opened(manager)
        await asked(session, reset(), step())
        session.end()
        await until(lambda: manager.capacity().active_sessions == 0)
    assert manager.sessions() == []


async def test_a_failing_constructor_does_not_keep_its_slot():
    class Unbuildable(Alone):
        def __init__(self) -> None:
            raise OSError("no board")

    manager = manage(Unbuildable)
    for _ in range(3):
        answers = Answers(manager.open())
        answers.ask(reset())
        await until(lambda: manager.capacity().active_sessions == 0)
        assert answers() == ["FACTORY_ERROR"]


async def test_a_step_that_never_ends_keeps_its_slot_for_the_grace_time_at_most(monkeypatch):
    monkeypatch.setattr(managers, "CLOSE_GRACE_S", 0.05)
    gate = Gate()
    manager = manage(gated(gate), sessions=2)
    session = await opened(manager)
    await asked(session, reset())
    Answers(session).ask(step(0))
    await asyncio.to_thread(gate.wait_for, 1)
    session.end()
    assert manager.capacity().active_sessions == 1
    await until(lambda: manager.capacity().active_sessions == 0)
    gate.open()


async def test_the_only_session_of_an_environment_is_not_replaced_while_its_last_step_runs(monkeypatch):
    monkeypatch.setattr(managers, "CLOSE_GRACE_S", 0.0)
    gate = Gate()
    manager = manage(gated(gate, SUPPORTS_CONCURRENT_SESSIONS=False))
    session = await opened(manager)
    await asked(session, reset())
    Answers(session).ask(step(0))
    await asyncio.to_thread(gate.wait_for, 1)
    session.end()
    for _ in range(10):  # a timer of no time would have gone off by now
        await asyncio.sleep(0)
    with pytest.raises(SessionCapacityError):
        manager.open()
    gate.open()
    await until(lambda: manager.capacity().active_sessions == 0)


async def test_a_session_is_found_by_its_id_until_it_ends():
    manager = manage(Counter)
    session = await opened(manager)
    assert manager.get(session.id) is session
    session.end()
    with pytest.raises(SessionNotFoundError, match=session.id):
        manager.get(session.id)
    with pytest.raises(SessionNotFoundError, match="closed, has expired"):
        manager.get("never was")


async def test_the_reason_of_a_session_that_did_not_end_by_its_user_is_kept_for_a_while(monkeypatch):
    monkeypatch.setattr(managers, "ENDS_KEPT", 2)
    manager = manage(Counter)
    sessions = [await opened(manager) for _ in range(4)]
    for number, session in enumerate(sessions[:3]):
        session.end(SessionLost(f"reason {number}"))
    sessions[3].end()
    for number in (1, 2):
        with pytest.raises(SessionLost, match=f"reason {number}"):
            manager.get(sessions[number].id)
    for forgotten in (sessions[0], sessions[3]):
        with pytest.raises(SessionNotFoundError):
            manager.get(forgotten.id)


async def test_the_default_session_is_one_and_counts_and_is_made_anew_when_it_ended():
    manager = manage(Alone)
    session = manager.default()
    assert manager.default() is session
    assert manager.capacity().active_sessions == 1
    assert await asked(session, reset(), step(2)) == [0, 2]
    with pytest.raises(SessionCapacityError):
        manager.open()
    session.end()
    await until(lambda: manager.capacity().active_sessions == 0)
    assert manager.default() is not session
    assert await asked(manager.default(), step()) == ["NOT_RESET"]


# --- idle sessions --------------------------------------------------------------------------------


async def test_a_session_without_requests_ends_after_its_idle_time():
    told = []
    manager = manage(Counter, idle_s=0.05)
    started = time.monotonic()
    session = manager.open(on_end=told.append)
    await until(lambda: session.phase is Phase.CLOSED)
    assert time.monotonic() - started >= 0.05
    assert [error.code for error in told] == ["SESSION_LOST"]
    assert "no request for 0.05 s (idle budget)" in told[0].message
    await until(lambda: manager.capacity().active_sessions == 0)


async def test_requests_keep_a_session_alive():
    manager = manage(Counter, idle_s=60)
    session = await opened(manager)
    pass_time(manager, session, 59)
    assert session.phase is Phase.READY
    await asked(session, reset())
    pass_time(manager, session, 59)
    assert session.phase is Phase.RUNNING
    pass_time(manager, session, 2)
    assert session.phase is Phase.CLOSED


async def test_a_busy_session_is_not_idle():
    gate = Gate()
    manager = manage(gated(gate), idle_s=60)
    session = await opened(manager)
    await asked(session, reset())
    answers = Answers(session)
    answers.ask(step(0))
    await asyncio.to_thread(gate.wait_for, 1)
    pass_time(manager, session, 600)
    assert session.phase is Phase.RUNNING
    gate.open()
    await until(lambda: answers() == [0])
    pass_time(manager, session, 59)
    assert session.phase is Phase.RUNNING


def pass_time(manager, session, seconds: float) -> None:
    """Let so much time go by for a session, and the manager look at it."""
    session.last_activity -= seconds
    manager._look()


async def test_only_sessions_that_nobody_holds_end_by_themselves():
    manager = manage(Counter, budgets=Budgets(unattached=0.05))
    held, loose = manager.open(), manager.open(attached=False)
    await until(lambda: loose.phase is Phase.CLOSED)
    await until(lambda: held.phase is Phase.READY)


# --- shutdown -------------------------------------------------------------------------------------


async def test_shutdown_ends_all_sessions_with_a_reason_and_waits_for_their_environments():
    closed, told = [], []

    class Closing(Counter):
        def close(self):
            time.sleep(0.02)
            closed.append(1)

    manager = manage(Closing)
    sessions = [manager.open(on_end=told.append) for _ in range(3)]
    for session in sessions:
        await asked(session, reset())
    await manager.close()
    assert closed == [1, 1, 1]
    assert {error.message for error in told} == {"The server is shutting down"}
    assert manager.capacity().active_sessions == 0


async def test_shutdown_does_not_wait_for_ever():
    gate = Gate()
    manager = manage(gated(gate))
    session = await opened(manager)
    await asked(session, reset())
    answers = Answers(session)
    answers.ask(step(0))
    await asyncio.to_thread(gate.wait_for, 1)
    started = time.monotonic()
    await manager.close(grace_s=0.05)
    assert time.monotonic() - started < 5
    assert answers() == ["SESSION_LOST"]
    gate.open()


# --- what can be given as an environment ----------------------------------------------------------


async def test_an_instance_is_shared_one_session_at_a_time_and_not_closed():
    class Closing(Counter):
        closed = 0

        def close(self):
            self.closed += 1

    instance = Closing()
    manager = manage(instance)
    for total in (3, 5):
        session = await opened(manager)
        assert await asked(session, reset(), step(total)) == [0, total]
        assert instance.tally.total == total
        with pytest.raises(SessionCapacityError):
            manager.open()
        session.end()
        await until(lambda: manager.capacity().active_sessions == 0)
    assert instance.closed == 0


async def test_a_factory_makes_each_session_its_own_environment():
    made = []

    def factory():
        made.append(Counter())
        return made[-1]

    manager = manage(factory, sessions=2)
    first, second = await opened(manager), await opened(manager)
    await asked(first, reset(), step(3))
    await asked(second, reset(), step(5))
    assert [environment.tally.total for environment in made] == [3, 5]


@pytest.mark.parametrize("env", [5, "text", None, {}], ids=repr)
def test_what_is_no_environment_is_refused(env):
    with pytest.raises(ConfigurationError, match="class, a function that makes one, or an instance"):
        as_factory(env)


def test_a_class_with_missing_methods_is_refused_by_their_names():
    with pytest.raises(ConfigurationError, match="Half does not define state"):
        as_factory(type("Half", (managers.Environment,), {"reset": len, "step": len}))
    with pytest.raises(ConfigurationError, match=r"has no step\(\)"):
        as_factory(type("Lacking", (), {"reset": len}))


def test_more_sessions_than_the_environment_can_serve_are_refused_with_the_reason():
    with pytest.raises(ConcurrencyConfigurationError, match="set SUPPORTS_CONCURRENT_SESSIONS = True"):
        manage(Alone, sessions=2)
    with pytest.raises(ConcurrencyConfigurationError, match="one instance is shared; give the class"):
        manage(Counter(), sessions=2)


@pytest.mark.parametrize(
    ("env", "sessions"), [(Counter, 128), (Alone, 1), (Counter(), 1), (lambda: Counter(), 128)]
)
def test_how_many_sessions_there_are_by_default(env, sessions):
    assert manage(env).config.max_concurrent_envs == sessions


# --- what is described ----------------------------------------------------------------------------


async def test_the_name_and_first_line_of_the_docstring_describe_a_class():
    described = await manage(AsyncCounter).describe()
    assert described.name == "AsyncCounter"
    assert described.description == "Runs on the event loop, as coroutines."
    assert (await manage(Counter, name="mine").describe()).name == "mine"
    assert (await manage(shapes.SyncObservation).describe()).description == "SyncObservation environment"


async def test_an_environment_that_describes_itself_is_asked():
    made = []

    class Described(Alone):
        def __init__(self) -> None:
            made.append(self)

        def get_metadata(self):
            return EnvironmentMetadata(name="d", description="said itself", readme_content="# D")

    manager = manage(Described)
    assert (await manager.describe()).description == "said itself"
    assert (await manager.describe()).readme_content == "# D"
    assert len(made) == 1
    assert manager.capacity().active_sessions == 0

    served = manage(Described)
    await opened(served)
    assert (await served.describe()).description == "said itself"
    assert len(made) == 2


async def test_a_constructor_that_fails_cannot_be_asked(caplog):
    class Unbuildable(Counter):
        def __init__(self) -> None:
            raise OSError("no board")

        def get_metadata(self):
            raise AssertionError("never made")

    with caplog.at_level(logging.ERROR), pytest.raises(EnvironmentFactoryError, match="no board"):
        await manage(Unbuildable).describe()
    with pytest.raises(EnvironmentFactoryError) as hidden:
        await manage(Unbuildable, mode="production").describe()
    assert "board" not in hidden.value.message
