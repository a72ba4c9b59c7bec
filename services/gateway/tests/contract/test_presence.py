"""What every implementation of presence has to keep: see presence/base.py."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from hub_harness import until
from valkey_harness import KINDS, empty, server, settings

from storm_gateway.observability.metrics import Metrics
from storm_gateway.presence.base import Presence, PresenceChange, PresenceSnapshot
from storm_gateway.presence.memory import MemoryPresence
from storm_gateway.presence.redis import RedisPresence
from storm_gateway.stack.valkey import ValkeyServer

INTERVAL = 0.02
GRACE = 0.05
NAMED = 3

Make = Callable[[], Presence]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with server("valkey", tmp_path_factory.mktemp("valkey"), password="p4ssword") as found:
        yield found


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with server("redis", tmp_path_factory.mktemp("redis"), password="p4ssword") as found:
        yield found


@pytest.fixture(params=["memory", *KINDS])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a presence of the kind that is tested."""
    if request.param == "memory":
        return lambda: MemoryPresence(named=NAMED, interval_seconds=INTERVAL, grace_seconds=GRACE)
    running: ValkeyServer = request.getfixturevalue(request.param)
    empty(running)
    config = settings(
        running,
        named_members=NAMED,
        presence_interval_seconds=INTERVAL,
        presence_grace_seconds=GRACE,
    )
    return lambda: RedisPresence(config, "a.1", Metrics())


class Told:
    """Presence and what it told, with the time of each telling."""

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self.changes: list[PresenceChange] = []
        self.at: list[float] = []

    def changed(self, change: PresenceChange) -> None:
        self.changes.append(change)
        self.at.append(asyncio.get_running_loop().time())

    async def next(self, count: int = 1) -> list[PresenceChange]:
        """The next so many changes, taken out."""
        await until(lambda: len(self.changes) >= count)
        found, self.changes = self.changes, []
        assert len(found) == count
        return found

    async def online(self, channel_id: int, count: int) -> None:
        await until(lambda: self.presence.snapshot(channel_id).online == count)

    async def beats(self, beats: int = 2) -> None:
        """So many intervals, as this presence counts them: tellings of a channel of their own."""
        for number in range(beats):
            self.presence.enter(9_000 + number, "beat")
            await until(lambda n=number: any(c.channel_id == 9_000 + n for c in self.changes))
        self.changes = [c for c in self.changes if c.channel_id < 9_000]


@pytest.fixture
async def told(make: Make) -> AsyncIterator[Told]:
    found = Told(make())
    await found.presence.start(found.changed)
    yield found
    await found.presence.stop()


async def test_who_comes_is_told_and_who_leaves_after_the_grace(told: Told) -> None:
    told.presence.enter(1, "alice")
    assert told.presence.snapshot(1) == PresenceSnapshot(1, ["alice"])
    assert await told.next() == [PresenceChange(1, 1, ["alice"], [])]
    left_at = asyncio.get_running_loop().time()
    told.presence.leave(1, "alice")
    assert told.presence.snapshot(1).online == 1, "the grace"
    assert await told.next() == [PresenceChange(1, 0, [], ["alice"])]
    assert told.at[-1] - left_at >= GRACE
    assert told.presence.snapshot(1) == PresenceSnapshot(0, [])


async def test_presence_that_most_have_left_keeps_no_room_for_them_and_goes_on(told: Told) -> None:
    told.presence.enter(1, "alice")
    for number in range(5_000):
        told.presence.enter(1, f"user{number}")
        told.presence.enter(10 + number, f"user{number}")
    await told.online(1, 5_001)
    for number in range(5_000):
        told.presence.leave(1, f"user{number}")
        told.presence.leave(10 + number, f"user{number}")
    await told.online(1, 1)
    await until(lambda: len(told.presence._rooms) == 1)
    before = sys.getsizeof(told.presence._rooms)
    told.presence.fit()
    await told.beats()
    assert sys.getsizeof(told.presence._rooms) < before / 10
    assert told.presence.snapshot(1) == PresenceSnapshot(1, ["alice"])
    told.presence.enter(1, "bob")
    await told.online(1, 2)
    told.presence.leave(1, "alice")
    await told.online(1, 1)


