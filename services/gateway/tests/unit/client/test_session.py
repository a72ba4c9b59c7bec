import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.client.inbound import Unknown, decode
from storm_gateway.client.resume import State
from storm_gateway.client.session import Answer, Deliver, Retry, Session, SubscribeAnswer
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.commands import (
    Command,
    Delete,
    Edit,
    Message,
    React,
    Read,
    Subscribe,
    Typing,
    Unreact,
    Unsubscribe,
)
from storm_gateway.protocol.events import (
    Ack,
    ChannelDeleted,
    Error,
    Gap,
    MessageEvent,
    Pong,
    Subscribed,
    TypingEvent,
)

TIME = "2026-01-01T00:00:00Z"


def message(seq: int, channel_id: int = 1) -> MessageEvent:
    return MessageEvent(channel_id, f"text {seq}", "alice", seq, seq, TIME)


def written(session: Session) -> list[Command]:
    found: list[Command] = []
    while (command := session.next_command()) is not None:
        found.append(command)
    return found


def opened(*channels: int) -> Session:
    session = Session()
    session.opened()
    for channel_id in channels:
        session.subscribe(channel_id, 0)
        session.receive(Subscribed(channel_id, 0, f"storm:{channel_id}"))
    written(session)
    return session


def give(session: Session, *events: MessageEvent) -> list[int]:
    taken = []
    for event in events:
        if session.receive(event) == Deliver(event):
            session.took(event)
            taken.append(event.seq)
    return taken


def test_a_new_connection_gets_every_subscription_with_its_position_then_the_unacked() -> None:
    session = opened(1, 2)
    give(session, message(1), message(2))
    session.ask(Message(1, "first", ref="a"))
    session.ask(Message(2, "second", ref="b"))
    written(session)
    session.receive(Ack("a", 1, 3, 3))
    session.closed()
    session.ask(Message(2, "third", ref="c"))
    assert written(session) == []
    session.opened()
    assert written(session) == [
        Subscribe(1, since=2, ref="storm:1"),
        Subscribe(2, since=0, ref="storm:2"),
        Message(2, "second", ref="b"),
        Message(2, "third", ref="c"),
    ]


def test_a_command_is_answered_once_by_its_ack_or_its_error() -> None:
    session = opened()
    session.ask(Message(1, "x", ref="a"))
    session.ask(Message(1, "", ref="b"))
    assert session.waiting
    assert session.receive(Ack("a", 1, 1, 1)) == Answer("a", Ack("a", 1, 1, 1))
    assert session.receive(Ack("a", 1, 1, 1)) is None
    error = Error("invalid_command", "Blank.", "b")
    assert session.receive(error) == Answer("b", error)
    assert session.receive(error) is None
    assert not session.waiting


def test_a_refusal_that_ends_by_itself_is_retried_with_the_same_ref() -> None:
    session = opened(1)
    session.ask(Message(1, "x", ref="a"))
    written(session)
    assert session.receive(Error("rate_limited", "Slow.", "a", 250)) == Retry("a", 250)
    assert session.receive(Error("unavailable", "Away.", "a")) == Retry("a", None)
    session.again("a")
    assert written(session) == [Message(1, "x", ref="a")]


def test_a_subscribe_that_was_refused_for_haste_is_retried() -> None:
    session = opened()
    session.subscribe(7, 3)
    written(session)
    assert session.receive(Error("rate_limited", "Slow.", "storm:7", 9)) == Retry("storm:7", 9)
    session.again("storm:7")
    assert written(session) == [Subscribe(7, since=3, ref="storm:7")]
    session.receive(Subscribed(7, 3))
    session.again("storm:7")
    assert written(session) == []


def test_a_subscribe_that_is_refused_for_good_is_told_and_forgotten() -> None:
    session = opened()
    session.subscribe(7, None)
    error = Error("not_found", "No such channel.", "storm:7")
    assert session.receive(error) == SubscribeAnswer(7, error)
    assert 7 not in session.logs
    assert session.receive(error) is None


def test_retries_wait_for_the_next_connection_when_there_is_none() -> None:
    session = opened(1)
    session.ask(Message(1, "x", ref="a"))
    session.closed()
    session.again("a")
    session.tell(Typing(1))
    assert written(session) == []


