"""Who belongs to a channel, decided by others."""

from storm_gateway.actions import names, rules
from storm_gateway.actions.access import AccessCache
from storm_gateway.errors import ConflictError
from storm_gateway.protocol.events import Role
from storm_gateway.store.base import Store
from storm_gateway.store.records import Member


class MemberActions:
    """Invitations, removals, bans and roles. The rules run inside the transactions."""

    def __init__(self, store: Store, access: AccessCache) -> None:
        self._store = store
        self._access = access

    async def page(
        self, user_id: str, channel_id: int, limit: int, after: str = ""
    ) -> list[Member]:
        """The members in the order of their ids."""
        rules.may_receive(await self._access.load(user_id, channel_id))
        return await self._store.channels.members(channel_id, limit=limit, after=after)

    async def banned(
        self, user_id: str, channel_id: int, limit: int, after: str = ""
    ) -> list[Member]:
        """Who is banned, for those who may lift it."""
        rules.may_moderate(await self._access.load(user_id, channel_id))
        return await self._store.channels.members(channel_id, limit=limit, after=after, banned=True)

    async def invite(self, by: str, channel_id: int, user_id: str) -> bool:
        """False when the user is a member already."""
        return await self._store.channels.add(
            channel_id,
            names.user_id(user_id),
            by,
            rules.may_invite,
        )

    async def remove(self, by: str, channel_id: int, user_id: str) -> None:
        await self._take(by, channel_id, user_id, ban=False)

    async def ban(self, by: str, channel_id: int, user_id: str) -> None:
        """Remove and keep out."""
        await self._take(by, channel_id, user_id, ban=True)

    async def unban(self, by: str, channel_id: int, user_id: str) -> None:
        rule = rules.may_moderate
        await self._store.channels.unban(channel_id, user_id, by, rule)

    async def set_role(self, by: str, channel_id: int, user_id: str, role: Role) -> None:
        rule = rules.may_set_role
        await self._store.channels.set_role(channel_id, user_id, role, by, rule)

    async def _take(self, by: str, channel_id: int, user_id: str, *, ban: bool) -> None:
        if by == user_id:
            raise ConflictError("To go yourself, leave the channel.")
        rule = rules.may_remove
        await self._store.channels.remove(channel_id, user_id, by, rule, ban=ban)
