"""The server under test: its addresses, a legal action, and the sockets that a check has open.

What a check needs and a server does not offer (room for a second session, a schema to make an action of) skips the
check and says why; only what is wrong fails it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx

from openenv.client.link import websocket_url
from openenv.errors import ConfigurationError, ConnectionFailedError
from openenv.protocol.address import http_address, is_unix, place
from openenv.validation.checks import CheckFailed, CheckSkipped
from openenv.validation.conformance.expectation import shown
from openenv.validation.conformance.raw import RawSocket
from openenv.validation.samples import NotSimpleError, forbids_unknown_fields, sample_value

__all__ = ["ServerUnderTest"]

SocketT = TypeVar("SocketT", bound=RawSocket)

UNSET: Any = object()

SCARCE = 8
"""Free slots below which a check waits until the sessions of the one before are gone."""

GONE_WITHIN_S = 3.0
"""Seconds that this takes at most; then the next check finds out for itself."""


class ServerUnderTest:
    """A running server.

    Args:
        url: Its address, `http(s)://`, `ws(s)://` or that of a Unix domain socket.
        action: A legal action; by default one is made up from `GET /schema`.
        bad_action: One that is not legal; likewise.
        timeout_s: Seconds that any answer may take.

    Raises:
        ConfigurationError: The address is none.
    """

    def __init__(self, url: str, *, action: Any = UNSET, bad_action: Any = UNSET, timeout_s: float = 10.0) -> None:
        self.url = _http_url(url)
        self.timeout_s = timeout_s
        self._action = action
        self._bad_action = bad_action
        self._sockets: list[RawSocket] = []
        self._sessions: list[Callable[[], object]] = []
        self._active_before: int | None = None
        address, file = place(self.url)
        self._http = httpx.Client(
            base_url=address,
            timeout=timeout_s,
            trust_env=not _is_loopback(address),
            transport=httpx.HTTPTransport(uds=file) if file is not None else None,
        )

    def __enter__(self) -> ServerUnderTest:
        return self

    def __exit__(self, *_error: object) -> None:
        self.clean_up()
        self._http.close()

    # --- what a check may do ---------------------------------------------------------------------------

    def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Ask over HTTP.

        Args:
            method: As in `GET`.
            path: After the server's address.
            content: What `httpx` takes: `json`, `content`.

        Raises:
            CheckFailed: There is no answer.
        """
        try:
            return self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise CheckFailed(f"an answer to {method} {path}", f"{type(error).__name__}: {error}") from error

    def socket(self, kind: type[SocketT] | Callable[..., SocketT], *subprotocols: str) -> SocketT:
        """Open a WebSocket that is closed after the check."""
        opened = kind(websocket_url(self.url), subprotocols, self.timeout_s)
        self._sockets.append(opened)
        return opened

    def after(self, end: Callable[[], object]) -> None:
        """Have a session ended after the check, while its socket is still open."""
        self._sessions.append(end)

    def clean_up(self) -> None:
        """End what a check has left, and wait until its sessions are gone if there is little room for others."""
        left_something = bool(self._sessions or self._sockets)
        while self._sessions:
            with contextlib.suppress(CheckFailed):
                self._sessions.pop()()
        while self._sockets:
            self._sockets.pop().close()
        deadline = time.monotonic() + GONE_WITHIN_S
        while left_something and self._is_scarce() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _is_scarce(self) -> bool:
        capacity = self._capacity()
        if capacity is None or self._active_before is None:
            return False
        active, most = capacity
        return most - active < SCARCE and active > self._active_before

    # --- what is known of it ---------------------------------------------------------------------------

    def reach(self) -> None:
        """Look whether there is anything to test.

        Raises:
            ConnectionFailedError: Nobody answers.
        """
        try:
            self._http.get("/health")
            self._active_before = (self._capacity() or (None,))[0]
        except httpx.HTTPError as error:
            raise ConnectionFailedError(
                f"No server answers at {self.url}: {error or type(error).__name__}"
            ) from error

    @cached_property
    def action(self) -> Any:
        """A legal action.

        Raises:
            CheckSkipped: None was given, and none can be made up.
        """
        if self._action is not UNSET:
            return self._action
        try:
            return sample_value(self._action_schema)
        except NotSimpleError as error:
            raise CheckSkipped(f"no legal action can be made up ({error}): give one with --action") from error

    @cached_property
    def bad_action(self) -> Any:
        """An action that is not legal, as far as the schema tells an object; else something that is no object."""
        if self._bad_action is not UNSET:
            return self._bad_action
        try:
            known = forbids_unknown_fields(self._action_schema)
        except (CheckSkipped, NotSimpleError):
            known = False
        return {"no_field_of_an_action": 0} if known else [0]

    @cached_property
    def _action_schema(self) -> dict[str, Any]:
        response = self.request("GET", "/schema")
        schema = _json(response)
        if (
            response.status_code != 200
            or not isinstance(schema, dict)
            or not isinstance(schema.get("action"), dict)
        ):
            raise CheckSkipped(
                f"no legal action is known, for GET /schema answers {response.status_code}: give one with --action"
            )
        return schema["action"]  # type: ignore[no-any-return]

    def _capacity(self) -> tuple[int, int] | None:
        """Return how many sessions there are and may be, if the server tells."""
        response = self._http.get("/capacity")
        told = _json(response)
        if response.status_code != 200 or not isinstance(told, dict):
            return None
        active, most = told.get("active_sessions"), told.get("max_sessions")
        return (active, most) if isinstance(active, int) and isinstance(most, int) else None

    @property
    def max_sessions(self) -> int | None:
        """How many sessions there may be, if the server tells."""
        return (self._capacity() or (None, None))[1]

    def need_room(self, error: Any, sessions: int) -> None:
        """Skip the check if an error says that the server has no room for so many sessions."""
        if isinstance(error, dict) and error.get("code") == "CAPACITY_REACHED":
            raise CheckSkipped(f"the server has no room for {sessions} session{'s' if sessions > 1 else ''}")


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def body(response: httpx.Response) -> Any:
    """Return the JSON body of a response.

    Raises:
        CheckFailed: It is not JSON.
    """
    value = _json(response)
    if value is None and response.text.strip() != "null":
        request = f"{response.request.method} {response.request.url.path}"
        raise CheckFailed(f"JSON in answer to {request}", f"{response.status_code} {shown(response.text)}")
    return value


def _http_url(url: str) -> str:
    if is_unix(url):
        return http_address(url)
    parts = urlsplit(url.strip() if "://" in url else f"http://{url.strip()}")
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{url!r} is not the address of a server, such as http://127.0.0.1:8000")
    path = parts.path.rstrip("/").removesuffix("/ws")
    return urlunsplit((scheme, parts.netloc, path, "", ""))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
