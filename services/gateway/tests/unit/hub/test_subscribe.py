"""From ``subscribe`` to live: no hole, no repeat and no race, wherever messages fall."""

import asyncio
from typing import Any

import pytest
from hub_harness import TOPIC, Listener, Node, events_in, until
from sqlalchemy import delete, update
from store_harness import GENERAL

from storm_gateway.errors import ConflictError, ForbiddenError, NotFoundError, UnavailableError
from storm_gateway.store.tables import channels, messages
from storm_gateway.store.transaction import Transaction

FROM_THE_STORE = {"recent_events": 0}


def everything_after(listener: Listener, since: int, head: int) -> None:
    """It was told all of the log after ``since``, once and in order."""
    assert listener.seqs == list(range(since + 1, head + 1))


@pytest.mark.parametrize("recent", [0, 2, 256])
async def test_since_every_position_brings_what_is_missing(open_node: Any, recent: int) -> None:
    node = await open_node(recent_events=recent)
    await node.say(3)
    await node.crowd()
    await node.say(4)
    await node.quiet()
    listeners = [await node.listen(since=since) for since in range(8)]
    for since, listener in enumerate(listeners):
        everything_after(listener, since, 7)
        first, *_, last = listener.heard
        assert (first["type"], first["ref"], first["head"]) == ("subscribed", "r", 7)
        assert "gap" not in first
        assert last["type"] == "presence"
    await node.say()
    await node.quiet()
    for since, listener in enumerate(listeners):
        everything_after(listener, since, 8)


@pytest.mark.parametrize("recent", [0, 1, 3, 256])
async def test_messages_committed_meanwhile_come_once(open_node: Any, recent: int) -> None:
    """The commit falls so many turns of the loop after the subscribe."""
    node = await open_node(recent_events=recent)
    await node.say(4)
    await node.crowd()
    await node.say(2)
    found = []
    for turns in range(8):
        work = []
        for since in range(node.feed.seq + 1)[-7:]:
            listener = node.connect(f"user{since}")
            found.append((since, listener))
            work.append(asyncio.create_task(node.subscribe(listener, since)))
            for _ in range(turns):
                await asyncio.sleep(0)
            await node.send(f"meanwhile {since}")
        await asyncio.gather(*work)
    await node.say(2)
    await node.quiet()
    for since, listener in found:
        everything_after(listener, since, 6 + 8 * 7 + 2)


@pytest.mark.parametrize("recent", [0, 256])
async def test_messages_committed_while_the_client_takes_the_replay_come_once(
    open_node: Any, recent: int
) -> None:
    """One message falls after each chunk of a replay of several."""
    node = await open_node(recent_events=recent)
    await _large(node, 10)
    listener = node.connect()
    sizes: list[int] = []

    async def writable() -> bool:
        sizes.append(len(listener.given))
        await node.say()
        return True

    listener.writable = writable  # type: ignore[method-assign]
    await node.subscribe(listener, 0)
    await node.say()
    await node.quiet()
    assert len(sizes) > 2
    everything_after(listener, 0, 10 + len(sizes) + 1)
    assert len(listener.said("subscribed")) == 1
    assert max(len(data) for data in listener.given) < 256 * 1024


async def _large(node: Node, count: int) -> None:
    for _ in range(count):
        await node.send("x" * 60_000)


async def test_more_than_the_limit_committed_during_a_replay_leaves_no_hole(
    open_node: Any,
) -> None:
    """Only the reply can tell of a gap: what comes after it must be told whole."""
    node = await open_node(replay_events=5, recent_events=2)
    await _large(node, 5)
    listener = node.connect()
    said = 0

    async def writable() -> bool:
        nonlocal said
        if not said:
            said = 23
            await node.say(said)
        return True

    listener.writable = writable  # type: ignore[method-assign]
    await node.subscribe(listener, 0)
    await node.say()
    await node.quiet()
    assert said
    everything_after(listener, 0, 5 + said + 1)


async def test_more_than_the_limit_is_a_gap_and_the_newest(open_node: Any) -> None:
    node = await open_node(replay_events=5)
    await node.say(12)
    for since, gap in ((0, {"from": 1, "to": 7}), (6, {"from": 7, "to": 7}), (7, None)):
        listener = await node.listen(since=since)
        assert listener.said("subscribed")[0].get("gap") == gap
        assert listener.seqs == [8, 9, 10, 11, 12]
    await node.say()
    await node.quiet()
    assert listener.seqs == [8, 9, 10, 11, 12, 13]


async def test_memory_gives_no_more_than_the_limit_either(open_node: Any) -> None:
    node = await open_node(replay_events=5)
    await node.crowd()
    await node.say(8)
    listener = await node.listen(since=0)
    assert listener.said("subscribed")[0]["gap"] == {"from": 1, "to": 3}
    assert listener.seqs == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("since", [4, 99])
async def test_a_since_ahead_of_the_log_hears_what_follows(node: Node, since: int) -> None:
    await node.say(3)
    listener = await node.listen(since=since)
    assert listener.said("subscribed")[0]["head"] == 3
    assert listener.seqs == []
    await node.say(2)
    await node.quiet()
    assert listener.seqs == [4, 5]


