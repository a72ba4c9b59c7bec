"""People and their logins."""

import asyncio
import time
from typing import Any

import pytest
from store_harness import GENERAL, Harness, allow

from storm_gateway.errors import ConflictError, NameTakenError, NotFoundError, UnauthenticatedError
from storm_gateway.store.records import ImportMessage, Revocations, Rotation

NOW = 1_763_812_800.5


async def test_a_user_is_made_once_and_found_again(harness: Harness) -> None:
    users = harness.store.users
    made = await users.create("alice", "Alice A.", "hash")
    assert (made.id, made.display_name, made.admin, made.deleted) == (
        "alice",
        "Alice A.",
        False,
        False,
    )
    assert await users.get("alice") == made
    assert await users.password_hash("alice") == "hash"
    assert await users.get("nobody") is None
    assert await users.password_hash("nobody") is None
    with pytest.raises(NameTakenError):
        await users.create("alice", "Another", "hash")


async def test_ensure_makes_an_unknown_user_without_a_password(harness: Harness) -> None:
    users = harness.store.users
    found = await asyncio.gather(*[users.ensure("foreign") for _ in range(5)])
    assert {user.display_name for user in found} == {"foreign"}
    assert await users.password_hash("foreign") is None
    assert await users.ensure("foreign") == found[0]


async def test_a_hash_is_renewed_only_where_it_was_not_changed_meanwhile(
    harness: Harness,
) -> None:
    users = harness.store.users
    await users.create("alice", "Alice", "weak")
    await users.rehash("alice", "weak", "strong")
    await users.rehash("alice", "weak", "late")
    assert await users.password_hash("alice") == "strong"
    # The password is the same: nothing issued for it is void.
    assert (await harness.store.tokens.revocations(0)).users == {}


async def test_users_are_paged_searched_and_deleted_ones_left_out(harness: Harness) -> None:
    users = harness.store.users
    for user_id, name in (("a_1", "Ann"), ("a%2", "Berta"), ("b", "ANNA"), ("c", "Carl")):
        await users.create(user_id, name, None)
    await users.delete("c")

    async def ids(*args: object, **options: str) -> list[str]:
        return [user.id for user in await users.page(*args, **options)]

    assert await ids(10) == ["a%2", "a_1", "b"]
    assert await ids(1, after="a%2") == ["a_1"]
    assert await ids(10, contains="ann") == ["a_1", "b"]
    assert await ids(10, contains="_") == ["a_1"]
    assert await ids(10, contains="%") == ["a%2"]


async def test_what_is_changed_is_changed_and_nothing_else(harness: Harness) -> None:
    users = harness.store.users
    await users.create("alice", "Alice", "old")
    assert (await users.update("alice", display_name="Al")).display_name == "Al"
    assert await users.password_hash("alice") == "old"
    assert (await users.update("alice")).display_name == "Al"
    assert (await users.set_admin("alice", True)).admin
    assert not (await users.set_admin("alice", False)).admin
    for attempt in (
        users.update("nobody", display_name="x"),
        users.set_admin("nobody", True),
        users.delete("nobody"),
    ):
        with pytest.raises(NotFoundError):
            await attempt


async def test_a_new_password_voids_what_was_issued_before(harness: Harness) -> None:
    users, tokens = harness.store.users, harness.store.tokens
    await users.create("alice", "Alice", "old")
    await tokens.save(b"1", "family", "alice", NOW + 100)
    before = time.time()
    await users.update("alice", password_hash="new")
    assert await users.password_hash("alice") == "new"
    assert (await tokens.rotate(b"1", b"2", NOW + 200, NOW)).outcome == "unknown"
    voided = (await tokens.revocations(0)).users
    assert before - 0.002 <= voided["alice"] <= time.time()


