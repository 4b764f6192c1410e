"""`openenv gc`: remove what programs left behind. The guardian of a killed program runs it, too."""

from __future__ import annotations

import click

from openenv.cli.ps import complain, listing
from openenv.cli.selecting import selecting, where_of

__all__ = ["gc"]


@click.command()
@selecting
@click.option("--all", "everything", is_flag=True, help="Also what is neither expired nor named by another option.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask before --all.")
@click.option("--quiet", is_flag=True, help="Print problems only.")
def gc(
    providers: tuple[str, ...],
    names: tuple[str, ...],
    runs: tuple[str, ...],
    owners: tuple[str, ...],
    where: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    yes: bool,
    quiet: bool,
) -> None:
    """Remove what has outlived its lifetime in engines.

    With --name, --run or --owner, remove what they select, expired or not. Other people's things are among what an
    engine lists: --all removes those as well.

    The exit status is 1 if something could not be removed, or an engine that was named could not be asked.
    """
    from openenv.providers.reaping import Selection, reap, survey

    found = survey(providers, where_of(where))
    selection = Selection(names, runs, owners, expired=not (names or runs or owners or everything))
    resources = [resource for resource in found.resources if selection.has(resource)]
    if resources and not quiet:
        click.echo("\n".join(listing(resources)))
    if dry_run:
        complain(found)
        return
    if everything and resources and not yes:
        click.confirm(f"Remove these {len(resources)}?", abort=True)
    outcomes = reap(resources)
    failed = [(resource, error) for resource, error in outcomes if error is not None]
    if not quiet:
        click.echo(f"{len(outcomes) - len(failed)} removed.")
    for resource, error in failed:
        click.echo(f"Still there: {resource.kind} {resource.id}: {error}", err=True)
    complain(found)
    if failed or (found.problems and providers):
        raise SystemExit(1)