async def test_several_tabs_are_one_user_until_the_last_is_closed(told: Told) -> None:
    for _ in range(3):
        told.presence.enter(1, "alice")
    assert told.presence.snapshot(1) == PresenceSnapshot(1, ["alice"])
    assert await told.next() == [PresenceChange(1, 1, ["alice"], [])]
    for _ in range(2):
        told.presence.leave(1, "alice")
    await asyncio.sleep(GRACE)  # a wrong count would be out of its grace by now
    await told.beats()
    assert told.changes == []
    assert told.presence.snapshot(1).online == 1
    told.presence.leave(1, "alice")
    assert await told.next() == [PresenceChange(1, 0, [], ["alice"])]


async def test_who_is_back_within_the_grace_was_never_away(told: Told) -> None:
    told.presence.enter(1, "alice")
    await told.next()
    for _ in range(3):
        told.presence.leave(1, "alice")
        told.presence.enter(1, "alice")
    await asyncio.sleep(GRACE)
    await told.beats()
    assert told.changes == []
    assert told.presence.snapshot(1).online == 1


async def test_the_grace_starts_anew_with_each_leave(told: Told) -> None:
    told.presence.enter(1, "alice")
    told.presence.enter(1, "bob")
    await told.next()
    told.presence.leave(1, "alice")
    told.presence.leave(1, "bob")
    told.presence.enter(1, "alice")
    last = asyncio.get_running_loop().time()
    told.presence.leave(1, "alice")
    await told.online(1, 0)
    assert asyncio.get_running_loop().time() - last >= GRACE
    assert sorted(name for change in told.changes for name in change.left or ()) == ["alice", "bob"]


async def test_names_are_told_up_to_the_limit_and_only_a_count_above(told: Told) -> None:
    names = ["carl", "alice", "bob", "dora"]
    for name in names[:3]:
        told.presence.enter(1, name)
    assert told.presence.snapshot(1) == PresenceSnapshot(3, ["alice", "bob", "carl"])
    assert await told.next() == [PresenceChange(1, 3, ["alice", "bob", "carl"], [])]
    told.presence.enter(1, "dora")
    assert told.presence.snapshot(1) == PresenceSnapshot(4, None)
    assert await told.next() == [PresenceChange(1, 4, None, None)]
    told.presence.leave(1, "carl")
    assert await told.next() == [PresenceChange(1, 3, [], ["carl"])]
    assert told.presence.snapshot(1) == PresenceSnapshot(3, ["alice", "bob", "dora"])


async def test_a_channel_is_told_once_an_interval_of_all_that_changed(told: Told) -> None:
    told.presence.enter(1, "alice")
    told.presence.enter(2, "alice")
    told.presence.enter(1, "bob")
    changes = await told.next(2)
    assert sorted(changes, key=lambda c: c.channel_id) == [
        PresenceChange(1, 2, ["alice", "bob"], []),
        PresenceChange(2, 1, ["alice"], []),
    ]


async def test_tellings_of_a_channel_are_an_interval_apart(told: Told) -> None:
    for number in range(5):
        told.presence.enter(1, f"user{number}")
        await until(lambda n=number: len(told.changes) > n)
    gaps = [later - earlier for earlier, later in zip(told.at, told.at[1:], strict=False)]
    # The clock of a timer is some milliseconds coarse.
    assert min(gaps) >= INTERVAL * 0.5
    assert sum(gaps) >= INTERVAL * 4 * 0.9


async def test_leaving_without_having_come_changes_nothing(told: Told) -> None:
    told.presence.leave(1, "alice")
    told.presence.enter(1, "alice")
    for _ in range(3):
        told.presence.leave(1, "alice")
        told.presence.leave(1, "bob")
    told.presence.enter(1, "alice")
    assert told.presence.snapshot(1) == PresenceSnapshot(1, ["alice"])
    assert await told.next() == [PresenceChange(1, 1, ["alice"], [])]
    told.presence.leave(1, "alice")
    assert await told.next() == [PresenceChange(1, 0, [], ["alice"])]


async def test_an_unknown_channel_is_empty_and_presence_answers(told: Told) -> None:
    assert told.presence.snapshot(77) == PresenceSnapshot(0, [])
    await told.presence.probe(1)


async def test_a_stopped_presence_tells_nothing_and_its_entries_are_gone(told: Told) -> None:
    told.presence.enter(1, "alice")
    await told.presence.stop()
    await asyncio.sleep(INTERVAL * 2)
    assert told.changes == []
    assert told.presence.snapshot(1).online == 0
    told.presence.leave(1, "alice")
