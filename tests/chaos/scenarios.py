"""What is done to servers, clients and all that is between them. Each scenario is held to the same rules."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.chaos.processes import PATIENCE_S, children, wait_until
from tests.chaos.scene import Scene
from tests.chaos.strangers import bad_messages, half_open, slow_readers


@dataclass(frozen=True)
class Scenario:
    """One of them.

    Attributes:
        name: What the table calls it.
        play: Does it.
        allowed: Codes of errors that a request in a session may get because of it.
        counts: The fault that such an error tells of, where nobody counts it otherwise.
    """

    name: str
    play: Callable[[Scene], None]
    allowed: Iterable[str] = ()
    counts: str = ""


def cut_connections(scene: Scene) -> None:
    """A network that cuts, half-closes, delays and loses, before every kind of environment."""
    before = scene.tally.total
    styles = {"Direct": "tasks", "OnThread": "threads", "AwaitedInBytes": "vector", "OwnProcess": "tasks"}
    servers = scene.servers(*styles, lease=20.0)
    for server in servers:
        scene.cast(server, scene.proxy(server), style=styles[server.environment], sessions=6)
    by_asgi = scene.server("DirectInBytes", fast=False, lease=20.0)
    scene.cast(by_asgi, scene.proxy(by_asgi), style="vector", sessions=6)
    _until(lambda: scene.tally.total - before >= 700)


def cut_connections_of_version_1(scene: Scene) -> None:
    """The same where a session ends with its connection."""
    before = scene.tally.total
    for fast in (True, False):
        server = scene.server("Awaited", fast=fast)
        scene.cast(server, scene.proxy(server), style="version 1", sessions=6)
    _until(lambda: scene.tally.total - before >= 100)


def kill_clients(scene: Scene) -> None:
    """Clients die without a word, in whatever they are at; others play beside them."""
    servers = scene.servers("OnThread", "OwnProcessInBytes", "Direct", lease=2.0)
    for server in servers:
        scene.cast(server, style="tasks", sessions=2)
    for number in range(36):
        server = servers[number % 3]
        doomed = scene.cast(server, style=scene.random.choice(("tasks", "vector", "visits")), sessions=3)
        time.sleep(scene.random.uniform(0.05, 0.4))
        scene.kill(doomed)
        scene.tally("client killed")


def kill_workers(scene: Scene) -> None:
    """The process of an environment dies; now and then that of all environments."""
    servers = scene.servers("OwnProcess", "OwnProcessInBytes")
    for server, style in zip(servers, ("tasks", "vector"), strict=True):
        scene.cast(server, style=style, sessions=6)
        for number in range(30):
            if number % 15 == 14:
                victims, kind = children(server.pid), "fork server killed"
            else:
                wait_until(server.workers)
                victims, kind = server.workers(), "worker killed"
            if victims:
                _kill(scene.random.choice(victims))
                scene.tally(kind)
            time.sleep(scene.random.uniform(0.02, 0.15))


def hang(scene: Scene) -> None:
    """One step in twelve does not come back."""
    servers = scene.servers("OwnProcess", "OnThread", "Awaited", step=0.5)
    for server, style in zip(servers, ("tasks", "tasks", "vector"), strict=True):
        scene.cast(server, style=style, sessions=8, hang=0.08)
    time.sleep(6)


def restart_servers(scene: Scene) -> None:
    """A server is killed, and another takes its port."""
    servers = [*scene.servers("OwnProcess", "Direct"), scene.server("AwaitedInBytes", fast=False)]
    for server, style in zip(servers, ("tasks", "vector", "tasks"), strict=True):
        scene.cast(server, style=style, sessions=4)
    for number in range(9):
        server = servers[number % 3]
        orphans = {pid for forks in children(server.pid) for pid in (forks, *children(forks))}
        server.kill()
        scene.tally("server killed")
        if not wait_until(lambda orphans=orphans: not any(map(_lives, orphans))):
            raise AssertionError(f"workers outlived their server: {orphans}")
        time.sleep(scene.random.uniform(0, 0.3))
        server.start()


def fill_the_queue(scene: Scene) -> None:
    """Far more clients than sessions; those that wait too long are sent away, and some die while they wait."""
    server = scene.server("Awaited", sessions=4, queue=0.3, lease=2.0)
    for style in ("visits", "visits", "vector"):
        scene.cast(server, style=style, sessions=12 if style == "visits" else 3, naps_ms=40)
    for _ in range(10):
        doomed = scene.cast(server, style="visits", sessions=6)
        time.sleep(scene.random.uniform(0.2, 0.5))
        scene.kill(doomed)
        scene.tally("client killed in the queue")


def two_hundred_clients(scene: Scene) -> None:
    """All at once, each with a connection of its own, some through a bad network."""
    server = scene.server("Direct", lease=20.0)
    proxy = scene.proxy(server)
    for number in range(4):
        scene.cast(server, proxy if number % 2 else None, style="tasks", sessions=50)
    scene.tally("client in a crowd", 200)
    time.sleep(5)


def _until(enough: Callable[[], bool]) -> None:
    if not wait_until(enough, 2 * PATIENCE_S):
        raise TimeoutError("too few faults in too long a time")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it was faster
        return


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


SCENARIOS = [
    Scenario("connections cut", cut_connections),
    Scenario("connections of version 1 cut", cut_connections_of_version_1, {"SESSION_LOST", "CONNECTION_FAILED"}),
    Scenario("clients killed", kill_clients),
    Scenario("workers killed", kill_workers, {"ENVIRONMENT_DIED", "FACTORY_ERROR", "SESSION_LOST"}),
    Scenario("steps hung", hang, {"BUDGET_EXCEEDED"}, "step hung"),
    Scenario("servers killed", restart_servers, {"SESSION_LOST", "CONNECTION_FAILED"}),
    Scenario("queue filled", fill_the_queue, {"CAPACITY_REACHED"}, "sent away from the queue"),
    Scenario("200 clients at once", two_hundred_clients),
    Scenario("readers that do not read", slow_readers),
    Scenario("bad messages", bad_messages),
    Scenario("half-open connections", half_open),
]
