"""The hub between a real store and the bus: order, repair, audience, and what is left behind."""

import asyncio
from typing import Any

import pytest
from hub_harness import TOPIC, Node, events_in, until
from store_harness import GENERAL, NOON

from storm_gateway.bus.base import ChannelEvent, StreamEvent, topic_of_channel
from storm_gateway.errors import UnavailableError
from storm_gateway.presence.base import PresenceChange
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import MessageEvent, TypingEvent
from storm_gateway.store.records import ImportMessage

SUBJECT = "storm.weather"


def made_up(seq: int) -> MessageEvent:
    """An event of the bus that the store does not have."""
    return MessageEvent(GENERAL, "made up", "writer", seq, seq, "2025-11-22T12:00:00Z")


def typing(user_id: str) -> bytes:
    return encode(TypingEvent(GENERAL, user_id, 6000))


async def test_what_is_committed_is_heard_in_order(node: Node) -> None:
    listeners = [await node.listen(f"user{i}") for i in range(3)]
    for count in (1, 5, 20):
        await node.say(count)
    await node.quiet()
    for listener in listeners:
        assert listener.seqs == list(range(1, 27))
        assert len({event["id"] for event in listener.said("message")}) == 26


async def test_a_hole_is_repaired_from_the_store_in_order(node: Node) -> None:
    listener = await node.listen()
    await node.say(3)
    await node.say(4, heard=False)
    await node.say(2)
    await until(lambda: len(listener.seqs) >= 9)
    assert listener.seqs == list(range(1, 10))
    assert node.counts.repaired >= 4


async def test_events_out_of_order_are_put_in_order(node: Node) -> None:
    listener = await node.listen()
    await node.say(6, heard=False)
    for event in reversed(node.harness.events_of(GENERAL)):
        node.publish(event)
    await until(lambda: len(listener.seqs) >= 6)
    await node.quiet()
    assert listener.seqs == [1, 2, 3, 4, 5, 6]
    assert not node.feed.held


async def test_events_out_of_order_do_not_need_the_store_once_they_are_all_here(
    node: Node,
) -> None:
    listener = await node.listen()
    for seq in (3, 2, 5, 4, 1):
        node.publish(made_up(seq))
    await node.quiet()
    assert listener.seqs == [1, 2, 3, 4, 5]
    assert node.counts.repaired == 0


async def test_an_event_that_comes_again_is_ignored(node: Node) -> None:
    listener = await node.listen()
    await node.say(3)
    for _ in range(2):
        for event in node.harness.events_of(GENERAL):
            node.publish(event)
    await node.say()
    await node.quiet()
    assert listener.seqs == [1, 2, 3, 4]
    assert not node.feed.held


async def test_a_hole_of_many_pages_is_repaired_whole(node: Node) -> None:
    listener = await node.listen()
    await node.say(1_234, heard=False)
    await node.say()
    await until(lambda: len(listener.seqs) >= 1_235)
    assert listener.seqs == list(range(1, 1_236))


async def test_what_is_held_is_bounded(node: Node) -> None:
    await node.listen()
    await node.store.stop()  # nothing can be repaired meanwhile
    for seq in range(2, 6_000):
        node.publish(made_up(seq))
    assert len(node.feed.held) == 4_096
    await node.quiet()
    assert len(node.feed.held) == 4_096


async def test_a_silent_loss_is_found_by_comparing_heads(node: Node) -> None:
    listener = await node.listen()
    await node.say(2)
    await node.say(3, heard=False)
    await node.quiet()
    assert listener.seqs == [1, 2]
    await node.hub.compare_heads()
    await until(lambda: len(listener.seqs) >= 5)
    assert listener.seqs == [1, 2, 3, 4, 5]
    assert node.counts.repaired == 3


async def test_what_is_only_late_is_not_repaired(node: Node) -> None:
    listener = await node.listen()
    await node.say(2, heard=False)
    comparison = asyncio.create_task(node.hub.compare_heads())
    await node.store.channels.heads([GENERAL])
    for event in node.harness.events_of(GENERAL):
        node.publish(event)
    await comparison
    await node.quiet()
    assert listener.seqs == [1, 2]
    assert node.counts.repaired == 0


async def test_after_a_disruption_every_feed_is_repaired(node: Node) -> None:
    listener = await node.listen()
    await node.say(3, heard=False)
    node.hub.repair_all()
    await until(lambda: len(listener.seqs) >= 3)
    assert listener.seqs == [1, 2, 3]
    await node.quiet()


