"""SQLite's statements: one parameter, a JSON array of rows, and one row back.

Each step of SQLite gives up the interpreter's lock and must win it back from a busy event loop; so
a batch of 500 messages must not be 500 steps (decision 0003).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Table, TextClause, func, select, text

from storm_gateway.store.dialect import MESSAGE_COLUMNS, USER_COLUMNS, Row
from storm_gateway.store.tables import messages

_encode = msgspec.json.encode
_decode_rows = msgspec.json.Decoder(list[list[Any]]).decode

_STATES = text("""
SELECT json_group_array(json_array(c.visibility, c.deleted_at IS NOT NULL, c.head, c.member_count,
    m.standing, u.admin, CASE WHEN u.id IS NULL THEN NULL WHEN u.deleted_at IS NOT NULL
        THEN 'deleted' WHEN u.banned_at IS NOT NULL THEN 'banned' ELSE '' END))
FROM (SELECT value ->> 0 AS channel_id, value ->> 1 AS user_id
      FROM json_each(:rows) ORDER BY key) AS p
LEFT JOIN channels AS c ON c.id = p.channel_id
LEFT JOIN members AS m ON m.channel_id = p.channel_id AND m.user_id = p.user_id
LEFT JOIN users AS u ON u.id = p.user_id
""")

_STORED = text("""
SELECT json_group_array(json_array(p.key, m.id, m.seq, m.payload, m.sent_at, m.edited_at,
    m.deleted_at))
FROM json_each(:rows) AS p CROSS JOIN messages AS m INDEXED BY messages_ref
ON m.channel_id = p.value ->> 0 AND m.user_id = p.value ->> 1 AND m.ref = p.value ->> 2
""")

_NEWEST_MESSAGE = text("SELECT max(id) FROM messages")

_ADVANCE = text("""
UPDATE channels SET head = j.value ->> 1, member_count = j.value ->> 2
FROM json_each(:rows) AS j WHERE channels.id = j.value ->> 0
""")

# Names come from dialect.py, never from outside.
_PEOPLE = text(
    f"SELECT json_group_array(json_array(u.{', u.'.join(USER_COLUMNS)})) "  # noqa: S608
    "FROM json_each(:rows) AS j CROSS JOIN users AS u ON u.id = j.value"
)

_HEADS = text("""
SELECT json_group_array(json_array(c.id, c.head))
FROM json_each(:rows) AS j CROSS JOIN channels AS c ON c.id = j.value AND c.deleted_at IS NULL
""")

_MOVED = text("""
SELECT json_group_array(json_array(k.id, c.head))
FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS head
    FROM json_each(:rows)) AS k
LEFT JOIN channels AS c ON c.id = k.id AND c.deleted_at IS NULL
WHERE c.head IS NOT k.head
""")

# The three parts are one statement, so they see the log of one moment.
_REPLAY = text("""
WITH span AS MATERIALIZED (
    SELECT head, max(:after, min(:upto, head) - :limit) AS low, min(:upto, head) AS high
    FROM channels WHERE id = :channel_id AND deleted_at IS NULL)
SELECT head,
    (SELECT json_group_array(json_array(seq, id, user_id, payload, sent_at, edited_at, deleted_at))
     FROM messages WHERE channel_id = :channel_id AND seq > low AND seq <= high),
    (SELECT json_group_array(json_array(c.seq, c.kind, c.actor, c.subject, c.data, c.sent_at,
            m.id, m.seq, m.payload))
     FROM changes AS c LEFT JOIN messages AS m ON m.id = c.message_id
     WHERE c.channel_id = :channel_id AND c.seq > low AND c.seq <= high)
