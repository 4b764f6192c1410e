"""What an escape would harm: files, processes and services of this machine, made for one run and looked at here.

Everything is new and has a random token in it, so whatever a probe brings back tells whether it came from here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

__all__ = ["Host"]

TOKEN_VARIABLE = "OPENENV_ESCAPE_TOKEN"


class Host:
    """Use it as a context manager.

    Attributes:
        token: What must not be found inside.
        home: A folder in the user's home.
        secret: A file in there, with the token.
        open: A folder that everybody may write to.
        file: A file in there that everybody may write to.
        mountpoint: An empty folder in there.
        victim: The process id of a process of this user, with the token in its environment and command line.
        address: An address of this machine besides loopback; loopback if it has none.
        port, udp_port: Where this machine listens, on all addresses.
        unix, datagram, abstract: Unix sockets that it listens on.
    """

    def __enter__(self) -> Self:
        self.token = f"token-{secrets.token_hex(12)}"
        self._heard: list[str] = []
        self._closing = contextlib.ExitStack()
        try:
            self._make_files()
            self._make_process()
            self._make_services()
            os.environ[TOKEN_VARIABLE] = self.token
            self._closing.callback(os.environ.pop, TOKEN_VARIABLE, None)
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _make_files(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=".openenv-escape-", dir=Path.home()))
        self._closing.callback(shutil.rmtree, self.home, ignore_errors=True)
        self.secret = self.home / "id_ed25519"
        self.secret.write_text(f"{self.token}\n")
        (self.home / f"{self.token}.txt").touch()
        self.open = Path(tempfile.mkdtemp(prefix="openenv-escape-"))
        self._closing.callback(shutil.rmtree, self.open, ignore_errors=True)
        self.open.chmod(0o777)
        self.mountpoint = self.open / "mountpoint"
        self.mountpoint.mkdir()
        self._closing.callback(self._unmount)
        self.file = self.open / "file"
        self.renew_file()

    def renew_file(self) -> None:
        """Put the file back as it was."""
        self.file.unlink(missing_ok=True)
        self.file.write_text(self.token)
        self.file.chmod(0o666)

    def _make_process(self) -> None:
        self._closing.callback(self._end_victim)
        self._victim: subprocess.Popen[bytes] | None = None
        self.renew_victim()

    def renew_victim(self) -> None:
        """Have a living victim, at its usual priority."""
        self._end_victim()
        self._victim = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import time; print(flush=True); time.sleep(3600)", self.token],
            env={TOKEN_VARIABLE: self.token},
            start_new_session=True,
            stdout=subprocess.PIPE,
        )
        assert self._victim.stdout is not None
        self._victim.stdout.readline()  # what signals it gets from now on are not for its parent

    def _end_victim(self) -> None:
        if self._victim is not None:
            self._victim.kill()
            self._victim.wait()
            assert self._victim.stdout is not None
            self._victim.stdout.close()

    def _make_services(self) -> None:
        self.address = _outward_address()
        tcp = socket.create_server(("", 0))
        self.port = tcp.getsockname()[1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("", 0))
        self.udp_port = udp.getsockname()[1]
        self.unix, self.datagram = str(self.open / "stream"), str(self.open / "datagram")
        stream = socket.socket(socket.AF_UNIX)
        stream.bind(self.unix)
        datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        datagram.bind(self.datagram)
        self.abstract = f"@openenv-escape-{self.token}"
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind(self.abstract.replace("@", "\0", 1))
        for path in (self.unix, self.datagram):
            os.chmod(path, 0o666)
        for listener in (stream, abstract):
            listener.listen()
        for name, service in {
            "tcp": tcp,
            "udp": udp,
            "unix": stream,
            "datagram": datagram,
            "abstract": abstract,
        }.items():
            listens = name not in ("udp", "datagram")
            thread = threading.Thread(target=self._serve, args=(name, service, listens), daemon=True)
            thread.start()
            self._closing.callback(thread.join, 10)
            self._closing.callback(service.close)
            self._closing.callback(_shut, service)

    def _serve(self, name: str, service: socket.socket, listens: bool) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                if not listens:
                    if not service.recv(100):
                        return
                    self._heard.append(name)
                    continue
                connection, _ = service.accept()
                self._heard.append(name)
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    connection.recv(100)
                    connection.sendall(self.token.encode())

    def _unmount(self) -> None:
        if str(self.mountpoint) in Path("/proc/self/mounts").read_text():
            subprocess.run(["umount", str(self.mountpoint)], check=False)

    # --- whether it was harmed -------------------------------------------------------------------

    def heard(self) -> bool:
        """Whether anybody has come to one of the services since this was last asked."""
        heard, self._heard[:] = bool(self._heard), []
        return heard

    def victim_harmed(self) -> bool:
        """Whether the victim is dead or slower."""
        assert self._victim is not None
        return self._victim.poll() is not None or os.getpriority(os.PRIO_PROCESS, self.victim) != 0

    @property
    def victim(self) -> int:
        assert self._victim is not None
        return self._victim.pid

    def file_harmed(self) -> bool:
        """Whether the file is not as it was, or the folder has something that does not belong there."""
        with contextlib.suppress(OSError):
            same = self.file.read_text() == self.token and self.file.stat().st_mode & 0o777 == 0o666
            return not same or (self.open / "written").exists()
        return True

    def mounted(self) -> bool:
        """Whether something was mounted here; it is unmounted."""
        found = str(self.mountpoint) in Path("/proc/self/mounts").read_text()
        self._unmount()
        return found

    def processes_with(self, marker: str) -> list[int]:
        """Return the processes that have a word in their command line."""
        return list(_with(marker.encode()))

    def digest(self, path: str) -> str:
        """Return a file's digest; of one that is not here, a word that is no digest."""
        try:
            return hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError:
            return "not here"


def _with(marker: bytes) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if marker in (entry / "cmdline").read_bytes() and stat not in "ZX":
                    yield int(entry.name)


def _shut(service: socket.socket) -> None:
    """Wake the thread that waits on it."""
    with contextlib.suppress(OSError):
        service.shutdown(socket.SHUT_RDWR)


def _outward_address() -> str:
    """Return the address that this machine would send from; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
