"""A bad network on this machine: a TCP proxy that delays, cuts, slices, slows and stalls.

It runs in a thread with an event loop of its own, so that it can stand between two servers while
the caller does other things; its methods block for a moment and may be called from any thread.
"""

import asyncio
import random
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from storm_gateway.stack.errors import StackError
from storm_gateway.stack.ports import free_port

_CHUNK_BYTES = 64 * 1024
_WAITING_BYTES = 1024 * 1024
"""What one direction of one connection holds back at most; then the sender has to wait."""
_CALL_SECONDS = 10.0
_CONNECT_SECONDS = 10.0
_BACKLOG = 4_096

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Toxics:
    """What is wrong with one direction. The default is a good network."""

    latency_seconds: float = 0.0
    """Everything arrives so much later; throughput stays."""
    jitter_seconds: float = 0.0
    """Up to so much more or less, by chance; the order stays."""
    stalled: bool = False
    """Nothing passes, nothing breaks. What was held back passes afterwards."""
    slice_bytes: int = 0
    """Written in pieces of this size; 0: as it came."""
    slice_seconds: float = 0.0
    """Pause between pieces."""
    bytes_per_second: float = 0.0
    """0: no limit."""
    limit_bytes: int = 0
    """After so many bytes the connection is reset, in the middle of whatever it was; 0: never."""
    slow_close_seconds: float = 0.0
    """The end of a connection arrives so much later."""


GOOD = Toxics()


@dataclass(eq=False)
class _Direction:
    """One of the two directions of all connections."""

    toxics: Toxics = GOOD
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    forwarded: int = 0

    def set(self, toxics: Toxics) -> None:
        self.toxics = toxics
        before, self.changed = self.changed, asyncio.Event()
        before.set()


class Proxy:
    """Forwards ``host:port`` to a target, which may be changed; worse than the network itself."""

    def __init__(
        self, target: tuple[str, int], *, host: str = "127.0.0.1", port: int = 0, seed: int = 1
    ) -> None:
        """``port`` 0: any free one. ``seed``: of the jitter. Nothing runs before :meth:`start`."""
        self.target = target
        self.host = host
        self.port = port or free_port(host)
        self.accepted = 0
        """Connections accepted so far."""
        self.buffer_bytes = 0
        """Of what the target sends, the kernel and this proxy hold back so much each; 0: as much
        as they like. For connections made from then on.
        """
        self._random = random.Random(seed)  # noqa: S311 repeatable, not secret
        self._requests = _Direction()
        self._answers = _Direction()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # --- life ---

    def start(self) -> None:
        """Listen. Raises :class:`StackError` when it cannot."""
        if self._thread is not None:
            return
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        try:
            self._call(self._listen())
        except OSError as error:
            self.stop()
            raise StackError(f"a proxy cannot listen on {self.host}:{self.port}: {error}") from None

    def stop(self) -> None:
        """Reset every connection and listen no more. May be called again."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._call(self._end())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_CALL_SECONDS)
        loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- what to know ---

    @property
    def url(self) -> str:
        """``http://`` in front of its address."""
        return f"http://{self.host}:{self.port}"

    def instead_of(self, url: str) -> str:
        """The same URL, with this proxy where the target's host and port stand."""
        return url.replace(f"{self.target[0]}:{self.target[1]}", f"{self.host}:{self.port}")

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    @property
    def forwarded(self) -> int:
        """Bytes passed on so far, both directions together."""
        return self._requests.forwarded + self._answers.forwarded

    # --- harm ---

    def harm(
        self, toxics: Toxics | None = None, *, requests: Toxics = GOOD, answers: Toxics = GOOD
    ) -> None:
        """From now on, also for open connections: ``toxics`` both ways, or one for each way
        (``requests``: from those who connect; ``answers``: to them).
        """
        self._do(lambda: self._requests.set(toxics or requests))
        self._do(lambda: self._answers.set(toxics or answers))

    def stall(self) -> None:
        """Nothing passes and nothing breaks, like a cable that was pulled out."""
        self.harm(Toxics(stalled=True))

    def heal(self) -> None:
        """A good network again: what :meth:`harm` and :meth:`down` did is undone."""
        self.harm()
        self.up()

    def cut(self) -> int:
        """Reset every open connection (RST); how many."""
        return self._do(self._cut)

    def down(self) -> None:
        """Reset every connection and refuse new ones, as if nobody listened."""
        self._call(self._refuse())

    def up(self) -> None:
        """Accept connections again after :meth:`down`."""
        self._call(self._listen())

    # --- inside its thread ---

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise StackError("the proxy was not started")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    def _do(self, work: Callable[[], T]) -> T:
        async def soon() -> T:
            return work()

        return self._call(soon())

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accept, self.host, self.port, limit=_CHUNK_BYTES, backlog=_BACKLOG
            )

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut()

    async def _end(self) -> None:
        await self._refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut(self) -> int:
        count = len(self._links)
        for link in list(self._links):
            link.reset()
        return count

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                far_reader, far_writer = await self._connect()
            link.add(far_writer)
            async with asyncio.TaskGroup() as both:
                there = _Pump(self._requests, self._random, reader, far_writer, link)
                back = _Pump(self._answers, self._random, far_reader, writer, link)
                back.waiting_bytes = self.buffer_bytes or _WAITING_BYTES
                both.create_task(there.run())
                both.create_task(back.run())
        except* (OSError, TimeoutError):
            # One side is gone without a goodbye; then so is the other.
            link.reset()
        finally:
            self._links.discard(link)
            link.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.target
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            if self.buffer_bytes:
                # Before it connects: the window is agreed on then.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
            await asyncio.get_running_loop().sock_connect(raw, (host, port))
            return await asyncio.open_connection(sock=raw, limit=self.buffer_bytes or _CHUNK_BYTES)
        except BaseException:
            raw.close()
            raise


class _Link:
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


class _Pump:
    """One direction of one connection: reads, holds back, writes."""

    def __init__(
        self,
        direction: _Direction,
        chance: random.Random,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: _Link,
    ) -> None:
        self._direction = direction
        self._chance = chance
        self._reader = reader
        self._writer = writer
        self._link = link
        self._waiting: deque[tuple[float, bytes]] = deque()
        """When each piece may go on. An empty one is the end."""
        self._size = 0
        self.waiting_bytes = _WAITING_BYTES
        self._moved = asyncio.Event()
        self._passed = 0
        link.on_reset.append(self._moved.set)

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
                data = await self._reader.read(_CHUNK_BYTES)
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
                self._moved.set()
        if self._writer.can_write_eof():
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
            self._passed += len(piece)
            self._direction.forwarded += len(piece)
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