def test_a_command_that_nobody_waits_for_any_more_is_not_written() -> None:
    session = opened()
    session.ask(Message(1, "x", ref="a"))
    session.forget("a")
    session.again("a")
    session.again("storm:99")
    assert written(session) == []


def test_two_commands_under_one_ref_and_a_command_without_are_mistakes() -> None:
    session = opened()
    session.ask(Message(1, "x", ref="a"))
    with pytest.raises(ValueError, match="under way"):
        session.ask(Message(1, "y", ref="a"))
    with pytest.raises(ValueError, match="needs a ref"):
        session.ask(Message(1, "y"))


def test_a_hole_is_filled_by_subscribing_again_from_the_last_event() -> None:
    session = opened(1)
    assert give(session, message(1), message(3), message(4)) == [1]
    assert written(session) == [Subscribe(1, since=1, ref="storm:1")]
    session.receive(Subscribed(1, 4, "storm:1"))
    assert give(session, message(2), message(3), message(4), message(5)) == [2, 3, 4, 5]
    assert written(session) == []


def test_a_heartbeat_that_is_ahead_is_a_hole_too() -> None:
    session = opened(1, 2)
    give(session, message(1))
    session.compare({"1": 3, "9": 5})
    assert written(session) == [Subscribe(1, since=1, ref="storm:1")]


def test_a_server_that_seems_to_have_less_is_asked_and_nothing_comes_twice_if_it_only_lags() -> (
    None
):
    session = opened(1)
    give(session, message(1), message(2), message(3))
    session.doubt({"1": 1})
    assert written(session) == []
    session.doubt({"1": 2, "9": 5})
    assert written(session) == [Subscribe(1, since=3, ref="storm:1")]
    session.receive(Subscribed(1, 3, "storm:1"))
    assert give(session, message(2), message(3), message(4)) == [4]


def test_events_that_come_behind_a_heartbeat_raise_no_doubt_when_it_is_compared() -> None:
    session = opened(1)
    for head in range(1, 20, 2):
        give(session, message(head))
        session.doubt({"1": head})
        give(session, message(head + 1))
        session.compare({"1": head})
    assert written(session) == []


def rewound(session: Session, head: int, channel_id: int = 1) -> bool:
    step = session.receive(Subscribed(channel_id, head, f"storm:{channel_id}"))
    assert isinstance(step, SubscribeAnswer)
    return step.rewound


def test_another_epoch_begins_each_log_anew_where_it_ends_and_says_so_once() -> None:
    session = Session()
    session.opened("one")
    session.subscribe(1, 0)
    assert not rewound(session, 0)
    give(session, message(1), message(2))
    session.closed()
    session.opened("two")
    session.closed()  # before the answer
    session.opened("two")
    session.subscribe(2, 5)
    assert written(session) == [
        Subscribe(1, since=None, ref="storm:1"),
        Subscribe(2, since=5, ref="storm:2"),
    ]
    assert rewound(session, 1)
    assert not rewound(session, 5, channel_id=2)
    assert give(session, message(1), message(2)) == [2]
    session.closed()
    session.opened("two")
    assert written(session)[0] == Subscribe(1, since=2, ref="storm:1")
    assert not rewound(session, 2)


def test_the_first_epoch_and_a_hello_without_one_change_nothing() -> None:
    session = Session()
    session.subscribe(1, 7)
    for epoch in ("", "one", "", "one"):
        assert session.opened(epoch) == []
        assert written(session) == [Subscribe(1, since=7, ref="storm:1")]
        assert not rewound(session, 7)
        session.closed()
    assert session.epoch == "one"


def test_two_nodes_that_name_different_epochs_are_each_followed_from_their_end() -> None:
    session = Session()
    session.opened("one")
    session.subscribe(1, 0)
    rewound(session, 50)
    for epoch, head in (("two", 5), ("one", 50), ("two", 6)):
        session.closed()
        session.opened(epoch)
        assert written(session) == [Subscribe(1, since=None, ref="storm:1")]
        assert rewound(session, head)
        assert session.logs[1].last == head
        assert written(session) == []  # no more is asked until the next connection


