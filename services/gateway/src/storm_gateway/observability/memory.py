"""Memory that is free goes back to the system."""

import ctypes
import sys
from collections.abc import Callable


def _trimmer() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None  # a C library without it gives memory back by itself, or never
    return found


_trim = _trimmer()
SHARE = 0.5
"""Of the most that there were: when no more than these are left it is worth it."""
LEAST = 1_000
LOOKS = 6
"""So often in a row no more must have left."""
_SETTLED = 0.95


class Trimmer:
    """Asks the C library for its free memory once most of a crowd has left.

    glibc keeps what was freed below something that is in use: after a crowd that is nearly all of
    it, for as long as the process lives.
    """

    def __init__(self, trim: Callable[[int], int] | None = _trim) -> None:
        self._trim = trim
        self._most = 0
        self._last = 0
        self._looks = 0

    def look(self, connections: int) -> bool:
        """To be called now and then, with how many there are; whether memory was given back."""
        settled = connections >= self._last * _SETTLED
        self._looks = self._looks + 1 if settled else 0
        self._last = connections
        self._most = max(self._most, connections)
        # Only when no more leave, and their channels were left too: it takes some milliseconds.
        if self._looks < LOOKS or self._most < LEAST or connections > self._most * SHARE:
            return False
        self._most = connections
        if self._trim is not None:
            self._trim(0)
        return True
