"""Who belongs to a channel, and how they come and go."""

import asyncio
import time

import pytest
from store_harness import GENERAL, NOON, Harness, allow, refuse

from storm_gateway.errors import ConflictError, ForbiddenError, NotFoundError
from storm_gateway.protocol.events import MemberJoined, MemberLeft, MemberUpdated
from storm_gateway.store.records import Access, Channel


@pytest.fixture
async def dev(harness: Harness) -> Channel:
    """A private channel of alice (owner), bob and carol (members)."""
    await harness.people("alice", "bob", "carol", "dave")
    channel = await harness.store.channels.create("dev", "private", "", "alice")
    for user_id in ("bob", "carol"):
        await harness.store.channels.add(channel.id, user_id, "alice", allow)
    harness.said.clear()
    return channel


async def _standings(harness: Harness, channel_id: int, **options: bool) -> dict[str, str]:
    found = await harness.store.channels.members(channel_id, limit=100, **options)
    return {member.user_id: member.standing for member in found}


async def _count(harness: Harness, channel_id: int) -> int:
    return (await harness.store.channels.get(channel_id)).member_count


async def test_joining_makes_a_member_once_and_tells_it(harness: Harness) -> None:
    first, second = await asyncio.gather(
        harness.enter(GENERAL, "alice"), harness.enter(GENERAL, "alice")
    )
    assert (first.created, first.head, first.access.standing) == (True, 1, "member")
    assert (second.created, second.head, second.access) == (False, 1, first.access)
    assert not (await harness.join(GENERAL, "alice")).created
    (event,) = harness.events
    assert isinstance(event, MemberJoined)
    assert (event.user_id, event.role, event.sent_at) == (
        "alice",
        "member",
        "2025-11-22T12:00:00.000Z",
    )
    assert await harness.log(GENERAL) == [event]
    assert await _count(harness, GENERAL) == 1
    assert (await harness.store.users.get("alice")).id == "alice"


async def test_messages_and_joins_of_one_moment_share_one_order(harness: Harness) -> None:
    writes = []
    for number in range(100):
        writes.append(harness.enter(GENERAL, f"user{number}"))
        writes.append(harness.send(GENERAL, f"user{number}"))
    await asyncio.gather(*writes)
    assert await harness.log(GENERAL) == harness.events
    assert [event.seq for event in harness.events] == list(range(1, 201))


async def test_the_rule_decides_who_may_join(harness: Harness) -> None:
    seen: list[Access] = []

    def look(access: Access) -> None:
        seen.append(Access(access.channel_id, access.visibility, False, access.standing))
        refuse()

    with pytest.raises(ForbiddenError):
        await harness.join(GENERAL, "alice", rule=look)
    assert seen == [Access(GENERAL, "public", False, None)]
    assert await _count(harness, GENERAL) == 0
    assert harness.events == []


async def test_a_crowded_public_channel_counts_joins_and_leaves_in_silence(open_store) -> None:
    harness = await open_store(named_members=3)
    await asyncio.gather(*[harness.enter(GENERAL, f"user{i}") for i in range(6)])
    assert [event.user_id for event in harness.events] == ["user0", "user1", "user2"]
    quiet = await harness.join(GENERAL, "user6")
    assert (quiet.created, quiet.head) == (True, 3)
    assert await _count(harness, GENERAL) == 7
    await harness.store.channels.leave(GENERAL, "user0")
    assert len(harness.events) == 3
    # Who is removed must hear it, however many others there are.
    await harness.store.channels.remove(GENERAL, "user1", "mod", allow, ban=False)
    await harness.store.channels.remove(GENERAL, "user2", "mod", allow, ban=True)
    assert [event.reason for event in harness.events[3:]] == ["removed", "banned"]
    await harness.store.channels.leave(GENERAL, "user3")
    await harness.store.channels.leave(GENERAL, "user4")
    assert [event.user_id for event in harness.events[5:]] == ["user4"]
    assert await harness.log(GENERAL) == harness.events
    assert await _count(harness, GENERAL) == 2


