"""A model that plays episodes: what it is told, how it acts, and what comes of what goes wrong."""

import asyncio
import json
from typing import Any

import pytest
from tests.doubles.chat_endpoint import Call, ChatEndpointDouble, Mishap

from openenv.environment import Environment
from openenv.errors import ConfigurationError, EndpointError
from openenv.evals import Conversation, NamedPolicy, RandomPolicy, Report, Task, evaluate, plan
from openenv.llm import ChatEndpoint, Patience, Reply, ToolCall
from openenv.mcp import MCPEnvironment, tool
from openenv.models import Action, Observation, State
from openenv.rollouts import Episodes

QUICK = Patience(first_pause_s=0.001, longest_pause_s=0.01, timeout_s=20.0)


class AddAction(Action):
    amount: int


class Total(Observation):
    total: int


class Ten(Environment[AddAction, Total, State]):
    """Reach ten from the seed; above it nothing is won. An amount of 13 breaks it."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int = 0, breaks: bool = False) -> Total:
        if breaks:
            raise RuntimeError("broken on purpose")
        self.total = seed
        return Total(total=seed)

    def step(self, action: AddAction) -> Total:
        if action.amount == 13:
            raise RuntimeError("broken on purpose")
        self.total += action.amount
        return Total(total=self.total, reward=float(self.total == 10), done=self.total >= 10)

    @property
    def state(self) -> State:
        return State()


class Shop(MCPEnvironment):
    """Buy three apples."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None) -> Observation:
        self.apples = 0
        return Observation()

    @tool
    def buy(self, count: int = 1) -> int:
        """Buy apples."""
        self.apples += count
        if self.apples >= 3:
            self.end_episode(reward=float(self.apples == 3))
        return self.apples

    @property
    def state(self) -> State:
        return State()


def last(body: dict[str, Any]) -> str:
    """Return what the model was told last."""
    return str(body["messages"][-1]["content"])


def adds(body: dict[str, Any]) -> Any:
    """Play `Ten` well: by tools if there are any, else by words."""
    if "tools" in body:
        return Call("add", {"amount": 10 - int(json.loads(last(body))["total"])})
    return f"I add {10 - int(json.loads(last(body))['total'])}"


class Table:
    """An environment that is served, a model that plays it, and what came of it."""

    def __init__(self, host, url: str, say: Any) -> None:
        self.double = ChatEndpointDouble(say)
        self.server = host.run(self.double)
        self.url = url

    async def play(self, *tasks: Task, concurrency: int = 8, sampling=None, **options: Any) -> Report:
        report = Report()
        with Episodes(self.url, timeout_s=20.0) as episodes:
            async with ChatEndpoint(self.server.url, patience=QUICK, sampling=sampling) as model:
                schema = (await asyncio.to_thread(self._schema)).action
                self.player = Conversation(model, episodes, schema, **options)
                await evaluate(self.player, tasks or [Task("ten")], concurrency, report.episodes.append)
        return report

    def _schema(self) -> Any:
        from openenv.client import GenericEnvClient

        return GenericEnvClient(base_url=self.url).schema()


@pytest.fixture
def table(host, shared):
    made = []

    def lay(say, environment=Ten):
        made.append(Table(host, shared(environment).url, say))
        return made[-1]

    yield lay
    for one in made:
        one.server.stop(wait=False)


async def test_a_model_calls_the_actions_of_an_environment_as_tools(table):
    laid = table(adds)
    report = await laid.play(*plan("ten", range(8), 16))
    assert [one.reward for one in report.episodes] == [1.0] * 16
    assert {(one.status, one.turns, one.invalid) for one in report.episodes} == {("terminated", 1, 0)}
    system, user = laid.double.requests[0]["messages"]
    assert system["role"] == "system"
    assert json.loads(user["content"]).keys() == {"total"}
    assert laid.double.requests[0]["tools"][0]["function"]["name"] == "add"
    assert 1 < laid.double.busiest <= 8


async def test_one_that_takes_no_tools_is_asked_for_words(table):
    def say(body):
        return Mishap(400, b'{"message": "tools are not enabled"}') if "tools" in body else adds(body)

    laid = table(say)
    report = await laid.play(*plan("ten", range(8), 16))
    assert [one.reward for one in report.episodes] == [1.0] * 16
    assert not laid.player.uses_tools
    assert "amount" in laid.double.requests[-1]["messages"][0]["content"]


