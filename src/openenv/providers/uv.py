"""An environment that is not installed, in a Python environment of its own that uv makes.

What the project depends on is installed into a virtual environment that is kept for its content: the same project
file, interpreter and `openenv` find it ready at the next start. The project itself is served from where it lies, so
that an edit needs no new installation, and nothing is written there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openenv import settings
from openenv.errors import ConfigurationError
from openenv.providers.local import LOOPBACK, LocalProvider
from openenv.providers.source import DEFAULT_APP, Source
from openenv.providers.spellings import RuntimeProvider
from openenv.providers.uv_tool import Uv, is_git

__all__ = ["UVProvider"]

_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


class UVProvider(RuntimeProvider, LocalProvider):
    """Runs an environment's project with what it depends on, installed by uv. Needs the extra `uv`.

    ```python
    with UVProvider("path/to/my_env") as provider:
        env = MyEnv(base_url=provider.base_url)
    ```

    Args:
        project_path: The project's folder, or a Git URL such as `https://host/owner/my_env.git` or
            `git+file:///srv/my_env@v1#subdirectory=envs/my_env`.
        app: The app as `module:attribute`, seen from the project's folder.
        host: Address to listen on.
        port: Port to listen on; None takes a free one.
        reload: Whether to start again whenever a source file changes.
        env_vars: Environment variables on top of those of this process.
        context_timeout_s: Seconds until the server must be healthy.
        create_timeout_s: Seconds that fetching and installing may take.
        python: The interpreter that the environment is made for; uv takes a path or a version.
        cache: The folder for environments and fetched projects; None takes `OPENENV_CACHE`, or the user's.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        max_concurrent_envs: Sessions the server may hold at once; None leaves it to the environment.

    Raises:
        ConfigurationError: There is no project there.
    """

    kind = "uv"

    def __init__(
        self,
        project_path: str | os.PathLike[str],
        app: str = DEFAULT_APP,
        host: str = LOOPBACK,
        reload: bool = False,
        env_vars: Mapping[str, str] | None = None,
        context_timeout_s: float = 60.0,
        *,
        port: int | None = None,
        create_timeout_s: float = 600.0,
        python: str = sys.executable,
        cache: str | os.PathLike[str] | None = None,
        stop_grace_s: float = 5.0,
        max_concurrent_envs: int | None = None,
    ) -> None:
        super().__init__(
            env_vars=env_vars,
            ready_timeout_s=context_timeout_s,
            stop_grace_s=stop_grace_s,
            max_concurrent_envs=max_concurrent_envs,
            serve_args=("--reload",) if reload else (),
        )
        self.project_path = os.fspath(project_path)
        if not is_git(self.project_path) and not (Path(self.project_path) / "pyproject.toml").is_file():
            raise ConfigurationError(
                f"{self.project_path} is no project: there is no pyproject.toml. Give the environment's folder, or "
                "a Git URL."
            )
        self.app = app
        self.reload = reload
        self.address = (host, port or 0)
        self.create_timeout_s = create_timeout_s
        self.interpreter = python
        self.cache = Path(cache) if cache is not None else settings.cache_folder()
        self._given_env = dict(self.env_vars)
        self._target = self.project_path

    def start(  # type: ignore[override]
        self,
        port: int | None = None,
        env_vars: Mapping[str, str] | None = None,
        workers: int = 1,
        **_: Any,
    ) -> str:
        """Make the environment if it is not there, start the server and return its base URL.

        Args:
            port: Port to listen on; None takes that of the provider.
            env_vars: Environment variables on top of the provider's, for this start.
            workers: Number of server processes.

        Raises:
            ConfigurationError: There is no uv, or the project is none.
            ProviderStartError: The project could not be fetched or installed.
        """
        if self.reload and workers > 1:
            raise ConfigurationError("reload watches one server; leave out workers.")
        self._process = None  # its log may have secrets that were given for that start only
        self.env_vars = {**self._given_env, **(env_vars or {})}
        self.serve_args = ("--reload",) * self.reload + (("--workers", str(workers)) if workers > 1 else ())
        given = self.address
        self.address = (given[0], given[1] if port is None else port)
        try:
            self._prepare()
            return LocalProvider.launch(self, Source())[0]
        finally:
            self.address = given

    def stop(self) -> None:
        """Stop the server; the environment is kept for the next start."""
        LocalProvider.shutdown(self)

    def what(self) -> str:
        """Return what to serve: the folder, or the app in it if that is not what the folder says."""
        return self._target

    def environment(self) -> dict[str, str]:
        """Return all environment variables of the server: none that lead to this program's own packages."""
        around = settings.inherited_environment()
        kept = {name: value for name, value in around.items() if name not in _OURS}
        # The project's folder is left as it is, compiled files included.
        return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **self.own_variables()}

    def _prepare(self) -> None:
        tool = Uv(self.cache, self.create_timeout_s, self.env_vars)
        folder = tool.fetched(self.project_path) if is_git(self.project_path) else Path(self.project_path).resolve()
        self.python = str(tool.environment_of(folder, self.interpreter))
        if self.app == DEFAULT_APP:
            self._target, self.cwd = str(folder), folder
        elif (folder / "__init__.py").is_file():  # the folder is the package
            self._target, self.cwd = f"{folder.name}.{self.app}", folder.parent
        else:
            self._target, self.cwd = self.app, folder
