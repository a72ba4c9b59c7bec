"""JSON ↔ commands: what can be read, and how the rest is refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storm_gateway.errors import InvalidCommandError
from storm_gateway.protocol import commands
from storm_gateway.protocol.codec import decode_command, encode, ref_of
from storm_gateway.protocol.commands import COMMANDS
from storm_gateway.protocol.events import MessageEvent, Pong

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no fault of the code."""

LARGEST = 2**53 - 1

# Written down from the contract, not made with the types.
WRITTEN: dict[type[msgspec.Struct], dict[str, Any]] = {
    commands.Message: {"type": "message", "channel_id": 1, "payload": "hi", "ref": "a"},
    commands.Edit: {"type": "edit", "channel_id": 1, "message_id": 2, "payload": "ho", "ref": "a"},
    commands.Delete: {"type": "delete", "channel_id": 1, "message_id": 2, "ref": "a"},
    commands.React: {"type": "react", "channel_id": 1, "message_id": 2, "emoji": "👍", "ref": "a"},
    commands.Unreact: {"type": "unreact", "channel_id": 1, "message_id": 2, "emoji": "👍"},
    commands.Typing: {"type": "typing", "channel_id": 1},
    commands.Read: {"type": "read", "channel_id": 1, "seq": 0, "ref": "a"},
    commands.Subscribe: {"type": "subscribe", "channel_id": LARGEST, "since": 0, "ref": "a"},
    commands.Unsubscribe: {"type": "unsubscribe", "channel_id": 1, "ref": "a"},
    commands.Authenticate: {"type": "authenticate", "token": "t", "ref": "a"},
    commands.Ping: {"type": "ping", "ref": "a"},
}


def test_every_command_stands_here() -> None:
    assert set(WRITTEN) == set(COMMANDS)


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
def test_every_command_is_read(kind: type[msgspec.Struct]) -> None:
    found = decode_command(json.dumps(WRITTEN[kind]).encode())
    assert type(found) is kind
    assert msgspec.to_builtins(found) == WRITTEN[kind]


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
def test_no_command_takes_a_field_that_it_does_not_have(kind: type[msgspec.Struct]) -> None:
    with pytest.raises(InvalidCommandError, match="chanel_id"):
        decode_command(json.dumps(WRITTEN[kind] | {"chanel_id": 1}).encode())


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
def test_no_command_is_read_without_what_it_needs(kind: type[msgspec.Struct]) -> None:
    needed = [field.name for field in msgspec.structs.fields(kind) if field.required]
    for name in needed:
        written = {key: value for key, value in WRITTEN[kind].items() if key != name}
        with pytest.raises(InvalidCommandError, match=name):
            decode_command(json.dumps(written).encode())


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
def test_null_is_a_value_only_where_a_field_may_be_left_out(kind: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(kind):
        text = json.dumps(WRITTEN[kind] | {field.name: None}).encode()
        if field.required:
            with pytest.raises(InvalidCommandError):
                decode_command(text)
        else:
            assert getattr(decode_command(text), field.name) is None


def test_the_order_of_fields_and_white_space_do_not_matter() -> None:
    found = decode_command(b'\n{ "payload" : "hi",\t"type":"message" , "channel_id":7 }\r\n ')
    assert found == commands.Message(channel_id=7, payload="hi")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b" ", id="white space"),
        pytest.param(b"hello", id="no JSON"),
        pytest.param(b"null", id="null"),
        pytest.param(b"1", id="a number"),
        pytest.param(b'"ping"', id="a string"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b'["ping"]', id="a command as an array"),
        pytest.param(b"{}", id="no type"),
        pytest.param(b'{"channel_id":1,"payload":"hi"}', id="no type, but fields"),
        pytest.param(b'{"type":"nonsense"}', id="an unknown type"),
        pytest.param(b'{"type":"Ping"}', id="a type in capitals"),
        pytest.param(b'{"type":"ack","ref":"a"}', id="a reply"),
        pytest.param(b'{"type":"message.edited"}', id="an event"),
        pytest.param(b'{"type":null}', id="null as a type"),
        pytest.param(b'{"type":1}', id="a number as a type"),
        pytest.param(b'{"type":["ping"]}', id="an array as a type"),
        pytest.param(b'{"type":"ping"', id="cut off"),
        pytest.param(b'{"type":"ping"}x', id="something after it"),
        pytest.param(b'{"type":"ping"}{"type":"ping"}', id="two commands"),
        pytest.param(b'{"type":"ping",}', id="a comma too many"),
        pytest.param(b"{'type':'ping'}", id="single quotes"),
        pytest.param(b'\xef\xbb\xbf{"type":"ping"}', id="a byte order mark"),
        pytest.param(b'{"type":"ping","ref":"\xff"}', id="no UTF-8"),
        pytest.param(b'{"type":"ping","ref":"\xed\xa0\x80"}', id="a surrogate in UTF-8"),
        pytest.param(b'{"type":"ping","ref":"\\ud800"}', id="a lone high surrogate"),
        pytest.param(b'{"type":"ping","ref":"\\udc00"}', id="a lone low surrogate"),
        pytest.param(b'{"type":"ping","ref":"\\udc00\\ud800"}', id="surrogates the wrong way"),
        pytest.param(b'{"type":"ping","ref":"a\nb"}', id="a line feed in a string"),
        pytest.param(b'{"type":"ping","ref":"\\x41"}', id="an escape that JSON does not have"),
        pytest.param(b'{"type":"ping","ref":""}', id="an empty ref"),
        pytest.param(b'{"type":"ping","ref":"' + b"x" * 65 + b'"}', id="a ref too long"),
        pytest.param(b'{"type":"ping","ref":1}', id="a number as ref"),
        pytest.param(
            b'{"type":"react","channel_id":1,"message_id":1,"emoji":""}', id="an empty emoji"
        ),
        pytest.param(
            b'{"type":"react","channel_id":1,"message_id":1,"emoji":"' + b"x" * 33 + b'"}',
            id="an emoji too long",
        ),
        pytest.param(b'{"type":"message","channel_id":1,"payload":1}', id="a number as payload"),
        pytest.param(b'{"type":"message","channel_id":1,"payload":{}}', id="an object as payload"),
        pytest.param(b"[" * 100_000, id="deep arrays"),
        pytest.param(b'{"a":' * 100_000, id="deep objects"),
        pytest.param(b'{"type":' + b"[" * 50_000 + b"]" * 50_000 + b"}", id="a deep type"),
        pytest.param(
            b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b',"type":"ping"}', id="a deep field"
        ),
        pytest.param(
            b'{"type":"ping","x":' + b'{"x":' * 20_000 + b"1" + b"}" * 20_001, id="deep and whole"
        ),
    ],
)
def test_what_is_no_command_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidCommandError) as refused:
        decode_command(text)
    assert refused.value.code == "invalid_command"
    assert refused.value.message


