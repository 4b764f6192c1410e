"""`openenv init`: make an environment package that installs, serves and passes its tests before it is edited.

The package is copied from the files in `template/`. A file there is named like the file it becomes plus
`.tmpl`, with `NAME` where the package's name goes. Its text is a `string.Template`: `$name` the package
(`my_env`), `$prefix` what its classes start with (`My`), `$client` the client class (`MyEnv`), `$title` its
name for people (`My`), `$dashed` its name with dashes (`my-env`). A dollar sign is written `$$`.
"""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path
from string import Template

import click

TEMPLATE = Path(__file__).parent / "template"
SUFFIX = ".tmpl"


@click.command()
@click.argument("name")
@click.option(
    "--output-dir",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to make the package's folder; here by default.",
)
def init(name: str, output_dir: Path) -> None:
    """Make a new environment package that runs as it is.

    NAME is the package's name, such as my_env. The package holds a small game; change its rules, actions and
    observations into yours.
    """
    package = checked_name(name)
    folder = output_dir / package
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise click.ClickException(f"{folder} exists and is not empty; choose another name or folder.")
    files = render(package)
    for place, text in files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    click.echo(f"Made {folder} with {len(files)} files.\n\n{_next_steps(package, folder)}")


def checked_name(name: str) -> str:
    """Return the package name for what was typed; `my-env` becomes `my_env`.

    Raises:
        click.BadParameter: It cannot be a package's name, or it is one that Python or OpenEnv uses.
    """
    package = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package):
        raise click.BadParameter(
            f"{name!r} cannot be a package's name. Use small letters, digits and underscores, and begin "
            f"with a letter{_suggestion(name)}.",
            param_hint="NAME",
        )
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package == "openenv":
        raise click.BadParameter(
            f"{package!r} means something else to Python. Try {package}_env.", param_hint="NAME"
        )
    return package


def _suggestion(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", Path(name).name)
    better = re.sub(r"\W+", "_", words.lower(), flags=re.ASCII).strip("_")
    return f": {better}" if re.match(r"[a-z]", better) else ", as in my_env"


def class_prefix(package: str) -> str:
    """Return what the package's classes start with: `Echo` for `echo_env` and for `echo`."""
    words = [word for word in package.removesuffix("_env").split("_") if word]
    return "".join(word[0].upper() + word[1:] for word in words)


def render(package: str) -> dict[Path, str]:
    """Return the package's files by their place in it."""
    prefix = class_prefix(package)
    values = {
        "name": package,
        "prefix": prefix,
        "client": f"{prefix}Env",
        "title": re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", prefix),
        "dashed": package.strip("_").replace("_", "-"),
    }
    files = {}
    for source in sorted(TEMPLATE.rglob(f"*{SUFFIX}")):
        place = str(source.relative_to(TEMPLATE)).removesuffix(SUFFIX).replace("NAME", package)
        files[Path(place)] = Template(source.read_text(encoding="utf-8")).substitute(values)
    return files


def _next_steps(package: str, folder: Path) -> str:
    steps = {
        f"cd {folder}": "",
        "pip install -e '.[dev]'": "install it, with pytest",
        "pytest": "see that it works",
        "openenv dev": "play it at http://127.0.0.1:8000/web while you write it",
    }
    width = max(map(len, steps))
    lines = [f"  {command:{width}}  {what}".rstrip() for command, what in steps.items()]
    return "\n".join(
        [
            "Next:",
            *lines,
            "",
            f"The rules are in server/{package}_environment.py, what is sent and seen in models.py.",
        ]
    )
