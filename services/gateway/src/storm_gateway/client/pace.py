"""Keeps the client under the server's limit on commands, so that it is never refused for haste."""

from collections import deque
from math import inf

MARGIN = 0.9
"""Part of the allowed rate that is used: the two clocks are not the same."""


class Pace:
    """The server's token bucket, seen from the client. Time, in seconds, is an argument.

    The server counts a command when it reads it: some time after it was written, and before it is
    answered. What was held up on the way is counted all at once. So a command holds its place from
    the writing on, and the place only begins to come free with the answer.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._interval = 1 / (per_second * MARGIN)
        self._places = max(1.0, burst * MARGIN)
        self._full_at = -inf
        """When all places would be free again, but for the commands under way."""
        self._under_way: deque[str] = deque()
        """The refs of what was written and perhaps not counted yet, oldest first."""

    def wait(self, now: float) -> float:
        """How many seconds until one more may be written; ``inf``: not before an answer."""
        free = self._places - len(self._under_way)
        # A hair of tolerance: sums of floats must not keep what is exactly due.
        if free < 1 - 1e-9:
            return inf
        wait = self._full_at - now - (free - 1) * self._interval
        return wait if wait > 1e-9 else 0.0

    def wrote(self, ref: str | None, now: float) -> None:
        """One was written. ``ref`` None: nothing will tell when it is counted, so it is now."""
        if ref is None:
            self._count(1, now)
        else:
            self._under_way.append(ref)

    def answered(self, ref: str, now: float) -> None:
        """The command is counted, and so is what was written before: they are read in order."""
        if ref in self._under_way:
            counted = self._under_way.index(ref) + 1
            for _ in range(counted):
                self._under_way.popleft()
            self._count(counted, now)

    def _count(self, commands: int, now: float) -> None:
        self._full_at = max(self._full_at, now) + commands * self._interval
