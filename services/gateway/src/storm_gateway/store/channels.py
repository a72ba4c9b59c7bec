"""Conversations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, case, exists, func, insert, or_, select, update

from storm_gateway.errors import ConflictError, NameTakenError, NotFoundError
from storm_gateway.protocol.events import ChannelDeleted, ChannelUpdated, Role
from storm_gateway.store import members as membership
from storm_gateway.store.backend import Backend
from storm_gateway.store.base import Done, Rule
from storm_gateway.store.hot import Enter
from storm_gateway.store.log import kind_of
from storm_gateway.store.records import (
    Access,
    Channel,
    ChannelView,
    Join,
    Joined,
    Member,
    Visibility,
)
from storm_gateway.store.tables import changes, channels, members, messages, users
from storm_gateway.store.times import rfc3339
from storm_gateway.store.transaction import NO_CHANNEL, Transaction, states

_COLUMNS = (
    channels.c.id,
    channels.c.name,
    channels.c.topic,
    channels.c.visibility,
    channels.c.created_by,
    channels.c.created_at,
    channels.c.head,
    channels.c.member_count,
)


class SqlChannels:
    """Channels and their members, as ``store/base.py`` describes."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def create(
        self, name: str, visibility: Visibility, topic: str, created_by: str
    ) -> Channel:
        if visibility == "direct":
            raise ConflictError("A direct channel is opened with a user, not made by name.")

        def write(tx: Transaction) -> Channel:
            _check_name(tx, name)
            channel_id = make(tx, name=name, visibility=visibility, topic=topic, by=created_by)
            membership.enter(tx, channel_id, created_by, "owner", None)
            return _get(tx.connection, channel_id)

        return await self._backend.commits.write(write)

    async def direct(self, user_id: str, peer: str) -> tuple[Channel, bool]:
        if user_id == peer:
            raise ConflictError("A direct channel needs another user.")
        low, high = sorted((user_id, peer))

        def write(tx: Transaction) -> tuple[Channel, bool]:
            tx.lock([], [user_id, peer])
            if not membership.user_is_live(tx, peer):
                raise NotFoundError("There is no such user.")
            query = select(channels.c.id).where(
                channels.c.user_low == low, channels.c.user_high == high
            )
            channel_id = tx.connection.execute(query).scalar_one_or_none()
            if channel_id is not None:
                return _get(tx.connection, channel_id), False
            channel_id = make(tx, visibility="direct", by=user_id, user_low=low, user_high=high)
            membership.enter(tx, channel_id, user_id, "member", None)
            membership.enter(tx, channel_id, peer, "member", user_id)
            return _get(tx.connection, channel_id), True

        return await self._backend.commits.write(write)

    async def get(self, channel_id: int) -> Channel | None:
        return await self._backend.reads.run(lambda connection: _find(connection, channel_id))

    async def page(self, limit: int, after: int = 0, contains: str = "") -> list[Channel]:
        query = (
            select(*_COLUMNS)
            .where(
                channels.c.deleted_at.is_(None),
                channels.c.visibility != "direct",
                channels.c.id > after,
            )
            .order_by(channels.c.id)
            .limit(limit)
        )
        if contains:
            query = query.where(
                channels.c.name.icontains(contains, autoescape=True)
                | channels.c.topic.icontains(contains, autoescape=True)
            )
        dialect = self._backend.dialect
        rows = await self._backend.reads.run(lambda connection: dialect.rows(connection, query))
        return [Channel(**_fields(row)) for row in rows]

    async def visible_to(self, user_id: str) -> list[ChannelView]:
        query = _views(user_id).where(
            or_(
                and_(channels.c.visibility == "public", members.c.standing.is_(None)),
                members.c.standing != "banned",
            )
        )
        return await self._read_views(query)

    async def view(self, channel_id: int, user_id: str) -> ChannelView | None:
        found = await self._read_views(_views(user_id).where(channels.c.id == channel_id))
        return found[0] if found else None

    async def update(
        self,
        channel_id: int,
        by: str,
        rule: Rule,
        *,
        name: str | None = None,
        topic: str | None = None,
        visibility: Visibility | None = None,
    ) -> Channel:
        def write(tx: Transaction) -> Channel:
            state = tx.state(channel_id, by)
            rule(state.access)
            was = _get(tx.connection, channel_id)
            if "direct" in (was.visibility, visibility or was.visibility):
                raise ConflictError("A direct channel cannot be changed, nor become one.")
            if name is not None and name != was.name:
                _check_name(tx, name)
            values = {
                "name": was.name if name is None else name,
                "topic": was.topic if topic is None else topic,
                "visibility": visibility or was.visibility,
            }
            if values == {"name": was.name, "topic": was.topic, "visibility": was.visibility}:
                return was
            tx.connection.execute(
                update(channels).where(channels.c.id == channel_id).values(values)
            )
            seq = tx.next_seq(channel_id)
            event = ChannelUpdated(channel_id, seq, **values, by=by, sent_at=tx.sent_at)
            tx.log(event, actor=by)
            return _get(tx.connection, channel_id)

        return await self._backend.commits.write(write)

    async def delete(self, channel_id: int, by: str, rule: Rule) -> None:
        def write(tx: Transaction) -> None:
            rule(tx.state(channel_id, by).access)
            seq = tx.next_seq(channel_id)
            tx.log(ChannelDeleted(channel_id, seq, by, tx.sent_at), actor=by)
            tx.connection.execute(
                update(channels).where(channels.c.id == channel_id).values(deleted_at=tx.now)
            )

        await self._backend.commits.write(write)

    async def access(self, pairs: Sequence[tuple[int, str]]) -> list[Access | None]:
        backend = self._backend
        found = await backend.reads.run(
            lambda connection: states(
                connection, backend.dialect, backend.settings.admin_ids, pairs
            )
        )
        return [None if state is None else state.access for state in found]

    async def open(self, channel_ids: Iterable[int]) -> set[int]:
        banned = exists().where(
            members.c.channel_id == channels.c.id, members.c.standing == "banned"
        )
        query = select(channels.c.id).where(
            channels.c.id.in_(list(channel_ids)),
            channels.c.visibility == "public",
            channels.c.deleted_at.is_(None),
            ~banned,
        )
        dialect = self._backend.dialect
        rows = await self._backend.reads.run(lambda connection: dialect.rows(connection, query))
        return {row[0] for row in rows}

    async def members(
        self, channel_id: int, *, limit: int, after: str = "", banned: bool = False
    ) -> list[Member]:
        query = (
            select(
                members.c.user_id,
                func.coalesce(users.c.display_name, ""),
                members.c.standing,
                members.c.joined_at,
            )
            .outerjoin(users, users.c.id == members.c.user_id)
            .where(
                members.c.channel_id == channel_id,
                members.c.user_id > after,
                (members.c.standing == "banned") if banned else (members.c.standing != "banned"),
            )
            .order_by(members.c.user_id)
            .limit(limit)
        )
        dialect = self._backend.dialect

        def read(connection: Connection) -> Sequence[Sequence[Any]]:
            _get(connection, channel_id)
            return dialect.rows(connection, query)

        return [
            Member(channel_id, user_id, display_name, standing, rfc3339(joined_at))
            for user_id, display_name, standing, joined_at in await self._backend.reads.run(read)
        ]

    def join(self, join: Join, rule: Rule, done: Done[Joined]) -> None:
        self._backend.commits.submit(Enter(join, rule, done))

    async def add(self, channel_id: int, user_id: str, by: str, rule: Rule) -> bool:
        return await self._backend.commits.write(
            lambda tx: membership.add(tx, channel_id, user_id, by, rule)
        )

    async def leave(self, channel_id: int, user_id: str) -> None:
        await self._backend.commits.write(lambda tx: membership.leave(tx, channel_id, user_id))

    async def remove(
        self,
        channel_id: int,
        user_id: str,
        by: str,
        rule: Callable[[Access, Access], None],
        *,
        ban: bool,
    ) -> None:
        await self._backend.commits.write(
            lambda tx: membership.remove(tx, channel_id, user_id, by, rule, ban=ban)
        )

    async def unban(self, channel_id: int, user_id: str, by: str, rule: Rule) -> None:
        await self._backend.commits.write(
            lambda tx: membership.unban(tx, channel_id, user_id, by, rule)
        )

    async def set_role(
        self,
        channel_id: int,
        user_id: str,
        role: Role,
        by: str,
        rule: Callable[[Access, Access], None],
    ) -> None:
        await self._backend.commits.write(
            lambda tx: membership.set_role(tx, channel_id, user_id, role, by, rule)
        )

    async def heads(self, channel_ids: Iterable[int]) -> dict[int, int]:
        ids = list(channel_ids)
        dialect = self._backend.dialect
        rows = await self._backend.reads.run(lambda connection: dialect.heads(connection, ids))
        return {id_: head for id_, head in rows}  # noqa: C416 rows are sequences, dict() wants pairs

    async def moved(self, known: Mapping[int, int]) -> dict[int, int | None]:
        dialect = self._backend.dialect
        rows = await self._backend.reads.run(lambda connection: dialect.moved(connection, known))
        return {id_: head for id_, head in rows}  # noqa: C416 rows are sequences, dict() wants pairs

    async def deletion(self, channel_id: int) -> ChannelDeleted | None:
        query = select(changes.c.seq, changes.c.actor, changes.c.sent_at).where(
            changes.c.channel_id == channel_id, changes.c.kind == kind_of(ChannelDeleted)
        )
        # It is the last change of its log: found at once from the end of the primary key.
        query = query.order_by(changes.c.seq.desc()).limit(1)
        found = await self._backend.reads.run(lambda connection: connection.execute(query).first())
        if found is None:
            return None
        return ChannelDeleted(channel_id, found.seq, found.actor, rfc3339(found.sent_at))

    async def _read_views(self, query: Select[Any]) -> list[ChannelView]:
        dialect = self._backend.dialect
        rows = await self._backend.reads.run(lambda connection: dialect.rows(connection, query))
        return [
            ChannelView(
                **_fields(row[:8]),
                role=None if row[8] == "banned" else row[8],
                read_seq=row[9],
                unread=row[10],
                peer=row[11],
            )
            for row in rows
        ]


