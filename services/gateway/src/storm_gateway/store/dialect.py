"""All that differs between databases: statements over many rows at once, in their SQL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Select, Table

Row = Sequence[Any]


class Dialect(Protocol):
    """The statements that a database must bring. All are called inside a transaction."""

    def rows(self, connection: Connection, query: Select[Any]) -> Sequence[Row]:
        """All rows of a query; truth values may come as 0 and 1."""

    def lock(
        self, connection: Connection, channel_ids: Iterable[int], user_ids: Iterable[str] = ()
    ) -> None:
        """Keep other transactions from writing to these channels, and from deleting these users,
        until the end of this one. What is read from now on is what the last writer left.
        """

    def wait_at_most(self, connection: Connection, seconds: float) -> None:
        """How long this transaction may wait for each lock, from now on."""

    def try_lock(
        self, connection: Connection, channel_ids: Iterable[int], user_ids: Iterable[str]
    ) -> tuple[Sequence[int], Sequence[str]]:
        """The same without waiting: the channels and users that nobody else had locked."""

    def held(
        self, connection: Connection, channel_ids: Iterable[int], user_ids: Iterable[str]
    ) -> tuple[dict[int, int], set[str]]:
        """Which of these exist: the channels with their heads, and the users."""

    def states(self, connection: Connection, pairs: Iterable[Row]) -> Sequence[Row]:
        """For each (channel id, user id), in that order, ``STATE_COLUMNS``."""

    def stored(self, connection: Connection, refs: Iterable[Row]) -> Sequence[Row]:
        """Of (channel id, user id, ref): the position of each known one, then its message: id,
        seq, payload, sent_at, edited_at, deleted_at."""

    def look_up(
        self, connection: Connection, pairs: Sequence[Row], refs: Sequence[Row]
    ) -> tuple[Sequence[Row], Sequence[Row]]:
        """:meth:`states` and :meth:`stored` together."""

    def append(
        self, connection: Connection, rows: Sequence[Row], moved: Sequence[Row]
    ) -> Sequence[int]:
        """Insert messages (``MESSAGE_COLUMNS``) and advance their channels; the new ids, rising."""

    def append_unless_moved(
        self, connection: Connection, rows: Sequence[Row], moved: Sequence[Row]
    ) -> Sequence[int | None]:
        """:meth:`append` where nothing is locked and no transaction is open: one statement that
        locks, stores and commits (:meth:`.Database.write_at_once`), and waits for nobody.

        ``moved``: of each channel its id, the head and the member count that were read, and the
        head to be. None for each message of a channel that somebody else has locked, or has written
        to since: of these nothing is stored.
        """

    def insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
    ) -> None:
        """Insert all rows by one statement."""

    def insert_new(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
    ) -> None:
        """The same, but rows whose key another node has inserted meanwhile are passed over."""

    def advance(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Set (id, head, member_count) of channels."""

    def people(self, connection: Connection, ids: Iterable[str]) -> Sequence[Row]:
        """``USER_COLUMNS`` of the users that there are."""

    def heads(self, connection: Connection, ids: Iterable[int]) -> Sequence[Row]:
        """(id, head) of channels that are not deleted."""

    def moved(self, connection: Connection, known: Mapping[int, int]) -> Sequence[Row]:
        """(id, head) of channels whose head is another than the one that is known; head None: the
        channel is deleted, or never was.
        """

    def replay(
        self, connection: Connection, channel_id: int, after: int, limit: int, upto: int
    ) -> tuple[int, Sequence[Row], Sequence[Row]] | None:
        """(head, messages, changes) of one moment; None without such a channel."""


USER_COLUMNS = ("id", "display_name", "created_at", "admin", "deleted_at", "banned_at")

MESSAGE_COLUMNS = ("channel_id", "seq", "user_id", "payload", "sent_at", "ref")
"""What :meth:`Dialect.append` stores of a message; its id is made there."""

STATE_COLUMNS = (
    "visibility",
    "channel deleted",
    "head",
    "member_count",
    "standing",
    "admin",
    "user gone",
)
"""What :meth:`Dialect.states` gives; visibility None: no channel; user gone None: no user, else
``deleted``, ``banned`` (from the server) or empty."""