async def test_a_login_by_a_password_that_was_changed_is_not_stored(harness: Harness) -> None:
    users, tokens = harness.store.users, harness.store.tokens
    await users.create("alice", "Alice", "old")
    assert await tokens.save(b"1", "first", "alice", NOW + 100, "old")
    await users.update("alice", password_hash="new")
    assert not await tokens.save(b"2", "second", "alice", NOW + 100, "old")
    assert (await tokens.rotate(b"2", b"3", NOW + 200, NOW)).outcome == "unknown"
    assert await tokens.save(b"4", "third", "alice", NOW + 100, "new")
    await users.delete("alice")
    assert not await tokens.save(b"5", "fourth", "alice", NOW + 100, "new")


async def test_a_deleted_user_is_forgotten_but_for_the_id(harness: Harness) -> None:
    users, channels = harness.store.users, harness.store.channels
    await harness.people("bob")
    await users.create("alice", "Alice", "hash")
    await users.set_admin("alice", True)
    owned = await channels.create("owned", "private", "", "alice")
    await channels.add(owned.id, "bob", "alice", allow)
    direct, _ = await channels.direct("alice", "bob")
    await harness.join(GENERAL, "alice")
    hostile = await channels.create("hostile", "public", "", "bob")
    await channels.remove(hostile.id, "alice", "bob", allow, ban=True)
    message = (await harness.append(owned.id, "alice", "remains")).event
    await harness.store.tokens.save(b"1", "family", "alice", time.time() + 100)
    harness.said.clear()

    await users.delete("alice")

    gone = await users.get("alice")
    assert (gone.display_name, gone.admin, gone.deleted) == ("", False, True)
    assert await users.password_hash("alice") is None
    # Out of everywhere, also where she was the last owner; the ban is forgotten in silence.
    assert sorted((e.channel_id, e.user_id, e.reason) for e in harness.events) == [
        (GENERAL, "alice", "left"),
        (owned.id, "alice", "left"),
        (direct.id, "alice", "left"),
    ]
    assert [m.user_id for m in await channels.members(owned.id, limit=9)] == ["bob"]
    assert (await channels.get(owned.id)).member_count == 1
    assert (await channels.get(hostile.id)).member_count == 1
    assert (await harness.store.messages.get(owned.id, message.id)).payload == "remains"
    rotation = await harness.store.tokens.rotate(b"1", b"2", time.time() + 9, time.time())
    assert rotation.outcome == "unknown"
    assert (await harness.store.tokens.revocations(0)).deleted == ["alice"]
    with pytest.raises(UnauthenticatedError):
        await users.ensure("alice")
    with pytest.raises(NameTakenError):
        await users.create("alice", "Another", "hash")
    for attempt in (users.delete("alice"), users.update("alice", display_name="x")):
        with pytest.raises(NotFoundError):
            await attempt


async def test_a_deleted_user_leaves_crowded_channels_in_silence(open_store) -> None:
    harness = await open_store(named_members=1)
    await asyncio.gather(*[harness.enter(GENERAL, f"user{i}") for i in range(3)])
    harness.said.clear()
    await harness.store.users.delete("user1")
    assert harness.events == []
    assert (await harness.store.channels.get(GENERAL)).member_count == 2


async def test_a_refresh_token_is_swapped_once_and_its_reuse_ends_the_login(
    harness: Harness,
) -> None:
    tokens = harness.store.tokens
    await tokens.save(b"1", "family", "alice", NOW + 100)
    await tokens.save(b"x", "other", "alice", NOW + 100)
    assert await tokens.rotate(b"1", b"2", NOW + 200, NOW) == Rotation("rotated", "alice", "family")
    assert await tokens.rotate(b"2", b"3", NOW + 300, NOW + 150) == Rotation(
        "rotated", "alice", "family"
    )
    assert await tokens.rotate(b"2", b"4", NOW + 300, NOW + 151) == Rotation(
        "reused", "alice", "family"
    )
    # Neither the thief's nor the owner's token is of use any more; other logins are.
    for token in (b"2", b"3", b"4"):
        assert (await tokens.rotate(token, b"5", NOW + 300, NOW + 152)).outcome == "unknown"
    assert (await tokens.rotate(b"x", b"y", NOW + 300, NOW + 50)).outcome == "rotated"
    assert await tokens.revocations(NOW) == Revocations(["family"], {}, [])
    assert await tokens.revocations(NOW + 1000) == Revocations([], {}, [])


