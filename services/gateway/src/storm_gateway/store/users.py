"""People."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from storm_gateway.errors import (
    BannedError,
    ConflictError,
    NameTakenError,
    NotFoundError,
    UnauthenticatedError,
)
from storm_gateway.store import bans
from storm_gateway.store.backend import Backend
from storm_gateway.store.dialect import USER_COLUMNS
from storm_gateway.store.gathered import Gathered
from storm_gateway.store.members import leave_all
from storm_gateway.store.records import BANNED, User
from storm_gateway.store.tables import users
from storm_gateway.store.times import rfc3339
from storm_gateway.store.tokens import revoke_user
from storm_gateway.store.transaction import Transaction

_COLUMNS = [users.c[name] for name in USER_COLUMNS]
NO_USER = "There is no such user."


class SqlUsers:
    """Users, as ``store/base.py`` describes."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._ensured = Gathered[str, Sequence[Any]](self._find_all)

    async def create(self, user_id: str, display_name: str, password_hash: str | None) -> User:
        def write(tx: Transaction) -> User:
            if _find(tx.connection, user_id) is not None:
                raise NameTakenError("This user id is taken.")
            _insert(tx, user_id, display_name, password_hash)
            return self._user(_find(tx.connection, user_id))

        return await self._backend.commits.write(write)

    async def ensure(self, user_id: str) -> User:
        found = await self._ensured.of(user_id)
        if found is None:

            def write(tx: Transaction) -> Sequence[Any] | None:
                if _find(tx.connection, user_id) is None:
                    _insert(tx, user_id, user_id, None)
                return _find(tx.connection, user_id)

            found = await self._backend.commits.write(write)
        user = self._user(found)
        if user.deleted:
            raise UnauthenticatedError("This user was deleted.")
        if user.banned_at is not None:
            raise BannedError(BANNED)
        return user

    async def _find_all(self, ids: Collection[str]) -> dict[str, Sequence[Any]]:
        dialect = self._backend.dialect
        rows = await self._backend.reads.run(lambda connection: dialect.people(connection, ids))
        return {row[0]: row for row in rows}

    async def get(self, user_id: str) -> User | None:
        found = await self._backend.reads.run(lambda connection: _find(connection, user_id))
        return None if found is None else self._user(found)

    async def password_hash(self, user_id: str) -> str | None:
        query = select(users.c.password_hash).where(
            users.c.id == user_id, users.c.deleted_at.is_(None)
        )
        return await self._backend.reads.run(
            lambda connection: connection.execute(query).scalar_one_or_none()
        )

    async def page(self, limit: int, after: str = "", contains: str = "") -> list[User]:
        query = (
            select(*_COLUMNS)
            .where(users.c.deleted_at.is_(None), users.c.id > after)
            .order_by(users.c.id)
            .limit(limit)
        )
        if contains:
            query = query.where(
                users.c.id.icontains(contains, autoescape=True)
                | users.c.display_name.icontains(contains, autoescape=True)
            )
        dialect = self._backend.dialect
        found = await self._backend.reads.run(lambda connection: dialect.rows(connection, query))
        return [self._user(row) for row in found]

    async def update(
        self, user_id: str, *, display_name: str | None = None, password_hash: str | None = None
    ) -> User:
        def write(tx: Transaction) -> User:
            values: dict[str, Any] = {}
            if display_name is not None:
                values["display_name"] = display_name
            if password_hash is not None:
                values["password_hash"] = password_hash
            changed = self._change(tx, user_id, values)
            if password_hash is not None:
                # After the change: a login by the old password is refused from then on, and one
                # that was in time is found here.
                revoke_user(tx, user_id, tx.now / 1000)
            return changed

        return await self._backend.commits.write(write)

    async def rehash(self, user_id: str, old_hash: str, new_hash: str) -> None:
        unchanged = (users.c.id == user_id) & (users.c.password_hash == old_hash)

        def write(tx: Transaction) -> None:
            tx.connection.execute(update(users).where(unchanged).values(password_hash=new_hash))

        await self._backend.commits.write(write)

    async def set_admin(self, user_id: str, admin: bool) -> User:
        def write(tx: Transaction) -> User:
            if admin and tx.connection.execute(_banned(user_id)).scalar_one_or_none() is not None:
                raise ConflictError("This user is banned from the server: lift the ban first.")
            return self._change(tx, user_id, {"admin": admin})

        return await self._backend.commits.write(write)

    async def ban(self, user_id: str, by: str | None = None) -> User:
        def write(tx: Transaction) -> User:
            bans.ban(tx, user_id, by)
            return self._user(_find(tx.connection, user_id))

        return await self._backend.commits.write(write)

    async def unban(self, user_id: str) -> User:
        def write(tx: Transaction) -> User:
            bans.unban(tx, user_id)
            return self._user(_find(tx.connection, user_id))

        return await self._backend.commits.write(write)

    async def delete(self, user_id: str) -> None:
        def write(tx: Transaction) -> None:
            self._change(
                tx,
                user_id,
                {
                    "display_name": "",
                    "password_hash": None,
                    "admin": False,
                    "deleted_at": tx.now,
                },
            )
            revoke_user(tx, user_id, tx.now / 1000)
            leave_all(tx, user_id)

        await self._backend.commits.write(write)

    def _change(self, tx: Transaction, user_id: str, values: dict[str, Any]) -> User:
        live = (users.c.id == user_id) & users.c.deleted_at.is_(None)
        if tx.connection.execute(select(users.c.id).where(live)).first() is None:
            raise NotFoundError(NO_USER)
        if values:
            tx.connection.execute(update(users).where(live).values(values))
        return self._user(_find(tx.connection, user_id))

    def _user(self, row: Any) -> User:
        id_, display_name, created_at, admin, deleted_at, banned_at = row
        stays = deleted_at is None and banned_at is None
        return User(
            id=id_,
            display_name=display_name,
            created_at=rfc3339(created_at),
            admin=bool(admin) or (stays and id_ in self._backend.settings.admin_ids),
            deleted=deleted_at is not None,
            banned_at=None if banned_at is None else rfc3339(banned_at),
        )


def _find(connection: Connection, user_id: str) -> Row[*tuple[Any, ...]] | None:
    return connection.execute(select(*_COLUMNS).where(users.c.id == user_id)).first()


def _banned(user_id: str) -> Select[Any]:
    # Locked: a ban on another node is waited for.
    return select(users.c.banned_at).where(users.c.id == user_id).with_for_update()


def _insert(tx: Transaction, user_id: str, display_name: str, password_hash: str | None) -> None:
    tx.connection.execute(
        insert(users).values(
            id=user_id,
            display_name=display_name,
            password_hash=password_hash,
            created_at=tx.now,
            admin=False,
        )
    )