def make(
    tx: Transaction,
    *,
    by: str,
    visibility: Visibility,
    name: str = "",
    topic: str = "",
    user_low: str | None = None,
    user_high: str | None = None,
) -> int:
    """A new channel, with nobody in it; its id."""
    query = (
        insert(channels)
        .values(
            name=name,
            topic=topic,
            visibility=visibility,
            created_by=by,
            created_at=tx.now,
            user_low=user_low,
            user_high=user_high,
        )
        .returning(channels.c.id)
    )
    return int(tx.connection.execute(query).scalar_one())


def named(tx: Transaction, name: str) -> Any:
    """(id, visibility) of the public or private channel of that name, or None."""
    query = select(channels.c.id, channels.c.visibility).where(
        channels.c.name == name,
        channels.c.visibility != "direct",
        channels.c.deleted_at.is_(None),
    )
    return tx.connection.execute(query).first()


def _check_name(tx: Transaction, name: str) -> None:
    if named(tx, name) is not None:
        raise NameTakenError("A channel of this name exists.")


def _fields(row: Sequence[Any]) -> dict[str, Any]:
    id_, name, topic, visibility, created_by, created_at, head, member_count = row
    return {
        "id": id_,
        "name": name,
        "topic": topic,
        "visibility": visibility,
        "created_by": created_by,
        "created_at": rfc3339(created_at),
        "head": head,
        "member_count": member_count,
    }


