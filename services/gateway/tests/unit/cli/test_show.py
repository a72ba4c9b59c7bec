import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.cli.screen import LONGEST, Editor, columns_of, end_that_fits
from storm_gateway.cli.show import REMEMBERED, Lines, as_json
from storm_gateway.client.notices import (
    Backfilled,
    Connected,
    Disconnected,
    Rewound,
    SubscriptionLost,
)
from storm_gateway.protocol.events import (
    ChannelDeleted,
    ChannelUpdated,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    MessageDeleted,
    MessageEdited,
    MessageEvent,
    PresenceEvent,
    ReactionAdded,
    ReactionRemoved,
    ReadEvent,
    StreamEvent,
    TypingEvent,
)

THEN = "2026-01-01T12:00:00Z"


def lines(colour: bool = False) -> Lines:
    return Lines(colour=colour, zone=UTC)


def message(payload: str = "Hello", **changes: Any) -> MessageEvent:
    fields: dict[str, Any] = {"user_id": "alice", "id": 7, "seq": 9, "sent_at": THEN, **changes}
    return MessageEvent(channel_id=1, payload=payload, **fields)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (message(), "<alice> Hello"),
        (message(edited_at=THEN), "<alice> Hello (edited)"),
        (message("", deleted=True), "<alice> (deleted)"),
        (message("a\r\nb\tc"), "<alice> a ⏎ b    c"),
        (
            MessageEdited(1, 2, 7, 1, "alice", "Bye", THEN),
            "<alice> edited message 7 to Bye",
        ),
        (MessageDeleted(1, 2, 7, 1, "bob", THEN), "<bob> deleted message 7"),
        (ReactionAdded(1, 2, 7, 1, "bob", "👍", THEN), "<bob> reacted 👍 to message 7"),
        (ReactionRemoved(1, 2, 7, 1, "bob", "👍", THEN), "<bob> took back 👍 to message 7"),
        (MemberJoined(1, 2, "bob", "member", THEN), "<bob> joined"),
        (MemberJoined(1, 2, "bob", "member", THEN, "al"), "<bob> joined, invited by al"),
        (MemberLeft(1, 2, "bob", "left", THEN), "<bob> left"),
        (MemberLeft(1, 2, "bob", "banned", THEN, "al"), "<bob> was banned by al"),
        (MemberUpdated(1, 2, "bob", "owner", "al", THEN), "<bob> is now owner, by al"),
        (
            ChannelUpdated(1, 2, "new", "about", "public", "al", THEN),
            "<al> set the channel to #new (public), topic: about",
        ),
        (
            ChannelUpdated(1, 2, "new", "", "private", "al", THEN),
            "<al> set the channel to #new (private)",
        ),
        (ChannelDeleted(1, 2, "al", THEN), "<al> deleted the channel"),
    ],
)
def test_durable_events_are_one_line_with_time_and_author(event: Any, expected: str) -> None:
    assert lines().line(event) == f"2026-01-01 12:00:00 {expected}"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (PresenceEvent(1, 2, users=["a", "b"]), "— online: a, b"),
        (PresenceEvent(1, 0, users=[]), "— online: nobody"),
        (PresenceEvent(1, 2, joined=["a"], left=["b"]), "— a came online; b went offline"),
        (PresenceEvent(1, 900), "— 900 online"),
        (PresenceEvent(1, 2, joined=[], left=[]), None),
        (Connected("c1", "alice", again=True), "— connected again"),
        (Connected("c1", "alice", again=False), None),
        (Disconnected("it broke", 1.25, 1006), "— disconnected: it broke; next try in 1.2 s"),
        (Backfilled(1, 5, 9), "— 5 to 9 came from history"),
        (Rewound(1, 5), "— the server's log was set back to 5"),
        (SubscriptionLost(1, "not_found", "No."), "— the channel is gone: No."),
        (ReadEvent(1, "alice", 5), None),
        (TypingEvent(1, "alice", 6_000), None),
        (StreamEvent("storm.x", {"a": 1}), None),
    ],
)
def test_other_events_are_shown_sensibly_or_not_at_all(event: Any, expected: str | None) -> None:
    assert lines().line(event) == expected


