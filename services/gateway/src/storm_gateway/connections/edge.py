"""What all connections of a node share."""

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Protocol

from storm_gateway.actions.actions import Actions
from storm_gateway.actions.address import parse_networks
from storm_gateway.config import Config
from storm_gateway.connections.admission import Admission
from storm_gateway.connections.keepalive import Wheel, portions
from storm_gateway.connections.websocket import Engine, State
from storm_gateway.hub.control import Control
from storm_gateway.hub.hub import Hub
from storm_gateway.hub.subscribe import Subscriptions
from storm_gateway.limits.base import Limits
from storm_gateway.observability.metrics import Metrics
from storm_gateway.protocol import events
from storm_gateway.protocol.close_codes import CloseCode
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.websocket import PING_FRAME, text_frame

if TYPE_CHECKING:
    from storm_gateway.connections.connection import Connection


class Late(Protocol):
    """Something that has until a deadline to go on."""

    def too_slow(self) -> None:
        """The deadline has passed."""


class Edge(Engine):
    """The WebSocket side of one node: its parts, its clock and the connections it holds."""

    def __init__(
        self,
        config: Config,
        node: str,
        life: str,
        actions: Actions,
        hub: Hub,
        subscriptions: Subscriptions,
        control: Control,
        metrics: Metrics,
        limits: Limits,
    ) -> None:
        super().__init__(
            message_bytes=config.frame_bytes,
            ephemeral_bytes=config.outbox_ephemeral_bytes,
            close_bytes=config.outbox_close_bytes,
            close_seconds=config.close_seconds,
        )
        self.config = config
        self.node = node
        self.life = life
        self.actions = actions
        self.hub = hub
        self.subscriptions = subscriptions
        self.control = control
        self.metrics = metrics
        self.shared_limits = limits
        self.counts = metrics.counts
        self.admission = Admission(config)
        self.wheel: Wheel[Connection] = Wheel(config.ping_seconds, config.heartbeat_seconds)
        self.waiting: dict[Late, float] = {}  # half requests → deadline, about oldest first
        self.tasks: set[asyncio.Task[None]] = set()
        self.origins = config.origins
        self.trusted = parse_networks(config.trusted_proxies)
        self.keepalive = events.Keepalive(
            config.ping_seconds, config.dead_seconds, config.heartbeat_seconds
        )
        self.limits = events.Limits(
            config.payload_characters,
            config.frame_bytes,
            config.commands_per_second,
            config.commands_burst,
            config.channels_per_connection,
            config.replay_events,
        )
        self.epoch = ""
        """Of the database; the node sets it when the store is open."""
        self.now = time.time()  # as of this second: what tokens are measured by
        self._numbers = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The node's. Remembered: ``get_running_loop`` of Python 3.11 is a system call."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        return loop

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Work that the node's end ends."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def next_number(self) -> int:
        """A number for a new connection, unique on this node."""
        self._numbers += 1
        return self._numbers

    @property
    def newest_number(self) -> int:
        """Of the connection that came last; later ones have higher numbers."""
        return self._numbers

    def fit(self) -> None:
        """Most connections have left: keep no room for them."""
        self.admission.fit()
        self.wheel.fit()
        self.hub.fit()
        self.shared_limits.fit()

    def second(self) -> None:
        """One second has passed: everything that depends on time happens here."""
        super().second()
        now = asyncio.get_running_loop().time()
        for late, deadline in list(self.waiting.items()):
            if deadline <= now:
                late.too_slow()
        self.now = time.time()
        connections, round_number = self.wheel.turn()
        for after, some in portions(connections):
            if after:
                self.loop.call_later(after, self._visit, some, round_number)
            else:
                self._visit(some, round_number)
        counts = self.counts
        counts.outbox_bytes = self.outbox_bytes
        counts.ephemeral_dropped += self.ephemeral_dropped
        self.ephemeral_dropped = 0
        counts.slow_consumers = self.slow_consumers
        self.control.sweep(now)

    def _visit(self, connections: "list[Connection]", round_number: int) -> None:
        wheel, config, now = self.wheel, self.config, self.now
        silent_since = self.tick - config.dead_seconds
        for connection in connections:
            if connection.state is not State.OPEN:
                continue
            if connection.seen <= silent_since:
                connection.close(CloseCode.KEEPALIVE_MISSED, "nothing was heard from the client")
                continue
            if connection.outbox is not None:
                connection.resume_writing()
            number = connection.number
            frames = b""
            if wheel.heartbeat_is_due(round_number, number):
                frames = self.hub.heartbeat_frame(connection)
            left = connection.identity.expires_at - now
            if left <= 0:
                connection.close(CloseCode.TOKEN_EXPIRED, "the token expired")
                continue
            if left <= config.token_expiring_seconds and not connection.warned:
                connection.warned = True
                frames += text_frame(encode(events.TokenExpiring(max(1, int(left)))))
            if wheel.ping_is_due(round_number, number):
                frames += PING_FRAME
            if frames:
                connection.deliver(frames, b"", frames)
