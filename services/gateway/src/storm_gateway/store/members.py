"""Who belongs to a channel: coming, going, roles and bans."""

from collections.abc import Callable
from typing import Literal

from sqlalchemy import ColumnElement, delete, exists, func, insert, select, update

from storm_gateway.errors import ConflictError, NotFoundError
from storm_gateway.protocol.events import MemberJoined, MemberLeft, MemberUpdated, Role
from storm_gateway.store.records import Access, Standing
from storm_gateway.store.tables import channels, members, users
from storm_gateway.store.transaction import State, Transaction

Rule = Callable[[Access], None]
PairRule = Callable[[Access, Access], None]

NOT_A_MEMBER = "This user is not a member of the channel."
LAST_OWNER = "The last owner cannot go while others are members: make someone else owner first."


def enter(
    tx: Transaction,
    channel_id: int,
    user_id: str,
    role: Role,
    by: str | None,
) -> None:
    """Make a member of someone who is none. What was said before counts as read."""
    seq = tx.next_seq(channel_id)
    _count(tx, channel_id, 1)
    tx.connection.execute(
        insert(members).values(
            channel_id=channel_id, user_id=user_id, standing=role, joined_at=tx.now, read_seq=seq
        )
    )
    event = MemberJoined(channel_id, seq, user_id, role, tx.sent_at, by)
    tx.log(event, actor=by or user_id)


def add(tx: Transaction, channel_id: int, user_id: str, by: str, rule: Rule) -> bool:
    """Invite; False when already a member."""
    tx.lock([channel_id], [user_id])
    rule(tx.state(channel_id, by).access)
    state = tx.state(channel_id, user_id)
    if not state.user_known or state.user_deleted:
        raise NotFoundError("There is no such user.")
    if state.access.standing == "banned":
        raise ConflictError("This user is banned from the channel: lift the ban first.")
    if state.access.standing is not None:
        return False
    enter(tx, channel_id, user_id, "member", by if by != user_id else None)
    return True


def leave(tx: Transaction, channel_id: int, user_id: str) -> None:
    """Give up one's membership."""
    state = tx.state(channel_id, user_id)
    if state.access.standing in (None, "banned"):
        raise NotFoundError(NOT_A_MEMBER)
    if state.channel.visibility == "direct":
        raise ConflictError("A direct channel keeps its two users.")
    _keep_an_owner(tx, state)
    _go(tx, state, user_id, "left", None)


def remove(
    tx: Transaction, channel_id: int, user_id: str, by: str, rule: PairRule, *, ban: bool
) -> None:
    """Take membership away; with ``ban``, for good."""
    remover = tx.state(channel_id, by)
    state = tx.state(channel_id, user_id)
    rule(remover.access, state.access)
    standing = state.access.standing
    if standing == "banned" and ban:
        return
    if ban and not state.user_known:
        raise NotFoundError("There is no such user.")
    if standing in (None, "banned") and not ban:
        raise NotFoundError(NOT_A_MEMBER)
    _keep_an_owner(tx, state)
    _go(tx, state, user_id, "banned" if ban else "removed", by)


def unban(tx: Transaction, channel_id: int, user_id: str, by: str, rule: Rule) -> None:
    """Lift a ban. The user may come again, but is no member yet."""
    rule(tx.state(channel_id, by).access)
    if tx.state(channel_id, user_id).access.standing != "banned":
        raise NotFoundError("This user is not banned from the channel.")
    tx.connection.execute(delete(members).where(_row(channel_id, user_id)))


def set_role(
    tx: Transaction, channel_id: int, user_id: str, role: Role, by: str, rule: PairRule
) -> None:
    """Give a member another role."""
    giver = tx.state(channel_id, by)
    state = tx.state(channel_id, user_id)
    rule(giver.access, state.access)
    standing = state.access.standing
    if standing in (None, "banned"):
        raise NotFoundError(NOT_A_MEMBER)
    if standing == role:
        return
    _keep_an_owner(tx, state)
    tx.connection.execute(update(members).where(_row(channel_id, user_id)).values(standing=role))
    seq = tx.next_seq(channel_id)
    tx.log(MemberUpdated(channel_id, seq, user_id, role, by, tx.sent_at), actor=by)


def leave_all(tx: Transaction, user_id: str) -> None:
    """A deleted user's way out of everywhere; bans of the user are forgotten too.

    The last owner may go this way: the channel is then in the hands of administrators.
    """
    query = (
        select(channels.c.id)
        .join(members, members.c.channel_id == channels.c.id)
        .where(
            members.c.user_id == user_id,
            members.c.standing != "banned",
            channels.c.deleted_at.is_(None),
        )
        .order_by(channels.c.id)
    )
    for (channel_id,) in tx.rows(query):
        state = tx.state(channel_id, user_id)
        crowded = state.channel.member_count > tx.settings.named_members
        _go(tx, state, user_id, "left", None, quiet=crowded)
    tx.connection.execute(delete(members).where(members.c.user_id == user_id))


def _go(
    tx: Transaction,
    state: State,
    user_id: str,
    reason: Literal["left", "removed", "banned"],
    by: str | None,
    *,
    quiet: bool = False,
) -> None:
    channel = state.channel
    standing: Standing | None = state.access.standing
    if reason != "banned":
        tx.connection.execute(delete(members).where(_row(channel.id, user_id)))
    elif standing is None:
        tx.connection.execute(
            insert(members).values(
                channel_id=channel.id,
                user_id=user_id,
                standing="banned",
                joined_at=tx.now,
                read_seq=0,
            )
        )
    else:
        tx.connection.execute(
            update(members)
            .where(_row(channel.id, user_id))
            .values(standing="banned", joined_at=tx.now)
        )
    if standing is not None:
        _count(tx, channel.id, -1)
    if reason == "left" and channel.visibility == "public":
        # As with joins: what hardly anyone looks at is not told to everyone.
        quiet = quiet or channel.member_count > tx.settings.named_members
    if not quiet:
        seq = tx.next_seq(channel.id)
        event = MemberLeft(channel.id, seq, user_id, reason, tx.sent_at, by)
        tx.log(event, actor=by or user_id)


def _keep_an_owner(tx: Transaction, state: State) -> None:
    if state.access.standing != "owner" or state.channel.member_count <= 1:
        return
    owners = select(func.count()).where(
        members.c.channel_id == state.channel.id, members.c.standing == "owner"
    )
    if tx.connection.execute(owners).scalar_one() <= 1:
        raise ConflictError(LAST_OWNER)


def _count(tx: Transaction, channel_id: int, by: int) -> None:
    tx.connection.execute(
        update(channels)
        .where(channels.c.id == channel_id)
        .values(member_count=channels.c.member_count + by)
    )


def _row(channel_id: int, user_id: str) -> ColumnElement[bool]:
    return (members.c.channel_id == channel_id) & (members.c.user_id == user_id)


def user_is_live(tx: Transaction, user_id: str) -> bool:
    """Whether there is such a user, not deleted."""
    query = select(exists().where(users.c.id == user_id, users.c.deleted_at.is_(None)))
    return bool(tx.connection.execute(query).scalar_one())
