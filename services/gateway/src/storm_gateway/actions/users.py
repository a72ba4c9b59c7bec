"""People: looking at them, and changing oneself."""

from msgspec import structs

from storm_gateway.actions import names
from storm_gateway.actions.auth import Auth
from storm_gateway.actions.publisher import Publisher
from storm_gateway.bus.base import ControlEvent
from storm_gateway.errors import (
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    UnauthenticatedError,
)
from storm_gateway.store.base import Store
from storm_gateway.store.records import User


class UserActions:
    """Everybody may look; only oneself may change; an administrator makes administrators."""

    def __init__(self, store: Store, auth: Auth, publisher: Publisher) -> None:
        self._store = store
        self._auth = auth
        self._publisher = publisher

    async def me(self, user_id: str) -> User:
        """The user behind a token; a user who is gone has no token."""
        user = await self._store.users.get(user_id)
        if user is None or user.deleted:
            raise UnauthenticatedError("This user does not exist any more.")
        return user

    async def get(self, user_id: str) -> User:
        user = await self._store.users.get(user_id)
        if user is None or user.deleted:
            raise NotFoundError("There is no such user.")
        return user

    async def page(self, limit: int, after: str = "", contains: str = "") -> list[User]:
        """Users in the order of their ids."""
        return await self._store.users.page(limit, after, contains)

    async def create(
        self, by: str, user_id: str, password: str, display_name: str | None = None
    ) -> User:
        """Make a user: as anybody may by registering, as an administrator may always."""
        if await self.is_admin(by):
            return await self._auth.create(user_id, password, display_name)
        return await self._auth.register(user_id, password, display_name)

    async def update(
        self, user_id: str, display_name: str | None = None, password: str | None = None
    ) -> User:
        """Change oneself. A new password ends every login."""
        if display_name is None and password is None:
            raise InvalidRequestError("Say a display_name, a password or both.")
        user = None
        if display_name is not None:
            shown = names.display_name(display_name)
            if password is not None:
                names.password(password)
            user = await self._store.users.update(user_id, display_name=shown)
        if password is not None:
            await self._auth.change_password(user_id, password)
        return user if user is not None else await self.me(user_id)

    async def delete(self, user_id: str) -> None:
        """Delete oneself: messages stay, name and password go, every token is void."""
        await self._store.users.delete(user_id)
        self._auth.tell_revoked(user_id, deleted=True)

    async def set_admin(self, by: str, user_id: str, admin: bool) -> User:
        """Make somebody a server administrator, or no longer."""
        await self.check_admin(by)
        user = await self._store.users.set_admin(user_id, admin)
        self._publisher.control(ControlEvent("access_changed", user_id=user_id))
        return user

    async def ban(self, by: str, user_id: str) -> None:
        """Keep somebody out of the server: no login, no token, no connection, on any node.
        Messages and memberships stay.
        """
        await self.check_admin(by)
        await self._store.users.ban(user_id, by)
        self._auth.tell_banned(user_id, True)

    async def unban(self, by: str, user_id: str) -> None:
        """Let them in again, by a new login."""
        await self.check_admin(by)
        await self._store.users.unban(user_id)
        self._auth.tell_banned(user_id, False)

    async def check_admin(self, user_id: str) -> None:
        """``ForbiddenError`` for whoever is no server administrator."""
        if not await self.is_admin(user_id):
            raise ForbiddenError("Only a server administrator may do this.")

    async def as_seen_by(self, by: str, users: list[User]) -> list[User]:
        """Users without what only administrators are told: since when somebody is banned."""
        if not any(user.banned_at for user in users) or await self.is_admin(by):
            return users
        return [structs.replace(user, banned_at=None) for user in users]

    async def is_admin(self, user_id: str) -> bool:
        """Whether the user is a server administrator, by the configuration or the store."""
        user = await self._store.users.get(user_id)
        return user is not None and user.admin and not user.deleted
