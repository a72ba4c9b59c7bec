"""SQLite: one file, one writer, and a version that does not lose commits."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.store.dialect import Dialect
from storm_gateway.store.migrate import upgrade
from storm_gateway.store.sqlite_dialect import SqliteDialect
from storm_gateway.store.write_health import WriteHealth, write_a_row

log = logging.getLogger("storm.store")
T = TypeVar("T")

OLDEST = (3, 38, 0)
"""The first SQLite that knows ``->>``."""

READERS = 4


class SqliteFacts(msgspec.Struct, frozen=True):
    """Which SQLite is used. ``safe``: several connections to one file lose nothing."""

    module: str
    version: str
    safe: bool


def _is_safe(version: tuple[int, ...]) -> bool:
    # Up to 3.51.2 a commit could be lost when one connection reset the write-ahead log while
    # another wrote (sqlite.org/wal.html, "the WAL-reset bug"); two older lines got the repair.
    repaired = {(3, 44): 6, (3, 50): 7}
    line = (version[0], version[1])
    if line in repaired:
        return version[2] >= repaired[line]
    return version >= (3, 51, 3)


def _module() -> ModuleType:
    try:
        # The wheel brings its own SQLite; the one of the system is often years older.
        return import_module("pysqlite3.dbapi2")
    except ImportError:
        return sqlite3


def _facts_of(module: ModuleType) -> SqliteFacts:
    version = tuple(int(part) for part in module.sqlite_version.split("."))
    return SqliteFacts(module.__name__.partition(".")[0], module.sqlite_version, _is_safe(version))


def sqlite_facts() -> SqliteFacts:
    """Which SQLite this machine uses, and whether it may be used with several connections."""
    return _facts_of(_module())


def path_of(config: Config) -> Path:
    """The database file that the settings ask for.

    Raises ``ValueError`` when they ask for a database that is not supported.
    """
    if not config.database_url:
        return config.data_dir / "storm.db"
    try:
        url = make_url(config.database_url)
    except ArgumentError:
        raise ValueError(
            "STORM_DATABASE_URL cannot be read: leave it empty, or say sqlite:///path/to/file"
        ) from None
    if url.get_backend_name() != "sqlite":
        raise ValueError(
            f"STORM_DATABASE_URL asks for {url.get_backend_name()!r}, which is not supported: "
            "leave it empty, or say sqlite:///path/to/file"
        )
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ValueError("STORM_DATABASE_URL must name a file: sqlite:///path/to/file")
    return Path(url.database)


class SqliteDatabase:
    """Write-ahead log, full sync: a commit that returned survives the loss of power.

    With a SQLite that has the WAL-reset bug, one connection does everything, and no other process
    may open the file.
    """

    def __init__(
        self, path: Path, timeout_seconds: float, module: ModuleType | None = None
    ) -> None:
        self.path = path
        self.dialect: Dialect = SqliteDialect()
        self.shared = False
        self.writes = WriteHealth()
        self._timeout_seconds = timeout_seconds
        self._module = module or _module()
        self.facts = _facts_of(self._module)
        self.readers = READERS if self.facts.safe else 1
        self._engine: Engine | None = None
        self._reading: Engine | None = None
        self._writer: Connection | None = None
        # Held by whoever uses the only connection of an unsafe version.
        self._only = threading.Lock()
        self._reader_waits = False

    def open(self) -> tuple[str | None, str]:
        version = tuple(int(part) for part in self.facts.version.split("."))
        if version < OLDEST:
            raise ValueError(
                f"SQLite {self.facts.version} is too old: STORM needs 3.38 (install pysqlite3)"
            )
        if not self.facts.safe:
            log.warning(
                "SQLite %s can lose commits when a file has several connections: using one for "
                "reads and writes, which is slower. Install pysqlite3 or Python with SQLite 3.51.3",
                self.facts.version,
            )
        if not self.path.parent.exists():
            self.path.parent.mkdir(mode=0o700, parents=True)
        # Made here and not by SQLite, so that it is private from its first moment; the files
        # beside it (-wal, -shm) take its mode.
        self.path.touch(mode=0o600)
        self._engine = create_engine(
            "sqlite://",
            creator=self._connect_writer,
            module=self._module,
            poolclass=NullPool,
            hide_parameters=True,
        )
        event.listen(self._engine, "begin", _begin_immediate)
        self._reading = create_engine(
            "sqlite://",
            creator=self._connect_reader,
            module=self._module,
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=0,
            hide_parameters=True,
        )
        return self.write(upgrade)

    def close(self) -> None:
        self._drop_writer()
        for engine in (self._reading, self._engine):
            if engine is not None:
                engine.dispose()

    def write(self, work: Callable[[Connection], T]) -> T:
        with self.writes.watching(_cannot_write), self._writing() as connection:
            return work(connection)

    def write_at_once(self, work: Callable[[Connection], T]) -> T:
        return self.write(work)

    def read(self, work: Callable[[Connection], T]) -> T:
        with self._reading_connection() as connection:
            return work(connection)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if self._reader_waits:
            # Locks are not fair: a writer that never pauses would keep its reader out for ever.
            time.sleep(0.001)
        with self._only:
            connection = self._open_writer()
            try:
                with connection.begin():
                    yield connection
            except BaseException as error:
                if self._is_broken(error):
                    self._drop_writer()
                raise

    @contextmanager
    def _reading_connection(self) -> Iterator[Connection]:
        if self.facts.safe:
            assert self._reading is not None, "open() comes first"  # noqa: S101
            with self._reading.connect() as connection:
                yield connection
        else:
            self._reader_waits = True
            with self._only:
                self._reader_waits = False
                connection = self._open_writer()
                with connection.begin():
                    yield connection

    def try_to_write(self, connection: Connection) -> None:
        write_a_row(connection)

    def interrupt(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        if driver is not None:
            driver.interrupt()

    def conflict(self, error: BaseException) -> bool:
        return False

    def locked_out(self, error: BaseException) -> bool:
        """Never: locks are those of the whole file."""
        return False

    def failure(self, error: BaseException) -> UnavailableError | None:
        code = _code(error)
        if code in _SENTENCES:
            return UnavailableError(_SENTENCES[code], retry_after_ms=1000)
        return None

    def _open_writer(self) -> Connection:
        if self._writer is None:
            assert self._engine is not None, "open() comes first"  # noqa: S101
            self._writer = self._engine.connect()
        return self._writer

    def _is_broken(self, error: BaseException) -> bool:
        # After a full disk or a lock the connection is as good as before; after an I/O error
        # or a failed rollback nobody knows.
        if self._writer is not None and self._writer.in_transaction():
            return True
        code = _code(error)
        return code in _SENTENCES and code not in (_BUSY, _LOCKED, _FULL, _INTERRUPT)

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.invalidate()
            writer.close()

    def _connect_writer(self) -> Any:
        connection = self._connect(cache_kib=64 * 1024)
        if not self.facts.safe:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # What was deleted or edited is overwritten, not only unlinked.
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA journal_size_limit=67108864")
        return connection

    def _connect_reader(self) -> Any:
        connection = self._connect(cache_kib=16 * 1024)
        connection.execute("PRAGMA query_only=ON")
        return connection

    def _connect(self, cache_kib: int) -> Any:
        # isolation_level None: the driver begins no transactions by itself, we say when.
        connection = self._module.connect(
            str(self.path),
            timeout=self._timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute(f"PRAGMA cache_size=-{cache_kib}")
        connection.execute("PRAGMA temp_store=MEMORY")
        return connection


def _begin_immediate(connection: Connection) -> None:
    # Takes the write lock at once: a transaction that reads first and then writes could not wait
    # for another process, it would have to fail.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


_BUSY, _LOCKED, _INTERRUPT = 5, 6, 9
_READONLY, _IOERR, _FULL = 8, 10, 13
_SENTENCES = {
    _BUSY: "The store is busy. Nothing was saved; try again.",
    _LOCKED: "The store is busy. Nothing was saved; try again.",
    7: "The store is out of memory. Nothing was saved; try again later.",
    _READONLY: "The store cannot be written. Nothing was saved; try again later.",
    _INTERRUPT: "The store took too long. Try again.",
    _IOERR: "The store's disk failed. Nothing was saved; try again later.",
    11: "The store is damaged. Nothing was saved.",
    _FULL: "The store's disk is full. Nothing was saved; try again later.",
    14: "The store cannot be opened. Nothing was saved; try again later.",
    26: "The store is damaged. Nothing was saved.",
}
"""SQLite's primary result codes that say: not the statement's fault (sqlite.org/rescode.html)."""

_CANNOT_WRITE = {
    _READONLY: "the database is read-only",
    _IOERR: "the disk failed",
    _FULL: "the disk is full",
}


def _cannot_write(error: BaseException) -> str:
    """Why nothing can be written, in a few words; empty: it was something else."""
    cause: BaseException | None = error
    while cause is not None:
        reason = _CANNOT_WRITE.get(_code(cause) or 0)
        if reason:
            return reason
        cause = cause.__cause__
    return ""


def _code(error: BaseException) -> int | None:
    cause: Any = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
