"""What the REST edge asks of the node it serves."""

from typing import Protocol


class Health(Protocol):
    """Whether the node delivers; given by the composition root."""

    @property
    def bus_connected(self) -> bool:
        """Whether the bus is connected as far as it knows."""

    async def ready(self) -> list[str]:
        """Why the node does not deliver, for people; empty when it does."""
