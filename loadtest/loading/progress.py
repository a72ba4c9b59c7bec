"""The line that a run tells each few seconds."""

from common.figures import milliseconds

from loading.figures import SLOT_SECONDS, Figures
from loading.profile import Profile
from loading.watch import Sample

_GROUPS = ("nodes", "k6")


class Progress:
    """Of one group of users."""

    def __init__(self, profile: Profile, figures: Figures) -> None:
        self._profile = profile
        self._figures = figures
        self._second = 0.0
        self._acked = 0
        self._delivered = 0

    def line(self, sample: Sample) -> str:
        """How it goes at this moment, and since the line before."""
        figures, total = self._figures, self._figures.total
        passed = max(sample.second - self._second, 1e-3)
        acked, delivered = total.count("acked"), total.count("delivered")
        window = figures.window(self._second - SLOT_SECONDS, sample.second)
        times = "/".join(
            milliseconds(window.time(name).percentile(0.95))
            for name in ("connect", "ack", "delivery")
        )
        memory = sum(sample.memory.values())
        parts = ", ".join(
            f"{group} {sample.memory[group] / 2**20:,.0f} MiB {sample.cpu[group]:.2f} cores"
            for group in _GROUPS
            if group in sample.memory
        )
        text = (
            f"{self._phase(sample.second):<6} {figures.ready:,} of {figures.open:,} in, "
            f"{(acked - self._acked) / passed:,.0f} acks/s, "
            f"{(delivered - self._delivered) / passed:,.0f} deliveries/s, "
            f"p95 connect/ack/delivery {times} ms, {total.count('bad'):,} errors; {parts}, "
            f"all {memory / 2**20:,.0f} MiB {sum(sample.cpu.values()):.2f} cores"
        )
        self._second, self._acked, self._delivered = sample.second, acked, delivered
        return text

    def _phase(self, second: float) -> str:
        if second < 0:
            return "start"
        if second < self._profile.ramp_seconds:
            return "ramp"
        return "hold" if second < self._profile.lasts else "settle"
