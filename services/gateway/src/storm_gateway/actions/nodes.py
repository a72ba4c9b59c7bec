"""The nodes of this server: each tells the others what it does, and knows who told."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from storm_gateway.bus.base import Bus, BusEvent
from storm_gateway.bus.report import REPORTS, NodeReport
from storm_gateway.observability.metrics import Metrics
from storm_gateway.version import VERSION

REPORT_SECONDS = 5.0
EXPIRE_SECONDS = 15.0
"""Three reports: one may get lost, and one may be late."""
MOST_NODES = 1_000
_STATM = Path("/proc/self/statm")
_PAGE_BYTES = 4096


class Nodes:
    """What this node reports, and the newest report of each.

    ``tick`` is to be called every second, and ``report`` whenever it says so.
    """

    def __init__(
        self,
        bus: Bus,
        metrics: Metrics,
        node: str,
        life: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._metrics = metrics
        self._node = node
        self._life = life
        self._clock = clock
        self._started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._known: dict[str, tuple[float, NodeReport]] = {}  # life → when, what
        self._lag = 0.0
        self._due = clock()
        self._at = clock()
        self._messages = self._deliveries = 0

    async def start(self) -> None:
        """Hear of the others; the bus must run."""
        await self._bus.subscribe(REPORTS, self.on_report)

    def tick(self, lag_seconds: float) -> bool:
        """A second has passed, so late; says whether a report is due."""
        self._lag = max(self._lag, lag_seconds)
        now = self._clock()
        if now < self._due:
            return False
        self._due = now + REPORT_SECONDS
        return True

    def report(self, ready: bool) -> None:
        """Tell the others, and remember it as one of all."""
        now, counts = self._clock(), self._metrics.counts
        # The first second, and a call too soon, must not make a great rate of little.
        seconds = max(1.0, now - self._at)
        told = NodeReport(
            self._life,
            self._node,
            VERSION,
            ready,
            self._started_at,
            counts.active_websockets,
            counts.subscriptions,
            round((counts.messages - self._messages) / seconds, 1),
            round((counts.deliveries - self._deliveries) / seconds, 1),
            counts.slow_consumers,
            round(self._lag, 3),
            _memory_bytes(),
        )
        self._at, self._lag = now, 0.0
        self._messages, self._deliveries = counts.messages, counts.deliveries
        # This node is there whether the bus is or not.
        self.on_report(told)
        self._bus.publish(REPORTS, told)

    def leave(self) -> None:
        """Tell the others that this node ends."""
        self._bus.publish(REPORTS, NodeReport(self._life, self._node, gone=True))

    def on_report(self, event: BusEvent) -> None:
        """A node told what it does."""
        if not isinstance(event, NodeReport):
            return
        self._known.pop(event.life, None)
        if not event.gone:
            self._known[event.life] = (self._clock(), event)
            if len(self._known) > MOST_NODES:
                del self._known[next(iter(self._known))]  # whose report is the oldest
        self._metrics.nodes.set(len(self._known))

    def lately(self) -> list[NodeReport]:
        """The newest report of each node that told lately, in no order; not to be changed."""
        since = self._clock() - EXPIRE_SECONDS
        self._known = {life: known for life, known in self._known.items() if known[0] > since}
        self._metrics.nodes.set(len(self._known))
        return [report for _, report in self._known.values()]

    def all(self) -> list[NodeReport]:
        """The same, by name, and the caller's own."""
        reports = map(msgspec.structs.replace, self.lately())
        return sorted(reports, key=lambda report: (report.node, report.life))


def _memory_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0
