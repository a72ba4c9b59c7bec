"""What a node is told for all its connections may be lost alone, while the channel's log arrives:
they travel on two topics. Nobody keeps a right because of it.
"""

from collections.abc import Awaitable, Callable

import pytest
from harness import Node

from storm_gateway.bus.base import BusEvent, ControlEvent


@pytest.fixture
async def node(start_node: Callable[..., Awaitable[Node]]) -> Node:
    """Its bus loses every control event; heads are never compared."""
    node = await start_node(repair_seconds=3_600)
    bus = node.gateway.bus
    publish = bus.publish

    def lose(topic: str, event: BusEvent) -> None:
        if not isinstance(event, ControlEvent):
            publish(topic, event)

    bus.publish = lose  # type: ignore[method-assign]
    return node


async def test_who_is_removed_is_cut_by_the_event_of_the_channel_itself(node: Node) -> None:
    channel = await node.channel("alice", "the room", "private", ("bob", "carol"))
    alice, bob, carol = [await node.join(name) for name in ("alice", "bob", "carol")]
    for peer in (bob, carol):
        await peer.subscribe(channel)
    await node.want("alice", "DELETE", f"/channels/{channel}/members/bob")
    await alice.say(channel, "not for bob")
    await carol.until("message", payload="not for bob")
    await bob.until("member.left", user_id="bob")
    await bob.ask("ping")
    assert "not for bob" not in str(bob.events)
    assert len([e for e in bob.events if e["type"] == "member.left"]) == 1


async def test_strangers_are_cut_from_a_channel_that_turns_private(node: Node) -> None:
    channel = await node.channel("alice", "the room", "public", ("carol",))
    alice, bob, carol = [await node.join(name) for name in ("alice", "bob", "carol")]
    for peer in (bob, carol):
        await peer.subscribe(channel)
    await node.want("alice", "PATCH", f"/channels/{channel}", json={"visibility": "private"})
    await carol.until("channel.updated", visibility="private")
    hub = node.gateway.hub
    (connection,) = hub.connections_of("bob")
    while connection.feeds:
        await bob.ask("ping")
    await alice.say(channel, "not for bob")
    await carol.until("message", payload="not for bob")
    await bob.ask("ping")
    assert "not for bob" not in str(bob.events)


async def test_a_channel_that_is_deleted_ends_for_its_subscribers(node: Node) -> None:
    channel = await node.channel("alice", "the room", "public", ())
    bob = await node.join("bob")
    await bob.subscribe(channel)
    await node.want("alice", "DELETE", f"/channels/{channel}")
    await bob.until("channel.deleted")
    await bob.ask("ping")
    (connection,) = node.gateway.hub.connections_of("bob")
    assert connection.feeds == ()
    assert len([e for e in bob.events if e["type"] == "channel.deleted"]) == 1


async def test_what_was_remembered_of_a_right_ends_where_a_subscription_begins_anew(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node commits a removal and dies before it tells anybody. Nobody listened to the
    channel here, so nothing is missing here and nothing is learned from the log.
    """
    channel = await node.channel("alice", "the room", "private", ("bob",))
    bob = await node.join("bob")
    await node.want("bob", "GET", f"/channels/{channel}/messages")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(node.gateway.store._commits, "_committed", lambda _: None)  # type: ignore[attr-defined]
        await node.want("alice", "DELETE", f"/channels/{channel}/members/bob")
    refusal = await bob.ask("subscribe", channel_id=channel)
    assert refusal["code"] == "not_found"
