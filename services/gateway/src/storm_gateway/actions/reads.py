"""How far each member has read."""

from collections.abc import Callable
from time import monotonic

from storm_gateway.actions import rules
from storm_gateway.actions.access import AccessCache
from storm_gateway.actions.publisher import Publisher
from storm_gateway.config import Config
from storm_gateway.errors import NotFoundError
from storm_gateway.protocol.events import ReadEvent
from storm_gateway.store.base import Store

SIZES_SECONDS = 30
SIZES = 10_000


class ReadActions:
    """Moves read cursors and tells of it as far as is useful."""

    def __init__(
        self,
        config: Config,
        store: Store,
        access: AccessCache,
        publisher: Publisher,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._access = access
        self._publisher = publisher
        self._clock = clock
        self._named = config.named_members
        self._crowded: dict[int, tuple[float, bool]] = {}

    async def read(self, user_id: str, channel_id: int, seq: int) -> int:
        """Move the cursor forward to ``seq``; gives where it stands now.

        Everybody hears of it; in a crowded channel only the reader's own connections do, because
        thousands of readers telling thousands would be millions of deliveries.
        """
        rules.may_receive(await self._access.load(user_id, channel_id))
        cursor = await self._store.messages.set_read(channel_id, user_id, seq)
        audience = user_id if await self._is_crowded(channel_id) else None
        self._publisher.ephemeral(ReadEvent(channel_id, user_id, cursor), audience)
        return cursor

    async def read_message(self, user_id: str, channel_id: int, message_id: int) -> int:
        """Move the cursor to a message."""
        rules.may_receive(await self._access.load(user_id, channel_id))
        message = await self._store.messages.get(channel_id, message_id)
        if message is None:
            raise NotFoundError("There is no such message.")
        return await self.read(user_id, channel_id, message.seq)

    async def _is_crowded(self, channel_id: int) -> bool:
        """Remembered for a while: it decides only how many hear of it."""
        known = self._crowded.get(channel_id)
        if known is None or known[0] <= self._clock():
            channel = await self._store.channels.get(channel_id)
            crowded = channel is not None and channel.member_count > self._named
            self._crowded.pop(channel_id, None)
            known = self._crowded[channel_id] = (self._clock() + SIZES_SECONDS, crowded)
            if len(self._crowded) > SIZES:
                del self._crowded[next(iter(self._crowded))]
        return known[1]
