"""The way through a proxy: one direction of one connection, and what both directions share.

Where nothing is wrong, what comes goes on at once; else it is held back until it is due.
"""

import asyncio
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from storm_gateway.stack.toxics import GOOD, Toxics

CHUNK_BYTES = 64 * 1024
_WAITING_BYTES = 1024 * 1024
"""What one direction of one connection holds back at most; then the sender has to wait."""


@dataclass(eq=False)
class Direction:
    """One of the two directions of all connections."""

    toxics: Toxics = GOOD
    good: bool = True
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    forwarded: int = 0

    def set(self, toxics: Toxics) -> None:
        self.toxics = toxics
        self.good = toxics == GOOD
        before, self.changed = self.changed, asyncio.Event()
        before.set()


class Ear(asyncio.StreamReaderProtocol):
    """Hears one side. Where nothing is wrong, what comes goes on at once: two tasks that wake each
    other for it take several times as long, and the proxy stands in the way of all that is measured
    before and after a fault.
    """

    def __init__(
        self, limit: int, accept: "Callable[[Ear, asyncio.StreamWriter], None] | None" = None
    ) -> None:
        """``limit``: bytes that wait to be read, as of a ``StreamReader``. ``accept``: when the
        connection is made.
        """
        self.reader = asyncio.StreamReader(limit)
        self.pump: Pump | None = None
        self.held = 0
        """Bytes that the pump has still to pass on. What comes later comes after them."""
        super().__init__(self.reader, (lambda _, writer: accept(self, writer)) if accept else None)

    def data_received(self, data: bytes) -> None:
        pump = self.pump
        if self.held or pump is None or not pump.passed_on(data):
            self.held += len(data)
            super().data_received(data)


class Link:
    """Both sides of one connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writers = [writer]
        self.gone = False
        self.on_reset: list[Callable[[], None]] = []

    def add(self, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self.gone:
            self.reset()

    def reset(self) -> None:
        """RST to both."""
        self.gone = True
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                # No lingering: the kernel then sends RST in place of FIN.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        for wake in self.on_reset:
            wake()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


class Pump:
    """One direction of one connection: reads, holds back, writes."""

    def __init__(
        self,
        direction: Direction,
        chance: random.Random,
        ear: Ear,
        writer: asyncio.StreamWriter,
        link: Link,
    ) -> None:
        self._direction = direction
        self._chance = chance
        self._ear = ear
        self._writer = writer
        self._link = link
        self._waiting: deque[tuple[float, bytes]] = deque()
        """When each piece may go on. An empty one is the end."""
        self._size = 0
        self.waiting_bytes = _WAITING_BYTES
        self._moved = asyncio.Event()
        self._passed = 0
        link.on_reset.append(self._moved.set)
        ear.pump = self

    def passed_on(self, data: bytes) -> bool:
        """Whether this is on its way already: nothing is wrong, and nothing waits."""
        transport = self._writer.transport
        if not self._direction.good or self._link.gone or transport.is_closing():
            return False
        if transport.get_write_buffer_size():
            return False
        transport.write(data)
        self._count(len(data))
        return True

    def _count(self, size: int) -> None:
        self._passed += size
        self._direction.forwarded += size

    async def run(self) -> None:
        reading = asyncio.create_task(self._read())
        try:
            await self._write()
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time
        due = 0.0
        data = b"-"
        try:
            while data:
                while self._size >= self.waiting_bytes and not self._link.gone:
                    await self._until_moved()
                data = await self._ear.reader.read(CHUNK_BYTES)
                toxics = self._direction.toxics
                late = toxics.latency_seconds if data else toxics.slow_close_seconds
                if toxics.jitter_seconds:
                    late += self._chance.uniform(-toxics.jitter_seconds, toxics.jitter_seconds)
                # Never before what was sent earlier: TCP keeps the order.
                due = max(due, now() + late)
                self._put(due, data)
        except OSError:
            self._link.reset()
            self._put(0.0, b"")

    def _put(self, due: float, data: bytes) -> None:
        self._waiting.append((due, data))
        self._size += len(data)
        self._moved.set()

    async def _write(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            if self._link.gone:
                raise ConnectionResetError
            if not self._waiting:
                await self._until_moved()
                continue
            due, data = self._waiting[0]
            if self._direction.toxics.stalled:
                await self._until_changed()
            elif due > now():
                await asyncio.sleep(due - now())
            elif not data:
                break
            else:
                await self._write_piece(data)
                self._waiting.popleft()
                self._size -= len(data)
                self._ear.held -= len(data)
                self._moved.set()
        # The other side may have gone in the meantime: uvloop calls its end an error then.
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()

    async def _write_piece(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            toxics = self._direction.toxics
            if toxics.stalled:
                await self._until_changed()
                continue
            size = toxics.slice_bytes or len(data)
            if toxics.bytes_per_second:
                # A tenth of a second's worth at once.
                size = min(size, max(1, int(toxics.bytes_per_second / 10)))
            if toxics.limit_bytes:
                size = min(size, toxics.limit_bytes - self._passed)
                if size <= 0:
                    self._link.reset()
                    raise ConnectionResetError
            piece = data[at : at + size]
            self._writer.write(piece)
            await self._writer.drain()
            at += len(piece)
            self._count(len(piece))
            pause = toxics.slice_seconds if at < len(data) else 0.0
            if toxics.bytes_per_second:
                pause += len(piece) / toxics.bytes_per_second
            if pause:
                await asyncio.sleep(pause)
            if self._link.gone:
                raise ConnectionResetError

    async def _until_moved(self) -> None:
        """Until something was read, written or reset."""
        self._moved.clear()
        await self._moved.wait()

    async def _until_changed(self) -> None:
        """Stalled: until the toxics change, or something else moved."""
        changed = self._direction.changed
        self._moved.clear()
        waits = [asyncio.create_task(changed.wait()), asyncio.create_task(self._moved.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
