"""Channels that anybody may receive: of them nobody's right has to be asked for."""

from collections.abc import Callable, Coroutine

import structlog

from storm_gateway.bus.base import ControlEvent
from storm_gateway.errors import StormError
from storm_gateway.store.base import Store
from storm_gateway.store.turns import Turns

CROWD = 8
"""Subscribers on this node from which on it is worth knowing. Who listens to a channel of ten is
asked for alone: that is one question as well."""
_MOST = 500

log = structlog.get_logger(__name__)


class OpenChannels:
    """Public channels without a banned user, as far as this node was told.

    What is known is forgotten after ``ttl_seconds``, and at once when a control event makes it
    doubtful, as in :class:`AccessCache`. In the second half of that time it is asked anew in
    advance, so that a crowd that comes does not wait for it.
    """

    def __init__(
        self, store: Store, *, ttl_seconds: float, size: int, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._ttl = ttl_seconds
        self._size = size
        self._clock = clock
        self._known: dict[int, float] = {}  # → when the store was asked
        self._closed: dict[int, float] = {}  # those that are not open → when the store said so
        self._wanted: dict[int, None] = {}
        self._asked: set[int] = set()
        self._turns = Turns(self._take)
        self._doubts = 0  # what came while the store was asked makes its answer worthless

    def holds(self, channel_id: int, since: float = 0) -> bool:
        """Whether everybody may receive the channel; False: ask for the user.

        ``since`` (of the clock): what was learned before it does not count.
        """
        asked_at = self._known.get(channel_id)
        if asked_at is None:
            return False
        age = self._clock() - asked_at
        if age >= self._ttl:
            del self._known[channel_id]
            return False
        if age >= self._ttl / 2:
            self.learn(channel_id)
        return asked_at >= since

    def learn(self, channel_id: int) -> None:
        """Ask for it, with others that are wanted by now; nobody waits for the answer. Of one that
        was not open it is not asked again so soon.
        """
        if channel_id in self._wanted or channel_id in self._asked:
            return
        if self._closed.get(channel_id, -self._ttl) + self._ttl > self._clock():
            return
        if len(self._wanted) < self._size:
            self._wanted[channel_id] = None
            self._turns.want()

    def on_control(self, event: ControlEvent) -> None:
        """Forget what an event makes doubtful: a ban, another visibility, an end."""
        if event.kind in ("access_lost", "channel_deleted") or (
            event.kind == "access_changed" and not event.user_id
        ):
            self._doubts += 1
            self._known.pop(event.channel_id, None)

    def clear(self) -> None:
        """Forget everything: events may have been lost."""
        self._doubts += 1
        self._known.clear()
        self._closed.clear()

    def _take(self) -> Coroutine[None, None, None] | None:
        asked = list(self._wanted)[:_MOST]
        if not asked:
            return None
        for channel_id in asked:
            del self._wanted[channel_id]
        self._asked.update(asked)
        return self._query(asked)

    async def _query(self, asked: list[int]) -> None:
        began, doubts = self._clock(), self._doubts
        try:
            found = await self._store.channels.open(asked)
        except StormError as error:
            log.debug("open channels not loaded", error=error.message)
            return
        except Exception:
            log.exception("open channels not loaded")
            return
        finally:
            self._asked.difference_update(asked)
        if doubts != self._doubts:
            return
        for channel_id in asked:
            self._known.pop(channel_id, None)
            self._closed.pop(channel_id, None)
            said = self._known if channel_id in found else self._closed
            said[channel_id] = began
            if len(said) > self._size:
                del said[next(iter(said))]
