"""A PostgreSQL server of this process: private, on a Unix socket, gone when the process is, by whatever way."""

import atexit
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from openenv.errors import ConfigurationError, WorkspaceLostError

__all__ = ["PostgresServer", "programs"]

END_S = 15.0
ADMINISTRATOR = "openenv"
_GUARDIAN = Path(__file__).with_name("postgres_guardian.py")


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, of the newest version that is installed.

    Raises:
        ConfigurationError: There is none.
    """
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))])
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    if initdb and server:
        return Path(os.path.realpath(initdb)).parent
    raise ConfigurationError(
        "PostgreSQL is not installed: apt-get install postgresql, or name an existing server by its DSN"
    )


class PostgresServer:
    """One server; it is started when its address is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guardian: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._owner = 0

    def dsn(self) -> str:
        """Return how an administrator connects to it; blocks until it answers.

        Raises:
            ConfigurationError: PostgreSQL is not installed.
            WorkspaceLostError: It cannot be started.
        """
        with self._lock:
            if self._guardian is None or self._guardian.poll() is not None or self._owner != os.getpid():
                self._start()
            return f"host={self._folder} user={ADMINISTRATOR} dbname=postgres"

    def close(self) -> None:
        """End it, and wait until it and its folder are gone. May be called more than once."""
        with self._lock:
            guardian, self._guardian = self._guardian, None
            if guardian is None or self._owner != os.getpid():
                return
            assert guardian.stdin is not None
            assert guardian.stdout is not None
            guardian.stdin.close()
            try:
                guardian.wait(END_S)
            except subprocess.TimeoutExpired:
                guardian.kill()
                guardian.wait()
            guardian.stdout.close()

    def _start(self) -> None:
        found = programs()
        self._folder = tempfile.mkdtemp(prefix="sql-env-")  # short: the path of a socket has 107 bytes at most
        command = [sys.executable, "-I", str(_GUARDIAN), self._folder, str(found), _user()]
        self._guardian = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, cwd="/"
        )
        self._owner = os.getpid()
        atexit.register(self.close)
        assert self._guardian.stdout is not None
        if self._guardian.stdout.readline().strip() != b"started":
            self._guardian.wait()
            shutil.rmtree(self._folder, ignore_errors=True)
            raise WorkspaceLostError("PostgreSQL cannot be started; the output of this process says why")


def _user() -> str:
    """Return whom the server runs as, if this process is root's: PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise ConfigurationError("PostgreSQL does not run as root, and there is no user postgres or nobody")
