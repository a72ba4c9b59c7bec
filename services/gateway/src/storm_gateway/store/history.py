"""Messages as history pages show them: as they are now, with reactions."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, UnaryExpression, select

from storm_gateway.store.dialect import Dialect
from storm_gateway.store.records import HistoryMessage, Reaction
from storm_gateway.store.tables import messages, reactions, users
from storm_gateway.store.times import rfc3339

NEWEST_LAST = messages.c.seq.asc()


def read_page(
    connection: Connection,
    dialect: Dialect,
    span: Sequence[ColumnElement[bool]],
    order: UnaryExpression[Any],
    limit: int,
) -> list[HistoryMessage]:
    """The messages of a span, in that order."""
    query = (
        select(
            messages.c.id,
            messages.c.channel_id,
            messages.c.user_id,
            messages.c.payload,
            messages.c.sent_at,
            messages.c.seq,
            messages.c.edited_at,
            messages.c.deleted_at.is_not(None).label("gone"),
            users.c.deleted_at.is_not(None).label("author_gone"),
        )
        .outerjoin(users, users.c.id == messages.c.user_id)
        .where(*span)
        .order_by(order)
        .limit(limit)
    )
    found = [_message(row) for row in dialect.rows(connection, query)]
    _add_reactions(connection, dialect, found)
    return found


def _message(row: Sequence[Any]) -> HistoryMessage:
    id_, channel_id, user_id, payload, sent_at, seq, edited_at, gone, author_gone = row
    return HistoryMessage(
        id=id_,
        channel_id=channel_id,
        user_id=user_id,
        subject=f"channels.{channel_id}",
        payload=payload,
        created_at=rfc3339(sent_at),
        seq=seq,
        edited_at=None if edited_at is None else rfc3339(edited_at),
        deleted=bool(gone),
        author_deleted=bool(author_gone),
    )


def _add_reactions(
    connection: Connection, dialect: Dialect, found: Sequence[HistoryMessage]
) -> None:
    if not found:
        return
    by_id = {message.id: message for message in found}
    query = (
        select(reactions.c.message_id, reactions.c.emoji, reactions.c.user_id)
        .where(reactions.c.message_id.in_(list(by_id)))
        .order_by(reactions.c.seq)
    )
    shown: dict[tuple[int, str], Reaction] = {}
    for message_id, emoji, user_id in dialect.rows(connection, query):
        reaction = shown.get((message_id, emoji))
        if reaction is None:
            reaction = shown[message_id, emoji] = Reaction(emoji, [])
            by_id[message_id].reactions.append(reaction)
        reaction.user_ids.append(user_id)