@pytest.mark.parametrize("trouble", [Mishap(500, b"out of memory"), Mishap(400, b"not now")])
async def test_an_endpoint_that_has_taken_tools_and_fails_is_a_fault_of_its_episode_alone(table, trouble):
    def say(body):
        return trouble if len(body["messages"]) == 2 and '"total":3' in last(body) else adds(body)

    laid = table(say)
    report = await laid.play(*plan("ten", range(6), 6), concurrency=1)
    assert [one.reward for one in report.episodes] == [1.0, 1.0, 1.0, None, 1.0, 1.0]
    assert all("tools" in body for body in laid.double.requests)
    assert laid.player.uses_tools


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (Mishap(500, b'{"message": "Tool use is not implemented"}'), True),
        (Mishap(501, b"no function calling here"), True),
        (Mishap(500, b"out of memory"), False),
        (Mishap(503, b"loading the model"), False),
    ],
)
async def test_an_endpoint_that_breaks_at_first_takes_no_tools_only_if_it_says_so(table, trouble, words):
    laid = table(lambda body: trouble if "tools" in body else adds(body))
    (one,) = (await laid.play()).episodes
    assert (one.reward, laid.player.uses_tools) == ((1.0, False) if words else (None, True))


async def test_an_episode_that_began_with_tools_goes_on_with_them_whatever_others_find_out(shared):
    begun, refused, asked = asyncio.Event(), asyncio.Event(), []

    class Model:
        """Takes the tools of seed 0, but not before those of seed 1 were refused."""

        async def complete(self, messages, tools=()):
            first = json.loads(messages[1]["content"])["total"] == 0
            asked.append((first, bool(tools)))
            if first:
                begun.set()
                await refused.wait()
                return Reply("", (ToolCall("1", "add", {"amount": 5}),))
            if tools:
                await begun.wait()
                raise EndpointError("HTTP 400: no tools", status=400)
            asyncio.get_running_loop().call_soon(refused.set)  # when this answer is with who asked
            return Reply('{"amount": 9}')

    schema = {"properties": {"amount": {"type": "integer"}}}
    with Episodes(shared(Ten).url, timeout_s=20.0) as episodes:
        player = Conversation(Model(), episodes, schema)
        one, other = await asyncio.gather(player.play(Task("ten", 0)), player.play(Task("ten", 1)))
    assert (one.reward, one.turns, other.reward) == (1.0, 2, 1.0)
    assert sorted(asked) == [(False, False), (False, True), (True, True), (True, True)]


async def test_whether_it_is_to_use_tools_can_be_said(table):
    laid = table(adds)
    await laid.play(tools=False)
    assert "tools" not in laid.double.requests[0]
    laid = table(lambda body: Mishap(400, b"no tools") if "tools" in body else adds(body))
    (one,) = (await laid.play(tools=True)).episodes
    assert (one.status, one.cause, one.reward) == ("infra_fault", "endpoint_refused", None)


async def test_tools_of_its_own_are_called_too_and_told_of_in_words(table):
    laid = table(lambda body: Call("buy", {"count": 1}), Shop)
    (one,) = (await laid.play(Task("shop"))).episodes
    assert (one.reward, one.turns) == (1.0, 3)
    assert [m["content"] for m in laid.double.requests[-1]["messages"] if m["role"] == "tool"] == ["1", "2"]
    laid = table(lambda body: '{"type": "call_tool", "tool_name": "buy", "arguments": {"count": 3}}', Shop)
    (one,) = (await laid.play(Task("shop"), tools=False)).episodes
    assert one.reward == 1.0
    assert '"name": "buy"' in laid.double.requests[0]["messages"][0]["content"]


async def test_what_is_no_action_is_told_to_the_model_and_costs_it_a_turn(table):
    said = iter(
        [
            Call("nope"),
            Call("add", "{broken"),
            Call("add", {"amount": "many"}),
            "I would rather talk",
            Call("add", {"amount": 10}),
        ]
    )
    laid = table(lambda body: next(said))
    (one,) = (await laid.play()).episodes
    assert (one.reward, one.turns, one.invalid) == (1.0, 1, 4)
    told = [m["content"] for m in laid.double.requests[-1]["messages"] if m["role"] in ("tool", "user")][1:]
    assert "There is no tool 'nope'" in told[0]
    assert "not JSON" in told[1]
    assert "amount" in told[2]
    assert told[3] == "Call one of the tools: add"


