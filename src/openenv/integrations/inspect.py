"""Any environment as a task of Inspect AI.

The environment decides what a sample is told and which tools it has, and only at its reset; so the task's setup
does the reset, and any solver may follow it. What breaks is an error of its sample, which has no score; Inspect's
own `retry_on_error` tries it again. What nothing graded is kept as unscored. Neither is ever a 0.

Sessions go back at the end of their sample, to be used by the next, and are ended with the run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.integrations import needs

with needs("inspect_ai", "inspect"):
    from inspect_ai import Task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.hooks import Hooks, RunEnd, hooks
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser
    from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
    from inspect_ai.solver import Generate, Solver, TaskState, solver
    from inspect_ai.tool import Tool, ToolDef, ToolError, ToolParams

from openenv.errors import ConfigurationError, OpenEnvError
from openenv.mcp.types import Tool as EnvironmentTool
from openenv.rollouts import Episode, Episodes, Turn, action_of, text_of

if TYPE_CHECKING:
    from openenv.client import EnvClient
    from openenv.providers import Provider

__all__ = ["EpisodeFault", "openenv_task", "play", "reward"]

PROMPT = "You act in an environment, one action at a time, until the episode is over."
BY_TOOLS = "Each of your actions is a call of a tool. Call one tool in each of your answers."


class EpisodeFault(OpenEnvError, RuntimeError):
    """Something broke in the environment of a sample that the model can not have caused."""

    code = "EPISODE_FAULT"


def openenv_task(
    where: str | Provider | Sequence[str | Provider],
    rows: Iterable[Mapping[str, Any]] = ({},),
    *,
    client_class: type[EnvClient[Any, Any, Any]] | None = None,
    tools: bool = True,
    prompt: str | None = None,
    max_turns: int = 32,
    solver: Solver | list[Solver] | None = None,
    timeout_s: float = 60.0,
    wait_s: float = 600.0,
    **task_options: Any,
) -> Task:
    """Return a task whose samples are episodes of an environment.

    ```python
    @task
    def blackjack():
        return openenv_task("http://localhost:8000", [{"seed": seed} for seed in range(100)])
    ```

    Args:
        where: Address of a server, a provider, or a list of either.
        rows: A sample for each: the arguments of its reset.
        client_class: Of the clients; by default one that knows no types.
        tools: Whether the model acts by calling tools, the environment's own or its action types. Otherwise it acts
            by words, which `openenv.rollouts.action_of` understands; that takes `play` as the solver.
        prompt: What the model is told first; empty for nothing.
        max_turns: Replies of the model after which `play` gives an episode up, with the reward it has.
        solver: In place of `play`: anything that calls the tools, such as an agent.
        timeout_s: Seconds that a reset or step may take.
        wait_s: Seconds that a sample waits for a free session.
        **task_options: Those of `Task`, such as `name`, `epochs` or `fail_on_error`; the last is False by default,
            so that a sample that broke ends nothing but itself.

    Raises:
        ConfigurationError: There is no row, or nowhere to play.
    """
    samples = [
        Sample(id=number, input="Begin.", metadata={"reset": dict(row)}) for number, row in enumerate(rows, start=1)
    ]
    if not samples:
        raise ConfigurationError("A task needs at least one row")
    episodes = Episodes(where, client_class, timeout_s=timeout_s, wait_s=wait_s)
    table = _Table(episodes)
    told = PROMPT + (f"\n\n{BY_TOOLS}" if tools else "") if prompt is None else prompt
    return Task(
        dataset=MemoryDataset(samples, name=task_options.get("name", "openenv")),
        setup=_begin(table, tools, told),
        solver=solver or play(table, tools, max_turns),
        cleanup=table.clear,
        scorer=reward(table),
        **{"fail_on_error": False, **task_options},
    )


@dataclass
class _Seat:
    """The episode of a sample, and what became of it last."""

    episode: Episode
    state: TaskState
    tools: list[EnvironmentTool]
    last: Turn


class _Table:
    """The episodes of the samples that are being played."""

    def __init__(self, episodes: Episodes) -> None:
        self.episodes = episodes
        self._seats: dict[str, _Seat] = {}

    async def begin(self, state: TaskState) -> _Seat:
        """Begin the episode of a sample."""
        _to_close.add(self)
        episode, reset = self.episodes.begin(**state.metadata["reset"])
        seat = self._seats[state.uuid] = _Seat(episode, state, [], Turn())
        seat.last = await asyncio.wrap_future(reset)
        if not seat.last.done:
            seat.tools = await asyncio.wrap_future(episode.tools())
        return self.sound(seat)

    def of(self, state: TaskState) -> _Seat:
        """Return the seat of a sample.

        Raises:
            EpisodeFault: Something broke in its episode.
        """
        return self.sound(self._seats[state.uuid])

    @staticmethod
    def sound(seat: _Seat) -> _Seat:
        """Return the seat, if nothing broke."""
        if seat.episode.fault:
            raise EpisodeFault(f"{seat.episode.outcome.cause.value}: {seat.episode.fault}")
        return seat

    async def clear(self, state: TaskState) -> None:
        """Give the session of a sample back; called by Inspect at its end, however it came out."""
        seat = self._seats.pop(state.uuid, None)
        if seat is not None:
            await asyncio.wrap_future(seat.episode.end())


_to_close: set[_Table] = set()


@hooks(name="openenv", description="Ends the sessions of environments with the run")
class _Closing(Hooks):
    """Ends the sessions of a run; a task that is run again opens new ones."""

    def enabled(self) -> bool:
        return bool(_to_close)

    async def on_run_end(self, data: RunEnd) -> None:
        while _to_close:  # one run at a time: Inspect has no two in a process
            await asyncio.to_thread(_to_close.pop().episodes.close)


# --- setup, solver and scorer --------------------------------------------------------------------


@solver
def _begin(table: _Table, tools: bool, prompt: str) -> Solver:
    """Reset the environment, tell the model what it shows, and give it the tools of this episode."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        seat = await table.begin(state)
        seen = text_of(seat.last.observation) or "Begin."
        system = [ChatMessageSystem(content=prompt)] if prompt else []
        state.messages = [*system, ChatMessageUser(content=seen)]
        if tools:
            state.tools = [_tool(tool, seat, table) for tool in seat.tools]
        state.completed = seat.last.done
        return state

    return solve


