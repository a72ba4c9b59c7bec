"""Latencies as the C program counts them: highest value of a bucket → how many."""

import math
from collections.abc import Iterable, Mapping


class Histogram:
    """Microseconds in buckets of 1.6 %. Those of several processes, or moments, can be added up;
    their percentiles cannot.
    """

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self.counts: dict[int, int] = {}
        for highest, count in pairs:
            self.counts[highest] = self.counts.get(highest, 0) + count

    def add(self, other: "Histogram") -> None:
        """All that is in the other one."""
        for highest, count in other.counts.items():
            self.counts[highest] = self.counts.get(highest, 0) + count

    def since(self, before: "Histogram") -> "Histogram":
        """What was added since ``before`` was taken."""
        return Histogram(
            (highest, count - before.counts.get(highest, 0))
            for highest, count in self.counts.items()
            if count != before.counts.get(highest, 0)
        )

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def ms(self, share: float) -> float:
        """The nearest-rank percentile in milliseconds, never less than the true one. NaN of
        nothing.
        """
        rank = max(1, math.ceil(share * self.total))
        seen = 0
        for highest in sorted(self.counts):
            seen += self.counts[highest]
            if seen >= rank:
                return highest / 1000
        return math.nan

    def as_json(self) -> dict[str, float | int | list[list[int]]]:
        """Percentiles and buckets."""
        found: dict[str, float | int | list[list[int]]] = {"count": self.total}
        if self.counts:
            for name, share in PERCENTILES.items():
                found[name] = self.ms(share)
        found["buckets_us"] = [list(pair) for pair in sorted(self.counts.items())]
        return found


PERCENTILES: Mapping[str, float] = {
    "ms_p50": 0.5, "ms_p95": 0.95, "ms_p99": 0.99, "ms_p999": 0.999, "ms_max": 1.0,
}  # fmt: skip
