"""Token buckets: so many at once, so many a second after that."""

from collections.abc import Callable
from time import monotonic


class Buckets:
    """One bucket for each key (an address, a user), at most ``keys`` of them.

    A bucket is kept as the moment when it will be full again, so a full one needs no memory. When
    there are too many, the one touched longest ago is forgotten: a flood of keys makes the limit
    laxer, never the memory larger.
    """

    __slots__ = ("_clock", "_full_at", "_interval", "_keys", "_window")

    def __init__(
        self,
        per_second: float,
        burst: int,
        *,
        keys: int = 50_000,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._interval = 1 / per_second
        self._window = self._interval * burst
        self._keys = keys
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> float:
        """Take one. 0 when there was one, else the seconds to wait for it (nothing is taken)."""
        now = self._clock()
        full_at = max(self._full_at.pop(key, now), now) + self._interval
        wait = full_at - now - self._window
        # A hair of tolerance: sums of floats must not refuse what is exactly due.
        if wait > 1e-9:
            self._full_at[key] = full_at - self._interval
            return wait
        self._full_at[key] = full_at
        if len(self._full_at) > self._keys:
            del self._full_at[next(iter(self._full_at))]
        return 0.0
