"""`openenv ps`: what engines keep for us, whichever program has made it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from openenv.cli.selecting import selecting, where_of

if TYPE_CHECKING:
    from openenv.providers.ownership import OwnedResource
    from openenv.providers.reaping import Survey

__all__ = ["complain", "listing", "ps"]

TITLES = ("PROVIDER", "KIND", "NAME", "STATE", "OWNER", "RUN", "AGE", "EXPIRES", "ID")
ID_SHOWN = 24


@click.command()
@selecting
@click.option("--expired", is_flag=True, help="Only what should be gone already.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def ps(
    providers: tuple[str, ...],
    names: tuple[str, ...],
    runs: tuple[str, ...],
    owners: tuple[str, ...],
    where: tuple[str, ...],
    expired: bool,
    as_json: bool,
) -> None:
    """List what engines keep for programs: containers, services, pods, actors, sandboxes, networks, images.

    Only what carries the labels of a provider is listed. Engines that can not be asked are named below the list.
    """
    from openenv.providers.reaping import Selection, survey

    found = survey(providers, where_of(where))
    selection = Selection(names, runs, owners, expired)
    resources = [resource for resource in found.resources if selection.has(resource)]
    if as_json:
        click.echo(json.dumps({"resources": list(map(_as_data, resources)), "problems": found.problems}, indent=2))
        return
    click.echo("\n".join(listing(resources)) if resources else "Nothing.")
    complain(found)


def listing(resources: Sequence[OwnedResource]) -> list[str]:
    """Return the lines of a table."""
    rows = [TITLES, *map(_row, resources)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def complain(found: Survey) -> None:
    """Say which engines could not be asked."""
    for name, problem in found.problems.items():
        click.echo(f"Not asked: {name}: {problem}", err=True)


def _row(resource: OwnedResource) -> tuple[str, ...]:
    owned = resource.ownership
    now = time.time()
    age = "" if resource.created is None else duration(now - resource.created)
    expires = "never" if owned.expires is None else _until(owned.expires - now)
    return (
        owned.provider,
        resource.kind,
        owned.name,
        resource.state,
        owned.owner,
        owned.run,
        age,
        expires,
        resource.id[:ID_SHOWN],
    )


def _until(seconds: float) -> str:
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"


def duration(seconds: float) -> str:
    """Return seconds as people say it, such as `42s`, `5m` or `3h`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds / size)}{unit}"
    return f"{int(seconds)}s"


def _as_data(resource: OwnedResource) -> dict[str, Any]:
    data = asdict(resource)
    return {**data.pop("ownership"), **data, "expired": resource.expired}