async def test_what_does_not_end_is_cut_off_with_the_reward_it_has(table):
    (one,) = (await table(lambda body: Call("add", {"amount": 0})).play(max_turns=5)).episodes
    assert (one.status, one.cause, one.turns, one.reward) == ("truncated", "max_turns", 5, 0.0)


async def test_a_conversation_that_is_too_long_is_cut_off(table):
    def say(body):
        full = len(body["messages"]) > 4
        said = b'{"error": {"message": "This model\'s maximum context length is 64 tokens"}}'
        return Mishap(400, said) if full else Call("add", {"amount": 1})

    (one,) = (await table(say).play()).episodes
    assert (one.status, one.cause, one.turns) == ("truncated", "context_full", 2)


async def test_an_endpoint_that_fails_is_a_fault_of_its_episode_alone(table):
    def say(body):
        return Mishap(200, b"<html>") if json.loads(last(body))["total"] == 3 else adds(body)

    report = await table(say).play(*plan("ten", range(5), 5))
    assert {one.seed: (one.reward, one.cause) for one in report.episodes} == {
        **dict.fromkeys((0, 1, 2, 4), (1.0, "none")),
        3: (None, "endpoint_nonsense"),
    }
    assert report.summary()["reward"]["value"] == 1.0


async def test_an_environment_that_breaks_is_a_fault_of_its_episode_alone(table):
    laid = table(lambda body: Call("add", {"amount": 13}) if '"total":4' in last(body) else adds(body))
    report = await laid.play(*plan("ten", range(5), 5), Task("ten", 9, options={"breaks": True}))
    broken = {one.seed: one for one in report.episodes if one.is_fault}
    assert broken.keys() == {4, 9}
    assert {(one.reward, one.cause) for one in broken.values()} == {(None, "environment_error")}
    assert "broken on purpose" in broken[4].detail


async def test_what_was_said_can_be_kept(table):
    laid = table(adds)
    heard = []
    await laid.play(overhear=lambda *told: heard.append(told), prompt="Add up to ten.")
    ((result, messages),) = heard
    assert result.reward == 1.0
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "tool"]
    assert messages[0]["content"] == "Add up to ten."


async def test_chance_plays_by_the_schema_or_by_what_is_legal(shared):
    with Episodes(shared(Ten).url) as episodes:
        schema = {"properties": {"amount": {"type": "integer"}}, "required": ["amount"], "type": "object"}
        one = await RandomPolicy(episodes, schema, max_turns=50).play(Task("ten", 1))
        again = await RandomPolicy(episodes, schema, max_turns=50).play(Task("ten", 1))
    assert one.status == "terminated"
    assert (one.reward, one.turns) == (again.reward, again.turns)


async def test_a_policy_that_is_a_function_plays_on_a_blocking_client(shared):
    from openenv.client import EnvClient

    class TenEnv(EnvClient[AddAction, Total, State]):
        pass

    def oracle(env, seed=0):
        total = env.reset(seed=seed).observation.total
        return env.step(AddAction(amount=10 - total)).reward

    def breaks(env, **reset):
        env.reset(**reset)
        env.step(AddAction(amount=13))

    url = shared(Ten).url
    one = await NamedPolicy(oracle, TenEnv, url, {"breaks": False}).play(Task("ten", 4))
    assert (one.reward, one.turns, one.status) == (1.0, 1, "terminated")
    one = await NamedPolicy(breaks, TenEnv, url).play(Task("ten", 4))
    assert (one.reward, one.status, one.cause) == (None, "infra_fault", "environment_error")


async def test_a_player_that_is_wrong_ends_the_run_with_what_it_raised():
    class Wrong:
        async def play(self, task):
            raise ConfigurationError("wrong on purpose")

    with pytest.raises(ConfigurationError, match="on purpose"):
        await evaluate(Wrong(), plan("e", [0], 4), 2, lambda one: None)
