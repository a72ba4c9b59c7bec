"""Actions over the real store and the real bus of one node, without edges."""

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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
_laid_out: list[Path] = []


async def _lay_out(data_dir: Path) -> None:
    """A new database, copied: its migrations take a tenth of a second, and tests are many."""
    if not _laid_out:
        folder = Path(tempfile.mkdtemp(prefix="storm-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        store = SqlStore(Config(data_dir=folder), Metrics())
        await store.start(lambda _: None)
        await store.stop()
        _laid_out.append(folder)
    shutil.copytree(_laid_out[0], data_dir, dirs_exist_ok=True)


class Clock:
    """The time of day at the start of the test (the store has a clock, too), moved by hand."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Node:
    """What it published and told is kept in lists."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.metrics = Metrics()
        self.store = SqlStore(config, self.metrics)
        self.bus = MemoryBus(self.metrics)
        self.actions = self.another(clock)
        self.controls: list[ControlEvent] = []
        self.events: list[BusEvent] = []

    def another(self, clock: Callable[[], float] = time.time, memory_kib: int = 64) -> Actions:
        """Actions of a further node on the same store and bus; its passwords cost little."""
        return Actions(
            self.config,
            self.store,
            self.bus,
            self.metrics,
            SECRET,
            passwords=Passwords(self.config.password_hash_queue, memory_kib=memory_kib, passes=1),
            clock=clock,
        )

    async def start(self) -> None:
        await _lay_out(self.config.data_dir)
        await self.store.start(self.actions.publisher.committed)
        await self.bus.start()
        await self.bus.subscribe(CONTROL, self._heard)
        await self.actions.start()

    async def stop(self) -> None:
        await self.actions.stop()
        await self.store.stop()
        await self.bus.stop()

    async def listen(self, topic: int | str) -> list[BusEvent]:
        """The events of a channel or a stream from now on."""
        name = topic_of_channel(topic) if isinstance(topic, int) else topic
        await self.bus.subscribe(name, self.events.append)
        return self.events

    def channel_events(self) -> list[ChannelEvent]:
        return [event for event in self.events if isinstance(event, ChannelEvent)]

    async def make(self, *user_ids: str) -> None:
        """Make users, whose password is PASSWORD."""
        for user_id in user_ids:
            await self.actions.auth.create(user_id, PASSWORD)

    async def login(self, user_id: str) -> Login:
        return await self.actions.auth.login(user_id, PASSWORD)

    def _heard(self, event: BusEvent) -> None:
        assert isinstance(event, ControlEvent)
        self.controls.append(event)
        self.actions.on_control(event)
