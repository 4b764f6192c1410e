"""A double of Daytona's HTTP API, which really starts the servers it is told to.

What a request may hold is what the models of Daytona's own SDK define. A sandbox is a `ProcessProvider`; its
preview URL is a gate that wants the sandbox's token. A minute of a time to live lasts `minute_s` seconds.
"""

import itertools
import json
import re
import shlex
import threading
from dataclasses import dataclass, field
from typing import Any

import daytona_api_client
import daytona_toolbox_api_client
from tests.doubles.gate import Gate
from tests.doubles.service import Refused, Request, Service

from openenv.providers import ProcessProvider

KEY = "dtn_0123456789abcdef"


@dataclass
class Sandbox:
    """What the service knows of one sandbox."""

    id: str
    order: dict[str, Any]
    state: str = "creating"
    reason: str | None = None
    sessions: dict[str, list[str]] = field(default_factory=dict)
    server: ProcessProvider | None = None
    command: str = ""
    exit_code: int | None = None
    gates: dict[int, Gate] = field(default_factory=dict)
    clock: threading.Timer | None = None

    @property
    def token(self) -> str:
        return f"preview-{self.id}"


class DaytonaService(Service):
    """The service, for one account.

    Attributes:
        images: What it can pull.
        most: How many sandboxes the account may have.
        minute_s: How long a minute lasts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.images = {"echo-env:latest", "odd:1"}
        self.snapshots = {"echo-snapshot"}
        self.most = 8
        self.minute_s = 60.0
        self.sandboxes: dict[str, Sandbox] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        sandbox, toolbox = r"/api/sandbox/([^/]+)", r"/toolbox/([^/]+)/process/session"
        self.route("GET", r"/api/socket\.io/", self._no_events)
        self.route("POST", "/api/sandbox", self._create)
        self.route("GET", "/api/sandbox", self._list)
        self.route("GET", sandbox, lambda request, name: self._described(self._get(request, name, after=True)))
        self.route("DELETE", sandbox, self._delete)
        self.route("GET", sandbox + r"/ports/(\d+)/preview-url", self._preview)
        self.route("POST", toolbox, self._session)
        self.route("POST", toolbox + "/([^/]+)/exec", self._execute)
        self.route("GET", toolbox + "/([^/]+)/command/([^/]+)", self._command)
        self.route("GET", toolbox + "/([^/]+)/command/([^/]+)/logs", self._logs)

    def close(self) -> None:
        for sandbox in list(self.sandboxes.values()):
            self.destroy(sandbox)
        super().close()

    def destroy(self, sandbox: Sandbox) -> None:
        """End a sandbox and forget it, as the service does on delete and at the end of a time to live."""
        with self._lock:
            if self.sandboxes.pop(sandbox.id, None) is None:
                return
        if sandbox.clock is not None:
            sandbox.clock.cancel()
        for gate in sandbox.gates.values():
            gate.close()
        if sandbox.server is not None:
            sandbox.server.stop()

    # --- the routes ------------------------------------------------------------------------------

    def _no_events(self, request: Request) -> Any:
        raise Refused(400, {"message": "events are not offered here"})  # the SDK polls then

    def _create(self, request: Request) -> Any:
        self._check_key(request)
        order = self._checked(daytona_api_client.CreateSandbox, request.body)
        snapshot, build = order.get("snapshot"), order.get("buildInfo")
        if (snapshot is None) == (build is None):
            raise self.wrong("a sandbox is made of a snapshot or of an image")
        if not order.get("name") or not isinstance(order.get("ttlMinutes"), int):
            raise self.wrong("a name and a time to live are expected")
        if snapshot is not None and snapshot not in self.snapshots:
            raise Refused(404, {"message": f"Snapshot {snapshot} not found"})
        with self._lock:
            if any(each.order["name"] == order["name"] for each in self.sandboxes.values()):
                raise Refused(409, {"message": f"Sandbox with name {order['name']} already exists"})
            if len(self.sandboxes) >= self.most:
                raise Refused(403, {"message": "Total sandbox quota exceeded. Maximum allowed: 8."})
            made = Sandbox(f"5b0c{next(self._numbers):04}", order)
            self.sandboxes[made.id] = made
        image = re.fullmatch(r"FROM (\S+)\n?", build["dockerfileContent"])[1] if build else None
        if image is not None and image not in self.images:
            made.state, made.reason = "build_failed", f"pull access denied for {image}, repository does not exist"
        if order["ttlMinutes"]:
            made.clock = threading.Timer(order["ttlMinutes"] * self.minute_s, self.destroy, [made])
            made.clock.daemon = True
            made.clock.start()
        return self._described(made)

    def _list(self, request: Request) -> Any:
        self._check_key(request)
        if unknown := request.query.keys() - {"labels", "cursor", "limit"}:
            raise self.wrong(f"unexpected filters: {unknown}")
        labels = json.loads(request.query.get("labels", ["{}"])[0])
        found = [each for each in self.sandboxes.values() if labels.items() <= each.order["labels"].items()]
        items = [self._described(each) for each in found]
        for item in items:
            item.pop("env")
        return {"items": items, "nextCursor": None}

    def _delete(self, request: Request, name: str) -> Any:
        sandbox = self._get(request, name)
        self.destroy(sandbox)
        return {**self._described(sandbox), "state": "destroyed"}

    def _preview(self, request: Request, name: str, port: str) -> Any:
        sandbox = self._get(request, name)
        number = int(port)

        def admit(head: bytes) -> bytes | str:
            wanted = b"\r\nx-daytona-preview-token: " + sandbox.token.encode() + b"\r\n"
            return head if wanted.lower() in head.lower() else "401 Unauthorized"

        def backend() -> int | None:
            listening = sandbox.server is not None and f"--port {port}" in sandbox.command
            return int(sandbox.server.base_url.rpartition(":")[2]) if listening and sandbox.server.urls else None

        gate = sandbox.gates.setdefault(number, Gate(admit, backend))
        return {"sandboxId": sandbox.id, "url": f"http://127.0.0.1:{gate.port}", "token": sandbox.token}

    def _session(self, request: Request, name: str) -> Any:
        sandbox = self._started(request, name)
        body = self._checked(daytona_toolbox_api_client.CreateSessionRequest, request.body)
        sandbox.sessions[body["sessionId"]] = []

    def _execute(self, request: Request, name: str, session: str) -> Any:
        sandbox = self._started(request, name)
        body = self._checked(daytona_toolbox_api_client.SessionExecuteRequest, request.body)
        if session not in sandbox.sessions:
            raise self.wrong(f"no session {session}", 404)
        if body.get("runAsync") is not True:
            raise self.wrong("a server's command never returns, so it has to run asynchronously")
        words = shlex.split(body["command"])
        if words[:2] != ["openenv", "serve"] or words[3:5] != ["--host", "0.0.0.0"]:
            raise self.wrong(f"not the command of a server that is reached from outside: {body['command']}")
        sandbox.command = body["command"]
        sandbox.server = ProcessProvider(words[2], env_vars=sandbox.order["env"], stop_grace_s=1.0)
        sandbox.server.start()
        sandbox.sessions[session].append("command-1")
        return {"cmdId": "command-1"}

    def _command(self, request: Request, name: str, session: str, command: str) -> Any:
        sandbox = self._started(request, name)
        if command not in sandbox.sessions.get(session, ()):
            raise self.wrong(f"no command {command} in session {session}", 404)
        process = sandbox.server._process
        code = None if process is None else process.exit_code()
        return {"id": command, "command": sandbox.command, **({} if code is None else {"exitCode": code})}

    def _logs(self, request: Request, name: str, session: str, command: str) -> Any:
        self._command(request, name, session, command)
        log = self.sandboxes[self._get(request, name).id].server.read_log(500)
        return {"output": log, "stdout": "", "stderr": log}

    # --- what they share -------------------------------------------------------------------------

    def _check_key(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise Refused(401, {"message": "Invalid credentials", "statusCode": 401})

    def _get(self, request: Request, name: str, after: bool = False) -> Sandbox:
        self._check_key(request)
        for sandbox in list(self.sandboxes.values()):
            if name in (sandbox.id, sandbox.order["name"]):
                if after and sandbox.state == "creating":  # it has been started by the next time it is looked at
                    sandbox.state = "started"
                return sandbox
        raise Refused(404, {"message": f"Sandbox {name} not found"})

    def _started(self, request: Request, name: str) -> Sandbox:
        sandbox = self._get(request, name)
        if sandbox.state != "started":
            raise self.wrong(f"the toolbox of a sandbox that is {sandbox.state} does not answer", 502)
        return sandbox

    def _checked(self, model: Any, body: Any) -> dict[str, Any]:
        """Return the body, if it is nothing but what a model of the SDK defines."""
        read = model.from_dict(body)
        if read.additional_properties:
            raise self.wrong(f"{model.__name__} has no {sorted(read.additional_properties)}")
        return dict(body)

    def _described(self, sandbox: Sandbox) -> dict[str, Any]:
        order = sandbox.order
        return {
            "id": sandbox.id,
            "organizationId": "lab",
            "name": order["name"],
            "user": "daytona",
            "env": order.get("env", {}),
            "labels": order["labels"],
            "public": order["public"],
            "networkBlockAll": order["networkBlockAll"],
            "target": order.get("target", "us"),
            "cpu": order.get("cpu", 1),
            "gpu": 0,
            "kvm": False,
            "memory": order.get("memory", 1),
            "disk": order.get("disk", 3),
            "state": sandbox.state,
            "errorReason": sandbox.reason,
            "createdAt": "2026-11-20T12:00:00+00:00",
            "toolboxProxyUrl": f"{self.url}/toolbox",
        }
