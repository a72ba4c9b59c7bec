"""A server that lies: between the audit's clients and an honest node, it loses, doubles, swaps and
invents. The audit must find out each time.
"""

import asyncio
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

Event = dict[str, Any]
Meddle = Callable[["Link", Event], list[Event]]


class Link:
    """One client's connection through the relay."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.held: list[Event] = []
        """For a meddler that keeps something back."""


class LyingRelay:
    """Forwards to a node; what the server says may be meddled with, and what clients say."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.down: Meddle | None = None
        """An event of the server → what the client gets instead."""
        self.up: Meddle | None = None
        """A command → what the *client* gets for it at once; an empty list: it is passed on."""
        self.lies = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def once(self, fits: Callable[[Event], bool], lie: Callable[[Event], list[Event]]) -> Meddle:
        """A meddler that lies about the first event that fits, and about no other."""

        def meddle(link: Link, event: Event) -> list[Event]:
            if self.lies == 0 and fits(event):
                self.lies += 1
                return lie(event)
            return [event]

        return meddle

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            back, there = await asyncio.open_connection("127.0.0.1", self._target)
            there.write(head)
            link = Link("")
            is_ws = b"upgrade: websocket" in head.lower()
            work = [
                asyncio.ensure_future(self._up(reader, writer, there, link, is_ws)),
                asyncio.ensure_future(self._down(back, writer, link, is_ws)),
            ]
            try:
                await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in work:
                    each.cancel()
                await asyncio.gather(*work, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            if there is not None:
                there.transport.abort()

    async def _down(
        self, back: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link, is_ws: bool
    ) -> None:
        if is_ws:
            writer.write(await back.readuntil(b"\r\n\r\n"))
            while True:
                head, payload = await read_frame(back)
                if self.down is None or head & 15 != 1:
                    writer.write(unmasked(head, payload))
                else:
                    for event in self.down(link, json.loads(payload)):
                        writer.write(unmasked(0x81, json.dumps(event).encode()))
        while data := await back.read(65_536):
            writer.write(data)

    async def _up(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamWriter,
        link: Link,
        is_ws: bool,
    ) -> None:
        while is_ws:
            head, payload = await read_frame(reader)
            answers = (
                self.up(link, json.loads(payload)) if self.up is not None and head & 15 == 1 else []
            )
            for answer in answers:
                writer.write(unmasked(0x81, json.dumps(answer).encode()))
            if not answers:
                there.write(masked(head, payload))
        while data := await reader.read(65_536):
            there.write(data)


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """(first byte, payload) of the next frame, masked or not."""
    first, second = await reader.readexactly(2)
    size = second & 127
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    mask = await reader.readexactly(4) if second & 128 else b"\0\0\0\0"
    payload = await reader.readexactly(size)
    return first, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def _sized(first: int, payload: bytes, bit: int) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, bit | size))
    return bytes((first, bit | 126)) + size.to_bytes(2, "big")


def unmasked(first: int, payload: bytes) -> bytes:
    """As a server writes it."""
    return _sized(first, payload, 0) + payload


def masked(first: int, payload: bytes) -> bytes:
    """As a client writes it."""
    return _sized(first, payload, 128) + b"\0\0\0\0" + payload
