"""Memory that is free goes back to the system."""

import ctypes
import gc
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
AGAIN = 24
"""Looks until it is done once more: by then the node has let go of what it remembers of users who
are gone, their tokens and rights, which lies between everything else."""
_SETTLED = 0.95


class Trimmer:
    """Asks for the memory that is free once most of a crowd has left.

    Python gives an arena back when nothing in it is in use, glibc whatever is above all that is.
    What keeps nearly all of either is little: Python's lists of objects that it would use again
    (2,000 tuples of each length), which a full collection empties, and blocks here and there that
    glibc leaves as they are until it is asked.
    """

    def __init__(
        self,
        trim: Callable[[int], int] | None = _trim,
        collect: Callable[[], object] = gc.collect,
        fit: Callable[[], None] = lambda: None,
    ) -> None:
        """``fit``: makes what is held by connection as small as what is left."""
        self._trim = trim
        self._collect = collect
        self._fit = fit
        self._most = 0
        self._last = 0
        self._looks = 0
        self._again = 0
        self._left = 0

    def look(self, connections: int) -> bool:
        """To be called now and then, with how many there are; whether memory was given back."""
        settled = connections >= self._last * _SETTLED
        self._looks = self._looks + 1 if settled else 0
        self._last = connections
        self._most = max(self._most, connections)
        if self._again:
            self._again -= 1
            # Not in the way of a crowd that comes back.
            if not self._again and connections <= max(LEAST, self._left / SHARE):
                return self._give_back()
        # Only when no more leave, and their channels were left too: a full collection walks all
        # that is left, a millisecond for some hundred connections.
        if self._looks < LOOKS or self._most < LEAST or connections > self._most * SHARE:
            return False
        self._most = self._left = connections
        self._again = AGAIN
        return self._give_back()

    def _give_back(self) -> bool:
        self._fit()
        self._collect()
        if self._trim is not None:
            self._trim(0)
        return True
