"""One client: who it is, how much it may say, and its commands in order."""

import time
from collections import deque
from typing import TYPE_CHECKING, ClassVar

from storm_gateway.actions.identity import Identity
from storm_gateway.bus.base import topic_of_channel
from storm_gateway.connections import dispatch
from storm_gateway.connections.upgrade import Accepted, accept
from storm_gateway.connections.websocket import State, WebSocket
from storm_gateway.errors import (
    LimitReachedError,
    RateLimitedError,
    StormError,
    UnauthenticatedError,
)
from storm_gateway.limits.base import Refusal
from storm_gateway.protocol import events
from storm_gateway.protocol.close_codes import CloseCode
from storm_gateway.protocol.codec import encode, ref_of
from storm_gateway.protocol.handshake import RefusedHandshake, parse_request
from storm_gateway.protocol.websocket import text_frame
from storm_gateway.store.records import Joined

if TYPE_CHECKING:
    from storm_gateway.connections.edge import Edge
    from storm_gateway.hub.feed import Feed

_MOST_WAITING = 64
"""Commands that wait for an earlier one; then the socket is not read until there is room."""


class Connection(WebSocket):
    """A client of STORM. Commands take effect in the order in which they were sent."""

    __slots__ = (
        "address",
        "feeds",
        "full_at",
        "identity",
        "number",
        "waiting",
        "warned",
    )

    edge: ClassVar["Edge"]

    def __init__(self) -> None:
        super().__init__()
        self.identity: Identity
        self.feeds: tuple[Feed, ...] = ()
        self.waiting: deque[bytes] | None = None  # behind a command that takes time
        self.warned = False  # of the end of its token
        self.full_at = 0.0  # when as much may be said at once again as ever
        self.number = 0
        self.address = ""

    @property
    def user_id(self) -> str:
        return self.identity.user_id

    @property
    def connection_id(self) -> str:
        """Unique over nodes and restarts; begins with the node's name."""
        return f"{self.edge.life}-{self.number}"

    # --- opening ---

    def upgrade(self, head: bytes, peer: str) -> bool:
        """Answer an upgrade request; False when it was refused and the transport ends."""
        edge = self.edge
        now = edge.loop.time()
        try:
            accepted = accept(edge, parse_request(head), peer, now)
        except RefusedHandshake as refused:
            edge.metrics.handshakes_refused.labels(str(refused.status), refused.reason).inc()
            self.state = State.CLOSED
            self.transport.write(refused.response())
            self.transport.close()
            return False
        self.identity = accepted.identity
        self.address = edge.admission.needed(accepted.address)
        self.number = edge.next_number()
        self.opened()
        edge.admission.enter(self.address)
        edge.shared_limits.enter(self.user_id, self.identity.ticket_id, self)
        edge.counts.connections += 1
        edge.counts.active_websockets += 1
        edge.wheel.add(self, self.number)
        edge.hub.connect(self)
        self.transport.write(accepted.response + self._hello())
        self._begin(accepted)
        return True

    def _hello(self) -> bytes:
        edge = self.edge
        return text_frame(
            encode(
                events.Hello(
                    self.connection_id,
                    self.user_id,
                    edge.node,
                    edge.keepalive,
                    edge.limits,
                    max(0, int(self.identity.expires_at - time.time())),
                    edge.epoch,
                )
            )
        )

    def _begin(self, accepted: Accepted) -> None:
        edge = self.edge
        if accepted.channel_id is not None:
            # What the client says meanwhile waits: it counts on the channel being joined.
            self.waiting = deque()
            channel_id = accepted.channel_id
            if edge.hub.feed(topic_of_channel(channel_id)) is None:
                edge.spawn(dispatch.open_ahead(self, channel_id))
            edge.actions.channels.join(
                self.user_id, channel_id, lambda joined: self._joined(channel_id, joined)
            )
        elif accepted.subject is not None:
            self.run(dispatch.listen(self, accepted.subject), None)
        elif self.identity.foreign:
            self.run(edge.actions.auth.ensure_user(self.identity), None)

    def _joined(self, channel_id: int, joined: Joined | StormError) -> None:
        if self.state is not State.OPEN:
            return
        corked = self.cork()
        try:
            self._go_on(channel_id, joined)
        finally:
            if corked and self.edge.corked is self:
                self.uncork()

    def _go_on(self, channel_id: int, joined: Joined | StormError) -> None:
        if isinstance(joined, StormError):
            self.refuse(joined, None)
            self._next()
            return
        edge = self.edge
        if not edge.control.cut_lately(self.user_id, channel_id):
            edge.actions.channels.joined(self.user_id, joined)
            feed = edge.hub.feed(topic_of_channel(channel_id))
            # A feed learns of each removal from its log, but only of those since it is live.
            if (
                feed is not None
                and joined.read_at >= feed.live_since
                and edge.subscriptions.subscribe_now(self, channel_id, None, None)
            ):
                self._next()
                return
        self.run(dispatch.subscribe(self, channel_id, None, None), None)

    # --- commands ---

    def on_text(self, data: bytes) -> None:
        self.edge.counts.commands += 1
        if self.identity.expires_at <= self.edge.now:
            self.close(CloseCode.TOKEN_EXPIRED, "the token expired")
            return
        if not self._may_speak(data):
            return
        if self.waiting is not None:
            self.waiting.append(data)
            dispatch.foresee(self, data)
            if len(self.waiting) >= _MOST_WAITING:
                self.transport.pause_reading()
            return
        dispatch.handle(self, data)

    def on_binary(self, data: bytes) -> None:
        self.close(CloseCode.BAD_COMMANDS, "commands are text frames")

    def on_control(self) -> bool:
        # Control frames cost as much as commands, so they count as such.
        return self._may_speak(None)

    def _may_speak(self, data: bytes | None) -> bool:
        """One command's worth of the rate limit (so many a second, with a burst)."""
        config = self.edge.config
        now = self.edge.loop.time()
        rate = config.commands_per_second
        full_at = self.full_at
        self.full_at = full_at = (full_at if full_at > now else now) + 1 / rate
        over = (full_at - now) * rate - config.commands_burst
        # A hair of tolerance: sums of floats must not refuse what is exactly due.
        if over <= 1e-6:
            return True
        self.edge.metrics.commands_rate_limited.inc()
        if over > config.commands_burst:
            self.close(CloseCode.RATE_LIMITED, "commands went on after rate_limited")
        elif data is not None:
            wait = int(over / rate * 1000) + 1
            self.refuse(
                RateLimitedError("Too many commands at once.", retry_after_ms=wait), ref_of(data)
            )
        return False

    def run(self, work: "dispatch.Work", ref: str | None) -> None:
        """Carry out a command that takes time; later ones wait for it."""
        if self.waiting is None:
            self.waiting = deque()
        self.edge.spawn(self._carry_out(work, ref))

    async def _carry_out(self, work: "dispatch.Work", ref: str | None) -> None:
        try:
            reply = await work
            if reply is not None:
                self.reply(reply)
        except StormError as error:
            self.refuse(error, ref)
        except Exception:  # noqa: BLE001 whatever it is, the connection lives on
            dispatch.log.exception("a command failed", extra={"connection": self.connection_id})
            self.refuse(dispatch.INTERNAL, ref)
        finally:
            self._next()

    def _next(self) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is None:
            return
        full = len(waiting) >= _MOST_WAITING
        while waiting and self.is_open:
            dispatch.handle(self, waiting.popleft())
            behind: deque[bytes] | None = self.waiting
            if behind is not None:  # this one takes time too
                behind.extend(waiting)
                break
        if full and self.is_open:
            self.transport.resume_reading()

    def may_not_stay(self, refusal: Refusal) -> None:
        """Other nodes know what this one could not when it opened the connection."""
        error: StormError
        if refusal == "too_many":
            most = self.edge.config.max_connections_per_user
            error = LimitReachedError(f"A user may have {most} connections; close one first.")
            code = CloseCode.TOO_MANY_CONNECTIONS
        else:
            error = UnauthenticatedError("This ticket was used already.")
            code = CloseCode.AUTHENTICATION_FAILED
        self.refuse(error, None)
        self.close(code, error.message)

    # --- replies ---

    def reply(self, event: events.Ack | events.Pong) -> None:
        self.send(text_frame(encode(event)))

    def refuse(self, error: StormError, ref: str | None) -> None:
        """Answer a command that failed; the connection lives on."""
        self.edge.metrics.command_errors.labels(error.code).inc()
        self.send(
            text_frame(encode(events.Error(error.code, error.message, ref, error.retry_after_ms)))
        )

    # --- the end ---

    def on_closed(self) -> None:
        edge = self.edge
        edge.wheel.discard(self, self.number)
        edge.hub.disconnect(self)
        edge.admission.leave(self.address)
        edge.shared_limits.leave(self.user_id)
        edge.counts.active_websockets -= 1
        edge.metrics.connections_closed.labels(str(int(self.close_code))).inc()

    def __repr__(self) -> str:
        return f"<Connection {self.number} {self.state.name}>"
