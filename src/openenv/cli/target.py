"""What `openenv serve` is pointed at, found and loaded: a folder, an installed package or `module:object`.

An environment folder is a package by itself: `echo_env/` holds `__init__.py`, `models.py`, `client.py` and
`server/app.py`. It is always imported under the package's one name, never as a bare `server.app`, so that the
classes the server uses are the classes that everybody else imports.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
import traceback
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["Target", "load", "locate"]

DEFAULT_APP = "server.app:app"


@dataclass(frozen=True)
class Target:
    """One thing that can be served.

    Attributes:
        name: What people call the environment.
        module: The module that holds the app, importable in this process.
        attribute: The app, or an Environment class, in that module; may have dots.
        folder: The environment's folder, if it was found by one.
        portable: Whether another process that gets this one's `sys.path` can import the module too.
    """

    name: str
    module: str
    attribute: str
    folder: Path | None = None
    portable: bool = True

    @property
    def import_string(self) -> str:
        """Return `module:attribute`."""
        return f"{self.module}:{self.attribute}"


def locate(text: str) -> Target:
    """Return what `text` stands for and make it importable; its own code is not run yet.

    Args:
        text: A folder (`.`), the name of an installed environment package (`echo_env`), or
            `module:attribute` (`my_project.app:app`), tried in this order.

    Raises:
        click.ClickException: It stands for nothing, or the folder holds no environment.
    """
    path = Path(text)
    if path.is_dir():
        return _in_folder(path.resolve())
    if path.is_file():
        raise click.ClickException(f"{text} is a file; give the environment's folder: {path.parent}")
    module, colon, attribute = text.partition(":")
    if colon:
        if not module or not attribute:
            raise click.ClickException(f"{text!r} is not module:attribute, as in 'my_project.app:app'.")
        _search(Path.cwd(), first=True)
        return Target(name=attribute, module=module, attribute=attribute)
    spec = _spec(text) if text.isidentifier() else None
    if spec is not None and spec.submodule_search_locations:
        return _in_folder(Path(next(iter(spec.submodule_search_locations))).resolve())
    raise click.ClickException(
        f"No environment at {text!r}: there is no such folder and no installed package of that name.\n"
        "Give an environment's folder, a package name or module:app. 'openenv init NAME' makes a new one."
    )


def load(target: Target) -> tuple[ASGIApp, bool]:
    """Import the target and return its app, and whether another process could import that app by its name.

    An Environment class is wrapped into an app, which then has no name of its own.

    Raises:
        click.ClickException: The import failed, the object is missing, or it is no app. What went wrong
            in the environment's own code is the `__cause__`.
    """
    found: Any = _import(target)
    for part in target.attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise click.ClickException(
                f"{target.module} has no {target.attribute!r}. {_offer(target.module)}"
            ) from error
    try:
        app = _as_app(found, target)
    except ConfigurationError as error:
        raise click.ClickException(f"{target.import_string} cannot be served: {error}") from error
    return app, app is found and target.portable


def _offer(module: str) -> str:
    """Return what could be named instead, for an error."""
    from openenv.environment import Environment
    from openenv.server.serving import served

    def can_be_served(found: object) -> bool:
        if isinstance(found, type):
            return issubclass(found, Environment) and found.__module__ == module
        return served(found) is not None

    names = [name for name, found in vars(sys.modules[module]).items() if can_be_served(found)]
    if names:
        return f"It has {', '.join(f'{module}:{name}' for name in names)}."
    return "Name an app that openenv.server.create_app has made, or an Environment class."


def _as_app(found: Any, target: Target) -> ASGIApp:
    from openenv.environment import Environment
    from openenv.server import create_app

    if isinstance(found, type | Environment):
        wrapped: ASGIApp = create_app(found, env_name=target.name)
        return wrapped
    if not callable(found):
        raise ConfigurationError(
            f"it is {found!r:.100}, neither an app nor an Environment class. "
            "Make the app with openenv.server.create_app."
        )
    app: ASGIApp = found
    return app


# --- folders ------------------------------------------------------------------------------------


def _in_folder(folder: Path) -> Target:
    manifest = read_manifest(folder)
    app = manifest.get("app", DEFAULT_APP)
    if not isinstance(app, str) or ":" not in app:
        raise click.ClickException(
            f"{folder / 'openenv.yaml'}: 'app' is {app!r}; write module:attribute, as in {DEFAULT_APP!r}."
        )
    package = package_name(folder)
    module, _, attribute = app.partition(":")
    module = module.removeprefix(f"{package}.")
    if not _holds(folder, module):
        raise click.ClickException(
            f"No environment in {folder}: there is no {module.replace('.', '/')}.py.\n"
            "Give the folder that holds openenv.yaml, or make one with 'openenv init NAME'."
        )
    name = str(manifest.get("name") or package)
    if not (folder / "__init__.py").is_file():
        _search(folder, first=True)
        return Target(name, module, attribute, folder)
    portable = _make_importable(package, folder)
    return Target(name, f"{package}.{module}", attribute, folder, portable)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the content of the folder's `openenv.yaml`, empty if there is none.

    Raises:
        click.ClickException: It is not YAML, or not a mapping.
    """
    path = folder / "openenv.yaml"
    if not path.is_file():
        return {}
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise click.ClickException(f"{path} must hold 'key: value' lines, not a {type(content).__name__}.")
    return content


