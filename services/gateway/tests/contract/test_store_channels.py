"""Channels: names, visibility, direct ones, and what one user sees of them."""

import asyncio

import pytest
from store_harness import GENERAL, Harness, allow, refuse

from storm_gateway.errors import ConflictError, ForbiddenError, NameTakenError, NotFoundError
from storm_gateway.protocol.events import ChannelDeleted, ChannelUpdated, MemberJoined


async def test_a_new_store_has_one_public_channel_general_with_id_1(harness: Harness) -> None:
    channel = await harness.store.channels.get(GENERAL)
    assert (channel.id, channel.name, channel.visibility, channel.head, channel.member_count) == (
        1,
        "general",
        "public",
        0,
        0,
    )
    assert [view.id for view in await harness.store.channels.visible_to("anyone")] == [1]


async def test_the_creator_owns_the_channel(harness: Harness) -> None:
    await harness.people("alice")
    channel = await harness.store.channels.create("dev", "private", "code", "alice")
    assert (channel.name, channel.topic, channel.created_by) == ("dev", "code", "alice")
    assert (channel.member_count, channel.head) == (1, 1)
    (joined,) = harness.events
    assert isinstance(joined, MemberJoined)
    assert (joined.user_id, joined.role, joined.seq, joined.by) == ("alice", "owner", 1, None)
    assert (await harness.access(channel.id, "alice")).standing == "owner"
    assert await harness.store.channels.get(channel.id) == channel


async def test_names_are_unique_until_the_channel_is_deleted(harness: Harness) -> None:
    create = harness.store.channels.create
    first = await create("dev", "public", "", "alice")
    for visibility in ("public", "private"):
        with pytest.raises(NameTakenError):
            await create("dev", visibility, "", "bob")
    other = await create("ops", "public", "", "alice")
    with pytest.raises(NameTakenError):
        await harness.store.channels.update(other.id, "alice", allow, name="dev")
    await harness.store.channels.delete(first.id, "alice", allow)
    assert (await create("dev", "public", "", "bob")).id != first.id


async def test_of_many_who_take_a_name_at_once_one_gets_it(harness: Harness) -> None:
    results = await asyncio.gather(
        *[harness.store.channels.create("dev", "public", "", f"user{i}") for i in range(10)],
        return_exceptions=True,
    )
    assert sum(isinstance(result, NameTakenError) for result in results) == 9


async def test_users_see_public_channels_and_their_own_but_none_that_bans_them(
    harness: Harness,
) -> None:
    await harness.people("alice", "bob", "carol")
    channels = harness.store.channels
    private = await channels.create("private", "private", "", "alice")
    public = await channels.create("public", "public", "", "alice")
    await channels.remove(public.id, "carol", "alice", allow, ban=True)
    direct, _ = await channels.direct("alice", "bob")

    async def seen(user_id: str) -> list[tuple[int, str | None, str | None]]:
        return [(view.id, view.role, view.peer) for view in await channels.visible_to(user_id)]

    assert await seen("alice") == [
        (GENERAL, None, None),
        (private.id, "owner", None),
        (public.id, "owner", None),
        (direct.id, "member", "bob"),
    ]
    assert await seen("bob") == [
        (GENERAL, None, None),
        (public.id, None, None),
        (direct.id, "member", "alice"),
    ]
    assert await seen("carol") == [(GENERAL, None, None)]
    banned = await channels.view(public.id, "carol")
    assert (banned.role, banned.unread, banned.read_seq) == (None, 0, 0)


async def test_a_direct_channel_is_found_again_whoever_asks(harness: Harness) -> None:
    await harness.people("alice", "bob", "carol")
    direct = harness.store.channels.direct
    answers = await asyncio.gather(
        *[direct("bob", "alice") if i % 2 else direct("alice", "bob") for i in range(10)]
    )
    assert sorted(made for _, made in answers) == [False] * 9 + [True]
    assert len({channel.id for channel, _ in answers}) == 1
    channel = answers[0][0]
    assert (channel.visibility, channel.member_count) == ("direct", 2)
    assert (await direct("alice", "carol"))[1]
    first, second = harness.events_of(channel.id)
    # Whoever opened it joined by themselves, the other was brought.
    assert (first.user_id, first.by, second.user_id, second.by) == ("alice", None, "bob", "alice")


