"""One WebSocket connection, by the ``websockets`` library."""

import logging
import os
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from storm_gateway.client.errors import ClientError, UnreachableError
from storm_gateway.client.http import refusal
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.commands import Command

OPEN_SECONDS = 15
CLOSE_SECONDS = 2
MOST_BYTES = 16 * 1024 * 1024
"""The largest frame that is accepted; a listing of presence is the largest that there is."""
FRAMES_AHEAD = 64
"""Frames read before the program took them; above, TCP tells the server to wait."""
ABNORMAL = 1006
"""RFC 6455 § 7.1.5: the connection broke without a close frame."""

# The library writes the request line, with its ticket, to this logger when it is set to debug.
_silent = logging.getLogger("storm_gateway.client.wire")
_silent.setLevel(logging.INFO)


class BrokenError(Exception):
    """The connection ended; ``code`` says why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason or f"close code {code}")
        self.code = code
        self.reason = reason


class Wire:
    """Frames of one connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @classmethod
    async def open(cls, url: str, headers: dict[str, str], query: dict[str, str]) -> Self:
        """Connect. Raises :class:`ClientError`: ``UnreachableError`` where trying again helps."""
        address = f"{url}?{urlencode(query)}" if query else url
        try:
            socket = await connect(
                address,
                additional_headers=headers,
                compression=None,
                open_timeout=OPEN_SECONDS,
                close_timeout=CLOSE_SECONDS,
                # The server pings, and its heartbeats show that it lives: see GatewayClient.
                ping_interval=None,
                max_size=MOST_BYTES,
                max_queue=FRAMES_AHEAD,
                logger=_silent,
                process_exception=lambda error: error,
            )
        except InvalidStatus as error:
            answer = error.response
            raise refusal(
                answer.status_code, bytes(answer.body or b""), answer.headers.get("Retry-After")
            ) from None
        except InvalidURI as error:
            raise ClientError(f"This is no address of a WebSocket: {url}") from error
        except InvalidHandshake as error:
            raise UnreachableError(f"No WebSocket there: {error}") from None
        except (OSError, TimeoutError, WebSocketException) as error:
            # Positive: an errno. Name resolution has numbers of its own, below 0, and says more.
            number = (error.errno or 0) if isinstance(error, OSError) else 0
            text = os.strerror(number) if number > 0 else str(error) or type(error).__name__
            raise UnreachableError(f"No connection to {url}: {text}") from None
        return cls(socket)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def receive(self) -> bytes:
        """The next frame. Raises :class:`BrokenError`."""
        try:
            return await self._socket.recv(decode=False)
        except ConnectionClosed as error:
            raise _broken(error) from None

    async def send(self, command: Command) -> None:
        """Write a command; waits while the server does not take it. Raises :class:`BrokenError`."""
        try:
            await self._socket.send(encode(command), text=True)
        except ConnectionClosed as error:
            raise _broken(error) from None

    async def close(self) -> None:
        """Say goodbye; at most 2 seconds."""
        try:
            await self._socket.close()
        finally:
            # In a task that is being cancelled, the library's timeout ends as a cancellation on
            # Python 3.11.2 (a timeout on later ones), and it leaves the socket open.
            self._socket.transport.abort()


def _broken(error: ConnectionClosed) -> BrokenError:
    if error.rcvd is None:
        return BrokenError(ABNORMAL, "the connection broke")
    return BrokenError(error.rcvd.code, error.rcvd.reason)
