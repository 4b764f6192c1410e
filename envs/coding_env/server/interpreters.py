"""What runs the agent's code: CPython, or smolagents' interpreter within it.

Both run in a workspace, which is what holds them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from openenv.errors import ConfigurationError
from openenv.execution import Backend, Execution, Workspace, backend

INTERPRETERS = ("python", "smolagents")
_GUARD = Path(__file__).with_name("guard.py")


class Interpreter:
    """Runs code in one workspace, with variables that stay.

    Args:
        workspace: Where.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    async def run(self, code: str, timeout_s: float) -> Execution:
        """Run a piece of Python.

        Args:
            code: The source.
            timeout_s: Seconds it may take.

        Raises:
            WorkspaceLostError: The workspace has ended. What the code does never raises.
        """
        return await self.workspace.python(code, timeout_s=timeout_s)


class SmolagentsInterpreter(Interpreter):
    """The same in smolagents' interpreter, which does not know everything that Python can do.

    Args:
        workspace: Where; its backend has the package.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._is_ready = False

    async def run(self, code: str, timeout_s: float) -> Execution:
        """See `Interpreter.run`."""
        if not self._is_ready:
            begun = await self.workspace.python(_GUARD.read_text(encoding="utf-8"), timeout_s=60)
            if not begun.ok:
                raise ConfigurationError(f"smolagents cannot be used: {begun.stderr or begun}")
            self._is_ready = True
        execution = await self.workspace.python(f"_guarded({code!r})", timeout_s=timeout_s)
        self._is_ready = not execution.context_lost
        error = execution.error
        if error is None:
            return execution
        # The traceback goes through the insides of smolagents; what that says of the code stands before it.
        told = execution.stderr.partition("Traceback (most recent call last)")[0]
        return replace(execution, stderr=told or f"{error.type}: {error.message}\n")


def interpreter(name: str, workspace: Workspace) -> Interpreter:
    """Return an interpreter that has no variables yet."""
    return SmolagentsInterpreter(workspace) if name == "smolagents" else Interpreter(workspace)


@cache
def backend_of(name: str) -> Backend:
    """Return what opens the workspaces of an interpreter, the same one each time.

    Raises:
        ConfigurationError: There is no such interpreter, or smolagents is not installed.
        IsolationError: Nothing here can hold what an agent wrote.
    """
    if name not in INTERPRETERS:
        raise ConfigurationError(f"There is no interpreter {name!r}; there are {', '.join(INTERPRETERS)}")
    return backend(packages=("smolagents",), preload=("smolagents",)) if name == "smolagents" else backend()
