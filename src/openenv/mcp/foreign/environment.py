"""`MCPServerEnvironment`: somebody else's MCP server, played in episodes.

A failed call is what the agent did, and it sees it: an observation with an error. A lost server is nobody's move:
it is raised, graded by nobody, and no other process takes its place before the next reset.
"""

from __future__ import annotations

import inspect
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mcp_types
from mcp import MCPError
from pydantic_core import PydanticSerializationError

from openenv.environment.base import Environment, Transform
from openenv.errors import ConfigurationError, ExecutionError, NotResetError, OpenEnvError
from openenv.mcp.foreign import sharing
from openenv.mcp.foreign.address import ServerAddress
from openenv.mcp.foreign.connection import Connection
from openenv.mcp.foreign.results import failed, named, observed, refused, tool
from openenv.mcp.types import (
    CallToolAction,
    CallToolObservation,
    ListToolsAction,
    ListToolsObservation,
    Tool,
    ToolErrorType,
)
from openenv.models import EnvironmentMetadata, State, StepResult

__all__ = ["MCPServerEnvironment"]

ANSWER_S = 1.0
"""Seconds kept back from the time a step may take, so that a call that hangs ends before the environment does."""

DoneWhen = Callable[[CallToolAction, CallToolObservation], Any]


class MCPServerEnvironment(
    Environment[CallToolAction | ListToolsAction, CallToolObservation | ListToolsObservation, State]
):
    """An MCP server as an environment: its tools are the actions.

    ```python
    MCPServerEnvironment(["uvx", "mcp-server-time"], rubric=lambda action, observation: ...)
    MCPServerEnvironment("https://tools.example.com/mcp", headers={"Authorization": f"Bearer {token}"})
    ```

    The first observation of an episode lists the tools. Every `CallToolAction` is a call of one, and its result the
    observation: structured content if the tool gives it, else its text, else the blocks of content as plain values
    (images as base64 with their MIME type). A call that fails in any way gives an observation with an `error`.
    A tool called `reset`, `step`, `state` or `close` is offered as `server_reset` and so on.

    An episode has a server of its own: a new process, or a new session at a URL, that begins with the reset and
    ends with the next one. With `keep` it goes on from episode to episode, and with `shared` it is the same for
    all environments of this process that were made with the same server; then `reset_tool` makes it forget.

    Args:
        server: A command, as a list of words or as a shell takes it, or a URL: streamable HTTP, or server-sent
            events if it ends in `/sse` or speaks nothing else.
        shared: One process or connection for all.
        keep: The same process or connection for all episodes.
        reset_tool: A tool that is called at every reset, with those of the reset's arguments that it takes, `seed`
            and `episode_id` among them. Agents do not have it.
        rubric: Grades calls: `(action, observation) -> reward`, sync or async. It may set `observation.done`.
            Without one the reward is None.
        transform: Applied to every observation.
        done_when: Whether the episode is over: `(action, observation) -> bool`, sync or async.
        max_steps: Steps after which the episode is cut off (truncated); None for no limit.
        call_timeout_s: Seconds a tool may take. Then it is cancelled and the agent sees a `timeout`.
        start_timeout_s: Seconds the server has to answer `initialize`, and to list its tools.
        env: Environment variables for a command. Beside them it inherits `PATH`, `HOME` and their like, no secrets.
        cwd: Working folder of a command; by default this process's.
        headers: HTTP headers for a URL.

    Raises:
        ConfigurationError: The server is neither a command nor a URL, or the numbers make no sense.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        server: str | Sequence[str],
        *,
        shared: bool = False,
        keep: bool = False,
        reset_tool: str | None = None,
        rubric: Any = None,
        transform: Transform[Any] | None = None,
        done_when: DoneWhen | None = None,
        max_steps: int | None = None,
        call_timeout_s: float = 60.0,
        start_timeout_s: float = 30.0,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(transform=transform, rubric=rubric)
        if min(call_timeout_s, start_timeout_s, 1 if max_steps is None else max_steps) <= 0:
            raise ConfigurationError("call_timeout_s, start_timeout_s and max_steps must be more than 0")
        self.address = ServerAddress.of(server, env, cwd, headers)
        self.max_steps = max_steps
        self.call_timeout_s = call_timeout_s
        self.start_timeout_s = start_timeout_s
        self._shared = shared
        self._keep = keep or shared
        self._reset_tool = reset_tool
        self._done_when = done_when
        self._connection: Connection | None = None
        self._played = False
        self._listing: dict[str, mcp_types.Tool] | None = None
        self._tools_changed = False
        self._episode_id: str | None = None
        self._steps = 0

    async def reset(self, episode_id: str | None = None, **arguments: Any) -> StepResult[Any]:
        """Begin an episode, on a new server unless that is kept, and list the tools.

        Args:
            episode_id: Its id; a new one by default.
            **arguments: What the `reset_tool` takes, such as a `seed`.

        Raises:
            EnvironmentDiedError: The server can not be started or reached, or is lost on the way.
            ExecutionError: The `reset_tool` failed.
            ConfigurationError: The server has no such tool.
        """
        before = self._connection
        connection = await self._connected(
            anew=before is not None and (before.over or (self._played and not self._keep))
        )
        self._played = True
        self._episode_id, self._steps = episode_id or uuid.uuid4().hex, 0
        unused = sorted(arguments.keys() - {"seed"})
        if self._reset_tool is not None:
            unused = await self._call_reset_tool(connection, self._reset_tool, arguments)
        await self._reset_rubric_async()
        observation = self._apply_transform(ListToolsObservation(tools=await self.list_tools()))
        warnings = [f"{name} was not used: no reset_tool takes it" for name in unused]
        return StepResult.make(
            observation, observation.reward, observation.done, info={"warnings": warnings} if unused else None
        )

    async def step(
        self, action: CallToolAction | ListToolsAction, timeout_s: float | None = None
    ) -> StepResult[CallToolObservation | ListToolsObservation]:
        """Call a tool, or list them.

        Args:
            action: Which tool, and its arguments.
            timeout_s: Seconds the step may take; the tool gets a little less.

        Raises:
            EnvironmentDiedError: The server was lost, now or before. There is no reward then, and nobody knows
                whether the tool has run; `reset` begins anew.
        """
        if not self._played or self._connection is None:
            raise NotResetError("There is no episode; reset() begins one")
        observation: Any
        if isinstance(action, ListToolsAction):
            observation, done = ListToolsObservation(tools=await self.list_tools()), False
        else:
            observation = await self._call(self._connection, action, timeout_s)
            observation.reward = await self._apply_rubric_async(action, observation)
            done = observation.done or bool(
                self._done_when and await _resolved(self._done_when(action, observation))
            )
        self._steps += 1
        truncated = not done and self.max_steps is not None and self._steps >= self.max_steps
        observation.done = done or truncated
        observation = self._apply_transform(observation)
        return StepResult.make(
            observation, observation.reward, observation.done, truncated, metadata=observation.metadata
        )

    @property
    def state(self) -> State:
        """The episode's id and its number of steps."""
        return State(episode_id=self._episode_id, step_count=self._steps)

    async def list_tools(self) -> list[Tool]:
        """Return the tools that agents have; starts the server if there was no reset yet.

        Raises:
            EnvironmentDiedError: The server can not be reached, or was lost.
        """
        connection = self._connection if self._played else await self._connected(anew=False)
        assert connection is not None
        return [tool(name, found) for name, found in (await self._tools(connection)).items()]

    async def close(self) -> None:
        """End the server, unless other environments share it."""
        connection, self._connection = self._connection, None
        self._played, self._listing = False, None
        if connection is not None:
            connection.listeners.discard(self._on_tools_changed)
            await sharing.release(connection)

    def get_metadata(self) -> EnvironmentMetadata:
        """Return what the server says about itself, as far as it is there."""
        info = self._connection.server_info if self._connection is not None else None
        return EnvironmentMetadata(
            name=info.name if info is not None else type(self).__name__,
            description=f"The tools of the MCP server {self.address.name}",
            version=info.version if info is not None else None,
        )

    # --- the server --------------------------------------------------------------------------------------------

    async def _connected(self, *, anew: bool) -> Connection:
        if self._connection is not None and (anew or self._connection.over):
            await self.close()
        if self._connection is None:
            self._connection = sharing.acquire(self.address, self.start_timeout_s, shared=self._shared)
            self._connection.listeners.add(self._on_tools_changed)
        try:
            await self._connection.open()
        except BaseException:
            await self.close()
            raise
        return self._connection

    def _on_tools_changed(self) -> None:
        self._listing = None
        self._tools_changed = True

    async def _tools(self, connection: Connection) -> dict[str, mcp_types.Tool]:
        """Return the tools of agents, listed again if they have changed."""
        await connection.alive()  # what a lost server had to offer is no answer
        while self._listing is None:
            self._listing = {}  # a change that is told meanwhile makes it None again
            found = await self._list(connection)
            if self._listing is not None:
                self._listing = found
        return self._listing

    async def _list(self, connection: Connection) -> dict[str, mcp_types.Tool]:
        try:
            found = await connection.list_tools(self.start_timeout_s)
        except BaseException:
            self._listing = None
            raise
        return named(item for item in found if item.name != self._reset_tool)

    async def _call_reset_tool(self, connection: Connection, name: str, arguments: Mapping[str, Any]) -> list[str]:
        """Have the server forget the episode before; return the names of the arguments that were not used."""
        found = next(
            (item for item in await connection.list_tools(self.start_timeout_s) if item.name == name), None
        )
        if found is None:
            raise ConfigurationError(f"The MCP server {self.address.name} has no tool {name!r} to be reset with")
        takes = found.input_schema.get("properties") or {}
        given = {key: value for key, value in arguments.items() if key in takes}
        if "episode_id" in takes:
            given["episode_id"] = self._episode_id
        observation = await self._answer(connection, name, found, given, self.call_timeout_s)
        if observation.error is not None:
            raise ExecutionError(f"The reset tool {name!r} failed: {observation.error.message}")
        return sorted(arguments.keys() - given.keys() - {"seed"})

    async def _call(
        self, connection: Connection, action: CallToolAction, timeout_s: float | None
    ) -> CallToolObservation:
        name, tools = action.tool_name, await self._tools(connection)
        found = tools.get(name)
        if found is None:
            there = ", ".join(tools) or "none"
            return failed(name, ToolErrorType.TOOL_NOT_FOUND, f"There is no tool {name!r}; there are: {there}")
        seconds = self.call_timeout_s
        if timeout_s is not None:
            seconds = min(seconds, max(timeout_s / 2, timeout_s - ANSWER_S))
        return await self._answer(connection, name, found, action.arguments, seconds)

    async def _answer(
        self, connection: Connection, name: str, found: mcp_types.Tool, arguments: dict[str, Any], seconds: float
    ) -> CallToolObservation:
        """Return what a call comes to, whatever goes wrong with it, but for the loss of the server."""
        on_progress = self._on_progress if self._listener is not None else None
        try:
            result = await connection.call(found.name, arguments, seconds, on_progress)
        except OpenEnvError:
            raise
        except TimeoutError:
            message = f"{name} was cancelled after {seconds:g} s"
            return failed(name, ToolErrorType.TIMEOUT, message + connection.complaint)
        except MCPError as error:
            return refused(name, found, arguments, error)
        except PydanticSerializationError as error:
            return failed(name, ToolErrorType.INVALID_ARGS, f"The arguments have no JSON form: {error}")
        except (ValueError, RuntimeError) as error:  # what came is no result, or not what the tool's schema says
            return failed(name, ToolErrorType.EXECUTION_ERROR, str(error))
        return observed(name, found, arguments, result)

    async def _on_progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress(progress / total if total else None, message or "")


async def _resolved(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
