"""How long to wait before the next try."""

import random
from collections.abc import Callable

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0


class Backoff:
    """Full jitter: a random time between 0 and a bound that doubles from 0.5 s to 30 s.

    Clients that lost the same node at the same moment do not come back at the same moment.
    """

    def __init__(
        self,
        first_seconds: float = FIRST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._chance = chance
        self._bound = first_seconds

    def next(self, at_least_seconds: float | None = None) -> float:
        """Seconds to wait. ``at_least_seconds`` is the server's wish, and wins."""
        wait = self._bound * self._chance()
        self._bound = min(self._longest, self._bound * 2)
        if at_least_seconds is None:
            return wait
        return at_least_seconds + min(wait, self._first)

    def reset(self) -> None:
        """Something went well: begin anew."""
        self._bound = self._first
