"""A process that has imported what is needed and forks keepers: a new one is there within a millisecond or two.

It has one thread, no secrets, and runs nobody's code. It gets one byte and the socket of a keeper to be.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
from contextlib import suppress

__all__ = ["main"]


def main(line: int, path: list[str], preload: list[str]) -> None:
    """Serve until the line ends.

    Args:
        line: Descriptor of the socket to the server.
        path: Folders to import from.
        preload: Modules to import now.
    """
    from openenv.execution.inside import tree
    from openenv.execution.inside.keeper import keep

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    sys.path.extend(path)
    for module in preload:
        with suppress(Exception):  # the code that imports it is told, better than here
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    tree.adopt()
    keepers: set[int] = set()
    with socket.socket(fileno=line) as server:
        signal.signal(signal.SIGCHLD, lambda *_: _end_orphans(keepers))
        server.sendall(b"!")
        while True:
            data, descriptors, _, _ = socket.recv_fds(server, 1, 1)
            if not data:
                break
            for descriptor in descriptors:
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # until the keeper is known as one
                pid = os.fork()
                if pid == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
                    os.close(server.detach())
                    os.setsid()
                    keep(descriptor, descriptor)
                keepers.add(pid)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
                os.close(descriptor)
    # Keepers end with their own lines, which the server held, too.


def _end_orphans(keepers: set[int]) -> None:
    """Collect keepers that have ended, and end what one that was killed has left behind."""
    from openenv.execution.inside import tree

    orphaned = False
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            orphaned |= status != 0 or pid not in keepers  # a keeper that ends by itself leaves nobody behind
            keepers.discard(pid)
    if not (orphaned and tree.can_list()):  # then signals of programs reach no keeper, so none is killed by them
        return
    ours = os.getpid()
    for process in (found := tree.processes()):
        if process.parent == ours and process.pid not in keepers:
            for one in (process, *tree.below(process.pid, found)):
                tree.kill(one.pid)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    main(
        int(sys.argv[2]),
        sys.argv[3].split(os.pathsep) if sys.argv[3] else [],
        sys.argv[4].split(",") if sys.argv[4] else [],
    )
