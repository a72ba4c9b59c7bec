"""Actions over the real store and the real bus of one node."""

import time

from storm_gateway.actions.actions import Actions
from storm_gateway.actions.auth import Login
from storm_gateway.actions.passwords import Passwords
from storm_gateway.bus.base import (
    CONTROL,
    BusEvent,
    ChannelEvent,
    ControlEvent,
    topic_of_channel,
)
from storm_gateway.bus.memory import MemoryBus
from storm_gateway.config import Config
from storm_gateway.observability.metrics import Metrics
from storm_gateway.store.sql_store import SqlStore

SECRET = "0123456789abcdef" * 4
PASSWORD = "correct horse"


class Clock:
    """The time of day at the start of the test (the store has a clock, too), moved by hand."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Node:
    """One node without edges: what it published and told is kept in lists."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.store = SqlStore(config, self.metrics)
        self.bus = MemoryBus()
        self.clock = Clock()
        self.actions = self.another()
        self.controls: list[ControlEvent] = []
        self.events: list[BusEvent] = []

    def another(self) -> Actions:
        """Actions of a further node on the same store and bus."""
        cheap = Passwords(self.config.password_hash_queue, memory_kib=64, passes=1)
        return Actions(
            self.config,
            self.store,
            self.bus,
            self.metrics,
            SECRET,
            passwords=cheap,
            clock=self.clock,
        )

    async def start(self) -> None:
        await self.store.start(self.actions.publisher.committed)
        await self.bus.start()
        await self.bus.subscribe(CONTROL, self._heard)
        await self.actions.start()

    async def stop(self) -> None:
        await self.actions.stop()
        await self.store.stop()
        await self.bus.stop()

    async def listen(self, channel_id: int) -> list[BusEvent]:
        await self.bus.subscribe(topic_of_channel(channel_id), self.events.append)
        return self.events

    def channel_events(self) -> list[ChannelEvent]:
        return [event for event in self.events if isinstance(event, ChannelEvent)]

    async def user(self, *user_ids: str) -> None:
        for user_id in user_ids:
            await self.actions.auth.create(user_id, PASSWORD)

    async def login(self, user_id: str) -> Login:
        return await self.actions.auth.login(user_id, PASSWORD)

    def _heard(self, event: BusEvent) -> None:
        assert isinstance(event, ControlEvent)
        self.controls.append(event)
        self.actions.on_control(event)
