"""The options of `openenv ps` and `openenv gc` that say which engines and which things are meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["selecting", "where_of"]

_OPTIONS = (
    click.option("--provider", "providers", multiple=True, metavar="NAME", help="Ask only these; all by default."),
    click.option("--name", "names", multiple=True, metavar="NAME", help="Only what has this name."),
    click.option("--run", "runs", multiple=True, metavar="RUN", help="Only what this run has made."),
    click.option("--owner", "owners", multiple=True, metavar="OWNER", help="Only what is this user's."),
    click.option(
        "--where",
        "where",
        multiple=True,
        metavar="KEY=VALUE",
        help="How the engine is reached, for one --provider.",
    ),
)


def selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def where_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return `--where` as a dictionary."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is not of the form KEY=VALUE", param_hint="--where")
    return dict(pair.split("=", 1) for pair in pairs)