async def test_a_since_ahead_of_this_node_is_not_told_twice(node: Node) -> None:
    """Another node was faster: the client has what the bus has not brought here yet."""
    keeper = await node.listen("keeper")
    await node.say(2)
    await node.say(3, heard=False)
    listeners = [await node.listen(f"user{since}", since) for since in (3, 4, 5)]
    for event in node.harness.events_of(GENERAL):
        node.publish(event)
    await node.say()
    await node.quiet()
    assert keeper.seqs == [1, 2, 3, 4, 5, 6]
    for since, listener in zip((3, 4, 5), listeners, strict=True):
        everything_after(listener, since, 6)


async def test_without_since_a_channel_is_heard_from_now_on(node: Node) -> None:
    await node.say(3)
    listener = await node.listen()
    assert listener.said("subscribed") == [
        {"type": "subscribed", "channel_id": GENERAL, "head": 3, "ref": "r"}
    ]
    await node.say()
    await node.quiet()
    assert listener.seqs == [4]


async def test_deleted_text_is_not_replayed_from_memory(node: Node) -> None:
    keeper = await node.listen("keeper")
    await node.say(2)
    secret = await node.send("secret")
    await node.store.messages.delete(GENERAL, secret.event.id, "writer", None, lambda *_: None)
    await node.quiet()
    assert "secret" in str(keeper.heard)
    listener = await node.listen(since=0)
    everything_after(listener, 0, 4)
    assert "secret" not in str(listener.heard)
    assert listener.said("message")[2]["deleted"]


async def _at_a_chunk(node: Node) -> tuple[Listener, "asyncio.Task[None]"]:
    """A replay that waits for the client to take its first chunk."""
    await _large(node, 10)
    listener = node.connect()
    listener.takes.clear()
    task = asyncio.create_task(node.subscribe(listener, 0))
    await until(lambda: listener.waits)
    assert 0 < len(listener.seqs) < 10
    return listener, task


@pytest.mark.parametrize("how", ["unsubscribe", "removed", "deleted", "hung up"])
async def test_who_is_no_subscriber_any_more_gets_no_more_of_a_replay(
    open_node: Any, how: str
) -> None:
    node = await open_node(**FROM_THE_STORE)
    listener, task = await _at_a_chunk(node)
    if how == "unsubscribe":
        node.hub.detach(listener, node.feed)
    elif how == "removed":
        node.control.cut("alice", GENERAL)
    elif how == "deleted":
        for connection in list(node.feed):
            node.hub.detach(connection, node.feed)
    else:
        node.hang_up(listener)
    sent = len(listener.given)
    listener.takes.set()
    await task
    await node.say()
    await node.quiet()
    assert len(listener.given) == sent
    assert listener.feeds == ()
    assert not node.feed.wanted
    assert node.counts.subscriptions == 0


async def test_a_client_that_does_not_take_the_replay_is_sent_no_more_of_it(
    open_node: Any,
) -> None:
    node = await open_node(**FROM_THE_STORE)
    listener, task = await _at_a_chunk(node)
    sent = len(listener.given)
    await node.say(20)
    await node.quiet()
    assert len(listener.given) == sent
    assert not task.done()
    listener.takes.set()
    await task
    await node.quiet()
    everything_after(listener, 0, 30)


async def test_a_client_that_goes_while_it_takes_the_replay_ends_it(open_node: Any) -> None:
    node = await open_node(**FROM_THE_STORE)
    listener, task = await _at_a_chunk(node)
    sent = len(listener.given)
    listener.is_open = False  # writable() says so; the hub hears of it next
    listener.takes.set()
    await task
    assert len(listener.given) == sent
    node.hang_up(listener)
    assert not node.feed.wanted


async def test_a_client_that_takes_a_replay_is_not_told_heads_it_was_not_given(
    open_node: Any,
) -> None:
    """It would take the heartbeat for a loss, and subscribe again in the middle."""
    node = await open_node(**FROM_THE_STORE)
    await node.crowd()
    listener, task = await _at_a_chunk(node)
    await node.quiet()
    heads = events_in(node.hub.heartbeat_frame(listener))[0]["heads"]
    assert heads.get("1", 0) <= listener.seqs[-1]
    listener.takes.set()
    await task
    await node.quiet()
    assert events_in(node.hub.heartbeat_frame(listener))[0]["heads"] == {"1": 10}


async def test_the_second_subscribe_replaces_the_first(open_node: Any) -> None:
    node = await open_node(**FROM_THE_STORE)
    await _large(node, 6)
    listener = node.connect()
    listener.takes.clear()
    first = asyncio.create_task(node.subscribe(listener, 0, "first"))
    await until(lambda: listener.waits)
    heard = len(listener.heard)
    second = asyncio.create_task(node.subscribe(listener, 4, "second"))
    await until(lambda: listener.said("subscribed")[-1]["ref"] == "second")
    listener.takes.set()
    await asyncio.gather(first, second)
    await node.say()
    await node.quiet()
    after = [event["seq"] for event in listener.heard[heard:] if "seq" in event]
    assert after == [5, 6, 7]
    assert node.counts.subscriptions == 1
    assert list(node.feed.subscribers) == [listener]
    assert not node.feed.replaying


