"""What a trainer gets when a request is refused or fails: one class for each code, the environment's own words."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.toys import Add, Count, Counter, CounterEnv, Gate, Tally, gated

from openenv.client import GenericEnvClient, HTTPEnvClient
from openenv.errors import (
    BudgetExceededError,
    EnvironmentFactoryError,
    EpisodeEndedError,
    ExecutionError,
    InvalidRequestError,
    MessageTooLargeError,
    NotResetError,
    RequestError,
    SerializationError,
    SessionCapacityError,
    SessionError,
    SessionLost,
)


class CounterHTTP(HTTPEnvClient[Add, Count, Tally]):
    """The HTTP client of the counters."""


class GenericHTTP(HTTPEnvClient[dict[str, Any], dict[str, Any], dict[str, Any]]):
    """An HTTP client without classes."""


CASES: dict[str, tuple[type[RequestError], Callable[[Any], Any]]] = {
    "NOT_RESET": (NotResetError, lambda env: env.step({})),
    "EPISODE_ENDED": (EpisodeEndedError, lambda env: (env.reset(), env.step({"amount": 100}), env.step({}))),
    "VALIDATION_ERROR": (InvalidRequestError, lambda env: (env.reset(), env.step({"amount": "many"}))),
    "EXECUTION_ERROR": (ExecutionError, lambda env: (env.reset(), env.step({"trouble": "raise"}))),
    "SERIALIZATION_ERROR": (SerializationError, lambda env: (env.reset(), env.step({"trouble": "nan"}))),
}


@pytest.mark.parametrize("code", CASES)
@pytest.mark.parametrize("cls", [GenericEnvClient, GenericHTTP])
def test_each_code_is_raised_as_its_class_and_the_session_goes_on(shared_each, cls, code):
    kind, cause = CASES[code]
    with cls(shared_each(Counter).url) as env:
        with pytest.raises(kind) as caught:
            cause(env)
        assert caught.value.code == code
        assert isinstance(caught.value, RuntimeError)
        assert f"code: {code}" in str(caught.value)
        assert env.reset().observation["total"] == 0


def test_a_refused_action_names_the_fields_at_fault(shared_each):
    with GenericEnvClient(shared_each(Counter).url) as env:
        env.reset()
        with pytest.raises(InvalidRequestError, match="amount") as caught:
            env.step({"amount": "many", "strange": 1})
        assert [error["loc"] for error in caught.value.errors] == [["amount"], ["strange"]]
        assert env.state()["step_count"] == 0


@pytest.mark.parametrize("cls", [CounterEnv, CounterHTTP])
def test_the_environments_own_exception_reaches_the_trainer_by_class_name_and_message(shared_each, cls):
    with cls(shared_each(Counter).url) as env:
        env.reset()
        with pytest.raises(RuntimeError, match="no such key: 'x'") as caught:
            env.step(Add(trouble="raise"))
    error = caught.value
    assert type(error) is ExecutionError
    assert error.exception == "LookupError"
    assert error.error_id
    assert error.error_id in str(error)
    assert "Traceback" not in str(error)


def test_a_bad_seed_is_refused(shared_each):
    with CounterEnv(shared_each(Counter).url) as env:
        with pytest.raises(InvalidRequestError, match="seed"):
            env.reset(seed="abc")
        assert env.reset(seed=3).observation.total == 0


def test_an_action_that_cannot_be_sent_is_refused_before_it_is_sent(shared):
    with CounterEnv(shared(Counter).url) as env:
        env.reset()
        with pytest.raises(SerializationError, match="NaN"):
            env.step(Add(metadata={"x": float("nan")}))
        with pytest.raises(SerializationError, match="object"):
            env.reset(task=object())
        assert env.step(Add()).observation.total == 1


@pytest.mark.parametrize("cls", [CounterEnv, CounterHTTP])
def test_a_full_server_says_so_and_takes_the_client_once_there_is_room(serve_each, cls):
    url = serve_each(Counter, max_concurrent_envs=1).url
    first, second = CounterEnv(url), cls(url)
    first.reset()
    for _ in range(2):
        with pytest.raises(SessionCapacityError, match="at capacity") as caught:
            second.reset()
        assert (caught.value.active_sessions, caught.value.max_sessions) == (1, 1)
    first.close()
    assert second.reset().observation.total == 0
    second.close()


def test_a_full_server_is_told_by_the_first_call_after_connecting(serve_old):
    url = serve_old(Counter, max_concurrent_envs=1).url
    with CounterEnv(url) as first:
        first.reset()
        second = CounterEnv(url)
        second.connect()  # version 1 takes the connection, then says why it ends it
        for call in (second.state, second.reset, second.reset):
            with pytest.raises(SessionCapacityError, match="at capacity"):
                call()
        with pytest.raises(SessionError):
            second.step(Add())
        second.close()


@pytest.mark.parametrize("cls", [CounterEnv, CounterHTTP])
def test_an_environment_that_cannot_be_made_says_why(serve_each, cls):
    def make() -> Counter:
        raise LookupError("no such board")

    url = serve_each(make, action_cls=Add, observation_cls=Count).url
    env = cls(url)
    for _ in range(2):
        with pytest.raises(EnvironmentFactoryError, match="LookupError: no such board"):
            env.reset()
    env.close()


def test_a_server_that_does_not_answer_is_given_up_within_the_connect_budget():
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        env = CounterEnv(f"http://127.0.0.1:{silent.getsockname()[1]}", connect_timeout_s=0.1)
        with pytest.raises(BudgetExceededError, match="connect_timeout_s") as caught:
            env.reset()
        assert caught.value.budget == "connect"


# --- sizes --------------------------------------------------------------------------------------


@pytest.fixture
def small(serve_each, monkeypatch):
    """The address of a server that takes and sends no more than 1 MiB."""
    monkeypatch.setenv("OPENENV_MAX_MESSAGE_SIZE_MB", "1")
    return serve_each(Counter).url


def test_a_client_keeps_to_the_smaller_limit_that_the_server_tells(small):
    with CounterEnv(small) as env:
        env.reset()
        with pytest.raises(MessageTooLargeError, match=r"the limit is 1,048,576"):
            env.step(Add(metadata={"text": "x" * 2_000_000}))
        assert env.step(Add()).observation.total == 1  # it was not sent, and the session goes on


def test_an_answer_over_the_servers_limit_is_an_error_and_the_session_goes_on(small):
    with CounterEnv(small) as env:
        env.reset()
        with pytest.raises(MessageTooLargeError):
            env.step(Add(trouble="large"))
        assert env.state().total in (0, 1)


def test_an_answer_over_the_clients_own_limit_loses_the_session(serve_old):
    with CounterEnv(serve_old(Counter).url, max_message_size_mb=1) as env:
        env.reset()
        with pytest.raises(MessageTooLargeError, match="max_message_size_mb"):
            env.step(Add(trouble="large"))
        for _ in range(2):
            with pytest.raises(SessionLost, match="max_message_size_mb"):
                env.step(Add())
        assert env.reset().observation.total == 0


def test_a_step_in_another_thread_does_not_hold_up_a_second_client(serve_each):
    gate = Gate()
    url = serve_each(gated(gate)).url
    with CounterEnv(url) as one, CounterEnv(url) as two:
        one.reset()
        two.reset()
        waiting = threading.Thread(target=one.step, args=(Add(amount=0),))
        waiting.start()
        gate.wait_for(1)
        assert two.step(Add(amount=2)).observation.total == 2
        gate.open()
        waiting.join()