@pytest.mark.parametrize("found_by", ["an event after it", "comparing heads"])
async def test_what_is_lost_while_a_repair_reads_the_store_is_repaired_too(
    node: Node, monkeypatch: pytest.MonkeyPatch, found_by: str
) -> None:
    listener = await node.listen()
    await node.say(3, heard=False)
    replay, reads = node.store.messages.replay, 0

    async def replay_and_lose(*args: Any, **options: Any) -> Any:
        nonlocal reads
        reads += 1
        found = await replay(*args, **options)
        if reads == 1:
            await node.say(2, heard=False)
            if found_by == "comparing heads":
                await node.hub.compare_heads()
            else:
                await node.say()
        return found

    monkeypatch.setattr(node.store.messages, "replay", replay_and_lose)
    node.hub.repair_all()
    await until(lambda: reads and not node.feed.repairing)
    await node.quiet()
    assert listener.seqs == list(range(1, 6 if found_by == "comparing heads" else 7))
    assert reads == 2


async def test_an_event_that_the_store_does_not_know_is_not_looked_for_for_ever(
    node: Node,
) -> None:
    listener = await node.listen()
    for seq in (70, 80, 90):
        node.publish(made_up(seq))
    await node.quiet()
    await node.say(2)
    await node.quiet()
    assert listener.seqs == [1, 2]


async def test_a_feed_is_repaired_later_when_the_store_was_away(node: Node) -> None:
    listener = await node.listen()
    await node.say(3, heard=False)
    await node.store.stop()
    node.publish(node.harness.events_of(GENERAL)[2])
    node.hub.repair_all()
    await node.quiet()
    assert listener.seqs == []
    with pytest.raises(UnavailableError):
        await node.hub.compare_heads()
    await node.store.start(node.committed)
    await node.hub.compare_heads()
    await until(lambda: len(listener.seqs) >= 3)
    assert listener.seqs == [1, 2, 3]
    assert not node.feed.repairing


async def test_imported_history_is_heard_like_anything_that_was_missed(node: Node) -> None:
    listener = await node.listen()
    old = [ImportMessage("ann", f"old {i}", NOON, str(i)) for i in range(3)]
    channel_id, *_ = await node.store.messages.load("general", old, "irc")
    assert channel_id == GENERAL
    await node.hub.compare_heads()
    await until(lambda: len(listener.seqs) >= 3)
    await node.say()
    await node.quiet()
    assert listener.seqs == [1, 2, 3, 4]


async def test_what_is_committed_while_a_feed_opens_is_not_missed(node: Node) -> None:
    await node.say(2)
    opening = [asyncio.create_task(node.listen(f"user{i}")) for i in range(3)]
    for _ in range(5):
        await node.say(2)
    listeners = await asyncio.gather(*opening)
    await node.say()
    await node.quiet()
    for listener in listeners:
        head = listener.said("subscribed")[0]["head"]
        assert listener.seqs == list(range(head + 1, 14))


