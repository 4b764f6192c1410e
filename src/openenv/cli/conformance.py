"""`openenv conformance`: hold a running server, in any language, against the protocol."""

from __future__ import annotations

import json
from typing import Any

import click

from openenv.errors import ConfigurationError, ConnectionFailedError
from openenv.validation import report
from openenv.validation.checks import Verdict, run, select

COLOURS = {Verdict.OK: "green", Verdict.FAILED: "red", Verdict.SKIPPED: "yellow"}


class NotTested(click.ClickException):
    """Nothing was found out about the server."""

    exit_code = 2  # 1 says that a check failed


@click.command()
@click.argument("url", required=False)
@click.option(
    "--version", default="all", show_default=True, type=click.Choice(("1", "2", "all")), help="Which wire version."
)
@click.option("--action", metavar="JSON", help="A legal action. By default one is made up from GET /schema.")
@click.option("--bad-action", metavar="JSON", help="An action that is not legal.")
@click.option("--only", multiple=True, metavar="NAME", help="Run only these checks; * stands for anything.")
@click.option("--skip", multiple=True, metavar="NAME", help="Leave these checks out.")
@click.option(
    "--timeout",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds an answer may take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--list", "listing", is_flag=True, help="Print the names of the checks and what they are about.")
def conformance(
    url: str | None,
    version: str,
    action: str | None,
    bad_action: str | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    timeout: float,
    as_json: bool,
    listing: bool,
) -> None:
    """Hold a running server against the protocol.

    URL is its address, such as http://127.0.0.1:8000 or unix:///run/env.sock. The checks open sessions of their
    own, and play in them; the one that all callers of POST /reset share is reset, too.

    The exit status is 0 if no check failed, 1 if one did, and 2 if the server could not be tested.
    """
    from openenv.validation.conformance import ServerUnderTest, checks_of  # loads HTTP and WebSocket libraries

    try:
        checks = select(checks_of(version), only, skip)
    except ConfigurationError as error:
        raise click.UsageError(error.message) from error
    if listing:
        click.echo("\n".join(report.listing(checks)))
        return
    if url is None:
        raise click.UsageError("Missing argument 'URL', such as http://127.0.0.1:8000.")
    given = {name: _json(text, name) for name, text in (("action", action), ("bad_action", bad_action)) if text}
    try:
        with ServerUnderTest(url, timeout_s=timeout, **given) as server:
            server.reach()
            results = list(run(checks, server, server.clean_up))
    except (ConfigurationError, ConnectionFailedError) as error:
        raise NotTested(error.message) from error
    if as_json:
        click.echo(json.dumps(report.as_data(results, url=server.url, version=version), indent=2))
    else:
        click.echo("\n".join(report.lines(results, _painted)))
        click.echo(f"\n{report.summary(results)}")
    if any(result.verdict is Verdict.FAILED for result in results):
        raise SystemExit(1)


def _painted(verdict: Verdict, text: str) -> str:
    return click.style(text, fg=COLOURS[verdict])


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        option = f"--{name.replace('_', '-')}"
        raise click.BadParameter(f"{text!r} is not JSON: {error}", param_hint=option) from error
