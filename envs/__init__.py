"""The environments, importable from a checkout as `envs.echo_env` too.

`envs.echo_env` and `echo_env` are one module under two names: a class imported by either is the same class.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

_HERE = Path(__file__).parent


class _SameModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `envs.NAME` as the module `NAME`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package != __name__ or not (_HERE / name.partition(".")[0] / "__init__.py").is_file():
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(spec.name.partition(".")[2])
        # The import system is about to label the module as `envs...`; its own labels are put back below.
        spec.loader_state = (module.__spec__, module.__loader__)
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        module.__spec__, module.__loader__ = spec.loader_state


if str(_HERE) not in sys.path and importlib.util.find_spec("echo_env") is None:
    sys.path.append(str(_HERE))  # not installed: find them where they are
if not any(isinstance(finder, _SameModule) for finder in sys.meta_path):
    sys.meta_path.insert(0, _SameModule())
