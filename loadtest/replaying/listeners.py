"""Clients that follow the channel."""

import asyncio
import time

import msgspec
from common.sockets import Socket, connect

from replaying.scene import WAIT_SECONDS, Scene


class Listener:
    """Joins, follows, and keeps all it gets."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene = scene
        self.name = name
        self.last = -1
        self.got: list[tuple[int, str, str]] = []
        self.at: list[tuple[int, float]] = []
        self.read_acks = asyncio.Event()
        self.socket: Socket | None = None

    async def open(self) -> None:
        node = self.scene.node
        self.socket = await connect(
            node.host,
            node.port,
            f"/ws?channel_id={self.scene.channel}",
            node.token(self.name),
            self._on_text,
        )

    async def read(self, seq: int) -> None:
        """Move the read cursor."""
        assert self.socket is not None  # noqa: S101 open set it
        self.read_acks.clear()
        channel = self.scene.channel
        self.socket.send({"type": "read", "channel_id": channel, "seq": seq, "ref": f"r{seq}"})
        async with asyncio.timeout(WAIT_SECONDS):
            await self.read_acks.wait()

    def _on_text(self, _socket: Socket, data: bytes) -> None:
        event = msgspec.json.decode(data)
        kind = event["type"]
        if kind == "subscribed":
            self.last = event["head"]
        elif kind == "ack":
            self.read_acks.set()
        elif kind == "error":
            self.scene.outcome.fault(f"{self.name} was refused: {event}")
        elif kind != "read" and "seq" in event:
            if event["seq"] != self.last + 1:
                self.scene.outcome.fault(f"{self.name} got {event['seq']} after {self.last}")
            self.last = event["seq"]
            if kind == "message":
                self.got.append((event["seq"], event["user_id"], event["payload"]))
                self.at.append((event["seq"], time.monotonic()))
