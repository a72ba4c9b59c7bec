"""From ``subscribe`` to live: replay, then live events, without race, hole or repeat."""

import asyncio
from collections.abc import Awaitable, Callable

from storm_gateway.bus.base import topic_of_channel
from storm_gateway.config import Config
from storm_gateway.errors import ConflictError
from storm_gateway.hub.feed import Feed, Subscriber
from storm_gateway.hub.hub import Hub
from storm_gateway.observability.metrics import Metrics
from storm_gateway.protocol import events
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.websocket import text_frame
from storm_gateway.store.base import Store

_REPLAYS_AT_ONCE = 32
"""Replays that read the store at one time: a storm of returning clients waits its turn."""
_CHUNK_BYTES = 128 * 1024
"""Bytes of a replay that are sent before the client has to take them."""


class Subscriptions:
    """Makes connections live. One for each node."""

    def __init__(self, config: Config, hub: Hub, store: Store, metrics: Metrics) -> None:
        self._limit = config.replay_events
        self._hub = hub
        self._store = store
        self._metrics = metrics
        self._turns = asyncio.Semaphore(_REPLAYS_AT_ONCE)

    def subscribe_now(
        self, connection: Subscriber, channel_id: int, since: int | None, ref: str | None
    ) -> bool:
        """Subscribe from memory alone; False when the store or the bus has to be asked first."""
        feed = self._hub.feed(topic_of_channel(channel_id))
        if feed is None:
            return False
        if since is not None and since > feed.seq:
            return False  # what the client has is not here yet: only the store knows the head
        missed = [] if since is None else feed.recent_after(since)
        if missed is None or len(missed) > self._limit:
            return False
        reply = text_frame(encode(events.Subscribed(channel_id, feed.seq, ref)))
        if feed in connection.feeds:
            self._hub.detach(connection, feed)
        self._hub.attach(connection, feed, feed.seq)
        self._metrics.counts.replayed += len(missed)
        connection.send(b"".join((reply, *missed, self._hub.presence_frame(channel_id))))
        return True

    async def subscribe(
        self,
        connection: Subscriber,
        channel_id: int,
        since: int | None,
        ref: str | None,
        check: Callable[[], Awaitable[None]],
    ) -> None:
        """Subscribe. Raises ``StormError`` when it cannot be; then nothing is subscribed.

        ``check`` raises when the user may not receive the channel. It is asked last, just before
        the connection is registered: from then on a removal finds it there.
        """
        feed = await self._hub.open(topic_of_channel(channel_id), channel_id)
        try:
            await check()
            if not connection.is_open:
                return
            if self.subscribe_now(connection, channel_id, since, ref):
                return
            assert since is not None  # noqa: S101 else the open feed would have served it
            if feed in connection.feeds:
                self._hub.detach(connection, feed)
            token = object()
            self._hub.begin_replay(connection, feed, token)
            try:
                with self._metrics.replay_seconds.time():
                    await self._replay(connection, feed, since, ref, token)
            except BaseException:
                if feed.replaying.get(connection) is token:
                    self._hub.detach(connection, feed)
                raise
        finally:
            feed.references -= 1

    async def _replay(
        self, connection: Subscriber, feed: Feed, since: int, ref: str | None, token: object
    ) -> None:
        answered = False
        upto = None
        while True:
            async with self._turns:
                known = feed.seq
                replay = await self._store.messages.replay(
                    feed.channel_id, since, self._limit, upto
                )
                frames = [text_frame(encode(event)) for event in replay.events]
            head, gap = replay.head, replay.gap
            del replay
            # Else what it remembers of another log would follow the replay of this one.
            self._hub.look_back(feed, known, head)
            if feed.replaying.get(connection) is not token:
                # Unsubscribed, removed, disconnected, or subscribed once more meanwhile.
                if ref is not None and not answered and connection.is_open:
                    raise ConflictError("Another command for this channel took the place of this.")
                return
            if not answered:
                answered = True
                told = events.Gap(*gap) if gap else None
                reply = events.Subscribed(feed.channel_id, head, ref, told, reset=since > head)
                connection.send(text_frame(encode(reply)))
            if not await self._send(connection, feed, frames, token):
                return
            # Only the reply can tell of a gap: what was missed since is read page by page.
            since = head if upto is None else min(head, upto)
            upto = since + self._limit
            # What came while the store was read and the client was taking the replay.
            missed = feed.recent_after(since)
            if missed is not None:
                since = max(since, feed.seq)
                self._hub.attach(connection, feed, since)
                self._metrics.counts.replayed += len(missed)
                connection.send(b"".join((*missed, self._hub.presence_frame(feed.channel_id))))
                return

    async def _send(
        self, connection: Subscriber, feed: Feed, frames: list[bytes], token: object
    ) -> bool:
        chunk: list[bytes] = []
        size = 0
        for frame in frames:
            chunk.append(frame)
            size += len(frame)
            if size >= _CHUNK_BYTES:
                connection.send(b"".join(chunk))
                chunk.clear()
                size = 0
                if not await connection.writable() or feed.replaying.get(connection) is not token:
                    return False
        if chunk:
            connection.send(b"".join(chunk))
        self._metrics.counts.replayed += len(frames)
        return True
