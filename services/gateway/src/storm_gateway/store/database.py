"""The inner port of the store: how a database is opened, written and read.

Everything above it is written once, as functions over a SQLAlchemy ``Connection``.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.store.dialect import Dialect
from storm_gateway.store.write_health import WriteHealth

T = TypeVar("T")


class Database(Protocol):
    """One database. Its methods block: they are called on the store's own threads."""

    dialect: Dialect
    readers: int
    """How many reads may run at once."""
    shared: bool
    """Whether other nodes write to it too. Then hot writes and all others are separate
    transactions: only of hot ones it is known before what they lock.
    """
    writes: WriteHealth
    """Whether it takes what is written; kept by :meth:`write`."""

    def open(self) -> tuple[str | None, str]:
        """Connect and bring the tables up to date: their revision before (None: there were
        none) and now.
        """

    def close(self) -> None:
        """Give everything back. The threads that wrote and read have ended."""

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run this in a transaction of the one writer: committed when it returns, rolled back
        when it raises. It may be run again when the connection was found broken.
        """

    def write_at_once(self, work: Callable[[Connection], T]) -> T:
        """Run this where its last statement stores all and commits by itself, if the database can
        do so: nothing is locked before. It may be run again like :meth:`write`.
        """

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run this on a connection that only reads; each statement sees one moment. It may be
        run again when the connection was found broken.
        """

    def try_to_write(self, connection: Connection) -> None:
        """In a transaction: write what leaves nothing behind that matters, and fails when the
        disk has no space.
        """

    def interrupt(self, connection: Connection) -> None:
        """Make the statement that runs there fail. Callable from any thread."""

    def conflict(self, error: BaseException) -> bool:
        """Whether a transaction of another node was in the way, so that it is worth a try to
        run the same again.
        """

    def locked_out(self, error: BaseException) -> bool:
        """Whether a lock of another session was waited for in vain."""

    def failure(self, error: BaseException) -> UnavailableError | None:
        """What to tell clients when the database is at fault (away, full, locked); None when
        the statement was.
        """


SUPPORTED = "sqlite:///path/to/file or postgresql://user:password@host/database"


def make_database(config: Config) -> Database:
    """The database that ``STORM_DATABASE_URL`` names.

    Raises ``ValueError``, with the name of the setting and without its secrets.
    """
    from storm_gateway.store.postgres import PostgresDatabase, dsn_of
    from storm_gateway.store.sqlite import SqliteDatabase, path_of

    timeout = config.store_timeout_seconds
    kind = kind_of(config.database_url)
    if kind == "sqlite":
        return SqliteDatabase(path_of(config), timeout)
    return PostgresDatabase(dsn_of(config.database_url), timeout, config.database_connections)


def kind_of(url: str) -> str:
    """``sqlite`` or ``postgresql``. Raises ``ValueError`` for what is neither."""
    scheme, separator, _ = url.partition("://")
    if not url or scheme == "sqlite" or scheme.startswith("sqlite+"):
        return "sqlite"
    if not separator:
        raise ValueError(f"STORM_DATABASE_URL cannot be read: leave it empty, or say {SUPPORTED}")
    if scheme in ("postgres", "postgresql", "postgresql+asyncpg"):
        return "postgresql"
    raise ValueError(
        f"STORM_DATABASE_URL asks for {scheme!r}, which is not supported: "
        f"leave it empty, or say {SUPPORTED}"
    )
