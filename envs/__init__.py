"""The environments, importable from a checkout as `envs.echo_env` too.

`envs.echo_env` and `echo_env` are one module under two names, and so are their submodules: a class imported by
either name is the same class. An installed package is what both names mean; one that is not installed is found
in this folder.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

_HERE = Path(__file__).resolve().parent


class _SameModule(MetaPathFinder, Loader):
    """Finds `envs.NAME` as the module `NAME`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import `envs.NAME` if there is a module `NAME`."""
        package, _, name = fullname.partition(".")
        environment = name.partition(".")[0]
        if package != __name__ or not environment or not (_HERE / environment / "__init__.py").is_file():
            return None
        if name == environment:
            _make_importable(environment)
        if name not in sys.modules and find_spec(name) is None:
            return None
        return ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Put the module itself in the place of the empty one that was made for this name."""
        sys.modules[module.__name__] = import_module(module.__name__.partition(".")[2])


def _make_importable(environment: str) -> None:
    """See to it that an environment can be imported by its own name."""
    if environment in sys.modules:
        return
    spec = find_spec(environment)
    if spec is None:
        sys.path.append(str(_HERE))
    elif spec.origin is None or Path(spec.origin).resolve().parent != _HERE / environment:
        warnings.warn(
            f"{__name__}.{environment} is the installed package at {spec.origin}, not the one of this checkout; "
            f"pip install -e {_HERE / environment} makes them one",
            stacklevel=2,
        )


# A second import of this module, after somebody has forgotten the first, replaces what that has left.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != __name__]
sys.meta_path.insert(0, _SameModule())
