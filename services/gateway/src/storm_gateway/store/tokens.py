"""Refresh tokens, by hash; a login is a family of successive ones. Times: seconds since 1970."""

import time
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, insert, select, update

from storm_gateway.errors import BannedError
from storm_gateway.store.backend import Backend
from storm_gateway.store.records import AGAIN_SECONDS, BANNED, Revocations, Rotation
from storm_gateway.store.tables import refresh_tokens, revocations, users
from storm_gateway.store.transaction import Transaction


def revocation_queries(since: float) -> tuple[Select[Any], Select[Any], Select[Any]]:
    """What was revoked, who was deleted, and who is banned. Each node asks every few seconds, so
    none may read a whole table.
    """
    return (
        select(revocations.c.kind, revocations.c.name, revocations.c.at).where(
            revocations.c.at >= since
        ),
        # As a whole number: compared with a fraction, PostgreSQL could not use the index.
        select(users.c.id).where(users.c.deleted_at >= int(since * 1000)),
        select(users.c.id).where(users.c.banned_at.is_not(None)),
    )


class SqlTokens:
    """Tokens, as ``store/base.py`` describes."""

    def __init__(self, backend: Backend, access_token_seconds: float) -> None:
        self._backend = backend
        self._access_token_seconds = access_token_seconds

    async def save(
        self,
        token_hash: bytes,
        family: str,
        user_id: str,
        expires_at: float,
        password_hash: str | None = None,
    ) -> bool:
        def write(tx: Transaction) -> bool:
            # A change or a ban under way on another node is waited for; one that comes later
            # finds the token.
            query = select(users.c.password_hash, users.c.banned_at).where(users.c.id == user_id)
            found = tx.connection.execute(query.with_for_update(read=True)).first()
            if password_hash is not None and (found is None or found[0] != password_hash):
                return False
            if found is not None and found[1] is not None:
                raise BannedError(BANNED)
            _insert(tx, token_hash, family, user_id, expires_at)
            return True

        return await self._backend.commits.write(write, may_wait=True)

    async def rotate(
        self, old_hash: bytes, new_hash: bytes, expires_at: float, now: float
    ) -> Rotation:
        def write(tx: Transaction) -> Rotation:
            found = tx.connection.execute(_token(old_hash)).first()
            if found is None or found.expires_at <= now:
                return Rotation("unknown")
            if found.used_at is not None:
                successor = tx.connection.execute(_token(new_hash)).first()
                if (
                    successor is not None
                    and successor.family == found.family
                    and successor.used_at is None
                    # Another node's clock may be behind: only the distance counts.
                    and abs(now - found.used_at) < AGAIN_SECONDS
                ):
                    return Rotation("again", found.user_id, found.family)
                # Whoever came second, or first, is a thief: nobody may go on with this login.
                _revoke_family(tx, found.family, now)
                return Rotation("reused", found.user_id, found.family)
            tx.connection.execute(
                update(refresh_tokens).where(refresh_tokens.c.hash == old_hash).values(used_at=now)
            )
            _insert(tx, new_hash, found.family, found.user_id, expires_at)
            return Rotation("rotated", found.user_id, found.family)

        return await self._backend.commits.write(write, may_wait=True)

    async def revoke(self, token_hash: bytes) -> str | None:
        def write(tx: Transaction) -> str | None:
            found = tx.connection.execute(_token(token_hash)).first()
            if found is None:
                return None
            _revoke_family(tx, found.family, time.time())
            return str(found.family)

        return await self._backend.commits.write(write, may_wait=True)

    async def revoke_user(self, user_id: str, at: float) -> None:
        await self._backend.commits.write(lambda tx: revoke_user(tx, user_id, at))

    async def revocations(self, since: float) -> Revocations:
        dialect = self._backend.dialect
        revoked, deleted, banned = revocation_queries(since)
        rows = await self._backend.reads.run(lambda connection: dialect.rows(connection, revoked))
        gone = await self._backend.reads.run(lambda connection: dialect.rows(connection, deleted))
        out = await self._backend.reads.run(lambda connection: dialect.rows(connection, banned))
        return Revocations(
            families=[name for kind, name, _ in rows if kind == "family"],
            users={name: at for kind, name, at in rows if kind == "user"},
            deleted=[id_ for (id_,) in gone],
            banned=[id_ for (id_,) in out],
        )

    async def purge(self, now: float) -> int:
        # A family's access tokens live no longer than this. A user's may: they can be foreign.
        over = now - self._access_token_seconds

        def write(tx: Transaction) -> int:
            expired = delete(refresh_tokens).where(refresh_tokens.c.expires_at <= now)
            void = delete(revocations).where(
                revocations.c.kind == "family", revocations.c.at <= over
            )
            return tx.connection.execute(expired).rowcount + tx.connection.execute(void).rowcount

        return await self._backend.commits.write(write, may_wait=True)


def _token(token_hash: bytes) -> Select[Any]:
    # Locked (SQLite has one writer anyway): of two nodes that use it at once the second waits,
    # and sees what the first made of it.
    return select(refresh_tokens).where(refresh_tokens.c.hash == token_hash).with_for_update()


def revoke_user(tx: Transaction, user_id: str, at: float) -> None:
    """Void all logins of the user, and every access token issued before ``at``."""
    # By name as well: a node whose clock is ahead issues tokens after a moment that is yet to come.
    families = _forget(tx, refresh_tokens.c.user_id == user_id)
    if families:
        rows = [{"kind": "family", "name": name, "at": at} for name in sorted(families)]
        tx.connection.execute(insert(revocations), rows)
    _note(tx, "user", user_id, at)


def _revoke_family(tx: Transaction, family: str, at: float) -> None:
    _forget(tx, refresh_tokens.c.family == family)
    _note(tx, "family", family, at)


def _forget(tx: Transaction, these: ColumnElement[bool]) -> set[str]:
    """Delete tokens; the logins that they were of."""
    families: set[str] = set()
    # A swap on another node may commit the next token while we wait for its row, and a statement
    # does not see what came after its begin: look again until none is left.
    gone = delete(refresh_tokens).where(these).returning(refresh_tokens.c.family)
    while found := tx.connection.execute(gone).scalars().all():
        families.update(found)
    return families


def _note(tx: Transaction, kind: str, name: str, at: float) -> None:
    this: ColumnElement[bool] = (revocations.c.kind == kind) & (revocations.c.name == name)
    query = select(revocations.c.at).where(this).with_for_update()
    known = tx.connection.execute(query).scalar_one_or_none()
    if known is None:
        tx.connection.execute(insert(revocations).values(kind=kind, name=name, at=at))
    elif known < at:
        tx.connection.execute(update(revocations).where(this).values(at=at))


def _insert(
    tx: Transaction, token_hash: bytes, family: str, user_id: str, expires_at: float
) -> None:
    tx.connection.execute(
        insert(refresh_tokens).values(
            hash=token_hash, family=family, user_id=user_id, expires_at=expires_at
        )
    )
