"""What happens to a message after it was sent: edits, deletion, reactions, reading."""

import asyncio
import sqlite3

import pytest
from store_harness import GENERAL, Harness, allow, only_sqlite, refuse

from storm_gateway.errors import ConflictError, ForbiddenError, NotFoundError
from storm_gateway.protocol.events import (
    MessageDeleted,
    MessageEdited,
    MessageEvent,
    ReactionAdded,
    ReactionRemoved,
)
from storm_gateway.store.records import Reaction


async def test_an_edit_takes_the_next_seq_and_shows_in_history_and_replay(
    harness: Harness,
) -> None:
    message = (await harness.append(GENERAL, "alice", "old")).event
    await harness.append(GENERAL, "bob")
    edited = await harness.store.messages.edit(GENERAL, message.id, "alice", "new", None, allow)

    assert edited == (message.id, 3)
    event = harness.events[-1]
    assert isinstance(event, MessageEdited)
    assert (event.seq, event.message_id, event.message_seq, event.payload) == (3, 1, 1, "new")
    history = await harness.store.messages.get(GENERAL, message.id)
    assert (history.payload, history.seq) == ("new", 1)
    assert history.edited_at == event.sent_at
    log = await harness.log(GENERAL)
    assert (log[0].payload, log[0].edited_at, log[2]) == ("new", event.sent_at, event)


async def test_the_rule_of_an_edit_sees_who_wrote_the_message(harness: Harness) -> None:
    message = (await harness.append(GENERAL, "alice", "mine")).event
    seen = []

    def only_the_author(access, author: str) -> None:
        seen.append(author)
        raise ForbiddenError("Only the author edits.")

    with pytest.raises(ForbiddenError):
        await harness.store.messages.edit(GENERAL, 1, "bob", "yours", None, only_the_author)
    with pytest.raises(ForbiddenError):
        await harness.store.messages.delete(GENERAL, 1, "bob", None, only_the_author)
    assert seen == ["alice", "alice"]
    assert await harness.log(GENERAL) == [message]


async def test_a_message_of_another_channel_or_none_is_not_found(harness: Harness) -> None:
    other = await harness.store.channels.create("other", "public", "", "alice")
    message = (await harness.append(GENERAL, "alice")).event
    messages = harness.store.messages
    for channel_id, message_id in ((other.id, message.id), (GENERAL, 99)):
        with pytest.raises(NotFoundError):
            await messages.edit(channel_id, message_id, "alice", "x", None, allow)
        with pytest.raises(NotFoundError):
            await messages.delete(channel_id, message_id, "alice", None, allow)
        with pytest.raises(NotFoundError):
            await messages.react(
                channel_id, message_id, "alice", "+", add=True, ref=None, rule=allow
            )


async def test_a_deleted_text_is_nowhere_any_more(harness: Harness) -> None:
    messages = harness.store.messages
    message = (await harness.append(GENERAL, "alice", "a secret word")).event
    await messages.edit(GENERAL, message.id, "alice", "another secret", None, allow)
    await messages.react(GENERAL, message.id, "bob", "👍", add=True, ref=None, rule=allow)
    seq = (await messages.delete(GENERAL, message.id, "moderator", None, allow))[1]

    event = harness.events[-1]
    assert isinstance(event, MessageDeleted)
    assert (event.seq, event.message_seq, event.user_id) == (seq, 1, "moderator")
    history = await messages.get(GENERAL, message.id)
    assert (history.payload, history.deleted, history.reactions) == ("", True, [])
    first, edit, _, deleted = await harness.log(GENERAL)
    assert (first.payload, first.deleted, edit.payload, deleted) == ("", True, "", event)


@only_sqlite
async def test_a_deleted_text_is_not_in_the_file_any_more(harness: Harness) -> None:
    message = (await harness.append(GENERAL, "alice", "a secret word")).event
    await harness.store.messages.edit(GENERAL, message.id, "alice", "another secret", None, allow)
    await harness.store.messages.delete(GENERAL, message.id, "moderator", None, allow)
    await harness.store.stop()
    file = harness.config.data_dir / "storm.db"
    assert b"secret" not in file.read_bytes()


async def test_deleting_twice_is_no_error_and_no_second_event(harness: Harness) -> None:
    await harness.append(GENERAL, "alice")
    delete = harness.store.messages.delete
    first = await delete(GENERAL, 1, "alice", "a", allow)
    assert await delete(GENERAL, 1, "alice", "b", allow) == first
    assert await delete(GENERAL, 1, "bob", None, allow) == first
    assert await delete(GENERAL, 1, "alice", "a", refuse) == first
    assert len(harness.events) == 2


async def test_a_deleted_message_can_neither_be_edited_nor_reacted_to(harness: Harness) -> None:
    await harness.append(GENERAL, "alice")
    messages = harness.store.messages
    await messages.delete(GENERAL, 1, "alice", None, allow)
    with pytest.raises(NotFoundError):
        await messages.edit(GENERAL, 1, "alice", "back", None, allow)
    with pytest.raises(NotFoundError):
        await messages.react(GENERAL, 1, "alice", "+", add=True, ref=None, rule=allow)


