"""Writes become one transaction, or two when one of them is bad; the outcome of each."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import Connection

from storm_gateway.errors import InternalError, StormError, UnavailableError
from storm_gateway.store.database import Database
from storm_gateway.store.hot import HOT, LATER, Append, Enter, Hot, place_of, play, play_at_once
from storm_gateway.store.transaction import Settings, Transaction
from storm_gateway.store.waiting import Waiting, Write

log = logging.getLogger("storm.store")
T = TypeVar("T")

ATTEMPTS = 4
"""How often a transaction is tried that others of other nodes get in the way of."""

LOCK_ATTEMPTS = 2
"""How often a write that is not hot waits for a lock before it is refused."""

LOCK_SECONDS = 0.25
"""How long it waits each time, as long as there is patience left."""

PATIENCE_SECONDS = LOCK_ATTEMPTS * LOCK_SECONDS
"""How long such writes may wait for locks in vain, all together: hot ones wait meanwhile."""

PATIENCE_SHARE = 0.2
"""How fast patience comes back: this share of the time."""

MOST_PASSED = 64
"""Once another node was in the way, the next commit locks first; of several times in a row twice as
many each time, up to so many. In vain costs two exchanges more."""

SLOW_SECONDS = 1.0
"""A failure that took so long is everyone's who waited meanwhile: they are not made to wait for
another.
"""


class _DatabaseFailedError(Exception):
    """Carries the refusal for the whole batch past the savepoint of the write that met it."""

    def __init__(self, refusal: UnavailableError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Outcome:
    """What the writer thread hands to the event loop after a commit."""

    __slots__ = (
        "batch",
        "events",
        "locked",
        "locked_out",
        "refusal",
        "results",
        "seconds",
        "stored",
    )

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
        self.locked_out = False
        """Whether a lock was waited for in vain."""
        self.locked: Collection[int] = ()
        """The channels that it was waited for, where that is known."""
        self.events: list[Any] = []
        self.stored = 0
        self.seconds = 0.0


class _Patience:
    """What is left of the time that may be spent on waiting in vain."""

    def __init__(self) -> None:
        self._left = PATIENCE_SECONDS
        self._at = 0.0

    def left(self, now: float) -> float:
        self._left = min(PATIENCE_SECONDS, self._left + (now - self._at) * PATIENCE_SHARE)
        self._at = now
        return self._left

    def spend(self, seconds: float, now: float) -> None:
        self._left = max(0.0, self.left(now) - seconds)


_NONE: Mapping[int, bool] = MappingProxyType({})


class Committer:
    """Runs transactions, on the thread that writes."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._patience = _Patience()
        self._to_lock = 0
        self._passed = 0
        self.last: Transaction | None = None
        """The transaction that was begun last; of one that failed: what it was at."""

    def commit(self, batch: Sequence[Waiting], stuck: Mapping[int, bool] = _NONE) -> Outcome | None:
        """None, and nothing is stored, when hot writes waited for a lock in vain.

        ``stuck``: for a write that is not hot, see :class:`Transaction`.
        """
        try:
            try:
                return self._attempt(batch, _run_together, stuck)
            except _DatabaseFailedError:
                raise
            except Exception as error:
                if self._database.locked_out(error):
                    return self._locked_out(batch, error)
                refusal = self._database.failure(error)
                if refusal is not None:
                    raise _DatabaseFailedError(refusal) from error
                if len(batch) == 1:
                    log.exception("A write failed")
                    return Outcome(batch, [InternalError("Something went wrong here.")])
                # One of them is bad, and nothing is stored: find it by taking each alone.
                log.warning("A group of %d writes failed, trying each alone", len(batch))
                return self._attempt(batch, _run_alone, stuck)
        except _DatabaseFailedError as error:
            log.error("The database failed: %s", shown(error.__cause__))  # noqa: TRY400
            return Outcome(batch, [error.refusal] * len(batch), error.refusal)
        except Exception as error:
            refusal = self._database.failure(error)
            log.exception("A commit failed")
            return Outcome(
                batch,
                [refusal or InternalError("Something went wrong here.")] * len(batch),
                refusal,
            )

    def _locked_out(self, batch: Sequence[Waiting], error: Exception) -> Outcome | None:
        if isinstance(batch[0], HOT):
            return None
        log.warning("A write waited for a lock in vain")
        outcome = Outcome(batch, [self._database.failure(error)])
        outcome.locked_out = True
        if self.last is not None:
            outcome.locked = self.last.locking
        return outcome

    def _attempt(
        self,
        batch: Sequence[Waiting],
        run: Callable[[Database, Transaction, Sequence[Waiting]], list[Any]],
        stuck: Mapping[int, bool],
    ) -> Outcome:
        hot = isinstance(batch[0], HOT)
        try:
            tx, results = self.transact(
                lambda tx: run(self._database, tx, batch), 1 if hot else LOCK_ATTEMPTS, stuck
            )
        except StormError as refusal:
            # Of a write that had the transaction for itself.
            return Outcome(batch, [refusal])
        # Past the write: it is on the disk.
        return _outcome(batch, tx, results)

    def at_once(self, batch: Sequence[Hot]) -> tuple[Outcome | None, Sequence[Hot]]:
        """Messages in two exchanges with the server in place of five, where nobody else is in the
        way; what became of them, and those that are still to be stored.
        """
        messages = [write for write in batch if isinstance(write, Append)]
        if len(messages) < len(batch):
            return None, batch
        if self._to_lock > 0:
            self._to_lock -= 1
            return None, batch

        def work(connection: Connection) -> tuple[Transaction, list[Any], int]:
            tx = Transaction(connection, self._database.dialect, self._settings)
            self.last = tx
            return tx, *play_at_once(tx, messages)

        try:
            tx, results, missed = self._database.write_at_once(work)
        except Exception as error:  # noqa: BLE001 it is looked at
            if not self._database.locked_out(error) and not self._database.conflict(error):
                refusal = self._database.failure(error)
                if refusal is not None:
                    log.error("The database failed: %s", shown(error))  # noqa: TRY400
                    return Outcome(batch, [refusal] * len(batch), refusal), ()
                # One of them is bad, and nothing is stored: whoever takes all of them finds it.
            self._met()
            return None, batch
        pairs = list(zip(batch, results, strict=True))
        rest = [write for write, result in pairs if result is LATER]
        if 2 * missed > len(batch):
            self._met()
        else:
            self._passed = 0
        if len(rest) == len(batch):
            return None, batch
        done = [(write, result) for write, result in pairs if result is not LATER]
        return _outcome([pair[0] for pair in done], tx, [pair[1] for pair in done]), rest

    def _met(self) -> None:
        self._to_lock = self._passed = min(MOST_PASSED, max(1, 2 * self._passed))

    def transact(
        self,
        run: Callable[[Transaction], T],
        lock_attempts: int = 1,
        stuck: Mapping[int, bool] = _NONE,
    ) -> tuple[Transaction, T]:
        """Run this in a transaction, again where another node was in the way."""

        patience = LOCK_SECONDS

        def work(connection: Connection) -> tuple[Transaction, T]:
            if patience < LOCK_SECONDS:
                self._database.dialect.wait_at_most(connection, patience)
            tx = Transaction(connection, self._database.dialect, self._settings, stuck)
            self.last = tx
            return tx, run(tx)

        began = time.monotonic()
        for attempt in range(1, ATTEMPTS + 1):
            started = time.monotonic()
            if lock_attempts > 1:
                patience = self._patience.left(started)
            try:
                return self._database.write(work)
            except StormError:
                raise
            except Exception as error:
                now = time.monotonic()
                again = self._database.conflict(error)
                if lock_attempts > 1 and self._database.locked_out(error):
                    self._patience.spend(now - started, now)
                    again = attempt < lock_attempts and self._patience.left(now) >= LOCK_SECONDS
                if not again or attempt == ATTEMPTS or now - began > 2 * SLOW_SECONDS:
                    raise
                log.debug("Another node was in the way of a transaction, trying again")
        raise AssertionError  # the last attempt returned or raised


def _outcome(batch: Sequence[Waiting], tx: Transaction, results: Sequence[Any]) -> Outcome:
    outcome = Outcome(batch, results)
    outcome.events = tx.events
    outcome.stored = tx.stored
    return outcome


def shown(error: BaseException | None) -> str:
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
    tx.lock({place_of(write)[0] for write in batch if isinstance(write, HOT)})
    return [_run_one(database, tx, write) for write in batch]


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
