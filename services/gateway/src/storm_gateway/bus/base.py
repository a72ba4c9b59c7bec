"""The port of the bus, and what travels on it."""

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from storm_gateway.bus.report import NodeReport


class ChannelEvent(msgspec.Struct, tag="c", array_like=True, gc=False):
    """One event of a channel, already encoded: every node writes these very bytes.

    ``seq`` 0 marks an ephemeral event. ``audience`` limits it to one user's connections.
    """

    channel_id: int
    seq: int
    body: bytes
    audience: str | None = None


class StreamEvent(msgspec.Struct, tag="s", array_like=True, gc=False):
    """One ephemeral event of an event stream."""

    subject: str
    body: bytes


class ControlEvent(msgspec.Struct, tag="n", array_like=True, gc=False):
    """Something that every node must know at once.

    ``access_changed``: the user's standing in the channel changed; forget what was remembered of
    it. Without a user: everybody's did (a channel became private); look again at each.
    ``access_lost``: the user may not receive the channel any more; cut at once.
    ``channel_deleted``: nobody may receive the channel any more.
    ``user_revoked``: every connection and token of the user, issued before ``at``, ends.
    ``user_banned``: the same, and no token of the user is any good until ``user_unbanned``.
    ``session_revoked``: every connection and token of that login ends.
    ``user_event``: ``body`` goes to all connections of the user (an invitation).
    """

    kind: Literal[
        "access_changed",
        "access_lost",
        "channel_deleted",
        "user_revoked",
        "user_banned",
        "user_unbanned",
        "session_revoked",
        "user_event",
    ]
    user_id: str = ""
    channel_id: int = 0
    session_id: str = ""
    at: float = 0
    body: bytes = b""


BusEvent = ChannelEvent | StreamEvent | ControlEvent | NodeReport
Handler = Callable[[BusEvent], None]

CONTROL = "nodes"
"""The topic of control events; every node hears it."""


def topic_of_channel(channel_id: int) -> str:
    """``channels.<id>``: the name that existing NATS clients rely on."""
    return f"channels.{channel_id}"


class Bus(Protocol):
    """What the gateway asks of a bus.

    Delivery is at most once and in publish order per topic and publisher. Handlers are plain
    functions called on the event loop; they must not block.
    """

    @property
    def connected(self) -> bool:
        """Whether events get through as far as the bus knows."""

    async def start(self) -> None:
        """Connect. Returns once usable, raises ``UnavailableError`` when it cannot be."""

    async def stop(self) -> None:
        """Flush what was published and disconnect."""

    def publish(self, topic: str, event: BusEvent) -> None:
        """Hand an event over; never blocks. Lost ones are repaired from the store."""

    async def subscribe(self, topic: str, handler: Handler) -> None:
        """Call ``handler`` with each event of the topic. One handler a topic and node."""

    async def unsubscribe(self, topic: str) -> None:
        """Stop. Unknown topics are no error."""

    def on_disruption(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` when events may have been lost (reconnect, slow consumer)."""

    async def probe(self, timeout_seconds: float) -> None:
        """Send a canary through the bus to this node; ``UnavailableError`` if it is not back."""
