"""One clock for all connections: pings, heartbeats, token ends, deaths by silence.

Connections stand in as many buckets as a round has seconds; each second one bucket is visited.
No connection has a timer, and the pings spread by themselves.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_PORTIONS = 5
"""Of a second. With twenty the answers come one by one, and 100,000 at rest cost a fifth more."""
_LEAST = 64

_ROUNDS = (10, 5)
"""Seconds: how late a token's end or a silence may be noticed. The longer one is cheaper, where
the periods are multiples of it: they are whole rounds.
"""


def portions(members: list[T]) -> Iterator[tuple[float, list[T]]]:
    """Those of a second, some at a time: after how many seconds, and who. Few are one portion.

    What so many are sent, all of it at once, holds up what others say: of 17,000 connections 550
    are pinged in the same second, and as many answer.
    """
    size = max(_LEAST, -(-len(members) // _PORTIONS))
    for number, begin in enumerate(range(0, len(members), size)):
        yield number / _PORTIONS, members[begin : begin + size]


class Wheel(Generic[T]):
    """Buckets of members, one for each second of a round."""

    def __init__(self, ping_seconds: int, heartbeat_seconds: int) -> None:
        long, short = _ROUNDS
        longest = short if ping_seconds % long or heartbeat_seconds % long else long
        self.round = max(1, min(ping_seconds, heartbeat_seconds, longest))
        self._pings = max(1, round(ping_seconds / self.round))
        self._heartbeats = max(1, round(heartbeat_seconds / self.round))
        # Dictionaries of keys alone: half of a set's memory for some thousand of them.
        self._buckets: list[dict[T, None]] = [{} for _ in range(self.round)]
        self._tick = 0

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets)

    def add(self, member: T, number: int) -> None:
        """``number`` spreads the members; successive ones go to different buckets."""
        self._buckets[number % self.round][member] = None

    def discard(self, member: T, number: int) -> None:
        self._buckets[number % self.round].pop(member, None)

    def fit(self) -> None:
        """Most have left: a dictionary keeps the room of what was removed from it."""
        self._buckets = [dict(bucket) for bucket in self._buckets]

    def members(self) -> list[T]:
        """Everybody."""
        return [member for bucket in self._buckets for member in bucket]

    def visited(self) -> list[T]:
        """Those whom the last turn visited, and who are there now."""
        return list(self._buckets[self._tick % self.round])

    def turn(self) -> tuple[list[T], int]:
        """One second has passed: whom to visit, and the number of this round."""
        self._tick += 1
        return self.visited(), self._tick // self.round

    def ping_is_due(self, round_number: int, number: int) -> bool:
        """Whether a member is pinged in this round; rounds differ by member, so load is even."""
        return (round_number + number // self.round) % self._pings == 0

    def heartbeat_is_due(self, round_number: int, number: int) -> bool:
        """The same for the heartbeat event."""
        return (round_number + number // self.round) % self._heartbeats == 0
