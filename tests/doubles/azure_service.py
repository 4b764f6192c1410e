"""A double of what the provider `aca` asks of Azure: session pools of the resource manager, and their data plane.

What a pool may hold is what the models of Azure's own SDK define. A session begins with the first request that
names it, and is a `ProcessProvider`; requests come in through a gate that wants a token and an identifier.
"""

import re
import threading
from dataclasses import dataclass, field
from typing import Any

from azure.core.credentials import AccessToken
from azure.mgmt.appcontainers import models
from tests.doubles.gate import Gate
from tests.doubles.service import Refused, Request, Service

from openenv.providers import ProcessProvider

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
API_VERSION = "2026-07-01"
MANAGEMENT = "management-token"
SESSIONS = "sessions-token"
NEVER = 4102444800
IDENTITY = "identity-secret"
SCOPES = {"https://dynamicsessions.io": SESSIONS, "https://management.azure.com": MANAGEMENT}


class Credential:
    """A credential as `azure.identity` has them, which gives tokens that the double knows."""

    def __init__(self, broken: bool = False) -> None:
        self._broken = broken

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("wrong" if self._broken else SCOPES[scopes[0].removesuffix("/.default")], NEVER)


@dataclass
class Pool:
    """A session pool."""

    id: str
    order: dict[str, Any]
    state: str = "InProgress"
    gate: Gate | None = None
    sessions: dict[str, ProcessProvider] = field(default_factory=dict)
    clocks: list[threading.Timer] = field(default_factory=list)


