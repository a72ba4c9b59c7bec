"""Which tokens are void before their end: known to every node, asked without waiting."""

import time
from collections.abc import Callable

from storm_gateway.actions.identity import Identity
from storm_gateway.bus.base import ControlEvent
from storm_gateway.store.records import Revocations

USERS_SECONDS = 30 * 86_400
"""How long a revoked user is remembered. Our own tokens live minutes; a foreign one that lives
longer than this outlives a password change (but not the deletion of its user)."""
LATELY_SECONDS = 300
ALWAYS = 1e12
"""Later than any token: for users who are gone. Finite, because JSON has no infinity."""


class Revoked:
    """Logins and users whose tokens are void, loaded at the start and fed by control events.

    Bounded by time: an entry is dropped once no token that it forbids can be alive.
    """

    def __init__(self, session_seconds: float, *, clock: Callable[[], float] = time.time) -> None:
        self._session_seconds = session_seconds
        self._clock = clock
        self._sessions: dict[str, float] = {}
        self._users: dict[str, float] = {}
        self._banned: set[str] = set()
        self._bans_told = 0

    @property
    def since(self) -> float:
        """The age of revocations that still matter, for the store."""
        return self._clock() - max(USERS_SECONDS, self._session_seconds)

    @property
    def lately(self) -> float:
        """For a look at what may have been added without a word; clocks may differ by this."""
        return self._clock() - LATELY_SECONDS

    @property
    def bans_told(self) -> int:
        """How many bans, and ends of bans, control events have told: see :meth:`load`."""
        return self._bans_told

    def load(self, revocations: Revocations, bans_told: int) -> bool:
        """Add what the store knows; nothing known is forgotten but bans that are over. Says
        whether any was new. ``bans_told``: as it was before the store was asked.
        """
        banned = set(revocations.banned)
        if bans_told != self._bans_told:
            banned = self._banned  # what was told meanwhile is newer; the next look finds the rest
        new = bool(banned - self._banned)
        self._banned = banned
        new = (
            new
            or not self._sessions.keys() >= set(revocations.families)
            or any(self._users.get(user_id, 0) < at for user_id, at in revocations.users.items())
            or any(self._users.get(user_id) != ALWAYS for user_id in revocations.deleted)
        )
        for family in revocations.families:
            self.session(family)
        for user_id, at in revocations.users.items():
            self.user(user_id, at)
        for user_id in revocations.deleted:
            self._users[user_id] = ALWAYS
        return new

    def on_control(self, event: ControlEvent) -> None:
        if event.kind == "session_revoked":
            self.session(event.session_id)
        elif event.kind == "user_revoked":
            self.user(event.user_id, event.at)
        elif event.kind == "user_banned":
            self._bans_told += 1
            self._banned.add(event.user_id)
            self.user(event.user_id, event.at)
        elif event.kind == "user_unbanned":
            self._bans_told += 1
            self._banned.discard(event.user_id)

    def session(self, session_id: str) -> None:
        """Every token of this login is void."""
        now = self._clock()
        # In order of time, so the first ones are the first to go.
        while self._sessions:
            oldest = next(iter(self._sessions))
            if self._sessions[oldest] > now:
                break
            del self._sessions[oldest]
        self._sessions.pop(session_id, None)
        self._sessions[session_id] = now + self._session_seconds

    def user(self, user_id: str, at: float) -> None:
        """Every token of the user issued before ``at`` is void."""
        self._users[user_id] = max(at, self._users.get(user_id, at))

    def purge(self) -> None:
        """Forget users revoked so long ago that it does not matter."""
        since = self.since
        self._users = {user_id: at for user_id, at in self._users.items() if at > since}

    def bans(self, user_id: str) -> bool:
        """Whether the user is banned from the server: no token of theirs is any good."""
        return user_id in self._banned

    def holds(self, identity: Identity) -> bool:
        """Whether the token of this identity is void."""
        if identity.session_id and identity.session_id in self._sessions:
            return True
        if identity.user_id in self._banned:
            return True
        at = self._users.get(identity.user_id)
        return at is not None and identity.issued_at < at
