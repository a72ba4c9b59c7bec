"""What every implementation of the bus has to keep: see bus/base.py."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hub_harness import until

from storm_gateway.bus.base import (
    CONTROL,
    Bus,
    BusEvent,
    ChannelEvent,
    ControlEvent,
    StreamEvent,
    topic_of_channel,
)
from storm_gateway.bus.memory import MemoryBus
from storm_gateway.bus.nats import NatsBus
from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import MessageEvent, ReadEvent
from storm_gateway.protocol.events import StreamEvent as StreamBody
from storm_gateway.stack.nats import NatsServer

IMPLEMENTATIONS = ("memory", "nats")
TOPIC = topic_of_channel(1)
NOON = "2026-01-01T12:00:00.000Z"


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server for all tests: it keeps nothing, so they do not meet."""
    server = NatsServer(tmp_path_factory.mktemp("nats"), password="a secret/of @ours")
    server.start()
    yield f"nats://storm:{quote(server.password, safe='')}@{server.host}:{server.port}"
    server.stop()


@pytest.fixture(params=IMPLEMENTATIONS)
def make_bus(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Bus]:
    """Makes a bus of one implementation, not started."""
    if request.param == "memory":
        return MemoryBus
    config = Config(data_dir=tmp_path, nats_url=request.getfixturevalue("nats_url"))
    return lambda: NatsBus(config, "node.1", Metrics())


@pytest.fixture
async def bus(make_bus: Callable[[], Bus]) -> AsyncIterator[Bus]:
    bus = make_bus()
    await bus.start()
    yield bus
    await bus.stop()


def event(seq: int, channel_id: int = 1) -> ChannelEvent:
    message = MessageEvent(channel_id, "hello", "alice", seq, seq, NOON)
    return ChannelEvent(channel_id, seq, encode(message))


async def got(heard: list[Any], count: int) -> None:
    await until(lambda: len(heard) >= count)


async def settled(bus: Bus) -> None:
    """What was published before has arrived: a canary went the same way."""
    await bus.probe(5)


async def test_the_events_of_a_topic_come_in_order_and_whole(bus: Bus) -> None:
    heard: list[BusEvent] = []
    await bus.subscribe(TOPIC, heard.append)
    sent = [event(seq) for seq in range(1, 301)]
    for item in sent:
        bus.publish(TOPIC, item)
    await got(heard, 300)
    assert heard == sent


async def test_every_kind_of_event_arrives_as_it_was(bus: Bus) -> None:
    text = "\u00fc\u2028\x00\x1e\U0001f600"
    large = 2**53 - 1
    read = encode(ReadEvent(large, "alice", 7))
    sent: dict[str, list[BusEvent]] = {
        topic_of_channel(large): [
            ChannelEvent(
                large, large, encode(MessageEvent(large, text, "alice", large, large, NOON))
            ),
            ChannelEvent(large, 0, read),
            ChannelEvent(large, 0, read, 'al"ice \u00fc'),
        ],
        "storm.weather": [
            StreamEvent("storm.weather", encode(StreamBody("storm.weather", [1, text]))),
        ],
        CONTROL: [
            ControlEvent("session_revoked", "alice", 3, "s", 1_763_812_800.25, b"\x00{}\xff"),
            ControlEvent("access_changed"),
        ],
    }
    heard: dict[str, list[BusEvent]] = {topic: [] for topic in sent}
    for topic, found in heard.items():
        await bus.subscribe(topic, found.append)
        for item in sent[topic]:
            bus.publish(topic, item)
    for topic, found in heard.items():
        await got(found, len(sent[topic]))
    assert heard == sent


async def test_topics_are_apart(bus: Bus) -> None:
    heard: dict[int, list[Any]] = {number: [] for number in (1, 2, 11)}
    for number, found in heard.items():
        await bus.subscribe(topic_of_channel(number), found.append)
    for seq in range(1, 10):
        for number in heard:
            bus.publish(topic_of_channel(number), event(seq, number))
    for number, found in heard.items():
        await got(found, 9)
        assert found == [event(seq, number) for seq in range(1, 10)]


