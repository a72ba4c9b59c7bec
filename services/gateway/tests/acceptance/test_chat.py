"""Unread counts, read cursors, presence and typing."""

from collections.abc import Awaitable, Callable
from typing import Any

from harness import Event, Node, Peer, all_of

Start = Callable[..., Awaitable[Node]]


async def _view(node: Node, user_id: str, channel: int) -> tuple[int, int]:
    """(read_seq, unread) as a user sees the channel."""
    found = await node.want(user_id, "GET", f"/channels/{channel}")
    (listed,) = [c for c in await node.want(user_id, "GET", "/channels") if c["id"] == channel]
    assert (listed["read_seq"], listed["unread"]) == (found["read_seq"], found["unread"])
    return found["read_seq"], found["unread"]


async def test_unread_are_the_messages_of_others_that_are_not_deleted(node: Node) -> None:
    channel = await node.channel("alice", "news", members=["bob"])
    alice, bob = await node.join("alice"), await node.join("bob")
    start, unread = await _view(node, "bob", channel)
    assert unread == 0
    acks = [await alice.say(channel, f"{n}") for n in range(5)]
    await bob.say(channel, "my own does not count")
    assert (await _view(node, "bob", channel))[1] == 5
    await alice.ask("delete", channel_id=channel, message_id=acks[0]["id"])
    await alice.ask("edit", channel_id=channel, message_id=acks[1]["id"], payload="edited")
    await alice.ask("react", channel_id=channel, message_id=acks[1]["id"], emoji="x")
    assert (await _view(node, "bob", channel))[1] == 4
    assert (await _view(node, "alice", channel))[1] == 1
    reply = await bob.ask("read", channel_id=channel, seq=acks[2]["seq"])
    assert reply["seq"] == acks[2]["seq"]
    assert await _view(node, "bob", channel) == (acks[2]["seq"], 2)
    assert start < acks[2]["seq"]


async def test_a_read_cursor_moves_forward_only_and_never_beyond_the_head(node: Node) -> None:
    channel = await node.channel("alice", "news", members=["bob"])
    alice, bob = await node.join("alice"), await node.join("bob")
    await alice.subscribe(channel)
    acks = [await alice.say(channel, f"{n}") for n in range(3)]
    head = acks[-1]["seq"]
    for seq, reached in ((acks[1]["seq"], acks[1]["seq"]), (1, acks[1]["seq"]), (2**53 - 1, head)):
        assert (await bob.ask("read", channel_id=channel, seq=seq))["seq"] == reached
        assert (await alice.until("read"))["seq"] == reached
    assert (await _view(node, "bob", channel)) == (head, 0)


async def test_reading_by_rest_moves_the_same_cursor_and_is_told(node: Node) -> None:
    channel = await node.channel("alice", "news", members=["bob"])
    alice = await node.join("alice")
    await alice.subscribe(channel)
    ack = await alice.say(channel, "read me")
    answer = await node.call(
        "bob",
        "POST",
        f"/channels/{channel}/messages/{ack['id']}/read",
        json={"recipient_user_id": "somebody"},
    )
    assert (answer.status_code, answer.content) == (204, b"")
    read = await alice.until("read")
    assert read == {"type": "read", "channel_id": channel, "user_id": "bob", "seq": ack["seq"]}
    assert await _view(node, "bob", channel) == (ack["seq"], 0)


async def test_in_a_crowd_reads_are_told_to_the_reader_alone(start_node: Start) -> None:
    node = await start_node(named_members=3)
    channel = await node.channel("alice", "crowd", members=["bob", "carol", "dave", "erin"])
    alice, bob, other_device = [await node.join(name) for name in ("alice", "bob", "bob")]
    for peer in (alice, bob, other_device):
        await peer.subscribe(channel)
    ack = await alice.say(channel, "hello")
    await bob.ask("read", channel_id=channel, seq=ack["seq"])
    assert (await other_device.until("read"))["seq"] == ack["seq"]
    fence = await bob.say(channel, "fence")
    await alice.until("message", seq=fence["seq"])
    assert not alice.of("read")


# --- presence ---


def _online(event: Event) -> Any:
    return event["online"]


async def test_presence_names_who_is_there_and_tells_who_comes_and_goes(node: Node) -> None:
    channel = await node.channel("alice", "room")
    alice = await node.join("alice")
    await alice.subscribe(channel)
    assert (await alice.until("presence"))["users"] == ["alice"]
    bob = await node.join("bob")
    await bob.subscribe(channel)
    assert (await bob.until("presence"))["users"] == ["alice", "bob"]
    came = await alice.until("presence", where=lambda e: "bob" in (e.get("joined") or ()))
    assert came["online"] == 2
    shown = await node.want("alice", "GET", f"/channels/{channel}/presence")
    assert shown == {"online": 2, "users": ["alice", "bob"]}
    await bob.drop()
    left = await alice.until("presence", where=lambda e: "bob" in (e.get("left") or ()))
    assert left["online"] == 1