@pytest.mark.parametrize(
    "number",
    [
        "0",
        "-1",
        "-0",
        str(LARGEST + 1),
        str(2**63),
        str(2**64),
        "9" * 5_000,
        "1.5",
        "1e400",
        "NaN",
        "Infinity",
        "-Infinity",
        "true",
        "false",
        '"1"',
        "[1]",
        "{}",
        "01",
        "+1",
        "0x1",
        "1_000",
        "",
    ],
)
def test_what_is_no_id_is_refused(number: str) -> None:
    with pytest.raises(InvalidCommandError):
        decode_command(f'{{"type":"typing","channel_id":{number}}}'.encode())


@pytest.mark.parametrize("number", ["-1", str(LARGEST + 1), "true", "0.5", "NaN"])
def test_what_is_no_seq_is_refused(number: str) -> None:
    with pytest.raises(InvalidCommandError):
        decode_command(f'{{"type":"read","channel_id":1,"seq":{number}}}'.encode())


def test_a_refusal_says_where_but_not_what() -> None:
    with pytest.raises(InvalidCommandError) as refused:
        decode_command(b'{"type":"authenticate","token":"secret-token","ref":7}')
    assert "ref" in refused.value.message
    assert "secret-token" not in refused.value.message


@patient
@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    ref_of(data)
    with pytest.raises(InvalidCommandError):
        # No 200 random bytes are one of eleven commands.
        decode_command(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@patient
@given(
    st.sampled_from(sorted(WRITTEN, key=lambda kind: kind.__name__)),
    st.dictionaries(
        st.sampled_from(["type", "channel_id", "message_id", "payload", "seq", "since", "ref"]),
        JSON,
        max_size=3,
    ),
)
def test_a_spoiled_command_is_read_within_its_bounds_or_refused(
    kind: type[msgspec.Struct], spoiled: dict[str, Any]
) -> None:
    text = json.dumps(WRITTEN[kind] | spoiled).encode()
    ref = ref_of(text)
    assert ref is None or 1 <= len(ref) <= 64
    try:
        found = decode_command(text)
    except InvalidCommandError:
        return
    assert type(found) in COMMANDS
    for name, least in (("channel_id", 1), ("message_id", 1), ("seq", 0), ("since", 0)):
        value = getattr(found, name, None)
        assert value is None or (type(value) is int and least <= value <= LARGEST)


# --- the ref of what could not be read ---


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        (b'{"type":"nonsense","ref":"a-1"}', "a-1"),
        (b'{"ref":"a-1"}', "a-1"),
        (b'{"type":"message","channel_id":-1,"payload":[],"ref":"a-1"}', "a-1"),
        ('{"ref":"é🌩"}'.encode(), "é🌩"),
        (b'{"ref":"' + b"x" * 64 + b'"}', "x" * 64),
        (b'{"ref":"' + b"x" * 65 + b'"}', None),
        (b'{"ref":""}', None),
        (b'{"ref":null}', None),
        (b'{"ref":1}', None),
        (b'{"ref":["a"]}', None),
        (b'{"x":{"ref":"a"}}', None),
        (b'[{"ref":"a"}]', None),
        (b'{"ref":"a"', None),
        (b'{"ref":"\\ud800"}', None),
        (b'{"ref":"\xff"}', None),
        (b"", None),
        (b'{"a":' * 100_000, None),
        (b"[" * 100_000, None),
    ],
)
def test_the_ref_is_found_where_there_is_one(text: bytes, ref: str | None) -> None:
    assert ref_of(text) == ref


# --- what goes out ---


def test_what_has_its_default_is_left_out() -> None:
    assert json.loads(encode(Pong())) == {"type": "pong"}
    event = MessageEvent(
        channel_id=1, payload="hi 🌩", user_id="alice", id=2, seq=3, sent_at="2026-01-31T12:00:00Z"
    )
    assert json.loads(encode(event)) == {
        "type": "message",
        "channel_id": 1,
        "payload": "hi 🌩",
        "user_id": "alice",
        "id": 2,
        "seq": 3,
        "sent_at": "2026-01-31T12:00:00Z",
    }


def test_a_ref_that_not_every_database_can_keep_is_refused_and_told() -> None:
    with pytest.raises(InvalidCommandError, match="ref"):
        decode_command(b'{"type":"message","channel_id":1,"payload":"hi","ref":"a\\u0000b"}')
