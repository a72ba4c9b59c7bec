"""A client that follows the channel, and may stop reading."""

import time

from common.sockets import Socket, connect

from slow_reading.conditions import RECEIVE_BUFFER, Scene
from slow_reading.senders import STAMP_CHARACTERS


class Reader:
    """A user who follows the channel."""

    __slots__ = ("closes", "last", "lost", "name", "repeated", "scene", "slow", "socket")

    def __init__(self, scene: Scene, name: str, slow: bool) -> None:
        self.scene = scene
        self.name = name
        self.slow = slow
        self.socket: Socket | None = None
        self.last = -1
        self.lost = 0
        self.repeated = 0
        self.closes: list[int] = []

    async def open(self) -> None:
        """Connect; the first time join, later resume."""
        node, channel = self.scene.node, self.scene.channel
        first = self.last < 0
        self.socket = await connect(
            node.host,
            node.port,
            f"/ws?channel_id={channel}" if first else "/ws",
            node.token(self.name),
            self.on_text,
            self.on_closed,
            receive_buffer=RECEIVE_BUFFER if self.slow and first else 0,
        )
        if not first:
            self.socket.send({"type": "subscribe", "channel_id": channel, "since": self.last})

    def on_text(self, _socket: Socket, data: bytes) -> None:
        # Looked for, not decoded: 24,000 of these a second share a core with the gateway.
        at = data.rfind(b'"seq":')
        if at < 0:
            if data.startswith(b'{"type":"subscribed"'):
                at = data.rfind(b'"head":') + 7
                if self.last < 0:
                    self.last = int(data[at:].split(b",")[0].rstrip(b"}"))
                if b'"gap"' in data:
                    self.lost += 1
            return
        seq = int(data[at + 6 :].split(b",")[0].rstrip(b"}"))
        if seq <= self.last:
            self.repeated += 1
            return
        self.lost += seq - self.last - 1
        self.last = seq
        latencies = self.scene.latencies
        if latencies is not None and not self.slow:
            at = data.find(b'"payload":"')
            if at > 0:
                at += 11
                sent = int(data[at : at + STAMP_CHARACTERS])
                latencies.append((time.monotonic_ns() // 1_000 - sent) / 1_000)

    def on_closed(self, socket: Socket) -> None:
        self.closes.append(socket.close_code)
