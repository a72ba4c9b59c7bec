"""Reads, on a few threads of their own: they never wait for the writer, nor the loop for them."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from storm_gateway.errors import InternalError, StormError, UnavailableError
from storm_gateway.store.database import Database

log = logging.getLogger("storm.store")
T = TypeVar("T")

WAITING_READS = 2_000
"""Reads that may wait for a thread before more are refused."""


class Reads:
    """A bounded pool of reading threads."""

    def __init__(self, database: Database, timeout_seconds: float) -> None:
        self._database = database
        self._timeout_seconds = timeout_seconds
        self._waiting = 0
        self._pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Begin to read."""
        self._pool = ThreadPoolExecutor(self._database.readers, "storm-reader")

    async def stop(self) -> None:
        """Finish what waits; later reads are refused."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)

    async def run(self, read: Callable[[Connection], T], timeout_seconds: float = 0) -> T:
        """The result of ``read``, or ``UnavailableError`` when it takes too long."""
        if self._pool is None or self._waiting >= WAITING_READS:
            raise UnavailableError("The store is busy. Try again.", retry_after_ms=1000)
        job = _Job(self._database, read)
        self._waiting += 1
        try:
            return await asyncio.wait_for(
                asyncio.wrap_future(self._pool.submit(job.run)),
                timeout_seconds or self._timeout_seconds,
            )
        except TimeoutError:
            _cut_short(job)
            raise UnavailableError(
                "The store took too long. Try again.", retry_after_ms=1000
            ) from None
        except (StormError, asyncio.CancelledError):
            raise
        except Exception as error:
            refusal = self._database.failure(error)
            log.exception("A read failed")
            raise (refusal or InternalError("Something went wrong here.")) from error
        finally:
            self._waiting -= 1


def _cut_short(job: "_Job[Any]") -> None:
    # An interrupt that comes between two statements is forgotten: ask until the job has ended.
    if job.interrupt():
        asyncio.get_running_loop().call_later(0.1, _cut_short, job)


class _Job(Generic[T]):
    """One read, which can be cut short from another thread."""

    def __init__(self, database: Database, read: Callable[[Connection], T]) -> None:
        self._database = database
        self._read = read
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._cancelled = False

    def run(self) -> T:
        # Nobody waits for it any more: it must not keep others waiting.
        self._go_on()
        return self._database.read(self._run)

    def _run(self, connection: Connection) -> T:
        with self._lock:
            self._go_on()
            self._connection = connection
        try:
            return self._read(connection)
        finally:
            # From here on the connection is someone else's: it must not be interrupted.
            with self._lock:
                self._connection = None

    def _go_on(self) -> None:
        if self._cancelled:
            raise UnavailableError("The store took too long. Try again.")

    def interrupt(self) -> bool:
        """Stop what runs, and never begin what does not; whether something ran."""
        with self._lock:
            self._cancelled = True
            if self._connection is None:
                return False
            self._database.interrupt(self._connection)
            return True
