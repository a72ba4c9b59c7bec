"""What the server says: which events are durable, and what a close code asks of a client."""

from collections import Counter
from typing import get_args

import msgspec
import pytest

from storm_gateway.errors import error_codes
from storm_gateway.protocol import events
from storm_gateway.protocol.close_codes import CloseCode, may_reconnect
from storm_gateway.protocol.commands import COMMANDS, Command
from storm_gateway.protocol.events import (
    CONNECTION_EVENTS,
    DURABLE_EVENTS,
    EPHEMERAL_EVENTS,
    EVENTS,
    REPLIES,
)

OUT = REPLIES + EVENTS


def tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def required(kind: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(kind) if field.required}


@pytest.mark.parametrize("kind", DURABLE_EVENTS, ids=tag)
def test_a_durable_event_has_its_place_in_the_log_of_a_channel(kind: type[msgspec.Struct]) -> None:
    assert {"channel_id", "seq", "sent_at"} <= required(kind)


@pytest.mark.parametrize("kind", CONNECTION_EVENTS + EPHEMERAL_EVENTS, ids=tag)
def test_only_durable_events_take_a_seq(kind: type[msgspec.Struct]) -> None:
    # The seq of `read` is how far somebody read, not a place of its own.
    assert ("seq" in kind.__struct_fields__) is (tag(kind) == "read")


def test_each_event_is_of_one_kind() -> None:
    assert max(Counter(CONNECTION_EVENTS + DURABLE_EVENTS + EPHEMERAL_EVENTS).values()) == 1
    assert set(get_args(events.Durable)) == set(DURABLE_EVENTS)
    assert set(get_args(Command)) == set(COMMANDS)


@pytest.mark.parametrize("kinds", [OUT, COMMANDS], ids=["server", "client"])
def test_a_type_names_one_thing(kinds: tuple[type[msgspec.Struct], ...]) -> None:
    assert [name for name, count in Counter(map(tag, kinds)).items() if count > 1] == []


def test_nothing_that_the_server_says_is_missing_from_the_lists() -> None:
    defined = {
        kind
        for kind in vars(events).values()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind.__struct_config__.tag
        and not kind.__name__.startswith("_")
    }
    assert defined == set(OUT)


@pytest.mark.parametrize("kind", OUT, ids=tag)
def test_a_reader_can_ask_for_the_type_first(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.tag_field == "type"


# --- close codes ---

RECONNECT = {
    CloseCode.NORMAL: False,
    CloseCode.GOING_AWAY: False,
    CloseCode.PROTOCOL_ERROR: False,
    CloseCode.INVALID_DATA: False,
    CloseCode.MESSAGE_TOO_BIG: False,
    CloseCode.INTERNAL_ERROR: True,
    CloseCode.SERVICE_RESTART: True,
    CloseCode.TRY_AGAIN_LATER: True,
    CloseCode.KEEPALIVE_MISSED: True,
    CloseCode.SLOW_CONSUMER: True,
    CloseCode.TOKEN_EXPIRED: True,
    CloseCode.RATE_LIMITED: True,
    CloseCode.AUTHENTICATION_FAILED: False,
    CloseCode.BAD_COMMANDS: False,
    CloseCode.TOO_MANY_CONNECTIONS: False,
    CloseCode.FORBIDDEN: False,
}


@pytest.mark.parametrize("code", CloseCode, ids=lambda code: code.name)
def test_each_close_code_says_whether_to_come_back(code: CloseCode) -> None:
    assert may_reconnect(code) is RECONNECT[code]


def test_the_number_alone_decides_in_the_private_range() -> None:
    assert {code for code in range(4000, 5000) if may_reconnect(code)} == set(range(4000, 4500))


@pytest.mark.parametrize("code", [1005, 1006, 1015])
def test_a_connection_that_broke_is_opened_again(code: int) -> None:
    assert may_reconnect(code)


def test_every_close_code_may_be_sent() -> None:
    for code in CloseCode:
        assert code in range(1000, 1004) or code in range(1007, 1015) or code in range(4000, 5000)


def test_error_codes_are_http_errors() -> None:
    assert all(400 <= status <= 599 for status in error_codes().values())
