"""The port of limits."""

from collections.abc import Callable
from typing import Literal, Protocol

Refusal = Literal["too_many", "ticket_used"]
"""Why a connection that this node let in may not stay: the user has too many over all nodes, or
its ticket was used on another node."""


class Limits(Protocol):
    """What the gateway asks of limits.

    Away, slow or empty shared state never opens a limit: each node then holds it alone.
    """

    async def start(self) -> None:
        """Begin. Shared state that is away is no reason not to start."""

    async def stop(self) -> None:
        """Give back this node's entries and end."""

    async def take(self, bucket: str, per_second: float, burst: int) -> float:
        """Take one from a token bucket that all nodes share: 0 when granted, else the seconds
        to wait. Never raises, never waits for shared state longer than a moment.
        """

    def enter(
        self, user_id: str, ticket_id: str | None, refused: Callable[[Refusal], None]
    ) -> None:
        """A connection of the user is open here. Never blocks; ``refused`` is called, at most
        once and soon, when it may not stay.
        """

    def leave(self, user_id: str) -> None:
        """A connection of the user is gone. Never blocks."""
