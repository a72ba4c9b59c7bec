"""Presence of one node: counts in a dictionary."""

import asyncio
from collections.abc import Callable

from storm_gateway.presence.base import PresenceChange, PresenceSnapshot
from storm_gateway.presence.crowds import TOLD_PER_SECOND, Crowds


class _Room:
    __slots__ = ("count", "due", "joined", "left")

    def __init__(self) -> None:
        self.count: dict[str, int] = {}  # user → connections; 0: gone, in the grace
        self.joined: set[str] = set()
        self.left: set[str] = set()
        self.due = 0.0  # a crowded channel's next telling


class MemoryPresence:
    """The embedded default. One timer for all channels."""

    def __init__(self, *, named: int, interval_seconds: float, grace_seconds: float) -> None:
        """``named``: online users up to which they are named."""
        self._named = named
        self._interval = interval_seconds
        self._grace = grace_seconds
        self._rooms: dict[int, _Room] = {}
        self._leaving: dict[tuple[int, str], float] = {}  # → when, oldest first
        self._crowds = Crowds()
        self._dirty: set[int] = set()
        self._changed: Callable[[PresenceChange], None] = lambda _: None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self, changed: Callable[[PresenceChange], None]) -> None:
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._interval, self._tell)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rooms.clear()
        self._leaving.clear()
        self._dirty.clear()

    def enter(self, channel_id: int, user_id: str) -> None:
        room = self._rooms.get(channel_id)
        if room is None:
            room = self._rooms[channel_id] = _Room()
        count = room.count.get(user_id)
        if count is None:
            if user_id in room.left:
                room.left.discard(user_id)  # the leave was never told
            else:
                room.joined.add(user_id)
            self._dirty.add(channel_id)
        elif count == 0:
            self._leaving.pop((channel_id, user_id), None)
        room.count[user_id] = (count or 0) + 1

    def leave(self, channel_id: int, user_id: str) -> None:
        room = self._rooms.get(channel_id)
        count = room.count.get(user_id, 0) if room is not None else 0
        if room is None or count == 0:
            return
        room.count[user_id] = count - 1
        if count == 1:
            self._leaving[channel_id, user_id] = self._now() + self._grace

    def fit(self) -> None:
        self._rooms, self._leaving = dict(self._rooms), dict(self._leaving)
        self._dirty = set(self._dirty)
        for room in self._rooms.values():
            room.count = dict(room.count)

    def snapshot(self, channel_id: int) -> PresenceSnapshot:
        room = self._rooms.get(channel_id)
        if room is None:
            return PresenceSnapshot(0, [])
        online = len(room.count)
        return PresenceSnapshot(online, sorted(room.count) if online <= self._named else None)

    async def look(self, channel_id: int) -> PresenceSnapshot:
        return self.snapshot(channel_id)

    async def probe(self, timeout_seconds: float) -> None:
        """A dictionary always answers."""

    def _now(self) -> float:
        return self._loop.time() if self._loop is not None else 0.0

    def _tell(self) -> None:
        assert self._loop is not None  # noqa: S101 start set it
        self._timer = self._loop.call_later(self._interval, self._tell)
        now = self._loop.time()
        self._end_graces(now)
        dirty, self._dirty = self._dirty, set()
        # Crowds that have waited longest come first: the budget is for all of them.
        for channel_id in sorted(dirty, key=lambda id_: self._rooms[id_].due):
            room = self._rooms[channel_id]
            online = len(room.count)
            named = online <= self._named
            if not named and (now < room.due or not self._crowds.may_tell(now, room.due)):
                self._dirty.add(channel_id)
                continue
            room.due = now + online / TOLD_PER_SECOND
            joined, left = room.joined, room.left
            room.joined, room.left = set(), set()
            if joined or left:
                if not named:
                    self._crowds.told(now, online)
                self._changed(
                    PresenceChange(
                        channel_id,
                        online,
                        sorted(joined) if named else None,
                        sorted(left) if named else None,
                    )
                )
            if not room.count:
                del self._rooms[channel_id]

    def _end_graces(self, now: float) -> None:
        ended = []
        for key, at in self._leaving.items():
            if at > now:
                break
            ended.append(key)
        for key in ended:
            del self._leaving[key]
            channel_id, user_id = key
            room = self._rooms[channel_id]
            del room.count[user_id]
            if user_id in room.joined:
                room.joined.discard(user_id)  # never told: nothing to take back
            else:
                room.left.add(user_id)
            self._dirty.add(channel_id)
