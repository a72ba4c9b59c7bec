"""Messages and joins of channels that somebody else has locked: they wait here, not the others.

A lock that does not come within the session's lock timeout may be held by a busy node or by
something that is stuck (a session that somebody forgot, a node that froze). Its writes are set
aside, in their order, and tried again without waiting, some times a second. A channel whose head
does not move meanwhile is stuck: what waits for it is refused. Nothing here is ever taken for
granted: each write to a channel that is remembered is tried before it is refused.

Only the writer thread comes here.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from storm_gateway.store.hot import Enter, Hot, place_of

log = logging.getLogger("storm.store")
Key = TypeVar("Key", int, str)

AGAIN_SECONDS = 0.05
"""How often what was set aside is tried again."""

WAIT_AGAIN_SECONDS = 0.5
"""How often a channel that others keep busy is waited for once more, in the server's own queue:
tried without waiting, it could be missed for ever.
"""

UNSEEN_SECONDS = 3.0
"""A lock that was not looked for this long counts from its beginning when it is met again."""

TRIES = 4
"""About so many tries a write has: where the database answers late, one takes seconds, and so long
do the others hold what is waited for."""

LONGEST_SECONDS = 9.0
"""How long that may be. A client asks again after 10 to 15 s."""

REMEMBERED_SECONDS = 10.0
"""How long a lock is remembered that nobody asks for."""

REMEMBERED = 4096
"""How many locks are remembered; the oldest that nobody waits for go first."""


class _Lock:
    """A channel or a user that was found locked."""

    __slots__ = ("asked", "head", "moved", "seen", "since", "stuck", "wait_again")

    def __init__(self, now: float, head: int | None) -> None:
        self.since = self.seen = now
        self.head = head
        self.moved = False
        """Whether others wrote to the channel since it was waited for last."""
        self.wait_again = now + WAIT_AGAIN_SECONDS
        self.asked = now
        self.stuck = False

    def seen_held(self, now: float, head: int | None, patience: float) -> None:
        if now - self.seen > max(UNSEEN_SECONDS, patience):
            # Nobody looked for so long: it may be another lock.
            self.since = now
        self.seen = now
        if head is not None:
            if self.head is not None and head != self.head:
                # Somebody else's writes go on: a crowd, and nothing is stuck.
                self.since, self.moved = now, True
            self.head = head
        self.stuck = now - self.since >= patience


class _Entry:
    __slots__ = ("since", "write")

    def __init__(self, write: Hot, since: float) -> None:
        self.write = write
        self.since = since


class Aside:
    """The writes, and what is remembered of the locks that they wait for."""

    def __init__(self, patience_seconds: float, limit_seconds: float) -> None:
        """``patience_seconds``: after how long a lock that does not move is stuck;
        ``limit_seconds``: how long a write waits here at most, unless the database is so slow that
        :data:`TRIES` take longer.
        """
        self._patience = patience_seconds
        self._limit = limit_seconds
        self._tries_take = 0.0
        self._entries: list[_Entry] = []
        self._channels: dict[int, _Lock] = {}
        self._users: dict[str, _Lock] = {}
        self._tried = float("-inf")

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def locked(self) -> Collection[int]:
        """The channels that are remembered."""
        return self._channels.keys()

    @property
    def awaited(self) -> Collection[int]:
        """The channels that something waits for."""
        return {place_of(entry.write)[0] for entry in self._entries}

    def pause(self, now: float) -> float | None:
        """Seconds until the next try; None: nothing waits."""
        return max(0.0, self._tried + AGAIN_SECONDS - now) if self._entries else None

    def sift(self, batch: Sequence[Hot], now: float) -> Sequence[Hot]:
        """The writes that nothing is known about; all others are set aside."""
        if not self._channels and not self._users:
            return batch
        free = []
        for write in batch:
            channel_id, user_id = place_of(write)
            lock = self._channels.get(channel_id) or self._users.get(user_id)
            if lock is None:
                free.append(write)
            else:
                lock.asked = now
                self._entries.append(_Entry(write, now))
        return free

    def add(self, batch: Iterable[Hot], now: float) -> None:
        """Set writes aside; the next try shows which of them has to wait."""
        self._entries += [_Entry(write, now) for write in batch]

    def remember(self, channel_ids: Iterable[int], now: float) -> None:
        """These were found locked, by a write that does not wait here."""
        for channel_id in channel_ids:
            self._channels.setdefault(channel_id, _Lock(now, None))
        self._forget(now)

    def needs(self) -> tuple[set[int], set[str]]:
        """The channels and users whose locks all that waits here needs."""
        channel_ids, user_ids = set(), set()
        for entry in self._entries:
            channel_id, user_id = place_of(entry.write)
            channel_ids.add(channel_id)
            if type(entry.write) is Enter or user_id in self._users:
                user_ids.add(user_id)
        return channel_ids, user_ids

    def free(
        self, held: Collection[int], held_users: Collection[str], most: int
    ) -> tuple[list[Hot], bool]:
        """The first so many writes that need nothing of what is held, and whether there are
        more of them.
        """
        found: list[Hot] = []
        for entry in self._entries:
            channel_id, user_id = place_of(entry.write)
            if channel_id not in held and user_id not in held_users:
                if len(found) == most:
                    return found, True
                found.append(entry.write)
        return found, False

    def busy(self, now: float) -> list[Hot]:
        """What waits for channels that others keep busy, when it is time to wait for them."""
        due = {
            channel_id
            for channel_id, lock in self._channels.items()
            if lock.moved and now >= lock.wait_again
        }
        for channel_id in due:
            lock = self._channels[channel_id]
            lock.moved, lock.wait_again = False, now + WAIT_AGAIN_SECONDS
        return [
            entry.write
            for entry in self._entries
            if place_of(entry.write)[0] in due and place_of(entry.write)[1] not in self._users
        ]

    def settled(self, done: Iterable[Hot]) -> None:
        """These have their outcome, and their channels were free."""
        self.remove(done)
        awaited = self.awaited
        for channel_id in {place_of(write)[0] for write in done} - set(awaited):
            self._channels.pop(channel_id, None)

    def of_users(self, user_ids: Collection[str]) -> list[Hot]:
        """What these users wait for."""
        return [entry.write for entry in self._entries if place_of(entry.write)[1] in user_ids]

    def clear(self) -> list[Hot]:
        """All that waits, which is forgotten here."""
        entries, self._entries = self._entries, []
        return [entry.write for entry in entries]

    def remove(self, done: Iterable[Hot]) -> None:
        """These have their outcome, or go back to the others."""
        gone = {id(write) for write in done}
        self._entries = [entry for entry in self._entries if id(entry.write) not in gone]

    def tried(
        self,
        now: float,
        asked: tuple[Collection[int], Collection[str]],
        held: Mapping[int, int | None],
        held_users: Collection[str],
        took: float = 0.0,
    ) -> list[Hot]:
        """The outcome of a try that took so many seconds: of what was asked for, this was held,
        with the head that the channel had. Gives the writes that are to be refused, which are
        forgotten.
        """
        self._tried = now
        # One quick try among slow ones ends nobody's patience.
        self._tries_take = max(min(LONGEST_SECONDS, TRIES * took), self._tries_take / 2)
        awaited = self.awaited
        for channel_id in asked[0]:
            lock = self._channels.get(channel_id)
            if channel_id in held:
                self._held(channel_id, lock, held[channel_id], now)
            elif lock is not None and channel_id not in awaited:
                # With something left that has to go first, later writes must come behind it.
                del self._channels[channel_id]
                if lock.stuck:
                    log.warning("Channel %d is free again", channel_id)
        waiting_users = {place_of(entry.write)[1] for entry in self._entries}
        for user_id in asked[1]:
            if user_id in held_users:
                lock = self._users.setdefault(user_id, _Lock(now, None))
                lock.seen_held(now, None, self._at_least(self._patience))
            elif user_id not in waiting_users:
                self._users.pop(user_id, None)
        late = [entry.write for entry in self._entries if self._is_late(entry, now)]
        self.remove(late)
        self._forget(now)
        return late

    def _held(self, channel_id: int, lock: _Lock | None, head: int | None, now: float) -> None:
        if lock is None:
            lock = self._channels[channel_id] = _Lock(now, head)
        was_stuck = lock.stuck
        lock.seen_held(now, head, self._at_least(self._patience))
        if lock.stuck and not was_stuck:
            log.warning(
                "Channel %d is locked by another session of the database: its writes are refused",
                channel_id,
            )

    def _is_late(self, entry: _Entry, now: float) -> bool:
        channel_id, user_id = place_of(entry.write)
        locks = (self._channels.get(channel_id), self._users.get(user_id))
        if not any(locks):
            return False
        return now - entry.since >= self._at_least(self._limit) or any(
            lock and lock.stuck for lock in locks
        )

    def _at_least(self, seconds: float) -> float:
        return max(seconds, self._tries_take)

    def _forget(self, now: float) -> None:
        awaited, users = self.awaited, {place_of(entry.write)[1] for entry in self._entries}
        _forget(self._channels, awaited, now)
        _forget(self._users, users, now)


def _forget(locks: dict[Key, _Lock], awaited: Collection[Key], now: float) -> None:
    many = len(locks) - REMEMBERED
    for key in [key for key in locks if key not in awaited]:
        if many > 0 or now - locks[key].asked >= REMEMBERED_SECONDS:
            del locks[key]
            many -= 1
