"""WebSocket clients of a measurement: each event as it arrives, with the moment."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from storm_gateway.audit.wire import Wire
from storm_gateway.stack.node import NodeServer

_PATIENCE = 15.0


class Talker:
    """One connection that hears raw events; ``hear`` gets the moment and the text."""

    def __init__(self, node: NodeServer, token: str) -> None:
        self._node = node
        self._token = token
        self._wire: Wire | None = None
        self._waited: dict[bytes, asyncio.Future[bytes]] = {}
        self.hear: Callable[[float, bytes], None] = lambda at, text: None

    async def open(self) -> "Talker":
        """Connect and wait for ``hello``."""
        loop = asyncio.get_running_loop()
        greeting = self._wait_for(b'{"type":"hello"')
        await loop.create_connection(
            lambda: Wire(self, self._node.addr, self._token), self._node.host, self._node.port
        )
        await asyncio.wait_for(greeting, _PATIENCE)
        return self

    def send(self, **command: Any) -> None:
        """Write one command."""
        if self._wire is None:
            raise RuntimeError("not connected")
        self._wire.send(json.dumps(command).encode())

    async def subscribe(self, channel_id: int) -> None:
        """Subscribe and wait for the answer. Raises ``TimeoutError`` when it is refused."""
        answer = self._wait_for(b'{"type":"subscribed"')
        self.send(type="subscribe", channel_id=channel_id, ref=f"s{channel_id}")
        await asyncio.wait_for(answer, _PATIENCE)

    def close(self) -> None:
        """End at once."""
        if self._wire is not None:
            self._wire.cut()

    def _wait_for(self, beginning: bytes) -> "asyncio.Future[bytes]":
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waited[beginning] = future
        return future

    # --- the wire's owner ---

    def opened(self, wire: Wire) -> None:
        self._wire = wire

    def heard(self, wire: Wire, text: bytes) -> None:
        if self._waited:
            for beginning, future in list(self._waited.items()):
                if text.startswith(beginning):
                    del self._waited[beginning]
                    if not future.done():
                        future.set_result(text)
        self.hear(time.monotonic(), text)

    def lost(self, wire: Wire, code: int, reason: str) -> None:
        for future in self._waited.values():
            if not future.done():
                future.set_exception(RuntimeError(f"connection lost: {code} {reason}"))
