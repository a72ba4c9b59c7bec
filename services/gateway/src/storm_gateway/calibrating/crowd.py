"""The load client of a calibration: many connections in one process, counted frame by frame.

Server frames are final and never masked (RFC 6455 § 5.1, and STORM does not fragment).
"""

import asyncio
import base64
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import cast

import jwt

from storm_gateway.capacity.errors import CapacityError
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.commands import Command

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_NO_MASK = b"\0\0\0\0"
"""Masks defend proxies against scripts that choose bytes (§ 10.3): nobody chooses any here."""
_WAIT_SECONDS = 10.0
_UNDER_WAY = 64
"""Connections that are being opened at the same time."""


class Peer(asyncio.Protocol):
    """One connection; what it is told is counted by its crowd."""

    __slots__ = ("_buffer", "_crowd", "_head", "_open", "ready", "transport", "user")

    def __init__(self, crowd: "Crowd", user: str, path: str) -> None:
        self.user = user
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is subscribed for the first time."""
        self.transport: asyncio.Transport | None = None
        self._crowd = crowd
        self._buffer = b""
        self._open = False
        key = base64.b64encode(os.urandom(16)).decode()
        self._head = (
            f"GET {path} HTTP/1.1\r\nHost: {crowd.host}:{crowd.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Authorization: Bearer {crowd.token(user)}\r\n\r\n"
        ).encode()

    def send(self, *said: Command) -> None:
        """All of them in one write."""
        if self.transport is not None:
            self.transport.write(b"".join(_frame(_TEXT, encode(each)) for each in said))

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        plain = transport.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        position, size = 0, len(data)
        if not self._open:
            position = data.find(b"\r\n\r\n") + 4
            if position < 4:
                self._buffer = data
                return
            if not data.startswith(b"HTTP/1.1 101 "):
                self._crowd.fail(data.split(b"\r\n", 1)[0].decode("latin-1"))
                return
            self._open = True
        while size - position >= 2:
            length, start = data[position + 1], position + 2
            if length > 125:
                wide = 2 if length == 126 else 8
                start += wide
                if size < start:
                    break
                length = int.from_bytes(data[start - wide : start], "big")
            end = start + length
            if end > size:
                break
            self._take(data[position] & 15, data, start, end)
            position = end
        self._buffer = data[position:]
        self._crowd.stir()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._crowd.lost()

    def _take(self, opcode: int, data: bytes, start: int, end: int) -> None:
        crowd = self._crowd
        if opcode == _TEXT:
            # Every text begins with its type.
            if data.startswith(b'{"type":"message"', start):
                crowd.messages += 1
                crowd.event_bytes = end - start
            elif data.startswith(b'{"type":"ack"', start):
                crowd.acks += 1
            elif data.startswith(b'{"type":"subscribed"', start):
                crowd.subscribed += 1
                if not self.ready.done():
                    self.ready.set_result(None)
            elif data.startswith(b'{"type":"error"', start):
                crowd.fail(data[start:end].decode(errors="replace"))
        elif opcode == _PING and self.transport is not None:
            self.transport.write(_frame(_PONG, data[start:end]))
        elif opcode == _CLOSE:
            crowd.fail(f"a connection was closed: {data[start + 2 : end]!r}")


class Crowd:
    """Connections to one node. Raises :class:`CapacityError` when the node does not do its part."""

    def __init__(self, host: str, port: int, secret: str) -> None:
        self.host, self.port = host, port
        self.peers: list[Peer] = []
        self.messages = self.acks = self.subscribed = 0
        """What all of them together were told."""
        self.event_bytes = 0
        """Of the message event that came last."""
        self._secret = secret
        self._why = ""
        self._stirred = asyncio.Event()
        self._connected = 0
        self._leaving = False

    def token(self, user_id: str) -> str:
        """An access token, as another back end makes it."""
        now = int(time.time())
        return jwt.encode({"sub": user_id, "iat": now, "exp": now + 3_600}, self._secret, "HS256")

    async def open(self, wanted: Sequence[tuple[str, int]]) -> list[Peer]:
        """Open connections, each of a user who joins a channel, and wait until all are
        subscribed. What goes wrong is told by :meth:`until`.
        """
        turns = asyncio.Semaphore(_UNDER_WAY)

        async def one(user: str, channel_id: int) -> Peer:
            async with turns:
                loop = asyncio.get_running_loop()
                try:
                    _, peer = await loop.create_connection(
                        lambda: Peer(self, user, f"/ws?channel_id={channel_id}"),
                        self.host,
                        self.port,
                    )
                except OSError as error:
                    raise CapacityError(f"a connection could not be opened: {error}") from None
                self._connected += 1
                self.peers.append(peer)
                await peer.ready
                return peer

        tasks = [asyncio.create_task(one(user, channel)) for user, channel in wanted]
        opening = asyncio.gather(*tasks)
        opening.add_done_callback(lambda done: self.stir())
        try:
            await self.until(opening.done)
            return list(await opening)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(opening, return_exceptions=True)

    async def leave(self) -> None:
        """End all without a word."""
        self._leaving = True
        for peer in self.peers:
            if peer.transport is not None:
                peer.transport.abort()
        await self.until(lambda: not self._connected)
        self.peers.clear()
        self._leaving = False

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not holds():
            if self._why:
                raise CapacityError(f"the node does not do its part: {self._why}")
            left = deadline - time.monotonic()
            if left < 0:
                raise CapacityError(
                    f"the node did not answer in {_WAIT_SECONDS:g} s: the machine is too busy, or "
                    "too slow"
                )
            self._stirred.clear()
            try:
                await asyncio.wait_for(self._stirred.wait(), left)
            except TimeoutError:
                continue

    # --- for the peers ---

    def stir(self) -> None:
        """Something came."""
        self._stirred.set()

    def fail(self, why: str) -> None:
        """Something came that should not."""
        self._why = self._why or why[:300]
        self.stir()

    def lost(self) -> None:
        """A connection ended."""
        self._connected -= 1
        if not self._leaving:
            self.fail("a connection ended")
        self.stir()


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    else:
        head = struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
    return head + _NO_MASK + payload
