"""Presence of one node, at a time that the test decides: crowds, coming back, nothing left."""

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from storm_gateway.presence.base import PresenceChange
from storm_gateway.presence.memory import MemoryPresence


class Loop:
    """As much of an event loop as presence needs; time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timer: tuple[float, Any] | None = None

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Any) -> "Loop":
        self.timer = (self.now + delay, call)
        return self

    def cancel(self) -> None:
        self.timer = None

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timer is not None and self.timer[0] <= end + 1e-9:
            self.now, call = self.timer
            call()
        self.now = end


class Clocked:
    """Presence on that loop: an interval of 1 s, a grace of 5 s."""

    def __init__(self, named: int = 3) -> None:
        self.loop = Loop()
        self.told: list[tuple[float, PresenceChange]] = []
        self.presence = MemoryPresence(named=named, interval_seconds=1, grace_seconds=5)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "get_running_loop", lambda: self.loop)
            start = self.presence.start(lambda change: self.told.append((self.loop.now, change)))
            with pytest.raises(StopIteration):
                start.send(None)

    def nothing_is_left(self) -> bool:
        found = self.presence
        return not (found._rooms or found._leaving or found._dirty)


def test_a_crowded_channel_is_told_less_often() -> None:
    clocked = Clocked()
    for number in range(5_000):
        clocked.presence.enter(1, f"user{number}")
    for number in range(60):
        clocked.presence.enter(1, f"late{number}")
        clocked.loop.pass_time(1)
    times = [at for at, _ in clocked.told]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    # 1,000 connections a second: 5,000 of them every 5 s, and at the next beat.
    assert all(5 <= gap <= 6.1 for gap in gaps), gaps
    assert 9 <= len(times) <= 12
    assert {(change.joined, change.left) for _, change in clocked.told} == {(None, None)}
    clocked.loop.pass_time(10)
    assert clocked.told[-1][1].online == 5_060, "the last count is told"


def test_a_small_channel_is_told_every_interval_while_a_crowd_waits() -> None:
    clocked = Clocked()
    for number in range(3_000):
        clocked.presence.enter(1, f"user{number}")
    clocked.loop.pass_time(1)
    clocked.told.clear()
    clocked.presence.enter(1, "late")
    clocked.presence.enter(2, "alice")
    clocked.loop.pass_time(1)
    assert clocked.told == [(2, PresenceChange(2, 1, ["alice"], []))]


def test_many_crowds_share_what_one_may_use_and_each_gets_its_turn() -> None:
    clocked = Clocked()
    channels = range(1, 51)
    for channel_id in channels:
        for number in range(100):
            clocked.presence.enter(channel_id, f"user{number}")
    for second in range(60):
        for channel_id in channels:
            clocked.presence.enter(channel_id, f"late{second}")
        clocked.loop.pass_time(1)
    frames = sum(change.online for _, change in clocked.told)
    # 1,000 users a second, and what the last one of a beat is beyond it.
    assert 55_000 <= frames <= 70_000
    times = Counter(change.channel_id for _, change in clocked.told)
    assert set(times) == set(channels)
    assert max(times.values()) - min(times.values()) <= 2


def test_a_crowd_that_goes_is_told_when_it_is_small_enough_to_be_named() -> None:
    clocked = Clocked()
    for number in range(9_000):
        clocked.presence.enter(1, f"user{number}")
    clocked.loop.pass_time(1)
    for number in range(2, 9_000):
        clocked.presence.leave(1, f"user{number}")
    clocked.loop.pass_time(6)
    assert [change.online for _, change in clocked.told] == [9_000, 2]


def test_who_came_and_went_between_two_tellings_is_not_told() -> None:
    clocked = Clocked()
    for number in range(7_000):
        clocked.presence.enter(1, f"user{number}")
    clocked.loop.pass_time(1)
    clocked.told.clear()
    # The next telling is 7 s off, longer than the grace.
    clocked.presence.enter(1, "visitor")
    clocked.presence.leave(1, "visitor")
    clocked.loop.pass_time(20)
    assert clocked.told == []
    assert clocked.presence.snapshot(1).online == 7_000


def test_who_is_back_after_the_grace_is_told_twice() -> None:
    clocked = Clocked()
    clocked.presence.enter(1, "alice")
    clocked.loop.pass_time(1)
    clocked.presence.leave(1, "alice")
    clocked.loop.pass_time(5)
    clocked.presence.enter(1, "alice")
    clocked.loop.pass_time(1)
    assert [(at, change.joined, change.left) for at, change in clocked.told] == [
        (1, ["alice"], []),
        (6, [], ["alice"]),
        (7, ["alice"], []),
    ]


def test_nothing_is_left_behind() -> None:
    clocked = Clocked()
    for number in range(100):
        clocked.presence.enter(number % 7, f"user{number}")
    clocked.loop.pass_time(2)
    for number in range(100):
        clocked.presence.leave(number % 7, f"user{number}")
    assert not clocked.nothing_is_left()
    clocked.loop.pass_time(7)
    assert clocked.nothing_is_left()


def test_stopping_ends_the_timer_and_forgets() -> None:
    clocked = Clocked()
    clocked.presence.enter(1, "alice")
    stop = clocked.presence.stop()
    with pytest.raises(StopIteration):
        stop.send(None)
    assert clocked.loop.timer is None
    assert clocked.nothing_is_left()


CHANNELS = st.integers(1, 2)
USERS = st.sampled_from(["alice", "bob", "carl", "dora", "emil"])


class Told(RuleBasedStateMachine):
    """Whoever believes what is told knows who is there, whatever the order of things."""

    def __init__(self) -> None:
        super().__init__()
        self.clocked = Clocked()
        self.tabs: Counter[tuple[int, str]] = Counter()
        self.left_at: dict[tuple[int, str], float] = {}

    @rule(channel_id=CHANNELS, user_id=USERS)
    def enter(self, channel_id: int, user_id: str) -> None:
        self.clocked.presence.enter(channel_id, user_id)
        self.tabs[channel_id, user_id] += 1

    @rule(channel_id=CHANNELS, user_id=USERS)
    def leave(self, channel_id: int, user_id: str) -> None:
        self.clocked.presence.leave(channel_id, user_id)
        key = channel_id, user_id
        if self.tabs[key]:
            self.tabs[key] -= 1
            if not self.tabs[key]:
                self.left_at[key] = self.clocked.loop.now

    @rule(seconds=st.sampled_from([0.3, 1, 2.5, 5, 7]))
    def time_passes(self, seconds: float) -> None:
        self.clocked.loop.pass_time(seconds)

    @invariant()
    def who_has_a_tab_is_online_and_who_left_long_ago_is_not(self) -> None:
        now = self.clocked.loop.now
        for channel_id in (1, 2):
            here = {u for (c, u), tabs in self.tabs.items() if c == channel_id and tabs}
            may = here | {
                u for (c, u), at in self.left_at.items() if c == channel_id and now - at < 6.01
            }
            online = self.clocked.presence.snapshot(channel_id).online
            assert len(here) <= online <= len(may)

    @invariant()
    def tellings_follow_from_each_other(self) -> None:
        for channel_id in (1, 2):
            told = [(at, c) for at, c in self.clocked.told if c.channel_id == channel_id]
            for (earlier, before), (later, change) in itertools.pairwise(told):
                assert later - earlier > 0.99
                if change.joined is None or change.left is None:
                    assert change.online > 3
                    continue
                assert change.online <= 3
                assert not set(change.joined) & set(change.left)
                assert change.joined or change.left
                assert change.online == before.online + len(change.joined) - len(change.left)

    def teardown(self) -> None:
        for (channel_id, user_id), tabs in self.tabs.items():
            for _ in range(tabs):
                self.clocked.presence.leave(channel_id, user_id)
        self.clocked.loop.pass_time(10)
        assert self.clocked.nothing_is_left()
        last = {change.channel_id: change.online for _, change in self.clocked.told}
        assert set(last.values()) <= {0}


Told.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_what_is_told_is_true = Told.TestCase