def _find(connection: Connection, channel_id: int) -> Channel | None:
    query = select(*_COLUMNS).where(channels.c.id == channel_id, channels.c.deleted_at.is_(None))
    found = connection.execute(query).first()
    return None if found is None else Channel(**_fields(found))


def _get(connection: Connection, channel_id: int) -> Channel:
    found = _find(connection, channel_id)
    if found is None:
        raise NotFoundError(NO_CHANNEL)
    return found


def _views(user_id: str) -> Select[Any]:
    unread = (
        select(func.count())
        .where(
            messages.c.channel_id == channels.c.id,
            messages.c.seq > members.c.read_seq,
            messages.c.user_id != user_id,
            messages.c.deleted_at.is_(None),
        )
        .correlate(channels, members)
        .scalar_subquery()
    )
    is_member = members.c.standing.is_not(None) & (members.c.standing != "banned")
    return (
        select(
            *_COLUMNS,
            members.c.standing,
            case((is_member, members.c.read_seq), else_=0).label("read_seq"),
            case((is_member, unread), else_=0).label("unread"),
            case(
                (channels.c.user_low == user_id, channels.c.user_high), else_=channels.c.user_low
            ).label("peer"),
        )
        .outerjoin(
            members, (members.c.channel_id == channels.c.id) & (members.c.user_id == user_id)
        )
        .where(channels.c.deleted_at.is_(None))
        .order_by(channels.c.id)
    )