def test_history_that_was_being_read_is_nobodys_after_another_epoch() -> None:
    session = Session()
    session.opened("one")
    session.subscribe(1, 0)
    session.receive(Subscribed(1, 3_000, "storm:1", Gap(1, 2_000)))
    before = session.logs[1]
    session.closed()
    session.opened("two")
    assert session.logs[1] is not before
    session.filled(1)
    assert written(session) == [Subscribe(1, since=None, ref="storm:1")]
    assert rewound(session, 10)
    assert session.logs[1].last == 10


def test_what_names_a_message_of_another_epoch_is_refused_and_what_does_not_is_sent() -> None:
    session = Session()
    session.opened("one")
    session.ask(Message(1, "said", ref="m"))
    session.ask(Edit(1, 9, "x", ref="e"))
    session.ask(Delete(1, 9, ref="d"))
    session.ask(React(1, 9, "👍", ref="r"))
    session.ask(Unreact(1, 9, "👍", ref="u"))
    session.ask(Read(1, 9, ref="c"))
    written(session)
    session.closed()
    assert session.opened("one") == []
    assert len(written(session)) == 6
    session.closed()
    answers = session.opened("two")
    assert {answer.ref for answer in answers} == set("edruc")
    assert all(isinstance(a.reply, Error) and a.reply.code == "conflict" for a in answers)
    assert written(session) == [Message(1, "said", ref="m")]


def test_a_position_that_was_kept_over_a_restart_says_of_which_epoch_it_is() -> None:
    session = Session()
    session.opened("two")
    session.subscribe(1, 7, "one")
    session.subscribe(2, 7, "two")
    session.subscribe(3, None, "one")
    assert [c.since for c in written(session) if isinstance(c, Subscribe)] == [None, 7, None]
    assert rewound(session, 9)
    assert not rewound(session, 9, channel_id=2)
    assert not rewound(session, 9, channel_id=3)


def test_a_subscription_that_is_refused_leaves_nothing_for_the_next_one() -> None:
    session = Session()
    session.opened("one")
    session.subscribe(1, 3)
    session.closed()
    session.opened("two")
    session.receive(Error("forbidden", "No.", "storm:1"))
    session.subscribe(1, None)
    assert not rewound(session, 4)


def test_a_gap_asks_for_history_and_then_for_the_rest() -> None:
    session = opened()
    session.subscribe(1, 0)
    written(session)
    reply = Subscribed(1, 3_000, "storm:1", Gap(1, 2_000))
    assert session.receive(reply) == SubscribeAnswer(1, reply, fill=True)
    assert give(session, message(2_001)) == []
    session.closed()
    session.opened()
    assert written(session) == []
    session.filled(1)
    assert written(session) == [Subscribe(1, since=2_500, ref="storm:1")]
    session.filled(1)
    session.filled(5)
    assert written(session) == []


def test_history_that_is_filled_without_a_connection_is_followed_up_by_the_next() -> None:
    session = opened()
    session.subscribe(1, 0)
    session.receive(Subscribed(1, 3_000, "storm:1", Gap(1, 2_000)))
    session.closed()
    session.filled(1)
    session.opened()
    assert written(session) == [Subscribe(1, since=2_500, ref="storm:1")]


def test_what_found_no_room_is_asked_for_again_once_there_is() -> None:
    session = opened(1, 2)
    session.no_room(message(1))
    assert session.logs[1].state is State.BEHIND
    assert give(session, message(2)) == []
    assert session.catch_up()
    assert written(session) == [Subscribe(1, since=0, ref="storm:1")]
    assert not session.catch_up()


def test_ephemeral_events_that_found_no_room_are_gone() -> None:
    session = opened(1)
    typing = TypingEvent(1, "alice", 6_000)
    assert session.receive(typing) == Deliver(typing)
    session.took(typing)
    session.no_room(typing)
    assert session.logs[1].state is State.LIVE


def test_events_of_channels_that_are_not_subscribed_are_dropped() -> None:
    session = opened()
    assert session.receive(message(1)) is None
    assert session.receive(Subscribed(1, 5)) is None
    session.took(message(1))
    session.no_room(message(1))


def test_a_deleted_channel_is_not_resumed() -> None:
    session = opened(1)
    event = ChannelDeleted(1, 1, "alice", TIME)
    assert session.receive(event) == Deliver(event)
    session.took(event)
    session.closed()
    session.opened()
    assert written(session) == []


