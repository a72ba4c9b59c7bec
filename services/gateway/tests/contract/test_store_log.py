"""The log of a channel: one order, no holes, nothing twice."""

import asyncio
import random

import pytest
from store_harness import GENERAL, NOON, Harness, allow, refuse

from storm_gateway.errors import (
    BannedError,
    ForbiddenError,
    InvalidCommandError,
    NotFoundError,
    UnauthenticatedError,
)
from storm_gateway.protocol.events import MessageEvent
from storm_gateway.store.records import Access


async def test_a_message_gets_the_next_seq_and_is_told_to_the_listener(harness: Harness) -> None:
    first = await harness.append(GENERAL, "alice", "one", sent_at=NOON + 5)
    second = await harness.append(GENERAL, "bob", "two")

    assert first.event == MessageEvent(
        channel_id=1,
        payload="one",
        user_id="alice",
        id=1,
        seq=1,
        sent_at="2025-11-22T12:00:00.005Z",
    )
    assert (second.event.id, second.event.seq, second.repeated) == (2, 2, False)
    assert harness.events == [first.event, second.event]
    assert harness.metrics.counts.messages == 2


async def test_hundreds_at_once_over_channels_are_gapless_and_told_in_order(
    harness: Harness,
) -> None:
    store = harness.store
    ids = [GENERAL]
    ids += [(await store.channels.create(f"c{i}", "public", "", "alice")).id for i in range(4)]
    harness.said.clear()
    pick = random.Random(7)
    futures = [
        harness.send(pick.choice(ids), f"user{i % 50}", f"text {i}", ref=f"r{i}")
        for i in range(800)
    ]
    assert store.queue_length == 800
    stored = [(await future).event for future in futures]

    assert store.queue_length == 0
    assert len({event.id for event in stored}) == 800
    for channel_id in ids:
        mine = [event for event in stored if event.channel_id == channel_id]
        seqs = [event.seq for event in mine]
        # In the order of sending, each the next, and told in that order.
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert harness.events_of(channel_id) == mine
        log = await harness.log(channel_id)
        assert [event for event in log if isinstance(event, MessageEvent)] == mine


async def test_the_listener_hears_before_the_senders_and_senders_in_commit_order(
    harness: Harness,
) -> None:
    await asyncio.gather(*[harness.send(GENERAL, "alice", str(i)) for i in range(300)])
    told: set[int] = set()
    answered = []
    for said in harness.said:
        if said.kind == "committed":
            told.update(event.seq for event in said.what)
        else:
            assert said.what.event.seq in told
            answered.append(said.what.event.seq)
    assert answered == list(range(1, 301))


async def test_a_repeated_ref_returns_the_first_outcome_and_stores_nothing(
    harness: Harness,
) -> None:
    first = await harness.append(GENERAL, "alice", "once", ref="a")
    again = await harness.append(GENERAL, "alice", "once", ref="a")
    assert again.repeated
    assert again.event == first.event
    assert harness.events == [first.event]
    assert len(await harness.log(GENERAL)) == 1


async def test_a_ref_repeated_within_one_commit_is_stored_once(harness: Harness) -> None:
    answers = await asyncio.gather(*[harness.send(GENERAL, "alice", ref="a") for _ in range(20)])
    assert [answer.repeated for answer in answers] == [False] + [True] * 19
    assert {(answer.event.id, answer.event.seq) for answer in answers} == {(1, 1)}
    assert len(harness.events) == 1


async def test_refs_belong_to_one_user_and_one_channel(harness: Harness) -> None:
    other = await harness.store.channels.create("other", "public", "", "alice")
    sent = await asyncio.gather(
        harness.send(GENERAL, "alice", ref="a"),
        harness.send(GENERAL, "bob", ref="a"),
        harness.send(other.id, "alice", ref="a"),
    )
    assert not any(answer.repeated for answer in sent)


async def test_a_ref_is_remembered_over_a_restart_and_after_the_right_is_gone(open_store) -> None:
    before = await open_store()
    first = await before.append(GENERAL, "alice", ref="a")
    await before.store.stop()
    after = await open_store()
    again = await after.append(GENERAL, "alice", ref="a", rule=refuse)
    assert (again.repeated, again.event) == (True, first.event)


