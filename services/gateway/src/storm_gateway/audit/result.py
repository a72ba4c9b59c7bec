"""What one run came to."""

from dataclasses import dataclass, field
from typing import Any

from storm_gateway.audit.times import Latencies, Repair, Silence
from storm_gateway.audit.verdict import Verdict


@dataclass(slots=True)
class Series:
    """Counts over time, for the plot."""

    step: float
    acks: list[float]
    deliveries: list[float]
    attempts: list[float]


@dataclass(slots=True)
class Result:
    """Of one scenario, or of a plain run. Times are seconds since sending began."""

    name: str
    title: str
    reference: str = ""
    skipped: str = ""
    """Why it could not be run on this machine; then there is nothing else."""
    failed: list[str] = field(default_factory=list)
    """What makes the run fail besides the verdict, a sentence each."""
    verdict: Verdict = field(default_factory=Verdict)
    seconds: float = 0.0
    settings: dict[str, str] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    repairs: list[Repair] = field(default_factory=list)
    silence: Silence = field(default_factory=Silence)
    channel_silence: Silence = field(default_factory=Silence)
    latencies: Latencies | None = None
    notes: list[tuple[float, str]] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    """What clients met: reconnections, close codes, errors, resumes."""
    series: Series | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing at all went wrong. A run that was skipped did not fail."""
        return bool(self.skipped) or (self.verdict.is_clean and not self.failed)

    @property
    def unavailable(self) -> float:
        """The longest time without any ack, seconds."""
        return self.silence.seconds

    @property
    def repaired(self) -> float | None:
        """The slowest delivery after a fault's end, seconds; None without faults."""
        return max((repair.late.most for repair in self.repairs), default=None)

    @property
    def in_time(self) -> float | None:
        """The smallest share of deliveries in time after a fault; None without faults."""
        return min((repair.share_in_time for repair in self.repairs), default=None)

    @property
    def back(self) -> float | None:
        """p95 of clients' return after losing a node or a connection; None: nobody lost any."""
        found = [repair.back.p95 for repair in self.repairs if repair.back.count]
        return max(found, default=None)
