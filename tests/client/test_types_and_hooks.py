"""Where a client gets its types from, and what a subclass may put in their place."""

from typing import Any

import pytest
from tests.toys import Add, Count, Counter, CounterEnv, Tally

from openenv.client import EnvClient, GenericAction, GenericEnvClient
from openenv.client.link import LinkOptions
from openenv.environment import Environment
from openenv.errors import ConfigurationError, InvalidReplyError, InvalidRequestError
from openenv.models import Action, Observation, State, StepResult

# --- unions of actions --------------------------------------------------------------------------


class Run(Action):
    """Told apart from the others by its keys."""

    code: str


class Left(Action):
    """Has the same keys as `Right`."""

    by: int = 1


class Right(Action):
    """Has the same keys as `Left`."""

    by: int = 1


class Said(Observation):
    """Which action the environment got."""

    got: str


class Mover(Environment[Run | Left | Right, Said, State]):
    """Says which class of action it got."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    NON_BLOCKING = True

    def reset(self) -> Said:
        return Said(got="reset")

    def step(self, action: Run | Left | Right) -> Said:
        return Said(got=repr(action))

    @property
    def state(self) -> State:
        return State()


class ByArguments(EnvClient[Run | Left | Right, Said, State]):
    """Types from its type arguments."""


class ByAttributes(EnvClient):
    """Types from class attributes."""

    action_types = [Run, Left, Right]  # noqa: RUF012 - as people write it
    observation_type = Said


class Inherited(ByArguments):
    """Types from its base."""


@pytest.mark.parametrize("cls", [ByArguments, ByAttributes, Inherited])
@pytest.mark.parametrize("action", [Run(code="1"), Left(), Right(), Left(by=3), Right(by=3)])
def test_each_member_of_a_union_arrives_as_what_it_is(shared, cls, action):
    with cls(shared(Mover).url) as env:
        first = env.reset()
        assert type(first.observation) is Said
        assert env.step(action).observation.got == repr(action)
        assert isinstance(env.state(), State)


def test_an_action_without_a_class_says_which_it_is_where_that_is_not_clear(shared):
    with GenericEnvClient(shared(Mover).url) as env:
        env.reset()
        assert env.step({"code": "1"}).observation["got"] == repr(Run(code="1"))
        with pytest.raises(InvalidRequestError, match='fit more than one of Left, Right; add "type"'):
            env.step({"by": 2})
        assert env.step({"type": "Right", "by": 2}).observation["got"] == repr(Right(by=2))
        with pytest.raises(InvalidRequestError, match="fit none of"):
            env.step({"nothing": 2})
        assert env.step(GenericAction(type="Left")).observation["got"] == repr(Left())


def test_a_typed_client_takes_dictionaries_as_well(shared):
    with CounterEnv(shared(Counter).url) as env:
        env.reset()
        assert env.step({"amount": 4}).observation == Count(total=4, reward=4.0)


@pytest.mark.parametrize("action", [None, 5, "amount"])
def test_what_is_no_action_is_refused_before_it_is_sent(shared, action):
    with CounterEnv(shared(Counter).url) as env:
        env.reset()
        with pytest.raises(InvalidRequestError, match="a model or a dictionary"):
            env.step(action)
        assert env.step(Add()).observation.total == 1


def test_reward_and_done_are_in_the_typed_observation_too(shared):
    with CounterEnv(shared(Counter).url) as env:
        env.reset()
        assert env.step(Add(amount=100)).observation == Count(total=100, reward=100.0, done=True)


def test_an_answer_of_other_types_says_that_client_and_server_differ(shared):
    with ByArguments(shared(Counter).url) as env, pytest.raises(InvalidReplyError, match="got: Field required"):
        env.reset()


# --- hooks --------------------------------------------------------------------------------------


class OwnForm(EnvClient[int, int, int]):
    """Sends and reads a form of its own: an action is an amount, an observation and a state are the total."""

    def _step_payload(self, action: int) -> dict[str, Any]:
        return {"amount": action}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[int]:
        return StepResult(
            observation=payload["observation"]["total"], reward=payload["reward"], done=payload["done"]
        )

    def _parse_state(self, payload: dict[str, Any]) -> int:
        return int(payload["total"])

    def add_twice(self, amount: int) -> int:
        """Take two steps and return the total; for blocking use."""
        self.step(amount)
        return self.step(amount).observation

    async def add_thrice(self, amount: int) -> int:
        """Take three steps and return the total; for async use."""
        for _ in range(2):
            await self.step(amount)
        return (await self.step(amount)).observation


@pytest.mark.parametrize("face", [lambda client: client, lambda client: client.sync()])
def test_hooks_and_methods_of_a_subclass_in_blocking_code(shared_each, face):
    with face(OwnForm(shared_each(Counter).url)) as env:
        assert env.reset().observation == 0
        result = env.step(100)
        assert (result.observation, result.reward, result.done) == (100, 100.0, True)
        assert env.state() == 100
        env.reset()
        assert env.add_twice(3) == 6


async def test_hooks_and_methods_of_a_subclass_in_async_code(shared_each):
    async with OwnForm(shared_each(Counter).url) as env:
        assert (await env.reset()).observation == 0
        assert await env.add_thrice(3) == 9
        assert await env.state() == 9


def test_an_older_subclass_that_calls_the_hooks_of_its_base(shared):
    class Older(CounterEnv):
        def _step_payload(self, action):
            return {**super()._step_payload(action), "amount": 7}

        def _parse_result(self, payload):
            result = super()._parse_result(payload)
            return result.model_copy(update={"reward": -1.0})

        def _parse_state(self, payload):
            return super()._parse_state({**payload, "step_count": 99})

    with Older(shared(Counter).url) as env:
        env.reset()
        result = env.step(Add())
        assert (result.observation.total, result.reward) == (7, -1.0)
        assert env.state().model_copy(update={"elapsed_time": None, "episode_id": None}) == Tally(
            step_count=99, total=7
        )


# --- construction -------------------------------------------------------------------------------


def test_the_constructor_takes_its_old_arguments_by_position():
    client = CounterEnv("http://localhost:1/", 1.0, 2.0, 3.0, 4.0, 5.0, None, "production", {"a": "b"})
    assert client.base_url == client._base_url == "http://localhost:1"
    assert client._ws_url == "ws://localhost:1/ws"
    assert client._ws is None
    assert client._options == LinkOptions(1.0, 2.0, 3.0, 4.0, 5.0, {"a": "b"})


def test_a_client_needs_an_address_or_a_provider():
    with pytest.raises(ConfigurationError, match="CounterEnv needs a base_url or a provider"):
        CounterEnv()


def test_an_unknown_mode_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="not 'bogus'"):
        CounterEnv("http://localhost:1", mode="bogus")
    monkeypatch.setenv("OPENENV_CLIENT_MODE", "strange")
    with pytest.raises(ValueError, match="not 'strange'"):
        CounterEnv("http://localhost:1")


def test_new_sessions_are_apart_from_one_another(shared):
    with CounterEnv(shared(Counter).url, message_timeout_s=9) as one, one.new_session() as two:
        assert type(two) is CounterEnv
        assert two._options == one._options
        one.reset()
        two.reset()
        one.step(Add(amount=5))
        assert (one.state().total, two.state().total) == (5, 0)


async def test_new_sessions_in_async_code(shared):
    async with CounterEnv(shared(Counter).url) as one, one.new_session() as two:
        await one.reset()
        await two.reset()
        await one.step(Add(amount=5))
        assert ((await one.state()).total, (await two.state()).total) == (5, 0)


def test_new_sessions_of_a_blocking_face_block(shared):
    with CounterEnv(shared(Counter).url).sync() as one:
        with one.new_session() as two:
            assert two.reset().observation.total == 0
        assert two.async_client is not one.async_client
        assert one.base_url == two.base_url
        with pytest.raises(AttributeError, match="no_such_thing"):
            _ = one.no_such_thing


def test_headers_go_with_every_request(host):
    from openenv.server.app import create_app

    seen: dict[str, str] = {}
    inner = create_app(Counter)

    async def looking(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            seen[scope["path"]] = dict(scope["headers"]).get(b"authorization", b"").decode()
        await inner(scope, receive, send)

    with CounterEnv(host.run(looking).url, headers={"Authorization": "Bearer x"}) as env:
        env.reset()
        env.schema()
        env.metadata()
        env.capacity()
    assert seen == dict.fromkeys(("/ws", "/schema", "/metadata", "/capacity"), "Bearer x")
