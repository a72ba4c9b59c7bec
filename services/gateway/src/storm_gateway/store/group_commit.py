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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from storm_gateway.errors import StormError, UnavailableError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.store.aside import AGAIN_SECONDS, Aside
from storm_gateway.store.committer import SLOW_SECONDS, Committer, Outcome, shown
from storm_gateway.store.database import Database
from storm_gateway.store.hot import HOT, Enter, Hot, play
from storm_gateway.store.records import Committed
from storm_gateway.store.transaction import BUSY, RETRY_AFTER_MS, Settings, Transaction
from storm_gateway.store.waiting import Waiting, Write, apart, parts

log = logging.getLogger("storm.store")
T = TypeVar("T")

CROWD = 8
"""Writes in one commit from which on the next one waits for more."""
GATHER_SECONDS = 0.002
"""How long it waits. Measured in decision 0003."""
LATE_TRIES = 3
"""How often messages are tried without a lock where the database answers late."""
JOINS_GATHER_SECONDS = 0.1
"""How long joins alone wait for more of their kind while they come one after the other, on a
database that other nodes write to as well (decision 0021)."""
JOINS_PAUSE_SECONDS = 0.25
"""Without a commit for so long, the next join waits for nobody."""

SWITCH_SECONDS = 50e-6
"""How long the writer waits for the interpreter's lock before it asks for it.

Python's default is 5 ms, for each of some twenty times that a commit needs the lock. Worse: an
event loop that gives the lock up by itself more often than that (it does at each poll) takes it
back before the writer wakes, and the wait begins anew: under load nothing is committed at all.
Measured in decision 0003.
"""


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
        timeout_seconds: float,
    ) -> None:
        self._database = database
        self._committer = Committer(database, settings)
        self._timeout_seconds = timeout_seconds
        self._metrics = metrics
        self._batch = batch
        self._limit = queue
        self._wait_seconds = wait_seconds
        # Later than the server ends the transaction of a node that froze, and late enough for a
        # disk that stops for a moment while another node commits.
        self._aside = Aside(0.8 * timeout_seconds, 0.8 * timeout_seconds)
        self._slow = False
        """Whether the last transaction took so long that waiting for a lock in vain is dear."""
        self._failures: list[UnavailableError] = []
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
        batch: Sequence[Waiting] = []
        waiting: list[Waiting] = []
        stopping = False
        quiet_since = float("-inf")
        while not stopping or waiting:
            if not waiting and not stopping:
                waiting, stopping = self._take(self._aside.pause(time.monotonic()))
            # A crowd is writing: the little time until the others' next writes costs it less
            # than a commit for a few of them.
            wait = GATHER_SECONDS if len(batch) >= CROWD else 0.0
            if waiting and not stopping and (wait or self._wait_seconds):
                time.sleep(max(wait, self._wait_seconds))
            in_a_row = time.monotonic() - quiet_since < JOINS_PAUSE_SECONDS
            if not stopping and in_a_row and self._database.shared:
                more, stopping = self._gather_joins(waiting)
                waiting += more
            if not stopping:
                more, stopping = self._take_what_came(self._batch - len(waiting))
                waiting += more
            batch, waiting = waiting[: self._batch], waiting[self._batch :]
            started = time.monotonic()
            refusal, rest = self._commit_all(batch)
            quiet_since = time.monotonic() if batch else quiet_since
            waiting = rest + waiting
            if refusal is not None and time.monotonic() - started > SLOW_SECONDS:
                more, ended = self._take_what_came()
                stopping = stopping or ended
                self._refuse([*waiting, *more, *self._aside.clear()], refusal)
                waiting = []
            if self._aside.pause(time.monotonic()) == 0:
                self._commit_aside()
        end = time.monotonic() + self._timeout_seconds
        self._commit_aside()
        while len(self._aside) and time.monotonic() < end:
            time.sleep(AGAIN_SECONDS)
            self._commit_aside()
        self._refuse(self._aside.clear(), UnavailableError(BUSY, retry_after_ms=RETRY_AFTER_MS))

    def _gather_joins(self, waiting: Sequence[Waiting]) -> tuple[list[Waiting], bool]:
        """Joins wait for others until something comes that is none; what came, and whether that
        was the end.
        """
        more: list[Waiting] = []
        came = waiting
        until = time.monotonic() + JOINS_GATHER_SECONDS
        while (
            came
            and all(isinstance(write, Enter) for write in came)
            and len(waiting) + len(more) < self._batch
            and (left := until - time.monotonic()) > 0
        ):
            came, stopping = self._take(left)
            more += came
            if stopping:
                return more, True
        return more, False

    def _take(self, seconds: float | None) -> tuple[list[Waiting], bool]:
        """What came next, within that time or whenever it comes; whether that was the end."""
        try:
            found = self._queue.get(timeout=seconds)
        except Empty:
            return [], False
        return found or [], found is None

    def _take_what_came(self, most: float = float("inf")) -> tuple[list[Waiting], bool]:
        """All that waits in the queue, about so many writes at most, and whether it ended."""
        taken: list[Waiting] = []
        while len(taken) < most:
            try:
                found = self._queue.get_nowait()
            except Empty:
                break
            if found is None:
                return taken, True
            taken += found
        return taken, False

    def _refuse(self, writes: Sequence[Waiting], refusal: UnavailableError) -> None:
        if writes:
            self._hand_back(Outcome(writes, [refusal] * len(writes)))

    def _hand_back(self, outcome: Outcome) -> None:
        assert self._loop is not None  # noqa: S101 set by start
        # Where the loop is gone, so is everyone who wanted to hear.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell, outcome)

    def _commit_all(
        self, batch: Sequence[Waiting]
    ) -> tuple[UnavailableError | None, list[Waiting]]:
        """The refusal when the database failed, and what is to be committed later."""
        refusal = None
        shared = self._database.shared
        left = parts(batch) if shared else apart(batch)
        while left:
            part = left.pop(0)
            if shared and isinstance(part[0], HOT):
                # Hot writes come together, and alone.
                part = self._aside.sift(part, time.monotonic())  # type: ignore[arg-type]
                if not part:
                    continue
                started = time.perf_counter()
                failed, part = self._at_once(part)
                if part and self._slow:
                    # To wait for a lock in vain costs all of them two answers that come late.
                    self._aside.add(part, time.monotonic())
                    failed, part = self._commit_aside(), ()
                refusal = failed or refusal
                if failed is not None and time.perf_counter() - started > SLOW_SECONDS:
                    for rest in left:
                        self._refuse(rest, failed)
                    break
                if not part:
                    continue
            started = time.perf_counter()
            outcome = self._committer.commit(part, self._stuck(part))
            if outcome is None:
                self._aside.add(part, time.monotonic())  # type: ignore[arg-type]
                self._commit_aside()
                continue
            outcome.seconds = time.perf_counter() - started
            # That it failed says nothing about how long it takes when it does not.
            self._slow = outcome.refusal is None and outcome.seconds > SLOW_SECONDS
            self._hand_back(outcome)
            if outcome.locked_out:
                self._aside.remember(outcome.locked, time.monotonic())
                # The next may have to wait too: what came meanwhile has its turn before.
                return None, [write for rest in left for write in rest]
            if outcome.refusal is not None:
                refusal = outcome.refusal
                if outcome.seconds > SLOW_SECONDS:
                    for rest in left:
                        self._refuse(rest, refusal)
                    break
        return refusal, []

    def _at_once(self, batch: Sequence[Hot]) -> tuple[UnavailableError | None, Sequence[Hot]]:
        """Store without locks what can be; the refusal when the database failed, and what is left.

        Where answers come late it is tried again: to lock first takes twice as many of them, and
        nobody else can write meanwhile.
        """
        for _ in range(LATE_TRIES if self._slow else 1):
            started = time.perf_counter()
            outcome, batch = self._committer.at_once(batch)
            if outcome is not None:
                outcome.seconds = time.perf_counter() - started
                self._slow = outcome.refusal is None and outcome.seconds > SLOW_SECONDS
                self._hand_back(outcome)
                if outcome.refusal is not None:
                    return outcome.refusal, ()
            if not batch:
                break
        return None, batch

    def _stuck(self, part: Sequence[Waiting]) -> Mapping[int, bool]:
        """What a write that is not hot must know: the channels that were found locked, and
        whether hot ones wait for them, which it must not overtake.
        """
        if isinstance(part[0], HOT) or not self._aside.locked:
            return {}
        awaited = self._aside.awaited
        return {channel_id: channel_id in awaited for channel_id in self._aside.locked}

    def _commit_aside(self) -> UnavailableError | None:
        """Try what was set aside without waiting for any lock; some, once in a while, with. The
        refusal when the database failed.
        """
        more = True
        self._failures.clear()
        while more and len(self._aside):
            more = self._try_aside()
        if self._failures:
            return self._failures[0]
        busy = self._aside.busy(time.monotonic())[: self._batch]
        if busy:
            outcome = self._committer.commit(busy)
            if outcome is not None:
                self._aside.settled(busy)
                self._hand_back(outcome)
        return None

    def _try_aside(self) -> bool:
        """Whether more can be done at once."""
        aside = self._aside
        asked = aside.needs()

        def run(tx: Transaction) -> tuple[dict[int, int], set[str], Sequence[Hot], bool, list[Any]]:
            held, held_users = tx.try_lock(*asked)
            writes, more = aside.free(held, held_users, self._batch)
            return held, held_users, writes, more, play(tx, writes) if writes else []

        started = time.perf_counter()
        try:
            tx, (held, held_users, writes, more, results) = self._committer.transact(run)
        except Exception as error:  # noqa: BLE001 it is looked at there
            return self._failed_aside(error, asked)
        took = time.perf_counter() - started
        self._slow = took > SLOW_SECONDS
        if writes:
            aside.remove(writes)
            outcome = Outcome(writes, results)
            outcome.events, outcome.stored = tx.events, tx.stored
            outcome.seconds = took
            self._hand_back(outcome)
        self._tried(asked, held, held_users, took)
        return more

    def _failed_aside(self, error: Exception, asked: tuple[set[int], set[str]]) -> bool:
        aside = self._aside
        last = self._committer.last
        inserting = set(last.inserting) if last is not None else set()
        if self._database.locked_out(error):
            if not inserting:
                # The tables themselves are locked.
                self._tried(asked, dict.fromkeys(asked[0]), asked[1])
                return False
            # New users whom another node is about to insert, and does not.
            writes = aside.of_users(inserting)
            refusal = self._database.failure(error)
        else:
            writes = aside.clear()
            refusal = self._database.failure(error)
            if refusal is not None:
                log.error("The database failed: %s", shown(error))
                self._failures.append(refusal)
                self._slow = False
        if refusal is None:
            log.exception("A commit failed", exc_info=error)
            # One of them is bad: take them as a batch that finds it.
            outcome = self._committer.commit(writes)
            if outcome is not None:
                self._hand_back(outcome)
                return False
            refusal = UnavailableError(BUSY, retry_after_ms=RETRY_AFTER_MS)
        aside.remove(writes)
        self._refuse(writes, refusal)
        return bool(writes)

    def _tried(
        self,
        asked: tuple[set[int], set[str]],
        held: Mapping[int, int | None],
        held_users: set[str],
        took: float = 0.0,
    ) -> None:
        late = self._aside.tried(time.monotonic(), asked, held, held_users, took)
        self._refuse(late, UnavailableError(BUSY, retry_after_ms=RETRY_AFTER_MS))

    # --- on the event loop ---

    def _tell(self, outcome: Outcome) -> None:
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
