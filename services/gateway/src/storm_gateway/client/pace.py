"""Keeps the client under the server's limit on commands, so that it is never refused for haste."""

MARGIN = 0.9
"""Part of the allowed rate that is used: the two clocks are not the same."""


class Pace:
    """A token bucket. Time, in seconds, is an argument."""

    def __init__(self, per_second: float, burst: int, now: float) -> None:
        self._rate = per_second * MARGIN
        self._size = max(1.0, burst * MARGIN)
        self._tokens = self._size
        self._at = now

    def take(self, now: float) -> float:
        """Count one command; returns how many seconds to wait before it is sent."""
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)
