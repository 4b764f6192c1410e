"""The containers of one start of a provider, with all that belongs to them: relays, logs, the watch over them.

Whatever happens on the way up, `down` finds what there is by its labels. What was asked for and not answered is
asked for again first, so it cannot come into being after `down` has looked.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from openenv.errors import (
    ConfigurationError,
    IsolationError,
    ProviderStartError,
    ReplicaLostError,
)
from openenv.providers.background import at_once
from openenv.providers.docker import owned, snapshots
from openenv.providers.docker.container import (
    NoSuchProgramError,
    create,
    follow_log,
    published_port,
    start,
)
from openenv.providers.docker.engine import is_lost
from openenv.providers.docker.first_process import LIFETIME_OVER, NO_RELAY, PROGRAM_GONE
from openenv.providers.docker.plan import Plan
from openenv.providers.docker.relay import LOOPBACK, Relay
from openenv.providers.docker.watch import Exit, Watch
from openenv.providers.log_tail import LogTail
from openenv.providers.ownership import PREFIX, Ownership
from openenv.providers.redaction import redact

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

__all__ = ["Fleet"]

_logger = logging.getLogger(__name__)

AT_A_TIME = 8
LAST_WORDS_S = 1.0
NOT_FOUND = 127  # what an engine's init says of a program that is not there


@dataclass
class Member:
    """One container.

    Attributes:
        log: The last lines it wrote.
        id: What the engine calls it.
        url: Where its server is reached; empty while that is not known.
        relay: The way to it, if it has no network.
    """

    log: LogTail
    id: str
    url: str
    relay: Relay | None


class Fleet:
    """Starts the containers of a plan, tells how they are, and ends them.

    Args:
        client: The engine.
        place: Its address, for errors.
        plan: What is to be started.
    """

    def __init__(self, client: DockerClient, place: str, plan: Plan) -> None:
        self.plan = plan
        self.ready = False
        self._client = client
        self._place = place
        self._members: list[Member] = []
        self._relays: list[Relay] = []
        self._in_doubt: dict[str, Callable[[], object]] = {}
        self._ending = False
        self._gone = False
        self._watch = Watch(client, f"{PREFIX}name={plan.ownership.name}", place, self._lost)

    @property
    def ended(self) -> bool:
        """Whether `down` has done all its work."""
        return self._gone

    @property
    def members(self) -> list[str]:
        """The ids of the containers."""
        return [one.id for one in self._members]

    def up(self) -> list[str]:
        """Start all containers, and return where their servers are reached, in the order of the names.

        Raises:
            ProviderStartError: The engine refuses; see `openenv.errors` for its kinds.
            IsolationError: The image cannot be held in.
            ConfigurationError: It cannot be done this way with this engine.
        """
        self.plan.command  # noqa: B018 - an image without one is refused before anything is made
        started = at_once(self._start, self.plan.names, most=AT_A_TIME)
        for one in started:
            self._watch.follow(one.id)
        return [one.url for one in started]

    def down(self) -> None:
        """End and remove all containers.

        Raises:
            ProviderError: One could not be removed, or the engine cannot be asked; call it again.
        """
        self._ending = True
        try:
            for ask_again in list(self._in_doubt.values()):
                with contextlib.suppress(ProviderStartError, ConfigurationError):
                    ask_again()
            found = owned.containers_of(self._client, self.plan.ownership.name, self._place)
            at_once(self._remove, [str(one.id) for one in found], most=AT_A_TIME)
        finally:
            self._watch.close()
            for relay in self._relays:
                relay.stop()
        self._client.close()
        self._gone = True

    def snapshot(self, ownership: Ownership) -> str:
        """Keep the files of the only container, and return the name of the image they make."""
        plan = self.plan
        given = {"HOME": "", **plan.env_vars}
        return snapshots.keep(self._client, self._members[0].id, plan.image, ownership, given, self._place)

    def check(self) -> None:
        """Raise an error if a container has ended, or cannot be reached any more."""
        for one in list(self._members):
            ended = self._watch.ended(one.id)
            if ended is not None:
                self._refuse(one, ended)
            if one.relay is not None and one.relay.exit_code() is not None:
                # It ends with the container, whose end the engine is about to tell.
                self._refuse(one, self._watch.ended(one.id, LAST_WORDS_S))
        if self._watch.problem is not None:
            raise self._watch.problem

    def log(self, lines: int) -> str:
        """Return the last lines that were written; of several containers each has its share, and its number."""
        if len(self._members) == 1:
            return self._members[0].log.tail(lines)
        share = max(1, lines // max(1, len(self._members)))
        found = [
            f"[{number}] {line}"
            for number, one in enumerate(self._members)
            for line in one.log.tail(share).splitlines()
        ]
        return "\n".join(found[-lines:]) if lines > 0 else ""

    # --- one container ---------------------------------------------------------------------------

    def _start(self, name: str) -> Member:
        options = self.plan.options
        relay = None
        if not options.connected:
            relay = Relay(port=options.port, uds=options.uds)
            self._relays.append(relay)
        arguments = self.plan.arguments(relay)
        try:
            return self._run(name, self.plan.first_process(relay is not None), arguments, relay)
        except NoSuchProgramError as error:
            if relay is not None:
                raise IsolationError(
                    f"The image {self.plan.image.name} has no python3, through which a container without a network "
                    "is reached. Give network='bridge', or put Python 3.8 or later into the image."
                ) from error
        return self._run(name, self.plan.timeout_process(), {**arguments, "init": True}, None)

    def _run(self, name: str, command: list[str], arguments: dict[str, Any], relay: Relay | None) -> Member:
        container = self._made(name, command, arguments)
        member = Member(follow_log(container, self._place), str(container.id), "", relay)
        self._members.append(member)
        try:
            start(container, self._place)
        except NoSuchProgramError:
            self._members.remove(member)
            owned.remove_container(self._client, member.id, self._place)
            raise
        member.url = relay.url if relay is not None else self._published(container, member)
        return member

    def _made(self, name: str, command: list[str], arguments: dict[str, Any]) -> Container:
        plan = self.plan

        def make() -> Container:
            return create(self._client, plan.image, name, plan.ownership, command, arguments, self._place)

        self._in_doubt[name] = make
        try:
            container = make()
        except Exception as error:
            if not is_lost(error):
                del self._in_doubt[name]
            raise
        del self._in_doubt[name]
        return container

    def _published(self, container: Container, member: Member) -> str:
        try:
            port = published_port(container, self.plan.options.container_port, self._place)
        except ProviderStartError:
            ended = self._watch.ended(member.id, LAST_WORDS_S)
            if ended is not None:
                self._refuse(member, ended)
            raise
        return f"http://{_host(self._place, self.plan.options.publish_on)}:{port}"

    def _remove(self, container: str) -> None:
        owned.remove_container(self._client, container, self._place, self.plan.grace_s)

    # --- how one ended ---------------------------------------------------------------------------

    def _refuse(self, one: Member, ended: Exit | None) -> None:
        one.log.finish(LAST_WORDS_S)
        if ended is not None and ended.code == NO_RELAY and one.relay is not None:
            raise ConfigurationError(
                f"{one.log.tail(1)}. A container without a network is reached through a folder of this machine. "
                "This engine cannot share one: it runs in another machine (Docker Desktop, a remote engine), or a "
                "security module forbids it. Give network='bridge'."
            )
        if ended is not None and ended.code == NOT_FOUND and "exec timeout failed" in one.log.tail(3):
            raise IsolationError(
                f"The image {self.plan.image.name} has neither python3 nor timeout, so nothing in it can keep the "
                "lifetime. Give lifetime_s=None, or put one of them into the image."
            )
        kind = ReplicaLostError if self.ready else ProviderStartError
        raise kind(self._told(one, ended), log_tail=redact(one.log.tail(20), self.plan.env_vars))

    def _lost(self, container: str, ended: Exit) -> None:
        found = next((one for one in self._members if one.id == container), None)
        if found is not None and self.ready and not self._ending:
            _logger.warning("%s", self._told(found, ended))

    def _told(self, one: Member, ended: Exit | None) -> str:
        return f"The container {one.id[:12]} of {self.plan.image.name} {self._how(ended)}."

    def _how(self, ended: Exit | None) -> str:
        if ended is None:
            return "has ended or cannot be reached any more; the engine does not tell how"
        if ended.out_of_memory:
            return (
                f"was killed: out of memory, limit {self.plan.options.memory}. Set memory=... of the provider, or "
                "let the environment take less"
            )
        if ended.code is None:
            return "is gone; nobody saw how it ended"
        if ended.code == LIFETIME_OVER:
            lifetime = f"{self.plan.lifetime_s or 0:g} s"
            return f"has ended: its lifetime of {lifetime} is over. Set lifetime_s of the provider"
        if ended.code == PROGRAM_GONE:
            return "has ended: its relay was gone"
        return f"has ended with exit code {ended.code}"


def _host(place: str, published_on: str) -> str:
    """Return the host by which this machine reaches what the engine publishes."""
    engine = urlsplit(place)
    remote = engine.hostname if engine.scheme in ("tcp", "http", "https", "ssh") else None
    if remote and remote not in ("localhost", LOOPBACK, "::1"):
        if published_on == LOOPBACK:
            raise ConfigurationError(
                f"The engine is on {remote}, and a port on its loopback cannot be reached from here. Give "
                "publish_on='0.0.0.0' if all who can reach that machine may use the environment."
            )
        return remote
    return LOOPBACK if published_on in ("", "0.0.0.0", "::") else published_on  # noqa: S104
