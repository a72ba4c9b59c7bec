"""Coming back: everything that was missed, in order, once, then what happens live."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest
from harness import Event, Node, Peer, all_of, frame, token

from storm_gateway.connections.connection import Connection
from storm_gateway.store.records import Access

Start = Callable[..., Awaitable[Node]]


class Reader:
    """A client that drops at random moments and comes back with the last seq of each channel."""

    def __init__(self, node: Node, user_id: str, channels: list[int], seed: int) -> None:
        self.node = node
        self.user_id = user_id
        self.channels = channels
        self.random = random.Random(seed)
        self.last = dict.fromkeys(channels, 0)
        self.seen: dict[int, list[tuple[int, str]]] = {channel: [] for channel in channels}
        self.returns = 0

    async def follow(self, upto: dict[int, int], senders: asyncio.Future[None]) -> None:
        """Read until everything is there."""
        while True:
            patience = self.random.randint(1, 120)
            peer = await self.node.open(headers={"Authorization": f"Bearer {token(self.user_id)}"})
            for channel in self.channels:
                peer.send("subscribe", channel_id=channel, since=self.last[channel])
            while patience or senders.done():
                event = await peer.next()
                assert event.get("gap") is None
                assert event["type"] != "error", event
                if "seq" in event and event["type"] != "ack":
                    self._take(event["channel_id"], event["seq"], event.get("payload", ""))
                    patience = max(0, patience - 1)
                if senders.done() and self.last == upto:
                    await peer.drop()
                    return
            self.returns += 1
            await peer.drop()

    def _take(self, channel: int, seq: int, payload: str) -> None:
        assert seq == self.last[channel] + 1, f"{self.user_id} got {seq} after {self.last[channel]}"
        self.last[channel] = seq
        self.seen[channel].append((seq, payload))


async def test_clients_that_drop_at_random_get_every_message_once_and_in_order(
    start_node: Start,
) -> None:
    node = await start_node(replay_events=10_000, recent_events=16)
    channels = [await node.channel("owner", f"busy {n}") for n in range(4)]
    upto: dict[int, int] = {}
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    readers = [Reader(node, f"reader{n}", channels, seed=n) for n in range(20)]

    async def send(number: int) -> None:
        peer = await node.join(f"sender{number}")
        for count in range(60):
            channel = channels[(number + count) % len(channels)]
            ack = await peer.say(channel, f"{number}-{count}")
            upto[channel] = max(upto.get(channel, 0), ack["seq"])

    async def send_all() -> None:
        await all_of(*(send(number) for number in range(10)))
        done.set_result(None)

    async with asyncio.timeout(60):
        await all_of(send_all(), *(reader.follow(upto, done) for reader in readers))
    expected = {
        channel: [(m["seq"], m["payload"]) for m in await node.history("owner", channel)]
        for channel in channels
    }
    assert sum(map(len, expected.values())) == 600
    for reader in readers:
        for channel in channels:
            messages = [(seq, text) for seq, text in reader.seen[channel] if text]
            assert messages == expected[channel]
    assert sum(reader.returns for reader in readers) >= 20


async def test_more_than_the_replay_bound_is_a_gap_that_history_fills_exactly(
    start_node: Start,
) -> None:
    node = await start_node(replay_events=50)
    alice = await node.join("alice", "/ws?channel_id=1")
    for number in range(120):
        last = await alice.say(1, f"{number}")
    first = (await node.history("alice", 1))[0]["seq"]
    bob = await node.join("bob")
    reply = await bob.subscribe(1, since=first + 9)
    assert reply["head"] == last["seq"]
    assert reply["gap"] == {"from": first + 10, "to": last["seq"] - 50}
    live = await alice.say(1, "live")
    replayed: list[Event] = []
    while not replayed or replayed[-1]["seq"] < live["seq"]:
        replayed.append(await bob.until("message"))
    filled = (
        await node.want(
            "bob",
            "GET",
            "/channels/1/messages",
            params={"limit": 200, "after": first + 9, "before": reply["gap"]["to"] + 1},
        )
    )[::-1]
    assert [m["seq"] for m in filled] == list(range(first + 10, last["seq"] - 49))
    assert [m["seq"] for m in replayed] == list(range(last["seq"] - 49, live["seq"] + 1))
    texts = [m["payload"] for m in [*filled, *replayed]]
    assert texts == [str(number) for number in range(10, 120)] + ["live"]


async def test_since_of_now_or_of_the_future_replays_nothing(node: Node) -> None:
    alice = await node.join("alice", "/ws?channel_id=1")
    last = await alice.say(1, "old")
    for since in (last["seq"], last["seq"] + 1000):
        peer = await node.join("bob")
        reply = await peer.subscribe(1, since=since)
        assert reply["head"] == last["seq"]
        assert reply.get("gap") is None
        last = await alice.say(1, "new")
        assert (await peer.until("message"))["seq"] == last["seq"]


async def test_subscribing_again_replays_again_and_delivers_once(node: Node) -> None:
    alice = await node.join("alice", "/ws?channel_id=1")
    old = await alice.say(1, "old")
    bob = await node.join("bob")
    for _ in range(3):
        await bob.subscribe(1, since=old["seq"] - 1)
    await bob.until("message", payload="old")
    new = await alice.say(1, "new")
    await bob.until("message", payload="new")
    fence = await alice.say(1, "fence")
    await bob.until("message", payload="fence")
    seqs = [event["seq"] for event in bob.of("message")]
    assert seqs == [old["seq"]] * 3 + [new["seq"], fence["seq"]]


async def test_one_s_own_replay_of_large_messages_never_fills_the_outbox(start_node: Start) -> None:
    node = await start_node(
        outbox_ephemeral_bytes=64 * 1024, outbox_close_bytes=256 * 1024, recent_events=0
    )
    alice = await node.join("alice")
    text = "x" * 4000
    first = await alice.say(1, text)
    for _ in range(798):
        alice.send("message", channel_id=1, payload=text)
    head = (await alice.say(1, text))["seq"]
    # Three megabytes for a client that reads nothing for a while, and whose kernel takes little.
    slow = await node.open(
        headers={"Authorization": f"Bearer {token('bob')}"}, receive_buffer=8 * 1024
    )
    slow.send("subscribe", channel_id=1, since=first["seq"] - 1, ref="resume")
    await node.metric_becomes("storm_subscriptions", lambda value: value == 1)
    live = await alice.say(1, "live")
    (connection,) = node.gateway.hub.connections_of("bob")
    assert isinstance(connection, Connection)
    assert connection.transport.get_write_buffer_size() < 256 * 1024
    while True:
        event = await slow.until("message")
        if event["seq"] == live["seq"]:
            break
    seqs = [event["seq"] for event in slow.of("message")]
    assert seqs == list(range(first["seq"], live["seq"] + 1))
    assert live["seq"] == head + 1
    assert await node.metric("storm_slow_consumers_closed_total") == 0


async def test_a_return_after_the_node_restarted_loses_nothing(start_node: Start) -> None:
    first = await start_node()
    bob = await first.join("bob", "/ws?channel_id=1")
    alice = await first.join("alice", "/ws?channel_id=1")
    seen = await alice.say(1, "before")
    await bob.until("message", payload="before")
    first.end()
    for peer in (alice, bob):
        assert (await peer.closed()).code == 1012
    await first.stop()
    second = await start_node(data_dir=first.config.data_dir)
    missed = await (await second.join("carol", "/ws?channel_id=1")).say(1, "meanwhile")
    again = await second.join("bob")
    await again.subscribe(1, since=seen["seq"])
    assert (await again.until("message"))["payload"] == "meanwhile"
    durable = [event["seq"] for event in again.events if "seq" in event]
    assert durable == list(range(seen["seq"] + 1, missed["seq"] + 1))


async def test_what_was_edited_or_deleted_meanwhile_is_replayed_as_it_is_now(node: Node) -> None:
    alice = await node.join("alice", "/ws?channel_id=1")
    edited = await alice.say(1, "draft")
    deleted = await alice.say(1, "a secret said by mistake")
    await alice.ask("edit", channel_id=1, message_id=edited["id"], payload="final")
    end = await alice.ask("delete", channel_id=1, message_id=deleted["id"])
    bob = await node.join("bob")
    await bob.subscribe(1, since=edited["seq"] - 1)
    await bob.until("message.deleted", seq=end["seq"])
    first, second = bob.of("message")
    assert (first["payload"], bool(first["edited_at"])) == ("final", True)
    assert (second["payload"], second["deleted"]) == ("", True)
    assert "mistake" not in str(bob.events)


async def test_a_dropped_client_is_found_out_and_does_not_hold_others(node: Node) -> None:
    peers: list[Peer] = await all_of(
        *(node.join(f"user{n}", "/ws?channel_id=1") for n in range(10))
    )
    for peer in peers[1:]:
        await peer.drop()
    await peers[0].say(1, "who is left?")
    await peers[0].until("message", payload="who is left?")
    await node.metric_becomes("storm_active_websockets", lambda value: value == 1)


async def test_subscriptions_said_at_once_ask_for_their_rights_together(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = [await node.channel("owner", f"one of several {n}") for n in range(5)]
    await node.know("alice")
    watcher = await node.join("owner")
    for channel in channels:  # the node has their feeds: only alice's rights are to be asked
        await watcher.subscribe(channel)
    asked: list[list[tuple[int, str]]] = []
    store = node.gateway.store.channels
    access = store.access

    async def noting(pairs: Sequence[tuple[int, str]]) -> list[Access | None]:
        asked.append([pair for pair in pairs if pair[1] == "alice"])
        return await access(pairs)

    monkeypatch.setattr(store, "access", noting)
    peer = await node.open(headers={"Authorization": f"Bearer {token('alice')}"})
    lines = [{"type": "subscribe", "channel_id": channel, "since": 0} for channel in channels]
    peer.write(b"".join(frame(1, json.dumps(line).encode()) for line in lines))
    for channel in channels:
        assert (await peer.until("subscribed", channel_id=channel))["head"] >= 0
    assert len([query for query in asked if query]) <= 2
    assert sorted(pair for query in asked for pair in query) == [(n, "alice") for n in channels]
