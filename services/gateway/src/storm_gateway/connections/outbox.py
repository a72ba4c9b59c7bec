"""What waits for a client that takes its frames slowly."""

from collections import deque


class Outbox:
    """Frames in order, bounded by the caller. Exists only while there is a backlog.

    It holds references to bytes that other connections share: a backlog copies nothing.
    """

    __slots__ = ("bytes", "entries", "ephemeral")

    def __init__(self) -> None:
        self.bytes = 0
        self.ephemeral = 0  # how many entries may be dropped
        self.entries: deque[tuple[bytes, bool]] = deque()

    def add(self, data: bytes, ephemeral: bool) -> None:
        """Queue frames; ``ephemeral`` ones may be dropped later."""
        self.entries.append((data, ephemeral))
        self.ephemeral += ephemeral
        self.bytes += len(data)

    def drop_ephemeral(self) -> int:
        """Drop what may be dropped; returns how many entries."""
        dropped = self.ephemeral
        if dropped:
            self.entries = deque(entry for entry in self.entries if not entry[1])
            self.bytes = sum(len(data) for data, _ in self.entries)
            self.ephemeral = 0
        return dropped

    def take(self, limit: int) -> bytes:
        """Up to about ``limit`` bytes from the front, joined; empty when nothing waits."""
        taken: list[bytes] = []
        size = 0
        entries = self.entries
        while entries and size < limit:
            data, ephemeral = entries.popleft()
            self.ephemeral -= ephemeral
            taken.append(data)
            size += len(data)
        self.bytes -= size
        return b"".join(taken)