async def test_two_subscribes_at_once_leave_one_subscription_and_both_are_answered(
    node: Node,
) -> None:
    await node.say(5)
    listener = node.connect()
    first, second = await asyncio.gather(
        node.subscribe(listener, 0, "first"),
        node.subscribe(listener, 2, "second"),
        return_exceptions=True,
    )
    assert isinstance(first, ConflictError)
    assert second is None
    assert [reply["ref"] for reply in listener.said("subscribed")] == ["second"]
    await node.say(2)
    await node.quiet()
    assert listener.seqs[-2:] == [6, 7]
    assert listener.seqs.count(6) == listener.seqs.count(7) == 1
    assert node.counts.subscriptions == 1


async def test_who_may_not_receive_gets_nothing_and_is_not_subscribed(node: Node) -> None:
    await node.say(3)
    node.refused["alice"] = ForbiddenError("No.")
    listener = node.connect()
    with pytest.raises(ForbiddenError):
        await node.subscribe(listener, 0)
    await node.say()
    assert listener.given == []
    assert listener.feeds == ()
    assert not node.feed.wanted


async def test_who_hangs_up_while_asking_is_not_subscribed(node: Node) -> None:
    listener = node.connect()
    task = asyncio.create_task(node.subscribe(listener, 0))
    await asyncio.sleep(0)
    node.hang_up(listener)
    await task
    await node.say()
    await node.quiet()
    assert listener.given == []
    assert not node.feed.wanted


async def test_a_replay_that_fails_leaves_no_subscription(open_node: Any) -> None:
    node = await open_node(**FROM_THE_STORE)
    await node.say(3)
    await node.crowd()
    await node.store.stop()
    listener = node.connect()
    with pytest.raises(UnavailableError):
        await node.subscribe(listener, 0)
    assert listener.given == []
    assert listener.feeds == ()
    assert list(node.feed) == list(node.feed.subscribers)
    assert node.feed.references == 0


async def test_a_channel_that_is_gone_cannot_be_replayed(open_node: Any) -> None:
    node = await open_node(**FROM_THE_STORE)
    await node.say(3)
    await node.crowd()
    await node.store.channels.delete(GENERAL, "", lambda *_: None)
    listener = node.connect()
    with pytest.raises(NotFoundError):
        await node.subscribe(listener, 0)
    assert listener.feeds == ()


async def test_from_memory_nothing_has_to_be_waited_for(node: Node) -> None:
    listener = node.connect()
    assert not node.subscriptions.subscribe_now(listener, GENERAL, None, None)
    await node.crowd()
    await node.say(3)
    assert node.subscriptions.subscribe_now(listener, GENERAL, 1, None)
    assert listener.seqs == [2, 3]
    assert len(listener.given) == 1, "one write for all of it"
    assert node.hub.feed(TOPIC) in listener.feeds


async def _restore(node: Node, head: int) -> None:
    """The log as an older backup has it, under a running node."""

    def shorten(tx: Transaction) -> None:
        tx.connection.execute(delete(messages).where(messages.c.seq > head))
        tx.connection.execute(update(channels).where(channels.c.id == GENERAL).values(head=head))

    await node.store._commits.write(shorten)


async def test_who_is_ahead_of_a_restored_backup_hears_nothing_of_the_lost_log(
    open_node: Any,
) -> None:
    node = await open_node()
    await node.crowd()
    await node.say(6)
    await node.quiet()
    await _restore(node, 2)
    listener = await node.listen(since=8)
    assert listener.said("subscribed") == [
        {"type": "subscribed", "channel_id": GENERAL, "head": 2, "ref": "r", "reset": True}
    ]
    assert listener.seqs == []
    await node.say(2)
    await node.quiet()
    assert listener.seqs == [3, 4]


async def test_a_feed_that_is_ahead_of_a_restored_backup_is_found_by_its_head(
    open_node: Any,
) -> None:
    node = await open_node()
    await node.crowd()
    await node.say(6)
    await node.quiet()
    await _restore(node, 2)
    await node.hub.compare_heads()
    assert node.feed.seq == 2
    listener = await node.listen()
    await node.say(3)
    await node.quiet()
    assert (listener.said("subscribed")[0]["head"], listener.seqs) == (2, [3, 4, 5])
    await node.hub.compare_heads(0)
    await node.quiet()
    assert listener.seqs == [3, 4, 5]


async def test_what_is_committed_while_the_store_is_asked_sets_no_feed_back(
    open_node: Any,
) -> None:
    node = await open_node()
    listener = await node.listen()
    await node.say(4)
    await node.quiet()
    node.hub.look_back(node.feed, 3, 3)  # asked at 3; 4 came meanwhile
    node.hub.look_back(node.feed, 9, 3)  # it was set back by another who asked
    assert node.feed.seq == 4
    await node.say(1)
    await node.quiet()
    assert listener.seqs == [1, 2, 3, 4, 5]
