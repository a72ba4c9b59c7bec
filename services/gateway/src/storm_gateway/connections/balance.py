"""Has this node more connections than its share, and how many may it ask to move now?

Decided from what the nodes tell each other (``bus.report``), by each node for itself; decision
0022 says why so. No I/O and no clock: time is an argument.
"""

from collections.abc import Iterable
from math import sqrt

from storm_gateway.bus.report import NodeReport

_NOISE_BEGINS, _NOISE_ENDS = 4.0, 3.0
"""Where each client lands on a node at random, a node's share of ``m`` connections is off by about
``sqrt(m)``. So many times that is no reason to move anybody, and so many times is good enough.
"""


class Balance:
    """The shares of all nodes, as one of them sees them.

    Connections are moved in turns. A turn begins when one node has been far from the mean for the
    settling time, with the same nodes, all of them ready. It ends when all are near the mean, when
    a node comes, goes or is not ready, or when the node has nobody left whom it may ask: only who
    was connected before the turn is asked. Everybody else has landed where the load balancer puts
    people now, and would land there again. So a turn asks each client once at most, whatever the
    load balancer does.
    """

    def __init__(self, life: str, *, seconds: float, margin: float, settle_seconds: float) -> None:
        """``life``: of this node. ``seconds``: over which it would ask all its connections; 0: it
        asks none. ``margin``: share of the mean by which a node may differ from it.
        """
        self.turn = 0
        """Counts the turns, the present one included."""
        self.moving = False
        """A turn lasts."""
        self.skew = 0.0
        """This node's connections above the mean, as a share of it; negative when below."""
        self.mean = 0.0
        self._life = life
        self._seconds = seconds
        self._margin = margin
        self._settle = settle_seconds
        self._lives: frozenset[str] = frozenset()
        self._calm_since: float | None = None
        self._uneven_since: float | None = None
        self._over = False  # nobody is left to be asked, among these nodes
        self._due = 0.0

    def look(self, now: float, nodes: Iterable[NodeReport]) -> None:
        """The newest report of each node, this one's among them; every second or so."""
        counts: dict[str, int] = {}
        calm = True
        for report in nodes:
            counts[report.life] = report.connections
            calm = calm and report.ready
        lives = frozenset(counts)
        if not calm or lives != self._lives:
            self._lives = lives
            self._calm_since = now if calm else None
            self._over = self.moving = False
        elif self._calm_since is None:
            self._calm_since = now
        self.mean = sum(counts.values()) / len(counts) if counts else 0.0
        own = counts.get(self._life)
        self.skew = own / self.mean - 1 if own is not None and self.mean else 0.0
        if own is None or len(counts) < 2 or not self.mean:
            self.moving = False
            self._uneven_since = None
            return
        # On either side: a node that joins among many is far from the mean, the others are near it.
        self._decide(now, max(abs(count - self.mean) for count in counts.values()))

    def _decide(self, now: float, farthest: float) -> None:
        noise = sqrt(self.mean)
        if self.moving:
            if farthest <= max(self._margin / 2 * self.mean, _NOISE_ENDS * noise):
                self.moving = False
                self._uneven_since = None
            return
        if farthest <= max(self._margin * self.mean, _NOISE_BEGINS * noise):
            self._uneven_since = None
            return
        if self._uneven_since is None:
            self._uneven_since = now
        if not self._seconds or self._over or self._calm_since is None:
            return
        if now - max(self._uneven_since, self._calm_since) >= self._settle:
            self.moving = True
            self.turn += 1
            self._due = 0.0

    def take(self, open_now: int, asked: int) -> int:
        """A second has passed: how many more to ask. ``asked``: those of ``open_now`` that were
        asked and are still here.
        """
        if not self.moving:
            return 0
        rate = open_now / self._seconds
        self._due = min(self._due + rate, max(1.0, rate))  # what was not needed is not made up for
        count = max(0, min(int(self._due), int(open_now - asked - self.mean)))
        self._due -= count
        return count

    def nobody_left(self) -> None:
        """All who may be asked were asked: not again before the nodes have changed."""
        self.moving = False
        self._over = True
