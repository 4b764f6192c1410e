"""Runs a PostgreSQL server for as long as its owner lives: `python postgres_guardian.py FOLDER BIN USER`.

It is a process of its own, for its owner may be killed: the end of its standard input is the sign to end the server
and to remove its folder. If the guardian is killed itself, the system ends the server. `USER` is whom the server
runs as, empty for this one: PostgreSQL refuses to run as root.
"""

import ctypes
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

START_S = 60.0
END_S = 10.0
GIB = 1024**3
MEMORY_BYTES = 2 * GIB
"""Address space of each process of the server, so that no statement takes all memory."""
FILE_BYTES = GIB // 4
"""The size of a file, and so of a table."""
PR_SET_PDEATHSIG = 1

CONFIGURATION = """
listen_addresses = ''
unix_socket_directories = '{folder}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
max_parallel_workers_per_gather = 0
work_mem = 4MB
client_connection_check_interval = 1s
# Nothing here is to survive a crash.
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 256MB
min_wal_size = 32MB
jit = off
max_locks_per_transaction = 64
log_min_messages = fatal
log_min_error_statement = panic
"""
# The administrator may connect to any database, everybody else to that of the same name. The folder of the socket
# is closed to other users of the system.
ACCESS = """
local all openenv trust
local sameuser all trust
"""


def main() -> None:
    """Make the cluster, start the server, say so, and wait for the end of the input."""
    folder, programs, user = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner
    server: subprocess.Popen[bytes] | None = None
    try:
        data = folder / "data"
        if user:
            account = pwd.getpwnam(user)
            os.chown(folder, account.pw_uid, account.pw_gid)
        options = ["-U", "openenv", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        run([programs / "initdb", "-D", data, *options], user)
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION.format(folder=folder))
        (data / "pg_hba.conf").write_text(ACCESS)
        server = start([programs / "postgres", "-D", data], user, folder / "log")
        await_ready(server, data / "postmaster.pid", folder / "log")
        print("started", flush=True)
        sys.stdin.read()
    finally:
        if server is not None:
            end(server)
        shutil.rmtree(folder, ignore_errors=True)


def run(command: list[Path | str], user: str) -> None:
    """Run a program to its end.

    Raises:
        SystemExit: It fails; its output is the message.
    """
    ended = subprocess.run(command, check=False, capture_output=True, text=True, **identity(user))
    if ended.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {ended.stderr.strip()[-1000:]}")


def start(command: list[Path | str], user: str, log: Path) -> "subprocess.Popen[bytes]":
    """Start the server in a session of its own."""
    guardian = os.getpid()
    library = ctypes.CDLL(None)

    def held() -> None:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() != guardian:
            os._exit(1)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=held,  # noqa: PLW1509 - there are no other threads
            **identity(user),
        )


def await_ready(server: "subprocess.Popen[bytes]", status: Path, log: Path) -> None:
    """Wait until the server takes connections; the last line of its own status file says so.

    Raises:
        SystemExit: It has ended, or takes too long; its log is the message.
    """
    end = time.monotonic() + START_S
    while not (status.exists() and status.read_text().rstrip().endswith("ready")):
        if server.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"PostgreSQL did not start: {log.read_text(errors='replace')[-1000:]}")
        time.sleep(0.01)


def end(server: "subprocess.Popen[bytes]") -> None:
    """End the server at once, and what is left of it in the hard way."""
    server.send_signal(signal.SIGQUIT)
    try:
        server.wait(END_S)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def identity(user: str) -> dict[str, object]:
    """Return how a program is started as a user."""
    if not user:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": "/"}


if __name__ == "__main__":
    main()
