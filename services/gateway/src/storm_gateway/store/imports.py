"""History of an older system, with its authors and times."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import select

from storm_gateway.errors import ConflictError
from storm_gateway.store.channels import make, named
from storm_gateway.store.members import enter
from storm_gateway.store.records import ImportMessage
from storm_gateway.store.tables import users
from storm_gateway.store.transaction import Transaction, states


def load(
    tx: Transaction, channel_name: str, batch: Sequence[ImportMessage], source: str
) -> tuple[int, int, int]:
    """Store what is not there yet: (channel id, stored, already there)."""
    channel_id = _channel(tx, channel_name)
    tx.lock([channel_id])
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
        (author, author, tx.now, False)
        for author, state in zip(authors, found, strict=True)
        if state is not None and not state.user_known
    ]
    if strangers:
        columns = ("id", "display_name", "created_at", "admin")
        tx.dialect.insert_new(tx.connection, users, columns, sorted(strangers))
    fresh = []
    for message, ref in zip(batch, refs, strict=True):
        if ref not in known:
            known.add(ref)
            fresh.append((message, ref[2]))
    if fresh:
        state = found[0]
        assert state is not None  # noqa: S101 _channel made it
        channel = state.channel
        rows = [
            (
                channel_id,
                channel.head + at,
                message.user_id,
                # No database of ours keeps U+0000 in text.
                message.payload.replace("\0", "\ufffd"),
                message.sent_at,
                ref,
            )
            for at, (message, ref) in enumerate(fresh, start=1)
        ]
        moved = (channel_id, channel.head + len(fresh), channel.member_count)
        tx.dialect.append(tx.connection, rows, [moved])
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
