"""When the next query begins, so that many questions become few."""

import asyncio
from collections.abc import Callable, Coroutine

AT_ONCE = 2
"""Queries under way at one time: a slow one does not hold up those after it."""
_REST = 16
"""Times what the last query took, from one beginning to the next. A query costs a node more than
what it asks about, and a busy machine takes longer for each: it then asks for more at a time."""
_LONGEST_SECONDS = 0.1


class Turns:
    """At rest a query begins in this turn of the event loop. In a row they keep a distance, and
    what is asked meanwhile goes with the next.
    """

    def __init__(self, take: Callable[[], Coroutine[None, None, None] | None]) -> None:
        """``take``: a query for what is wanted by now; None when nothing is. It never raises, and
        is awaited once.
        """
        self._take = take
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._next_at = 0.0
        self._lasted = 0.0

    def want(self) -> None:
        """Something is wanted."""
        if self._scheduled or len(self._tasks) >= AT_ONCE:
            return
        self._scheduled = True
        loop = asyncio.get_running_loop()
        if loop.time() >= self._next_at:
            loop.call_soon(self._begin)
        else:
            loop.call_at(self._next_at, self._begin)

    def _begin(self) -> None:
        self._scheduled = False
        query = self._take()
        if query is None:
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._next_at = began + self._distance()
        task = loop.create_task(query)
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(task, began))
        self.want()  # there may be more than one query takes

    def _ended(self, task: asyncio.Task[None], began: float) -> None:
        self._tasks.discard(task)
        self._lasted = asyncio.get_running_loop().time() - began
        self._next_at = max(self._next_at, began + self._distance())
        self.want()

    def _distance(self) -> float:
        return min(_LONGEST_SECONDS, _REST * self._lasted)