def test_unsubscribing_is_told_to_the_server_once() -> None:
    session = opened(1)
    session.unsubscribe(1)
    session.unsubscribe(1)
    assert written(session) == [Unsubscribe(1)]


def test_replies_that_ask_for_nothing_are_let_pass() -> None:
    session = opened()
    for event in (Pong(), Error("invalid_command", "What?"), Error("internal", "Oh.", "?")):
        assert session.receive(event) is None
    assert session.receive(Error("internal", "Oh.", "storm:x")) is None


def test_an_event_of_a_kind_from_the_future_counts_in_the_log() -> None:
    event = decode(b'{"type":"message.pinned","channel_id":1,"seq":1,"by":"alice"}')
    assert event == Unknown(1, 1)
    session = opened(1)
    assert session.receive(event) == Deliver(event)
    session.took(event)
    assert give(session, message(2)) == [2]


@pytest.mark.parametrize("frame", [b"", b"[]", b'{"type":"news"}', b"\xff", b'{"type":"ack"}'])
def test_frames_that_say_nothing_to_this_client_are_dropped(frame: bytes) -> None:
    assert decode(frame) is None


def test_every_event_that_the_server_may_say_is_understood() -> None:
    assert decode(encode(message(1))) == message(1)


@given(st.data())
def test_over_any_number_of_breaks_all_is_received_once_and_each_send_is_acked(
    data: st.DataObject,
) -> None:
    """A model of the server: a log, refs that it knows, and a connection that loses frames."""
    log: list[str] = []
    refs: dict[str, int] = {}
    session = Session()
    session.subscribe(1, 0)
    received: list[str] = []
    acked: dict[str, int] = {}
    down: list[MessageEvent | Subscribed | Ack] = []
    replayed: list[MessageEvent] = []  # a replay is whole, or the connection breaks

    def serve(command: Command) -> None:
        if isinstance(command, Subscribe):
            since = command.since or 0
            down.append(Subscribed(1, len(log), command.ref))
            replay = [event(seq) for seq in range(since + 1, len(log) + 1)]
            replayed.extend(replay)
            down.extend(replay)
        elif isinstance(command, Message) and command.ref is not None:
            if command.ref not in refs:
                log.append(command.payload)
                refs[command.ref] = len(log)
                down.append(event(len(log)))
            down.append(Ack(command.ref, 1, refs[command.ref], refs[command.ref]))

    def event(seq: int) -> MessageEvent:
        return MessageEvent(1, log[seq - 1], "alice", seq, seq, TIME)

    def read() -> None:
        frame = down.pop(0)
        step = session.receive(frame)
        if isinstance(step, Deliver):
            if full:
                session.no_room(step.event)
                return
            session.took(step.event)
            assert isinstance(step.event, MessageEvent)
            received.append(step.event.payload)
        elif isinstance(step, Answer):
            assert isinstance(step.reply, Ack)
            assert step.reply.seq is not None
            acked[step.ref] = step.reply.seq

    session.opened()
    sent, full = 0, False
    for _ in range(data.draw(st.integers(0, 40))):
        what = data.draw(
            st.sampled_from(["send", "write", "read", "read", "lose", "break", "full", "room"])
        )
        if what == "send":
            sent += 1
            session.ask(Message(1, f"message {sent}", ref=f"r{sent}"))
        elif what == "write" and (command := session.next_command()) is not None:
            serve(command)
        elif what == "read" and down:
            read()
        elif what == "lose" and down and isinstance(down[0], MessageEvent):
            if not any(down[0] is frame for frame in replayed):
                down.pop(0)
        elif what == "break":
            down.clear()
            session.closed()
            session.opened()
        elif what == "full":
            full = True
        elif what == "room":
            full = False
            session.catch_up()
    full = False
    session.closed()
    down.clear()
    session.opened()
    for _ in range(1_000):
        if (command := session.next_command()) is not None:
            serve(command)
        elif down:
            read()
        elif not session.catch_up():
            session.compare({"1": len(log)})
            if not session.waiting:
                break
    assert received == log
    assert acked == refs
    assert sorted(log) == sorted(f"message {number}" for number in range(1, sent + 1))