async def test_a_topic_has_one_handler_the_newest(bus: Bus) -> None:
    first: list[Any] = []
    second: list[Any] = []
    await bus.subscribe(TOPIC, first.append)
    await bus.subscribe(TOPIC, second.append)
    bus.publish(TOPIC, event(1))
    await got(second, 1)
    await settled(bus)
    assert (first, second) == ([], [event(1)])


async def test_after_unsubscribe_nothing_comes_and_again_after_subscribe(bus: Bus) -> None:
    heard: list[Any] = []
    await bus.subscribe(TOPIC, heard.append)
    await bus.unsubscribe(TOPIC)
    bus.publish(TOPIC, event(1))
    await settled(bus)
    assert heard == []
    await bus.subscribe(TOPIC, heard.append)
    bus.publish(TOPIC, event(2))
    await got(heard, 1)
    assert heard == [event(2)]


async def test_who_subscribes_while_the_topic_is_being_left_hears_it(bus: Bus) -> None:
    """A node leaves a topic in one task and opens it again in another."""
    heard: list[Any] = []
    await bus.subscribe(TOPIC, heard.append)
    await asyncio.gather(bus.unsubscribe(TOPIC), bus.subscribe(TOPIC, heard.append))
    bus.publish(TOPIC, event(1))
    await got(heard, 1)
    await settled(bus)
    assert heard == [event(1)]


async def test_leaving_an_unknown_topic_and_speaking_to_nobody_are_no_errors(bus: Bus) -> None:
    await bus.unsubscribe("channels.99")
    bus.publish("channels.99", event(1, 99))
    await settled(bus)
    heard: list[Any] = []
    await bus.subscribe("channels.99", heard.append)
    await settled(bus)
    assert heard == [], "the bus keeps nothing"


async def test_control_events_have_a_topic_of_their_own(bus: Bus) -> None:
    controls: list[Any] = []
    others: list[Any] = []
    await bus.subscribe(CONTROL, controls.append)
    await bus.subscribe(TOPIC, others.append)
    lost = ControlEvent("access_lost", "alice", 1)
    bus.publish(CONTROL, lost)
    bus.publish(TOPIC, event(1))
    await got(controls, 1)
    await got(others, 1)
    assert (controls, others) == ([lost], [event(1)])


async def test_a_handler_may_publish_and_change_subscriptions(bus: Bus) -> None:
    heard: list[Any] = []
    tasks = []

    def handler(item: BusEvent) -> None:
        heard.append(item)
        bus.publish("channels.2", event(7, 2))
        tasks.append(asyncio.create_task(bus.unsubscribe(TOPIC)))

    await bus.subscribe("channels.2", heard.append)
    await bus.subscribe(TOPIC, handler)
    bus.publish(TOPIC, event(1))
    await got(heard, 2)
    await asyncio.gather(*tasks)
    bus.publish(TOPIC, event(2))
    await settled(bus)
    assert heard == [event(1), event(7, 2)]


async def test_a_running_bus_answers_and_a_stopped_one_does_not(
    make_bus: Callable[[], Bus],
) -> None:
    bus = make_bus()
    assert not bus.connected
    with pytest.raises(UnavailableError):
        await bus.probe(1)
    await bus.start()
    assert bus.connected
    bus.on_disruption(lambda: pytest.fail("nothing was disrupted"))
    await bus.probe(5)
    await bus.stop()
    assert not bus.connected
    with pytest.raises(UnavailableError):
        await bus.probe(1)


async def test_a_stopped_bus_tells_nothing_more_and_can_be_spoken_to(
    make_bus: Callable[[], Bus],
) -> None:
    bus = make_bus()
    await bus.start()
    heard: list[Any] = []
    await bus.subscribe(TOPIC, heard.append)
    bus.publish(TOPIC, event(1))
    await got(heard, 1)
    await bus.stop()
    bus.publish(TOPIC, event(2))
    await asyncio.sleep(0)
    await bus.unsubscribe(TOPIC)
    assert heard == [event(1)]


async def test_probes_do_not_reach_the_handlers(bus: Bus) -> None:
    heard: list[Any] = []
    for topic in (TOPIC, CONTROL):
        await bus.subscribe(topic, heard.append)
    await asyncio.gather(*(bus.probe(5) for _ in range(10)))
    assert heard == []
