"""How much is done in a calibration, and how long it may take."""

import resource
import time

import msgspec

TOTAL_SECONDS = 60.0
_END_SECONDS = 1.5
"""To end what was started."""
_OTHER_FILES = 300


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of things, and seconds of waiting."""

    connections: int
    feeds: int
    returns: int
    rounds: int
    """Of messages to all connections."""
    alone: int
    """Messages one after another."""
    bursts: int
    rest_seconds: float
    newcomers: int
    """With servers."""
    servers: bool


FULL = Size(
    connections=2_000,
    feeds=1_500,
    returns=800,
    rounds=10,
    alone=120,
    bursts=12,
    rest_seconds=2.0,
    newcomers=200,
    servers=True,
)
QUICK = Size(
    connections=300,
    feeds=200,
    returns=100,
    rounds=4,
    alone=30,
    bursts=3,
    rest_seconds=1.0,
    newcomers=0,
    servers=False,
)


class Clock:
    """The time that is left."""

    def __init__(self, seconds: float = TOTAL_SECONDS) -> None:
        self._began = time.monotonic()
        self._seconds = seconds - _END_SECONDS

    @property
    def spent(self) -> float:
        """Seconds."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds, without those that the end takes."""
        return max(0.0, self._seconds - self.spent)


def within_files(size: Size) -> Size:
    """No more connections than this process may open files, which is raised as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return size
    most = max(50, hard - _OTHER_FILES)
    return msgspec.structs.replace(
        size,
        connections=min(size.connections, most),
        feeds=min(size.feeds, most),
        returns=min(size.returns, most),
    )
