"""Latencies in buckets, which can be added up; the percentiles of several processes cannot."""

import math
from collections.abc import Iterable, Sequence

EXACT = 256
PER_DOUBLING = 16


def upper_edge(bucket: int) -> float:
    """The largest latency of a bucket of ``k6/lib/metrics.js``, milliseconds: one by one below 256,
    then sixteen for each doubling (at most 4.4 % too much).
    """
    if bucket < EXACT:
        return float(bucket)
    return EXACT * math.pow(2.0, ((bucket - EXACT + 1) / PER_DOUBLING))


class Histogram:
    """Counts by bucket."""

    def __init__(self, counts: dict[int, int] | None = None) -> None:
        self.counts = counts or {}

    def add_pairs(self, pairs: Sequence[int]) -> None:
        """Bucket, count, bucket, count, … as a VU tells them."""
        for bucket, count in zip(pairs[::2], pairs[1::2], strict=True):
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    def add(self, other: "Histogram") -> None:
        """All that is in the other one."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def percentile(self, share: float) -> float:
        """The nearest-rank percentile in milliseconds: never less than the true one. NaN of
        nothing.
        """
        rank = max(1, math.ceil(share * self.total))
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return upper_edge(bucket)
        return math.nan

    def pairs(self) -> list[int]:
        """For a file."""
        return [number for pair in sorted(self.counts.items()) for number in pair]


def merged(parts: Iterable[Histogram]) -> Histogram:
    """All of them as one."""
    whole = Histogram()
    for part in parts:
        whole.add(part)
    return whole