def _tool(tool: EnvironmentTool, seat: _Seat, table: _Table) -> Tool:
    async def execute(**arguments: Any) -> str:
        turn = await asyncio.wrap_future(seat.episode.call_tool(tool.name, arguments))
        seat.last = turn
        table.sound(seat)
        seat.state.completed = turn.done
        if turn.error:
            raise ToolError(turn.error)
        return turn.said or "(nothing)"

    parameters = ToolParams.model_validate({"properties": {}, **tool.input_schema, "type": "object"})
    for name, parameter in parameters.properties.items():
        parameter.description = parameter.description or name  # Inspect takes none without
    return ToolDef(
        execute, name=tool.name, description=tool.description or tool.name, parameters=parameters, parallel=False
    ).as_tool()


@solver
def play(table: _Table, tools: bool, max_turns: int) -> Solver:
    """Have the model act until the episode is over."""

    async def by_words(seat: _Seat, text: str) -> str:
        schema = await asyncio.wrap_future(seat.episode.action_schema())
        table.sound(seat)
        try:
            action = action_of(text, schema)
        except ValueError as error:
            return str(error)
        seat.last = await asyncio.wrap_future(seat.episode.step(action))
        table.sound(seat)
        return seat.last.said or "(nothing)"

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        seat = table.of(state)
        for _ in range(max_turns):
            if seat.last.done:
                break
            state = await generate(state, tool_calls="single")
            said = state.messages[-1]
            if isinstance(said, ChatMessageAssistant) and not said.tool_calls and not seat.last.done:
                names = ", ".join(tool.name for tool in seat.tools)
                told = f"Call one of the tools: {names}" if tools else await by_words(seat, said.text)
                state.messages.append(ChatMessageUser(content=told))
        state.completed = True
        return state

    return solve


@scorer(metrics=[mean(), stderr()])
def reward(table: _Table) -> Scorer:
    """Score a sample by the sum of its rewards."""

    async def score(state: TaskState, target: Target) -> Score:
        episode = table.of(state).episode
        about = {"status": episode.outcome.status.value, "steps": episode.steps, "over": episode.done}
        told = json.dumps(about)
        if episode.reward is None:
            return Score.unscored(reason="not_graded", explanation=told, metadata=about)
        return Score(value=episode.reward, explanation=told, metadata=about)

    return score