async def test_many_tabs_are_one_online_user(node: Node) -> None:
    channel = await node.channel("alice", "room")
    alice = await node.join("alice")
    await alice.subscribe(channel)
    tabs: list[Peer] = [await node.join("bob") for _ in range(4)]
    for tab in tabs:
        await tab.subscribe(channel)
    await alice.until("presence", where=lambda e: "bob" in (e.get("joined") or ()))
    for tab in tabs[1:]:
        await tab.drop()
    carol = await node.join("carol")
    await carol.subscribe(channel)
    came = await alice.until("presence", where=lambda e: "carol" in (e.get("joined") or ()))
    assert came["online"] == 3
    await tabs[0].drop()
    await alice.until("presence", where=lambda e: "bob" in (e.get("left") or ()))
    named = [
        name
        for event in alice.of("presence", channel)
        for key in ("joined", "left")
        for name in event.get(key) or ()
        if name == "bob"
    ]
    assert named == ["bob", "bob"]  # came once, went once


async def test_a_return_within_the_grace_is_not_seen(start_node: Start) -> None:
    node = await start_node(presence_grace_seconds=5)
    channel = await node.channel("alice", "room")
    alice = await node.join("alice")
    await alice.subscribe(channel)
    bob = await node.join("bob")
    await bob.subscribe(channel)
    await alice.until("presence", where=lambda e: "bob" in (e.get("joined") or ()))
    for _ in range(3):
        await bob.drop()
        await node.metric_becomes("storm_active_websockets", lambda value: value == 1)
        bob = await node.join("bob")
        await bob.subscribe(channel)
    # Somebody else is told of, so bob would have been, too.
    carol = await node.join("carol")
    await carol.subscribe(channel)
    await alice.until("presence", where=lambda e: "carol" in (e.get("joined") or ()))
    assert not [e for e in alice.of("presence") if "bob" in (e.get("left") or ())]
    assert len([e for e in alice.of("presence") if "bob" in (e.get("joined") or ())]) == 1


async def test_above_the_bound_presence_is_a_count(start_node: Start) -> None:
    node = await start_node(named_members=3)
    channel = await node.channel("alice", "crowd")
    peers = [await node.join(f"user{n}") for n in range(5)]
    for peer in peers:
        await peer.subscribe(channel)
    crowded = await peers[0].until("presence", online=5)
    assert not any(crowded.get(key) for key in ("users", "joined", "left"))
    last = await peers[4].until("presence")
    assert (last["online"], last.get("users")) == (5, None)
    shown = await node.want("alice", "GET", f"/channels/{channel}/presence")
    assert shown == {"online": 5, "users": None}
    assert (await node.want("user0", "GET", "/channels/1/presence"))["online"] == 0


async def test_presence_is_told_at_most_once_an_interval(start_node: Start) -> None:
    node = await start_node(presence_interval_seconds=1)
    channel = await node.channel("alice", "room")
    alice = await node.join("alice")
    await alice.subscribe(channel)
    peers = await all_of(*(node.join(f"user{n}") for n in range(40)))
    await all_of(*(peer.subscribe(channel) for peer in peers))
    await alice.until("presence", online=41)
    # The list after the subscribe, alice herself, and one or two moments for the forty.
    assert len(alice.of("presence")) <= 5


# --- typing ---


async def test_typing_is_told_at_most_every_few_seconds_and_is_not_kept(start_node: Start) -> None:
    node = await start_node(typing_seconds=1)
    channel = await node.channel("alice", "room", members=["bob"])
    alice, bob = await node.join("alice"), await node.join("bob")
    await alice.subscribe(channel)
    head = (await bob.subscribe(channel))["head"]
    for _ in range(10):
        assert (await bob.ask("typing", channel_id=channel))["type"] == "ack"
    typing = await alice.until("typing")
    assert typing == {
        "type": "typing",
        "channel_id": channel,
        "user_id": "bob",
        "expires_in_ms": 6000,
    }
    await bob.say(channel, "done")
    await alice.until("message")
    # On a slow machine the ten may take longer than the pause between two.
    assert 1 <= len(alice.of("typing")) <= 3
    carol = await node.join("carol")
    await carol.subscribe(channel, since=head)
    await carol.until("message", payload="done")
    assert not carol.of("typing")
    while len(alice.of("typing")) < 4:
        await bob.ask("typing", channel_id=channel)
        await alice.ask("ping")


async def test_joins_and_leaves_of_a_crowded_public_channel_are_counted_but_not_told(
    start_node: Start,
) -> None:
    node = await start_node(named_members=3)
    alice = await node.join("alice", "/ws?channel_id=1")
    for number in range(6):
        await node.join(f"user{number}", "/ws?channel_id=1")
    ack = await alice.say(1, "fence")
    await alice.until("message")
    joined = alice.of("member.joined")
    assert len(joined) <= 4
    assert ack["seq"] <= 5
    assert (await node.want("alice", "GET", "/channels/1"))["member_count"] == 7
    # A removal is told always: it takes something away.
    await node.want("user5", "POST", "/channels/1/leave")
    assert (await node.want("alice", "GET", "/channels/1"))["member_count"] == 6
