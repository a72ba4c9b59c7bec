"""What the VUs say, added up: over the whole run, and for each few seconds of it."""

import threading
from dataclasses import dataclass, field
from typing import Any

from loading.buckets import Histogram

SLOT_SECONDS = 2.0
TIMES = ("connect", "resume", "ack", "delivery", "hall")


@dataclass
class Slot:
    """A few seconds of the run, or all of it."""

    counts: dict[str, int] = field(default_factory=dict)
    times: dict[str, Histogram] = field(default_factory=dict)
    open: int = 0
    """Connections at its end."""

    def count(self, name: str) -> int:
        return self.counts.get(name, 0)

    def time(self, name: str) -> Histogram:
        return self.times.get(name) or Histogram()

    def add_line(self, line: dict[str, Any]) -> None:
        for name, amount in line["c"].items():
            self.counts[name] = self.counts.get(name, 0) + amount
        for name, pairs in line["h"].items():
            self.times.setdefault(name, Histogram()).add_pairs(pairs)

    def add(self, other: "Slot") -> None:
        """All that is in the other one; the connections, too: they are other ones."""
        for name, amount in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + amount
        for name, times in other.times.items():
            self.times.setdefault(name, Histogram()).add(times)
        self.open += other.open

    def as_json(self) -> dict[str, Any]:
        times = {name: times.pairs() for name, times in self.times.items()}
        return {"c": self.counts, "h": times, "o": self.open}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Slot":
        made = cls(open=found["o"])
        made.add_line(found)
        return made


class Figures:
    """Of one group of processes. Lines may come from several threads."""

    def __init__(self, began_ms: float) -> None:
        self.began_ms = began_ms
        """The moment of the first connect, of the machine's clock."""
        self.total = Slot()
        self.slots: dict[int, Slot] = {}
        self.tails: dict[int, list[int]] = {}
        """Of a channel: users, sum of their newest seq, largest seq that they know of."""
        self.missing = 0
        """Holes in between that nothing filled."""
        self.unacked = 0
        self.ended = 0
        """VUs that came to their end."""
        self.opened_ms: float | None = None
        """When everybody was in for the first time."""
        self._spoke: dict[int, float] = {}
        self._silences: dict[int, tuple[float, float]] = {}
        self._now: dict[tuple[int, int], tuple[int, int]] = {}
        self._in: dict[tuple[int, int], float] = {}
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        """Connections now."""
        return sum(opened for opened, _ in list(self._now.values()))

    @property
    def ready(self) -> int:
        """Connections now that follow all their channels."""
        return sum(ready for _, ready in list(self._now.values()))

    @property
    def silences(self) -> list[tuple[float, float]]:
        """Of each process: the longest time without a line, seconds, and the second at its end. A
        process whose VUs all say nothing stands still, and so do its users.
        """
        return [silence for _, silence in sorted(self._silences.items())]

    def hear(self, process: int, line: dict[str, Any], vus: int) -> None:
        """One line of a VU, of which there are ``vus``."""
        number = int((line["t"] - self.began_ms) / 1000 // SLOT_SECONDS)
        with self._lock:
            self._hear_silence(process, (line["t"] - self.began_ms) / 1000)
            self._now[process, line["v"]] = (line["o"], line["r"])
            slot = self.slots.setdefault(number, Slot())
            for each in (self.total, slot):
                each.add_line(line)
            slot.open = self.open
            if "in" in line:
                self._in[process, line["v"]] = line["in"]
                if len(self._in) == vus:
                    self.opened_ms = max(self._in.values())
            if "end" in line:
                self._hear_end(line["end"])

    def _hear_silence(self, process: int, second: float) -> None:
        spoke = self._spoke.get(process, 0.0)
        if second <= spoke:
            return
        self._spoke[process] = second
        longest = self._silences.get(process, (0.0, 0.0))
        self._silences[process] = max(longest, (second - spoke, second))

    def _hear_end(self, end: dict[str, Any]) -> None:
        self.ended += 1
        self.missing += end["missing"]
        self.unacked += end["unacked"]
        for channel, users, newest, known in end["tails"]:
            tail = self.tails.setdefault(channel, [0, 0, 0])
            tail[:] = [tail[0] + users, tail[1] + newest, max(tail[2], known)]

    def lost(self, heads: dict[int, int]) -> int:
        """What somebody should have had and has not: holes, and what is missing up to the head
        that the store has, or that anybody was told of.
        """
        return self.missing + sum(self.behind(heads).values())

    def behind(self, heads: dict[int, int]) -> dict[int, int]:
        """Channel → what all its users together have not had up to its head, where that is any."""
        found = {
            channel: max(known, heads.get(channel, 0)) * users - newest
            for channel, (users, newest, known) in self.tails.items()
        }
        return {channel: count for channel, count in found.items() if count}

    def window(self, begin: float, end: float) -> Slot:
        """The slots between two seconds of the run, as one."""
        whole = Slot()
        with self._lock:
            for number, slot in self.slots.items():
                if begin <= number * SLOT_SECONDS < end:
                    whole.add(slot)
        return whole
