"""A process that has imported an environment and forks a worker for each session.

A worker may be forked in the middle of an episode too; it forks itself then (`forking`), and is taken in here, so
that all workers end the same way.

It is started with `python -m openenv.server.worker.forkserver FD`, where FD is a socket to the server. It has no
threads and no event loop, so that forking it is safe. When the server hangs up, by whatever way, all workers are
killed with their process groups.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import traceback
from typing import Any

from openenv.server.worker.child import action_adapter, become_worker, work
from openenv.server.worker.forking import adopt_orphans
from openenv.server.worker.messages import ADOPT, packed, receive
from openenv.server.worker.target import Target


def main() -> None:
    """Serve forks until the server hangs up."""
    server = socket.socket(fileno=int(sys.argv[1]))
    server.setblocking(True)
    options = receive(server)
    if options is None:
        return
    adopt_orphans()
    sys.path[:] = options["path"]
    try:
        factory = Target(**options["target"]).load()
        adapter = action_adapter(_action_type(factory, options["action"]))
    except BaseException as error:
        traceback.print_exc()
        server.sendall(packed({"failed": f"{type(error).__name__}: {error}"}))
        return
    # What is alive now is shared by all workers; moving it out of the collector's sight keeps it shared.
    gc.collect()
    gc.freeze()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a server that was killed hangs up like this
        server.sendall(packed({"ready": os.getpid()}))
        _serve(server, factory, adapter)


def _action_type(factory: Any, named: list[dict[str, Any]]) -> Any:
    """Return the action class or union that the server uses."""
    classes = tuple(Target(**one).load() for one in named)
    return list(classes) if len(classes) > 1 else classes[0]


def _serve(server: socket.socket, factory: Any, adapter: Any) -> None:
    workers: set[int] = set()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    sources: list[Any] = [server, woken]
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the server decides
    try:
        while True:
            readable = select.select(sources, [], [])[0]
            if woken in readable:
                os.read(woken, 4096)
                _reap(server, workers)
            if server in readable and not _fork_one(server, (woken, wake), factory, adapter, workers):
                return
    finally:
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _adopt(server: socket.socket, pid: int, workers: set[int]) -> None:
    """Take in a worker that was forked by another; say so, and how it has ended if it has already."""
    workers.add(pid)
    server.sendall(packed({"adopted": pid}))
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # it was killed before anybody knew of it
        workers.discard(pid)
        server.sendall(packed({"exited": pid, "status": -signal.SIGKILL}))


def _fork_one(
    server: socket.socket, signals: tuple[int, int], factory: Any, adapter: Any, workers: set[int]
) -> bool:
    request, descriptors, _, _ = socket.recv_fds(server, 1, 2)
    if not request:
        return False
    if request == ADOPT:
        _adopt(server, int.from_bytes(server.recv(4, socket.MSG_WAITALL)), workers)
        return True
    connection, output = socket.socket(fileno=descriptors[0]), descriptors[1]
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            # Only what is the fork server's own. What the environment has opened when it was imported is its
            # to use and to close; closing it by number would leave objects that close what got the number next.
            server.close()
            for descriptor in signals:
                os.close(descriptor)
            become_worker(output)
            connection.setblocking(True)
            work(connection, factory, adapter)
            status = 0
        except (BrokenPipeError, ConnectionResetError):
            status = 0  # the server is gone
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            os._exit(status)
    connection.close()
    os.close(output)
    workers.add(pid)
    server.sendall(packed({"forked": pid}))
    return True


def _reap(server: socket.socket, workers: set[int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in workers:
            workers.discard(pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # what the worker has left behind
            server.sendall(packed({"exited": pid, "status": os.waitstatus_to_exitcode(status)}))


if __name__ == "__main__":
    main()