def package_name(folder: Path) -> str:
    """Return the name a folder is imported under: what its pyproject.toml maps to ".", else its own name.

    The folder of a checkout or an image may be called anything; the package's imports of itself may not.
    """
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        mapping = project["tool"]["setuptools"]["package-dir"]
        return next(str(name) for name, place in mapping.items() if name and Path(place) == Path("."))
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, StopIteration):
        return folder.name.replace("-", "_")


def _holds(folder: Path, module: str) -> bool:
    place = folder.joinpath(*module.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def _make_importable(package: str, folder: Path) -> bool:
    """Make `import package` find the folder; return whether `sys.path` alone does it."""
    _search(folder, first=False)  # packages of older releases fall back to `from models import ...`
    if folder.name == package:
        if not _found_in(package, folder):
            _search(folder.parent, first=True)
        return True
    if _found_in(package, folder):  # installed in editable mode
        return True
    sys.meta_path.insert(0, _FolderFinder(package, folder))
    return False


def _found_in(package: str, folder: Path) -> bool:
    spec = _spec(package)
    return bool(spec and spec.origin and Path(spec.origin).resolve().parent == folder)


class _FolderFinder:
    """Finds one package in a folder of another name, and nothing else."""

    def __init__(self, package: str, folder: Path) -> None:
        self._package = package
        self._folder = folder

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self._package:
            return None
        return spec_from_file_location(
            name, self._folder / "__init__.py", submodule_search_locations=[str(self._folder)]
        )


def _search(folder: Path, *, first: bool) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0 if first else len(sys.path), str(folder))


def _spec(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except (ImportError, ValueError):
        return None


# --- what went wrong ----------------------------------------------------------------------------


def _import(target: Target) -> Any:
    try:
        return importlib.import_module(target.module)
    except Exception as error:  # the environment's own code: anything can come out of it
        raise click.ClickException(_explain(error, target)) from error


def _explain(error: Exception, target: Target) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{target.module}.".startswith(f"{missing}."):
        return f"There is no module {missing!r} here. Run this where it can be imported, or install it."
    last_line = traceback.format_exception_only(error)[-1].strip()
    text = f"{target.module} cannot be imported.\n  {last_line}{_where(error, target)}\n"
    if missing:
        text += f"Install the environment with what it needs: pip install -e {target.folder or '.'}\n"
    return text + "'--log-level debug' shows the whole traceback."


def _where(error: Exception, target: Target) -> str:
    """Return the innermost place in the environment's own files, as ` (server/app.py, line 3)`."""
    if target.folder is None:
        return ""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):  # it is in a file that has no frame, for nothing of it was run
        places.append((error.filename or "", error.lineno))
    for name, line in reversed(places):
        path = Path(name)
        if path.is_relative_to(target.folder):
            return f" ({path.relative_to(target.folder)}, line {line})"
    return ""
