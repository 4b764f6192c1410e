"""`MCPEnvironment`: an environment whose actions are tool calls.

Its tools are `@tool` methods, functions given to `self.tool`, and those of an MCP server object; to an agent they
are one list. A call is answered with an observation whatever happens, since a policy in training calls everything.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import cached_property
from typing import Any
from typing import TypeVar as PlainTypeVar

from typing_extensions import TypeVar

from openenv.environment.base import Environment, Transform, non_blocking
from openenv.errors import InvalidRequestError
from openenv.mcp.functions import Function, declared, mark, names_around
from openenv.mcp.prompts import Prompts
from openenv.mcp.sdk_server import SdkServer
from openenv.mcp.toolbox import Answer, Toolbox
from openenv.mcp.types import (
    CallToolAction,
    CallToolObservation,
    ListToolsAction,
    ListToolsObservation,
    Prompt,
    Tool,
)
from openenv.mcp.waiting import settled
from openenv.models import State, StepResult
from openenv.outcomes import Outcome

ActionT = TypeVar("ActionT", default=CallToolAction | ListToolsAction)
ObservationT = TypeVar("ObservationT", default=CallToolObservation | ListToolsObservation)
StateT = TypeVar("StateT", default=State)
FunctionT = PlainTypeVar("FunctionT", bound=Callable[..., Any])

# A server breaks a session whose step takes longer than it was allowed: a tool has to be given up before that.
_MARGIN, _MARGIN_S = 0.25, 2.0


class MCPEnvironment(Environment[ActionT, ObservationT, StateT]):
    """An environment whose actions are tool calls: `CallToolAction` and `ListToolsAction`.

    ```python
    class Shop(MCPEnvironment):
        def reset(self, seed: int | None = None) -> Observation:
            self.cart = []
            return Observation()

        @tool
        def buy(self, name: str, count: int = 1) -> str:
            "Put something into the cart."
            self.cart += [name] * count
            if len(self.cart) >= 3:
                self.end_episode(reward=1.0)
            return f"{len(self.cart)} in the cart"

        @property
        def state(self) -> State:
            return State(cart=self.cart)
    ```

    A subclass defines `reset` and `state`, and `_step_impl` if there are other actions than tool calls. Sync tools
    run where sync steps do, on a thread; async ones on the event loop.

    The observation of a call has the tool's result, or an `error`: for a name that is not there, for arguments that
    do not fit, for a tool that raised, took longer than `timeout_s`, or returned what JSON can not say. What is
    raised is what the agent has no part in: the exceptions of `openenv.errors`. The reward is what the tool says,
    else what the rubric does, else None. A tool says it by `add_reward` and `end_episode`, or by returning a whole
    observation or `StepResult` in place of its result.

    Args:
        mcp_server: Has further tools and prompts: a `FastMCP` of fastmcp or of mcp 1.x, or an `MCPServer` of mcp
            2.x, in this process. A tool of the same name here comes before one there.
        transform: Applied to every observation of a step.
        rubric: Grades tool calls: `(action, observation) -> reward`, sync or async.

    Raises:
        ConfigurationError: A tool has a reserved name, or it is no MCP server that is known here.
    """

    mcp_server: Any = None
    _sdk: SdkServer | None = None
    _earned: float | None = None
    _ended: bool = False

    def __init__(
        self,
        mcp_server: Any = None,
        transform: Transform[Any] | None = None,
        rubric: Any = None,
    ) -> None:
        super().__init__(transform, rubric)
        self.mcp_server = mcp_server
        _ = self._toolbox  # a tool that can not be one is refused here, not at the first call
        if mcp_server is not None:
            self._sdk = SdkServer(mcp_server, self.progress)
            settled(self._sdk.check())

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        declared(cls)  # refuses tools of one name

    # --- steps -------------------------------------------------------------------------------------------

    def step(self, action: Any, timeout_s: float | None = None, **kwargs: Any) -> Any:
        """Call a tool, list the tools, or take another action; blocks, also where the tool is async.

        Args:
            action: A tool call, or an action that `_step_impl` takes.
            timeout_s: Seconds it may take. A tool is given up before that (a quarter, at most 2 s), so that
                its answer still comes in time.
            **kwargs: For `_step_impl`.

        Returns:
            The observation; a `StepResult` if the tool or `_step_impl` returned one.

        Raises:
            InvalidRequestError: The environment does not take this action.
            OpenEnvError: Something failed that the agent has no part in.
        """
        return settled(self._serve_step(action, timeout_s, **kwargs))

    async def step_async(self, action: Any, timeout_s: float | None = None, **kwargs: Any) -> Any:
        """Do what `step` does, async. A tool that is not async is called on the loop, and holds it up."""
        return await _resolved(self._serve_step(action, timeout_s, **kwargs))

    def _serve_step(
        self, action: CallToolAction | ListToolsAction, timeout_s: float | None = None, **kwargs: Any
    ) -> CallToolObservation | ListToolsObservation:
        """Take a step, or return the coroutine that does; what a server calls where `step` is not overridden."""
        given: Any = action  # a subclass may take others, too
        taken: Any
        answer: Any
        if isinstance(given, CallToolAction):
            self._earned, self._ended = None, False
            taken = self._called(given, timeout_s)
            answer = (self._graded_later if inspect.iscoroutine(taken) else self._graded)(given, taken)
        elif isinstance(given, ListToolsAction):
            answer = self._listed()
        else:
            taken = self._step_impl(given, timeout_s=timeout_s, **kwargs)
            answer = (self._transformed_later if inspect.iscoroutine(taken) else self._transformed)(taken)
        return answer  # type: ignore[no-any-return]

    def _step_impl(self, action: Any, timeout_s: float | None = None, **kwargs: Any) -> Any:
        """Take an action that is no tool call; sync or async. Override it if there are such actions.

        Returns:
            An observation or a `StepResult`.
        """
        raise InvalidRequestError(
            f"{type(self).__name__} takes tool calls only, CallToolAction and ListToolsAction, not "
            f"{type(action).__name__}"
        )

    # --- for tools ---------------------------------------------------------------------------------------

    def add_reward(self, reward: float) -> None:
        """Give the tool call that is running a reward; those given in one call add up.

        Args:
            reward: Any finite number.
        """
        self._earned = reward if self._earned is None else self._earned + reward

    def end_episode(self, reward: float | None = None) -> None:
        """End the episode with the tool call that is running.

        Args:
            reward: Given as by `add_reward`.
        """
        self._ended = True
        if reward is not None:
            self.add_reward(reward)

    def tools_changed(self) -> None:
        """Say that the tools are others now; clients of MCP are told, and ask for them anew."""
        self._tools_changed = True

    def tool(self, mode: Any = None, *, name: str | None = None, title: str | None = None) -> Any:
        """Return a decorator that makes a function a tool of this instance; for those that a class can not name.

        ```python
        @self.tool(mode="simulation")
        def hint(level: int) -> str: ...
        ```

        Args:
            mode: `simulation` or `production` if it is to be had in that mode only.
            name: Its name as a tool; by default that of the function.
            title: Its name as people are shown it.

        Raises:
            ConfigurationError: The name is reserved or taken, the mode is unknown, or a parameter has no name.
        """
        frame = sys._getframe(1)

        def add(function: FunctionT) -> FunctionT:
            shown = {"title": title}
            made = mark(function, "tool", name, None if bare else mode, shown, names_around(function, frame))
            self._toolbox.add(Function(made), function)
            return function

        bare = callable(mode)
        return add(mode) if bare else add

    # --- what agents and servers ask ---------------------------------------------------------------------

    async def list_tools(self) -> list[Tool]:
        """Return the tools to be had in the mode that this is served in."""
        tools = self._toolbox.tools(self._server_mode)
        if self._sdk is not None:
            names = {tool.name for tool in tools}
            tools += [tool for tool in await self._sdk.tools() if tool.name not in names]
        return tools

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Call a tool; the same as a step with that action."""
        return await self.step_async(CallToolAction(tool_name=name, arguments=dict(arguments or {})))

    async def list_prompts(self) -> list[Prompt]:
        """Return the prompts to be had in the mode that this is served in."""
        prompts = self._prompts.listed(self._server_mode)
        if self._sdk is not None:
            names = {one.name for one in prompts}
            prompts += [one for one in await self._sdk.prompts() if one.name not in names]
        return prompts

    async def get_prompt(self, name: str, arguments: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the messages of a prompt, in MCP's form: `{"role": ..., "content": {"type": "text", ...}}`.

        Raises:
            InvalidRequestError: There is no such prompt, or the arguments do not fit.
        """
        if self._sdk is not None and not self._prompts.has(name, self._server_mode):
            return await self._sdk.prompt(name, arguments or {})
        return await self._prompts.get(name, arguments, self._server_mode)

    def get_callables(self) -> dict[str, Callable[..., Any]]:
        """Return the functions behind the tools by name, for code that calls them as Python."""
        found = settled(self._sdk.functions()) if self._sdk is not None else {}
        return found | {one.name: one.call for one in self._toolbox.in_mode(self._server_mode)}

    # --- answers -----------------------------------------------------------------------------------------

    @cached_property
    def _toolbox(self) -> Toolbox:
        return Toolbox(self, in_place="step" in non_blocking(type(self)) or self.REQUIRES_SINGLE_THREAD_EXECUTOR)

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self)

    def _called(self, action: CallToolAction, timeout_s: float | None) -> Answer | Coroutine[Any, Any, Answer]:
        if timeout_s is not None:
            timeout_s -= min(timeout_s * _MARGIN, _MARGIN_S)
        if self._sdk is None or self._toolbox.find(action.tool_name, self._server_mode) is not None:
            return self._toolbox.call(action, self._server_mode, timeout_s)
        if busy := self._toolbox.busy(action.tool_name):
            return busy
        own = [one.name for one in self._toolbox.in_mode(self._server_mode)]
        return self._toolbox.awaited(action.tool_name, self._sdk.call(action, own), timeout_s)

    def _graded(self, action: CallToolAction, answer: Answer) -> Any:
        """Return the answer with its reward, transformed; a coroutine if the rubric is async."""
        self._settle(answer)
        if self.rubric is not None and answer.reward is None:
            reward = self._apply_rubric(action, _observation(answer))
            if inspect.isawaitable(reward):
                return self._rewarded_later(answer, reward)
            _reward(answer, reward)
        return self._transformed(answer)

    async def _graded_later(self, action: CallToolAction, coming: Awaitable[Answer]) -> Any:
        return await _resolved(self._graded(action, await coming))

    async def _rewarded_later(self, answer: Answer, reward: Awaitable[Any]) -> Any:
        _reward(answer, await reward)
        return self._transformed(answer)

    def _settle(self, answer: Answer) -> None:
        """Put what the tool has said of the step into its answer."""
        earned, ended, self._earned, self._ended = self._earned, self._ended, None, False
        if ended and not answer.done:
            answer.done = True
            if isinstance(answer, StepResult):
                answer.terminated = True
                answer.outcome = Outcome.of(True, False, answer.reward is not None)
        if earned is not None:
            _reward(answer, earned)

    def _listed(self) -> Any:
        if self._sdk is not None:
            return self._listed_later()
        return self._transformed(ListToolsObservation(tools=self._toolbox.tools(self._server_mode)))

    async def _listed_later(self) -> Any:
        return self._transformed(ListToolsObservation(tools=await self.list_tools()))

    async def _transformed_later(self, coming: Awaitable[Any]) -> Any:
        return self._transformed(await coming)

    def _transformed(self, answer: Any) -> Any:
        if self.transform is None:
            return answer
        if isinstance(answer, StepResult):
            answer.observation = self._apply_transform(answer.observation)
            return answer
        return self._apply_transform(answer)


def _observation(answer: Answer) -> Any:
    return answer.observation if isinstance(answer, StepResult) else answer


def _reward(answer: Answer, reward: Any) -> None:
    answer.reward = reward
    if isinstance(answer, StepResult) and answer.outcome == Outcome.of(answer.done, answer.truncated, False):
        answer.outcome = Outcome.of(answer.done, answer.truncated, reward is not None)


async def _resolved(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
