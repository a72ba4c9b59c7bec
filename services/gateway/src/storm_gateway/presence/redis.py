"""Presence of many nodes, on Valkey or Redis (decision 0014).

Each node writes down whom it holds, under its life; a life has a lease. What a node knows of the
others it has read: a user is online while any life holds them.
"""

import asyncio
import contextlib
import logging
import random
import re
from collections.abc import Callable

from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.presence.base import PresenceChange, PresenceSnapshot
from storm_gateway.presence.crowds import Crowds
from storm_gateway.presence.room import Room
from storm_gateway.presence.scripts import APPLY, BEGIN, END, HELD, POLL, READ
from storm_gateway.redis_link import LinkError, RedisLink, Script

log = logging.getLogger("storm.presence")

_ANSWER_SECONDS = 2.0
_BATCH = 1_000
"""Entries in one script: about 3 ms during which Valkey does nothing else."""
_BATCHES = 20
"""Batches in one interval; the rest waits for the next."""
_READ_BATCH = 200
_READS = 10_000
"""Channels read in one interval at most."""
_REAPED = 1_000
_REAPS = 50
_CHANGED = 10_000
_KEPT_MILLISECONDS = 300_000
"""How long Valkey knows which channels changed; who was away longer reads all of its own."""
_LONGEST_PAUSE = 5.0


_Writes = tuple[int, list[str]]
"""A channel, and who came to it ("+user") and left it ("-user") on this node."""


class _DoubtError(Exception):
    """What Valkey holds for this node is not what this node thinks."""


