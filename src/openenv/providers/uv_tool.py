"""uv, and git where a project is fetched: virtual environments and checkouts that are kept by content.

What is kept is made under a lock in a place of its own and counts only once it is whole, so two programs that want
the same make it once, and one that was killed leaves nothing that is taken for ready.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from openenv import settings
from openenv._version import __version__
from openenv.errors import ConfigurationError, ProviderStartError
from openenv.providers.redaction import redact

__all__ = ["Uv", "is_git"]

_GIT = re.compile(r"^(git\+|git@|ssh://|git://|file://)|^https?://.*\.git(@|#|$)")
_URL = re.compile(r"^(?P<url>.*?)(@(?P<ref>[^@/#:]+))?(#subdirectory=(?P<folder>[^#]*))?$")
_COMMIT = re.compile(r"[0-9a-f]{4,64}")
_READY = ".openenv-ready"
_LOOK_S = 0.05


def is_git(text: str) -> bool:
    """Return whether this names a Git repository and not a folder."""
    return bool(_GIT.match(text))


class Uv:
    """Makes what a project needs.

    Args:
        cache: Where it is kept.
        budget_s: Seconds for all that one start needs.
        env_vars: Variables whose secrets are hidden in errors.

    Raises:
        ConfigurationError: There is no uv.
    """

    def __init__(self, cache: Path, budget_s: float, env_vars: Mapping[str, str]) -> None:
        self._cache = cache
        self._budget_s = budget_s
        self._end = time.monotonic() + budget_s
        self._env_vars = env_vars
        self._uv = _found("uv", "uv is not installed: pip install 'openenv[uv]'")

    def environment_of(self, project: Path, python: str) -> Path:
        """Return the interpreter of a virtual environment that has what a project depends on, and `openenv`.

        Args:
            project: The project's folder.
            python: The interpreter to make it for, as uv takes it.

        Raises:
            ProviderStartError: Something could not be installed, or it took longer than the budget.
        """
        description = (project / "pyproject.toml").read_bytes()
        key = _digest(description, python.encode(), __version__.encode(), _content(_checkout()))
        folder = self._cache / "uv" / key
        interpreter = folder / "bin" / "python"
        with self._made_once(folder) as missing:
            if missing:
                self._run([self._uv, "venv", "--quiet", "--python", python, str(folder)], "make an environment")
                overrides = folder / "overrides.txt"
                overrides.write_text(_overrides())
                install = [self._uv, "pip", "install", "--quiet", "--python", str(interpreter)]
                install += ["--override", str(overrides), "--reinstall-package", "openenv"]
                self._run([*install, "-r", str(project / "pyproject.toml"), "openenv"], f"install {project}")
        return interpreter

    def fetched(self, text: str) -> Path:
        """Return the folder of a project that lies in a Git repository, as it is there now.

        Args:
            text: `[git+]URL[@REF][#subdirectory=FOLDER]`. The ref is a tag, a branch or a commit, looked for in
                this order; without one it is what the repository's HEAD is.

        Raises:
            ProviderStartError: It cannot be fetched, or has no such ref.
            ConfigurationError: There is no git, or no project in there.
        """
        parts = _URL.match(text.removeprefix("git+"))
        assert parts is not None
        url, ref, inner = parts["url"], parts["ref"] or "HEAD", parts["folder"] or ""
        git = _found("git", "git is not installed; fetch the project yourself and give its folder")
        commit = self._commit(git, url, ref)
        folder = self._cache / "git" / _digest(url.encode(), commit.encode()) / _name(url)
        with self._made_once(folder) as missing:
            if missing:
                self._run([git, "clone", "--quiet", "--no-checkout", "--", url, str(folder)], f"fetch {url}")
                self._run(
                    [git, "-C", str(folder), "checkout", "--quiet", "--detach", commit], f"find {ref} in {url}"
                )
        project = folder / inner
        if not (project / "pyproject.toml").is_file():
            raise ConfigurationError(f"{text} is no project: there is no pyproject.toml in {inner or 'it'}.")
        return project

    def _commit(self, git: str, url: str, ref: str) -> str:
        """Return the commit that a ref of a repository is now."""
        # The first is the commit that an annotated tag stands for.
        names = ["HEAD"] if ref == "HEAD" else [f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}"]
        said = self._run([git, "ls-remote", "--", url, *names], f"ask {url} for {ref}")
        # Git also tells names that only end like these.
        commits = {name: commit for commit, _, name in (line.partition("\t") for line in said.splitlines())}
        for name in names:
            if name in commits:
                return commits[name]
        if _COMMIT.fullmatch(ref):
            return ref
        raise ProviderStartError(
            self._hidden(f"Could not find {ref} in {url}: it is no tag, branch or commit there.")
        )

    @contextlib.contextmanager
    def _made_once(self, folder: Path) -> Iterator[bool]:
        """Give whether a folder has to be made, by this program alone; it counts if the block does not fail."""
        marker = folder.with_name(folder.name + _READY)
        if marker.exists():
            yield False
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(folder.with_name(folder.name + ".lock"), "w") as lock:
            self._wait_for(lock.fileno())
            if marker.exists():
                yield False
                return
            shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
            try:
                yield True
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            marker.touch()

    def _wait_for(self, lock: int) -> None:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > self._end:
                    raise self._late("wait for another program that makes the same environment") from None
                time.sleep(_LOOK_S)

    def _run(self, command: Sequence[str], what: str) -> str:
        variables = {**settings.inherited_environment(), "GIT_TERMINAL_PROMPT": "0", "UV_NO_PROGRESS": "1"}
        for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
            variables.pop(name, None)
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                env=variables,
                timeout=max(self._end - time.monotonic(), 0.001),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._late(what) from None
        if done.returncode:
            raise ProviderStartError(self._hidden(f"Could not {what}:\n{done.stderr.strip()[-2000:]}"))
        return done.stdout

    def _late(self, what: str) -> ProviderStartError:
        return ProviderStartError(
            self._hidden(
                f"Could not {what} within the create budget of {self._budget_s:g} s. If it needs longer, set "
                "create_timeout_s."
            )
        )

    def _hidden(self, text: str) -> str:
        return redact(text, self._env_vars)


def _found(name: str, otherwise: str) -> str:
    """Return a program on the PATH, or beside this interpreter, where pip puts uv."""
    beside = Path(sysconfig.get_path("scripts")) / name
    path = shutil.which(name) or (str(beside) if beside.is_file() else None)
    if path is None:
        raise ConfigurationError(f"{otherwise}.")
    return path


def _checkout() -> Path | None:
    """Return the folder of the checkout that this `openenv` is imported from; None if it is installed."""
    folder = Path(__file__).resolve().parents[3]
    described = folder / "pyproject.toml"
    return folder if described.is_file() and 'name = "openenv"' in described.read_text(encoding="utf-8") else None


def _overrides() -> str:
    """Return what is installed as `openenv`, whatever version a project names: this one. Its old name is in it."""
    folder = _checkout()
    own = f"openenv @ {folder.as_uri()}" if folder else f"openenv=={__version__}"
    return f"{own}\nopenenv-core ; python_version < '3'\n"


def _content(folder: Path | None) -> bytes:
    if folder is None:
        return b""
    files = [folder / "pyproject.toml", *sorted((folder / "src" / "openenv").rglob("*.py"))]
    return "\n".join(_digest(str(file).encode(), file.read_bytes()) for file in files).encode()


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()[:24]


def _name(url: str) -> str:
    """Return the folder's name, which may be the package's, too."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", os.path.basename(url.rstrip("/"))).removesuffix(".git") or "project"
