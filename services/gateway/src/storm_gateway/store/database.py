"""The inner port of the store: how a database is opened, written and read.

Everything above it is written once, as functions over a SQLAlchemy ``Connection``.
"""

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection

from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.store.dialect import Dialect


class Database(Protocol):
    """One database. Its methods block: they are called on the store's own threads."""

    dialect: Dialect
    readers: int
    """How many reads may run at once."""

    def open(self) -> tuple[str | None, str]:
        """Connect and bring the tables up to date: their revision before (None: there were
        none) and now.
        """

    def close(self) -> None:
        """Give everything back."""

    def write(self) -> AbstractContextManager[Connection]:
        """The transaction of the one writer: committed at the end, rolled back on an error."""

    def read(self) -> AbstractContextManager[Connection]:
        """A connection that only reads; each statement sees one moment."""

    def interrupt(self, connection: Connection) -> None:
        """Make the statement that runs there fail. Callable from any thread."""

    def failure(self, error: BaseException) -> UnavailableError | None:
        """What to tell clients when the database is at fault (away, full, locked); None when
        the statement was.
        """


def make_database(config: Config) -> Database:
    """The database that ``STORM_DATABASE_URL`` names.

    Raises ``ValueError``, with the name of the setting and without its secrets.
    """
    from storm_gateway.store.sqlite import SqliteDatabase, path_of

    return SqliteDatabase(path_of(config), config.store_timeout_seconds)
