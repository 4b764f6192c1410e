"""`HTTPEnvClient`: the blocking HTTP client of the first generation.

It opens a session of its own at `/sessions`. A server that has none of that gets requests to its one shared
environment, as the first generation did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openenv import values
from openenv.client.base import ActionT, EnvClient, ObservationT, StateT
from openenv.client.link import Link, LinkOptions
from openenv.client.progress import OnProgress
from openenv.errors import BudgetExceededError, ConnectionFailedError, SessionLost, SessionNotFoundError
from openenv.protocol import client_codec, encoding
from openenv.protocol.address import http_address, place, shown
from openenv.protocol.formats import JSON, Incoming
from openenv.protocol.messages import ErrorData

if TYPE_CHECKING:
    import httpx

    from openenv.providers import Provider


class HTTPEnvClient(EnvClient[ActionT, ObservationT, StateT]):
    """A client whose every call is one HTTP request and blocks.

    Args:
        base_url: Address of the server.
        request_timeout_s: Seconds a request may take.
        default_headers: HTTP headers of every request.
        provider: Starts the server when the client connects, and stops it when the client is closed.
        **options: Those of `EnvClient`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        request_timeout_s: float = 15.0,
        default_headers: Mapping[str, str] | None = None,
        provider: Provider | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            base_url,
            message_timeout_s=request_timeout_s,
            headers=default_headers,
            provider=provider,
            **options,
        )
        self._block()

    _quick = False  # an HTTP library wants a task around it

    def _make_link(self, base_url: str) -> Link:
        if self._mode == "production":
            return super()._make_link(base_url)
        return HTTPLink(base_url, self._options)


class HTTPLink:
    """One session over HTTP."""

    format = JSON
    tool_changes = 0  # it is never told

    def __init__(self, base_url: str, options: LinkOptions) -> None:
        self.url = base_url.rstrip("/")
        self.late_replies = 0
        self._options = options
        self._http: httpx.AsyncClient | None = None
        self._session = ""
        self._lost = "The client was closed, and its session with it; reset() opens a new one"

    @property
    def connected(self) -> bool:
        """Whether requests can be sent."""
        return self._http is not None

    async def connect(self) -> None:
        """See `Link.connect`."""
        import httpx

        options = self._options
        timeout = httpx.Timeout(options.message_timeout_s, connect=options.connect_timeout_s)
        url, file = place(http_address(self.url))
        http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=file) if file is not None else None,
            base_url=url,
            timeout=timeout,
            headers=dict(options.headers),
            trust_env=False,
            verify=url.startswith("https://"),  # certificates take long to load
        )
        try:
            response = await http.post("/sessions")
        except httpx.HTTPError as error:
            await http.aclose()
            raise ConnectionFailedError(
                f"Failed to connect to {shown(self.url)}: {error!r}. Is the server running there?"
            ) from error
        if response.status_code == 201:
            self._session = f"/sessions/{response.json()['session_id']}"
        elif response.status_code not in (404, 405):
            await http.aclose()
            client_codec.reply_data(_as_frame(response))  # raises what the server answered
        self._http = http

    async def request(
        self,
        verb: str,
        data: bytes | None = None,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Incoming:
        """See `Link.request`."""
        import httpx

        if self._http is None:
            raise SessionLost(self._lost)
        path = "/mcp" if verb == "mcp" else f"{self._session}/{verb}"
        try:
            if verb == "state":
                response = await self._http.get(path)
            else:
                body = self._body(verb, data, timeout_s)
                response = await self._http.post(path, content=body, headers={"content-type": "application/json"})
        except httpx.TimeoutException as error:
            budget = self._options.message_timeout_s
            raise BudgetExceededError(
                f"The {verb} was not answered within the message budget of {budget:g} s and may still be executed; "
                "raise request_timeout_s if this is normal",
                budget="message",
                seconds=budget,
            ) from error
        except httpx.HTTPError as error:
            raise await self._give_up(f"The request to {self.url} failed ({error!r})") from error
        if (verb == "mcp" or response.status_code == 404) and _code(response) == SessionNotFoundError.code:
            raise await self._give_up("The server does not know the session any more")
        return Incoming(None, verb, _as_frame(response, verb))

    def _body(self, verb: str, data: bytes | None, timeout_s: float | None) -> bytes | None:
        if verb == "step":
            return _step_body(data, timeout_s)
        return _rpc_body(data or b"{}", self._session) if verb == "mcp" else data

    async def _give_up(self, why: str) -> SessionLost:
        self._lost = f"{why}, so the session is lost, and its episode with it; reset() starts a new one"
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()
        return SessionLost(self._lost)

    async def cancel(self) -> bool:
        """See `Link.cancel`: plain HTTP has no way to."""
        return False

    async def close(self) -> None:
        """See `Link.close`."""
        import httpx

        http, self._http = self._http, None
        if http is None:
            return
        try:
            if self._session:
                await http.delete(self._session)
        except httpx.HTTPError:
            pass
        finally:
            await http.aclose()


def _step_body(action: bytes | None, timeout_s: float | None) -> bytes:
    limit = b"" if timeout_s is None else b',"timeout_s":%r' % timeout_s
    return b'{"action":%b%b}' % (action or b"{}", limit)


def _rpc_body(request: bytes, session: str) -> bytes:
    """Return a JSON-RPC request that says whose it is."""
    asked = values.loads(request)
    if session:
        asked["params"] = {**asked.get("params", {}), "session_id": session.rpartition("/")[2]}
    return values.dumps(asked, what="request")


def _code(response: httpx.Response) -> str:
    """Return the code of an error; that of a JSON-RPC answer is in its `data`."""
    body = _body_of(response)
    error = body.get("error")
    data = error.get("data") if isinstance(error, dict) else body
    return str(data.get("code", "")) if isinstance(data, dict) else ""


def _body_of(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _as_frame(response: httpx.Response, verb: str = "") -> bytes:
    """Return an HTTP answer in the form of a WebSocket frame."""
    if verb == "mcp" and isinstance(_body_of(response).get("error"), dict):
        return encoding.frame("mcp", response.content)  # whatever its status
    if response.status_code < 400:
        return encoding.frame(verb if verb in ("state", "mcp") else "observation", response.content)
    body = _body_of(response)
    if "code" not in body:
        detail = body.get("detail") if body else response.text[:500]
        body = {"message": f"HTTP {response.status_code}: {detail}", "code": "HTTP_ERROR"}
        if verb == "mcp" and response.status_code in (404, 405):  # a server of the first generation
            body["code"] = "UNKNOWN_TYPE"
    body.pop("detail", None)
    return encoding.frame("error", ErrorData.model_validate(body).model_dump_json(exclude_none=True).encode())
