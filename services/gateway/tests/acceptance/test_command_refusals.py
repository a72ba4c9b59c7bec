"""Every command that is refused: the answer says why, and the connection lives on."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from harness import BINARY, CLOSE, TEXT, Event, Node, Peer, frame, token

Start = Callable[..., Awaitable[Node]]

# Every command that names a channel; message 1 stands for one that is there or not.
IN_A_CHANNEL: dict[str, dict[str, Any]] = {
    "message": {"payload": "let me in"},
    "edit": {"message_id": 1, "payload": "mine now"},
    "delete": {"message_id": 1},
    "react": {"message_id": 1, "emoji": "👀"},
    "unreact": {"message_id": 1, "emoji": "👀"},
    "typing": {},
    "read": {"seq": 1},
    "subscribe": {},
}


async def _refuses(peer: Peer, code: str, type_: str, **fields: Any) -> Event:
    reply = await peer.ask(type_, **fields)
    assert reply["type"] == "error", f"{type_} {fields}: {reply}"
    assert reply["code"] == code, f"{type_} {fields}: {reply}"
    assert len(reply["message"]) > 10
    return reply


async def _lives(peer: Peer) -> None:
    assert (await peer.ask("ping"))["type"] == "pong"


async def test_every_command_to_an_unknown_or_deleted_channel_is_not_found(node: Node) -> None:
    gone = await node.channel("alice", "short-lived")
    await node.want("alice", "DELETE", f"/channels/{gone}")
    peer = await node.join("alice")
    for channel in (gone, 999_999, 2**53 - 1):
        for name, fields in IN_A_CHANNEL.items():
            await _refuses(peer, "not_found", name, channel_id=channel, **fields)
    # There is nothing to end, which is what the client wants.
    assert (await peer.ask("unsubscribe", channel_id=999_999))["type"] == "ack"


async def test_a_private_channel_does_not_exist_for_a_stranger(node: Node) -> None:
    private = await node.channel("alice", "secret garden", "private")
    message = await node.want(
        "alice", "POST", f"/channels/{private}/messages", json={"payload": "psst"}
    )
    stranger = await node.join("mallory")
    for name, fields in IN_A_CHANNEL.items():
        fields = {**fields, **({"message_id": message["id"]} if "message_id" in fields else {})}
        refused = await _refuses(stranger, "not_found", name, channel_id=private, **fields)
        unknown = await _refuses(stranger, "not_found", name, channel_id=999_999, **fields)
        # Word for word: nobody learns that it is there.
        assert refused["message"] == unknown["message"]
    joined = await node.open(
        f"/ws?channel_id={private}", {"Authorization": f"Bearer {token('mallory')}"}
    )
    assert (await joined.until("error"))["code"] == "not_found"
    await _lives(joined)


async def test_whoever_is_banned_is_told_so_by_every_command(node: Node) -> None:
    message = await node.want(
        "mallory", "POST", "/channels/1/messages", json={"payload": "spam", "ref": "s"}
    )
    channel = await node.channel("alice", "orderly")
    peer = await node.join("mallory", f"/ws?channel_id={channel}")
    own = await peer.say(channel, "my own")
    await node.want("alice", "PUT", f"/channels/{channel}/bans/mallory")
    for name, fields in IN_A_CHANNEL.items():
        fields = {**fields, **({"message_id": own["id"]} if "message_id" in fields else {})}
        await _refuses(peer, "banned", name, channel_id=channel, **fields)
    again = await node.open(
        f"/ws?channel_id={channel}", {"Authorization": f"Bearer {token('mallory')}"}
    )
    assert (await again.until("error"))["code"] == "banned"
    assert message["id"]
    await node.want("alice", "DELETE", f"/channels/{channel}/bans/mallory")
    assert (await peer.subscribe(channel))["channel_id"] == channel


async def test_only_authors_edit_and_only_authors_or_moderators_delete(node: Node) -> None:
    alice = await node.join("alice", "/ws?channel_id=1")
    bob = await node.join("bob", "/ws?channel_id=1")
    message_id = (await alice.say(1, "mine"))["id"]
    await _refuses(bob, "forbidden", "edit", channel_id=1, message_id=message_id, payload="x")
    await _refuses(bob, "forbidden", "delete", channel_id=1, message_id=message_id)
    (stored,) = await node.history("alice", 1)
    assert stored["payload"] == "mine"


async def test_a_message_of_another_channel_is_not_found(node: Node) -> None:
    other = await node.channel("alice", "elsewhere")
    peer = await node.join("alice")
    message_id = (await peer.say(1, "in general"))["id"]
    for name in ("edit", "delete", "react", "unreact"):
        fields = {**IN_A_CHANNEL[name], "message_id": message_id}
        await _refuses(peer, "not_found", name, channel_id=other, **fields)


async def test_blank_and_overlong_texts_are_refused(node: Node) -> None:
    peer = await node.join("alice", "/ws?channel_id=1")
    message_id = (await peer.say(1, "x" * 4000))["id"]
    long = {"payload": "é" * 4001}
    for blank in ("", " ", "\n\t\r", "\u2003", "a\x00b"):
        await _refuses(peer, "invalid_command", "message", channel_id=1, payload=blank)
        await _refuses(
            peer, "invalid_command", "edit", channel_id=1, message_id=message_id, payload=blank
        )
    await _refuses(peer, "payload_too_large", "message", channel_id=1, **long)
    await _refuses(peer, "payload_too_large", "edit", channel_id=1, message_id=message_id, **long)
    for emoji in ("", "x" * 33):
        await _refuses(
            peer, "invalid_command", "react", channel_id=1, message_id=message_id, emoji=emoji
        )
    await _refuses(
        peer, "invalid_request", "react", channel_id=1, message_id=message_id, emoji="a b"
    )
    # A character is a character: 4,000 of four bytes each are a message.
    assert await peer.say(1, "🦆" * 4000)


async def test_ids_and_numbers_out_of_their_range_are_refused(node: Node) -> None:
    peer = await node.join("alice")
    ids: list[Any] = [0, -1, 1.5, "1", None, True, [], {}, 2**53, 2**63, 2**64, 1e300]
    for bad in ids:
        for name, fields in IN_A_CHANNEL.items():
            await _refuses(peer, "invalid_command", name, **{**fields, "channel_id": bad})
        await _refuses(peer, "invalid_command", "delete", channel_id=1, message_id=bad)
    for bad in (-1, "0", 1.5, 2**53):
        await _refuses(peer, "invalid_command", "read", channel_id=1, seq=bad)
        await _refuses(peer, "invalid_command", "subscribe", channel_id=1, since=bad)
    for name in IN_A_CHANNEL:
        await _refuses(peer, "invalid_command", name)


async def test_unknown_types_and_unknown_fields_are_refused(node: Node) -> None:
    peer = await node.join("alice")
    for name in ("", "shout", "Message", "hello", "ack", "member.joined"):
        await _refuses(peer, "invalid_command", name)
    reply = await _refuses(peer, "invalid_command", "subscribe", channel_id=1, sinse=4)
    assert "sinse" in reply["message"]
    await _refuses(peer, "invalid_command", "message", channel_id=1, payload="x", id=5)


async def test_a_bad_ref_is_refused_and_not_echoed(node: Node) -> None:
    peer = await node.join("alice")
    for ref in ("", "x" * 65, 5, None, ["a"]):
        peer.write(frame(TEXT, json.dumps({"type": "ping", "ref": ref}).encode()))
        event = await peer.until(where=lambda e: e["type"] in ("error", "pong"))
        if ref is None:
            assert event == {"type": "pong"}
        else:
            assert (event["code"], "ref" in event) == ("invalid_command", False)
    assert (await peer.ask("ping", ref="x" * 64))["type"] == "pong"


BAD_JSON = [
    b"",
    b" ",
    b"{",
    b"[]",
    b"null",
    b'"message"',
    b"7",
    b"{}",
    b'{"type":7}',
    b'{"type":["ping"]}',
    b"{'type':'ping'}",
    b'{"type":"ping",}',
    b'{"type":"ping"}{"type":"ping"}',
    b'{"type":"ping"} x',
    b'\xef\xbb\xbf{"type":"ping"}',
    b'{"type":"message","channel_id":NaN,"payload":"x"}',
    b'{"type":"message","channel_id":Infinity,"payload":"x"}',
    b'{"type":"message","channel_id":1e999,"payload":"x"}',
    b'{"type":"message","channel_id":01,"payload":"x"}',
    b'{"type":"message","channel_id":1,"payload":"\\ud800"}',
    b'{"type":"message","channel_id":1,"payload":"\\udc00\\ud800"}',
    b'{"type":"message","channel_id":1,"payload":"a\x01b"}',
    b'{"type":"message","channel_id":1,"payload":{"a":1}}',
    b'{"type":"message","channel_id":1,"payload":"x","user_id":7}',
    b'{"type":"message","channel_id":' + b"9" * 5000 + b',"payload":"x"}',
    b'{"type":"ping","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b'{"type":"ping",' + b",".join(b'"k%d":1' % n for n in range(5000)) + b"}",
]


async def test_text_that_is_no_command_gets_an_error_and_the_connection_lives_on(
    node: Node,
) -> None:
    peer = await node.join("alice", "/ws?channel_id=1")
    for text in BAD_JSON:
        peer.write(frame(TEXT, text))
        event = await peer.until(where=lambda e: e["type"] not in ("presence", "member.joined"))
        assert event["type"] == "error", f"{text[:60]!r}: {event}"
        assert event["code"] == "invalid_command", f"{text[:60]!r}: {event}"
        for internal in ("msgspec", "Traceback", "storm_gateway", "0x"):
            assert internal not in event["message"]
        await _lives(peer)
    assert not await node.history("alice", 1)


async def test_a_binary_message_ends_the_connection_with_4501(node: Node) -> None:
    peer = await node.join("alice")
    peer.write(frame(BINARY, b'{"type":"ping"}'))
    assert (await peer.closed()).code == 4501


async def test_channels_of_one_connection_are_bounded(start_node: Start) -> None:
    node = await start_node(channels_per_connection=3)
    channels = [await node.channel("alice", f"room {n}") for n in range(5)]
    peer = await node.join("alice")
    for channel in channels[:3]:
        await peer.subscribe(channel)
    await _refuses(peer, "limit_reached", "subscribe", channel_id=channels[3])
    # One that is there already is none more, and one that is left makes room.
    await peer.subscribe(channels[0], since=0)
    await peer.ask("unsubscribe", channel_id=channels[0])
    await peer.subscribe(channels[3])
    # Sent in one go, they are counted one after another.
    await peer.ask("unsubscribe", channel_id=channels[3])
    for channel in channels:
        peer.send("subscribe", channel_id=channel)
    assert (await peer.until("error"))["code"] == "limit_reached"
    assert await node.metric("storm_subscriptions") == 3


async def test_too_many_commands_are_refused_and_whoever_goes_on_is_closed_with_4003(
    start_node: Start,
) -> None:
    node = await start_node(commands_per_second=5, commands_burst=10)
    peer = await node.join("alice", "/ws?channel_id=1")
    other = await node.join("bob", "/ws?channel_id=1")
    for number in range(15):
        peer.send("message", channel_id=1, payload=f"{number}", ref=f"r{number}")
    error = await peer.until("error")
    assert error["code"] == "rate_limited"
    assert 0 < error["retry_after_ms"] <= 3000
    assert error["ref"].startswith("r")
    for number in range(200):
        peer.send("message", channel_id=1, payload=f"more {number}")
    assert (await peer.closed()).code == 4003
    # Others have limits of their own, and whoever waits may speak again.
    await other.say(1, "undisturbed")
    again = await node.join("alice")
    assert (await again.ask("ping"))["type"] == "pong"
    assert len(await node.history("bob", 1)) <= 14
    assert await node.metric("storm_commands_rate_limited_total") >= 10


async def test_what_comes_after_a_close_frame_is_not_carried_out(node: Node) -> None:
    peer = await node.join("alice", "/ws?channel_id=1")
    command = json.dumps({"type": "message", "channel_id": 1, "payload": "too late"}).encode()
    peer.write(frame(CLOSE, b"\x03\xe8") + frame(TEXT, command))
    assert (await peer.closed()).code == 1000
    bob = await node.join("bob", "/ws?channel_id=1")
    await bob.say(1, "fence")
    assert [m["payload"] for m in await node.history("bob", 1)] == ["fence"]
