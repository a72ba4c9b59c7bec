"""When what went wrong: faults with begin and end, on the clock of the run."""

import time
from dataclasses import dataclass, field


class Clock:
    """Seconds since the start of the run; everything in a report is told in them."""

    def __init__(self) -> None:
        self._zero = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self._zero

    def start(self) -> None:
        """Now is zero."""
        self._zero = time.monotonic()


@dataclass(slots=True)
class Fault:
    """Something that was broken on purpose, from ``begin`` until ``end`` (None: still)."""

    title: str
    begin: float
    end: float | None = None
    node: str = ""
    """Its name, when one node was the victim: its clients must come back elsewhere."""

    def covers(self, at: float) -> bool:
        """Whether it was broken at that moment."""
        return self.begin <= at and (self.end is None or at <= self.end)


@dataclass(slots=True)
class Timeline:
    """The faults of one run and what else was worth a line."""

    faults: list[Fault] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)

    @property
    def present(self) -> str:
        """What is broken now, in words; empty: nothing."""
        return ", ".join(fault.title for fault in self.faults if fault.end is None)
