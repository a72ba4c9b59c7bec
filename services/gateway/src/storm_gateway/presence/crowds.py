"""How often crowded channels are told how many are online."""

import random

TOLD_PER_SECOND = 1_000
"""Users whom a node tells of counts in a second, over all crowded channels. One of 10,000 hears of
its count every 10 s; and so do a hundred channels with 100 users on this node each, which would
otherwise cost it 10,000 frames a second while people come and go: a tenth of what it can do."""

_AHEAD_SECONDS = 1.0
"""What may be spent in advance: channels are told in beats, many in one."""
_BUSY_SECONDS = 0.05
"""A node that comes so late to its beat has more to do than it can: counts wait."""
_COMING = 100
"""So many users in a beat are a crowd that returns, after a fault or a deployment: counts wait, and
names do so as well, for more will come."""
_STAYS_BUSY_SECONDS = 5.0
"""Between two busy beats one may be quiet by chance."""
_LONGEST_SECONDS = 60.0
"""How long counts wait for such a node at most, beyond the time at which they were due."""
_LEAST_SHARE = 0.75
"""Of that time. Each node takes a part of its own: people come to all at once, and what is told of
a room with everybody in it should not leave all of them in the same second."""
_NAMED_SECONDS = 5.0
"""How long names wait while a crowd returns, after the last that were told of the channel: when
all ten of a channel come back within that time, nine frames become one."""


class Crowds:
    """A budget of the node, spent by whichever channel's turn it is."""

    def __init__(self, share: float | None = None) -> None:
        """``share``: how much of the longest wait counts wait here; None: by chance."""
        if share is None:
            share = random.uniform(_LEAST_SHARE, 1)  # noqa: S311 no secret
        self._longest = share * _LONGEST_SECONDS
        self._free_at = 0.0
        self._busy_until = 0.0
        self._coming_until = 0.0

    def may_tell(self, now: float, due: float) -> bool:
        """Whether the budget allows the next one at ``now``, seconds of any clock; ``due``: when it
        was to be told.
        """
        if now < min(self._busy_until, due + self._longest):
            return False
        return self._free_at < now + _AHEAD_SECONDS

    def may_name(self, now: float, due: float) -> bool:
        """Whether those who came and left may be told by name at ``now``; ``due``: when the last
        telling of the channel was, 0: never.
        """
        return now >= min(self._coming_until, due + _NAMED_SECONDS)

    def beat(self, now: float, late: float, came: int) -> None:
        """How late the node came to its beat at ``now``, seconds, and how many users came to
        channels since the last. When it has more urgent things to do, counts and names wait.
        """
        until = now + _STAYS_BUSY_SECONDS
        if came > _COMING:
            self._coming_until = until
        if came > _COMING or late > _BUSY_SECONDS:
            self._busy_until = until

    def told(self, now: float, users: int) -> None:
        """So many users of this node are told."""
        self._free_at = max(now, self._free_at) + users / TOLD_PER_SECOND
