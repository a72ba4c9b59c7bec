"""Memory that is free goes back to the system."""

import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress

Give = Callable[[int], int]
"""Takes what shall stay for what comes next, in bytes."""
_PURGE = b"arena.4096.purge"
"""Of all arenas: ``MALLCTL_ARENAS_ALL`` of jemalloc 5."""


def _trimmer() -> Give | None:
    """How this process's allocator is asked; None: it gives memory back by itself, or never."""
    if sys.platform != "linux":
        return None
    with suppress(OSError, AttributeError):
        return _of_jemalloc(ctypes.CDLL(None).mallctl)
    with suppress(OSError, AttributeError):
        trim: Give = ctypes.CDLL(None).malloc_trim
        return trim
    return None


def _of_jemalloc(mallctl: Callable[..., int]) -> Give:
    """It gives pages back by itself, too, but only while it is asked for others."""

    def purge(_keep: int) -> int:
        nothing = ctypes.c_size_t(0)
        mallctl(b"thread.tcache.flush", None, None, None, nothing)
        return mallctl(_PURGE, None, None, None, nothing)

    return purge


_trim = _trimmer()
SHARE = 0.5
"""Of the most that there were: when no more than these are left it is worth it."""
LEAST = 1_000
LOOKS = 6
"""So often in a row no more must have left."""
AGAIN = 24
"""Looks until it is done once more: by then the node has let go of what it remembers of users who
are gone, their tokens and rights, which lies between everything else."""
MORE = 1.25
"""Of those that there were when it was asked last: from so many on it is worth it."""
_SETTLED = 0.95


class Trimmer:
    """Asks for the memory that is free once a crowd has come, and once most of it has left.

    Whoever comes needs much for a moment, and glibc keeps that. When they leave, Python gives an
    arena back once nothing in it is in use, glibc whatever is above all that is, and jemalloc
    pages, though none while a node is idle. What keeps nearly all of the first two is little:
    Python's lists of objects that it would use again (2,000 tuples of each length), which a full
    collection empties, and blocks here and there that glibc leaves as they are until it is asked.
    """

    def __init__(
        self,
        trim: Give | None = _trim,
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
        self._still = 0  # looks since many came or left
        self._asked_with = 0  # connections, when it was asked for last

    def look(self, connections: int) -> bool:
        """To be called now and then, with how many there are; whether memory was given back."""
        settled = connections >= self._last * _SETTLED
        still = settled and self._last >= connections * _SETTLED
        self._still = self._still + 1 if still else 0
        self._looks = self._looks + 1 if settled else 0
        self._last = connections
        self._most = max(self._most, connections)
        if self._again:
            self._again -= 1
            # Not in the way of a crowd that comes back.
            if not self._again and connections <= max(LEAST, self._left / SHARE):
                return self._give_back()
        if self._still >= LOOKS and connections >= max(LEAST, self._asked_with * MORE):
            # Without a full collection, which would stand in the way of those who have come.
            return self._ask()
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
        return self._ask()

    def _ask(self) -> bool:
        self._asked_with = self._last
        if self._trim is not None:
            self._trim(0)
        return True