async def test_what_is_committed_just_after_an_opening_feed_read_the_head_is_heard(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes after it that would tell of the loss."""
    heads = node.store.channels.heads

    async def heads_and_more(*args: Any) -> Any:
        found = await heads(*args)
        await node.say(2)
        return found

    await node.say(3)
    monkeypatch.setattr(node.store.channels, "heads", heads_and_more)
    listeners = [node.connect("alice"), node.connect("bob")]
    await asyncio.gather(*(node.subscribe(listener, 3) for listener in listeners))
    await node.quiet()
    assert [listener.seqs for listener in listeners] == [[4, 5], [4, 5]]
    assert node.feed.settled == 5
    assert node.counts.repaired == 0


async def test_a_feed_that_cannot_open_says_so_and_opens_later(node: Node) -> None:
    await node.store.stop()
    waiting = [node.connect(f"user{i}") for i in range(3)]
    results = await asyncio.gather(
        *(node.subscribe(listener) for listener in waiting), return_exceptions=True
    )
    assert [type(result) for result in results] == [UnavailableError] * 3
    assert node.hub.feed(TOPIC) is None
    assert all(not listener.feeds for listener in waiting)
    await node.store.start(node.committed)
    listener = await node.listen()
    await node.say()
    await node.quiet()
    assert listener.seqs == [1]
    assert node.feed.references == 0


async def test_one_who_gives_up_waiting_does_not_end_the_opening_for_the_others(
    node: Node,
) -> None:
    hasty = asyncio.create_task(node.subscribe(node.connect("hasty")))
    patient = asyncio.create_task(node.listen("patient"))
    await asyncio.sleep(0)
    hasty.cancel()
    listener = await patient
    with pytest.raises(asyncio.CancelledError):
        await hasty
    await node.say()
    await node.quiet()
    assert listener.seqs == [1]
    assert node.feed.references == 0


async def test_an_event_for_one_user_reaches_only_that_users_subscribed_connections(
    node: Node,
) -> None:
    here, too = await node.listen("alice"), await node.listen("alice")
    elsewhere, other = node.connect("alice"), await node.listen("bob")
    node.bus.publish(TOPIC, ChannelEvent(GENERAL, 0, typing("carol"), "alice"))
    await node.quiet()
    assert [len(item.said("typing")) for item in (here, too, elsewhere, other)] == [1, 1, 0, 0]
    assert here.durables == [b""], "a slow client need not get it"


async def test_ephemeral_events_are_for_all_and_leave_the_order_alone(node: Node) -> None:
    listeners = [await node.listen("alice"), await node.listen("bob")]
    await node.say()
    node.bus.publish(TOPIC, ChannelEvent(GENERAL, 0, typing("carol")))
    await node.say()
    await node.quiet()
    for listener in listeners:
        assert len(listener.said("typing")) == 1
        assert listener.seqs == [1, 2]


async def test_too_many_ephemeral_events_are_dropped_and_counted(node: Node) -> None:
    await node.listen()
    big = encode(TypingEvent(GENERAL, "x" * 100_000, 1))
    for _ in range(5):
        node.bus.publish(TOPIC, ChannelEvent(GENERAL, 0, big))
    assert node.counts.ephemeral_dropped == 3


async def test_events_nobody_here_listens_to_are_no_error(node: Node) -> None:
    node.hub.on_event(ChannelEvent(77, 1, b"{}"))
    node.hub.on_event(ChannelEvent(77, 0, b"{}", "alice"))
    node.hub.on_event(StreamEvent(SUBJECT, b"{}"))
    node.hub.on_presence(PresenceChange(77, 1, ["alice"], []))


async def test_a_stream_is_heard_by_its_listeners_alone(node: Node) -> None:
    listener, other = node.connect(), node.connect("bob")
    feed = await node.hub.open(SUBJECT, 0)
    node.hub.attach(listener, feed, 0)
    feed.references -= 1
    node.bus.publish(SUBJECT, StreamEvent(SUBJECT, b'{"type":"event","payload":1}'))
    node.bus.publish("storm.other", StreamEvent("storm.other", b'{"type":"event","payload":2}'))
    await until(lambda: not feed.marked)
    assert [event["payload"] for event in listener.heard] == [1]
    assert other.heard == []
    assert events_in(node.hub.heartbeat_frame(listener))[0]["heads"] == {}
    node.hub.repair_all()
    await node.hub.compare_heads()
    assert not feed.repairing
    node.hang_up(listener)
    node.bus.publish(SUBJECT, StreamEvent(SUBJECT, b'{"type":"event","payload":3}'))
    await until(lambda: not feed.marked)
    assert len(listener.heard) == 1


async def test_a_topic_nobody_wants_is_left_after_a_while_and_opens_again(node: Node) -> None:
    listener = await node.listen()
    await node.hub.sweep(100)
    await node.hub.sweep(200)
    assert node.hub.feed(TOPIC) is not None
    node.hub.detach(listener, node.feed)
    await node.hub.sweep(300)
    await node.hub.sweep(309)
    assert node.hub.feed(TOPIC) is not None
    await node.subscribe(listener)
    await node.hub.sweep(400)
    node.hub.detach(listener, node.feed)
    await node.hub.sweep(500)
    await node.hub.sweep(510)
    assert node.hub.feed(TOPIC) is None
    seen: list[Any] = []
    node.hub.on_event = seen.append  # type: ignore[method-assign]
    await node.say()
    assert seen == [], "the bus was told"
    del node.hub.on_event
    await node.subscribe(listener, since=0)
    await node.say()
    await node.quiet()
    assert listener.seqs == [1, 2]


async def test_a_feed_that_somebody_is_about_to_listen_to_is_not_swept(node: Node) -> None:
    feed = await node.hub.open(TOPIC, GENERAL)
    for tick in range(1, 100, 7):
        await node.hub.sweep(tick)
    assert node.hub.feed(TOPIC) is feed


async def test_connections_are_known_by_user_until_they_are_gone(node: Node) -> None:
    one, two, other = node.connect("alice"), node.connect("alice"), node.connect("bob")
    assert node.hub.connections_of("alice") == (one, two)
    assert sorted(node.hub.users()) == ["alice", "bob"]
    node.hang_up(one)
    node.hang_up(one)
    assert node.hub.connections_of("alice") == (two,)
    node.hang_up(two)
    node.hang_up(other)
    assert node.hub.connections_of("alice") == ()
    assert list(node.hub.users()) == []


async def test_subscriptions_count_back_to_zero(node: Node) -> None:
    await node.say(3)
    listeners = [await node.listen(f"user{i % 2}", since) for i, since in enumerate((None, 0, 2))]
    stream = await node.hub.open(SUBJECT, 0)
    node.hub.attach(listeners[0], stream, 0)
    assert node.counts.subscriptions == 4
    await node.subscribe(listeners[1], 1)
    await node.subscribe(listeners[1])
    assert node.counts.subscriptions == 4
    assert node.presence.snapshot(GENERAL).online == 2
    node.hub.detach(listeners[1], node.feed)
    node.hub.detach(listeners[1], node.feed)
    assert node.counts.subscriptions == 3
    for listener in listeners:
        node.hang_up(listener)
        assert listener.feeds == ()
    assert node.counts.subscriptions == 0
    assert not node.feed.wanted


async def test_nothing_reaches_a_connection_that_hung_up(node: Node) -> None:
    listeners = [await node.listen() for _ in range(3)]
    node.publish(made_up(1))
    node.hang_up(listeners[1])  # before the turn that writes
    node.publish(made_up(2))
    await node.quiet()
    assert [listener.seqs for listener in listeners] == [[1, 2], [], [1, 2]]


async def test_a_heartbeat_tells_what_the_connection_was_given(open_node: Any) -> None:
    node = await open_node(fanout_writes=1)
    listeners = [await node.listen() for _ in range(5)]
    outside = node.connect()
    await node.say(2)
    while node.feed.marked:
        for listener in listeners:
            told = events_in(node.hub.heartbeat_frame(listener))[0]["heads"]["1"]
            assert told <= len(listener.seqs)
        await asyncio.sleep(0)
    for listener in listeners:
        assert events_in(node.hub.heartbeat_frame(listener)) == [
            {"type": "heartbeat", "heads": {"1": 2}}
        ]
    assert events_in(node.hub.heartbeat_frame(outside)) == [{"type": "heartbeat", "heads": {}}]


async def test_who_comes_and_goes_is_told_to_the_channel(node: Node) -> None:
    await node.presence.start(node.hub.on_presence)
    alice = await node.listen("alice")
    assert alice.said("presence")[0] == {
        "type": "presence",
        "channel_id": GENERAL,
        "online": 1,
        "users": ["alice"],
    }
    bob = await node.listen("bob")
    await until(lambda: any("bob" in event.get("joined", ()) for event in alice.said("presence")))
    node.hang_up(bob)
    await until(lambda: any(event.get("left") == ["bob"] for event in alice.said("presence")))
    assert alice.said("presence")[-1]["online"] == 1
    await node.presence.stop()


async def test_senders_learn_that_a_channel_is_congested(node: Node) -> None:
    assert not node.hub.congested(GENERAL)
    await node.listen()
    for seq in range(1, 100):
        event = MessageEvent(GENERAL, "x" * 100_000, "writer", seq, seq, "")
        node.publish(event)
    assert node.hub.congested(GENERAL)
    await node.quiet()
    assert not node.hub.congested(GENERAL)


async def test_a_stopped_hub_leaves_no_work_behind(node: Node) -> None:
    listener = await node.listen()
    await node.say(2, heard=False)
    node.hub.repair_all()
    await node.hub.stop()
    assert len(asyncio.all_tasks()) == 1
    assert listener.seqs == []


async def test_an_event_that_stays_away_is_read_from_the_store_after_a_moment(
    open_node: Any,
) -> None:
    node = await open_node(reorder_milliseconds=100)
    listener = await node.listen()
    await node.say(3, heard=False)
    events = node.harness.events_of(GENERAL)
    began = asyncio.get_running_loop().time()
    node.publish(events[2])
    node.publish(events[1])
    await until(lambda: listener.seqs)
    assert 0.09 < asyncio.get_running_loop().time() - began < 2
    assert listener.seqs == [1, 2, 3]


async def test_what_the_store_does_not_know_is_not_kept(node: Node) -> None:
    listener = await node.listen()
    await node.say(1)
    for seq in (70, 80):
        node.publish(made_up(seq))
    await node.quiet()
    assert node.feed.held == {}
    await node.say(1)
    await node.quiet()
    assert listener.seqs == [1, 2]


async def test_comparisons_do_not_pile_up_and_none_is_forgotten(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = await node.listen()
    moved, asked, go_on = node.store.channels.moved, 0, asyncio.Event()

    async def slowly(*args: Any) -> Any:
        nonlocal asked
        asked += 1
        found = await moved(*args)
        await go_on.wait()
        return found

    monkeypatch.setattr(node.store.channels, "moved", slowly)
    first = asyncio.create_task(node.hub.compare_heads(0))
    await until(lambda: asked)
    await node.say(2, heard=False)  # the first one does not see these
    for _ in range(50):
        node.hub.repair_all()
        await node.hub.compare_heads()
    go_on.set()
    await first
    await until(lambda: listener.seqs == [1, 2])
    assert asked == 2


async def test_after_a_disruption_many_feeds_are_repaired_a_few_at_a_time(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = node.connect()
    node.publishing = False
    channels = []
    for number in range(60):
        channel = await node.store.channels.create(f"c{number}", "public", "", "root")
        feed = await node.hub.open(topic_of_channel(channel.id), channel.id)
        node.hub.attach(listener, feed, feed.seq)
        channels.append(channel.id)
    for channel_id in channels:
        await node.harness.append(channel_id, "writer", "r", "lost")
    replay, now, most = node.store.messages.replay, 0, 0

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        found = await replay(*args, **options)
        now -= 1
        return found

    monkeypatch.setattr(node.store.messages, "replay", counted)
    node.hub.repair_all()
    await until(lambda: len(listener.said("message")) == 60)
    assert 1 < most <= 16


async def test_a_topic_is_opened_again_only_when_it_has_been_left(node: Node) -> None:
    """Else the end of the old subscription would be the end of the new one."""
    listener = await node.listen()
    node.hang_up(listener)
    unsubscribe, left = node.bus.unsubscribe, asyncio.Event()

    async def slow_unsubscribe(topic: str) -> None:
        await left.wait()
        await unsubscribe(topic)

    node.bus.unsubscribe = slow_unsubscribe  # type: ignore[method-assign]
    await node.hub.sweep(100)
    leaving = asyncio.create_task(node.hub.sweep(200))
    await asyncio.sleep(0)
    coming = asyncio.create_task(node.listen())
    for _ in range(20):
        await asyncio.sleep(0)
    left.set()
    listener = await coming
    await leaving
    await node.say()
    await node.quiet()
    assert listener.seqs == [1]
    assert node.counts.repaired == 0


async def test_a_quiet_channel_keeps_nothing_in_memory_and_still_replays(node: Node) -> None:
    first, *_ = await node.crowd()
    await node.say(3)
    await node.quiet()
    assert len(node.feed.recent) == 3
    node.hub.forget_recent()
    assert len(node.feed.recent) == 3  # said since it was asked last
    await node.say(1)
    await node.quiet()
    node.hub.forget_recent()
    assert len(node.feed.recent) == 4
    node.hub.forget_recent()
    assert not node.feed.recent
    assert node.feed.recent_bytes == 0
    again = await node.listen("late", since=1)
    await until(lambda: again.seqs == [2, 3, 4])
    await node.say(1)
    await until(lambda: again.seqs == [2, 3, 4, 5] and first.seqs == [1, 2, 3, 4, 5])


async def test_all_channels_together_keep_a_bounded_memory(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.crowd()
    await node.say(3)
    await node.quiet()
    monkeypatch.setattr("storm_gateway.hub.hub._KEEP_BYTES_IN_ALL", node.feed.recent_bytes)
    node.hub.forget_recent()
    assert node.feed.recent
    monkeypatch.setattr("storm_gateway.hub.hub._KEEP_BYTES_IN_ALL", node.feed.recent_bytes - 1)
    await node.say(1)
    await node.quiet()
    node.hub.forget_recent()
    assert not node.feed.recent


async def test_a_hub_that_most_have_left_goes_on_for_those_who_stayed(node: Node) -> None:
    stays = await node.listen("alice")
    gone = [await node.listen(f"user{number}") for number in range(50)]
    for listener in gone:
        node.hub.disconnect(listener)
    node.hub.fit()
    await node.say(3)
    await node.quiet()
    assert stays.seqs == [1, 2, 3]
    assert node.hub.connections_of("alice") == (stays,)
    assert node.hub.connections_of("user1") == ()
    assert list(node.hub.users()) == ["alice"]


async def test_a_user_has_all_connections_that_are_open_in_the_order_in_which_they_came(
    node: Node,
) -> None:
    first, second, third = (node.connect("alice") for _ in range(3))
    assert node.hub.connections_of("alice") == (first, second, third)
    node.hub.disconnect(second)
    assert node.hub.connections_of("alice") == (first, third)
    node.hub.disconnect(first)
    assert node.hub.connections_of("alice") == (third,)
    node.hub.disconnect(third)
    assert node.hub.connections_of("alice") == ()
    assert list(node.hub.users()) == []
