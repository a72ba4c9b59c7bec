"""What other actions take away: subscriptions and connections that may be no more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from storm_gateway.bus.base import ControlEvent, topic_of_channel
from storm_gateway.errors import ForbiddenError, NotFoundError, StormError
from storm_gateway.hub.feed import Feed, Subscriber
from storm_gateway.hub.hub import Hub
from storm_gateway.protocol.close_codes import CloseCode
from storm_gateway.protocol.websocket import text_frame

log = logging.getLogger("storm.hub")

MayReceive = Callable[[str, int], Awaitable[None]]
IsRevoked = Callable[[Subscriber], CloseCode | None]
"""Why a connection may not stay: its token is void, or its user is banned; None: it may."""


_REASONS = {
    CloseCode.AUTHENTICATION_FAILED: "the token was revoked",
    CloseCode.FORBIDDEN: "banned from this server",
}


class Control:
    """Carries out control events on this node's connections."""

    def __init__(self, hub: Hub, may_receive: MayReceive, is_revoked: IsRevoked) -> None:
        self._hub = hub
        self._may_receive = may_receive
        self._is_revoked = is_revoked
        self._cuts: dict[tuple[str, int], float] = {}
        self._told: dict[tuple[str, int], tuple[float, bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def on_event(self, event: ControlEvent) -> None:
        """One control event; takes effect before it returns, but for ``access_changed`` of all."""
        hub = self._hub
        match event.kind:
            case "access_lost":
                self.cut(event.user_id, event.channel_id)
                if not self._told_before(event):
                    self._tell(event)
            case "access_changed":
                if event.user_id and not event.channel_id:
                    # An administrator no longer: what they listened to as one ends.
                    feeds = {f for c in hub.connections_of(event.user_id) for f in c.feeds}
                    for channel_id in {found.channel_id for found in feeds} - {0}:
                        self._look_again(channel_id, event.user_id)
                elif event.user_id:
                    # Who receives the channel gets the event through it.
                    feed = hub.feed(topic_of_channel(event.channel_id))
                    for connection in hub.connections_of(event.user_id):
                        if feed not in connection.feeds:
                            self._tell_one(connection, event.body)
                else:
                    self._look_again(event.channel_id)
            case "channel_deleted":
                feed = hub.feed(topic_of_channel(event.channel_id))
                if feed is not None:
                    for connection in list(feed):
                        self._tell_one(connection, event.body)
                        hub.detach(connection, feed)
            case "user_revoked" | "user_banned":
                for connection in hub.connections_of(event.user_id):
                    self._revoke(connection)
            case "session_revoked":
                users = [event.user_id] if event.user_id else list(hub.users())
                for user_id in users:
                    for connection in hub.connections_of(user_id):
                        self._revoke(connection)
            case "user_event":
                self._tell(event)

    def cut(self, user_id: str, channel_id: int, code: CloseCode | None = None) -> None:
        """The user receives nothing more of the channel here.

        ``code``: why the connections that received it end, too.
        """
        # Remembered for a moment: a join that was committed just before may not be live yet.
        self._cuts[user_id, channel_id] = asyncio.get_running_loop().time()
        feed = self._hub.feed(topic_of_channel(channel_id))
        if feed is not None:
            for connection in self._hub.connections_of(user_id):
                received = feed in connection.feeds
                self._hub.detach(connection, feed)
                if received and code is not None:
                    connection.close(code, "access could not be checked; resume")

    def cut_lately(self, user_id: str, channel_id: int) -> bool:
        """Whether access was lost so lately that what was read before may be stale."""
        return bool(self._cuts) and (user_id, channel_id) in self._cuts

    def sweep(self, now: float) -> None:
        """Forget old cuts."""
        if self._cuts:
            self._cuts = {key: at for key, at in self._cuts.items() if now - at < 10}
        if self._told:
            self._told = {key: told for key, told in self._told.items() if now - told[0] < 10}

    def _told_before(self, event: ControlEvent) -> bool:
        # The same is learned from the channel's own event: whichever comes first tells of it.
        key = (event.user_id, event.channel_id)
        _, last = self._told.get(key, (0, b""))
        self._told[key] = (asyncio.get_running_loop().time(), event.body)
        return bool(event.body) and last == event.body

    def _tell(self, event: ControlEvent) -> None:
        for connection in self._hub.connections_of(event.user_id):
            self._tell_one(connection, event.body)

    @staticmethod
    def _tell_one(connection: Subscriber, body: bytes) -> None:
        if body:
            connection.send(text_frame(body))

    def _revoke(self, connection: Subscriber) -> None:
        code = self._is_revoked(connection)
        if code is not None:
            connection.close(code, _REASONS[code])

    def revoke_void(self) -> None:
        """End every connection whose token is void: what told of it may have been lost."""
        for user_id in list(self._hub.users()):
            for connection in self._hub.connections_of(user_id):
                self._revoke(connection)

    def _look_again(self, channel_id: int, user_id: str = "") -> None:
        feed = self._hub.feed(topic_of_channel(channel_id))
        if feed is None:
            return
        users = {user_id} if user_id else {c.user_id for c in feed}
        if not user_id:
            self._hub.hold_back(feed)
        task = asyncio.create_task(self._verify(feed, users, held=not user_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _verify(self, feed: Feed, users: set[str], *, held: bool) -> None:
        try:
            await self._cut_strangers(feed, users)
        finally:
            if held:
                self._hub.go_on(feed)

    async def _cut_strangers(self, feed: Feed, users: set[str]) -> None:
        results = await asyncio.gather(
            *(self._may_receive(user_id, feed.channel_id) for user_id in users),
            return_exceptions=True,
        )
        for user_id, result in zip(users, results, strict=True):
            if isinstance(result, (ForbiddenError, NotFoundError)):
                self.cut(user_id, feed.channel_id)
            elif result is not None:
                # Nobody knows whether they still may. They come back and ask again, so neither
                # does a stranger read on nor does a member miss anything without a word.
                if not isinstance(result, StormError):
                    log.error("looking again at access failed", exc_info=result)
                self.cut(user_id, feed.channel_id, CloseCode.INTERNAL_ERROR)

    async def stop(self) -> None:
        """End the work under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
