"""The hub: who listens to what on this node, and the way of an event from the bus to them."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine, Iterable

from storm_gateway.bus.base import Bus, BusEvent, ChannelEvent, StreamEvent, topic_of_channel
from storm_gateway.config import Config
from storm_gateway.errors import StormError
from storm_gateway.hub.fanout import Fanout
from storm_gateway.hub.feed import Feed, Subscriber
from storm_gateway.hub.heads import Heads
from storm_gateway.hub.rights import taken_away
from storm_gateway.observability.metrics import Metrics
from storm_gateway.presence.base import Presence, PresenceChange
from storm_gateway.protocol import events
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import Durable, MemberJoined, MemberLeft, MessageEvent
from storm_gateway.protocol.websocket import text_frame
from storm_gateway.store.base import Store

log = logging.getLogger("storm.hub")

_HELD = 4_096
"""Events kept that came before their predecessors; more are read from the store anyway."""
_KEEP_BYTES = 256 * 1024
_KEEP_BYTES_IN_ALL = 64 * 1024 * 1024
_FORGET_SECONDS = 60
_REPAIR_PAGE = 500
_COMPARE = 2_000
"""Feeds in one comparison with the store."""
_REPAIRS_AT_ONCE = 16
"""Repairs that read the store at one time: after a loss of the bus thousands may be due."""
_IDLE_SECONDS = 10
_IN_FLIGHT_SECONDS = 0.25
"""Time that a committed event may take through the bus before it counts as lost."""
_UPDATED = b'{"type":"channel.updated"'
"""Tells strangers why they are cut; a frame's header has at most 10 bytes."""
_GONE = 2**63
"""In place of the head of a channel that there is no more."""


