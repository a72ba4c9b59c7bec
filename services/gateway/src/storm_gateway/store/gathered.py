"""Questions to the store that many ask at once become one."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Generic, TypeVar

from storm_gateway.store.turns import Turns

K = TypeVar("K")
V = TypeVar("V")

_MOST = 1_000


class Gathered(Generic[K, V]):
    """Answers are never older than the question: whoever asks after something happened sees it."""

    def __init__(self, ask: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        """``ask``: the answers of some keys at most; those that have none are left out."""
        self._ask_for = ask
        self._wanted: dict[K, asyncio.Future[V | None]] = {}
        self._turns = Turns(self._take)

    async def of(self, key: K) -> V | None:
        """The answer, None when there is none. Raises what the query raises."""
        answer = self._wanted.get(key)
        if answer is None:
            answer = self._wanted[key] = asyncio.get_running_loop().create_future()
            self._turns.want()
        # Shielded: others may be waiting for the same answer.
        return await asyncio.shield(answer)

    def _take(self) -> Coroutine[None, None, None] | None:
        asked = {key: self._wanted.pop(key) for key in list(self._wanted)[:_MOST]}
        return self._query(asked) if asked else None

    async def _query(self, asked: dict[K, asyncio.Future[V | None]]) -> None:
        try:
            found = await self._ask_for(asked)
        except BaseException as error:
            for answer in asked.values():
                answer.set_exception(error)
                # Whoever waits hears of it; when nobody does any more, nobody needs to.
                answer.exception()
            if not isinstance(error, Exception):
                raise
            return
        for key, answer in asked.items():
            answer.set_result(found.get(key))
