"""One thread's event loop, and its one connection to PostgreSQL.

The store's functions are synchronous; the driver is not. A thread that writes or reads runs them
on a loop of its own, so that a server that is slow, away or frozen never touches the loop that
serves clients (decision 0012).
"""

import asyncio
import contextlib
import enum
from collections.abc import Callable
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from storm_gateway.errors import StormError
from storm_gateway.event_loop import new_event_loop
from storm_gateway.store.postgres_dialect import ANSWERED, COMMITTING
from storm_gateway.store.postgres_errors import (
    LateError,
    LostError,
    UnknownOutcomeError,
    is_closed_error,
    is_harmless,
)

T = TypeVar("T")

CONNECT_SECONDS = 1.5
"""How long one try to connect may take: a server that is there answers in milliseconds."""

GOODBYE_SECONDS = 0.5

SLOW_SHARE = 1 / 3
"""An answer that took more of the timeout than this shows a server that is of no use now."""

LONGEST = 3
"""A transaction whose answers come takes so many timeouts at most."""


class Exchange(enum.Enum):
    """What :meth:`PostgresSession.run` puts around the statements of a work."""

    READ = enum.auto()
    """Nothing: each sees a moment of its own."""
    AT_ONCE = enum.auto()
    """Nothing: the last one stores, and commits by itself."""
    TRANSACTION = enum.auto()