async def test_a_private_channel_tells_all_joins_however_crowded(open_store) -> None:
    harness = await open_store(named_members=1)
    await harness.people("alice", "bob", "carol")
    channel = await harness.store.channels.create("dev", "private", "", "alice")
    await harness.store.channels.add(channel.id, "bob", "alice", allow)
    await harness.join(channel.id, "carol")
    await harness.store.channels.leave(channel.id, "bob")
    assert [event.user_id for event in harness.events] == ["alice", "bob", "carol", "bob"]


async def test_an_invited_user_is_a_member_with_nothing_unread(
    harness: Harness, dev: Channel
) -> None:
    await harness.append(dev.id, "alice", "before")
    add = harness.store.channels.add
    assert await add(dev.id, "dave", "alice", allow)
    assert not await add(dev.id, "dave", "alice", allow)
    event = harness.events[-1]
    assert isinstance(event, MemberJoined)
    assert (event.user_id, event.by, event.role) == ("dave", "alice", "member")
    view = await harness.store.channels.view(dev.id, "dave")
    assert (view.role, view.unread, view.member_count) == ("member", 0, 4)
    with pytest.raises(NotFoundError):
        await add(dev.id, "nobody", "alice", allow)
    with pytest.raises(ForbiddenError):
        await add(dev.id, "dave", "bob", refuse)


async def test_leaving_is_told_and_takes_the_right_away(harness: Harness, dev: Channel) -> None:
    await harness.store.channels.leave(dev.id, "bob")
    (event,) = harness.events
    assert isinstance(event, MemberLeft)
    assert (event.user_id, event.reason, event.by) == ("bob", "left", None)
    assert (await harness.access(dev.id, "bob")).standing is None
    assert await _count(harness, dev.id) == 2
    with pytest.raises(NotFoundError):
        await harness.store.channels.leave(dev.id, "bob")


async def test_the_last_owner_stays_while_others_are_members(
    harness: Harness, dev: Channel
) -> None:
    channels = harness.store.channels
    for attempt in (
        channels.leave(dev.id, "alice"),
        channels.remove(dev.id, "alice", "alice", allow, ban=False),
        channels.set_role(dev.id, "alice", "member", "alice", allow),
    ):
        with pytest.raises(ConflictError):
            await attempt
    await channels.set_role(dev.id, "bob", "owner", "alice", allow)
    await channels.leave(dev.id, "alice")
    await channels.leave(dev.id, "carol")
    await channels.leave(dev.id, "bob")
    assert await _count(harness, dev.id) == 0


async def test_removal_shows_both_to_the_rule_and_names_who_did_it(
    harness: Harness, dev: Channel
) -> None:
    seen = []

    def look(remover: Access, removed: Access) -> None:
        seen.append((remover.standing, removed.standing))

    await harness.store.channels.remove(dev.id, "bob", "alice", look, ban=False)
    assert seen == [("owner", "member")]
    (event,) = harness.events
    assert (event.user_id, event.reason, event.by) == ("bob", "removed", "alice")
    with pytest.raises(NotFoundError):
        await harness.store.channels.remove(dev.id, "bob", "alice", allow, ban=False)
    with pytest.raises(ForbiddenError):
        await harness.store.channels.remove(dev.id, "carol", "bob", refuse, ban=False)


async def test_a_ban_keeps_members_and_strangers_out_until_it_is_lifted(
    harness: Harness, dev: Channel
) -> None:
    channels = harness.store.channels
    await channels.remove(dev.id, "bob", "alice", allow, ban=True)
    await channels.remove(dev.id, "dave", "alice", allow, ban=True)
    await channels.remove(dev.id, "dave", "alice", allow, ban=True)
    assert [(event.user_id, event.reason) for event in harness.events] == [
        ("bob", "banned"),
        ("dave", "banned"),
    ]
    assert await _standings(harness, dev.id) == {"alice": "owner", "carol": "member"}
    assert await _standings(harness, dev.id, banned=True) == {"bob": "banned", "dave": "banned"}
    assert await _count(harness, dev.id) == 2
    for user_id in ("bob", "dave"):
        with pytest.raises(ConflictError):
            await channels.add(dev.id, user_id, "alice", allow)
        with pytest.raises(NotFoundError):
            await channels.leave(dev.id, user_id)
    with pytest.raises(NotFoundError):
        await channels.remove(dev.id, "bob", "alice", allow, ban=False)
    with pytest.raises(NotFoundError):
        await channels.set_role(dev.id, "bob", "moderator", "alice", allow)
    with pytest.raises(NotFoundError):
        await channels.remove(dev.id, "nobody", "alice", allow, ban=True)

    with pytest.raises(ForbiddenError):
        await channels.unban(dev.id, "bob", "carol", refuse)
    await channels.unban(dev.id, "bob", "alice", allow)
    with pytest.raises(NotFoundError):
        await channels.unban(dev.id, "bob", "alice", allow)
    assert (await harness.access(dev.id, "bob")).standing is None
    assert await channels.add(dev.id, "bob", "alice", allow)


