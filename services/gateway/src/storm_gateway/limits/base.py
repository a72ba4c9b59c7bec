"""The port of limits."""

from typing import Literal, Protocol

Refusal = Literal["too_many", "ticket_used"]
"""Why a connection that this node let in may not stay: the user has too many over all nodes, or
its ticket was used on another node."""


class Entrant(Protocol):
    """A connection that was let in and may still be refused."""

    @property
    def is_open(self) -> bool:
        """False as soon as it ends; its ``leave`` has been said by then."""

    def may_not_stay(self, refusal: Refusal) -> None:
        """Called at most once, soon after it was let in."""


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

    def enter(self, user_id: str, ticket_id: str, entrant: Entrant) -> None:
        """A connection of the user is open here; ``ticket_id``: of the ticket that it came with,
        if any. Never blocks.
        """

    def leave(self, user_id: str) -> None:
        """A connection of the user is gone. Never blocks."""

    def fit(self) -> None:
        """Most have left: a dictionary keeps the room of what was removed from it."""
