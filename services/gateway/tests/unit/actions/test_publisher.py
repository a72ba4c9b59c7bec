"""What is published, to whom, and in which order."""

import pytest
from actions_node import Node

from storm_gateway.bus.base import CONTROL, BusEvent, ChannelEvent, ControlEvent
from storm_gateway.protocol.events import (
    ChannelDeleted,
    ChannelUpdated,
    Durable,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    MessageEdited,
    MessageEvent,
    TypingEvent,
)
from storm_gateway.store.records import Committed

AT = "2026-11-05T12:30:00.125Z"


@pytest.fixture
async def told(node: Node) -> list[BusEvent]:
    """Everything on channel 1 and the control topic, in the order of publishing."""
    told: list[BusEvent] = []
    await node.bus.subscribe("channels.1", told.append)
    await node.bus.subscribe(CONTROL, told.append)
    return told


async def test_a_message_is_encoded_once_and_published_with_its_seq(
    node: Node, told: list[BusEvent]
) -> None:
    node.actions.publisher.committed(
        Committed(
            [MessageEvent(1, "hi", "alice", 7, 3, AT), MessageEvent(1, "ho", "bob", 8, 4, AT)]
        )
    )
    assert [(type(event), getattr(event, "seq", 0)) for event in told] == [
        (ChannelEvent, 3),
        (ChannelEvent, 4),
    ]
    first = told[0]
    assert isinstance(first, ChannelEvent)
    assert first.body.startswith(b'{"type":"message","channel_id":1,"payload":"hi"')
    assert first.audience is None


@pytest.mark.parametrize(
    ("event", "control", "has_body"),
    [
        (
            MemberJoined(1, 5, "bob", "member", AT),
            ControlEvent("access_changed", user_id="bob", channel_id=1),
            False,
        ),
        (
            MemberJoined(1, 5, "bob", "member", AT, by="alice"),
            ControlEvent("access_changed", user_id="bob", channel_id=1),
            True,
        ),
        (
            MemberUpdated(1, 5, "bob", "moderator", "alice", AT),
            ControlEvent("access_changed", user_id="bob", channel_id=1),
            False,
        ),
        (
            MemberLeft(1, 5, "bob", "left", AT),
            ControlEvent("access_lost", user_id="bob", channel_id=1),
            True,
        ),
        (
            MemberLeft(1, 5, "bob", "banned", AT, by="alice"),
            ControlEvent("access_lost", user_id="bob", channel_id=1),
            True,
        ),
        (
            ChannelUpdated(1, 5, "x", "", "private", "alice", AT),
            ControlEvent("access_changed", channel_id=1),
            False,
        ),
        (
            ChannelDeleted(1, 5, "alice", AT),
            ControlEvent("channel_deleted", channel_id=1),
            True,
        ),
    ],
)
async def test_rights_change_before_the_event_that_tells_of_it(
    node: Node, told: list[BusEvent], event: Durable, control: ControlEvent, has_body: bool
) -> None:
    node.actions.publisher.committed(Committed([event]))
    first, second = told
    assert isinstance(first, ControlEvent)
    assert isinstance(second, ChannelEvent)
    assert (first.kind, first.user_id, first.channel_id) == (
        control.kind,
        control.user_id,
        control.channel_id,
    )
    assert first.body == (second.body if has_body else b"")


async def test_what_changes_no_right_is_only_published(node: Node, told: list[BusEvent]) -> None:
    node.actions.publisher.committed(Committed([MessageEdited(1, 5, 7, 3, "alice", "better", AT)]))
    assert [type(event) for event in told] == [ChannelEvent]


async def test_this_node_forgets_a_right_even_when_the_bus_is_away(node: Node) -> None:
    await node.actions.access.load("bob", 1)
    await node.bus.unsubscribe(CONTROL)
    node.actions.publisher.committed(Committed([MemberLeft(1, 5, "bob", "removed", AT, "alice")]))
    assert node.actions.access.get("bob", 1) is None


async def test_an_ephemeral_event_has_no_seq(node: Node, told: list[BusEvent]) -> None:
    node.actions.publisher.ephemeral(TypingEvent(1, "alice", 6_000), "bob")
    [event] = told
    assert isinstance(event, ChannelEvent)
    assert (event.seq, event.audience) == (0, "bob")


async def test_the_time_of_each_publication_is_observed(node: Node) -> None:
    node.actions.publisher.ephemeral(TypingEvent(1, "alice", 6_000))
    value = node.metrics.registry.get_sample_value("storm_nats_publish_duration_seconds_count")
    assert value == 1


async def test_messages_of_one_channel_are_published_in_the_order_of_their_seqs(
    node: Node,
) -> None:
    import asyncio

    await node.make("alice")
    await node.listen(1)
    posts = [node.actions.messages.post("alice", 1, f"m{n}") for n in range(100)]
    appended = await asyncio.gather(*posts)
    seqs = [event.seq for event in node.channel_events()]
    assert seqs == sorted(seqs) == list(range(1, 101))
    assert sorted(each.event.seq for each in appended) == seqs
