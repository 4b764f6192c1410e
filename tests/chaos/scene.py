"""One scenario of the suite: its folder, its servers, its client processes, and the reckoning at its end."""

import multiprocessing
import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.chaos.audit import Findings, audit, open_environments
from tests.chaos.environments import RELEASE
from tests.chaos.players import Part, perform
from tests.chaos.processes import PATIENCE_S, Server, marked, wait_until
from tests.chaos.proxy import Proxy
from tests.chaos.tally import Tally

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.chaos.players"])


class Scene:
    """What happens in one folder.

    Args:
        folder: An empty one.
        seed: Decides what happens.
        tally: Counts the faults.

    Attributes:
        random: Draws from the seed.
    """

    def __init__(self, folder: Path, seed: int, tally: Tally) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.tally = tally
        self._stop = folder / "stop"
        self._servers: list[Server] = []
        self._proxies: list[Proxy] = []
        self._cast: list[BaseProcess] = []
        self._parts = 0

    def servers(self, *environments: str, **options: Any) -> list[Server]:
        """Start several servers at once."""
        with ThreadPoolExecutor() as starting:
            return list(starting.map(lambda environment: self.server(environment, **options), environments))

    def server(self, environment: str, **options: Any) -> Server:
        """Start a server, let it serve a session, and remember what it holds when that is over."""
        server = Server(self.folder, environment, **options)
        self._servers.append(server)
        already = self.folder / "calm"
        already.touch()
        warm_up = self._start(server.url, environment, stop=already, sessions=1)
        warm_up.join(PATIENCE_S)
        self._cast.append(warm_up)
        server.settle()
        return server

    def proxy(self, server: Server) -> Proxy:
        """Put a network between a server and its clients."""
        self._proxies.append(Proxy(server.port, self.random.randrange(2**32), self.tally))
        return self._proxies[-1]

    def cast(self, server: Server, through: Proxy | None = None, **part: Any) -> BaseProcess:
        """Start a client process; what is given is what differs from the usual `Part`."""
        url = through.url if through is not None else server.url
        self._cast.append(self._start(url, server.environment, **part))
        return self._cast[-1]

    def kill(self, process: BaseProcess) -> None:
        """Kill a client process that was cast."""
        process.kill()
        process.join()
        self._cast.remove(process)

    def finish(self, allowed: Iterable[str] = ()) -> Findings:
        """End the trouble, let everybody play on and leave, and compare all that was done and told.

        Args:
            allowed: Codes of errors that a request in a session may get, given what happened.
        """
        for proxy in self._proxies:
            proxy.calm = True
        (self.folder / RELEASE).touch()
        self._stop.touch()
        stuck = []
        for process in self._cast:
            process.join(2 * PATIENCE_S)
            if process.is_alive():
                stuck.append(process.name)
                process.kill()
                process.join()
        findings = self._reckon()
        told = audit(self.folder, allowed)
        findings.violations += told.violations
        findings.examples += told.examples
        findings.told, findings.executed, findings.errors = told.told, told.executed, told.errors
        for name in stuck:
            findings.add("requests without answer", f"the client {name} never came to its end")
        return findings

    def _start(self, url: str, environment: str, stop: Path | None = None, **part: Any) -> BaseProcess:
        self._parts += 1
        name = f"{environment}.{self._parts}"
        seed = self.random.randrange(2**32)
        what = Part(name, url, environment, self.folder, stop or self._stop, seed=seed, **part)
        process = _processes.Process(target=perform, args=(what,), name=name, daemon=True)
        process.start()
        return process

    def _reckon(self) -> Findings:
        """Look for what is left over, end the servers, and look again."""
        findings = Findings()
        for server in self._servers:
            for kind, number in server.left_over().items():
                findings.add(kind, f"{number} in the server of {server.environment}", number)
        if not wait_until(lambda: not open_environments(self.folder), pause_s=0.5):
            left = open_environments(self.folder)
            findings.add("leaked environments", left[:3], len(left))
        for proxy in self._proxies:
            proxy.close()
        for server in self._servers:
            server.stop()
            if complaints := server.complaints():
                findings.add("errors in a log", complaints)
        if not wait_until(lambda: not marked(self.folder), pause_s=0.5):
            findings.add("leaked processes", f"{marked(self.folder)} after the end", len(marked(self.folder)))
        return findings