async def test_of_two_who_use_a_token_at_once_one_wins_and_the_login_ends(
    harness: Harness,
) -> None:
    tokens = harness.store.tokens
    await tokens.save(b"1", "family", "alice", NOW + 100)
    found = await asyncio.gather(
        tokens.rotate(b"1", b"2", NOW + 200, NOW), tokens.rotate(b"1", b"3", NOW + 200, NOW)
    )
    assert [rotation.outcome for rotation in found] == ["rotated", "reused"]


async def test_a_second_use_within_moments_for_the_same_successor_changes_nothing(
    harness: Harness,
) -> None:
    tokens = harness.store.tokens
    await tokens.save(b"1", "family", "alice", NOW + 100)
    await tokens.save(b"other", "another", "alice", NOW + 100)
    found = await asyncio.gather(
        *[tokens.rotate(b"1", b"2", NOW + 200, NOW + late) for late in (0, 9.9, -9.9)]
    )
    assert [rotation.outcome for rotation in found] == ["rotated", "again", "again"]
    assert {(rotation.user_id, rotation.family) for rotation in found} == {("alice", "family")}
    assert await tokens.revocations(0) == Revocations([], {}, [])
    # The successor was used: the second use is no double click any more.
    assert (await tokens.rotate(b"2", b"3", NOW + 200, NOW)).outcome == "rotated"
    assert (await tokens.rotate(b"1", b"2", NOW + 200, NOW + 1)).outcome == "reused"
    assert (await tokens.rotate(b"3", b"4", NOW + 200, NOW + 1)).outcome == "unknown"
    # A successor of another login is none.
    await tokens.save(b"5", "family 5", "alice", NOW + 100)
    await tokens.rotate(b"5", b"6", NOW + 200, NOW)
    assert (await tokens.rotate(b"5", b"other", NOW + 200, NOW)).outcome == "reused"


async def test_a_second_use_after_ten_seconds_ends_the_login(harness: Harness) -> None:
    tokens = harness.store.tokens
    await tokens.save(b"1", "family", "alice", NOW + 100)
    await tokens.rotate(b"1", b"2", NOW + 200, NOW)
    assert (await tokens.rotate(b"1", b"2", NOW + 200, NOW + 10)).outcome == "reused"
    assert (await tokens.rotate(b"2", b"3", NOW + 200, NOW + 11)).outcome == "unknown"


async def test_expired_and_unknown_refresh_tokens_are_of_no_use(harness: Harness) -> None:
    tokens = harness.store.tokens
    await tokens.save(b"1", "family", "alice", NOW)
    assert (await tokens.rotate(b"1", b"2", NOW + 100, NOW)).outcome == "unknown"
    assert (await tokens.rotate(b"?", b"2", NOW + 100, NOW)).outcome == "unknown"


async def test_logout_ends_one_login_and_revoke_user_all(harness: Harness) -> None:
    tokens = harness.store.tokens
    for name in (b"1", b"2", b"3"):
        await tokens.save(name, f"family{name.decode()}", "alice", NOW + 1e9)
    assert await tokens.revoke(b"1") == "family1"
    assert await tokens.revoke(b"1") is None
    assert (await tokens.revocations(0)).families == ["family1"]
    await tokens.revoke_user("alice", NOW)
    await tokens.revoke_user("alice", NOW + 5)
    await tokens.revoke_user("alice", NOW + 1)
    assert (await tokens.revocations(0)).users == {"alice": NOW + 5}
    # By name, too: clocks of nodes differ, so a time alone would miss some.
    found = (await tokens.revocations(0)).families
    assert sorted(found) == ["family1", "family2", "family3"]
    assert await tokens.revoke(b"2") is None


