"""A node with more than its share asks some clients to come back, wherever they land."""

import logging
import random
from collections.abc import Iterable

from storm_gateway.bus.report import NodeReport
from storm_gateway.connections.balance import Balance
from storm_gateway.connections.connection import Connection
from storm_gateway.connections.edge import Edge
from storm_gateway.connections.websocket import State
from storm_gateway.protocol.close_codes import CloseCode
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import Reconnect
from storm_gateway.protocol.websocket import text_frame

log = logging.getLogger("storm")

_SPREAD_MILLISECONDS = 1_000
"""Those asked in one second leave over the next one."""


class Rebalance:
    """Moves connections, as few and as slowly as :class:`Balance` says."""

    def __init__(self, edge: Edge) -> None:
        config = edge.config
        self._edge = edge
        self._balance = Balance(
            edge.life,
            seconds=config.rebalance_seconds,
            margin=config.rebalance_margin_percent / 100,
            settle_seconds=config.rebalance_settle_seconds,
        )
        self._asked: dict[Connection, float] = {}  # → when it is closed
        self._turn = 0
        self._newest = 0  # connections with higher numbers came in this turn
        self._total = 0

    def second(self, now: float, nodes: Iterable[NodeReport], ready: bool) -> None:
        """A second has passed. ``ready``: whether this node, as far as it knows by now, is."""
        self._close_due(now)
        balance, edge = self._balance, self._edge
        was_moving = balance.moving
        balance.look(now, nodes)
        edge.metrics.connection_skew.set(round(balance.skew, 4))
        if balance.turn != self._turn:
            self._turn, self._newest, self._total = balance.turn, edge.newest_number, 0
            self._tell("connections are asked to move")
        if ready and not edge.admission.draining:
            self._ask(now, balance.take(edge.admission.total, len(self._asked)))
        if was_moving and not balance.moving:
            self._tell(f"{self._total} connections were asked to move")

    def _tell(self, what: str) -> None:
        total, mean = self._edge.admission.total, self._balance.mean
        log.info("%s; there are %d here, and %.0f on the average node", what, total, mean)

    def _ask(self, now: float, count: int) -> None:
        if not count:
            return
        # Those of this second do nearly always: whoever has many asks few of them in a second.
        some = self._may_be_asked(self._edge.wheel.visited())
        if len(some) < count:
            some = self._may_be_asked(self._edge.wheel.members())
        if not some:
            self._balance.nobody_left()
        for connection in random.sample(some, min(count, len(some))):
            after = random.randrange(_SPREAD_MILLISECONDS)  # noqa: S311 no secret
            connection.send(text_frame(encode(Reconnect(after, "rebalance"))))
            self._asked[connection] = now + after / 1000
            self._edge.metrics.rebalance_asked.inc()
            self._total += 1

    def _may_be_asked(self, connections: Iterable[Connection]) -> list[Connection]:
        return [
            each
            for each in connections
            if each.number <= self._newest and each.state is State.OPEN and each not in self._asked
        ]

    def _close_due(self, now: float) -> None:
        for connection, due in list(self._asked.items()):
            if connection.state is State.CLOSED:
                del self._asked[connection]
            elif due <= now and connection.state is State.OPEN:
                connection.close(CloseCode.SERVICE_RESTART, "come back, to any node")