async def test_the_repetition_of_a_message_that_was_edited_shows_it_as_it_is_now(
    harness: Harness,
) -> None:
    first = (await harness.append(GENERAL, "alice", "old", ref="a")).event
    await harness.store.messages.edit(GENERAL, first.id, "alice", "new", None, allow)
    again = (await harness.append(GENERAL, "alice", "old", ref="a")).event
    assert (again.id, again.seq, again.payload) == (first.id, first.seq, "new")
    assert again.edited_at is not None


async def test_a_rule_is_asked_with_the_access_of_that_moment(harness: Harness) -> None:
    seen: list[Access] = []
    await harness.people("alice", "bob")
    channel = await harness.store.channels.create("c", "private", "", "alice")
    await harness.store.users.set_admin("bob", True)
    await harness.append(channel.id, "alice", rule=seen.append)
    await harness.append(channel.id, "bob", rule=seen.append)
    assert seen == [
        Access(channel.id, "private", False, "owner", False),
        Access(channel.id, "private", False, None, True),
    ]


async def test_what_a_rule_refuses_is_not_stored_and_hurts_nobody_else(harness: Harness) -> None:
    def banned(access: Access) -> None:
        raise BannedError("Out.")

    results = await asyncio.gather(
        harness.send(GENERAL, "alice", "a"),
        harness.send(GENERAL, "bob", "b", rule=banned),
        harness.send(GENERAL, "carol", "c"),
        return_exceptions=True,
    )
    assert isinstance(results[1], BannedError)
    assert [event.payload for event in await harness.log(GENERAL)] == ["a", "c"]
    assert await harness.store.users.get("bob") is None


async def test_unknown_and_deleted_channels_are_not_found(harness: Harness) -> None:
    channel = await harness.store.channels.create("c", "public", "", "alice")
    stored = await harness.append(channel.id, "alice", ref="a")
    await harness.store.channels.delete(channel.id, "alice", allow)
    messages, channels = harness.store.messages, harness.store.channels
    for channel_id in (channel.id, 4711):
        for attempt in (
            harness.append(channel_id, "alice"),
            harness.append(channel_id, "alice", ref="a"),
            harness.join(channel_id, "alice"),
            messages.page(channel_id, limit=1),
            messages.replay(channel_id, 0, 10),
            messages.set_read(channel_id, "alice", 1),
            messages.edit(channel_id, stored.event.id, "alice", "x", None, allow),
            messages.delete(channel_id, stored.event.id, "alice", None, allow),
            messages.react(
                channel_id, stored.event.id, "alice", "+", add=True, ref=None, rule=allow
            ),
            channels.members(channel_id, limit=1),
            channels.add(channel_id, "alice", "alice", allow),
            channels.leave(channel_id, "alice"),
            channels.remove(channel_id, "alice", "alice", allow, ban=True),
            channels.unban(channel_id, "alice", "alice", allow),
            channels.set_role(channel_id, "alice", "member", "alice", allow),
            channels.update(channel_id, "alice", allow, topic="x"),
            channels.delete(channel_id, "alice", allow),
        ):
            with pytest.raises(NotFoundError):
                await attempt
        assert await messages.get(channel_id, stored.event.id) is None
        assert await channels.get(channel_id) is None
        assert await channels.view(channel_id, "alice") is None
    assert await channels.heads([GENERAL, channel.id, 4711]) == {GENERAL: 0}


async def test_an_unknown_author_becomes_a_user_and_a_deleted_one_cannot_write(
    harness: Harness,
) -> None:
    await harness.append(GENERAL, "new")
    assert (await harness.store.users.get("new")).display_name == "new"
    await harness.store.users.delete("new")
    with pytest.raises(UnauthenticatedError):
        await harness.append(GENERAL, "new")
    with pytest.raises(UnauthenticatedError):
        await harness.join(GENERAL, "new")


