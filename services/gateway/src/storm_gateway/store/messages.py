"""The log of each channel: messages, what happens to them, and reading it back."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, select, update

from storm_gateway.errors import (
    ConflictError,
    ForbiddenError,
    InvalidCommandError,
    NotFoundError,
)
from storm_gateway.protocol.events import (
    MessageDeleted,
    MessageEdited,
    ReactionAdded,
    ReactionRemoved,
)
from storm_gateway.store import imports
from storm_gateway.store.backend import Backend
from storm_gateway.store.base import AuthorRule, Done, Rule
from storm_gateway.store.history import NEWEST_LAST, read_page
from storm_gateway.store.hot import Append
from storm_gateway.store.log import kind_of, merge
from storm_gateway.store.records import (
    Appended,
    AppendMessage,
    HistoryMessage,
    ImportMessage,
    Replay,
)
from storm_gateway.store.tables import changes, members, messages, reactions
from storm_gateway.store.transaction import NO_CHANNEL, Transaction

NO_MESSAGE = "There is no such message in this channel."
_END = 2**63 - 1


class SqlMessages:
    """Messages, as ``store/base.py`` describes."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def append(self, message: AppendMessage, rule: Rule, done: Done[Appended]) -> None:
        self._backend.commits.submit(Append(message, rule, done))

    async def edit(
        self,
        channel_id: int,
        message_id: int,
        user_id: str,
        payload: str,
        ref: str | None,
        rule: AuthorRule,
    ) -> tuple[int, int]:
        if "\0" in payload:
            raise InvalidCommandError("A message cannot hold the character U+0000.")

        def write(tx: Transaction) -> tuple[int, int]:
            state = tx.state(channel_id, user_id)
            earlier = _earlier(tx, channel_id, user_id, ref, MessageEdited, message_id)
            if earlier is not None:
                return message_id, earlier
            found = _message(tx, channel_id, message_id)
            rule(state.access, found.user_id)
            if found.deleted_at is not None:
                raise NotFoundError("This message was deleted.")
            tx.connection.execute(
                update(messages)
                .where(messages.c.id == message_id)
                .values(payload=payload, edited_at=tx.now)
            )
            seq = tx.next_seq(channel_id)
            tx.log(
                MessageEdited(channel_id, seq, message_id, found.seq, user_id, payload, tx.sent_at),
                actor=user_id,
                ref=ref,
            )
            return message_id, seq

        return await self._backend.commits.write(write, may_wait=True)

    async def delete(
        self, channel_id: int, message_id: int, user_id: str, ref: str | None, rule: AuthorRule
    ) -> tuple[int, int]:
        def write(tx: Transaction) -> tuple[int, int]:
            state = tx.state(channel_id, user_id)
            earlier = _earlier(tx, channel_id, user_id, ref, MessageDeleted, message_id)
            if earlier is not None:
                return message_id, earlier
            found = _message(tx, channel_id, message_id)
            rule(state.access, found.user_id)
            if found.deleted_at is not None:
                return message_id, found.deleted_seq
            seq = tx.next_seq(channel_id)
            tx.connection.execute(
                update(messages)
                .where(messages.c.id == message_id)
                .values(payload="", deleted_at=tx.now, deleted_seq=seq)
            )
            tx.connection.execute(delete(reactions).where(reactions.c.message_id == message_id))
            tx.log(
                MessageDeleted(channel_id, seq, message_id, found.seq, user_id, tx.sent_at),
                actor=user_id,
                ref=ref,
            )
            return message_id, seq

        return await self._backend.commits.write(write, may_wait=True)

    async def react(
        self,
        channel_id: int,
        message_id: int,
        user_id: str,
        emoji: str,
        *,
        add: bool,
        ref: str | None,
        rule: Rule,
    ) -> tuple[int, int]:
        kind = ReactionAdded if add else ReactionRemoved

        def write(tx: Transaction) -> tuple[int, int]:
            state = tx.state(channel_id, user_id)
            earlier = _earlier(tx, channel_id, user_id, ref, kind, message_id)
            if earlier is not None:
                return message_id, earlier
            rule(state.access)
            found = _message(tx, channel_id, message_id)
            if found.deleted_at is not None:
                raise NotFoundError("This message was deleted.")
            this = (
                (reactions.c.message_id == message_id)
                & (reactions.c.emoji == emoji)
                & (reactions.c.user_id == user_id)
            )
            if bool(tx.connection.execute(select(exists().where(this))).scalar()) == add:
                return message_id, found.seq
            seq = tx.next_seq(channel_id)
            if add:
                tx.connection.execute(
                    insert(reactions).values(
                        message_id=message_id, emoji=emoji, user_id=user_id, seq=seq
                    )
                )
            else:
                tx.connection.execute(delete(reactions).where(this))
            event = kind(channel_id, seq, message_id, found.seq, user_id, emoji, tx.sent_at)
            tx.log(event, actor=user_id, ref=ref)
            return message_id, seq

        return await self._backend.commits.write(write, may_wait=True)

    async def page(
        self, channel_id: int, *, limit: int, before: int | None = None, after: int | None = None
    ) -> list[HistoryMessage]:
        dialect = self._backend.dialect
        span = [messages.c.channel_id == channel_id]
        if before is not None:
            span.append(messages.c.seq < before)
        if after is not None:
            span.append(messages.c.seq > after)
        order = messages.c.seq.desc() if after is None else NEWEST_LAST

        def read(connection: Connection) -> list[HistoryMessage] | None:
            if not dialect.heads(connection, [channel_id]):
                return None
            return read_page(connection, dialect, span, order, limit)

        found = await self._backend.reads.run(read)
        if found is None:
            raise NotFoundError(NO_CHANNEL)
        return found if after is None else found[::-1]

    async def get(self, channel_id: int, message_id: int) -> HistoryMessage | None:
        dialect = self._backend.dialect
        span = [messages.c.channel_id == channel_id, messages.c.id == message_id]

        def read(connection: Connection) -> list[HistoryMessage]:
            if not dialect.heads(connection, [channel_id]):
                return []
            return read_page(connection, dialect, span, NEWEST_LAST, 1)

        found = await self._backend.reads.run(read)
        return found[0] if found else None

    async def replay(
        self, channel_id: int, after: int, limit: int, upto: int | None = None
    ) -> Replay:
        dialect = self._backend.dialect
        end = _END if upto is None else upto
        found = await self._backend.reads.run(
            lambda connection: dialect.replay(connection, channel_id, after, limit, end)
        )
        if found is None:
            raise NotFoundError(NO_CHANNEL)
        head, message_rows, change_rows = found
        # The log has no holes, so what is missing can be told by counting.
        low = max(after, min(end, head) - limit)
        return Replay(
            head=head,
            events=merge(channel_id, message_rows, change_rows),
            gap=(after + 1, low) if low > after else None,
        )

    async def set_read(self, channel_id: int, user_id: str, seq: int) -> int:
        def write(tx: Transaction) -> int:
            row = (members.c.channel_id == channel_id) & (members.c.user_id == user_id)
            # The row, not the channel: reading must not hold up those who write.
            query = select(members.c.standing, members.c.read_seq).where(row).with_for_update()
            member = tx.connection.execute(query).first()
            state = tx.state(channel_id, user_id, lock=False)
            if member is None or member.standing == "banned":
                if state.channel.visibility == "public":
                    raise ForbiddenError("Only members have a read cursor.")
                raise NotFoundError(NO_CHANNEL)
            was = int(member.read_seq)
            now = max(was, min(seq, state.channel.head))
            if now > was:
                tx.connection.execute(update(members).where(row).values(read_seq=now))
            return now

        return await self._backend.commits.write(write, may_wait=True)

    async def load(
        self, channel_name: str, messages: Sequence[ImportMessage], source: str
    ) -> tuple[int, int, int]:
        """As in the port. No events are made: a node that has the channel's subscribers sees the
        new head when it compares heads, and reads the rest like anything it missed."""
        batch = list(messages)
        return await self._backend.commits.write(
            lambda tx: imports.load(tx, channel_name, batch, source)
        )


def _message(tx: Transaction, channel_id: int, message_id: int) -> Row[*tuple[Any, ...]]:
    query = select(
        messages.c.seq, messages.c.user_id, messages.c.deleted_at, messages.c.deleted_seq
    ).where(messages.c.id == message_id, messages.c.channel_id == channel_id)
    found = tx.connection.execute(query).first()
    if found is None:
        raise NotFoundError(NO_MESSAGE)
    return found


def _earlier(
    tx: Transaction,
    channel_id: int,
    user_id: str,
    ref: str | None,
    kind: type[Any],
    message_id: int,
) -> int | None:
    """The seq that this very command got when it came first."""
    if ref is None:
        return None
    query = select(changes.c.seq, changes.c.kind, changes.c.message_id).where(
        changes.c.channel_id == channel_id, changes.c.actor == user_id, changes.c.ref == ref
    )
    found = tx.connection.execute(query).first()
    if found is None:
        return None
    if found.kind != kind_of(kind) or found.message_id != message_id:
        raise ConflictError("This ref was used for another command.")
    return int(found.seq)
