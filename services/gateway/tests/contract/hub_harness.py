"""A hub under test: real store, bus and presence, and subscribers that keep what they get."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from store_harness import GENERAL, Harness

from storm_gateway.actions.publisher import control_of
from storm_gateway.bus.base import Bus, ChannelEvent, topic_of_channel
from storm_gateway.bus.memory import MemoryBus
from storm_gateway.config import Config
from storm_gateway.hub.control import Control
from storm_gateway.hub.feed import Feed, Subscriber
from storm_gateway.hub.hub import Hub
from storm_gateway.hub.subscribe import Subscriptions
from storm_gateway.observability.metrics import Metrics
from storm_gateway.presence.memory import MemoryPresence
from storm_gateway.protocol.close_codes import CloseCode
from storm_gateway.protocol.codec import encode
from storm_gateway.store.records import Committed
from storm_gateway.store.sql_store import SqlStore

TOPIC = topic_of_channel(GENERAL)


def events_in(data: bytes) -> list[dict[str, Any]]:
    """What the text frames in ``data`` say."""
    found = []
    while data:
        assert data[0] == 0x81, "a whole text frame"
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        found.append(json.loads(data[start : start + size]))
        data = data[start + size :]
    return found


class Listener:
    """A subscriber that keeps what it is given, in the order in which it is given."""

    def __init__(self, user_id: str = "alice") -> None:
        self.user_id = user_id
        self.feeds: tuple[Feed, ...] = ()
        self.is_open = True
        self.given: list[bytes] = []
        self.deliveries: list[bytes] = []
        self.durables: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.takes = asyncio.Event()
        self.takes.set()
        self.waits = 0
        self.on_given: Callable[[], None] = lambda: None

    def deliver(self, data: bytes, durable: bytes, ephemeral: bytes) -> None:
        assert data == durable + ephemeral
        self.deliveries.append(data)
        self.durables.append(durable)
        self.send(data)

    def send(self, data: bytes) -> None:
        assert data, "nothing is not worth a write"
        assert self.is_open, "a write after the end"
        self.given.append(data)
        self.on_given()

    async def writable(self) -> bool:
        self.waits += 1
        await self.takes.wait()
        return self.is_open

    def close(self, code: int, reason: str = "") -> None:
        self.closed = (code, reason)

    @property
    def heard(self) -> list[dict[str, Any]]:
        return events_in(b"".join(self.given))

    @property
    def seqs(self) -> list[int]:
        """The seq of each durable event, as it came."""
        return [event["seq"] for event in self.heard if "seq" in event]

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.heard if event["type"] == kind]


class Node:
    """The parts of one node that the hub lives between; what is committed is published."""

    def __init__(
        self,
        data_dir: Path,
        bus: Bus | None = None,
        store: SqlStore | None = None,
        **settings: Any,
    ) -> None:
        """``store``: another node's, which starts, stops and tells it."""
        self.config = Config(data_dir=data_dir, **{"reorder_milliseconds": 5, **settings})
        self.metrics = Metrics()
        self.counts = self.metrics.counts
        self.bus = bus or MemoryBus()
        self.owns_store = store is None
        self.store = store or SqlStore(self.config, self.metrics)
        self.harness = Harness(self.store, self.config, self.metrics)
        self.presence = MemoryPresence(named=200, interval_seconds=0.01, grace_seconds=0.01)
        self.hub = Hub(self.config, self.store, self.bus, self.presence, self.metrics)
        self.subscriptions = Subscriptions(self.config, self.hub, self.store, self.metrics)
        self.refused: dict[str, Exception] = {}
        self.revoked: set[Subscriber] = set()
        self.control = Control(self.hub, self.may_receive, self._is_revoked)
        self.publishing = True
        self.publish_by: Node = self
        self.hub.on_learned = self.learned

    async def start(self) -> None:
        await self.bus.start()
        if self.owns_store:
            await self.store.start(self.committed)

    async def stop(self) -> None:
        await self.control.stop()
        await self.hub.stop()
        await self.bus.stop()
        if self.owns_store:
            await self.store.stop()

    def _is_revoked(self, connection: Subscriber) -> CloseCode | None:
        return CloseCode.AUTHENTICATION_FAILED if connection in self.revoked else None

    async def may_receive(self, user_id: str, channel_id: int) -> None:
        if user_id in self.refused:
            raise self.refused[user_id]

    def learned(self, event: Any) -> None:
        control = control_of(event, encode(event))
        if control is not None:
            self.control.on_event(control)

    def committed(self, committed: Committed) -> None:
        self.harness.committed(committed)
        for event in committed.events:
            if self.publishing:
                self.publish_by.publish(event)

    def publish(self, event: Any) -> None:
        """As the publisher does; again, for an event that was lost."""
        found = ChannelEvent(event.channel_id, event.seq, self.encoded(event))
        self.bus.publish(topic_of_channel(event.channel_id), found)

    @staticmethod
    def encoded(event: Any) -> bytes:
        return encode(event)

    def send(self, text: str = "hello") -> "asyncio.Future[Any]":
        return self.harness.send(GENERAL, "writer", text)

    async def say(self, count: int = 1, *, heard: bool = True) -> None:
        """Commit so many messages; ``heard``: and let the bus have them."""
        self.publishing, before = heard, self.publishing
        await asyncio.gather(*[self.send(f"message {i}") for i in range(count)])
        self.publishing = before

    async def listen(
        self, user_id: str = "alice", since: int | None = None, listener: Listener | None = None
    ) -> Listener:
        """A connection that has subscribed the channel."""
        listener = listener or self.connect(user_id)
        await self.subscribe(listener, since)
        return listener

    async def crowd(self) -> list[Listener]:
        """So many that what is said is kept in memory for those who return."""
        return [await self.listen(f"keeper{number}") for number in range(4)]

    def connect(self, user_id: str = "alice") -> Listener:
        listener = Listener(user_id)
        self.hub.connect(listener)
        return listener

    def hang_up(self, listener: Listener) -> None:
        listener.is_open = False
        self.hub.disconnect(listener)

    async def subscribe(
        self, listener: Listener, since: int | None = None, ref: str | None = "r"
    ) -> None:
        async def check() -> None:
            await self.may_receive(listener.user_id, GENERAL)

        await self.subscriptions.subscribe(listener, GENERAL, since, ref, check)

    @property
    def feed(self) -> Feed:
        feed = self.hub.feed(TOPIC)
        assert feed is not None
        return feed

    async def quiet(self) -> None:
        """Nothing is on its way any more."""
        feed = self.hub.feed(TOPIC)
        hub = self.hub
        # A comparison that is asked for while another is under way is made by that one.
        await until(lambda: not hub._comparing)
        await until(
            lambda: feed is None or not (feed.marked or feed.repairing or feed in hub._late)
        )


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 it looks at parts that have no event
            await asyncio.sleep(0)
