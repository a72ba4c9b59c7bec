"""One feed: what is kept for those who return, who is in the next pass, and with what."""

import pytest
from hub_harness import Listener

from storm_gateway.hub.feed import Feed
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import (
    MessageDeleted,
    MessageEdited,
    MessageEvent,
    ReactionAdded,
    TypingEvent,
)
from storm_gateway.protocol.websocket import text_frame

AT = "2025-11-22T12:00:00Z"
TYPING = text_frame(encode(TypingEvent(1, "bob", 6000)))


def message(seq: int, text: str = "hello") -> bytes:
    return text_frame(encode(MessageEvent(1, text, "bob", seq, seq, AT)))


def listened_to(listeners: int = 4) -> Feed:
    """A feed with so many subscribers that what is said is kept."""
    feed = Feed("channels.1", 1)
    feed.live_since = 1.0
    for _ in range(listeners):
        feed.add(Listener(), 0)
    return feed


def feed_with(*seqs: int, keep: int = 100, keep_bytes: int = 1_000_000, listeners: int = 0) -> Feed:
    """A feed that accepted these, and wrote them."""
    feed = listened_to(listeners)
    for seq in seqs:
        feed.accept(seq, message(seq), keep, keep_bytes)
    feed.begin_pass()
    feed.passing = None
    return feed


def run_pass(feed: Feed) -> None:
    """A whole pass at once."""
    running = feed.begin_pass()
    for target in running.targets:
        target.deliver(running.data, running.durable, running.ephemeral)
    feed.passing = None


def test_memory_gives_what_is_after_a_seq_and_says_when_it_does_not_reach() -> None:
    feed = feed_with(5, 6, 7, 8, listeners=4)
    assert feed.recent_after(8) == []
    assert feed.recent_after(9) == []
    assert feed.recent_after(6) == [message(7), message(8)]
    assert feed.recent_after(4) == [message(n) for n in (5, 6, 7, 8)]
    assert feed.recent_after(3) is None


def test_an_empty_memory_reaches_nowhere() -> None:
    feed = Feed("channels.1", 1)
    feed.seq = 3
    assert feed.recent_after(3) == []
    assert feed.recent_after(2) is None


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_memory_is_bounded_by_count(keep: int) -> None:
    feed = feed_with(*range(1, 11), keep=keep, listeners=4)
    assert [seq for seq, _ in feed.recent] == list(range(11 - keep, 11))
    assert feed.recent_bytes == sum(len(frame) for _, frame in feed.recent)
    assert feed.recent_after(9 - keep) is None


def test_memory_is_bounded_by_bytes() -> None:
    feed = listened_to()
    for seq in range(1, 50):
        feed.accept(seq, message(seq, "x" * 500), 1_000, 2_000)
        assert feed.recent_bytes == sum(len(frame) for _, frame in feed.recent) <= 2_000
    assert len(feed.recent) == 3
    feed.accept(50, message(50, "x" * 5_000), 1_000, 2_000)
    assert (len(feed.recent), feed.recent_bytes) == (0, 0)
    assert feed.recent_after(49) is None


@pytest.mark.parametrize("size", [10, 1_000, 70_000])
def test_what_was_edited_or_deleted_is_not_replayed_from_memory(size: int) -> None:
    rewrites = [
        MessageEdited(1, 4, 2, 2, "bob", "x" * size, AT),
        MessageDeleted(1, 4, 2, 2, "bob", AT),
    ]
    for event in rewrites:
        feed = feed_with(1, 2, 3, listeners=4)
        frame = text_frame(encode(event))
        feed.accept(4, frame, 100, 1_000_000)
        assert feed.recent_after(2) is None
        assert feed.recent_after(3) == [frame]
        assert feed.recent_bytes == len(frame)


def test_few_subscribers_have_nothing_kept_for_them_unless_somebody_catches_up() -> None:
    feed = feed_with(1, 2, listeners=3)
    assert feed.recent_after(1) is None
    returning = Listener()
    feed.begin_replay(returning, object())
    for seq in (3, 4):
        feed.accept(seq, message(seq), 100, 1_000_000)
    assert feed.recent_after(2) == [message(3), message(4)]
    feed.end_replay(returning)
    feed.accept(5, message(5), 100, 1_000_000)
    # Not the one after a hole: whole or not at all.
    feed.references = 1
    feed.accept(6, message(6), 100, 1_000_000)
    assert feed.recent_after(2) is None
    assert feed.recent_after(4) is None
    assert feed.recent_after(5) == [message(6)]
    assert feed.recent_bytes == len(message(6))


def test_subscribers_come_and_go_however_many_there_are() -> None:
    feed = Feed("channels.1", 1)
    everybody = [Listener() for _ in range(40)]
    for count, each in enumerate(everybody, 1):
        feed.add(each, 0)
        feed.add(each, 0)
        assert len(feed.subscribers) == count
    assert set(feed) == set(everybody)
    for left, each in enumerate(reversed(everybody)):
        feed.discard(each)
        feed.discard(each)
        assert set(feed) == set(everybody[: 39 - left])
    assert not feed.wanted
    for each in everybody:
        feed.add(each, 0)
    for each in everybody[1:]:
        feed.discard(each)
    feed.fit()
    assert feed.subscribers == (everybody[0],)
    few = listened_to(3)
    few.fit()
    first, second, third = few.subscribers
    few.discard(Listener())
    few.discard(second)
    assert list(few.subscribers) == [first, third]


def test_other_changes_leave_memory_alone_and_words_in_a_message_do_not_clear_it() -> None:
    feed = feed_with(1, 2, listeners=4)
    reaction = text_frame(encode(ReactionAdded(1, 3, 2, 2, "bob", "+", AT)))
    feed.accept(3, reaction, 100, 1_000_000)
    feed.accept(4, message(4, '{"type":"message.deleted"}'), 100, 1_000_000)
    assert feed.recent_after(0) == [
        message(1),
        message(2),
        reaction,
        message(4, '{"type":"message.deleted"}'),
    ]


