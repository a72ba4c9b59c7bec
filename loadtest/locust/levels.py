"""The service levels, judged by what Locust counted over all its processes."""

from collections import Counter

from locust.stats import RequestStats, StatsEntry, calculate_response_time_percentile

UNJUDGED = "SlowReader"
"""The name under which slow readers are counted: their times say nothing about the server."""


class Levels:
    """One verdict."""

    def __init__(self, stats: RequestStats, limits: dict[str, float]) -> None:
        """``limits``: milliseconds by ``connect``, ``ack`` and ``delivery``, and the share of
        ``errors`` that is still good.
        """
        self._entries = list(stats.entries.values())
        self._limits = limits

    def _of(self, kind: str) -> list[StatsEntry]:
        return [entry for entry in self._entries if entry.method == kind]

    def count(self, kind: str) -> int:
        """Everything of a kind, failures too."""
        return sum(entry.num_requests for entry in self._of(kind))

    def failures(self, kind: str) -> int:
        return sum(entry.num_failures for entry in self._of(kind))

    def p95(self, kind: str) -> float | None:
        """Milliseconds, rounded as Locust does (two digits from 100 on); None: none were timed."""
        times: Counter[int] = Counter()
        for entry in self._of(kind):
            if entry.name != UNJUDGED:
                times.update(entry.response_times)
        return calculate_response_time_percentile(times, times.total(), 0.95) if times else None

    @property
    def errors(self) -> float:
        """The share of refusals and messages never acked in all handshakes and messages."""
        bad = self.failures("connect") + self.failures("ack")
        return bad / max(1, self.count("connect") + self.count("ack"))

    def misses(self) -> list[str]:
        """What is not as it should be, in words."""
        found = []
        for kind in ("connect", "ack", "delivery"):
            limit, value = self._limits[kind], self.p95(kind)
            if value is None:
                found.append(f"{kind}: there was none, so nothing is proven")
            elif value >= limit:
                found.append(f"{kind} p95: {value:g} ms, should be below {limit:g} ms")
        if self.errors > 0 and self.errors >= self._limits["errors"]:
            found.append(f"errors: {self.errors:.3%}, should be below {self._limits['errors']:.1%}")
        found += [
            f"{kind}: {self.failures(kind)}, should be 0"
            for kind in ("lost", "doubled")
            if self.failures(kind)
        ]
        return found

    def line(self) -> str:
        """The figures in one line."""
        times = (
            f"{kind} p95 {self.p95(kind) or 0:g} ms" for kind in ("connect", "ack", "delivery")
        )
        counts = (f"{kind} {self.failures(kind)}" for kind in ("lost", "doubled", "dropped"))
        return ", ".join([*times, f"errors {self.errors:.3%}", *counts])
