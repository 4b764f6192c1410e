"""A child process that is held in by the system itself: no container engine, no image, no root.

The server sees the files it needs to run and a private `/tmp`, has no network and no processes but its own, and may
use so much of the machine. Every layer that this machine has is used (`openenv.containment`); which are is told by
`layers`, and if none holds its files, nothing is started. The listening socket is made outside and handed in, and
since a listening socket can be turned into a connection, connecting is refused by the kernel besides.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from openenv import containment, settings
from openenv.containment.cgroup import make
from openenv.containment.holding import Holding
from openenv.containment.layers import NAMES, Layers
from openenv.containment.places import outermost, system
from openenv.containment.restrictions import EXIT_UNRESTRICTED
from openenv.errors import ConfigurationError, IsolationError
from openenv.providers import visible
from openenv.providers.local import LocalProvider
from openenv.providers.supervised import SupervisedProcess

__all__ = ["SandboxProvider"]

_logger = logging.getLogger(__name__)

GIB = 1024**3
TMP = "/tmp"  # noqa: S108 - the one inside, which nobody else has

_INHERITED = (
    *("PATH", "LANG", "LANGUAGE", "TZ", "PYTHONHASHSEED", "PYTHONWARNINGS", "PYTHONUTF8", "ENABLE_WEB_INTERFACE"),
    *("MAX_CONCURRENT_ENVS", "OPENENV_MODE", "OPENENV_MAX_MESSAGE_SIZE_MB", "OPENENV_RUN"),
)


class SandboxProvider(LocalProvider):
    """Runs `openenv serve` where it can reach nothing that is not its own. Linux only.

    ```python
    with SandboxProvider("echo_env.server.app:app", memory_bytes=2**30) as provider:
        print(provider.layers)
    ```

    Args:
        target: As for `ProcessProvider`.
        network: Whether the server has the network of this machine, its loopback services included.
        memory_bytes: Memory of all its processes together, files in `/tmp` included; where no control group can
            be made, of each process.
        cpus: How many processors' worth of time it gets; None for no limit. Needs a control group.
        cpu_s: Seconds of CPU time for each process, which is killed then; None for no limit.
        processes: Processes and threads at one time.
        files: Open files of each process.
        file_bytes: The size of a file.
        tmp_bytes: The size of the private `/tmp`.
        read_only: More files and folders to be seen.
        writable: Folders to be seen and written to.
        devices: Device files to be used, such as `/dev/nvidia0`.
        env_vars: Environment variables. Of those of this process it gets `PATH`, the language, the time zone and
            those that `openenv serve` reads, and no others.
        require: Layers that must be active, such as `{"namespaces", "seccomp"}`; see `openenv.containment`.
        without: Layers that are not to be used though this machine has them.
        cwd: Its working folder, which it sees read-only; None for the private `/tmp`.
        python: As for `ProcessProvider`, with the next six.
        ready_timeout_s: Seconds until the server must be healthy.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        max_concurrent_envs: Sessions the server may hold at once.
        log_lines: How many lines of the server's output are kept.
        serve_args: More arguments for `openenv serve`.
        uds: Serve on a Unix domain socket instead of a port.

    Attributes:
        layers: Which layers hold the server; None before the first start.

    Raises:
        ConfigurationError: A folder does not exist, or an option has no meaning.
    """

    kind = "sandbox"

    def __init__(
        self,
        target: str | os.PathLike[str] | None = None,
        *,
        network: bool = False,
        memory_bytes: int = 2 * GIB,
        cpus: float | None = None,
        cpu_s: int | None = None,
        processes: int = 512,
        files: int = 1024,
        file_bytes: int = GIB,
        tmp_bytes: int = GIB,
        read_only: Sequence[str | os.PathLike[str]] = (),
        writable: Sequence[str | os.PathLike[str]] = (),
        devices: Sequence[str | os.PathLike[str]] = (),
        env_vars: Mapping[str, str] | None = None,
        require: Collection[str] = (),
        without: Collection[str] = (),
        cwd: str | os.PathLike[str] | None = None,
        python: str = sys.executable,
        ready_timeout_s: float = 30.0,
        stop_grace_s: float = 5.0,
        max_concurrent_envs: int | None = None,
        log_lines: int = 500,
        serve_args: Sequence[str] = (),
        uds: bool = False,
    ) -> None:
        super().__init__(
            target,
            env_vars=env_vars,
            cwd=cwd,
            python=python,
            ready_timeout_s=ready_timeout_s,
            stop_grace_s=stop_grace_s,
            max_concurrent_envs=max_concurrent_envs,
            log_lines=log_lines,
            serve_args=serve_args,
            uds=uds,
        )
        self.network = network
        self.memory_bytes = memory_bytes
        self.cpus = cpus
        self.limits = {"processes": processes, "files": files, "file_size": file_bytes, "core": 0}
        if cpu_s is not None:
            self.limits["cpu_s"] = cpu_s
        self.tmp_bytes = tmp_bytes
        self.read_only = _existing("read_only", read_only)
        self.writable = _existing("writable", writable)
        self.devices = _existing("devices", devices)
        self.require = _known("require", require)
        self.without = _known("without", without)
        self.layers: Layers | None = None
        self._private: dict[str, str] = {}
        self._groups: list[Path] = []

    def spawn(self, command: list[str], fd: int) -> SupervisedProcess:
        """Start the server's process inside of the layers."""
        package = visible.package_of(self.what())
        if package and visible.exposes_home(package):
            raise ConfigurationError(
                f"{package} is or holds your home; move the environment to a folder of its own."
            )
        search_path = visible.search_path(self._python_path())
        holding = self._holding(
            [*visible.of_interpreter(self.python), *search_path, *([package] if package else [])]
        )
        self.layers = holding.layers
        level = logging.WARNING if self.layers.weaknesses else logging.INFO
        _logger.log(level, "%s: %s", self.ownership.name, self.layers)

        namespaces = "namespaces" in self.layers.active
        tmp = TMP if namespaces else self._private_folder(holding.uid)
        if package:
            search_path.append(os.path.dirname(package) if namespaces else _linked(package, tmp))
        self._private = {"HOME": tmp, "TMPDIR": tmp, "PYTHONPATH": os.pathsep.join(search_path)}
        if "cgroup" in self.layers.active:
            self._groups = self._make_groups()

        folder = os.path.abspath(self.cwd) if self.cwd else tmp
        entry = Path(containment.__file__).with_name("__main__.py")
        restrictions = holding.restrictions(tmp).to_json()
        line = [self.python, "-I", "-S", str(entry), restrictions, "--", *command]
        if namespaces:
            # Not a session of its own: the watchdog has made one, and its signals are to reach the server.
            around = holding.namespaces(tmp_bytes=self.tmp_bytes, folder=folder, new_session=False)
            line = [*around, "--", *line]
        return SupervisedProcess(
            line,
            env=self.environment(),
            cwd=None if namespaces else folder,
            pass_fds=(fd,),
            log_lines=self.log_lines,
            groups=[str(group) for group in self._groups],
            folders=self._folders,
            deaf=namespaces,
        )

    def shutdown(self) -> None:
        """End every process in the sandbox, and remove its private files."""
        super().shutdown()
        while self._groups:
            with contextlib.suppress(OSError):  # gone already, unless the watchdog was killed
                self._groups[-1].rmdir()
            self._groups.pop()

    def check_alive(self) -> None:
        """Raise if the server has ended: IsolationError if it was because a layer could not be had."""
        if self.exit_code() == EXIT_UNRESTRICTED:
            raise self.failure(IsolationError, "A layer of the sandbox could not be had, so nothing was started.")
        super().check_alive()

    def environment(self) -> dict[str, str]:
        """Return all environment variables of the server."""
        around = settings.inherited_environment()
        kept = {name: value for name, value in around.items() if name in _INHERITED or name.startswith("LC_")}
        names = {"USER": "sandbox", "LOGNAME": "sandbox", "OPENENV_OWN_USER": "1" if self._is_apart else "0"}
        return {**kept, **names, **self.own_variables(), **self._private}

    @property
    def _is_apart(self) -> bool:
        """Whether there is nothing inside that belongs to the server's user but was not made by it."""
        return self.layers is not None and not {"namespaces", "uid"}.isdisjoint(self.layers.active)

    def _python_path(self) -> str:
        inherited = settings.inherited_environment().get("PYTHONPATH", "")
        return self.env_vars.get("PYTHONPATH", inherited)

    def _holding(self, needed: Sequence[str]) -> Holding:
        working = [os.path.abspath(self.cwd)] if self.cwd else []
        holding = Holding(
            read=outermost([*system(network=self.network), *needed, *working, *self.read_only]),
            write=self.writable,
            devices=self.devices,
            network=self.network,
            limits=self.limits,
            memory_bytes=self.memory_bytes,
            without=self.without,
            require=self.require,
        )
        if self.cpus is not None and "cgroup" not in holding.layers.active:
            raise IsolationError(f"cpus needs a control group: {holding.layers.absent['cgroup']}. Leave it out.")
        if holding.uid is not None:
            _check_writable(self.writable)
        return holding

    def _private_folder(self, uid: int | None) -> str:
        folder = self.make_folder()
        if uid is not None:
            os.chown(folder, uid, uid)
        return folder

    def _make_groups(self) -> list[Path]:
        totals = {"memory": self.memory_bytes, "processes": self.limits["processes"], "cpus": self.cpus}
        try:
            return make(self.ownership.name, totals)
        except OSError as error:
            raise IsolationError(
                f"No control group can be made: {error}. Leave it out with without={{'cgroup'}}."
            ) from error


def _linked(package: str, tmp: str) -> str:
    """Return a folder of one link, for a search path: the folder beside the package may not be listed."""
    folder = Path(tmp) / ".packages"
    folder.mkdir()
    (folder / os.path.basename(package)).symlink_to(package)
    return str(folder)


def _existing(option: str, paths: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    found = tuple(os.path.abspath(path) for path in paths)
    missing = [path for path in found if not os.path.exists(path)]
    if missing:
        raise ConfigurationError(
            f"{option}: {', '.join(missing)} does not exist; make it first or correct the path."
        )
    return found


def _known(option: str, names: Collection[str]) -> frozenset[str]:
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ConfigurationError(f"{option}: there is no layer {', '.join(unknown)}, only {', '.join(NAMES)}.")
    return frozenset(names)


def _check_writable(folders: Sequence[str]) -> None:
    for folder in folders:
        if not os.stat(folder).st_mode & 0o002:
            raise ConfigurationError(
                f"writable: as you are root, each sandbox is a user of its own, who may not write to {folder}. "
                "Let everybody write to it (chmod o+rwx), or give without={'uid'}."
            )
