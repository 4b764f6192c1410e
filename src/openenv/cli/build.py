"""`openenv build`: an environment's container image, with Docker or Podman."""

from __future__ import annotations

from pathlib import Path

import click

ENGINES = ("docker", "podman")


@click.command()
@click.argument("folder", metavar="[PATH]", default=".", type=click.Path(path_type=Path))
@click.option("--tag", "-t", help="The image's name; by default the environment's, as in echo-env:latest.")
@click.option("--push", metavar="REGISTRY", help="Push it there, too: ghcr.io/me, 127.0.0.1:5000.")
@click.option(
    "--engine", type=click.Choice(ENGINES), help="What builds it; by default the first of them that answers."
)
@click.option(
    "--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="A value for an ARG of the Dockerfile."
)
@click.option("--no-cache", is_flag=True, help="Do every step again.")
@click.option("--released", is_flag=True, help="Take openenv from the package index, not this installation's.")
@click.option("--verbose", "-v", is_flag=True, help="Show all that the engine writes.")
def build(
    folder: Path,
    tag: str | None,
    push: str | None,
    engine: str | None,
    build_args: tuple[str, ...],
    no_cache: bool,
    released: bool,
    verbose: bool,
) -> None:
    """Build an environment's container image.

    PATH is the environment's folder, this one by default; nothing in it is changed. In the image is the openenv
    that runs here, and the versions of all else are those of the folder's constraints.txt or, without one, those
    that openenv itself was tested or installed with.
    """
    from openenv.images import build_image, find_engine

    values = dict(_pair(text) for text in build_args)
    built = build_image(
        folder,
        tag=tag,
        engine=find_engine(engine),
        build_args=values,
        push=push,
        no_cache=no_cache,
        released=released,
        tell=click.echo,
        verbose=verbose,
    )
    click.echo(f"Built {built.tag}: {built.size / 1e6:.0f} MB, in {built.seconds:.0f} s.")
    if built.pushed:
        click.echo(f"Pushed {built.pushed}.")
    click.echo(f"\nTry it:  {built.engine} run --rm -p 127.0.0.1:8000:8000 {built.tag}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--build-arg")
    return name, value