async def test_what_expired_is_forgotten_and_nothing_else(open_store) -> None:
    harness = await open_store(access_token_seconds=900)
    tokens = harness.store.tokens
    await tokens.save(b"old", "a", "alice", NOW)
    await tokens.save(b"new", "b", "alice", NOW + 100)
    await tokens.save(b"used", "c", "bob", NOW + 100)
    await tokens.rotate(b"used", b"next", NOW + 100, NOW)
    await tokens.rotate(b"used", b"nexts", NOW + 100, NOW)
    await tokens.revoke_user("carol", NOW)
    assert await tokens.purge(NOW) == 1
    # Access tokens of the revoked login may live for 15 minutes more.
    assert (await tokens.revocations(0)).families == ["c"]
    assert await tokens.purge(NOW + 901) == 2
    # Foreign tokens may live for any time, so what was said of a user stays.
    assert await tokens.revocations(0) == Revocations([], {"carol": NOW}, [])


def _old(number: int, user_id: str = "ann") -> ImportMessage:
    return ImportMessage(user_id, f"text {number}", 1_149_160_920_000 + number, f"line {number}")


async def test_an_import_keeps_authors_and_times_and_can_be_repeated(harness: Harness) -> None:
    load = harness.store.messages.load
    first = await load("ubuntu", [_old(1), _old(2, "ben"), _old(2, "ben")], "irc")
    again = await load("ubuntu", [_old(1), _old(2, "ben"), _old(3)], "irc")
    other = await load("ubuntu", [_old(1)], "slack")
    channel_id = first[0]
    assert (first, again, other) == ((channel_id, 2, 1), (channel_id, 1, 2), (channel_id, 1, 0))
    assert await load("ubuntu", [], "irc") == (channel_id, 0, 0)
    log = await harness.log(channel_id)
    assert [(event.user_id, event.payload) for event in log] == [
        ("ann", "text 1"),
        ("ben", "text 2"),
        ("ann", "text 3"),
        ("ann", "text 1"),
    ]
    assert log[0].sent_at == "2006-06-01T11:22:00.001Z"
    assert (await harness.store.users.get("ben")).display_name == "ben"
    channel = await harness.store.channels.get(channel_id)
    assert (channel.visibility, channel.created_by, channel.head) == ("public", "", 4)
    assert harness.events == []
    # The log goes on after it.
    assert (await harness.append(channel_id, "ann")).event.seq == 5


async def test_an_imported_channel_belongs_to_the_first_administrator(harness: Harness) -> None:
    await harness.people("zed", "root")
    await harness.store.users.set_admin("root", True)
    channel_id, *_ = await harness.store.messages.load("old", [_old(1)], "irc")
    assert (await harness.access(channel_id, "root")).standing == "owner"
    assert (await harness.log(channel_id))[1].payload == "text 1"


async def test_history_is_not_imported_into_a_private_channel(harness: Harness) -> None:
    await harness.store.channels.create("secret", "private", "", "alice")
    with pytest.raises(ConflictError):
        await harness.store.messages.load("secret", [_old(1)], "irc")


async def test_a_null_character_in_old_history_is_replaced(harness: Harness) -> None:
    channel_id, *_ = await harness.store.messages.load(
        "old", [ImportMessage("ann", "a\0b", 0, "k")], "irc"
    )
    assert (await harness.log(channel_id))[0].payload == "a\ufffdb"


async def test_users_who_come_at_once_are_looked_up_together(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = harness.store.users
    names = [f"old{number}" for number in range(5)]
    for name in names:
        await users.ensure(name)
    reads: list[object] = []
    pool = type(users._backend.reads)
    real = pool.run

    async def run(self: Any, read: Any, *rest: Any) -> Any:
        reads.append(read)
        return await real(self, read, *rest)

    monkeypatch.setattr(pool, "run", run)
    found = await asyncio.gather(*[users.ensure(name) for name in (*names, "new")])
    assert [user.id for user in found] == [*names, "new"]
    assert len(reads) == 1
