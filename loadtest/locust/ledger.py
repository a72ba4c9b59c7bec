"""What one user has had of its channels: every seq is there once, or it is counted. A hole that a
resume fills is not lost.
"""

from collections.abc import Iterable


class Ledger:
    """The newest seq and the holes, by channel id."""

    def __init__(self, channels: Iterable[int]) -> None:
        self.last: dict[int, int] = dict.fromkeys(channels, -1)
        self._holes: dict[int, set[int]] = {channel: set() for channel in self.last}
        self._asked: dict[int, int] = {}
        self.doubled = 0
        """Seqs that came twice, although nobody had asked for them again."""

    def begin(self, channel: int, head: int) -> None:
        """What comes after ``head`` is wanted, unless something came before."""
        if self.last[channel] < 0:
            self.last[channel] = head

    def take(self, channel: int, seq: int) -> bool:
        """One durable event. Gives whether it is new."""
        last = self.last[channel]
        holes = self._holes[channel]
        if seq > last:
            if last >= 0:
                holes.update(range(last + 1, seq))
            self.last[channel] = seq
            return True
        if seq in holes:
            holes.discard(seq)
            return True
        if seq > self._asked.get(channel, -1):
            self.doubled += 1
        return False

    def excuse(self, channel: int, to: int) -> None:
        """The server says that all up to here is too old to be replayed: the history has it."""
        self.last[channel] = max(self.last[channel], to)
        self._holes[channel] = {seq for seq in self._holes[channel] if seq > to}

    def since(self, channel: int) -> int | None:
        """From where a resume has to replay: before the oldest hole. None: nothing came yet."""
        last = self.last[channel]
        if last < 0:
            return None
        oldest = min(self._holes[channel], default=last + 1) - 1
        if oldest < last:
            # What was had after the hole is said once more, and is not doubled.
            self._asked[channel] = last
        return oldest

    @property
    def missing(self) -> int:
        """Seqs in holes."""
        return sum(map(len, self._holes.values()))

    def lost(self, heads: dict[int, int]) -> int:
        """Seqs in holes, and those up to the head that the store has of each channel."""
        behind = (heads.get(channel, last) - last for channel, last in self.last.items())
        return self.missing + sum(max(0, each) for each in behind)
