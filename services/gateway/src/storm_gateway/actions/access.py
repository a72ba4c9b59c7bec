"""What each user may do in each channel, remembered for a moment."""

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic

import structlog

from storm_gateway.actions.open_channels import OpenChannels
from storm_gateway.bus.base import ControlEvent
from storm_gateway.errors import InternalError, NotFoundError, StormError
from storm_gateway.store.base import Store
from storm_gateway.store.records import Access
from storm_gateway.store.turns import Turns

Key = tuple[str, int]
"""(user, channel)"""

log = structlog.get_logger(__name__)


class _Asked:
    """One question under way; a key that is asked again gets a new one with the old answer."""

    __slots__ = ("answer",)

    def __init__(self, answer: asyncio.Future[None]) -> None:
        self.answer = answer


class AccessCache:
    """Bounded, forgetful after ``ttl_seconds``, and told by control events what changed.

    Loads of one turn of the event loop become one query, and so do those that come before the
    next one's turn: ten thousand subscriptions after a restart are a few statements. Writes never
    ask here: their rules run in their transaction.
    """

    def __init__(
        self,
        store: Store,
        *,
        ttl_seconds: float = 30,
        size: int = 65_536,
        batch: int = 500,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._ttl = ttl_seconds
        self._size = size
        self._batch = batch
        self._clock = clock
        self._known: dict[Key, tuple[float, Access]] = {}  # with when the store was asked
        self._wanted: dict[Key, asyncio.Future[None]] = {}
        self._asked: dict[Key, _Asked] = {}
        self._turns = Turns(self._take)
        self._trim_at = 0.0
        self.open = OpenChannels(store, ttl_seconds=ttl_seconds, size=size, clock=clock)

    def get(self, user_id: str, channel_id: int, since: float = 0) -> Access | None:
        """What is known right now; ``None``: load it. ``since``: see :meth:`load`."""
        key = (user_id, channel_id)
        found = self._known.pop(key, None)
        if found is None or found[0] < since or found[0] + self._ttl <= self._clock():
            return None
        self._known[key] = found
        return found[1]

    async def load(self, user_id: str, channel_id: int, since: float = 0) -> Access:
        """The access as it is now; never what the store was asked before ``since`` (of the clock
        of this cache: ``time.monotonic``).

        It still holds when the caller's next line runs: a change that is told between the query
        and the return is queried again. ``NotFoundError``: there is no such channel.
        """
        while (access := self.get(user_id, channel_id, since)) is None:
            key = (user_id, channel_id)
            if (asked := self._asked.get(key)) is not None:
                answer = asked.answer
            elif (waiting := self._wanted.get(key)) is not None:
                answer = waiting
            else:
                answer = self._wanted[key] = asyncio.get_running_loop().create_future()
                self._turns.want()
            # Shielded: others may be waiting for the same answer.
            await asyncio.shield(answer)
        return access

    def foresee(self, user_id: str, channel_id: int) -> None:
        """Somebody is about to :meth:`load` this: it is asked with what others want by now."""
        key = (user_id, channel_id)
        if key in self._asked or key in self._wanted or self.get(user_id, channel_id) is not None:
            return
        self._wanted[key] = asyncio.get_running_loop().create_future()
        self._turns.want()

    def learn(self, user_id: str, access: Access, read_at: float) -> None:
        """What the user's join has read at ``read_at`` (of the clock of this cache). The caller has
        seen to it that nothing was taken away from the user since.
        """
        self._remember((user_id, access.channel_id), access, read_at)

    def forget(self, user_id: str, channel_id: int) -> None:
        """Look again next time."""
        self._forget({(user_id, channel_id)})

    def on_control(self, event: ControlEvent) -> None:
        """Forget what an event makes doubtful."""
        self.open.on_control(event)
        if event.kind in ("access_changed", "access_lost"):
            if event.user_id and event.channel_id:
                self.forget(event.user_id, event.channel_id)
            else:
                self._forget_where(event.user_id, event.channel_id)
        elif event.kind == "channel_deleted":
            self._forget_where("", event.channel_id)
        elif event.kind in ("user_revoked", "user_banned", "user_unbanned"):
            self._forget_where(event.user_id, 0)

    def trim(self) -> None:
        """Let go of what is too old to be used; to be called now and then."""
        now = self._clock()
        if self._known and now >= self._trim_at:
            self._trim_at = now + self._ttl / 2
            # A new one: a dictionary keeps the room of what was removed from it.
            self._known = {
                key: found for key, found in self._known.items() if found[0] + self._ttl > now
            }

    def clear(self) -> None:
        """Forget everything: events may have been lost."""
        self.open.clear()
        self._forget({*self._known, *self._asked})

    def _forget_where(self, user_id: str, channel_id: int) -> None:
        # A walk over everything, for events that are rare: a channel changed, a user was revoked.
        self._forget(
            {
                key
                for key in (*self._known, *self._asked)
                if (not user_id or key[0] == user_id) and (not channel_id or key[1] == channel_id)
            }
        )

    def _forget(self, keys: set[Key]) -> None:
        for key in keys:
            self._known.pop(key, None)
            # What is being asked may be answered from before the change: ask once more.
            asked = self._asked.pop(key, None)
            if asked is not None:
                self._wanted[key] = asked.answer
                self._turns.want()

    def _take(self) -> Coroutine[None, None, None] | None:
        keys = list(self._wanted)[: self._batch]
        if not keys:
            return None
        chunk = {key: _Asked(self._wanted.pop(key)) for key in keys}
        self._asked.update(chunk)
        return self._query(chunk)

    async def _query(self, chunk: dict[Key, _Asked]) -> None:
        found: list[Access | None] | StormError
        began = self._clock()
        try:
            found = await self._store.channels.access([(key[1], key[0]) for key in chunk])
        except StormError as error:
            found = error
        except Exception:
            log.exception("access not loaded")
            found = InternalError("This did not work; it is not your fault.")
        for index, (key, asked) in enumerate(chunk.items()):
            if self._asked.get(key) is not asked:
                continue  # Forgotten meanwhile: another query is under way for the same waiters.
            del self._asked[key]
            if isinstance(found, StormError):
                asked.answer.set_exception(found)
            elif (access := found[index]) is None:
                asked.answer.set_exception(NotFoundError("There is no such channel."))
            else:
                self._remember(key, access, began)
                asked.answer.set_result(None)
                continue
            # Whoever waits hears of it; when nobody does any more, nobody needs to.
            asked.answer.exception()

    def _remember(self, key: Key, access: Access, asked_at: float) -> None:
        self._known.pop(key, None)
        self._known[key] = (asked_at, access)
        if len(self._known) > self._size:
            del self._known[next(iter(self._known))]