async def test_any_text_comes_back_as_it_was_but_the_null_character_is_refused(
    harness: Harness,
) -> None:
    texts = ["'\"\\", "\u2028\u0001\x7f", "👩‍👩‍👧‍👦 ok", '{"a": [1]}', " \n\t ", "ü" * 4000]
    for text in texts:
        await harness.append(GENERAL, text, text, ref=text[:64])
    assert [event.payload for event in await harness.log(GENERAL)] == texts
    assert [event.user_id for event in await harness.log(GENERAL)] == texts
    page = await harness.store.messages.page(GENERAL, limit=10)
    assert [message.payload for message in reversed(page)] == texts
    with pytest.raises(InvalidCommandError):
        await harness.append(GENERAL, "alice", "a\0b")
    with pytest.raises(InvalidCommandError):
        await harness.store.messages.edit(GENERAL, 1, "alice", "a\0b", None, allow)


async def test_pages_are_newest_first_and_meet_without_overlap(harness: Harness) -> None:
    for number in range(10):
        await harness.append(GENERAL, "alice", str(number))
    page = harness.store.messages.page

    def seqs(found: list) -> list[int]:
        return [message.seq for message in found]

    assert seqs(await page(GENERAL, limit=3)) == [10, 9, 8]
    assert seqs(await page(GENERAL, limit=3, before=8)) == [7, 6, 5]
    assert seqs(await page(GENERAL, limit=3, after=2)) == [5, 4, 3]
    assert seqs(await page(GENERAL, limit=100, after=4, before=7)) == [6, 5]
    assert seqs(await page(GENERAL, limit=5, after=10)) == []
    newest = (await page(GENERAL, limit=1))[0]
    assert (newest.subject, newest.created_at) == ("channels.1", "2025-11-22T12:00:00.000Z")
    assert await harness.store.messages.get(GENERAL, newest.id) == newest
    assert await harness.store.messages.get(GENERAL, 999) is None


async def test_replay_gives_what_was_missed_and_names_what_is_beyond_the_limit(
    harness: Harness,
) -> None:
    for number in range(10):
        await harness.append(GENERAL, "alice", str(number))
    replay = harness.store.messages.replay

    async def told(*args: int) -> tuple[int, list[int], tuple[int, int] | None]:
        found = await replay(GENERAL, *args)
        return found.head, [event.seq for event in found.events], found.gap

    assert await told(7, 100) == (10, [8, 9, 10], None)
    assert await told(10, 100) == (10, [], None)
    assert await told(99, 100) == (10, [], None)
    assert await told(2, 3) == (10, [8, 9, 10], (3, 7))
    assert await told(0, 10) == (10, list(range(1, 11)), None)
    assert await told(2, 100, 5) == (10, [3, 4, 5], None)
    assert await told(0, 2, 5) == (10, [4, 5], (1, 3))
    assert await told(6, 100, 5) == (10, [], None)
    assert await told(0, 0) == (10, [], (1, 10))


async def test_a_channel_without_events_replays_nothing(harness: Harness) -> None:
    found = await harness.store.messages.replay(GENERAL, 0, 10)
    assert (found.head, found.events, found.gap) == (0, [], None)


async def test_heads_follow_the_log(harness: Harness) -> None:
    other = await harness.store.channels.create("other", "public", "", "alice")
    await harness.append(GENERAL, "alice")
    assert await harness.store.channels.heads([other.id, GENERAL]) == {GENERAL: 1, other.id: 1}
    assert await harness.store.channels.heads([]) == {}


async def test_of_many_channels_only_those_that_moved_are_told(harness: Harness) -> None:
    channels = harness.store.channels
    other = await channels.create("other", "public", "", "alice")
    gone = await channels.create("gone", "public", "", "alice")
    await harness.append(GENERAL, "alice")
    heads = await channels.heads([GENERAL, other.id, gone.id])
    assert await channels.moved(heads) == {}
    assert await channels.moved({}) == {}
    await harness.append(other.id, "alice")
    assert await channels.moved(heads) == {other.id: heads[other.id] + 1}
    # A backup that was restored: the store is behind what is known.
    assert await channels.moved({GENERAL: 7}) == {GENERAL: 1}
    await channels.delete(gone.id, "alice", allow)
    assert await channels.moved({**heads, 4711: 0}) == {
        other.id: heads[other.id] + 1,
        gone.id: None,
        4711: None,
    }


async def test_forbidden_means_nothing_changed_at_all(harness: Harness) -> None:
    with pytest.raises(ForbiddenError):
        await harness.append(GENERAL, "alice", rule=refuse)
    assert await harness.store.channels.heads([GENERAL]) == {GENERAL: 0}
    assert harness.events == []
