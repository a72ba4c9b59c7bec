"""How often crowded channels are told how many are online."""

TOLD_PER_SECOND = 1_000
"""Users whom a node tells of counts in a second, over all crowded channels. One of 10,000 hears of
its count every 10 s; and so do a hundred channels with 100 users on this node each, which would
otherwise cost it 10,000 frames a second while people come and go: a tenth of what it can do."""


_AHEAD_SECONDS = 1.0
"""What may be spent in advance: channels are told in beats, many in one."""


class Crowds:
    """A budget of the node, spent by whichever channel's turn it is."""

    def __init__(self) -> None:
        self._free_at = 0.0

    def may_tell(self, now: float) -> bool:
        """Whether the budget allows the next one at ``now``, seconds of any clock."""
        return self._free_at < now + _AHEAD_SECONDS

    def told(self, now: float, users: int) -> None:
        """So many users of this node are told."""
        self._free_at = max(now, self._free_at) + users / TOLD_PER_SECOND
