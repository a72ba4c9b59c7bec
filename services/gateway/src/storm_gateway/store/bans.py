"""Bans from the whole server: who is banned has no token, and is nobody's administrator.

Messages and memberships stay. The rules run in the transaction: of two administrators who ban each
other on two nodes, the second finds itself banned.
"""

from sqlalchemy import select, update

from storm_gateway.errors import ConflictError, ForbiddenError, NotFoundError
from storm_gateway.store.tables import users
from storm_gateway.store.tokens import revoke_user
from storm_gateway.store.transaction import Transaction

_LIVE = users.c.deleted_at.is_(None) & users.c.banned_at.is_(None)


def ban(tx: Transaction, user_id: str, by: str | None) -> None:
    """Ban a user; ``by``: the administrator who does it, None: the owner of the database."""
    if user_id == by:
        raise ConflictError("You cannot ban yourself.")
    _lock(tx, user_id, by)
    if by is not None and not _is_admin(tx, by):
        raise ForbiddenError("Only a server administrator may do this.")
    if _is_banned(tx, user_id):
        return
    if _is_admin(tx, user_id) and not _others(tx, user_id):
        raise ConflictError("This is the last server administrator: make another one first.")
    this = users.c.id == user_id
    tx.connection.execute(update(users).where(this).values(banned_at=tx.now, admin=False))
    revoke_user(tx, user_id, tx.now / 1000)


def unban(tx: Transaction, user_id: str) -> None:
    """Let a user come in again, by a new login. Who is not banned stays as they are."""
    _lock(tx, user_id, None)
    tx.connection.execute(update(users).where(users.c.id == user_id).values(banned_at=None))


def _lock(tx: Transaction, user_id: str, by: str | None) -> None:
    # In the order of the ids: two who ban each other wait, and do not wait for each other.
    these = users.c.id.in_([user_id] if by is None else [user_id, by])
    query = select(users.c.id, users.c.deleted_at).where(these).order_by(users.c.id)
    rows = tx.connection.execute(query.with_for_update()).all()
    found = {id_: deleted_at for id_, deleted_at in rows}  # noqa: C416 rows are not pairs to mypy
    if user_id not in found or found[user_id] is not None:
        raise NotFoundError("There is no such user.")


def _is_admin(tx: Transaction, user_id: str) -> bool:
    query = select(users.c.admin).where(users.c.id == user_id, _LIVE)
    admin = tx.connection.execute(query).scalar_one_or_none()
    return bool(admin) or (admin is not None and user_id in tx.settings.admin_ids)


def _is_banned(tx: Transaction, user_id: str) -> bool:
    query = select(users.c.banned_at).where(users.c.id == user_id)
    return tx.connection.execute(query).scalar_one_or_none() is not None


def _others(tx: Transaction, user_id: str) -> bool:
    """Whether somebody else is a server administrator; they stay one until the commit."""
    admins = users.c.admin | users.c.id.in_(sorted(tx.settings.admin_ids))
    query = select(users.c.id).where(_LIVE, users.c.id != user_id, admins).order_by(users.c.id)
    return tx.connection.execute(query.limit(1).with_for_update(read=True)).first() is not None
