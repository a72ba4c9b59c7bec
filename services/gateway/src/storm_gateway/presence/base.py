"""The port of presence."""

from collections.abc import Callable
from typing import Protocol

import msgspec


class PresenceChange(msgspec.Struct, gc=False):
    """What changed in one channel since the last telling.

    ``joined`` and ``left`` are ``None`` when the channel is too crowded to name people.
    """

    channel_id: int
    online: int
    joined: list[str] | None
    left: list[str] | None


class PresenceSnapshot(msgspec.Struct, gc=False):
    """Who is online now; ``users`` is ``None`` when the channel is too crowded to name them."""

    online: int
    users: list[str] | None


class Presence(Protocol):
    """What the gateway asks of presence.

    A user is online in a channel while at least one connection of theirs, on any node,
    subscribes it, and for the leave grace afterwards: a reconnection is not seen.
    """

    async def start(self, changed: Callable[[PresenceChange], None]) -> None:
        """Begin; ``changed`` is called at most once an interval and channel."""

    async def stop(self) -> None:
        """Give back this node's entries and end."""

    def enter(self, channel_id: int, user_id: str) -> None:
        """One more connection of the user subscribes the channel. Never blocks."""

    def leave(self, channel_id: int, user_id: str) -> None:
        """One fewer. Never blocks."""

    def fit(self) -> None:
        """Most have left: a dictionary keeps the room of what was removed from it."""

    def snapshot(self, channel_id: int) -> PresenceSnapshot:
        """Who is online in the channel, as far as this node knows: at once, for a channel that
        somebody here subscribes.
        """

    async def look(self, channel_id: int) -> PresenceSnapshot:
        """Who is online in any channel, on all nodes. ``UnavailableError``: nobody knows now."""

    async def probe(self, timeout_seconds: float) -> None:
        """Raise ``UnavailableError`` when presence does not answer."""
