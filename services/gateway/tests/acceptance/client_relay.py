"""A bad network between a client and a node: it loses frames, stalls, and breaks connections."""

import asyncio
import json
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

Event = dict[str, Any]


class Relay:
    """Forwards TCP to ``port``, which may be changed. Server frames can be looked at and lost."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.requests: list[str] = []
        """The first line of every request."""
        self.losing: Callable[[Event], bool] | None = None
        """Which events are lost on their way to the client."""
        self.lost: list[Event] = []
        self.cut_after: Callable[[Event], bool] | None = None
        """Break the connection instead of passing this event on; once."""
        self.flowing = asyncio.Event()
        self.flowing.set()
        """Cleared: nothing goes to the client any more, but nothing breaks either."""
        self.open = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        self.flowing.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection, as a lost network does: without goodbye."""
        for writer in self._writers:
            writer.transport.abort()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if not self.open:
                return
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(up_writer)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._to_server(reader, up_writer))
                    group.create_task(self._to_client(up_reader, writer))
            finally:
                self._writers.discard(up_writer)
                up_writer.transport.abort()
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _to_server(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            for method in (b"GET ", b"POST "):
                if data.startswith(method):
                    self.requests.append(data.split(b"\r\n", 1)[0].decode())
            writer.write(data)
            await writer.drain()
        writer.transport.abort()

    async def _to_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        started = b""
        while b"\r\n\r\n" not in started:
            data = await reader.read(65_536)
            if not data:
                break
            started += data
        head, blank, rest = started.partition(b"\r\n\r\n")
        writer.write(head + blank)
        if head.startswith(b"HTTP/1.1 101"):
            await self._frames(rest, reader, writer)
        else:
            writer.write(rest)
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def _frames(
        self, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        buffer = bytearray(rest)

        async def take(count: int) -> bytes:
            while len(buffer) < count:
                data = await reader.read(65_536)
                if not data:
                    raise asyncio.IncompleteReadError(b"", count)
                buffer.extend(data)
            found = bytes(buffer[:count])
            del buffer[:count]
            return found

        while True:
            head = await take(2)
            size = head[1] & 127
            if size == 126:
                head += await take(2)
                (size,) = struct.unpack("!H", head[2:])
            elif size == 127:
                head += await take(8)
                (size,) = struct.unpack("!Q", head[2:])
            payload = await take(size)
            await self.flowing.wait()
            if head[0] & 15 == 1:
                event = json.loads(payload)
                if self.losing is not None and self.losing(event):
                    self.lost.append(event)
                    continue
                if self.cut_after is not None and self.cut_after(event):
                    self.cut_after = None
                    writer.transport.abort()
                    return
            writer.write(head + payload)
            await writer.drain()
