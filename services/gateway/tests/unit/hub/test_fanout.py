"""The one writer: joined frames, bounded turns, and people who come and go in the middle."""

import asyncio

import pytest
from hub_harness import Listener, events_in, until

from storm_gateway.hub.fanout import Fanout
from storm_gateway.hub.feed import Feed
from storm_gateway.observability.metrics import Counts
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import MessageEvent
from storm_gateway.protocol.websocket import text_frame

AT = "2025-11-22T12:00:00Z"


class Room:
    """A feed, its fan-out and its listeners."""

    def __init__(self, listeners: int, fanout: Fanout, channel_id: int = 1) -> None:
        self.fanout = fanout
        self.feed = Feed(f"channels.{channel_id}", channel_id)
        self.feed.live_since = 1.0
        self.listeners = [Listener(f"user{i}") for i in range(listeners)]
        for listener in self.listeners:
            self.feed.add(listener, 0)

    def say(self, count: int = 1) -> None:
        for _ in range(count):
            seq = self.feed.seq + 1
            event = MessageEvent(self.feed.channel_id, "hello", "bob", seq, seq, AT)
            self.feed.accept(seq, text_frame(encode(event)), 100, 100_000)
            self.fanout.mark(self.feed)

    async def quiet(self) -> None:
        await until(lambda: not self.feed.marked)

    async def middle_of_a_pass(self) -> tuple[list[Listener], list[Listener]]:
        """Let the pass get half of its way: who has been written to, and who has not."""
        await until(lambda: self.feed.passing is not None and self.feed.passing.position > 0)
        running = self.feed.passing
        assert running is not None
        done = list(running.targets[: running.position])
        rest = list(running.targets[running.position :])
        assert done
        assert rest
        return done, rest  # type: ignore[return-value]


def fanout(writes: int = 512, coalesce: float = 0.0) -> Fanout:
    return Fanout(Counts(), writes, coalesce)


async def test_frames_of_one_turn_are_one_delivery_in_order() -> None:
    room = Room(3, fanout())
    room.say(4)
    await room.quiet()
    for listener in room.listeners:
        assert len(listener.deliveries) == 1
        assert listener.seqs == [1, 2, 3, 4]


async def test_at_rest_a_frame_leaves_in_the_next_turn_of_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Turns take no time here: a machine that has other things to do would look like load.
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 1000.0)
    room = Room(1, fanout(coalesce=10))
    for seq in (1, 2, 3):
        room.say()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert room.listeners[0].seqs == list(range(1, seq + 1))


async def test_under_load_frames_gather_and_leave_joined() -> None:
    room = Room(1, fanout(coalesce=0.02))

    def busy() -> None:
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - began < 0.005:
            pass

    room.listeners[0].on_given = busy
    for _ in range(40):
        room.say()
        await asyncio.sleep(0)
    await room.quiet()
    assert room.listeners[0].seqs == list(range(1, 41))
    assert len(room.listeners[0].deliveries) < 20