FROM span
""")


@lru_cache(maxsize=64)
def _insert(table: str, columns: tuple[str, ...]) -> TextClause:
    values = ", ".join(f"value ->> {position}" for position in range(len(columns)))
    # Names come from tables.py, never from outside.
    return text(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} "  # noqa: S608
        "FROM json_each(:rows)"
    )


class SqliteDialect:
    """SQLite 3.38 or later."""

    def rows(self, connection: Connection, query: Select[Any]) -> list[list[Any]]:
        inner = query.subquery()
        packed = select(func.json_group_array(func.json_array(*inner.c)))
        return _decode_rows(connection.execute(packed).scalar_one())

    def lock(
        self, connection: Connection, channel_ids: Iterable[int], user_ids: Iterable[str] = ()
    ) -> None:
        """Nothing: only one transaction writes at a time."""

    def wait_at_most(self, connection: Connection, seconds: float) -> None:
        """Nothing: only one transaction writes at a time."""

    def try_lock(
        self, connection: Connection, channel_ids: Iterable[int], user_ids: Iterable[str]
    ) -> tuple[Sequence[int], Sequence[str]]:
        return list(channel_ids), list(user_ids)

    def held(
        self, connection: Connection, channel_ids: Iterable[int], user_ids: Iterable[str]
    ) -> tuple[dict[int, int], set[str]]:
        """Nothing: only one transaction writes at a time."""
        return {}, set()

    def states(self, connection: Connection, pairs: Iterable[Row]) -> list[list[Any]]:
        return _ask(connection, _STATES, list(pairs))

    def stored(self, connection: Connection, refs: Iterable[Row]) -> list[list[Any]]:
        return _ask(connection, _STORED, list(refs))

    def look_up(
        self, connection: Connection, pairs: Sequence[Row], refs: Sequence[Row]
    ) -> tuple[Sequence[Row], Sequence[Row]]:
        return self.states(connection, pairs), self.stored(connection, refs) if refs else []

    def append(
        self, connection: Connection, rows: Sequence[Row], moved: Sequence[Row]
    ) -> Sequence[int]:
        # Only one transaction writes at a time, and rows of messages are never removed.
        newest = connection.execute(_NEWEST_MESSAGE).scalar() or 0
        ids = range(newest + 1, newest + 1 + len(rows))
        numbered = [(id_, *row) for id_, row in zip(ids, rows, strict=True)]
        self.insert(connection, messages, ("id", *MESSAGE_COLUMNS), numbered)
        self.advance(connection, moved)
        return ids

    def append_unless_moved(
        self, connection: Connection, rows: Sequence[Row], moved: Sequence[Row]
    ) -> Sequence[int]:
        # Nobody else writes, so nothing has moved.
        return self.append(connection, rows, [(id_, head, count) for id_, _, count, head in moved])

    def insert_new(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
    ) -> None:
        # The caller looked, and nobody else can have written since.
        self.insert(connection, table, columns, rows)

    def insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
    ) -> None:
        connection.execute(_insert(table.name, tuple(columns)), {"rows": _encode(rows).decode()})

    def advance(self, connection: Connection, rows: Sequence[Row]) -> None:
        connection.execute(_ADVANCE, {"rows": _encode(rows).decode()})

    def people(self, connection: Connection, ids: Iterable[str]) -> list[list[Any]]:
        return _ask(connection, _PEOPLE, list(ids))

    def heads(self, connection: Connection, ids: Iterable[int]) -> list[list[Any]]:
        return _ask(connection, _HEADS, list(ids))

    def moved(self, connection: Connection, known: Mapping[int, int]) -> list[list[Any]]:
        return _ask(connection, _MOVED, list(known.items()))

    def replay(
        self, connection: Connection, channel_id: int, after: int, limit: int, upto: int
    ) -> tuple[int, list[list[Any]], list[list[Any]]] | None:
        found = connection.execute(
            _REPLAY, {"channel_id": channel_id, "after": after, "limit": limit, "upto": upto}
        ).first()
        if found is None:
            return None
        return found[0], _decode_rows(found[1]), _decode_rows(found[2])


def _ask(connection: Connection, statement: TextClause, rows: Sequence[Any]) -> list[list[Any]]:
    answer = connection.execute(statement, {"rows": _encode(rows).decode()}).scalar_one()
    return _decode_rows(answer)
