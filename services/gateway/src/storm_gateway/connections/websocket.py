"""The WebSocket engine: one ``asyncio.Protocol`` for each connection.

Small on purpose: an idle connection is this object, its transport and its places in the hub's
sets. What a half-read frame or a slow client needs exists only while it is half read or slow.
"""

import asyncio
import os
import sys
from enum import IntEnum
from typing import ClassVar, cast

from storm_gateway.connections.outbox import Outbox
from storm_gateway.protocol.close_codes import CloseCode
from storm_gateway.protocol.websocket import (
    FrameReader,
    Opcode,
    ProtocolViolation,
    close_frame,
    frame,
    read_close,
)

_WRITE_AT_ONCE = 64 * 1024
_DIRECT = sys.platform != "win32"

_TEXT, _BINARY, _CLOSE, _PING = 1, 2, 8, 9


class State(IntEnum):
    """Where a connection stands; it only goes on, never back."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    """A close frame was sent; nothing else follows it (RFC 6455 § 5.5.1)."""
    CLOSED = 3


_OPEN = State.OPEN


class Engine:
    """What all WebSockets of one listener share: bounds, and the clock."""

    def __init__(
        self, *, message_bytes: int, ephemeral_bytes: int, close_bytes: int, close_seconds: int
    ) -> None:
        self.message_bytes = message_bytes
        self.ephemeral_bytes = ephemeral_bytes
        self.close_bytes = close_bytes
        self.close_seconds = close_seconds
        self.tick = 0  # seconds since the start
        self.outbox_bytes = 0
        self.ephemeral_dropped = 0
        self.slow_consumers = 0
        self.closing: dict[WebSocket, int] = {}  # → tick at which patience ends, oldest first
        # A reader without state serves everyone: reading is never interrupted half way.
        self.spare_reader = FrameReader(message_bytes)
        # What one connection is answered within one turn leaves in one write: see ``cork``.
        self.corked: WebSocket | None = None
        self.cork: list[bytes] = []
        self.cork_bytes = 0

    def second(self) -> None:
        """One second has passed: end those that did not answer a close frame."""
        self.tick += 1
        while self.closing:
            websocket, at = next(iter(self.closing.items()))
            if at > self.tick:
                break
            del self.closing[websocket]
            websocket.abort()


class WebSocket(asyncio.Protocol):
    """One connection after its opening handshake. Subclasses give the messages a meaning."""

    __slots__ = (
        "broken",
        "close_code",
        "fd",
        "outbox",
        "reader",
        "seen",
        "state",
        "transport",
        "waiter",
    )

    engine: ClassVar[Engine]
    """Set on a subclass made for each listener: so it costs a connection nothing."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.state = State.CONNECTING
        self.reader: FrameReader | None = None
        self.outbox: Outbox | None = None
        self.waiter: asyncio.Future[bool] | None = None
        self.broken = False
        self.fd = -1
        self.seen = 0
        self.close_code = 1006  # RFC 6455 § 7.1.5: no close frame came

    @property
    def is_open(self) -> bool:
        """Whether it can still be written to."""
        return self.state is _OPEN

    # --- for subclasses ---

    def on_text(self, data: bytes) -> None:
        """A text message; valid UTF-8."""

    def on_binary(self, data: bytes) -> None:
        """A binary message."""

    def on_control(self) -> bool:
        """A ping or pong came; False stops reading (too many)."""
        return True

    def on_closed(self) -> None:
        """The connection ends: called once, as soon as nothing can be delivered any more."""

    # --- opening ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)

    def opened(self) -> None:
        """The handshake is done."""
        # The transport buffers nothing unseen: with a backlog it calls ``pause_writing`` at once,
        # so "no outbox" means that all bytes are with the kernel. Only then may ``_write`` pass
        # the transport by without changing their order.
        self.transport.set_write_buffer_limits(0, 0)
        if _DIRECT and self.transport.get_extra_info("sslcontext") is None:
            self.fd = self.transport.get_extra_info("socket").fileno()
        self.seen = self.engine.tick
        self.state = State.OPEN

    # --- reading ---

    def data_received(self, data: bytes) -> None:
        engine = self.engine
        self.seen = engine.tick
        if self.broken:
            return  # what follows a violation cannot be understood
        reader = self.reader
        if reader is None:
            reader = engine.spare_reader
        messages = reader.feed(data)
        if not reader.idle:
            if self.reader is None:
                self.reader = reader
                engine.spare_reader = FrameReader(engine.message_bytes)
        elif self.reader is not None:
            self.reader = None
        if len(messages) > 1 and self.cork():
            try:
                self._receive(messages)
            finally:
                if engine.corked is self:
                    self.uncork()
        else:
            self._receive(messages)
        if reader.violation is not None:
            self.fail(reader.violation)

    def _receive(self, messages: list[tuple[int, bytes]]) -> None:
        for opcode, payload in messages:
            if self.state is not _OPEN:
                if opcode == _CLOSE:
                    self._received_close(payload)
                continue
            if opcode == _TEXT:
                self.on_text(payload)
            elif opcode == _BINARY:
                self.on_binary(payload)
            elif opcode == _CLOSE:
                self._received_close(payload)
            elif self.on_control() and opcode == _PING:
                self.send(frame(Opcode.PONG, payload))

    def eof_received(self) -> bool:
        """The peer shut its side: without a close frame there is nothing to wait for."""
        return False

    def _received_close(self, payload: bytes) -> None:
        if self.state is State.CLOSED:
            return
        try:
            code = read_close(payload)
        except ProtocolViolation as violation:
            self.fail(violation)
            return
        if self.state is _OPEN:
            self.close_code = code
            self._end(close_frame(code) if code != 1005 else frame(Opcode.CLOSE, b""))
        # § 7.1.1: the server closes the TCP connection; one that takes nothing is cut.
        self.state = State.CLOSED
        self.engine.closing[self] = self.engine.tick + self.engine.close_seconds
        self.transport.close()

    # --- writing ---

    def _write(self, data: bytes) -> None:
        """Write with nothing waiting before it.

        Straight to the kernel: the transport's own ``write`` costs a sixth more for each frame.
        The file is ours as long as the state is open: a transport calls ``connection_lost``
        before it closes its file, and nothing is written in any other state.
        """
        engine = self.engine
        if engine.corked is self:
            engine.cork.append(data)
            engine.cork_bytes += len(data)
            if engine.cork_bytes > _WRITE_AT_ONCE:
                # Written now, so that a client that does not take it gets an outbox, with bounds.
                self.uncork()
                engine.corked = self
            return
        try:
            sent = os.write(self.fd, data)
        except OSError:
            sent = 0  # full, or broken, or no direct way: the transport finds out which
        if sent < len(data):
            self.transport.write(data[sent:] if sent else data)

    def cork(self) -> bool:
        """Gather what is written until :meth:`uncork`, in this turn of the loop; False: something
        is corked already, and whoever did that ends it.
        """
        engine = self.engine
        if engine.corked is not None or self.outbox is not None:
            return False
        engine.corked = self
        return True

    def uncork(self) -> None:
        """Write what was gathered."""
        engine = self.engine
        engine.corked = None
        gathered, engine.cork, engine.cork_bytes = engine.cork, [], 0
        if gathered and self.state is _OPEN:
            self._write(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    def deliver(self, data: bytes, durable: bytes, ephemeral: bytes) -> None:
        """Write frames that many connections get. Never waits (promise 5)."""
        if self.state is not _OPEN:
            return
        outbox = self.outbox
        if outbox is None:
            self._write(data)
            return
        engine = self.engine
        before = outbox.bytes
        if ephemeral:
            if outbox.bytes > engine.ephemeral_bytes:
                engine.ephemeral_dropped += 1
            else:
                outbox.add(ephemeral, True)
        if durable:
            outbox.add(durable, False)
        if outbox.bytes > engine.ephemeral_bytes and outbox.ephemeral:
            engine.ephemeral_dropped += outbox.drop_ephemeral()
        engine.outbox_bytes += outbox.bytes - before
        if outbox.bytes > engine.close_bytes:
            engine.slow_consumers += 1
            self.close(CloseCode.SLOW_CONSUMER, "the client reads too slowly; resume")

    def send(self, data: bytes) -> None:
        """Write frames that only this connection gets, in order with the delivered ones."""
        if self.outbox is None:
            if self.state is _OPEN:
                self._write(data)
        else:
            self.deliver(b"", data, b"")

    def pause_writing(self) -> None:
        if self.outbox is None:
            self.outbox = Outbox()

    def resume_writing(self) -> None:
        outbox = self.outbox
        if outbox is None:
            return
        transport = self.transport
        while not transport.get_write_buffer_size():
            data = outbox.take(_WRITE_AT_ONCE)
            if not data:
                self.outbox = None
                self._wake(True)
                return
            self.engine.outbox_bytes -= len(data)
            transport.write(data)
        # The transport calls again when it has sent that.

    async def writable(self) -> bool:
        """Wait until the client has taken what was sent; False when the connection is gone."""
        if self.state is not _OPEN:
            return False
        if self.outbox is None:
            return True
        if self.waiter is None:
            self.waiter = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self.waiter)

    def _wake(self, writable: bool) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(writable)

    # --- closing ---

    def close(self, code: int, reason: str = "") -> None:
        """Begin the close handshake; the client has ``close_seconds`` to answer (§ 7.1.2)."""
        if self.state is not _OPEN:
            return
        self.close_code = code
        self._end(close_frame(code, reason))
        self.state = State.CLOSING
        self.engine.closing[self] = self.engine.tick + self.engine.close_seconds

    def fail(self, violation: ProtocolViolation) -> None:
        """End a connection whose peer broke the RFC (§ 7.1.7)."""
        if self.state is not _OPEN:
            self.transport.abort()
            return
        self.close(violation.code, violation.reason)
        self.broken = True
        # A shut instead of a close: with bytes unread a close would be a reset, and the peer
        # would never see the close frame.
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _end(self, last: bytes) -> None:
        """Write the last frame. The backlog of a slow client goes with the connection: it resumes
        from the store.
        """
        if self.engine.corked is self:
            self.uncork()
        if self.outbox is not None:
            self.engine.outbox_bytes -= self.outbox.bytes
            self.outbox = None
        self.transport.write(last)
        self.state = State.CLOSING
        self._wake(False)
        self.on_closed()

    def abort(self) -> None:
        """End at once, without goodbye."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        was, self.state = self.state, State.CLOSED
        self.fd = -1
        self.engine.closing.pop(self, None)
        if self.outbox is not None:
            self.engine.outbox_bytes -= self.outbox.bytes
            self.outbox = None
        self._wake(False)
        if was is _OPEN:
            self.on_closed()
        self.reader = None
