"""A WebSocket client that costs little: a thousand of them in one process leave it time to measure.

It does what RFC 6455 asks of a client of a server that it trusts, and no more: text frames out
(masked with zeros, which is a mask like another), whole frames in, pings answered, closes answered.
"""

import asyncio
import base64
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

import msgspec

OPEN_SECONDS = 15.0
_CLOSE, _PING = 8, 9
_encode = msgspec.json.encode


class RefusedError(Exception):
    """The server did not open a WebSocket."""


class Socket(asyncio.Protocol):
    """One connection. ``on_text`` gets each text frame, ``on_closed`` is called once at the end."""

    def __init__(self, on_text: "OnText", on_closed: "OnClosed | None" = None) -> None:
        self._on_text = on_text
        self._on_closed = on_closed
        self._rest = b""
        self._open = False
        self._opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport
        self.close_code = 1006
        """Of the close frame that came; 1006 when none came."""
        self.ended = asyncio.Event()

    # --- saying ---

    def send(self, command: dict[str, Any]) -> None:
        """A command. Nothing happens on a connection that has ended."""
        self._write(1, _encode(command))

    def close(self) -> None:
        """Say goodbye."""
        self._write(_CLOSE, struct.pack("!H", 1000))

    def abort(self) -> None:
        """Go without goodbye, as a network does."""
        self.transport.abort()

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65_536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        if self._open and not self.transport.is_closing():
            self.transport.write(head + b"\0\0\0\0" + payload)

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        if not self._open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return
            if not data.startswith(b"HTTP/1.1 101 "):
                self._refuse(data[:400].decode("latin-1"))
                return
            self._open = True
            at = end + 4
            self._opening.set_result(None)
        total = len(data)
        while total - at >= 2:
            size = data[at + 1]
            begin = at + 2
            if size == 126:
                begin = at + 4
                size = int.from_bytes(data[at + 2 : begin])
            elif size == 127:
                begin = at + 10
                size = int.from_bytes(data[at + 2 : begin])
            if total - begin < size or begin > total:
                break
            payload = data[begin : begin + size]
            opcode = data[at] & 15
            at = begin + size
            if opcode == 1:
                self._on_text(self, payload)
            elif opcode == _PING:
                self._write(10, payload)
            elif opcode == _CLOSE:
                self.close_code = int.from_bytes(payload[:2]) if len(payload) >= 2 else 1005
                self._write(_CLOSE, payload[:2])
        self._rest = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._refuse(f"the connection ended: {exc}")
        self.ended.set()
        if self._on_closed is not None:
            self._on_closed(self)

    def _refuse(self, why: str) -> None:
        if not self._opening.done():
            self._opening.set_exception(RefusedError(why))

    async def opened(self) -> None:
        """Wait for the server's yes. Raises :class:`RefusedError`."""
        await self._opening


OnText = Callable[[Socket, bytes], None]
OnClosed = Callable[[Socket], None]


async def connect(
    host: str,
    port: int,
    target: str,
    token: str,
    on_text: OnText,
    on_closed: OnClosed | None = None,
    *,
    receive_buffer: int = 0,
) -> Socket:
    """Open one. ``receive_buffer``: bytes the kernel keeps for it (0: as many as it likes).

    Raises ``OSError`` and :class:`RefusedError`.
    """
    loop = asyncio.get_running_loop()
    plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            # Before connecting: the window that TCP offers is settled then.
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        async with asyncio.timeout(OPEN_SECONDS):
            await loop.sock_connect(plain, (host, port))
            _, opened = await loop.create_connection(lambda: Socket(on_text, on_closed), sock=plain)
    except TimeoutError:
        plain.close()
        raise RefusedError("the connection did not open in time") from None
    except BaseException:
        plain.close()
        raise
    key = base64.b64encode(os.urandom(16)).decode()
    opened.transport.write(
        f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            await opened.opened()
    except TimeoutError:
        opened.abort()
        raise RefusedError("the handshake was not answered in time") from None
    return opened
