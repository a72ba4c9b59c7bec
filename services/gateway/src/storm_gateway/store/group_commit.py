"""One thread writes: the writes of one moment are one transaction (decision 0003).

On a database that other nodes write to as well, the hot ones are, and each other is one of its
own (decision 0012).

While a commit waits for the disk, more writes gather; the next commit takes them all. So one
write alone is fast, and under load the disk is asked once for hundreds.
"""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from storm_gateway.errors import InternalError, StormError, UnavailableError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.store.database import Database
from storm_gateway.store.hot import HOT, Append, Enter, play
from storm_gateway.store.records import Committed
from storm_gateway.store.transaction import Settings, Transaction

log = logging.getLogger("storm.store")
T = TypeVar("T")

RETRY_AFTER_MS = 1000

CROWD = 8
"""Writes in one commit from which on the next one waits for more."""
GATHER_SECONDS = 0.002
"""How long it waits. Measured in decision 0003."""

ATTEMPTS = 4
"""How often a transaction is tried that others of other nodes get in the way of."""

SLOW_SECONDS = 1.0
"""A failure that took so long is everyone's who waited meanwhile: they are not made to wait for
another.
"""

SWITCH_SECONDS = 50e-6
"""How long the writer waits for the interpreter's lock before it asks for it.

Python's default is 5 ms, for each of some twenty times that a commit needs the lock. Worse: an
event loop that gives the lock up by itself more often than that (it does at each poll) takes it
back before the writer wakes, and the wait begins anew: under load nothing is committed at all.
Measured in decision 0003.
"""


class Write(Generic[T]):
    """Any write that is not hot: a function of the transaction."""

    __slots__ = ("alone", "done", "may_wait", "run")

    def __init__(
        self,
        run: Callable[[Transaction], T],
        done: Callable[[T | StormError], None],
        may_wait: bool = False,
        alone: bool = False,
    ) -> None:
        self.run = run
        self.done = done
        self.may_wait = may_wait
        """Whether messages and joins that came later may be stored before it: it changes nobody's
        rights.
        """
        self.alone = alone
        """Whether it has a transaction for itself, after all others that came with it."""


Waiting = Append | Enter | Write[Any]


