"""What every implementation of the bus has to keep: see bus/base.py."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

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
from storm_gateway.errors import UnavailableError

MAKERS: dict[str, Callable[[], Bus]] = {"memory": MemoryBus}
TOPIC = topic_of_channel(1)


@pytest.fixture(params=MAKERS)
def make_bus(request: pytest.FixtureRequest) -> Callable[[], Bus]:
    """Makes a bus of one implementation, not started."""
    return MAKERS[request.param]


@pytest.fixture
async def bus(make_bus: Callable[[], Bus]) -> AsyncIterator[Bus]:
    bus = make_bus()
    await bus.start()
    yield bus
    await bus.stop()


def event(seq: int, channel_id: int = 1) -> ChannelEvent:
    return ChannelEvent(channel_id, seq, b'{"seq":%d}' % seq)


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
    sent: list[BusEvent] = [
        ChannelEvent(2**53, 2**40, b'{"payload":"\xc3\xbc\x00"}'),
        ChannelEvent(1, 0, b"{}", "alice"),
        StreamEvent("storm.weather", b"[1, 2]"),
        ControlEvent("session_revoked", "alice", 3, "s", 1_763_812_800.25, b"{}"),
        ControlEvent("access_changed"),
    ]
    heard: list[BusEvent] = []
    await bus.subscribe("storm.weather", heard.append)
    for item in sent:
        bus.publish("storm.weather", item)
    await got(heard, len(sent))
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
