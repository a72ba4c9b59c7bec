"""A store under test: the port, everything it says in the order it says it, and short words."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from storm_gateway.config import Config
from storm_gateway.errors import ForbiddenError, StormError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.store.base import Rule, Store
from storm_gateway.store.records import (
    Access,
    Appended,
    AppendMessage,
    Committed,
    Join,
    Joined,
)
from storm_gateway.store.sql_store import SqlStore

SQLITE = ("sqlite", "sqlite of the system")
"""The second as on a machine without the wheel. With an old SQLite: one connection for all."""

only_sqlite = pytest.mark.parametrize("store_kind", SQLITE)

GENERAL = 1
NOON = 1_763_812_800_000
"""2025-11-22T12:00:00Z in milliseconds."""


def allow(*_: object) -> None:
    """The rule that lets everyone."""


def refuse(*_: object) -> None:
    """The rule that lets nobody."""
    raise ForbiddenError("No.")


@dataclass
class Said:
    """One thing that the store told: a commit's events, or the outcome of a write."""

    kind: str
    what: Any


@dataclass
class Harness:
    """A started store."""

    store: Store
    config: Config
    metrics: Metrics
    said: list[Said] = field(default_factory=list)

    @property
    def events(self) -> list[Any]:
        return [event for said in self.said if said.kind == "committed" for event in said.what]

    def events_of(self, channel_id: int) -> list[Any]:
        return [event for event in self.events if event.channel_id == channel_id]

    def committed(self, committed: Committed) -> None:
        self.said.append(Said("committed", committed.events))

    def send(
        self,
        channel_id: int,
        user_id: str,
        payload: str = "hello",
        ref: str | None = None,
        rule: Rule = allow,
        sent_at: int = NOON,
    ) -> "asyncio.Future[Appended]":
        """Append without waiting."""
        future = self._future()
        message = AppendMessage(channel_id, user_id, payload, sent_at, ref)
        self.store.messages.append(message, rule, self._done(future))
        return future

    async def append(self, *args: Any, **options: Any) -> Appended:
        return await self.send(*args, **options)

    def enter(
        self, channel_id: int, user_id: str, rule: Rule = allow, at: int = NOON
    ) -> "asyncio.Future[Joined]":
        """Join without waiting."""
        future = self._future()
        self.store.channels.join(Join(channel_id, user_id, at), rule, self._done(future))
        return future

    async def join(self, *args: Any, **options: Any) -> Joined:
        return await self.enter(*args, **options)

    async def log(self, channel_id: int) -> list[Any]:
        """The whole log, checked to be without holes and to be what was told live."""
        replay = await self.store.messages.replay(channel_id, 0, 1_000_000)
        assert replay.gap is None
        assert [event.seq for event in replay.events] == list(range(1, replay.head + 1))
        return replay.events

    async def access(self, channel_id: int, user_id: str) -> Access | None:
        return (await self.store.channels.access([(channel_id, user_id)]))[0]

    async def people(self, *user_ids: str) -> None:
        for user_id in user_ids:
            await self.store.users.ensure(user_id)

    def _done(self, future: "asyncio.Future[Any]") -> Callable[[Any], None]:
        def done(result: Any) -> None:
            self.said.append(Said("done", result))
            if future.done():
                return
            if isinstance(result, StormError):
                future.set_exception(result)
            else:
                future.set_result(result)

        return done

    @staticmethod
    def _future() -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().create_future()


async def start(data_dir: Path | None = None, **settings: Any) -> Harness:
    """A store with its data in that folder, or where ``database_url`` says, started."""
    if data_dir is not None:
        settings["data_dir"] = data_dir
    config = Config(**settings)
    metrics = Metrics()
    harness = Harness(SqlStore(config, metrics), config, metrics)
    await harness.store.start(harness.committed)
    return harness
