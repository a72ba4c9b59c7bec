"""The newest ``seq`` of channels, asked of the store for many openings at once."""

from storm_gateway.store.base import Store
from storm_gateway.store.gathered import Gathered


class Heads:
    """Answers are never older than the question: whoever asks after subscribing misses nothing."""

    def __init__(self, store: Store) -> None:
        self._asked = Gathered[int, int](lambda ids: store.channels.heads(ids))

    async def of(self, channel_id: int) -> int:
        """The head of a channel, 0 when nothing was said. Raises what the store raises."""
        return await self._asked.of(channel_id) or 0
