"""The tools that one environment has: listed, and called with an observation as the answer, whatever happens.

A call that goes wrong is something the agent did or met, so it is answered, never raised: a name that is not there,
arguments that do not fit, a tool that raises. What is raised is what the agent can do nothing about: the failures
that this project has exceptions for, such as a workspace that was lost.

Calls of functions that are not async return their observation at once, those of coroutine functions a coroutine of
it: where either runs is the server's decision.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from pydantic import ValidationError

from openenv.errors import ConfigurationError, OpenEnvError
from openenv.mcp.functions import Function, declared
from openenv.mcp.signatures import ResultError, mistakes
from openenv.mcp.types import CallToolAction, CallToolObservation, Tool, ToolError, ToolErrorType
from openenv.mcp.waiting import Running, on_thread, within
from openenv.models import Observation, StepResult
from openenv.values import text_of

Answer = Observation | StepResult[Any]

NAMES_TOLD = 20
"""Names of tools that the answer to an unknown one lists."""


def _itself(answer: Answer) -> Answer:
    return answer


class BoundTool:
    """A tool that can be called.

    Args:
        function: What it is.
        call: The function bound to its instance.
    """

    __slots__ = ("call", "function", "name", "validate")

    def __init__(self, function: Function, call: Callable[..., Any]) -> None:
        self.function = function
        self.call = call
        self.name = function.mark.name
        self.validate = function.signature.validate

    def answer(self, returned: Any) -> Answer:
        """Return what a call that returned this came to."""
        if isinstance(returned, Observation | StepResult):
            return _told(self.name, returned)
        try:
            plain = self.function.signature.plain(returned)
        except ResultError as error:
            return failed(self.name, ToolErrorType.EXECUTION_ERROR, f"Error calling tool {self.name!r}: {error}")
        return CallToolObservation(tool_name=self.name, result=plain)


class Toolbox:
    """The tools of an environment that are Python functions.

    Args:
        owner: Its `@tool` methods are the first tools; None for a box that is empty.
        in_place: Calls are never moved to another thread, so that no time limit applies to those that block.
    """

    def __init__(self, owner: Any = None, *, in_place: bool = False) -> None:
        self._tools: list[BoundTool] = []
        self._by_name: dict[tuple[str, str], BoundTool] = {}
        self._in_place = in_place
        self._late: tuple[str, Running] | None = None
        for one in declared(type(owner)) if owner is not None else ():
            if one.function.mark.kind == "tool":
                self.add(one.function, one.bind(owner))

    def add(self, function: Function, call: Callable[..., Any]) -> None:
        """Add a tool.

        Raises:
            ConfigurationError: There is one of that name in that mode.
        """
        name = function.mark.name
        if any(other.name == name and function.mark.clashes(other.function.mark) for other in self._tools):
            raise ConfigurationError(f"There is a tool {name!r} already")
        self._tools.append(BoundTool(function, call))
        self._by_name.clear()

    def in_mode(self, mode: str) -> Iterator[BoundTool]:
        """Return the tools to be had in a mode."""
        return (one for one in self._tools if one.function.mark.is_in(mode))

    def tools(self, mode: str = "simulation") -> list[Tool]:
        """Return what an agent is told of the tools to be had in a mode."""
        return [one.function.tool for one in self.in_mode(mode)]

    def find(self, name: str, mode: str = "simulation") -> BoundTool | None:
        """Return the tool of a name."""
        found = self._by_name.get((name, mode))
        if found is None:
            found = next((one for one in self.in_mode(mode) if one.name == name), None)
            if found is not None:
                self._by_name[name, mode] = found
        return found

    def call(
        self, action: CallToolAction, mode: str = "simulation", timeout_s: float | None = None
    ) -> Answer | Coroutine[Any, Any, Answer]:
        """Call a tool; return its answer, or the coroutine that leads to it.

        Args:
            action: The call.
            mode: The mode that the environment is served in.
            timeout_s: Seconds it may take. A tool that is not async can only be left running; until it is over,
                other calls are answered with an error.

        Raises:
            OpenEnvError: The tool raised it: something failed that the agent has no part in.
        """
        tool = self.find(action.tool_name, mode)
        if tool is None:
            return unknown(action.tool_name, [one.name for one in self.in_mode(mode)])
        try:
            arguments = tool.validate(action.arguments)
        except ValidationError as error:
            return failed(tool.name, ToolErrorType.INVALID_ARGS, wrong_arguments(tool.function.tool, error))
        except BaseException as error:  # a validator of the tool's author that broke
            return caught(tool.name, error)
        if busy := self.busy(tool.name):
            return busy
        if timeout_s is not None and not self._in_place and not inspect.iscoroutinefunction(tool.call):
            return self._on_thread(tool, arguments, timeout_s)
        try:
            returned = tool.call(**arguments)
            if inspect.iscoroutine(returned):
                return self.awaited(tool.name, returned, timeout_s, tool.answer)
            return tool.answer(returned)
        except BaseException as error:
            return caught(tool.name, error)

    def busy(self, name: str) -> CallToolObservation | None:
        """Return the answer of a call while one before, which was given up, is still running; None if none is."""
        if self._late is None or not self._late[1].goes_on():
            return None
        before = f"The call of {self._late[0]!r} before this one is still running"
        return failed(name, ToolErrorType.TIMEOUT, before)

    async def awaited(
        self,
        name: str,
        coroutine: Coroutine[Any, Any, Any],
        timeout_s: float | None = None,
        answer: Callable[[Any], Answer] = _itself,
    ) -> Answer:
        """Wait for the call of a tool, here or elsewhere, that is async.

        Args:
            name: The tool.
            coroutine: The call.
            timeout_s: Seconds it may take.
            answer: Makes the answer of what the call returns.

        Raises:
            OpenEnvError: The tool raised it: something failed that the agent has no part in.
        """
        try:
            if timeout_s is None:
                return answer(await coroutine)
            return self._over(name, await within(coroutine, timeout_s), timeout_s, answer)
        except GeneratorExit:
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            return caught(name, error)

    def _on_thread(
        self, tool: BoundTool, arguments: dict[str, Any], timeout_s: float
    ) -> Answer | Coroutine[Any, Any, Answer]:
        running = on_thread(lambda: tool.call(**arguments), timeout_s)
        try:
            if running.outcome is not None and inspect.iscoroutine(returned := running.outcome.result()):
                return self.awaited(tool.name, returned, timeout_s, tool.answer)
            return self._over(tool.name, running, timeout_s, tool.answer)
        except BaseException as error:
            return caught(tool.name, error)

    def _over(self, name: str, running: Running, timeout_s: float, answer: Callable[[Any], Answer]) -> Answer:
        """Return the answer of a call that is over, or whose time is."""
        if running.outcome is not None:
            return answer(running.outcome.result())
        if running.goes_on():
            self._late = (name, running)
        return failed(name, ToolErrorType.TIMEOUT, f"The tool {name!r} was given up after {timeout_s:g} s")


def failed(name: str, why: ToolErrorType, message: str) -> CallToolObservation:
    """Return the answer of a call that failed."""
    return CallToolObservation(tool_name=name, error=ToolError(error_type=why, message=message))


def unknown(name: str, there_are: list[str]) -> CallToolObservation:
    """Return the answer of a call of a tool that is not there."""
    names = ", ".join(there_are[:NAMES_TOLD]) or "none"
    more = f" and {len(there_are) - NAMES_TOLD} more" if len(there_are) > NAMES_TOLD else ""
    message = f"Unknown tool: {name[:100]!r}. The tools are: {names}{more}"
    return failed(name, ToolErrorType.TOOL_NOT_FOUND, message)


def wrong_arguments(tool: Tool, error: ValidationError) -> str:
    """Return what is wrong with the arguments of a call, and what they should be."""
    required = tool.input_schema.get("required", ())
    takes = [n if n in required else f"{n} (optional)" for n in tool.input_schema.get("properties", ())]
    return (
        f"Wrong arguments for tool {tool.name!r}: {mistakes(error)}. "
        f"It takes: {', '.join(takes) if takes else 'no arguments'}"
    )


def caught(name: str, error: BaseException) -> CallToolObservation:
    """Return the answer of a call in which the tool raised.

    Raises:
        OpenEnvError: It is one of these.
        KeyboardInterrupt: Somebody has interrupted the program.
    """
    if isinstance(error, OpenEnvError) or (isinstance(error, KeyboardInterrupt) and _in_program()):
        raise error
    text = text_of(error) if isinstance(error, Exception) else repr(error)
    return failed(
        name, ToolErrorType.EXECUTION_ERROR, f"Error calling tool {name!r}: {text or type(error).__name__}"
    )


def _in_program() -> bool:
    """Whether this is where Ctrl+C arrives: the main thread of a program that runs no server."""
    return threading.current_thread() is threading.main_thread() and asyncio._get_running_loop() is None


def _told(name: str, returned: Observation | StepResult[Any]) -> Answer:
    """Return what a tool returned that tells of the step itself; what is no observation is its result.

    A copy, for reward and end may be put into it, and the tool may return the same object again.
    """
    if isinstance(returned, StepResult) and not isinstance(returned.observation, Observation):
        called = CallToolObservation(
            tool_name=name, result=returned.observation, reward=returned.reward, done=returned.done
        )
        return returned.model_copy(update={"observation": called})
    return returned.model_copy()