class Hub:
    """Feeds by topic, connections by user."""

    def __init__(
        self, config: Config, store: Store, bus: Bus, presence: Presence, metrics: Metrics
    ) -> None:
        self._config = config
        self._store = store
        self._heads = Heads(store)
        self._bus = bus
        self._presence = presence
        self._counts = metrics.counts
        self._fanout = Fanout(
            metrics.counts, config.fanout_writes, config.coalesce_milliseconds / 1000
        )
        self._feeds: dict[str, Feed] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        # Most have one connection, and need no tuple.
        self._users: dict[str, Subscriber | tuple[Subscriber, ...]] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reorder = config.reorder_milliseconds / 1000
        self._late: dict[Feed, float] = {}  # feeds with a gap → when the store is read, in order
        self._late_timer: asyncio.TimerHandle | None = None
        self._repairs = asyncio.Semaphore(_REPAIRS_AT_ONCE)
        self._comparing = False
        self._compare_again = False
        self._forget_at = 0
        self._heard = self.on_event  # one for all topics
        self.on_learned: Callable[[Durable], None] = lambda event: None
        """Told, before it is delivered, of an event that may take rights away, and of each other
        than a message that was read from the store: its control event may have been lost."""

    # --- connections ---

    def connect(self, connection: Subscriber) -> None:
        """A connection is open."""
        others = self.connections_of(connection.user_id)
        self._users[connection.user_id] = (*others, connection) if others else connection

    def disconnect(self, connection: Subscriber) -> None:
        """A connection is gone: nothing is written to it any more."""
        for feed in connection.feeds:
            self.detach(connection, feed)
        user_id = connection.user_id
        rest = tuple(c for c in self.connections_of(user_id) if c is not connection)
        if rest:
            self._users[user_id] = rest if len(rest) > 1 else rest[0]
        else:
            self._users.pop(user_id, None)

    def fit(self) -> None:
        """Most have left: a dictionary keeps the room of what was removed from it."""
        self._users = dict(self._users)
        self._feeds = dict(self._feeds)
        for feed in self._feeds.values():
            feed.fit()
        self._presence.fit()

    def connections_of(self, user_id: str) -> tuple[Subscriber, ...]:
        """The open connections of a user on this node."""
        found = self._users.get(user_id, ())
        return found if isinstance(found, tuple) else (found,)

    def users(self) -> Iterable[str]:
        """Users with a connection on this node."""
        return self._users.keys()

    # --- feeds ---

    def feed(self, topic: str) -> Feed | None:
        """The feed of a topic that is live on this node."""
        feed = self._feeds.get(topic)
        return feed if feed is not None and feed.live_since else None

    async def open(self, topic: str, channel_id: int) -> Feed:
        """The live feed of a topic, with one more reference: the caller gives it back.

        Raises ``UnavailableError`` when bus or store are away, ``NotFoundError`` for a channel
        that is gone.
        """
        feed = self._feeds.get(topic)
        if feed is None:
            feed = self._feeds[topic] = Feed(topic, channel_id)
        feed.references += 1
        if feed.live_since:
            return feed
        task = self._opening.get(topic)
        if task is None:
            task = self._opening[topic] = asyncio.create_task(self._go_live(feed))
            task.add_done_callback(lambda _: self._opening.pop(topic, None))
        try:
            # Shielded: one connection that gives up must not end the opening for the others.
            await asyncio.shield(task)
        except BaseException:
            feed.references -= 1
            raise
        return feed

    async def _go_live(self, feed: Feed) -> None:
        # First the bus, then the head: what is committed in between is held, not missed.
        try:
            if (closing := self._closing.get(feed.topic)) is not None:
                await asyncio.wait([closing])
            await self._bus.subscribe(feed.topic, self._heard)
            if feed.channel_id:
                feed.seq = feed.settled = await self._heads.of(feed.channel_id)
        except BaseException:
            try:
                await self._bus.unsubscribe(feed.topic)
            finally:
                # Last: until then nobody else opens it, so what is left is what was opened here.
                self._feeds.pop(feed.topic, None)
            raise
        feed.live_since = time.monotonic()
        self._take_held(feed)

    def attach(self, connection: Subscriber, feed: Feed, seq: int) -> None:
        """The connection has everything up to ``seq`` and gets what follows."""
        feed.end_replay(connection)
        feed.add(connection, seq)
        if feed not in connection.feeds:
            self._register(connection, feed)

    def begin_replay(self, connection: Subscriber, feed: Feed, token: object) -> None:
        """The connection is catching up; live events wait for it in the log."""
        feed.begin_replay(connection, token)
        if feed not in connection.feeds:
            self._register(connection, feed)

    def _register(self, connection: Subscriber, feed: Feed) -> None:
        connection.feeds = (*connection.feeds, feed)
        self._counts.subscriptions += 1
        if feed.channel_id:
            self._presence.enter(feed.channel_id, connection.user_id)

    def detach(self, connection: Subscriber, feed: Feed) -> None:
        """End a subscription. One that is not there is no error."""
        feed.discard(connection)
        if feed not in connection.feeds:
            return
        connection.feeds = tuple(f for f in connection.feeds if f is not feed)
        self._counts.subscriptions -= 1
        if feed.channel_id:
            self._presence.leave(feed.channel_id, connection.user_id)

    # --- events ---

    def on_event(self, event: BusEvent) -> None:
        """One event from the bus."""
        if isinstance(event, ChannelEvent):
            feed = self._feeds.get(topic_of_channel(event.channel_id))
            if feed is None:
                return
            frame = text_frame(event.body)
            if event.seq:
                self._put_in_order(feed, event.seq, frame)
            elif event.audience is None:
                self._ephemeral(feed, frame)
            else:
                for connection in self.connections_of(event.audience):
                    if feed in connection.feeds:
                        connection.deliver(frame, b"", frame)
        elif isinstance(event, StreamEvent):
            feed = self._feeds.get(event.subject)
            if feed is not None:
                self._ephemeral(feed, text_frame(event.body))

    def _ephemeral(self, feed: Feed, frame: bytes) -> None:
        if feed.accept_ephemeral(frame):
            self._fanout.mark(feed)
        else:
            self._counts.ephemeral_dropped += 1

    def congested(self, channel_id: int) -> bool:
        """Whether a channel's messages come faster than its subscribers here can be written to."""
        feed = self._feeds.get(topic_of_channel(channel_id))
        return feed is not None and feed.congested

    def _put_in_order(self, feed: Feed, seq: int, frame: bytes) -> None:
        waits = feed.checking and _UPDATED not in frame[:40]
        if feed.live_since and seq == feed.seq + 1 and not waits:
            self._accept_heard(feed, seq, frame)
            if feed.held and not feed.checking:
                self._take_held(feed)
        elif seq > feed.seq:
            if len(feed.held) < _HELD:
                feed.hold(seq, frame)
            if feed.live_since and not feed.checking:
                self._wait_for_late(feed)

    def hold_back(self, feed: Feed) -> None:
        """What comes now waits for :meth:`go_on`: nobody knows who may still receive it."""
        feed.checking += 1

    def go_on(self, feed: Feed) -> None:
        """Everybody who is subscribed now may receive what waited."""
        feed.checking -= 1
        if feed.live_since and not feed.checking:
            self._take_held(feed)

    def _accept_heard(self, feed: Feed, seq: int, frame: bytes) -> None:
        event = taken_away(frame)
        if event is not None:
            # Before it is accepted: who was removed receives nothing that comes after it. The
            # control event travels on another topic: it may be behind, or lost alone.
            self._learn(event)
        self._accept(feed, seq, frame)

    def _accept(self, feed: Feed, seq: int, frame: bytes) -> None:
        feed.accept(seq, frame, self._config.recent_events, _KEEP_BYTES)
        self._fanout.mark(feed)

    def _take_held(self, feed: Feed) -> None:
        self._drain_held(feed)
        self._late.pop(feed, None)
        if feed.held:
            self._wait_for_late(feed)

    def _wait_for_late(self, feed: Feed) -> None:
        """Several nodes publish, so an event may overtake another: it gets a moment to come."""
        if feed.repairing or feed in self._late:
            return  # a repair looks at what is held when it ends
        if not self._reorder:
            self.repair(feed)
            return
        loop = asyncio.get_running_loop()
        self._late[feed] = loop.time() + self._reorder
        if self._late_timer is None:
            self._late_timer = loop.call_later(self._reorder, self._repair_late)

    def _repair_late(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._late_timer = None
        while self._late:
            feed, due = next(iter(self._late.items()))
            if due > now + 0.001:
                self._late_timer = loop.call_later(due - now, self._repair_late)
                return
            del self._late[feed]
            self.repair(feed)

    def _drain_held(self, feed: Feed) -> None:
        for seq, frame in feed.take_held():
            self._accept_heard(feed, seq, frame)

    # --- repair: the bus may lose, the store does not ---

    def repair(self, feed: Feed) -> None:
        """Read what is missing from the store and deliver it in order."""
        # A repair under way may have read the store before what is missing now was committed.
        feed.repair_again = feed.repairing
        if feed.repairing or feed.checking:
            return  # the next comparison of heads finds it, when it is known who may have it
        feed.repairing = True
        self._late.pop(feed, None)
        self._spawn(self._repair(feed))

    async def _repair(self, feed: Feed) -> None:
        try:
            while True:
                feed.repair_again = False
                async with self._repairs:
                    after = feed.seq
                    held = list(feed.held)
                    replay = await self._store.messages.replay(
                        feed.channel_id, after, _REPAIR_PAGE, upto=after + _REPAIR_PAGE
                    )
                self._accept_repaired(feed, replay.events)
                if feed.seq == after < replay.head:
                    # A log has no holes, so this is a fault of the store. Said aloud, and passed
                    # over: asking for ever for what is not there would stop the channel.
                    log.error("the log of %s has a hole after %d", feed.topic, after)
                    feed.seq = min(after + _REPAIR_PAGE, replay.head)
                self._drain_held(feed)
                # Published means committed: what came before the store was read, and is not in
                # it, no node of ours has sent.
                false = [seq for seq in held if seq > replay.head and feed.held.pop(seq, b"")]
                if false:
                    log.warning("%d events of %s are not in the store", len(false), feed.topic)
                if feed.seq >= replay.head and not feed.repair_again:
                    break
            feed.repairing = False
        except StormError as error:
            # The next comparison of heads tries again.
            log.warning("repair of %s has to wait: %s", feed.topic, error.message)
            self._drain_held(feed)
        else:
            self._take_held(feed)
        finally:
            feed.repairing = False

    def _accept_repaired(self, feed: Feed, found: list[Durable]) -> None:
        for index, event in enumerate(found):
            if event.seq != feed.seq + 1:
                continue
            if type(event) is not MessageEvent and not _undone(event, found[index + 1 :]):
                self._learn(event)
            self._accept(feed, event.seq, text_frame(encode(event)))
            self._counts.repaired += 1

    def _learn(self, event: Durable) -> None:
        try:
            self.on_learned(event)
        except Exception:
            log.exception("what an event means for rights was not carried out")

    async def compare_heads(self, patience_seconds: float | None = None) -> None:
        """Repair every feed that is behind the store although nothing tells of it.

        ``patience_seconds``: time that what is committed may take to come by itself. Asked for
        while one is under way: another follows it. Raises ``StormError`` when the store is away;
        the next comparison finds the same.
        """
        if self._comparing:
            self._compare_again = True
            return
        self._comparing = True
        try:
            await self._compare(
                _IN_FLIGHT_SECONDS if patience_seconds is None else patience_seconds
            )
            while self._compare_again:
                self._compare_again = False
                await self._compare(0)
        finally:
            self._comparing = self._compare_again = False

    async def _compare(self, patience_seconds: float) -> None:
        feeds = [feed for feed in self._feeds.values() if feed.live_since and feed.channel_id]
        known = {feed.channel_id: feed.seq for feed in feeds}
        parts = iter(known.items())
        moved: dict[int, int | None] = {}
        while part := dict(itertools.islice(parts, _COMPARE)):
            moved.update(await self._store.channels.moved(part))
        # At rest these are none: what is compared costs a line in the store, not a loop here.
        suspects = []
        for feed in feeds if moved else ():
            if (id_ := feed.channel_id) in moved:
                head = moved[id_]
                self.look_back(feed, known[id_], _GONE if head is None else head)
                if head is None or head > feed.seq:
                    suspects.append((feed, head))
        if not suspects:
            return
        await asyncio.sleep(patience_seconds)
        for feed, head in suspects:
            if head is None:
                await self._find_deletion(feed)
            elif head > feed.seq:
                self.repair(feed)

    def look_back(self, feed: Feed, known: int, head: int) -> None:
        """Compare the head that the store named with ``feed.seq`` as it was before the store was
        asked. Accepted means committed, so a head below it is of a restored backup.
        """
        if head < known <= feed.seq:
            log.error("%s ends at %d in the store, before %d", feed.topic, head, feed.seq)
            feed.go_back(head)

    async def _find_deletion(self, feed: Feed) -> None:
        if feed.wanted and self._feeds.get(feed.topic) is feed:
            deletion = await self._store.channels.deletion(feed.channel_id)
            if deletion is not None:
                self._learn(deletion)

    def repair_all(self) -> None:
        """The bus says that it may have lost something."""
        self._spawn(self._compare_now())

    async def _compare_now(self) -> None:
        try:
            await self.compare_heads(0)
        except StormError as error:
            log.warning("repair has to wait: %s", error.message)

    async def sweep(self, tick: int) -> None:
        """Leave topics that nobody here has wanted for a while. ``tick``: seconds."""
        for feed in list(self._feeds.values()):
            if feed.wanted or not feed.live_since:
                feed.idle_since = 0
            elif not feed.idle_since:
                feed.idle_since = tick
            elif tick - feed.idle_since >= _IDLE_SECONDS:
                await self._close(feed)
        if tick >= self._forget_at:
            self._forget_at = tick + _FORGET_SECONDS
            self.forget_recent()

    def forget_recent(self) -> None:
        """Keep in memory only what was said since this was last called, and not too much of it:
        who comes back later, or to a quiet channel, has the store.
        """
        kept = 0
        for feed in self._feeds.values():
            if feed.recent:
                if feed.recent_seq == feed.seq or kept + feed.recent_bytes > _KEEP_BYTES_IN_ALL:
                    feed.forget_recent()
                kept += feed.recent_bytes
            feed.recent_seq = feed.seq

    async def _close(self, feed: Feed) -> None:
        topic = feed.topic
        del self._feeds[topic]
        self._late.pop(feed, None)
        # Who opens it again in this moment waits for it: else the end of this subscription
        # might be the end of the new one.
        task = self._closing[topic] = asyncio.create_task(self._bus.unsubscribe(topic))
        task.add_done_callback(lambda _: self._closing.pop(topic, None))
        await task

    # --- presence and heartbeat ---

    def on_presence(self, change: PresenceChange) -> None:
        """Tell a channel's subscribers here who came and went."""
        feed = self._feeds.get(topic_of_channel(change.channel_id))
        if feed is not None:
            event = events.PresenceEvent(
                change.channel_id, change.online, joined=change.joined, left=change.left
            )
            self._ephemeral(feed, text_frame(encode(event)))

    def presence_frame(self, channel_id: int) -> bytes:
        """Who is online in a channel now, for a new subscriber."""
        now = self._presence.snapshot(channel_id)
        return text_frame(encode(events.PresenceEvent(channel_id, now.online, users=now.users)))

    def heartbeat_frame(self, connection: Subscriber) -> bytes:
        """The newest seq of each channel that the connection has been given."""
        # Who is catching up has been given less: told the head, it would subscribe once more.
        heads = {
            str(feed.channel_id): feed.settled
            for feed in connection.feeds
            if feed.channel_id and connection not in feed.replaying
        }
        return text_frame(encode(events.Heartbeat(heads)))

    # --- life ---

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work of the hub failed", exc_info=error)

    async def stop(self) -> None:
        """End the work under way."""
        if self._late_timer is not None:
            self._late_timer.cancel()
            self._late_timer = None
        self._late.clear()
        for task in [*self._tasks, *self._opening.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._opening.values(), return_exceptions=True)


def _undone(event: Durable, later: list[Durable]) -> bool:
    """Whether a user who left came back since: then nothing is taken away."""
    return isinstance(event, MemberLeft) and any(
        isinstance(other, MemberJoined) and other.user_id == event.user_id for other in later
    )