class AzureService(Service):
    """The service, for one subscription with one resource group.

    Attributes:
        images: Which images can be pulled, and what a session of them serves.
        most: How many pools the subscription may have.
        second_s: How long a second of a session's life lasts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.images = {"echo-env:latest": "echo_env"}
        self.most = 4
        self.second_s = 1.0
        self.pools: dict[str, Pool] = {}
        self._deleting = 0
        self._lock = threading.RLock()
        base = f"/subscriptions/{SUBSCRIPTION}"
        pools = r"/providers/Microsoft\.App/sessionPools"
        self.route("GET", "/identity", self._identify)
        self.route("GET", base + pools, self._list)
        pool = base + "/resourceGroups/([^/]+)" + pools + "/([^/]+)"
        self.route("PUT", pool, self._create)
        self.route("GET", pool, self._read)
        self.route("DELETE", pool, self._delete)
        self.route("GET", base + "/operations/deleting", lambda request: self._refuse(204, None))

    def close(self) -> None:
        for name in list(self.pools):
            self.destroy(name)
        super().close()

    def destroy(self, name: str) -> None:
        """End a pool and its sessions."""
        with self._lock:
            pool = self.pools.pop(name)
        for clock in pool.clocks:
            clock.cancel()
        if pool.gate is not None:
            pool.gate.close()
        for session in list(pool.sessions.values()):
            session.stop()

    # --- the resource manager --------------------------------------------------------------------

    def _identify(self, request: Request) -> Any:
        """Give tokens to whoever is on the machine whose managed identity it is."""
        if request.headers.get("x-identity-header") != IDENTITY:
            raise self.wrong("a stranger asks for a token", 401)
        (resource,) = request.query["resource"]
        return {"access_token": SCOPES[resource], "expires_on": str(NEVER), "token_type": "Bearer"}

    def _create(self, request: Request, group: str, name: str) -> Any:
        self._check(request)
        if group != "rl":
            raise Refused(404, _error("ResourceGroupNotFound", f"Resource group '{group}' could not be found."))
        if not re.fullmatch(r"[a-z][a-z0-9-]{1,61}[a-z0-9]", name):
            raise self.wrong(f"not the name of a session pool: {name}")
        self._check_fields(models.SessionPool, request.body)
        properties = request.body["properties"]
        (container,) = properties["customContainerTemplate"]["containers"]
        with self._lock:
            if len(self.pools) >= self.most and name not in self.pools:
                raise Refused(409, _error("QuotaExceeded", "The subscription may have 4 session pools."))
            path = request.path
            pool = self.pools.setdefault(name, Pool(path, request.body))
        if container["image"] not in self.images:
            pool.state = "Failed"
        if pool.gate is None:
            pool.gate = self._gate(pool)
        raise Refused(201, self._described(pool, "InProgress"))

    def _read(self, request: Request, group: str, name: str) -> Any:
        self._check(request)
        pool = self._get(name)
        if pool.state == "InProgress":
            pool.state = "Succeeded"
        return self._described(pool, pool.state)

    def _list(self, request: Request) -> Any:
        self._check(request)
        return {"value": [self._described(pool, pool.state) for pool in self.pools.values()]}

    def _delete(self, request: Request, group: str, name: str) -> Any:
        self._check(request)
        self._get(name)
        self.destroy(name)
        place = f"{self.url}/subscriptions/{SUBSCRIPTION}/operations/deleting?api-version={API_VERSION}"
        raise Refused(202, (None, {"Location": place}))

    def _refuse(self, status: int, body: Any) -> Any:
        raise Refused(status, body)

    def _get(self, name: str) -> Pool:
        if name not in self.pools:
            raise Refused(404, _error("ResourceNotFound", f"The session pool {name} was not found."))
        return self.pools[name]

    def _check(self, request: Request) -> None:
        if request.query.get("api-version") != [API_VERSION]:
            raise self.wrong(f"unexpected query {request.query}")
        if request.headers.get("authorization") != f"Bearer {MANAGEMENT}":
            raise Refused(401, _error("InvalidAuthenticationToken", "The access token is invalid."))

    def _check_fields(self, model: Any, body: dict[str, Any]) -> None:
        """Hold against the caller what is in the body and in none of the SDK's models, at any depth."""
        model.__new__(model)  # the SDK makes the list of a model's fields with its first instance
        known = {rest._rest_name: rest for rest in model._attr_to_rest_field.values()}
        if unknown := body.keys() - known.keys():
            raise self.wrong(f"{model.__name__} has no {sorted(unknown)}")
        for name, value in body.items():
            inner = known[name]._class_type
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict) and inner is not None and hasattr(inner, "_attr_to_rest_field"):
                    self._check_fields(inner, each)

    def _described(self, pool: Pool, state: str) -> dict[str, Any]:
        properties = {key: value for key, value in pool.order["properties"].items() if key != "secrets"}
        assert pool.gate is not None
        return {
            **pool.order,
            "id": pool.id,
            "name": pool.id.rpartition("/")[2],
            "type": "Microsoft.App/sessionPools",
            "properties": {
                **properties,
                "provisioningState": state,
                "poolManagementEndpoint": f"http://127.0.0.1:{pool.gate.port}",
            },
        }

    # --- the data plane --------------------------------------------------------------------------

    def _gate(self, pool: Pool) -> Gate:
        current = threading.local()

        def admit(head: bytes) -> bytes | str:
            if f"\r\nauthorization: bearer {SESSIONS}\r\n".encode() not in head.lower():
                return "401 Unauthorized"
            found = re.match(rb"(\w+) (/[^ ?]*)\?((?:[^ ]*&)?)identifier=([\w-]+) ", head)
            if found is None:
                self.violations.append(f"no identifier in {head[:100]!r}")
                return "400 Bad Request"
            current.port = self._session(pool, found[4].decode())
            if current.port is None:
                return "429 Too Many Requests"
            rest = b"?" + found[3].rstrip(b"&") if found[3] else b""
            return b"%b %b%b %b" % (found[1], found[2], rest, head[found.end() :])

        return Gate(admit, lambda: getattr(current, "port", None))

    def _session(self, pool: Pool, identifier: str) -> int | None:
        """Return the port of a session's server; the session begins if there is none."""
        properties = pool.order["properties"]
        (container,) = properties["customContainerTemplate"]["containers"]
        with self._lock:
            if identifier not in pool.sessions:
                if len(pool.sessions) >= properties["scaleConfiguration"]["maxConcurrentSessions"]:
                    return None
                secrets = {each["name"]: each["value"] for each in properties.get("secrets", [])}
                env = {each["name"]: each.get("value") or secrets[each["secretRef"]] for each in container["env"]}
                session = ProcessProvider(self.images[container["image"]], env_vars=env, stop_grace_s=1.0)
                session.start()
                pool.sessions[identifier] = session
                lifecycle = properties["dynamicPoolConfiguration"]["lifecycleConfiguration"]
                clock = threading.Timer(lifecycle["maxAlivePeriodInSeconds"] * self.second_s, session.stop)
                clock.daemon = True
                clock.start()
                pool.clocks.append(clock)
            urls = pool.sessions[identifier].urls
        return int(urls[0].rpartition(":")[2]) if urls else None


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}