async def test_a_join_does_not_lift_a_ban(harness: Harness) -> None:
    await harness.join(GENERAL, "bob")
    await harness.store.channels.remove(GENERAL, "bob", "mod", allow, ban=True)
    joined = await harness.join(GENERAL, "bob")
    assert (joined.created, joined.access.standing) == (False, "banned")


async def test_roles_change_once_and_are_told(harness: Harness, dev: Channel) -> None:
    set_role = harness.store.channels.set_role
    await set_role(dev.id, "bob", "moderator", "alice", allow)
    await set_role(dev.id, "bob", "moderator", "alice", allow)
    (event,) = harness.events
    assert isinstance(event, MemberUpdated)
    assert (event.user_id, event.role, event.by) == ("bob", "moderator", "alice")
    assert (await harness.log(dev.id))[-1] == event
    with pytest.raises(NotFoundError):
        await set_role(dev.id, "dave", "moderator", "alice", allow)
    with pytest.raises(ForbiddenError):
        await set_role(dev.id, "bob", "owner", "bob", refuse)


async def test_members_are_paged_by_id(harness: Harness, dev: Channel) -> None:
    await harness.store.users.update("bob", display_name="Bob B.")
    page = await harness.store.channels.members(dev.id, limit=2)
    assert [(member.user_id, member.display_name) for member in page] == [
        ("alice", "alice"),
        ("bob", "Bob B."),
    ]
    assert [
        m.user_id for m in await harness.store.channels.members(dev.id, limit=2, after="bob")
    ] == ["carol"]


async def test_a_right_taken_away_a_moment_ago_cannot_be_used(
    harness: Harness, dev: Channel
) -> None:
    def members_only(access: Access) -> None:
        if access.standing in (None, "banned"):
            raise ForbiddenError("Members only.")

    removal = asyncio.ensure_future(
        harness.store.channels.remove(dev.id, "bob", "alice", allow, ban=False)
    )
    await asyncio.sleep(0)
    # Both wait for the same commit; the message is behind the removal.
    message = harness.send(dev.id, "bob", rule=members_only)
    with pytest.raises(ForbiddenError):
        await message
    await removal


async def test_times_of_joins_are_those_of_the_command(harness: Harness) -> None:
    await harness.join(GENERAL, "alice", at=NOON + 1)
    (member,) = await harness.store.channels.members(GENERAL, limit=1)
    assert member.joined_at == "2025-11-22T12:00:00.001Z"


async def test_open_are_public_channels_without_a_banned_user(
    harness: Harness, dev: Channel
) -> None:
    quiet = await harness.store.channels.create("quiet", "public", "", "alice")
    gone = await harness.store.channels.create("gone", "public", "", "alice")
    await harness.store.channels.delete(gone.id, "alice", allow)
    every = [GENERAL, dev.id, quiet.id, gone.id, 4_711]
    assert await harness.store.channels.open(every) == {GENERAL, quiet.id}
    await harness.store.channels.remove(quiet.id, "dave", "alice", allow, ban=True)
    assert await harness.store.channels.open(every) == {GENERAL}
    await harness.store.channels.unban(quiet.id, "dave", "alice", allow)
    assert await harness.store.channels.open(every) == {GENERAL, quiet.id}
    assert await harness.store.channels.open([]) == set()


async def test_a_join_says_when_it_has_read_what_it_answers(harness: Harness) -> None:
    before = time.monotonic()
    joined = await harness.join(GENERAL, "alice")
    assert before <= joined.read_at <= time.monotonic()
