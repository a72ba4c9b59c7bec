"""What the processes have counted, together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swarming.histogram import Histogram

HISTOGRAMS = ("connect", "back_after", "ack", "delivery", "replayed", "send_late")


@dataclass
class State:
    """Counters by name, reasons of losses and errors, latencies; since the processes began."""

    counters: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(
        default_factory=lambda: {name: Histogram() for name in HISTOGRAMS}
    )
    cpu_seconds: float = 0.0
    last_open_ns: int = 0
    """When the last connection was there (CLOCK_MONOTONIC); 0: none was."""

    def add(self, answer: Mapping[str, Any]) -> None:
        """The answer of one process to ``state``."""
        for name, value in answer.items():
            if name == "reasons":
                for reason, count in value.items():
                    self.reasons[reason] = self.reasons.get(reason, 0) + count
            elif name == "histograms":
                for each in HISTOGRAMS:
                    self.histograms[each].add(Histogram((h, n) for h, n in value[each]))
            elif name in ("user_seconds", "system_seconds"):
                self.cpu_seconds += value
            elif name == "last_open_ns":
                self.last_open_ns = max(self.last_open_ns, value)
            else:
                self.counters[name] = self.counters.get(name, 0) + value

    def __getitem__(self, name: str) -> int:
        """A counter."""
        return self.counters.get(name, 0)

    @property
    def why(self) -> str:
        """The reasons for people, the most frequent first; nothing without any."""
        often = sorted(self.reasons.items(), key=lambda reason: -reason[1])
        return ", ".join(f"{count:,} x {reason}" for reason, count in often)

    def since(self, before: "State") -> "State":
        """The difference; what is a level (``open``, ``opening``, ``lost``) is a difference too."""
        return State(
            {name: value - before[name] for name, value in self.counters.items()},
            {
                name: count - before.reasons.get(name, 0)
                for name, count in self.reasons.items()
                if count != before.reasons.get(name, 0)
            },
            {name: made.since(before.histograms[name]) for name, made in self.histograms.items()},
            self.cpu_seconds - before.cpu_seconds,
            self.last_open_ns,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            **self.counters,
            "reasons": self.reasons,
            "cpu_seconds": round(self.cpu_seconds, 3),
            "histograms": {name: made.as_json() for name, made in self.histograms.items()},
        }
