"""The `openenv` command and the table of its subcommands.

A subcommand is a row here: its name, where its click command lives and its line of help. The help page is
printed from the rows, so that nothing of a subcommand is imported before it is run. Another distribution adds
a command with an entry point in the group `openenv.commands`; it cannot replace one of the rows.
"""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from openenv._version import __version__
from openenv.errors import OpenEnvError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["main"]

ENTRY_POINT_GROUP = "openenv.commands"


class Row(NamedTuple):
    """Where a command lives, as `module:attribute`, and what it does in one line."""

    target: str
    help: str


COMMANDS: dict[str, Row] = {
    "build": Row("openenv.cli.build:build", "Build an environment's container image."),
    "conformance": Row("openenv.cli.conformance:conformance", "Hold a running server against the protocol."),
    "demo": Row("openenv.cli.demo:demo", "Play a few episodes, each environment in its own process."),
    "dev": Row("openenv.cli.dev:dev", "Serve an environment while you write it, with a page to play on."),
    "eval": Row("openenv.cli.eval:evaluate", "Let a model or a policy play episodes, and report how well it does."),
    "gc": Row("openenv.cli.gc:gc", "Remove what programs left behind in engines."),
    "init": Row("openenv.cli.init:init", "Make a new environment package that runs as it is."),
    "mcp": Row("openenv.cli.mcp:mcp", "Serve an environment to an MCP client over stdin and stdout."),
    "ps": Row("openenv.cli.ps:ps", "List what engines keep for programs."),
    "serve": Row("openenv.cli.serve:serve", "Serve an environment over WebSocket and HTTP."),
}


class LazyGroup(click.Group):
    """A click group that knows its commands by name and imports one only when it is asked for."""

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points  # 30 ms that no command of ours should pay

        found = entry_points(group=ENTRY_POINT_GROUP)
        return {point.name: point for point in found if point.name not in COMMANDS}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name, our own and the installed ones, in alphabetical order."""
        return sorted({*COMMANDS, *self._plugins})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None if there is none of that name.

        Raises:
            click.ClickException: An installed plugin could not be imported.
        """
        if row := COMMANDS.get(cmd_name):
            module, _, attribute = row.target.partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return self._load_plugin(self._plugins[cmd_name]) if cmd_name in self._plugins else None

    @staticmethod
    def _load_plugin(point: EntryPoint) -> click.Command:
        try:
            command = point.load()
        except Exception as error:  # someone else's code: whatever it raises is theirs to fix
            raise click.ClickException(
                f"The command {point.name!r} of {_distribution(point)} cannot be loaded: "
                f"{type(error).__name__}: {error}\nUpdate or uninstall {_distribution(point)}."
            ) from error
        if not isinstance(command, click.Command):
            raise click.ClickException(
                f"The command {point.name!r} of {_distribution(point)} is a {type(command).__name__}; "
                f"the entry point {point.value} must be a click command."
            )
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of this project is shown as its message, without a traceback."""
        try:
            return super().invoke(ctx)
        except OpenEnvError as error:
            raise click.ClickException(str(error)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table alone."""
        rows = [
            (name, COMMANDS[name].help if name in COMMANDS else f"From {_distribution(self._plugins[name])}.")
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="openenv", message="%(prog)s %(version)s")
def cli() -> None:
    """Environments for agentic reinforcement learning: make one, serve one, try one."""


def main() -> None:
    """Run the command line of this process and exit with its status."""
    cli(prog_name="openenv")
