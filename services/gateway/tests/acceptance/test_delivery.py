"""The way of a message, from one client's frame to everybody's."""

import json
from collections.abc import Awaitable, Callable

import websockets.asyncio.client
from harness import Event, Node, Peer, all_of, token


async def test_a_message_reaches_everybody_in_the_channel_and_is_acknowledged(node: Node) -> None:
    alice, bob, carol = await all_of(
        *(node.join(name, "/ws?channel_id=1") for name in ("alice", "bob", "carol"))
    )
    ack = await alice.say(1, "Hello world")
    for peer in (alice, bob, carol):
        message = await peer.until("message")
        assert message == {
            "type": "message",
            "channel_id": 1,
            "payload": "Hello world",
            "user_id": "alice",
            "id": ack["id"],
            "seq": ack["seq"],
            "sent_at": message["sent_at"],
        }
        assert message["sent_at"].endswith("Z")
    (stored,) = await node.history("bob", 1)
    assert (stored["id"], stored["seq"], stored["payload"]) == (
        ack["id"],
        ack["seq"],
        "Hello world",
    )
    assert stored["subject"] == "channels.1"
    assert stored["created_at"] == message["sent_at"]


async def test_the_first_event_says_who_one_is_and_what_the_bounds_are(node: Node) -> None:
    peer = await node.join("alice", "/ws?channel_id=1")
    hello, subscribed = peer.events[0], peer.of("subscribed")[0]
    assert hello["type"] == "hello"
    assert hello["user_id"] == "alice"
    assert hello["connection_id"].startswith(hello["node"])
    assert hello["keepalive"] == {"ping_seconds": 30, "dead_seconds": 90, "heartbeat_seconds": 30}
    assert hello["limits"]["payload_characters"] == 4000
    assert hello["limits"]["frame_bytes"] == 65_536
    assert 500 < hello["token_expires_in"] <= 600
    assert subscribed["channel_id"] == 1
    # Whoever connects with a channel becomes a member, and that is an event with a seq.
    assert subscribed["head"] == 1


async def test_an_ordinary_client_library_connects_sends_and_receives(node: Node) -> None:
    def connect(user_id: str) -> websockets.asyncio.client.connect:
        return websockets.asyncio.client.connect(
            f"ws://127.0.0.1:{node.port}/ws?channel_id=1",
            additional_headers={"Authorization": f"Bearer {token(user_id)}"},
            subprotocols=[websockets.Subprotocol("storm.v1")],
            proxy=None,
        )

    async def until(socket: websockets.asyncio.client.ClientConnection, type_: str) -> Event:
        while True:
            event: Event = json.loads(await socket.recv())
            if event["type"] == type_:
                return event

    async with connect("alice") as alice, connect("bob") as bob:
        assert alice.subprotocol == "storm.v1"
        assert (await until(alice, "hello"))["user_id"] == "alice"
        await until(alice, "subscribed")
        await until(bob, "subscribed")
        await alice.send(
            json.dumps({"type": "message", "channel_id": 1, "payload": "Hé ☕", "user_id": "alice"})
        )
        assert (await until(bob, "message"))["payload"] == "Hé ☕"
        await (await bob.ping())
        await alice.close()
        assert alice.close_code == 1000


async def test_a_connection_without_a_channel_receives_nothing_until_it_subscribes(
    node: Node,
) -> None:
    alice = await node.join("alice", "/ws?channel_id=1")
    bob = await node.join("bob", "/ws")
    await alice.say(1, "too early for bob")
    subscribed = await bob.subscribe(1)
    await alice.say(1, "for both")
    assert (await bob.until("message"))["payload"] == "for both"
    assert [event["payload"] for event in bob.of("message")] == ["for both"]
    assert subscribed["head"] == (await alice.until("message"))["seq"]


async def test_a_published_event_reaches_the_listeners_of_its_subject_and_no_others(
    node: Node,
) -> None:
    listener = await node.join("alice", "/ws?subject=storm.events")
    other = await node.join("bob", "/ws?subject=storm.other")
    talker = await node.join("carol", "/ws?channel_id=1")
    # A listener is not told that it listens; publishing until it hears is its way to know.
    await _hears(node, listener, "storm.events")
    await _hears(node, other, "storm.other")
    answer = await node.call(
        "carol", "POST", "/publish?subject=storm.events", json={"price": 12345678901234567890}
    )
    assert (answer.status_code, answer.text) == (202, "published")
    answer = await node.call("carol", "POST", "/publish", content="plain text, default subject")
    assert answer.status_code == 202
    await node.call("carol", "POST", "/publish?subject=storm.other", content="fence")
    event = await listener.until("event", where=lambda e: isinstance(e["payload"], dict))
    assert event == {
        "type": "event",
        "subject": "storm.events",
        "payload": {"price": 12345678901234567890},
    }
    await listener.until("event", payload="plain text, default subject")
    await other.until("event", payload="fence")
    assert {event["subject"] for event in other.of("event")} == {"storm.other"}
    await talker.say(1, "fence")
    await talker.until("message")
    assert not talker.of("event")