class _DatabaseFailedError(Exception):
    """Carries the refusal for the whole batch past the savepoint of the write that met it."""

    def __init__(self, refusal: UnavailableError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class _Outcome:
    """What the writer thread hands to the event loop after a commit."""

    __slots__ = ("batch", "events", "refusal", "results", "seconds", "stored")

    def __init__(
        self,
        batch: Sequence[Waiting],
        results: Sequence[Any],
        refusal: UnavailableError | None = None,
    ) -> None:
        self.batch = batch
        self.results = results
        self.refusal = refusal
        """Set when the database failed."""
        self.events: list[Any] = []
        self.stored = 0
        self.seconds = 0.0


class GroupCommit:
    """The writer: a bounded queue, a thread, and one call back into the loop per commit."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        metrics: Metrics,
        *,
        batch: int,
        queue: int,
        wait_seconds: float,
    ) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._batch = batch
        self._limit = queue
        self._wait_seconds = wait_seconds
        self._queue: SimpleQueue[list[Waiting] | None] = SimpleQueue()
        self._gathered: list[Waiting] = []
        # Counted on the loop only: from submit until the caller has heard.
        self._waiting = 0
        self._running = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._committed: Callable[[Committed], None] = _ignore

    @property
    def queue_length(self) -> int:
        """Writes whose caller has not heard yet."""
        return self._waiting

    def start(self, committed: Callable[[Committed], None]) -> None:
        """Begin to write. Call on the event loop that will hear of the commits."""
        self._loop = asyncio.get_running_loop()
        self._committed = committed
        self._running = True
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        self._thread = threading.Thread(target=self._work, name="storm-writer", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Commit what waits; later writes are refused."""
        self._running = False
        if self._thread is not None:
            self._hand_over()
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
            # The last outcomes were handed over before the thread ended: let them be heard.
            await asyncio.sleep(0)

    def submit(self, write: Waiting) -> None:
        """Queue a write. Its ``done`` is called later, always; also when the queue is full."""
        if not self._running or self._waiting >= self._limit:
            refusal = UnavailableError(
                "The store is stopped."
                if not self._running
                else "Too many writes are waiting. Try again.",
                retry_after_ms=RETRY_AFTER_MS,
            )
            asyncio.get_running_loop().call_soon(write.done, refusal)
            return
        self._waiting += 1
        if not self._gathered:
            # At the end of this turn of the loop: what one turn reads is written together, and
            # the writer is woken once. Woken by the first write, it would take that one alone.
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._gathered.append(write)

    def _hand_over(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._queue.put(gathered)

    async def write(
        self, run: Callable[[Transaction], T], *, may_wait: bool = False, alone: bool = False
    ) -> T:
        """Queue a write and wait until it is committed. The rest: see :class:`Write`."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T | StormError) -> None:
            if future.done():
                return
            if isinstance(result, StormError):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.submit(Write(run, done, may_wait, alone))
        return await future

    # --- on the writer thread ---

    def _work(self) -> None:
        batch: list[Waiting] = []
        waiting: list[Waiting] = []
        stopping = False
        while not (stopping and not waiting):
            if not waiting and not stopping:
                found = self._queue.get()
                if found is None:
                    return
                waiting = found
            # A crowd is writing: the little time until the others' next writes costs it less
            # than a commit for a few of them.
            wait = GATHER_SECONDS if len(batch) >= CROWD else 0.0
            if not stopping and (wait or self._wait_seconds):
                time.sleep(max(wait, self._wait_seconds))
            while len(waiting) < self._batch and not stopping:
                try:
                    found = self._queue.get_nowait()
                except Empty:
                    break
                if found is None:
                    stopping = True
                else:
                    waiting = waiting + found
            batch, waiting = waiting[: self._batch], waiting[self._batch :]
            started = time.monotonic()
            refusal = self._commit_all(batch)
            if refusal is not None and time.monotonic() - started > SLOW_SECONDS:
                while True:
                    try:
                        found = self._queue.get_nowait()
                    except Empty:
                        break
                    if found is None:
                        stopping = True
                    else:
                        waiting = waiting + found
                if waiting:
                    self._hand_back(_Outcome(waiting, [refusal] * len(waiting)))
                    waiting = []

    def _hand_back(self, outcome: _Outcome) -> None:
        assert self._loop is not None  # noqa: S101 set by start
        # Where the loop is gone, so is everyone who wanted to hear.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell, outcome)

    def _commit_all(self, batch: Sequence[Waiting]) -> UnavailableError | None:
        """The refusal when the database failed."""
        refusal = None
        parts = _parts(batch) if self._database.shared else _apart(batch)
        while parts:
            part = parts.pop(0)
            started = time.perf_counter()
            outcome = self._commit(part)
            outcome.seconds = time.perf_counter() - started
            self._hand_back(outcome)
            if outcome.refusal is not None:
                refusal = outcome.refusal
                if outcome.seconds > SLOW_SECONDS:
                    for rest in parts:
                        self._hand_back(_Outcome(rest, [refusal] * len(rest)))
                    break
        return refusal

    def _commit(self, batch: Sequence[Waiting]) -> _Outcome:
        try:
            try:
                return self._attempt(batch, _run_together)
            except _DatabaseFailedError:
                raise
            except Exception as error:
                refusal = self._database.failure(error)
                if refusal is not None:
                    raise _DatabaseFailedError(refusal) from error
                if len(batch) == 1:
                    log.exception("A write failed")
                    return _Outcome(batch, [InternalError("Something went wrong here.")])
                # One of them is bad, and nothing is stored: find it by taking each alone.
                log.warning("A group of %d writes failed, trying each alone", len(batch))
                return self._attempt(batch, _run_alone)
        except _DatabaseFailedError as error:
            log.error("The database failed: %s", _shown(error.__cause__))  # noqa: TRY400
            return _Outcome(batch, [error.refusal] * len(batch), error.refusal)
        except Exception as error:
            refusal = self._database.failure(error)
            log.exception("A commit failed")
            return _Outcome(
                batch,
                [refusal or InternalError("Something went wrong here.")] * len(batch),
                refusal,
            )

    def _attempt(
        self,
        batch: Sequence[Waiting],
        run: Callable[[Database, Transaction, Sequence[Waiting]], list[Any]],
    ) -> _Outcome:
        def work(connection: Connection) -> tuple[Transaction, list[Any]]:
            tx = Transaction(connection, self._database.dialect, self._settings)
            return tx, run(self._database, tx, batch)

        started = time.monotonic()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                tx, results = self._database.write(work)
                break
            except StormError as refusal:
                # Of a write that had the transaction for itself.
                return _Outcome(batch, [refusal])
            except Exception as error:
                if (
                    attempt == ATTEMPTS
                    or time.monotonic() - started > 2 * SLOW_SECONDS
                    or not self._database.conflict(error)
                ):
                    raise
                log.debug("Another node was in the way of a transaction, trying again")
        # Past the write: it is on the disk.
        outcome = _Outcome(batch, results)
        outcome.events = tx.events
        outcome.stored = tx.stored
        return outcome

    # --- on the event loop ---

    def _tell(self, outcome: _Outcome) -> None:
        self._waiting -= len(outcome.batch)
        self._metrics.counts.messages += outcome.stored
        self._metrics.commit_seconds.observe(outcome.seconds)
        self._metrics.commit_writes.observe(len(outcome.batch))
        if outcome.events:
            try:
                self._committed(Committed(outcome.events))
            except Exception:
                log.exception("Publishing a commit failed")
        for write, result in zip(outcome.batch, outcome.results, strict=True):
            try:
                write.done(result)
            except Exception:
                log.exception("Telling the outcome of a write failed")


def _ignore(committed: Committed) -> None:
    """Nobody listens yet."""


def _parts(batch: Sequence[Waiting]) -> list[Sequence[Waiting]]:
    """What is committed together. Hot writes gather, past those that may wait; a write that may
    take rights away keeps its place among them.
    """
    parts: list[Sequence[Waiting]] = []
    hot: list[Waiting] = []
    late: list[Sequence[Waiting]] = []
    for write in batch:
        if isinstance(write, HOT):
            hot.append(write)
        elif write.may_wait:
            late.append([write])
        else:
            parts += [hot, *late, [write]]
            hot, late = [], []
    return [part for part in [*parts, hot, *late] if part]


def _apart(batch: Sequence[Waiting]) -> list[Sequence[Waiting]]:
    """All together but those that want to be alone."""
    together: list[Waiting] = []
    alone: list[Sequence[Waiting]] = []
    for write in batch:
        if isinstance(write, Write) and write.alone:
            alone.append([write])
        else:
            together.append(write)
    return [part for part in [together, *alone] if part]


def _shown(error: BaseException | None) -> str:
    """What broke, for the log: the innermost error says it best."""
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _run_together(database: Database, tx: Transaction, batch: Sequence[Waiting]) -> list[Any]:
    """In order; neighbouring hot writes as one."""
    if database.shared and isinstance(batch[0], Write):
        # Alone in its transaction, it needs no savepoint: what it raises ends both.
        return [batch[0].run(tx)]
    results: list[Any] = []
    hot: list[Append | Enter] = []
    for write in batch:
        if isinstance(write, HOT):
            hot.append(write)
            continue
        if hot:
            results.extend(play(tx, hot))
            hot = []
        results.append(_run_one(database, tx, write))
    if hot:
        results.extend(play(tx, hot))
    return results


def _run_alone(database: Database, tx: Transaction, batch: Sequence[Waiting]) -> list[Any]:
    """Each in a savepoint of its own."""
    # All at once: one by one, they could be locked in another order than another node's.
    tx.lock({channel_id for write in batch if (channel_id := _channel_of(write)) is not None})
    return [_run_one(database, tx, write) for write in batch]


def _channel_of(write: Waiting) -> int | None:
    if isinstance(write, Append):
        return write.message.channel_id
    return write.join.channel_id if isinstance(write, Enter) else None


def _run_one(database: Database, tx: Transaction, write: Waiting) -> Any:
    events, stored = len(tx.events), tx.stored
    savepoint = tx.connection.begin_nested()
    try:
        result = write.run(tx) if isinstance(write, Write) else play(tx, [write])[0]
    except Exception as error:
        refusal = database.failure(error)
        if refusal is not None:
            raise _DatabaseFailedError(refusal) from error
        savepoint.rollback()
        del tx.events[events:]
        tx.stored = stored
        if isinstance(error, StormError):
            return error
        log.exception("A write failed")
        return InternalError("Something went wrong here.")
    savepoint.commit()
    return result
