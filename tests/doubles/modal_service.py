"""A double of Modal's gRPC service, made from the definitions in Modal's own SDK, which really starts the servers.

A call that is not written here is answered UNIMPLEMENTED and held against the caller. A sandbox is a process of
a `ProcessProvider`, reached through a gate that wants the connect token. Logs are not there: Modal has another one
for them.
"""

import asyncio
import base64
import itertools
import json
import re
import shlex
import threading
from dataclasses import dataclass
from typing import Any

from grpclib import GRPCError, Status
from grpclib.server import Server
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase
from tests.doubles.gate import Gate

from openenv.providers import ProcessProvider

TOKEN_ID, TOKEN_SECRET = "ak-lab", "as-0123456789abcdef"
EXPIRES = base64.urlsafe_b64encode(json.dumps({"exp": 4102444800}).encode()).decode().rstrip("=")


@dataclass
class Sandbox:
    """What the service knows of one sandbox."""

    id: str
    order: Any
    server: ProcessProvider
    clock: threading.Timer
    gate: Gate | None = None
    ended: int = 0  # a status of GenericResult


class ModalService:
    """The service, for one account.

    Attributes:
        images: What it can pull.
        most: How many sandboxes the account may have.
        second_s: How long a second of a sandbox's life lasts.
        violations: Calls that nobody should have made.
    """

    def __init__(self) -> None:
        self.images = {"echo-env:latest", "odd:1"}
        self.most = 4
        self.apps: set[str] = set()
        self.second_s = 1.0
        self.violations: list[str] = []
        self.sandboxes: dict[str, Sandbox] = {}
        self._lock = threading.Lock()
        self._built: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(self._listen())

    def close(self) -> None:
        for sandbox in list(self.sandboxes.values()):
            self.end(sandbox, api_pb2.GenericResult.GENERIC_STATUS_TERMINATED)
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def end(self, sandbox: Sandbox, status: int) -> None:
        """End a sandbox as on terminate, or when its time is over."""
        sandbox.clock.cancel()
        sandbox.ended = sandbox.ended or status
        if sandbox.gate is not None:
            sandbox.gate.close()
        sandbox.server.stop()

    @property
    def alive(self) -> list[Sandbox]:
        return [sandbox for sandbox in self.sandboxes.values() if not sandbox.ended]

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _listen(self) -> Server:
        refused = {name: self._refusing(name) for name in ModalClientBase.__abstractmethods__}
        own = {name.removeprefix("on_"): self._answering(name) for name in dir(self) if name.startswith("on_")}
        server = Server([type("Handler", (ModalClientBase,), {**refused, **own})()])
        await server.start("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server._server.sockets[0].getsockname()[1]}"
        return server

    async def _stop(self) -> None:
        self._server.close()
        # The SDK keeps its connections until it is collected, so they are ended from this side.
        for transport in list(self._loop._transports.values()):  # type: ignore[attr-defined]
            transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    def _refusing(self, name: str) -> Any:
        async def refuse(handler: Any, stream: Any) -> None:
            self.violations.append(name)
            raise GRPCError(Status.UNIMPLEMENTED, name)

        return refuse

    def _answering(self, name: str) -> Any:
        async def answer(handler: Any, stream: Any) -> None:
            told = (stream.metadata.get("x-modal-token-id"), stream.metadata.get("x-modal-token-secret"))
            if told != (TOKEN_ID, TOKEN_SECRET):
                raise GRPCError(Status.UNAUTHENTICATED, "Token ID is malformed or unknown")
            request = await stream.recv_message()
            await stream.send_message(await asyncio.to_thread(getattr(self, name), request))

        return answer

    # --- the calls -------------------------------------------------------------------------------

    def on_ClientHello(self, request: Any) -> Any:
        return api_pb2.ClientHelloResponse(image_builder_version="2025.06")

    def on_AuthTokenGet(self, request: Any) -> Any:
        return api_pb2.AuthTokenGetResponse(token=f"e30.{EXPIRES}.x")

    def on_EnvironmentGetOrCreate(self, request: Any) -> Any:
        settings = api_pb2.EnvironmentSettings(image_builder_version="2025.06")
        metadata = api_pb2.EnvironmentMetadata(name="main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-1", metadata=metadata)

    def on_AppGetOrCreate(self, request: Any) -> Any:
        if request.object_creation_type != api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING and (
            request.app_name not in self.apps
        ):
            raise GRPCError(Status.NOT_FOUND, f"no app {request.app_name}")
        self.apps.add(request.app_name)
        return api_pb2.AppGetOrCreateResponse(app_id=f"ap-{request.app_name}")

    def on_ImageGetOrCreate(self, request: Any) -> Any:
        (image,) = re.findall(r"^FROM (\S+)", "\n".join(request.image.dockerfile_commands), re.MULTILINE)
        good = image in self.images
        self._built[f"im-{len(self._built)}"] = image
        status = "GENERIC_STATUS_SUCCESS" if good else "GENERIC_STATUS_FAILURE"
        result = api_pb2.GenericResult(
            status=getattr(api_pb2.GenericResult, status), exception="" if good else f"pull access denied: {image}"
        )
        return api_pb2.ImageGetOrCreateResponse(image_id=f"im-{len(self._built) - 1}", result=result)

    def on_SandboxCreateV2(self, request: Any) -> Any:
        with self._lock:
            return self._create(request)

    def _create(self, request: Any) -> Any:
        order = request.definition
        if len(self.alive) >= self.most:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "sandbox limit reached")
        if any(each.order.definition.name == order.name for each in self.alive):
            raise GRPCError(Status.ALREADY_EXISTS, f"sandbox {order.name} exists")
        shell, option, command = order.entrypoint_args
        words = shlex.split(command)
        if (shell, option) != ("/bin/sh", "-c") or words[:2] != ["openenv", "serve"] or "0.0.0.0" not in words:
            self.violations.append(f"not the command of a server: {command}")
        env = {key: value for source in request.secret_sources for key, value in source.env.contents.items()}
        server = ProcessProvider(words[2], env_vars=env, stop_grace_s=1.0)
        server.start()
        timeout = api_pb2.GenericResult.GENERIC_STATUS_TIMEOUT
        number = next(self._numbers)
        clock = threading.Timer(order.timeout_secs * self.second_s, lambda: self.end(made, timeout))
        clock.daemon = True
        made = Sandbox(f"sb-v2-lab-{number}", request, server, clock)
        clock.start()
        self.sandboxes[made.id] = made
        return api_pb2.SandboxCreateV2Response(sandbox_id=made.id, task_id=f"ta-{number}")

    def on_SandboxGetFromNameV2(self, request: Any) -> Any:
        for sandbox in self.alive:
            if sandbox.order.definition.name == request.sandbox_name:
                return api_pb2.SandboxGetFromNameResponse(sandbox_id=sandbox.id)
        raise GRPCError(Status.NOT_FOUND, f"no sandbox {request.sandbox_name}")

    def on_SandboxGetFromName(self, request: Any) -> Any:
        """Look among the sandboxes of the older kind, of which there are none."""
        raise GRPCError(Status.NOT_FOUND, f"no sandbox {request.sandbox_name}")

    def on_SandboxWaitV2(self, request: Any) -> Any:
        sandbox = self.sandboxes[request.sandbox_id]
        process = sandbox.server._process
        code = None if process is None else process.exit_code()
        result = api_pb2.GenericResult()
        if sandbox.ended:
            result = api_pb2.GenericResult(status=sandbox.ended)
        elif code is not None:
            failure = api_pb2.GenericResult.GENERIC_STATUS_FAILURE
            result = api_pb2.GenericResult(status=failure, exitcode=code)
        return api_pb2.SandboxWaitResponse(result=result)

    def on_SandboxTerminateV2(self, request: Any) -> Any:
        self.end(self.sandboxes[request.sandbox_id], api_pb2.GenericResult.GENERIC_STATUS_TERMINATED)
        return api_pb2.SandboxTerminateResponse()

    def on_SandboxListV2(self, request: Any) -> Any:
        wanted = {(tag.tag_name, tag.tag_value) for tag in request.tags}
        infos = []
        for number, sandbox in enumerate(self.alive if not request.before_timestamp else []):
            if wanted <= {(tag.tag_name, tag.tag_value) for tag in sandbox.order.tags}:
                infos.append(api_pb2.SandboxInfo(id=sandbox.id, created_at=1.0 + number, tags=sandbox.order.tags))
        return api_pb2.SandboxListResponse(sandboxes=infos)

    def on_SandboxTagsGetV2(self, request: Any) -> Any:
        return api_pb2.SandboxTagsGetResponse(tags=self.sandboxes[request.sandbox_id].order.tags)

    def on_SandboxCreateConnectTokenV2(self, request: Any) -> Any:
        sandbox = self.sandboxes[request.sandbox_id]
        token = f"connect-{sandbox.id}"

        def admit(head: bytes) -> bytes | str:
            wanted = f"\r\nauthorization: bearer {token}\r\n".encode()
            return head if wanted in head.lower() else "401 Unauthorized"

        def backend() -> int | None:
            urls = sandbox.server.urls
            listening = f"--port {request.port}" in sandbox.order.definition.entrypoint_args[2]
            return int(urls[0].rpartition(":")[2]) if urls and listening else None

        sandbox.gate = sandbox.gate or Gate(admit, backend)
        url = f"http://127.0.0.1:{sandbox.gate.port}"
        return api_pb2.SandboxCreateConnectTokenResponse(url=url, token=token)
