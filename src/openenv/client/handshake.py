"""Opening a version 2 connection: the socket, and the agreement on version and limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from openenv._version import __version__
from openenv.client.link import LinkOptions, proxy_of, unreachable
from openenv.errors import ConnectionFailedError, InvalidReplyError, RequestError
from openenv.protocol import v2
from openenv.protocol.formats import Format, Incoming

if TYPE_CHECKING:
    from openenv.client.socket import Socket

_HELLO_ID = 0

Received = Callable[[bytes], None]
Lost = Callable[[int | None, str], None]


class OldServerError(ConnectionFailedError):
    """The server speaks version 1 only.

    Attributes:
        socket: The open connection, which has a version 1 session already.
        early: Messages that have come on it.
        ended: Close code and reason, if it is closed again.
    """

    def __init__(
        self, message: str, socket: Socket, early: list[bytes], ended: tuple[int | None, str] | None
    ) -> None:
        super().__init__(message)
        self.socket, self.early, self.ended = socket, early, ended


async def shake_hands(
    url: str, options: LinkOptions, form: Format, limit: int, received: Received, lost: Lost
) -> tuple[Socket, v2.Limits]:
    """Connect and agree on the version.

    Args:
        url: Address of the WebSocket.
        options: Budgets and limits.
        form: The encoding to ask for.
        limit: Bytes a message may have.
        received: Called with each frame after the server's welcome.
        lost: Called once when the connection is lost after it.

    Returns:
        The socket, and the server's limits.

    Raises:
        OldServerError: The server speaks version 1 only.
        ConnectionFailedError: Nobody answers at the address.
        InvalidReplyError: What the server says is no welcome.
        RequestError: The server does not speak this version.
        TimeoutError: The server took too long to accept the connection.
    """
    early: list[bytes] = []
    ends: list[tuple[int | None, str]] = []
    socket = await _connected(url, options, form, limit, early.append, lambda *end: ends.append(end))
    if socket.response_header("sec-websocket-protocol") != form.subprotocol:
        raise OldServerError(f"{url} speaks protocol version 1 only", socket, early, ends[0] if ends else None)
    welcome: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()

    def first(raw: bytes) -> None:
        socket.rebind(received, lost)  # what follows in the same packet is theirs
        if not welcome.done():
            try:
                welcome.set_result(form.read(raw))
            except InvalidReplyError as error:
                welcome.set_exception(error)

    def gone(_code: int | None, _reason: str) -> None:
        if not welcome.done():
            error = f"{url} closed the connection during the handshake"
            welcome.set_exception(ConnectionFailedError(error))

    socket.rebind(first, gone)
    if ends:
        gone(*ends[0])
    try:
        hello = {
            "id": _HELLO_ID,
            "type": "hello",
            "version": v2.VERSION,
            "client": f"openenv/{__version__}",
            "max_message_size": limit,
        }
        socket.send(form.encode(hello), binary=form.binary)
        answer = await welcome
        if answer.kind == "error":
            raise RequestError.from_wire(answer.data.get("data"))
        if socket.gone:  # already; nobody would be told any more
            raise ConnectionFailedError(f"{url} closed the connection at once")
        return socket, _limits(answer)
    except BaseException:
        await socket.close()
        raise


def _limits(answer: Incoming) -> v2.Limits:
    try:
        return v2.Welcome.model_validate(answer.data).limits
    except ValidationError as error:
        raise InvalidReplyError(f"The server's welcome is none of version 2: {error}") from error


async def _connected(
    url: str, options: LinkOptions, form: Format, limit: int, received: Received, lost: Lost
) -> Socket:
    from openenv.client.socket import Socket, SocketError

    try:
        return await Socket.open(
            url,
            received=received,
            lost=lost,
            headers={**options.headers, "Sec-WebSocket-Protocol": form.subprotocol},
            max_size=limit,
            budget_s=options.connect_timeout_s,
            ping_interval_s=options.ping_interval_s,
            ping_timeout_s=options.ping_timeout_s,
            proxy=proxy_of(url),
        )
    except TimeoutError:  # an OSError too, but told apart by `Multiplexer.connect`
        raise
    except (OSError, SocketError) as error:
        raise unreachable(url, error) from error
