"""Bans from the whole server, and what administrators look at."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from store_harness import GENERAL, Harness

from storm_gateway.errors import BannedError, ConflictError, ForbiddenError, NotFoundError

Open = Callable[..., Awaitable[Harness]]
SOON = 2_000_000_000.0


@pytest.fixture
async def people(harness: Harness) -> Harness:
    """Two administrators, and bob."""
    await harness.people("root", "other", "bob")
    for name in ("root", "other"):
        await harness.store.users.set_admin(name, True)
    return harness


async def test_a_ban_is_told_voids_every_login_and_ends_with_its_lifting(people: Harness) -> None:
    users, tokens = people.store.users, people.store.tokens
    await tokens.save(b"refresh", "family", "bob", SOON)
    banned = await users.ban("bob", "root")
    assert banned.banned_at is not None
    assert banned == await users.get("bob") == (await users.page(10, "a", "bob"))[0]
    # Again: no error, and it stays as it was.
    assert await users.ban("bob", "other") == banned
    found = await tokens.revocations(0)
    assert (found.banned, found.families) == (["bob"], ["family"])
    assert "bob" in found.users
    assert (await tokens.rotate(b"refresh", b"next", SOON, 0)).outcome == "unknown"
    with pytest.raises(BannedError):
        await tokens.save(b"another", "family2", "bob", SOON)
    with pytest.raises(BannedError):
        await users.ensure("bob")
    for _ in range(2):
        assert (await users.unban("bob")).banned_at is None
    assert (await tokens.revocations(0)).banned == []
    assert (await users.ensure("bob")).id == "bob"
    assert await tokens.save(b"another", "family2", "bob", SOON)
    assert (await tokens.rotate(b"refresh", b"next", SOON, 0)).outcome == "unknown"


async def test_who_is_banned_writes_and_joins_no_more_and_what_they_wrote_stays(
    people: Harness,
) -> None:
    await people.join(GENERAL, "bob")
    sent = await people.append(GENERAL, "bob", "before", ref="r")
    await people.store.users.ban("bob", "root")
    for write in (people.send(GENERAL, "bob", "after"), people.enter(GENERAL, "bob")):
        with pytest.raises(BannedError):
            await write
    (message,) = await people.store.messages.page(GENERAL, limit=10)
    assert (message.id, message.payload, message.author_deleted) == (
        sent.event.id,
        "before",
        False,
    )
    members = await people.store.channels.members(GENERAL, limit=10)
    assert [member.user_id for member in members] == ["bob"]
    await people.store.users.unban("bob")
    await people.append(GENERAL, "bob", "again")


async def test_a_ban_takes_administration_away_and_needs_an_administrator(people: Harness) -> None:
    users = people.store.users
    for by in ("bob", "nobody"):
        with pytest.raises((ForbiddenError, NotFoundError)):
            await users.ban("other", by)
    assert not (await users.ban("other", "root")).admin
    with pytest.raises(ForbiddenError):
        await users.ban("bob", "other")
    with pytest.raises(ConflictError, match="lift the ban"):
        await users.set_admin("other", True)
    assert not (await users.unban("other")).admin


async def test_nobody_bans_themself_or_the_last_administrator(people: Harness) -> None:
    users = people.store.users
    with pytest.raises(ConflictError, match="yourself"):
        await users.ban("root", "root")
    await users.ban("other")
    with pytest.raises(ConflictError, match="last server administrator"):
        await users.ban("root")
    assert (await users.get("root")).admin  # type: ignore[union-attr]
    for unknown in (users.ban("nobody", "root"), users.unban("nobody"), users.ban("nobody")):
        with pytest.raises(NotFoundError):
            await unknown
    await users.delete("bob")
    with pytest.raises(NotFoundError):
        await users.ban("bob", "root")


async def test_an_administrator_of_the_settings_counts_and_can_be_banned(open_store: Open) -> None:
    harness = await open_store(admins="boss, unborn")
    users = harness.store.users
    await harness.people("boss", "root")
    with pytest.raises(ConflictError, match="last"):
        await users.ban("boss")  # who is not there yet is no administrator either
    await users.set_admin("root", True)
    await users.ban("root", "boss")
    await users.unban("root")
    await users.set_admin("root", True)
    assert not (await users.ban("boss", "root")).admin
    with pytest.raises(ForbiddenError):
        await users.ban("root", "boss")
    assert (await users.unban("boss")).admin


async def test_of_two_administrators_who_ban_each_other_at_once_one_stays(
    open_store: Open,
) -> None:
    first = await open_store()
    # An unsafe SQLite lets nobody else at its file: there the two are on one node.
    facts = getattr(first.store._database, "facts", None)  # type: ignore[attr-defined]
    alone = facts is not None and not facts.safe
    nodes = [first, first if alone else await open_store()]
    for number in range(10):
        pair = [f"a{number}", f"b{number}"]
        await nodes[0].people(*pair)
        for name in pair:
            await nodes[0].store.users.set_admin(name, True)
        outcomes = await asyncio.gather(
            nodes[0].store.users.ban(pair[0], pair[1]),
            nodes[1].store.users.ban(pair[1], pair[0]),
            return_exceptions=True,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ForbiddenError", "User"]


async def test_administrators_page_through_all_channels_but_direct_ones(harness: Harness) -> None:
    channels = harness.store.channels
    await harness.people("alice", "bob")
    secret = await channels.create("secret_plans", "private", "100% ours", "alice")
    open_ = await channels.create("open", "public", "Plans for all", "alice")
    gone = await channels.create("gone", "public", "", "alice")
    await channels.delete(gone.id, "alice", lambda _: None)
    await channels.direct("alice", "bob")

    async def ids(*args: object) -> list[int]:
        return [channel.id for channel in await channels.page(*args)]  # type: ignore[arg-type]

    assert await ids(10) == [GENERAL, secret.id, open_.id]
    assert await ids(1) == [GENERAL]
    assert await ids(10, secret.id) == [open_.id]
    assert await ids(10, 0, "PLANS") == [secret.id, open_.id]
    assert await ids(10, 0, "0%") == [secret.id]
    assert await ids(10, 0, "t_p") == [secret.id]
    (found,) = await channels.page(10, 0, "secret")
    assert found == await channels.get(secret.id)
