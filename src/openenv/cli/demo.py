"""`openenv demo`: the whole loop on this machine, with real environments and nothing mocked.

Each environment is served by a process of its own and played through its typed client. The moves and their
rewards are written down beforehand, so the demo is a check as well: another reward fails it, and so does a
server that is still there afterwards.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from openenv.providers import ProcessProvider


class Move(NamedTuple):
    """One action of an episode, how it is shown, and the reward it must earn."""

    shown: str
    action: Any
    reward: float


@dataclass(frozen=True)
class Act:
    """What is played on one environment.

    Attributes:
        package: The environment's package, already imported.
        client: Its typed client.
        episodes: The moves of each.
        tell: Says in a few words what an observation holds.
    """

    package: Any
    client: Any
    episodes: list[list[Move]]
    tell: Callable[[Any], str]

    @property
    def name(self) -> str:
        """The package's name."""
        return str(self.package.__name__)

    @property
    def folder(self) -> str:
        """Where the environment is, for the provider to serve."""
        return str(Path(self.package.__file__).resolve().parent)


class Row(NamedTuple):
    """One step as the table shows it."""

    environment: str
    episode: int
    action: str
    observation: str
    reward: float


@click.command()
def demo() -> None:
    """Play a few episodes against real environments, each in its own process."""
    console = Console()
    started = time.monotonic()
    acts = [echo(), python_exec()]
    rows: list[Row] = []
    with _progress(console) as progress:
        bars = {act.name: progress.add_task(act.name, total=_steps(act), doing="waiting") for act in acts}
        for act in acts:
            for doing, row in play(act):
                progress.update(bars[act.name], doing=doing, advance=row is not None)
                rows += [row] if row else []
    episodes, seconds = sum(len(act.episodes) for act in acts), time.monotonic() - started
    console.print("\n", _table(rows, console.width), "\n", sep="", end="")
    told = f"{len(rows)} steps, {episodes} episodes, {len(acts)} servers, {seconds:.1f} s. All servers have ended."
    console.print(told, highlight=False)


def play(act: Act) -> Iterator[tuple[str, Row | None]]:
    """Serve the environment and play its episodes.

    Yields:
        What is being done, and the row of the step that was just taken, if any.

    Raises:
        OpenEnvError: The server did not start, or a request failed.
        click.ClickException: A reward is not the expected one, or the server has not ended.
    """
    yield "starting its server", None
    provider = ProcessProvider(act.folder)
    with act.client.with_provider(provider) as env:
        for number, moves in enumerate(act.episodes, start=1):
            doing = f"episode {number}"
            env.reset(seed=number)
            yield doing, None
            for move in moves:
                result = env.step(move.action)
                if result.reward is None or abs(result.reward - move.reward) > 1e-9:
                    raise click.ClickException(
                        f"{act.name} gave {move.shown} the reward {result.reward}, not {move.reward}."
                    )
                yield doing, Row(act.name, number, move.shown, act.tell(result.observation), result.reward)
        yield "ending its server", None
    if provider.pid is not None and _runs(provider.pid):
        raise click.ClickException(f"The server of {act.name}, process {provider.pid}, has not ended.")
    yield "done", None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- what is played -----------------------------------------------------------------------------


def echo() -> Act:
    """Return the Echo part: messages earn 0.1 a character, a tool call 1.0."""
    package = _import("echo_env")

    def say(message: str) -> Move:
        return Move(repr(message), package.EchoAction(message=message), 0.1 * len(message))

    def call(message: str) -> Move:
        arguments = {"message": message}
        action = package.CallToolAction(tool_name="echo_message", arguments=arguments)
        return Move(f"echo_message({message!r})", action, 1.0)

    return Act(
        package,
        package.EchoEnv,
        [[say("Hello, World!"), call("a tool")], [say("Once more")]],
        lambda seen: repr(seen.echoed_message or seen.result),
    )


def python_exec() -> Act:
    """Return the Python part: code that runs earns 1.0, an error -0.5, running out of time -1.0."""
    package = _import("python_exec_env")

    def run(code: str, reward: float, timeout: float = 10.0) -> Move:
        return Move(code, package.RunCodeAction(code=code, timeout_seconds=timeout), reward)

    return Act(
        package,
        package.PyExecEnv,
        [
            [
                run("print(sum(range(101)))", 1.0),
                run("open('f', 'w').write('x')", 1.0),
                run("print(1 / 0)", -0.5),
            ],
            [run("print(open('f').read())", -0.5), run("while True: pass", -1.0, timeout=0.5)],
        ],
        lambda seen: f"exit {seen.exit_code}: {_last_line(seen.stdout or seen.stderr)}",
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no output"


def _import(package: str) -> Any:
    """Import an environment package: an installed one, or that of a checkout's `envs/`."""
    checkout = Path(__file__).parents[3] / "envs"
    places = [envs for envs in (Path.cwd() / "envs", checkout) if (envs / package / "__init__.py").is_file()]
    for attempt in (None, *places):
        if attempt is not None:
            sys.path.insert(0, str(attempt))
        try:
            return importlib.import_module(package)
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
    raise click.ClickException(
        f"The demo plays {package}, which is not installed. In a checkout of the project: pip install -e "
        f"envs/{package}, or 'make demo', which does it all."
    )


# --- how it is shown ----------------------------------------------------------------------------


def _steps(act: Act) -> int:
    return sum(len(moves) for moves in act.episodes)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[doing]}"),
        console=console,
    )


def _table(rows: list[Row], width: int) -> Table:
    cells = [(row.environment, str(row.episode), row.action, f"{row.reward:+.1f}", row.observation) for row in rows]
    headings = ("Environment", "Episode", "Action", "Reward", "Observation")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, *column in zip(headings, *cells, strict=True):
        # Where there is no room for all, the ends of the observations are what can be missed.
        fits = max(len(heading), *map(len, column)) if heading != headings[-1] else max(width, 20)
        width -= fits + 2
        right = heading in ("Episode", "Reward")
        table.add_column(heading, width=fits, no_wrap=True, justify="right" if right else "left")
    for cell in cells:
        table.add_row(*map(Text, cell))
    return table