def test_what_was_edited_is_quoted_shortly() -> None:
    shown = lines()
    shown.line(message("x" * 100))
    edited = shown.line(MessageEdited(1, 2, 7, 1, "alice", "short", THEN))
    assert edited is not None
    assert edited.endswith(f"edited alice: “{'x' * 40}…” to short")
    reacted = shown.line(ReactionAdded(1, 2, 7, 1, "bob", "👍", THEN))
    assert reacted is not None
    assert reacted.endswith("reacted 👍 to alice: “short”")
    shown.line(MessageDeleted(1, 2, 7, 1, "alice", THEN))
    assert "message 7" in str(shown.line(ReactionAdded(1, 2, 7, 1, "bob", "👍", THEN)))


def test_only_so_many_messages_are_remembered() -> None:
    shown = lines()
    for number in range(REMEMBERED + 10):
        shown.line(message("x", id=number))
    assert len(shown._messages) == REMEMBERED


def test_a_message_of_today_has_no_day() -> None:
    now = datetime.now(UTC)
    text = str(lines().line(message(sent_at=now.isoformat())))
    assert text.startswith(f"{now:%H:%M:%S} <alice>") or now.hour == 0
    day_before = now - timedelta(days=1)
    assert str(lines().line(message(sent_at=day_before.isoformat()))).startswith("20")
    assert str(lines().line(message(sent_at="?"))).startswith("??:??:?? ")


def test_an_author_has_one_colour_everywhere() -> None:
    first, second = (str(lines(colour=True).line(message(text))) for text in ("a", "b"))
    assert first.replace("a", "") == second.replace("b", "").replace("a", "")
    assert "\x1b[1;" in first


def test_typing_is_a_status_and_nothing_else_is() -> None:
    assert lines().status(TypingEvent(1, "alice", 6_000)) == "alice is typing …"
    assert lines().status(message()) is None


@given(st.text(), st.text(min_size=1))
def test_no_text_of_others_forges_a_line_or_drives_the_terminal(text: str, name: str) -> None:
    shown = lines()
    for event in (
        message(text, user_id=name),
        MessageEdited(1, 2, 7, 1, name, text, THEN),
        ReactionAdded(1, 2, 7, 1, name, text, THEN),
        ChannelUpdated(1, 2, text, text, "public", name, THEN),
        PresenceEvent(1, 1, users=[name]),
        SubscriptionLost(1, "x", text),
        Disconnected(text, 1.0),
    ):
        line = str(shown.line(event))
        assert len(line.splitlines()) == 1
        assert not any(character in line for character in "\x1b\x9b\x07\x08\r\u202e")
        line.encode()


def test_json_is_one_line_of_ascii() -> None:
    raw = as_json(message("Ü\n\x9b"))
    assert raw.isascii()
    assert "\n" not in raw
    assert json.loads(raw)["type"] == "message"
    assert json.loads(as_json(Connected("c", "a", again=True)))["type"] == "client.connected"


# --- the line being typed ---


def test_a_line_is_typed_edited_and_finished_by_enter() -> None:
    editor = Editor()
    assert editor.feed("Grüße".encode()) == []
    assert editor.text == "Grüße"
    assert editor.feed(b"\x7f\x7f") == []
    assert editor.feed(b"n\r") == ["Grün"]
    assert editor.text == ""
    assert editor.feed(b"  \n") == []
    assert editor.feed(b"a\nb\n") == ["a", "b"]


def test_keys_that_are_no_text_leave_none() -> None:
    editor = Editor()
    editor.feed(b"a\x1b[A\x1bOP\x1b[3~\x1bx\x01b\x04")
    assert editor.text == "ab"
    assert not editor.ended
    editor.feed(b"\x15\x04")
    assert editor.ended


def test_a_word_is_taken_back_by_ctrl_w() -> None:
    editor = Editor()
    editor.feed(b"one two three\x17")
    assert editor.text == "one two "
    editor.feed(b"\x17\x17\x17")
    assert editor.text == ""


def test_a_letter_of_several_bytes_may_come_in_pieces() -> None:
    editor = Editor()
    for byte in "é".encode():
        editor.feed(bytes([byte]))
    assert editor.text == "é"


def test_a_line_is_no_longer_than_a_message() -> None:
    editor = Editor()
    editor.feed(b"x" * (LONGEST + 50))
    assert len(editor.text) == LONGEST


def test_the_end_of_a_long_line_is_shown_by_columns() -> None:
    assert columns_of("aé漢e\u0301") == 5
    assert end_that_fits("abc漢字", 4) == "漢字"
    assert end_that_fits("abc", 10) == "abc"