class PostgresSession:
    """Everything is called on the session's thread, except :meth:`interrupt`, and :meth:`close`
    once that thread is done.
    """

    def __init__(self, dsn: str, timeout_seconds: float, settings: dict[str, str]) -> None:
        """``timeout_seconds`` bounds each :meth:`run` as a whole, connecting included. In one
        that writes it begins anew with each answer that comes soon, up to :data:`LONGEST` times.
        """
        self._dsn = dsn
        self._timeout_seconds = timeout_seconds
        self._settings = settings
        self._loop = new_event_loop()
        # Statements commit by themselves: a transaction is begun and ended in plain words below,
        # and a read is one round trip instead of three.
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
        )
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        self._committing = False
        self._late = False
        self._timer: asyncio.TimerHandle | None = None
        self._asked = self._latest = 0.0

    def run(self, work: Callable[[Connection], T], exchange: Exchange) -> T:
        """The result of ``work``, committed unless it only reads.

        A connection that was found broken is replaced and the work run once more, unless its
        commit was under way.
        """
        return self._loop.run_until_complete(self._run(work, exchange))

    def holds(self, connection: Connection) -> bool:
        """Whether this is the session's connection."""
        held = self._connection
        return held is not None and held.sync_connection is connection

    def interrupt(self) -> None:
        """End what runs now, by ending the connection. Callable from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing runs
            self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        """Say goodbye to the server, if it listens."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._close())
            self._loop.close()

    async def _close(self) -> None:
        if self._driver is not None and not self._driver.is_closed():
            with contextlib.suppress(Exception):
                await self._driver.close(timeout=GOODBYE_SECONDS)
        await self._drop()
        await self._engine.dispose()
        await self._loop.shutdown_default_executor()

    async def _run(self, work: Callable[[Connection], T], exchange: Exchange) -> T:
        deadline = self._loop.time() + self._timeout_seconds
        while True:
            known = await self._still_open()
            try:
                return await self._try(work, exchange, deadline)
            except LostError:
                # The server was restarted since the last time: that is no news by now.
                if not known or self._loop.time() >= deadline:
                    raise

    async def _still_open(self) -> bool:
        if self._driver is None:
            return False
        # The loop has not run since the last work: let it see that the server hung up.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return not self._driver.is_closed()

    async def _try(self, work: Callable[[Connection], T], exchange: Exchange, deadline: float) -> T:
        self._committing = self._late = False
        self._cut_at(deadline)
        try:
            return await self._work(work, exchange, deadline)
        except BaseException as error:
            broken = self._driver is None or self._driver.is_closed() or is_closed_error(error)
            await self._recover(error, exchange)
            if not broken or isinstance(error, (StormError, ValueError)):
                raise
            if self._committing:
                raise UnknownOutcomeError from error
            if self._late:
                raise LateError from error
            raise LostError from error
        finally:
            self._latest = 0.0
            self._cut_at(None)

    async def _work(
        self, work: Callable[[Connection], T], exchange: Exchange, deadline: float
    ) -> T:
        connection = await self._open(deadline)
        if exchange is not Exchange.READ:
            self._asked = self._loop.time()
            self._latest = deadline + (LONGEST - 1) * self._timeout_seconds
        if exchange is not Exchange.TRANSACTION:
            return await connection.run_sync(_tidily, work)
        await self._driver.execute("BEGIN")
        self._answered()
        result = await connection.run_sync(_tidily, work)
        self._committing = True
        if await self._driver.execute("COMMIT") != "COMMIT":
            # PostgreSQL ends a transaction in which a statement failed like this, without error.
            raise RuntimeError("a statement failed in the transaction, and nobody noticed")
        self._committing = False
        return result

    async def _open(self, deadline: float) -> AsyncConnection:
        if self._connection is not None and not self._driver.is_closed():
            return self._connection
        await self._drop()
        seconds = min(CONNECT_SECONDS, deadline - self._loop.time())
        cut = self._loop.call_later(seconds, self._cut)
        try:
            self._connection = await self._engine.connect()
        finally:
            cut.cancel()
        self._connection.info[ANSWERED] = self._answered
        self._connection.info[COMMITTING] = self._set_committing
        return self._connection

    async def _connect(self, **_: Any) -> Any:
        try:
            self._driver = await asyncpg.connect(
                self._dsn,
                timeout=min(CONNECT_SECONDS, self._timeout_seconds),
                server_settings=self._settings,
                target_session_attrs="read-write",
            )
        except (asyncpg.ClientConfigurationError, ValueError):
            # Its text may quote the setting, and that has a password.
            raise ValueError(
                "STORM_DATABASE_URL has parts that are not understood: say "
                "postgresql://user:password@host:5432/database"
            ) from None
        # An acknowledged message is on the disk, whatever this login was set to; what waits for
        # standbys as well is left as it is.
        await self._driver.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
        return self._driver

    def _set_committing(self, committing: bool) -> None:
        self._committing = committing

    def _answered(self) -> None:
        """A statement of a work that writes was answered.

        Half a second for each answer is slow, but they come: cut off at the same moment as if there
        were none, no message could be said for as long as that lasts.
        """
        now = self._loop.time()
        if self._latest and now - self._asked <= SLOW_SHARE * self._timeout_seconds:
            self._cut_at(min(self._latest, now + self._timeout_seconds))
        self._asked = now

    def _cut_at(self, moment: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if moment is None else self._loop.call_at(moment, self._cut)

    def _cut(self) -> None:
        self._late = True
        if self._driver is not None:
            self._driver.terminate()

    async def _recover(self, error: BaseException, exchange: Exchange) -> None:
        if self._driver is None:
            return
        if not self._driver.is_closed() and is_harmless(error):
            if exchange is not Exchange.TRANSACTION:
                return
            try:
                await self._driver.execute("ROLLBACK")
            except Exception:  # noqa: BLE001 whatever it is, this connection is of no more use
                await self._drop()
        else:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        driver, self._driver = self._driver, None
        if driver is not None:
            # At once and without a word: nobody may be listening.
            driver.terminate()
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.invalidate()
            with contextlib.suppress(Exception):
                await connection.close()


def _tidily(connection: Connection, work: Callable[[Connection], T]) -> T:
    try:
        return work(connection)
    finally:
        if connection.in_transaction():
            # The bookkeeping of SQLAlchemy only: nothing is sent (see AUTOCOMMIT above).
            connection.rollback()
