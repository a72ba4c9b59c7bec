"""Clients that say the messages again, each authenticated as the author."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
from common.progress import say
from common.sockets import Socket, connect

from replaying.scene import Scene


class Author:
    """The connection of one author."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene = scene
        self.name = name
        self.waiting: dict[str, float] = {}
        """Ref → when it was sent."""
        self.socket: Socket | None = None

    async def open(self) -> None:
        node = self.scene.node
        self.socket = await connect(
            node.host, node.port, "/ws", node.token(self.name), self._on_text
        )

    def send(self, ref: str, text: str) -> None:
        assert self.socket is not None  # noqa: S101 open set it
        self.waiting[ref] = time.monotonic()
        self.socket.send(
            {"type": "message", "channel_id": self.scene.channel, "payload": text, "ref": ref}
        )

    def _on_text(self, _socket: Socket, data: bytes) -> None:
        event = msgspec.json.decode(data)
        outcome = self.scene.outcome
        if event["type"] == "ack":
            sent = self.waiting.pop(event["ref"])
            outcome.acks.append((time.monotonic() - sent) * 1_000)
            outcome.sent_at[event["seq"]] = sent
        elif event["type"] == "error":
            outcome.fault(f"{self.name} was refused: {event}")


class Authors:
    """At most ``most`` authors connected at once, who say things in turn."""

    def __init__(self, scene: Scene, most: int) -> None:
        self.scene = scene
        self.most = most
        self.pool: OrderedDict[str, Author] = OrderedDict()
        self.opened = 0

    async def speak(self, chosen: Sequence[tuple[str, str]], rate: float, audience: str) -> None:
        """Say it all, ``rate`` messages a second, and wait for the acks."""
        outcome = self.scene.outcome
        names = list(dict.fromkeys(author for author, _ in chosen))
        for name in names[: self.most]:
            await self._connection(name)
        say(
            f"{len(self.pool)} clients connected; {len(chosen):,} messages of "
            f"{len(names)} authors to {audience}"
        )
        began = time.monotonic()
        told = began
        for number, (author, text) in enumerate(chosen):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            connection = await self._connection(author)
            connection.send(f"replay-{number}", text)
            if time.monotonic() - told > 2:
                told = time.monotonic()
                say(f"  {number + 1:,} sent, {len(outcome.acks):,} acked")
        await outcome.wait_until("every message is acked", lambda: len(outcome.acks) >= len(chosen))
        seconds = time.monotonic() - began
        outcome.figure("messages sent live", f"{len(chosen):,}")
        outcome.figure("authors among them", str(len(names)))
        outcome.figure("clients at once", str(len(self.pool)))
        outcome.figure("connections of authors, in turn", str(self.opened))
        outcome.figure("from the first send to the last ack", f"{seconds:.1f} s")

    async def _connection(self, name: str) -> Author:
        """The author's own connection; the one unused longest makes room for it."""
        found = self.pool.get(name)
        if found is None:
            while len(self.pool) >= self.most:
                oldest = next(a for a in self.pool.values() if not a.waiting)
                del self.pool[oldest.name]
                if oldest.socket is not None:
                    oldest.socket.close()
            found = self.pool[name] = Author(self.scene, name)
            await found.open()
            self.opened += 1
        self.pool.move_to_end(name)
        return found