class RedisPresence:
    """One task, one timer, whatever the number of users. Callers never wait for Valkey."""

    def __init__(self, config: Config, life: str, metrics: Metrics) -> None:
        """Raises ``ValueError`` when the URL cannot be read."""
        self._link = RedisLink(config.redis_url)
        self._life = re.sub(r"[^A-Za-z0-9._-]", "_", life)
        self._metrics = metrics
        self._named = config.named_members
        # Some more names than are told, so that a channel around the limit can go on by name.
        self._known = config.named_members * 2
        self._interval = config.presence_interval_seconds
        self._grace = config.presence_grace_seconds
        self._lease = config.presence_lease_seconds * 1000
        self._refresh = config.presence_refresh_seconds
        self._rooms: dict[int, Room] = {}
        self._graces: dict[tuple[int, str], float] = {}  # → when it ends, oldest first
        self._pending: dict[int, None] = {}  # rooms with something to write
        self._unread: dict[int, None] = {}  # rooms to be read
        self._dirty: set[int] = set()  # rooms with something to tell
        self._crowds = Crowds()
        self._came = 0  # since the last beat
        self._leaving: set[int] = set()  # rooms with somebody who may be elsewhere
        self._entries = 0  # written ones, over all rooms
        self._session = 0
        self._doubt = True
        self._clock = "0"
        self._renew_at = 0.0
        self._retry_at = 0.0
        self._failures = 0
        self._changed: Callable[[PresenceChange], None] = lambda _: None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- life ---

    async def start(self, changed: Callable[[PresenceChange], None]) -> None:
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not self._doubt:
                grace = int(self._grace * 1000)
                with contextlib.suppress(LinkError):
                    await self._link.run(
                        [(END, (self._life, self._session, grace))], _ANSWER_SECONDS
                    )
        await self._link.close()
        for kept in (self._rooms, self._graces, self._pending, self._unread):
            kept.clear()
        self._dirty.clear()
        self._leaving.clear()
        self._entries = 0

    # --- what callers ask ---

    def enter(self, channel_id: int, user_id: str) -> None:
        room = self._rooms.get(channel_id)
        if room is None:
            room = self._rooms[channel_id] = Room()
            self._unread[channel_id] = None
        count = room.connections(user_id)
        if count is None:
            room.come(user_id)
            self._came += 1
            self._touch(channel_id, room)
            return
        room.count(user_id, count + 1)
        if count == 0:
            self._graces.pop((channel_id, user_id), None)

    def leave(self, channel_id: int, user_id: str) -> None:
        room = self._rooms.get(channel_id)
        count = room.connections(user_id) if room is not None else None
        if room is None or not count:
            return
        room.count(user_id, count - 1)
        if count == 1:
            assert self._loop is not None  # noqa: S101 start set it
            self._graces[channel_id, user_id] = self._loop.time() + self._grace

    def fit(self) -> None:
        self._rooms, self._graces = dict(self._rooms), dict(self._graces)
        self._pending, self._unread = dict(self._pending), dict(self._unread)
        self._dirty, self._leaving = set(self._dirty), set(self._leaving)
        for room in self._rooms.values():
            room.fit()

    def snapshot(self, channel_id: int) -> PresenceSnapshot:
        room = self._rooms.get(channel_id)
        if room is None:
            return PresenceSnapshot(0, [])
        return room.snapshot(self._named, self._known)

    async def look(self, channel_id: int) -> PresenceSnapshot:
        if self._failures:
            raise _away()  # known already: nobody waits for it
        try:
            (reply,) = await self._link.run([self._read_call([channel_id])], _ANSWER_SECONDS)
        except LinkError:
            raise _away() from None
        ((_, counted, others),) = _parse(reply)
        room = self._rooms.get(channel_id)
        found = Room()
        if room is not None:
            found.own, found.leaving, found.pending = room.own, room.leaving, room.pending
        found.know(counted, others)
        return found.snapshot(self._named, self._known)

    async def probe(self, timeout_seconds: float) -> None:
        try:
            await self._link.ping(timeout_seconds)
        except LinkError:
            raise _away() from None

    # --- the task ---

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._end_graces(loop.time())
                await self._exchange(loop.time())
                self._tell(loop.time())
            except Exception:  # the task is all there is: whatever it was, it goes on
                log.exception("a round of presence failed")
                self._doubt = True
            due = loop.time() + self._interval
            await asyncio.sleep(self._interval)
            came, self._came = self._came, 0
            self._crowds.beat(loop.time(), loop.time() - due, came)

    def _touch(self, channel_id: int, room: Room) -> None:
        if room.pending:
            self._pending[channel_id] = None
        self._dirty.add(channel_id)

    def _end_graces(self, now: float) -> None:
        ended = []
        for key, at in self._graces.items():
            if at > now:
                break
            ended.append(key)
        for key in ended:
            del self._graces[key]
            channel_id, user_id = key
            room = self._rooms[channel_id]
            room.go(user_id)
            self._leaving.add(channel_id)
            self._unread[channel_id] = None
            self._touch(channel_id, room)

    async def _exchange(self, now: float) -> None:
        if now >= self._retry_at:
            began = asyncio.get_running_loop().time()
            try:
                await self._talk(now)
            except LinkError as error:
                self._failed(error, asyncio.get_running_loop().time())
            else:
                if self._failures:
                    log.info("presence: Valkey is back")
                self._failures = 0
                took = asyncio.get_running_loop().time() - began
                self._metrics.presence_exchange_seconds.observe(took)
        if self._failures:
            # They left here, and nobody can say that they are elsewhere.
            for channel_id in self._leaving:
                self._rooms[channel_id].leave_all()
                self._dirty.add(channel_id)
            self._leaving.clear()
        self._metrics.presence_entries.set(self._entries)

    def _failed(self, error: LinkError, now: float) -> None:
        if not self._failures:
            log.warning("presence: Valkey %s; what was known last is shown", error)
        self._metrics.presence_errors.inc()
        self._doubt = True
        self._failures += 1
        pause = min(_LONGEST_PAUSE, 0.25 * 2 ** min(self._failures, 6))
        self._retry_at = now + pause * random.uniform(0.5, 1)  # noqa: S311 no secret

    async def _talk(self, now: float) -> None:
        for _ in range(3):
            try:
                if self._doubt:
                    await self._begin()
                await self._write_and_poll(now)
                break
            except _DoubtError:
                self._doubt = True
        else:
            raise LinkError("forgets what it was told")
        await self._read()

    # --- writing ---

    async def _begin(self) -> None:
        """Find out what Valkey holds for this life, whatever happened before."""
        self._session += 1
        self._metrics.presence_resyncs.inc()
        (clock,) = await self._link.run(
            [(BEGIN, (self._life, self._session, self._lease))], _ANSWER_SECONDS
        )
        held: dict[int, set[str]] = {}
        cursor = b"0"
        while True:
            ((cursor, lines),) = await self._link.run(
                [(HELD, (self._life, cursor))], _ANSWER_SECONDS
            )
            for line in lines.decode().split("\n") if lines else ():
                channel, user_id = line.split(" ")
                held.setdefault(int(channel), set()).add(user_id)
            if cursor == b"0":
                break
        self._entries = sum(map(len, held.values()))
        for channel_id in held.keys() - self._rooms.keys():
            self._rooms[channel_id] = Room()
        for channel_id, room in self._rooms.items():
            room.holds(held.get(channel_id, ()))
            if room.pending:
                self._pending[channel_id] = None
            self._unread[channel_id] = None
        self._clock = clock.decode()
        self._renew_at = asyncio.get_running_loop().time() + self._refresh
        self._doubt = False

    async def _write_and_poll(self, now: float) -> None:
        batches = self._batches()
        renew = now >= self._renew_at
        last = batches.pop() if batches else []
        for batch in batches:
            # One at a time: a server that is short of time gets on with each.
            (done,) = await self._link.run([self._apply_call(batch)], _ANSWER_SECONDS)
            if not done:
                raise _DoubtError
            self._wrote(batch)
        done, polled = await self._link.run(
            [self._apply_call(last), self._poll_call(renew)], _ANSWER_SECONDS
        )
        if not done:
            raise _DoubtError
        self._wrote(last)
        if renew:
            self._renew_at = now + self._refresh
        for _ in range(_REAPS):
            if polled[0] == 0 or polled[2] not in (-1, self._entries):
                raise _DoubtError
            self._look_at(polled[4])
            self._clock = polled[1].decode()
            if not polled[3]:
                break
            (polled,) = await self._link.run([self._poll_call(False)], _ANSWER_SECONDS)

    def _batches(self) -> list[list[_Writes]]:
        """What is to be written: channels with ``+user`` and ``-user``, about ``_BATCH`` each."""
        batches: list[list[_Writes]] = []
        size = _BATCH
        for channel_id in self._pending:
            room = self._rooms[channel_id]
            users = [("+" if user in room.own else "-") + user for user in room.pending]
            for start in range(0, len(users), _BATCH):
                part = users[start : start + _BATCH]
                if size + len(part) > _BATCH:
                    if len(batches) >= _BATCHES:
                        return batches
                    batches.append([])
                    size = 0
                batches[-1].append((channel_id, part))
                size += len(part)
        return batches

    def _wrote(self, batch: list[_Writes]) -> None:
        for channel_id, users in batch:
            room = self._rooms[channel_id]
            for user in users:
                there = user[0] == "+"
                room.wrote(user[1:], there)
                self._entries += 1 if there else -1
                if not there:
                    # Whether another node holds them as well, only a reading tells.
                    self._unread[channel_id] = None
            if not room.pending:
                self._pending.pop(channel_id, None)
            self._dirty.add(channel_id)

    def _apply_call(self, batch: list[_Writes]) -> tuple[Script, tuple[object, ...]]:
        return APPLY, (self._life, self._session, _lines(batch))

    def _poll_call(self, renew: bool) -> tuple[Script, tuple[object, ...]]:
        lease = self._lease if renew else 0
        return POLL, (
            self._life,
            self._session,
            self._clock,
            lease,
            _KEPT_MILLISECONDS,
            _REAPED,
            _CHANGED,
        )

    # --- reading ---

    def _look_at(self, channels: bytes) -> None:
        if channels == b"*":
            self._unread = dict.fromkeys(self._rooms)
            return
        for channel in channels.split():
            channel_id = int(channel)
            if channel_id in self._rooms:
                self._unread[channel_id] = None

    def _read_call(self, channel_ids: list[int]) -> tuple[Script, tuple[object, ...]]:
        return READ, (self._life, self._known, " ".join(map(str, channel_ids)))

    async def _read(self) -> None:
        due = [n for _, n in zip(range(_READS), self._unread, strict=False)]
        for start in range(0, len(due), _READ_BATCH):
            part = due[start : start + _READ_BATCH]
            (reply,) = await self._link.run([self._read_call(part)], _ANSWER_SECONDS)
            for channel_id, counted, others in _parse(reply):
                del self._unread[channel_id]
                room = self._rooms[channel_id]
                room.learned(counted, others)
                if not room.leaving:
                    self._leaving.discard(channel_id)
                self._dirty.add(channel_id)

    # --- telling ---

    def _tell(self, now: float) -> None:
        dirty, self._dirty = self._dirty, set()
        # Crowds that have waited longest come first: the budget is for all of them.
        for channel_id in sorted(dirty, key=lambda id_: self._rooms[id_].due):
            room = self._rooms[channel_id]
            # A channel's first telling is of everybody; without Valkey, of those here.
            unknown = not room.read and not self._failures
            crowded = not room.is_named(self._named)
            if crowded:
                waits = now < room.due or not self._crowds.may_tell(now, room.due)
            else:
                waits = not self._crowds.may_name(now, room.due)
            if unknown or waits:
                self._dirty.add(channel_id)
                continue
            change = room.change(channel_id, self._named, self._known, now)
            if change is not None:
                if crowded:
                    self._crowds.told(now, len(room.own))
                self._changed(change)
            if room.empty:
                del self._rooms[channel_id]
                self._unread.pop(channel_id, None)
                self._pending.pop(channel_id, None)
                self._leaving.discard(channel_id)


def _lines(batch: list[_Writes]) -> str:
    return "".join(f"{channel_id} {' '.join(users)}\n" for channel_id, users in batch)


def _parse(reply: bytes) -> list[tuple[int, int, str | None]]:
    found: list[tuple[int, int, str | None]] = []
    for line in reply.decode().split("\n"):
        channel, count, kind, *names = line.split(" ", 3)
        found.append((int(channel), int(count), "".join(names) if kind == "=" else None))
    return found


def _away() -> UnavailableError:
    return UnavailableError("Nobody knows who is online right now.", retry_after_ms=5_000)