async def test_a_joiner_gets_each_later_frame_once_whatever_it_has() -> None:
    for has in range(8):
        feed = feed_with(1, 2)
        for seq in (3, 4, 5):
            feed.accept(seq, message(seq), 100, 1_000_000)
        joiner = Listener()
        feed.add(joiner, max(has, 2))
        run_pass(feed)
        for seq in (6, 7, 8, 9):
            feed.accept(seq, message(seq), 100, 1_000_000)
            run_pass(feed)
        assert joiner.seqs == list(range(max(has, 2) + 1, 10)), f"a joiner that has {has}"
        assert not feed.joiners
        assert list(feed.subscribers) == [joiner]


async def test_a_joiner_ahead_of_the_feed_waits_for_it_and_hears_what_passes_meanwhile() -> None:
    feed = feed_with(1)
    joiner = Listener()
    feed.add(joiner, 3)
    feed.accept(2, message(2), 100, 1_000_000)
    feed.accept_ephemeral(TYPING)
    run_pass(feed)
    assert [event["type"] for event in joiner.heard] == ["typing"]
    assert joiner in feed.joiners
    for seq in (3, 4):
        feed.accept(seq, message(seq), 100, 1_000_000)
    run_pass(feed)
    assert joiner.seqs == [4]


async def test_a_joiner_that_is_gone_after_its_first_frame_does_not_become_a_subscriber() -> None:
    feed = feed_with(1)
    feed.accept(2, message(2), 100, 1_000_000)
    joiner = Listener()
    joiner.on_given = lambda: feed.discard(joiner)
    feed.add(joiner, 1)
    run_pass(feed)
    assert joiner.seqs == [2]
    assert not feed.wanted


async def test_a_joiner_stays_one_until_a_bounded_pass_reaches_it() -> None:
    feed = feed_with(1)
    for seq in range(2, 8):
        feed.accept(seq, message(seq, "x" * 100_000), 100, 1_000_000)
    joiner = Listener()
    feed.add(joiner, 6)
    while feed.pending:
        run_pass(feed)
    assert joiner.seqs == [7]
    assert list(feed.subscribers) == [joiner]


async def test_a_pass_is_bounded_in_bytes_and_never_empty() -> None:
    feed = feed_with(1)
    reader = Listener()
    feed.add(reader, 1)
    sizes = [100_000, 100_000, 100_000, 300_000, 10, 10]
    for seq, size in enumerate(sizes, 2):
        feed.accept(seq, message(seq, "x" * size), 100, 1_000_000)
    assert feed.pending_bytes == sum(len(frame) for _, frame in feed.pending)
    while feed.pending:
        run_pass(feed)
        assert feed.pending_bytes == sum(len(frame) for _, frame in feed.pending)
    assert reader.seqs == [2, 3, 4, 5, 6, 7]
    assert [len(data) > 256 * 1024 for data in reader.deliveries] == [False, False, True, False]


def test_senders_are_asked_to_pause_when_too_much_waits() -> None:
    feed = feed_with(1)
    seq = 1
    while not feed.congested:
        seq += 1
        feed.accept(seq, message(seq, "x" * 100_000), 1, 1)
    assert 8 * 1024 * 1024 < feed.pending_bytes < 9 * 1024 * 1024
    while feed.pending:
        run_pass(feed)
    assert not feed.congested
    assert feed.pending_bytes == 0


def test_ephemeral_frames_that_wait_are_bounded() -> None:
    feed = feed_with(1)
    big = text_frame(b'"' + b"x" * 300_000 + b'"')
    assert feed.accept_ephemeral(big), "one is always taken"
    assert not feed.accept_ephemeral(TYPING)
    run_pass(feed)
    taken = 0
    while feed.accept_ephemeral(TYPING):
        taken += 1
    assert taken == 256 * 1024 // len(TYPING)


async def test_durable_frames_come_before_ephemeral_ones_and_can_be_told_apart() -> None:
    feed = feed_with(1)
    reader = Listener()
    feed.add(reader, 1)
    feed.accept_ephemeral(TYPING)
    feed.accept(2, message(2), 100, 1_000_000)
    run_pass(feed)
    assert reader.deliveries == [message(2) + TYPING]
    assert reader.durables == [message(2)]


async def test_a_feed_knows_everyone_and_whether_anyone_wants_it() -> None:
    feed = feed_with(1)
    assert not feed.wanted
    present, joiner, replaying = Listener(), Listener(), Listener()
    feed.add(present, 1)
    feed.add(joiner, 5)
    feed.begin_replay(replaying, object())
    assert list(feed) == [present, joiner, replaying]
    for listener in (present, joiner, replaying):
        assert feed.wanted
        feed.discard(listener)
    assert not feed.wanted
    feed.discard(present)
    feed.references = 1
    assert feed.wanted


def test_what_feeds_share_cannot_be_written_to() -> None:
    first, second = Feed("channels.1", 1), Feed("channels.2", 2)
    assert first.held is second.held
    with pytest.raises(TypeError):
        first.held[1] = b""
    first.hold(1, message(1))
    first.references = 1
    first.accept(1, message(1), 10, 1_000)
    first.accept_ephemeral(TYPING)
    first.begin_replay(Listener(), object())
    first.add(Listener(), 5)
    # It has more than what was accepted, so it joins behind what is under way.
    for name in ("held", "recent", "pending", "ephemeral", "replaying", "joiners"):
        assert getattr(first, name), name
        assert not getattr(second, name), name