async def test_a_direct_channel_needs_two_users_who_exist(harness: Harness) -> None:
    await harness.people("alice", "bob")
    direct = harness.store.channels.direct
    with pytest.raises(ConflictError):
        await direct("alice", "alice")
    with pytest.raises(NotFoundError):
        await direct("alice", "nobody")
    await direct("alice", "bob")
    await harness.store.users.delete("bob")
    with pytest.raises(NotFoundError):
        await direct("alice", "bob")
    with pytest.raises(ConflictError):
        await harness.store.channels.create("x", "direct", "", "alice")


async def test_a_direct_channel_keeps_its_two_users_and_its_nature(harness: Harness) -> None:
    await harness.people("alice", "bob")
    channels = harness.store.channels
    channel, _ = await channels.direct("alice", "bob")
    with pytest.raises(ConflictError):
        await channels.leave(channel.id, "alice")
    with pytest.raises(ConflictError):
        await channels.update(channel.id, "alice", allow, name="ours")
    with pytest.raises(ConflictError):
        await channels.update(GENERAL, "alice", allow, visibility="direct")


async def test_changes_of_a_channel_are_stored_and_told(harness: Harness) -> None:
    channels = harness.store.channels
    channel = await channels.create("dev", "public", "", "alice")
    changed = await channels.update(
        channel.id, "alice", allow, name="devs", topic="all", visibility="private"
    )
    assert (changed.name, changed.topic, changed.visibility, changed.head) == (
        "devs",
        "all",
        "private",
        2,
    )
    log = await harness.log(channel.id)
    assert log == harness.events
    assert isinstance(log[1], ChannelUpdated)
    assert (log[1].name, log[1].topic, log[1].visibility, log[1].by) == (
        "devs",
        "all",
        "private",
        "alice",
    )
    # What changes nothing makes no event; an empty topic is a change.
    assert await channels.update(channel.id, "alice", allow, name="devs") == changed
    assert (await channels.update(channel.id, "alice", allow, topic="")).head == 3
    with pytest.raises(ForbiddenError):
        await channels.update(channel.id, "bob", refuse, topic="mine")


async def test_a_deleted_channel_ends_with_an_event_and_is_gone(harness: Harness) -> None:
    channels = harness.store.channels
    channel = await channels.create("dev", "public", "", "alice")
    with pytest.raises(ForbiddenError):
        await channels.delete(channel.id, "bob", refuse)
    await channels.delete(channel.id, "alice", allow)
    last = harness.events[-1]
    assert isinstance(last, ChannelDeleted)
    assert (last.seq, last.by) == (2, "alice")
    assert [view.id for view in await channels.visible_to("alice")] == [GENERAL]
    assert (await harness.access(channel.id, "alice")).deleted


async def test_access_of_many_pairs_is_answered_in_their_order(harness: Harness) -> None:
    await harness.people("alice", "root")
    await harness.store.users.set_admin("root", True)
    channel = await harness.store.channels.create("dev", "private", "", "alice")
    found = await harness.store.channels.access(
        [(channel.id, "alice"), (99, "alice"), (GENERAL, "ghost"), (channel.id, "root")]
    )
    assert found[1] is None
    assert [(a.channel_id, a.visibility, a.standing, a.admin) for a in found if a] == [
        (channel.id, "private", "owner", False),
        (GENERAL, "public", None, False),
        (channel.id, "private", None, True),
    ]
    assert await harness.store.channels.access([]) == []


async def test_administrators_named_by_the_settings_have_the_flag(open_store) -> None:
    harness = await open_store(admins="root, boss")
    await harness.people("root", "alice")
    assert (await harness.store.users.get("root")).admin
    assert not (await harness.store.users.get("alice")).admin
    assert (await harness.access(GENERAL, "boss")).admin


async def test_the_event_that_ended_a_channel_can_be_asked_for(harness: Harness) -> None:
    channels = harness.store.channels
    channel = await channels.create("short", "public", "", "alice")
    await harness.append(channel.id, "alice")
    assert await channels.deletion(channel.id) is None
    await channels.delete(channel.id, "alice", allow)
    assert await channels.deletion(channel.id) == harness.events[-1]
    assert isinstance(harness.events[-1], ChannelDeleted)
    assert await channels.deletion(GENERAL) is None
    assert await channels.deletion(4711) is None
