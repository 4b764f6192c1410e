"""A kernel in a workspace, seen from the server: started when needed, asked to run cells, replaced if it dies."""

import ast
import importlib.metadata
from pathlib import Path
from typing import Any

from openenv import execution
from openenv.execution import Execution, Limits, Workspace

from ..models import Cell, Output
from .outputs import Outputs

DRIVER = Path(__file__).with_name("driver.py").read_text()
BOOT_S = 60.0
MAX_PRINTED = 64 * 1024
MAX_RICH = 4 * 1024 * 1024
OPTIONAL = {"matplotlib": "matplotlib.pyplot", "pandas": "pandas"}
PRELOAD = ("ipykernel.inprocess.ipkernel", "IPython.core.ultratb", "matplotlib_inline.backend_inline")
MIB = 1024 * 1024


def backend(limits: Limits | None = None) -> execution.Backend:
    """Return where kernels run: with ipykernel, and with matplotlib and pandas if they are installed.

    Raises:
        ConfigurationError: ipykernel is not installed.
    """
    found = [name for name in OPTIONAL if _is_installed(name)]
    return execution.backend(
        limits or Limits(memory_bytes=2048 * MIB, processes=128, output_bytes=MAX_PRINTED),
        packages=("ipykernel", *found),
        preload=(*PRELOAD, *(OPTIONAL[name] for name in found)),
    )


class Kernel:
    """The kernel of a workspace.

    Args:
        workspace: Where it runs.
        grace_s: Seconds that an interrupted cell has to come back by itself, before the kernel is killed.
    """

    def __init__(self, workspace: Workspace, grace_s: float) -> None:
        self._workspace = workspace
        self._grace_s = grace_s
        self._runs = False

    @property
    def runs(self) -> bool:
        """Whether it has been started, and has not ended since."""
        return self._runs

    async def start(self) -> str:
        """Start it, unless it runs; return what is wrong if that fails, as it may where code has been before.

        Raises:
            WorkspaceLostError: The workspace has ended.
        """
        if self._runs:
            return ""
        started = await self._workspace.python(DRIVER, timeout_s=BOOT_S)
        self._runs = started.ok
        return "" if started.ok else f"The kernel cannot be started: {started.stderr[-2000:]}"

    async def stop(self) -> None:
        """End it. Its variables are forgotten, the files stay."""
        if self._runs:
            await self._workspace.python("import os; os.kill(os.getpid(), 9)", timeout_s=self._grace_s)
            self._runs = False

    async def run(self, code: str, timeout_s: float) -> Cell:
        """Run a cell.

        Raises:
            WorkspaceLostError: The workspace has ended. What the cell does never raises.
        """
        if wrong := await self.start():
            return Cell(status="died", outputs=[Output(type="stream", name="stderr", text=wrong)])
        outputs = Outputs(12 * MAX_PRINTED + 2 * MAX_RICH)  # of JSON, in which a character may take 12
        done = await self._workspace.python(
            f"run_cell({code!r}, {timeout_s!r}, {MAX_PRINTED}, {MAX_RICH})",
            timeout_s=timeout_s + self._grace_s,
            functions={"publish": outputs.publish},
        )
        self._runs = not done.context_lost
        for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
            if text:  # what programs wrote that know nothing of the kernel
                outputs.shown.append(Output(type="stream", name=name, text=text))
        return _cell(done, outputs)

    async def value_of(self, name: str) -> Any:
        """Return a variable of the notebook: a plain value, or None if it has none or another."""
        if not self._runs:
            return None
        done = await self._workspace.python(f"value_of({name!r})", timeout_s=self._grace_s + 1)
        self._runs = not done.context_lost
        try:
            return ast.literal_eval(done.value or "None") if done.is_plain else None
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None


def _cell(done: Execution, outputs: Outputs) -> Cell:
    """Return what came of a cell; what its kernel says of it is a claim."""
    cell = Cell(
        status="died",
        outputs=outputs.shown,
        bytes_cut=outputs.dropped + sum(done.bytes_cut),
        files_changed=list(done.files_changed),
        seconds=done.seconds,
    )
    if done.context_lost:
        cell.status = "timeout" if done.timed_out else "died"
        return cell
    try:
        count, ok, interrupted, cut = ast.literal_eval(done.value or "")
        cell.status = "timeout" if interrupted and not ok else "ok" if ok else "error"
        cell.execution_count, cell.bytes_cut = int(count), cell.bytes_cut + int(cut)
    except (ValueError, TypeError, SyntaxError):
        cell.status = "timeout" if done.timed_out else "error"
    return cell


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
