"""One channel as one node sees it: who is here, and who is on other nodes."""

from collections.abc import Iterable

from storm_gateway.presence.base import PresenceChange, PresenceSnapshot
from storm_gateway.presence.crowds import TOLD_PER_SECOND


class Room:
    """State, not a log of operations: whatever happens, it is as large as who is there."""

    __slots__ = (
        "basis",
        "counted",
        "due",
        "leaving",
        "others",
        "own",
        "pending",
        "read",
        "told",
        "told_online",
        "written",
    )

    def __init__(self) -> None:
        self.own: dict[str, int] = {}  # user → connections here; 0: gone, in the grace
        self.written: set[str] = set()  # what Valkey holds for this node
        self.pending: set[str] = set()  # own and not written, or written and not own
        # As read: users that other nodes hold; None: too many to name. Then only the count.
        self.others: set[str] | None = set()
        self.counted = 0
        self.basis = 0  # of those counted, own ones
        # Gone from here, and not yet known whether another node holds them: still online.
        self.leaving: set[str] = set()
        self.read = False
        self.told: set[str] | None = set()
        self.told_online = 0
        self.due = 0.0  # a crowded channel's next telling

    def touch(self, user_id: str) -> None:
        """``own`` or ``written`` changed for a user."""
        if (user_id in self.own) != (user_id in self.written):
            self.pending.add(user_id)
        else:
            self.pending.discard(user_id)

    def wrote(self, user_ids: Iterable[str]) -> None:
        """Valkey now holds exactly these for this node."""
        self.written = set(user_ids)
        self.pending = self.own.keys() ^ self.written

    def learned(self, counted: int, others: set[str] | None) -> None:
        """What was read, after everything but ``pending`` was written."""
        self.counted = counted
        self.others = others
        self.basis = len(self.written)
        self.leaving &= self.pending
        self.read = True

    def names(self, most: int) -> set[str] | None:
        """Everybody online, or None when they are more than ``most`` or not known by name."""
        if self.others is None or len(self.own) > most:
            return None
        found = self.others | self.own.keys() | self.leaving
        return found if len(found) <= most else None

    def online(self, names: set[str] | None) -> int:
        """How many are online; ``names`` as :meth:`names` gives it."""
        if names is not None:
            return len(names)
        if self.others is not None:
            return len(self.others | self.own.keys() | self.leaving)
        # Exact when it was read; since then only what happened here is known.
        return max(len(self.own), self.counted + len(self.own) - self.basis)

    def snapshot(self, named: int, known: int) -> PresenceSnapshot:
        """``named``: users who are named at most; ``known``: whose names are kept at most."""
        names = self.names(known)
        online = self.online(names)
        users = sorted(names) if names is not None and online <= named else None
        return PresenceSnapshot(online, users)

    def change(self, channel_id: int, named: int, known: int, now: float) -> PresenceChange | None:
        """What is to be told now, or None: nothing changed. Not to be asked before ``due``
        unless :meth:`is_named`.
        """
        names = self.names(known)
        online = self.online(names)
        told, told_online = self.told, self.told_online
        self.told, self.told_online = names, online
        self.due = now + online / TOLD_PER_SECOND
        if names is None or told is None:
            # Without the names before there is no saying who came: only the count is true.
            if online == told_online:
                return None
            return PresenceChange(channel_id, online, None, None)
        joined, left = names - told, told - names
        if not joined and not left:
            return None
        if online > named:
            return PresenceChange(channel_id, online, None, None)
        return PresenceChange(channel_id, online, sorted(joined), sorted(left))

    def is_named(self, named: int) -> bool:
        """Whether few enough are online to tell at once."""
        return self.names(named) is not None
