"""One WebSocket as a client holds it, as small as it can be: hundreds run beside the nodes.

Server frames are final and never masked (RFC 6455 § 5.1, and STORM does not fragment).
"""

import asyncio
import base64
import hashlib
import os
import struct
from typing import Protocol, cast

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD_BYTES = 64 * 1024
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_NO_MASK = b"\0\0\0\0"
"""Masks defend proxies against scripts that choose bytes (§ 10.3): nobody chooses any here."""

LEFT = 1000
"""It was this side that said goodbye: a server says this code only in answer."""
ABNORMAL = 1006
REFUSED = 0
"""In place of a close code: the upgrade was answered with something else than 101."""


class Owner(Protocol):
    """Who hears of what happens on a wire."""

    def opened(self, wire: "Wire") -> None: ...

    def heard(self, wire: "Wire", text: bytes) -> None: ...

    def lost(self, wire: "Wire", code: int, reason: str) -> None: ...


class Wire(asyncio.Protocol):
    """From the TCP connection to its end; then it is not used again."""

    __slots__ = ("_buffer", "_code", "_head", "_key", "_owner", "_reason", "_transport", "is_open")

    def __init__(self, owner: Owner, host: str, token: str) -> None:
        self._owner: Owner | None = owner
        self._buffer = b""
        self._code = ABNORMAL
        self._reason = ""
        self.is_open = False
        self._transport: asyncio.Transport | None = None
        self._key = base64.b64encode(os.urandom(16))
        self._head = (
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {self._key.decode()}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()

    # --- for the owner ---

    def send(self, text: bytes) -> None:
        """Write one text frame; nothing happens when the wire is not open."""
        if self.is_open and self._transport is not None:
            self._transport.write(frame(_TEXT, text))

    def ping(self) -> None:
        """Ask whether the other end lives; the answer is heard as an empty text."""
        if self.is_open and self._transport is not None:
            self._transport.write(frame(_PING, b""))

    def leave(self) -> None:
        """Say goodbye and end, without waiting for an answer; the owner hears of it."""
        if self.is_open and self._transport is not None:
            self._transport.write(frame(_CLOSE, struct.pack("!H", LEFT)))
            self._code = LEFT
            self.is_open = False
            self._transport.close()

    def cut(self) -> None:
        """End at once and without a word; the owner hears nothing more."""
        self._owner = None
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        if self._owner is None:
            self._transport.abort()
        else:
            self._transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not self.is_open:
            data = self._upgraded(data)
        position, size = 0, len(data)
        while size - position >= 2 and self._owner is not None:
            length, start = data[position + 1], position + 2
            if length > 125:
                wide = 2 if length == 126 else 8
                if size < start + wide:
                    break
                length = int.from_bytes(data[start : start + wide], "big")
                start += wide
            end = start + length
            if end > size:
                break
            self._frame(data[position] & 15, data[start:end])
            position = end
        self._buffer = data[position:] if position else data

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.lost(self, self._code, self._reason or (str(error) if error else ""))

    # --- inside ---

    def _upgraded(self, data: bytes) -> bytes:
        """Read the answer to the upgrade; gives what follows it, or what there is so far."""
        end = data.find(b"\r\n\r\n")
        if self._transport is None or self._transport.is_closing():
            return b""
        if end < 0:
            if len(data) > _HEAD_BYTES:
                self._refuse("an endless answer")
            self._buffer = data
            return b""
        head = data[:end]
        status = head.split(b"\r\n", 1)[0].split(b" ", 2)
        accept = base64.b64encode(hashlib.sha1(self._key + _MAGIC, usedforsecurity=False).digest())
        if len(status) < 2 or status[1] != b"101" or accept not in head:
            self._refuse(b" ".join(status[1:]).decode("latin-1"))
            return b""
        self._buffer = b""
        self.is_open = True
        if self._owner is not None:
            self._owner.opened(self)
        return data[end + 4 :]

    def _refuse(self, reason: str) -> None:
        self._code, self._reason = REFUSED, reason
        if self._transport is not None:
            self._transport.close()

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == _TEXT:
            if self._owner is not None:
                self._owner.heard(self, payload)
        elif opcode == _PONG:
            if self._owner is not None:
                self._owner.heard(self, b"")
        elif opcode == _PING and self._transport is not None:
            self._transport.write(frame(_PONG, payload))
        elif opcode == _CLOSE and self._transport is not None:
            self._code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
            self._reason = payload[2:].decode(errors="replace")
            if self.is_open:
                self.is_open = False
                self._transport.write(frame(_CLOSE, payload[:2]))
            self._transport.close()


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole client frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0xFF, size)
    return head + _NO_MASK + payload
