"""One table: every way of calling, for every kind of client, gives the same things of the same types."""

import asyncio
import concurrent.futures
import copy
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from tests.client import ways
from tests.servers import wait_until
from tests.toys import Add, Count, Counter, CounterEnv, Tally

from openenv.client import EnvClient, GenericEnvClient, HTTPEnvClient
from openenv.errors import ConnectionFailedError, EpisodeEndedError, ExecutionError, NotResetError, OpenEnvError
from openenv.models import EnvironmentMetadata, StepResult
from openenv.protocol.messages import SchemaResponse, ServerCapacityStatus


class CounterHTTP(HTTPEnvClient[Add, Count, Tally]):
    """The blocking HTTP client of the counters."""


@dataclass
class Kind:
    """What one class of clients takes and gives."""

    client: type[EnvClient]
    observation: type
    state: type
    typed: bool = True

    def action(self, **fields: Any) -> Any:
        return Add(**fields) if self.typed else fields

    def read(self, thing: Any, name: str) -> Any:
        return getattr(thing, name) if self.typed else thing[name]


KINDS = {
    "typed": Kind(CounterEnv, Count, Tally),
    "generic": Kind(GenericEnvClient, dict, dict, typed=False),
    "http": Kind(CounterHTTP, Count, Tally),
}
BLOCKING = [way.__name__ for way in ways.BLOCKING]
EACH = [(kind, way) for kind in ("typed", "generic") for way in ways.BY_NAME] + [("http", way) for way in BLOCKING]
each_way = pytest.mark.parametrize(("kind", "way"), EACH)


def is_a(answer: Any, cls: type) -> bool:
    """Whether an answer is of a class; what was used without await is not the thing, but stands for it."""
    value = answer._value() if hasattr(type(answer), "_touched") else answer
    return isinstance(value, cls)


@each_way
def test_an_episode_in_every_way(shared, kind, way):
    kind, url = KINDS[kind], shared(Counter).url

    def script(env):
        first = yield lambda: env.reset(seed=1, episode_id="e7")
        assert is_a(first, StepResult)
        assert type(first.observation) is kind.observation
        assert (kind.read(first.observation, "total"), first.reward, first.done) == (0, None, False)
        second = yield lambda: env.step(kind.action(amount=3))
        assert is_a(second, StepResult)
        assert type(second.observation) is kind.observation
        assert (kind.read(second.observation, "total"), second.reward, second.done) == (3, 3.0, False)
        state = yield lambda: env.state()
        assert is_a(state, kind.state)
        assert [kind.read(state, name) for name in ("episode_id", "step_count", "total")] == ["e7", 1, 3]
        last = yield lambda: env.step(kind.action(amount=200))
        assert (last.done, last.terminated) == (True, True)
        again = yield lambda: env.reset()
        assert kind.read(again.observation, "total") == 0
        for _ in range(2):
            closing = yield lambda: env.close()
            assert closing is None or closing == None  # noqa: E711

    ways.BY_NAME[way](kind.client(url), script)


@each_way
def test_what_the_server_says_of_itself_in_every_way(shared, kind, way):
    url = shared(Counter).url

    def script(env):
        schema = yield lambda: env.schema()
        assert is_a(schema, SchemaResponse)
        assert "amount" in schema.action["properties"]
        metadata = yield lambda: env.metadata()
        assert is_a(metadata, EnvironmentMetadata)
        assert metadata.name == "Counter"
        capacity = yield lambda: env.capacity()
        assert is_a(capacity, ServerCapacityStatus)
        assert capacity.max_sessions >= capacity.available_slots > 0
        yield lambda: env.disconnect()

    ways.BY_NAME[way](KINDS[kind].client(url), script)


@each_way
def test_errors_in_every_way(shared, kind, way):
    kind, url = KINDS[kind], shared(Counter).url

    def script(env):
        with pytest.raises(NotResetError):
            yield lambda: env.step(kind.action())
        yield lambda: env.reset()
        with pytest.raises(ExecutionError, match="no such key: 'x'") as caught:
            yield lambda: env.step(kind.action(trouble="raise"))
        assert (caught.value.exception, bool(caught.value.error_id)) == ("LookupError", True)
        state = yield lambda: env.state()  # the session goes on
        assert kind.read(state, "step_count") == 1
        yield lambda: env.step(kind.action(amount=100))
        with pytest.raises(EpisodeEndedError):
            yield lambda: env.step(kind.action())
        yield lambda: env.close()

    ways.BY_NAME[way](kind.client(url), script)


NOBODY = "http://127.0.0.1:9"


NOT_ENTERED = ("sync_not_entered", "in_a_thread_of_a_loop", "awaited_then_blocking")


def is_entered(way: str) -> bool:
    return "bare" not in way and way not in NOT_ENTERED


