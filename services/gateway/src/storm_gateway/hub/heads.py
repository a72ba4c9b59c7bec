"""The newest ``seq`` of channels, asked of the store for many openings at once."""

import asyncio

from storm_gateway.store.base import Store

_AT_ONCE = 2
"""Questions under way. While they are, others gather: ten thousand feeds that open after a restart
are a few statements, and one that opens at rest waits for nobody."""
_MOST = 1_000


class Heads:
    """Answers are never older than the question: whoever asks after subscribing misses nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: dict[int, asyncio.Future[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def of(self, channel_id: int) -> int:
        """The head of a channel, 0 when nothing was said. Raises what the store raises."""
        answer = self._wanted.get(channel_id)
        if answer is None:
            answer = self._wanted[channel_id] = asyncio.get_running_loop().create_future()
            self._schedule()
        # Shielded: others may be waiting for the same answer.
        return await asyncio.shield(answer)

    def _schedule(self) -> None:
        if not self._scheduled and self._wanted and len(self._tasks) < _AT_ONCE:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._ask)

    def _ask(self) -> None:
        self._scheduled = False
        ids = list(self._wanted)[:_MOST]
        asked = {id_: self._wanted.pop(id_) for id_ in ids}
        task = asyncio.create_task(self._query(asked))
        self._tasks.add(task)
        task.add_done_callback(self._asked)
        self._schedule()

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._schedule()

    async def _query(self, asked: dict[int, asyncio.Future[int]]) -> None:
        try:
            heads = await self._store.channels.heads(asked)
        except BaseException as error:
            for answer in asked.values():
                answer.set_exception(error)
                # Whoever waits hears of it; when nobody does any more, nobody needs to.
                answer.exception()
            if not isinstance(error, Exception):
                raise
            return
        for id_, answer in asked.items():
            answer.set_result(heads.get(id_, 0))
