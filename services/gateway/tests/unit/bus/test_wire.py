"""What NATS messages hold, and what of it is believed."""

import json
from collections.abc import Callable

import pytest

from storm_gateway.bus.base import CONTROL, BusEvent, ChannelEvent, ControlEvent, StreamEvent
from storm_gateway.bus.wire import SEPARATOR, GarbageError, encode_event, pack, reader_of
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import (
    ChannelDeleted,
    Durable,
    MessageEvent,
    ReadEvent,
    TypingEvent,
)
from storm_gateway.protocol.events import StreamEvent as StreamBody

NOON = "2026-01-01T12:00:00.000Z"


def read_by(topic: str) -> Callable[[bytes], BusEvent]:
    read, about = reader_of(topic)
    return lambda data: read(about, data)


MESSAGE = encode(MessageEvent(1, "\x1e hello", "alice", 9, 8, NOON))


def test_a_message_of_one_event_is_the_json_that_clients_get() -> None:
    payload = encode_event(ChannelEvent(1, 8, MESSAGE))
    assert payload == MESSAGE
    assert SEPARATOR not in payload
    assert json.loads(payload)["payload"] == "\x1e hello"


def test_an_event_for_one_user_says_for_whom() -> None:
    body = encode(ReadEvent(1, "alice", 5))
    payload = encode_event(ChannelEvent(1, 0, body, "alice"))
    assert json.loads(payload) == {"audience": "alice", "event": json.loads(body)}
    assert read_by("channels.1")(payload) == ChannelEvent(1, 0, body, "alice")


def test_a_read_cursor_is_no_place_in_the_log() -> None:
    found = read_by("channels.1")(encode(ReadEvent(1, "alice", 5)))
    assert isinstance(found, ChannelEvent)
    assert found.seq == 0


@pytest.mark.parametrize("kind", Durable.__args__, ids=lambda kind: kind.__name__)
def test_every_durable_event_is_known_by_its_name(kind: type) -> None:
    tag = kind.__struct_config__.tag  # type: ignore[attr-defined]
    body = b'{"type":"%b","channel_id":1,"seq":3}' % tag.encode()
    assert read_by("channels.1")(body) == ChannelEvent(1, 3, body)


GARBAGE = {
    "nothing": b"",
    "no JSON": b"\x00\xff not JSON",
    "half an event": MESSAGE[:-5],
    "an array": b"[]",
    "a number": b"7",
    "somebody's own JSON": b'{"payload":"hello","user":"bob"}',
    "an unknown type": b'{"type":"hello","channel_id":1,"seq":1}',
    "another channel's event": encode(MessageEvent(2, "x", "bob", 1, 1, NOON)),
    "no seq": b'{"type":"message","channel_id":1,"payload":"x"}',
    "a seq below the first": b'{"type":"message","channel_id":1,"seq":0}',
    "a seq that is none": b'{"type":"message","channel_id":1,"seq":"1"}',
    "a seq too large": b'{"type":"message","channel_id":1,"seq":99999999999999999999999}',
    "bad UTF-8 in a text": b'{"type":"message","channel_id":1,"seq":1,"payload":"\xff"}',
    "deep": b'{"type":"message","channel_id":1,"seq":1,"x":' + b"[" * 100_000,
    "a durable event for one user": b'{"audience":"alice","event":' + MESSAGE + b"}",
    "no event for one user": b'{"audience":"alice"}',
    "another channel's event for one user": b'{"audience":"a","event":%b}'
    % encode(TypingEvent(2, "bob", 1)),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_what_no_node_would_send_on_a_channel_is_garbage(data: bytes) -> None:
    with pytest.raises(GarbageError):
        read_by("channels.1")(data)


@pytest.mark.parametrize(
    "data", [b"", b"{}", MESSAGE, encode(StreamBody("storm.b", 1)), b'{"type":"event"}', b"\xff"]
)
def test_what_no_node_would_send_on_a_stream_is_garbage(data: bytes) -> None:
    assert read_by("storm.a")(encode(StreamBody("storm.a", 1))) == StreamEvent(
        "storm.a", encode(StreamBody("storm.a", 1))
    )
    with pytest.raises(GarbageError):
        read_by("storm.a")(data)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", MESSAGE, b'["n","become_admin"]', b"\xff"])
def test_what_no_node_would_send_to_the_nodes_is_garbage(data: bytes) -> None:
    event = ControlEvent(
        "channel_deleted", channel_id=1, body=encode(ChannelDeleted(1, 2, "a", NOON))
    )
    assert read_by(CONTROL)(encode_event(event)) == event
    with pytest.raises(GarbageError):
        read_by(CONTROL)(data)


@pytest.mark.parametrize("most", [1, 10, 64, 1_000, 1_000_000])
def test_events_are_packed_in_order_and_within_bounds(most: int) -> None:
    events = [b"%d" % number * (number % 17 + 1) for number in range(300)]
    packed = list(pack(events, most))
    assert [part for payload, _ in packed for part in payload.split(SEPARATOR)] == events
    assert [count for _, count in packed] == [
        len(payload.split(SEPARATOR)) for payload, _ in packed
    ]
    for payload, count in packed:
        assert len(payload) <= most or count == 1