@pytest.mark.parametrize(("kind", "way"), [pair for pair in EACH if not is_entered(pair[1])])
def test_without_a_server_every_call_fails_in_every_way(kind, way):
    kind = KINDS[kind]

    def script(env):
        for name in ("reset", "step", "state", "schema", "metadata", "capacity", "reset"):
            given = [kind.action()] if name == "step" else []
            with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1"):
                yield lambda name=name, given=given: getattr(env, name)(*given)
        yield lambda: env.close()

    ways.BY_NAME[way](kind.client(NOBODY), script)


@pytest.mark.parametrize(("kind", "way"), [pair for pair in EACH if is_entered(pair[1])])
def test_without_a_server_entering_fails_in_every_way(kind, way):
    def script(env):
        yield lambda: env.reset()

    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1"):
        ways.BY_NAME[way](KINDS[kind].client(NOBODY), script)


# --- a bare client inside a loop ----------------------------------------------------------------


async def test_a_failed_bare_call_that_nobody_looks_at_is_raised_by_the_next_call(shared):
    client = CounterEnv(shared(Counter).url)
    await client.reset()
    unseen = client.step(Add(trouble="raise"))
    concurrent.futures.wait([unseen._future])
    with pytest.raises(ExecutionError, match="no such key"):
        client.step(Add())
    assert (await client.step(Add())).observation.total == 2  # once
    await client.close()


async def test_the_error_of_a_bare_call_is_kept_while_others_are_on_their_way(shared):
    client = CounterEnv(shared(Counter).url)
    client.reset()
    client.step(Add(trouble="raise"))
    assert client.step(Add()).observation.total == 2  # when this is there, so is the failure
    with pytest.raises(ExecutionError, match="no such key"):
        client.state()
    client.close()


async def test_closing_raises_an_error_that_nobody_has_looked_at_and_closes(serve):
    server = serve(Counter)
    client = CounterEnv(server.url)
    client.reset()
    failed = client.step(Add(trouble="raise"))
    concurrent.futures.wait([failed._future])
    with pytest.raises(ExecutionError, match="no such key"):
        client.close()
    assert await asyncio.to_thread(wait_until, lambda: server.manager.capacity().active_sessions == 0)


async def test_an_error_that_was_looked_at_is_not_raised_again(shared):
    client = CounterEnv(shared(Counter).url)
    with pytest.raises(NotResetError):
        await client.step(Add())
    failed = client.step(Add())
    with pytest.raises(NotResetError):
        str(failed.observation)
    client.reset()
    assert client.state().total == 0
    client.close()


async def test_a_bare_call_is_sent_even_if_nobody_looks_at_it(shared):
    client = CounterEnv(shared(Counter).url)
    client.reset()
    client.step(Add(amount=2))
    assert client.step(Add(amount=3)).observation.total == 5
    client.close()


async def test_after_a_first_blocking_use_calls_return_plain_results(shared):
    client = CounterEnv(shared(Counter).url)
    assert client.reset().observation.total == 0
    assert type(client.step(Add())) is StepResult
    assert (await client.step(Add())).observation.total == 2  # and can be awaited all the same
    client.close()


async def test_a_client_entered_async_refuses_to_block(shared):
    async with CounterEnv(shared(Counter).url) as client:
        with pytest.raises(OpenEnvError, match="entered async"):
            client.sync()


async def test_a_blocking_client_can_be_entered_async_afterwards(shared):
    client = CounterEnv(shared(Counter).url)
    assert client.reset().observation.total == 0
    async with client as env:
        assert (await env.step(Add())).observation.total == 1


def test_a_client_of_a_closed_loop_says_so(shared):
    client = CounterEnv(shared(Counter).url)

    async def enter() -> None:
        await client.connect()
        await client.close()

    asyncio.run(enter())

    async def use() -> None:
        await client.reset()

    with pytest.raises(OpenEnvError, match="event loop that is closed"):
        asyncio.run(use())


def test_a_copy_of_the_blocking_face_is_a_face_of_the_same_client(shared):
    with CounterEnv(shared(Counter).url).sync() as env:
        env.reset()
        twin = copy.copy(env)
        assert twin.async_client is env.async_client
        assert twin.step(Add(amount=2)).observation.total == 2
    assert not hasattr(type(env).__new__(type(env)), "anything")


def test_the_blocking_face_cannot_be_pickled_and_says_so(shared):
    with CounterEnv(shared(Counter).url).sync() as env, pytest.raises((TypeError, pickle.PicklingError)):
        pickle.dumps(env)


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
async def test_a_copy_of_an_answer_that_is_on_its_way_is_a_copy_of_the_answer(shared, twin):
    client = CounterEnv(shared(Counter).url)
    result = client.reset()
    other = twin(result)
    assert type(other) is StepResult
    assert other == result
    client.close()
