"""PostgreSQL: one database for many nodes."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from sqlalchemy import Connection

from storm_gateway.errors import UnavailableError
from storm_gateway.store.dialect import Dialect
from storm_gateway.store.migrate import current, newest, upgrade
from storm_gateway.store.postgres_dialect import PostgresDialect, ask
from storm_gateway.store.postgres_errors import (
    cannot_write,
    failure_of,
    is_conflict,
    is_locked_out,
)
from storm_gateway.store.postgres_session import Exchange, PostgresSession
from storm_gateway.store.write_health import PROBE_CHARACTERS, WriteHealth, write_a_row

log = logging.getLogger("storm.store")
T = TypeVar("T")

MIGRATION_SECONDS = 600.0
"""How long a node waits at its start for the tables to be brought up to date, by it or another."""

_MIGRATION_LOCK = 0x53544F524D
"""Any number that nobody else uses in this database ("STORM")."""

OLDEST = 130_000

# A trigger on new tables may refuse ours, which has nothing to do with the disk.
_MAY_MAKE_TABLES = """
SELECT has_database_privilege(current_database(), 'TEMP')
    AND NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtenabled <> 'D')
"""

# In rows too short to be compressed.
_NEW_TABLE = """
CREATE TEMPORARY TABLE storm_probe ON COMMIT DROP
AS SELECT repeat('x', 1024) AS value FROM generate_series(1, $1::integer)
"""


_UNREADABLE = (
    "STORM_DATABASE_URL cannot be read: say postgresql://user:password@host:5432/database, "
    "and %40 for @, %2F for /, %3A for : in a password"
)


def dsn_of(url: str) -> str:
    """What the driver takes. Raises ``ValueError``, without the secrets, for what cannot be."""
    dsn = "postgresql" + url[url.index("://") :]
    try:
        parts = urlsplit(dsn)
    except ValueError:
        # Some versions of Python, and so the driver, take no IPv6 address among several hosts.
        raise ValueError(_UNREADABLE) from None
    database = parts.path.removeprefix("/")
    # Several, for a primary and its standbys, are separated by commas.
    hosts = parts.netloc.rpartition("@")[2].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    if not database:
        raise ValueError(
            "STORM_DATABASE_URL must name a database: postgresql://user:password@host/database"
        )
    if "/" in database or "@" in database or any(port and not port.isdigit() for port in ports):
        raise ValueError(_UNREADABLE)
    return dsn


LOCK_SECONDS = 0.25
"""How long a lock is waited for at most: the one thread that writes has other things to do. A
busy channel changes hands within milliseconds."""


def _settings(timeout_seconds: float, lock_seconds: float) -> dict[str, str]:
    def milliseconds(share: float) -> str:
        return str(max(1, round(timeout_seconds * share * 1000)))

    return {
        "application_name": "storm",
        # In this order: a node that froze in its transaction loses it before those whose writes
        # wait for it are refused, and the server ends a statement before we end the connection.
        "idle_in_transaction_session_timeout": milliseconds(0.5),
        "lock_timeout": milliseconds(lock_seconds / timeout_seconds),
        "statement_timeout": milliseconds(0.9),
        "default_transaction_isolation": "read committed",
        # Compiling our short statements costs more than running them.
        "jit": "off",
        # Every statement of a node looks rows up by a key. A plan is kept as long as the
        # connection, and one made while a table was still small must not read all of it later.
        # It is kept: PostgreSQL would make one anew for each message, as it knows that an array of
        # one is short, and that costs more than running it (benchmarks/commits_postgres.py).
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
    }


class PostgresDatabase:
    """A session (event loop, connection) for each thread that comes; the threads are few."""

    def __init__(self, dsn: str, timeout_seconds: float, readers: int) -> None:
        self.dialect: Dialect = PostgresDialect()
        self.shared = True
        self.writes = WriteHealth()
        self.readers = readers
        self._dsn = dsn
        self._timeout_seconds = timeout_seconds
        # Readers meet only locks of whole tables: somebody changes them.
        self._settings = _settings(timeout_seconds, 0.8 * timeout_seconds)
        self._writer_settings = _settings(timeout_seconds, min(LOCK_SECONDS, timeout_seconds / 5))
        self._sessions: list[PostgresSession] = []
        self._lock = threading.Lock()
        self._own = threading.local()

    def open(self) -> tuple[str | None, str]:
        # No limits here: bringing large tables up to date may take its time.
        session = PostgresSession(
            self._dsn, MIGRATION_SECONDS, {"application_name": "storm (migration)", "jit": "off"}
        )
        try:
            found = session.run(_check, Exchange.READ)
            if found is not None:
                return found, found
            return session.run(_migrate, Exchange.TRANSACTION)
        finally:
            session.close()

    def close(self) -> None:
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()

    def write(self, work: Callable[[Connection], T]) -> T:
        with self.writes.watching(cannot_write):
            return self._session(self._writer_settings).run(work, Exchange.TRANSACTION)

    def write_at_once(self, work: Callable[[Connection], T]) -> T:
        with self.writes.watching(cannot_write):
            return self._session(self._writer_settings).run(work, Exchange.AT_ONCE)

    def read(self, work: Callable[[Connection], T]) -> T:
        return self._session(self._settings).run(work, Exchange.READ)

    def try_to_write(self, connection: Connection) -> None:
        # A row of a table that exists goes where others were before, and a full disk takes it;
        # a new table needs new pages, and is gone with its transaction.
        ((may_make_tables,),) = ask(connection, _MAY_MAKE_TABLES)
        if may_make_tables:
            ask(connection, _NEW_TABLE, PROBE_CHARACTERS // 1024)
        else:
            write_a_row(connection)

    def interrupt(self, connection: Connection) -> None:
        with self._lock:
            for session in self._sessions:
                if session.holds(connection):
                    session.interrupt()

    def conflict(self, error: BaseException) -> bool:
        return is_conflict(error)

    def locked_out(self, error: BaseException) -> bool:
        return is_locked_out(error)

    def failure(self, error: BaseException) -> UnavailableError | None:
        return failure_of(error)

    def _session(self, settings: dict[str, str]) -> PostgresSession:
        session: PostgresSession | None = getattr(self._own, "session", None)
        if session is None:
            session = PostgresSession(self._dsn, self._timeout_seconds, settings)
            self._own.session = session
            with self._lock:
                self._sessions.append(session)
        return session


def _check(connection: Connection) -> str | None:
    """The revision when it is the newest. Raises ``ValueError`` for a server that cannot do."""
    (facts,) = ask(
        connection,
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), "
        "current_setting('server_encoding'), current_setting('fsync')::bool",
    )
    number, version, encoding, fsync = facts
    if number < OLDEST:
        raise ValueError(f"PostgreSQL {version} is too old: STORM needs 13")
    if encoding != "UTF8":
        raise ValueError(
            f"The database keeps its text as {encoding}: make one with ENCODING 'UTF8'"
        )
    if not fsync:
        log.warning("PostgreSQL runs with fsync=off: acknowledged messages can be lost in a crash")
    found = current(connection)
    return found if found == newest(connection) else None


def _migrate(connection: Connection) -> tuple[str | None, str]:
    # Nodes that start together come one after the other; the second finds all done.
    ask(connection, "SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
    return upgrade(connection)
