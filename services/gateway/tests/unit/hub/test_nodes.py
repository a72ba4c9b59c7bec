"""Two nodes, each with its hub and its connection to NATS, and one store between them."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hub_harness import GENERAL, Listener, Node, until

from storm_gateway.bus.base import BusEvent, ChannelEvent
from storm_gateway.bus.nats import NatsBus
from storm_gateway.config import Config
from storm_gateway.errors import ForbiddenError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.stack.nats import NatsServer

Pair = tuple[Node, Node]
OpenPair = Callable[..., Awaitable[Pair]]


class DroppingBus(NatsBus):
    """Loses, as its dice say, what it is asked to publish to a channel."""

    def __init__(self, config: Config, name: str, dice: random.Random) -> None:
        super().__init__(config, name, Metrics())
        self._dice = dice
        self.loss = 0.0

    def publish(self, topic: str, event: BusEvent) -> None:
        if not isinstance(event, ChannelEvent) or self._dice.random() >= self.loss:
            super().publish(topic, event)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await asyncio.to_thread(server.start)
    yield server
    server.stop()


@pytest.fixture
async def open_pair(server: NatsServer, tmp_path: Path, new_data: Path) -> AsyncIterator[OpenPair]:
    """Starts two nodes; the first has the store, and either may publish what it commits."""
    nodes: list[Node] = []

    async def open_(dice: random.Random | None = None, **settings: Any) -> Pair:
        data = shutil.copytree(new_data, tmp_path / "data")
        config = Config(data_dir=data, nats_url=server.url)
        dice = dice or random.Random(1)
        first = Node(data, DroppingBus(config, "a.1", dice), nats_url=server.url, **settings)
        second = Node(
            data,
            DroppingBus(config, "b.1", dice),
            store=first.store,
            nats_url=server.url,
            **settings,
        )
        nodes.extend((second, first))
        for node in (first, second):
            node.bus.on_disruption(node.hub.repair_all)
            await node.start()
        return first, second

    yield open_
    for node in nodes:
        await node.stop()


async def test_a_message_of_one_node_is_heard_on_both(open_pair: OpenPair) -> None:
    pair = await open_pair()
    listeners = [await node.listen() for node in pair]
    await pair[0].say(100)
    for listener in listeners:
        await until(lambda listener=listener: len(listener.seqs) == 100)
        assert listener.seqs == list(range(1, 101))
    assert [node.counts.repaired for node in pair] == [0, 0]


async def test_what_two_nodes_publish_at_once_is_in_order_without_the_store(
    open_pair: OpenPair,
) -> None:
    """One node's events overtake the other's on the way; a moment later all are there."""
    first, second = await open_pair(reorder_milliseconds=2_000)
    listeners = [await node.listen() for node in (first, second)]
    await first.say(300, heard=False)
    events = first.harness.events_of(GENERAL)
    for odd in events[1::2]:
        second.publish(odd)
    await asyncio.sleep(0.05)
    for even in events[::2]:
        first.publish(even)
    for listener in listeners:
        await until(lambda listener=listener: len(listener.seqs) == 300)
        assert listener.seqs == list(range(1, 301))
    assert [node.counts.repaired for node in (first, second)] == [0, 0]


async def test_a_publisher_that_dies_between_commit_and_publish_is_made_up_for(
    open_pair: OpenPair,
) -> None:
    first, second = await open_pair()
    listener = await second.listen()
    await first.say(3, heard=False)
    await second.hub.compare_heads()
    await until(lambda: len(listener.seqs) == 3)
    assert listener.seqs == [1, 2, 3]


async def test_what_a_node_published_while_it_was_cut_off_is_found_by_the_other(
    open_pair: OpenPair, server: NatsServer
) -> None:
    first, second = await open_pair()
    listener = await second.listen()
    await asyncio.to_thread(server.kill)
    await until(lambda: not (first.bus.connected or second.bus.connected))
    await first.say(5)
    late = await second.listen("late", since=0)  # who comes meanwhile is served, too
    await second.hub.compare_heads()
    await until(lambda: len(listener.seqs) == len(late.seqs) == 5)
    await asyncio.to_thread(server.start)
    await until(lambda: first.bus.connected and second.bus.connected)
    await first.say()
    for heard in (listener, late):
        await until(lambda heard=heard: len(heard.seqs) == 6)
        assert heard.seqs == [1, 2, 3, 4, 5, 6]


async def test_after_a_reconnect_nothing_has_to_be_waited_for(
    open_pair: OpenPair, server: NatsServer
) -> None:
    first, second = await open_pair()
    listener = await second.listen()
    await asyncio.to_thread(server.kill)
    await until(lambda: not (first.bus.connected or second.bus.connected))
    await first.say(700)
    assert listener.seqs == []
    await asyncio.to_thread(server.start)
    await until(lambda: len(listener.seqs) == 700)
    assert listener.seqs == list(range(1, 701))


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_or_disordered_whatever_bus_and_server_do(
    open_pair: OpenPair, server: NatsServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("storm_gateway.hub.hub._IN_FLIGHT_SECONDS", 0)
    dice = random.Random(seed)
    pair = await open_pair(dice, recent_events=dice.choice([2, 256]))
    for node in pair:
        node.bus.loss = 0.2
    listeners: list[tuple[Listener, int]] = []
    total = 0
    for step in range(60):
        node = dice.choice(pair)
        what = dice.random()
        if what < 0.5:
            count = dice.randint(1, 20)
            total += count
            publisher = dice.choice(pair)
            pair[0].publish_by = publisher
            await pair[0].say(count)
        elif what < 0.7:
            since = dice.randint(0, total)
            listeners.append((await node.listen(f"u{step}", since=since), since))
        elif what < 0.8:
            await node.hub.compare_heads()
        elif what < 0.85 and server.running:
            await asyncio.to_thread(server.kill)
        elif what < 0.95 and not server.running:
            await asyncio.to_thread(server.start)
        else:
            await asyncio.sleep(0.02)
    if not server.running:
        await asyncio.to_thread(server.start)
    await until(lambda: all(node.bus.connected for node in pair))
    for node in pair:
        await node.hub.compare_heads()
    assert listeners
    for listener, since in listeners:
        missed = total - since
        await until(lambda listener=listener, missed=missed: len(listener.seqs) >= missed)
        assert listener.seqs == list(range(since + 1, total + 1)), f"since {since}"


# --- rights ---


async def test_a_removal_that_nobody_heard_of_cuts_when_it_is_repaired(open_pair: OpenPair) -> None:
    first, second = await open_pair()
    await first.harness.join(GENERAL, "alice")
    here, other = await second.listen("alice"), await second.listen("bob")
    first.publishing = False
    await first.store.channels.remove(GENERAL, "alice", "root", lambda *_: None, ban=True)
    await first.say(3)
    await second.hub.compare_heads()
    await until(lambda: len(other.said("message")) == 3)
    assert [event["user_id"] for event in here.said("member.left")] == ["alice"]
    assert here.said("message") == [], "nothing that came after the removal"
    assert here.feeds == ()


async def test_who_was_removed_and_came_back_since_goes_on_receiving(open_pair: OpenPair) -> None:
    first, second = await open_pair()
    await first.harness.join(GENERAL, "alice")
    here = await second.listen("alice")
    first.publishing = False
    await first.store.channels.leave(GENERAL, "alice")
    await first.harness.join(GENERAL, "alice")
    await first.say(1)
    await second.hub.compare_heads()
    await until(lambda: here.said("message"))
    assert len(here.feeds) == 1


async def test_a_channel_that_became_private_unheard_is_looked_at_again(
    open_pair: OpenPair,
) -> None:
    first, second = await open_pair()
    stranger = await second.listen("stranger")
    first.publishing = False
    await first.store.channels.update(GENERAL, "root", lambda *_: None, visibility="private")
    second.refused["stranger"] = ForbiddenError("Members only.")
    await second.hub.compare_heads()
    await until(lambda: stranger.feeds == ())


async def test_a_deletion_that_nobody_heard_of_is_told_by_the_comparison(
    open_pair: OpenPair,
) -> None:
    first, second = await open_pair()
    here = await second.listen("alice")
    await first.say(2)
    await until(lambda: len(here.seqs) == 2)
    first.publishing = False
    await first.store.channels.delete(GENERAL, "root", lambda *_: None)
    await second.hub.compare_heads()
    assert [event["seq"] for event in here.said("channel.deleted")] == [3]
    assert here.feeds == ()
    await second.hub.compare_heads()
    assert len(here.said("channel.deleted")) == 1


# --- leaving and coming back ---


async def test_a_topic_that_is_left_while_somebody_comes_is_heard(open_pair: OpenPair) -> None:
    first, second = await open_pair()
    for _ in range(20):
        listener = await second.listen()
        second.hang_up(listener)
        await second.hub.sweep(100)
        leaving = asyncio.create_task(second.hub.sweep(200))
        await asyncio.sleep(0)
        listener = await second.listen()
        await leaving
        await first.say()
        await until(lambda listener=listener: listener.seqs)
        second.hang_up(listener)
    assert second.counts.repaired == 0
