"""Channels: made, found, changed, entered and left."""

import asyncio
import time

from storm_gateway.actions import names, rules
from storm_gateway.actions.access import AccessCache
from storm_gateway.actions.open_channels import CROWD
from storm_gateway.actions.publisher import Publisher
from storm_gateway.bus.base import ControlEvent
from storm_gateway.config import Config
from storm_gateway.errors import InvalidRequestError, NotFoundError, StormError
from storm_gateway.store.base import Done, Store
from storm_gateway.store.records import Channel, ChannelView, Join, Joined, Visibility


class ChannelActions:
    """What users do with channels as a whole."""

    def __init__(
        self, config: Config, store: Store, access: AccessCache, publisher: Publisher
    ) -> None:
        self._store = store
        self._access = access
        self._publisher = publisher
        self._named = config.named_members

    async def create(
        self, user_id: str, name: str, visibility: Visibility = "public", topic: str = ""
    ) -> ChannelView:
        """A public or private channel, owned by who makes it."""
        if visibility == "direct":
            raise InvalidRequestError("A direct channel is made with POST /direct.")
        channel = await self._store.channels.create(
            names.channel_name(name), visibility, names.topic(topic), user_id
        )
        return await self._view(user_id, channel.id)

    async def direct(self, user_id: str, peer: str) -> tuple[ChannelView, bool]:
        """The direct channel with ``peer`` as the user sees it, and whether it was made now."""
        channel, created = await self._store.channels.direct(user_id, names.user_id(peer))
        return await self._view(user_id, channel.id), created

    async def visible_to(self, user_id: str) -> list[ChannelView]:
        """The channels that the user may see, by id."""
        return await self._store.channels.visible_to(user_id)

    async def page(self, limit: int, after: int, contains: str) -> list[Channel]:
        """Public and private channels by id, for administrators; the caller has checked that."""
        return await self._store.channels.page(limit, after, contains)

    async def get(self, user_id: str, channel_id: int) -> ChannelView:
        await self.may_receive(user_id, channel_id)
        return await self._view(user_id, channel_id)

    async def update(
        self,
        user_id: str,
        channel_id: int,
        *,
        name: str | None = None,
        topic: str | None = None,
        visibility: Visibility | None = None,
    ) -> ChannelView:
        """Change what is given; owners may."""
        if name is None and topic is None and visibility is None:
            raise InvalidRequestError("Say a name, a topic or a visibility.")
        if visibility == "direct":
            raise InvalidRequestError("A channel cannot become a direct one.")
        await self._store.channels.update(
            channel_id,
            user_id,
            rules.may_manage,
            name=None if name is None else names.channel_name(name),
            topic=None if topic is None else names.topic(topic),
            visibility=visibility,
        )
        return await self._view(user_id, channel_id)

    async def delete(self, user_id: str, channel_id: int) -> None:
        rule = rules.may_manage
        await self._store.channels.delete(channel_id, user_id, rule)

    def join(self, user_id: str, channel_id: int, done: Done[Joined]) -> None:
        """Come into a channel; hot: no task, and many joins of one moment are one statement."""

        def joined(outcome: Joined | StormError) -> None:
            # A join of a crowded channel makes no event that would tell the cache.
            self._access.forget(user_id, channel_id)
            done(outcome)

        self._store.channels.join(
            Join(channel_id, user_id, int(time.time() * 1000)),
            rules.may_join,
            joined,
        )

    def joined(self, user_id: str, joined: Joined) -> None:
        """What a join has read need not be asked for, unless it was taken away since: the caller
        knows.
        """
        self._access.learn(user_id, joined.access, joined.read_at)

    async def enter(self, user_id: str, channel_id: int) -> ChannelView:
        """``join`` for those who can wait; gives the channel as the member sees it."""
        waiting: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()

        def done(outcome: Joined | StormError) -> None:
            if waiting.done():
                return
            if isinstance(outcome, StormError):
                waiting.set_exception(outcome)
            else:
                waiting.set_result(outcome)

        self.join(user_id, channel_id, done)
        await waiting
        return await self._view(user_id, channel_id)

    async def leave(self, user_id: str, channel_id: int) -> None:
        """Give up one's membership, and stop receiving on every device."""
        rules.may_leave(await self._access.load(user_id, channel_id))
        await self._store.channels.leave(channel_id, user_id)
        channel = await self._store.channels.get(channel_id)
        if channel is None or channel.member_count >= self._named:
            # The store makes no event of it where the crowd is too large to be told.
            self._publisher.control(
                ControlEvent("access_lost", user_id=user_id, channel_id=channel_id)
            )

    async def may_receive(self, user_id: str, channel_id: int, since: float = 0) -> None:
        """Raises unless the user may read the channel. ``since``: what was learned before this
        moment (``time.monotonic``) does not count.
        """
        rules.may_receive(await self._access.load(user_id, channel_id, since))

    def may_receive_now(self, user_id: str, channel_id: int, since: float, crowd: int = 0) -> bool:
        """The same of what is known without asking; False: ask. Raises as :meth:`may_receive`.

        ``crowd``: how many receive the channel here: where many do, it is worth knowing whether
        everybody may.
        """
        if self._access.open.holds(channel_id, since):
            return True
        if crowd >= CROWD:
            self._access.open.learn(channel_id)
        access = self._access.get(user_id, channel_id, since)
        if access is None:
            return False
        rules.may_receive(access)
        return True

    def foresee(self, user_id: str, channel_id: int) -> None:
        """The user will want to receive the channel in a moment."""
        if not self._access.open.holds(channel_id):
            self._access.foresee(user_id, channel_id)

    async def _view(self, user_id: str, channel_id: int) -> ChannelView:
        view = await self._store.channels.view(channel_id, user_id)
        if view is None:
            raise NotFoundError("There is no such channel.")
        return view
