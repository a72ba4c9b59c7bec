"""A bad network on this machine: a TCP proxy that delays, cuts, slices, slows and stalls.

It runs in a thread with an event loop of its own, so that it can stand between two servers while
the caller does other things; its methods block for a moment and may be called from any thread.
"""

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from storm_gateway.event_loop import new_event_loop
from storm_gateway.stack.errors import StackError
from storm_gateway.stack.ports import free_port
from storm_gateway.stack.pump import CHUNK_BYTES, Direction, Ear, Link, Pump
from storm_gateway.stack.toxics import GOOD, Toxics

_CALL_SECONDS = 10.0
_CONNECT_SECONDS = 10.0
_BACKLOG = 4_096

T = TypeVar("T")


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
        self._requests = Direction()
        self._answers = Direction()
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # --- life ---

    def start(self) -> None:
        """Listen. Raises :class:`StackError` when it cannot."""
        if self._thread is not None:
            return
        loop = self._loop = new_event_loop()
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
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Ear(CHUNK_BYTES, self._accept), self.host, self.port, backlog=_BACKLOG
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

    def _accept(self, ear: Ear, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(ear, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, ear: Ear, writer: asyncio.StreamWriter) -> None:
        link = Link(writer)
        self._links.add(link)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                far_ear, far_writer = await self._connect()
            link.add(far_writer)
            async with asyncio.TaskGroup() as both:
                there = Pump(self._requests, self._random, ear, far_writer, link)
                back = Pump(self._answers, self._random, far_ear, writer, link)
                back.waiting_bytes = self.buffer_bytes or there.waiting_bytes
                both.create_task(there.run())
                both.create_task(back.run())
        except* (OSError, TimeoutError):
            # One side is gone without a goodbye; then so is the other.
            link.reset()
        finally:
            self._links.discard(link)
            link.close()

    async def _connect(self) -> tuple[Ear, asyncio.StreamWriter]:
        host, port = self.target
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            if self.buffer_bytes:
                # Before it connects: the window is agreed on then.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(raw, (host, port))
            ear = Ear(self.buffer_bytes or CHUNK_BYTES)
            transport, _ = await loop.create_connection(lambda: ear, sock=raw)
            return ear, asyncio.StreamWriter(transport, ear, ear.reader, loop)
        except BaseException:
            raw.close()
            raise
