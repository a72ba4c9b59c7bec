"""History of an older system, with its authors and times."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import select

from storm_gateway.errors import ConflictError
from storm_gateway.store.channels import make, named
from storm_gateway.store.members import enter
from storm_gateway.store.records import ImportMessage
from storm_gateway.store.tables import messages, users
from storm_gateway.store.transaction import Transaction, states

_MESSAGE = ("id", "channel_id", "seq", "user_id", "payload", "sent_at", "ref")


def load(
    tx: Transaction, channel_name: str, batch: Sequence[ImportMessage], source: str
) -> tuple[int, int, int]:
    """Store what is not there yet: (channel id, stored, already there)."""
    channel_id = _channel(tx, channel_name)
    refs = [(channel_id, message.user_id, _ref(source, message.key)) for message in batch]
    known = {refs[row[0]] for row in tx.dialect.stored(tx.connection, refs)}
    found = states(
        tx.connection,
        tx.dialect,
        tx.settings.admin_ids,
        dict.fromkeys((channel_id, message.user_id) for message in batch),
    )
    authors = dict.fromkeys(message.user_id for message in batch)
    strangers = [
        (author, author, tx.now, 0)
        for author, state in zip(authors, found, strict=True)
        if state is not None and not state.user_known
    ]
    if strangers:
        columns = ("id", "display_name", "created_at", "admin")
        tx.dialect.insert(tx.connection, users, columns, strangers)
    fresh = []
    for message, ref in zip(batch, refs, strict=True):
        if ref not in known:
            known.add(ref)
            fresh.append((message, ref[2]))
    if fresh:
        state = found[0]
        assert state is not None  # noqa: S101 _channel made it
        channel = state.channel
        ids = tx.dialect.message_ids(tx.connection, len(fresh))
        rows = [
            (
                id_,
                channel_id,
                channel.head + at,
                message.user_id,
                # No database of ours keeps U+0000 in text.
                message.payload.replace("\0", "\ufffd"),
                message.sent_at,
                ref,
            )
            for at, (id_, (message, ref)) in enumerate(zip(ids, fresh, strict=True), start=1)
        ]
        tx.dialect.insert(tx.connection, messages, _MESSAGE, rows)
        head = channel.head + len(fresh)
        tx.dialect.advance(tx.connection, [(channel_id, head, channel.member_count)])
    return channel_id, len(fresh), len(batch) - len(fresh)


def _channel(tx: Transaction, name: str) -> int:
    found = named(tx, name)
    if found is None:
        query = (
            select(users.c.id)
            .where(users.c.admin, users.c.deleted_at.is_(None))
            .order_by(users.c.created_at, users.c.id)
            .limit(1)
        )
        owner = tx.connection.execute(query).scalar_one_or_none()
        channel_id = make(tx, name=name, visibility="public", by=owner or "")
        if owner is not None:
            enter(tx, channel_id, owner, "owner", None)
        return channel_id
    if found.visibility != "public":
        raise ConflictError("History can only be imported into a public channel.")
    return int(found.id)


def _ref(source: str, key: str) -> str:
    # Longer than any ref of a client (64 characters), so that none can be mistaken for it.
    return "import:" + hashlib.sha256(f"{len(source)}:{source}{key}".encode()).hexdigest()