async def _hears(node: Node, peer: Peer, subject: str) -> None:
    for _ in range(100):
        await node.call("carol", "POST", f"/publish?subject={subject}", content="are you there?")
        try:
            await peer.until("event", payload="are you there?", timeout=0.1)
        except AssertionError:
            continue
        return
    raise AssertionError(f"nothing is heard on {subject}")


async def test_one_connection_carries_many_channels(node: Node) -> None:
    channels = [await node.channel("alice", f"room {n}") for n in range(10)]
    bob = await node.join("bob")
    for channel in channels:
        await bob.subscribe(channel)
    alice = await node.join("alice")
    for channel in channels:
        await alice.say(channel, f"in {channel}")
    for channel in channels:
        message = await bob.until("message", channel_id=channel)
        assert message["payload"] == f"in {channel}"
    assert (await bob.ask("unsubscribe", channel_id=channels[0]))["type"] == "ack"
    await alice.say(channels[0], "not for bob")
    await alice.say(channels[1], "for bob")
    await bob.until("message", payload="for bob")
    assert "not for bob" not in [event["payload"] for event in bob.of("message")]


async def test_whoever_disconnects_is_gone_and_others_go_on(node: Node) -> None:
    alice, bob, carol = await all_of(
        *(node.join(name, "/ws?channel_id=1") for name in ("alice", "bob", "carol"))
    )
    assert await bob.goodbye() == 1000
    await carol.drop()
    await node.metric_becomes("storm_active_websockets", lambda value: value == 1)
    await alice.say(1, "anybody here?")
    await alice.until("message", payload="anybody here?")
    assert await node.metric("storm_subscriptions") == 1


async def test_messages_posted_by_rest_reach_sockets_as_json_or_as_raw_text(node: Node) -> None:
    alice = await node.join("alice", "/ws?channel_id=1")
    made = await node.want(
        "bob", "POST", "/channels/1/messages", json={"payload": "from REST", "ref": "r1"}
    )
    again = await node.want(
        "bob", "POST", "/channels/1/messages", json={"payload": "from REST", "ref": "r1"}
    )
    assert (made["id"], made["seq"]) == (again["id"], again["seq"])
    answer = await node.call(
        "bob",
        "POST",
        "/channels/1/messages",
        content=b"raw text, {not json",
        headers={"Content-Type": "text/plain"},
    )
    assert answer.status_code == 201
    first = await alice.until("message")
    second = await alice.until("message")
    assert (first["payload"], first["user_id"], first["id"]) == ("from REST", "bob", made["id"])
    assert (second["payload"], second["id"]) == ("raw text, {not json", answer.json()["id"])


async def test_the_author_is_the_token_s_subject_whatever_the_client_writes(node: Node) -> None:
    alice = await node.join("alice", "/ws?channel_id=1")
    error = await alice.ask("message", channel_id=1, payload="I am bob", user_id="bob")
    assert (error["type"], error["code"]) == ("error", "author_mismatch")
    await alice.say(1, "I am alice", user_id="alice")
    assert (await alice.until("message"))["user_id"] == "alice"
    assert [m["payload"] for m in await node.history("alice", 1)] == ["I am alice"]


async def test_every_kind_of_change_comes_in_one_gapless_order(node: Node) -> None:
    alice = await node.join("alice", "/ws?channel_id=1")
    bob = await node.join("bob", "/ws?channel_id=1")
    ack = await bob.say(1, "frist")
    commands = [
        ("edit", {"message_id": ack["id"], "payload": "first"}),
        ("react", {"message_id": ack["id"], "emoji": "👍"}),
        ("unreact", {"message_id": ack["id"], "emoji": "👍"}),
        ("delete", {"message_id": ack["id"]}),
    ]
    acks = [await bob.ask(name, channel_id=1, **fields) for name, fields in commands]
    assert [a["type"] for a in acks] == ["ack"] * 4
    await alice.until("message.deleted")
    durable = [event for event in alice.events if "seq" in event]
    assert [event["type"] for event in durable[-6:]] == [
        "member.joined",
        "message",
        "message.edited",
        "reaction.added",
        "reaction.removed",
        "message.deleted",
    ]
    seqs = [event["seq"] for event in durable]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert [a["seq"] for a in acks] == seqs[-4:]
    (stored,) = await node.history("alice", 1)
    assert (stored["payload"], stored["deleted"]) == ("", True)


async def test_commands_of_one_connection_take_effect_in_their_order(node: Node) -> None:
    channel = await node.channel("alice", "orderly")
    peer = await node.join("alice")
    # Sent in one go: subscribe takes time, and what follows it must wait.
    peer.send("subscribe", channel_id=channel)
    for number in range(50):
        peer.send("message", channel_id=channel, payload=f"{number}")
    for number in range(50):
        assert (await peer.until("message"))["payload"] == f"{number}"


async def test_a_node_serves_the_database_that_it_left(
    start_node: Callable[..., Awaitable[Node]],
) -> None:
    first = await start_node()
    ack = await (await first.join("alice", "/ws?channel_id=1")).say(1, "before")
    await first.stop()
    second = await start_node(data_dir=first.config.data_dir)
    peer = await second.join("alice")
    reply = await peer.subscribe(1, since=0)
    assert reply["head"] == ack["seq"]
    assert (await peer.until("message"))["payload"] == "before"