@pytest.mark.parametrize("writes", [1, 7, 10])
async def test_a_turn_has_so_many_writes_at_most_and_the_loop_runs_in_between(writes: int) -> None:
    room = Room(45, fanout(writes))
    written = 0
    most = 0

    def count() -> None:
        nonlocal written
        written += 1

    for listener in room.listeners:
        listener.on_given = count
    room.say(2)
    turns = 0
    while room.feed.marked:
        written = 0
        await asyncio.sleep(0)
        most = max(most, written)
        turns += bool(written)
    assert most == writes
    assert turns == -(-45 // writes)
    assert all(listener.seqs == [1, 2] for listener in room.listeners)


async def test_a_small_feed_does_not_wait_for_all_of_a_large_one() -> None:
    shared = fanout(10)
    large, small = Room(100, shared, 1), Room(1, shared, 2)
    large.say()
    small.say()
    await until(lambda: small.listeners[0].seqs)
    assert sum(bool(listener.seqs) for listener in large.listeners) <= 20
    await large.quiet()
    assert all(listener.seqs == [1] for listener in large.listeners)


async def test_frames_that_come_during_a_pass_are_of_the_next_one() -> None:
    room = Room(30, fanout(10))
    room.say(2)
    await room.middle_of_a_pass()
    room.say(3)
    await room.quiet()
    for listener in room.listeners:
        assert [len(events_in(data)) for data in listener.deliveries] == [2, 3]
        assert listener.seqs == [1, 2, 3, 4, 5]


async def test_settled_moves_only_when_everyone_was_written_to() -> None:
    room = Room(30, fanout(10))
    room.say(2)
    assert room.feed.settled == 0
    while room.feed.marked:
        reached = min(len(listener.seqs) for listener in room.listeners)
        assert room.feed.settled <= reached
        await asyncio.sleep(0)
    assert room.feed.settled == 2
    room.say()
    await room.middle_of_a_pass()
    room.say()
    assert room.feed.settled == 2
    await until(lambda: room.feed.settled > 2)
    assert room.feed.settled == 3
    await room.quiet()
    assert room.feed.settled == 4


async def test_who_leaves_in_the_middle_gets_nothing_more() -> None:
    room = Room(30, fanout(10))
    room.say()
    done, rest = await room.middle_of_a_pass()
    leavers = [done[0], rest[0], rest[-1]]
    for leaver in leavers:
        room.feed.discard(leaver)
        leaver.is_open = False  # a write would be an error now
    room.say()
    await room.quiet()
    assert [leaver.seqs for leaver in leavers] == [[1], [], []]
    assert all(item.seqs == [1, 2] for item in room.listeners if item not in leavers)


async def test_who_is_removed_by_what_another_one_gets_is_not_written_to() -> None:
    """Only those of later turns can be spared: one turn is one moment."""
    room = Room(30, fanout(10))
    room.say()
    _, rest = await room.middle_of_a_pass()
    victim = rest[-1]
    rest[0].on_given = lambda: room.feed.discard(victim)
    await room.quiet()
    assert victim.seqs == []


async def test_who_leaves_and_comes_back_in_the_middle_gets_nothing_twice() -> None:
    room = Room(30, fanout(10))
    room.say()
    done, rest = await room.middle_of_a_pass()
    for back in (done[0], rest[-1]):
        room.feed.discard(back)
        room.feed.add(back, room.feed.seq)  # it was told of 1 when it came back
    await room.quiet()
    assert (done[0].seqs, rest[-1].seqs) == ([1], [])
    room.say()
    await room.quiet()
    assert (done[0].seqs, rest[-1].seqs) == ([1, 2], [2])


async def test_who_comes_back_while_the_next_frames_wait_gets_only_what_it_lacks() -> None:
    room = Room(30, fanout(10))
    room.say()
    done, rest = await room.middle_of_a_pass()
    room.say(2)
    for back, has in ((done[0], 1), (rest[0], 2), (rest[-1], 3)):
        room.feed.discard(back)
        room.feed.add(back, has)
    room.say()
    await room.quiet()
    assert done[0].seqs == [1, 2, 3, 4]
    assert rest[0].seqs == [3, 4]
    assert rest[-1].seqs == [4]


async def test_who_joins_in_the_middle_gets_every_later_frame_once() -> None:
    room = Room(30, fanout(10))
    room.say(2)
    await room.middle_of_a_pass()
    early, late = Listener(), Listener()
    room.feed.add(early, 2)
    room.say(2)
    room.feed.add(late, 3)
    room.say()
    await room.quiet()
    room.say()
    await room.quiet()
    assert early.seqs == [3, 4, 5, 6]
    assert late.seqs == [4, 5, 6]


async def test_writes_and_deliveries_are_counted() -> None:
    counts = Counts()
    room = Room(3, Fanout(counts, 2, 0))
    room.say(2)
    await room.quiet()
    room.say()
    await room.quiet()
    assert (counts.writes, counts.deliveries, counts.writes_coalesced) == (6, 9, 3)
