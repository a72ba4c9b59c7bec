"""One channel as one node sees it: who is here, and who is on other nodes.

A node has a room for each channel that somebody here listens to, so at rest a room is small: what
is empty is shared, and names are one string, taken apart when something changes.
"""

from collections.abc import Iterable, KeysView

from storm_gateway.presence.base import PresenceChange, PresenceSnapshot
from storm_gateway.presence.crowds import TOLD_PER_SECOND


class _Nobody(set[str]):
    """No users, shared by all rooms."""

    def add(self, user_id: str) -> None:
        raise TypeError("this is shared by all rooms")


_NOBODY = _Nobody()
_FEW = 8
"""Users up to which a tuple holds them: a dictionary of two is three times as large."""
_AS_NOW = "\0"
"""In place of the names that were told, while they are the names of now. No user is called so."""


class Room:
    """State, not a log of operations: whatever happens, it is as large as who is there."""

    __slots__ = (
        "_others",
        "_told",
        "basis",
        "counted",
        "due",
        "leaving",
        "own",
        "pending",
        "read",
        "told_online",
    )

    def __init__(self) -> None:
        # Users with a connection here, or gone and in the grace: see ``count``. A tuple where they
        # are few and each has one.
        self.own: dict[str, int] | tuple[str, ...] = ()
        # Own, and Valkey does not hold them for this node; or it does, and they are not own.
        self.pending: set[str] = _NOBODY
        # As read: users that other nodes hold; None: too many to name. Then only the count.
        self._others: str | None = ""
        self.counted = 0
        self.basis = 0  # of those counted, own ones
        # Gone from here, and not yet known whether another node holds them: still online.
        self.leaving: set[str] = _NOBODY
        self.read = False
        self._told: str | None = ""
        self.told_online = 0
        self.due = 0.0  # a crowded channel's next telling; 0: nothing was told

    @property
    def written(self) -> set[str]:
        """Whom Valkey holds for this node."""
        return self._own_users() ^ self.pending

    @property
    def empty(self) -> bool:
        """Whether nobody is here, nobody is written, and nobody is looked for."""
        return not (self.own or self.pending or self.leaving)

    def _own_users(self) -> KeysView[str] | set[str]:
        own = self.own
        return set(own) if isinstance(own, tuple) else own.keys()

    def connections(self, user_id: str) -> int | None:
        """Of a user, here; 0: gone, in the grace; None: not one of ``own``."""
        own = self.own
        if isinstance(own, tuple):
            return 1 if user_id in own else None
        return own.get(user_id)

    def count(self, user_id: str, connections: int) -> None:
        """So many has one of ``own``, or one who becomes that, from now on."""
        own = self.own
        if isinstance(own, tuple):
            if connections == 1 and user_id not in own and len(own) < _FEW:
                self.own = (*own, user_id)
                return
            own = self.own = dict.fromkeys(own, 1)
        own[user_id] = connections
        self._fold(own)

    def _fold(self, own: dict[str, int]) -> None:
        if len(own) <= _FEW and all(count == 1 for count in own.values()):
            self.own = tuple(own)

    def _keep_told(self) -> None:
        """Before the names change: write down which were told."""
        if self._told is _AS_NOW:
            self._told = " ".join(self._everybody())

    def _everybody(self) -> set[str]:
        """By name; only where others are known by name."""
        found = self._own_users() | self.leaving
        if self._others:
            found.update(self._others.split(" "))
        return found

    def leave_all(self) -> None:
        """Nobody can say whether those who left are elsewhere: they count as gone."""
        self._keep_told()
        self.leaving = _NOBODY

    def come(self, user_id: str) -> None:
        """Somebody new is here."""
        self._keep_told()
        written = user_id in self.pending  # else they would not be pending
        self.count(user_id, 1)
        self._note(user_id, written)
        if user_id in self.leaving:
            self.leaving.discard(user_id)
            self.leaving = self.leaving or _NOBODY

    def go(self, user_id: str) -> None:
        """Somebody is here no more; another node may hold them."""
        self._keep_told()
        written = user_id not in self.pending
        own = self.own
        if isinstance(own, tuple):
            self.own = tuple(each for each in own if each != user_id)
        else:
            del own[user_id]
            self._fold(own)
        self._note(user_id, written)
        if self.leaving is _NOBODY:
            self.leaving = set()
        self.leaving.add(user_id)

    def fit(self) -> None:
        """Most have left: a dictionary keeps the room of what was removed from it."""
        if isinstance(self.own, dict):
            self.own = dict(self.own)

    def wrote(self, user_id: str, there: bool) -> None:
        """Valkey now holds a user for this node, or not any more."""
        self._note(user_id, there)  # it may have changed while it was written

    def holds(self, user_ids: Iterable[str]) -> None:
        """Valkey holds exactly these for this node."""
        self.pending = (self._own_users() ^ set(user_ids)) or _NOBODY

    def _note(self, user_id: str, written: bool) -> None:
        if (user_id in self.own) != written:
            if self.pending is _NOBODY:
                self.pending = set()
            self.pending.add(user_id)
        elif user_id in self.pending:
            self.pending.discard(user_id)
            self.pending = self.pending or _NOBODY

    def know(self, counted: int, others: str | None) -> None:
        """What was read of other nodes; ``others``: their users, separated by a blank, or None."""
        self._keep_told()
        self.counted = counted
        self._others = others
        pending = sum(-1 if user in self.own else 1 for user in self.pending)
        self.basis = len(self.own) + pending  # as many as are written

    def learned(self, counted: int, others: str | None) -> None:
        """What was read, after everything but ``pending`` was written."""
        self._keep_told()
        self.know(counted, others)
        self.leaving = (self.leaving & self.pending) or _NOBODY
        self.read = True

    def names(self, most: int) -> set[str] | None:
        """Everybody online, or None when they are more than ``most`` or not known by name."""
        if self._others is None or len(self.own) > most:
            return None
        found = self._everybody()
        return found if len(found) <= most else None

    def online(self, names: set[str] | None) -> int:
        """How many are online; ``names`` as :meth:`names` gives it."""
        if names is not None:
            return len(names)
        if self._others is not None:
            return len(self._everybody())
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
        if self._told is _AS_NOW:
            told = names
        else:
            told = None if self._told is None else set(self._told.split(" ")) - {""}
        told_online = self.told_online
        self._told = None if names is None else _AS_NOW
        self.told_online = online
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
        if self._others is None:
            return False
        if len(self.own) + len(self.leaving) + self._others.count(" ") < named:
            return True
        return self.names(named) is not None