async def test_repeated_refs_of_changes_change_once(harness: Harness) -> None:
    await harness.append(GENERAL, "alice")
    messages = harness.store.messages
    edits = await asyncio.gather(
        *[messages.edit(GENERAL, 1, "alice", "new", "e", allow) for _ in range(5)]
    )
    assert set(edits) == {(1, 2)}
    assert await messages.edit(GENERAL, 1, "alice", "new", "e", refuse) == (1, 2)
    for _ in range(2):
        assert await messages.react(GENERAL, 1, "bob", "+", add=True, ref="r", rule=allow) == (1, 3)
    for _ in range(2):
        assert await messages.react(GENERAL, 1, "bob", "+", add=False, ref="u", rule=allow) == (
            1,
            4,
        )
    # The retry of an old command does not undo what came after it.
    assert await messages.react(GENERAL, 1, "bob", "+", add=True, ref="r", rule=allow) == (1, 3)
    assert (await messages.get(GENERAL, 1)).reactions == []
    assert len(await harness.log(GENERAL)) == 4


async def test_a_ref_used_for_another_command_is_a_conflict(harness: Harness) -> None:
    await harness.append(GENERAL, "alice")
    await harness.append(GENERAL, "alice")
    messages = harness.store.messages
    await messages.edit(GENERAL, 1, "alice", "new", "x", allow)
    with pytest.raises(ConflictError):
        await messages.delete(GENERAL, 1, "alice", "x", allow)
    with pytest.raises(ConflictError):
        await messages.edit(GENERAL, 2, "alice", "new", "x", allow)


async def test_reactions_are_told_stored_and_counted_once_each(harness: Harness) -> None:
    await harness.append(GENERAL, "alice")
    react = harness.store.messages.react

    async def add(user_id: str, emoji: str) -> int:
        return (await react(GENERAL, 1, user_id, emoji, add=True, ref=None, rule=allow))[1]

    assert [await add("zoe", "👍"), await add("bob", "🎉"), await add("bob", "👍")] == [2, 3, 4]
    # Adding what is there changes nothing: the message's own seq comes back.
    assert await add("bob", "👍") == 1
    shown = [Reaction("👍", ["zoe", "bob"]), Reaction("🎉", ["bob"])]
    assert (await harness.store.messages.page(GENERAL, limit=1))[0].reactions == shown
    took = await react(GENERAL, 1, "zoe", "👍", add=False, ref=None, rule=allow)
    assert took == (1, 5)
    assert await react(GENERAL, 1, "zoe", "👍", add=False, ref=None, rule=allow) == (1, 1)
    log = await harness.log(GENERAL)
    assert log == harness.events
    assert [type(event) for event in log] == [
        MessageEvent,
        ReactionAdded,
        ReactionAdded,
        ReactionAdded,
        ReactionRemoved,
    ]
    with pytest.raises(ForbiddenError):
        await react(GENERAL, 1, "zoe", "👍", add=True, ref=None, rule=refuse)


async def _unread(harness: Harness, user_id: str) -> int:
    return (await harness.store.channels.view(GENERAL, user_id)).unread


async def test_unread_counts_what_others_said_after_the_cursor_and_still_stands(
    harness: Harness,
) -> None:
    await harness.append(GENERAL, "bob", "before alice came")
    await harness.join(GENERAL, "alice")
    assert await _unread(harness, "alice") == 0
    theirs = [(await harness.append(GENERAL, "bob")).event for _ in range(3)]
    await harness.append(GENERAL, "alice", "own")
    assert await _unread(harness, "alice") == 3
    await harness.store.messages.react(
        GENERAL, theirs[0].id, "bob", "+", add=True, ref=None, rule=allow
    )
    assert await _unread(harness, "alice") == 3
    await harness.store.messages.delete(GENERAL, theirs[1].id, "bob", None, allow)
    assert await _unread(harness, "alice") == 2
    cursor = await harness.store.messages.set_read(GENERAL, "alice", theirs[0].seq)
    assert cursor == theirs[0].seq
    assert await _unread(harness, "alice") == 1
    assert await _unread(harness, "stranger") == 0


async def test_the_read_cursor_never_goes_back_nor_past_the_head(harness: Harness) -> None:
    await harness.join(GENERAL, "alice")
    for _ in range(5):
        await harness.append(GENERAL, "bob")
    set_read = harness.store.messages.set_read
    assert await set_read(GENERAL, "alice", 3) == 3
    assert await set_read(GENERAL, "alice", 2) == 3
    assert await set_read(GENERAL, "alice", 99) == 6
    assert (await harness.store.channels.view(GENERAL, "alice")).read_seq == 6
    assert len(harness.events) == 6


async def test_only_members_have_a_read_cursor(harness: Harness) -> None:
    await harness.append(GENERAL, "bob")
    with pytest.raises(ForbiddenError):
        await harness.store.messages.set_read(GENERAL, "bob", 1)
    hidden = await harness.store.channels.create("hidden", "private", "", "alice")
    with pytest.raises(NotFoundError):
        await harness.store.messages.set_read(hidden.id, "bob", 1)


async def test_the_author_of_old_messages_is_shown_as_deleted(harness: Harness) -> None:
    await harness.append(GENERAL, "bob", "still here")
    await harness.store.users.delete("bob")
    message = (await harness.store.messages.page(GENERAL, limit=1))[0]
    assert (message.payload, message.user_id, message.author_deleted) == (
        "still here",
        "bob",
        True,
    )


def test_the_test_of_forgotten_text_can_see_text_in_a_database_file(tmp_path) -> None:
    file = tmp_path / "plain.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE t (payload TEXT)")
    connection.execute("INSERT INTO t VALUES ('a secret word')")
    connection.commit()
    connection.close()
    assert b"secret" in file.read_bytes()
