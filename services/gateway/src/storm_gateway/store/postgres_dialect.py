"""PostgreSQL's statements. Those that many rows or many messages a second go through are given to
the driver as they are; many rows are one parameter, a JSON array, whose text is cheap to make.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Connection, Integer, Select, Table
from sqlalchemy.util import await_only

from storm_gateway.store.dialect import MESSAGE_COLUMNS, USER_COLUMNS, Row
from storm_gateway.store.tables import messages

_encode = msgspec.json.encode

ANSWERED = "answered"
"""In a connection's ``info``: a function that is called after each answer."""

COMMITTING = "committing"
"""In a connection's ``info``: a function that is told before a statement that commits by itself is
sent (True), and after its answer (False)."""

# Two statements, because each sees what was committed before *it* began: the rows are locked by
# the first, and read by the next when the last writer is known to be through (READ COMMITTED).
# The order of the ids keeps two nodes from waiting for each other.
_LOCK_USERS = "SELECT 1 FROM users WHERE id = ANY($1::text[]) ORDER BY id FOR SHARE"
_LOCK = "SELECT 1 FROM channels WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE"

_WAIT = "SELECT set_config('lock_timeout', $1, true)"
_TRY_LOCK_USERS = "SELECT id FROM users WHERE id = ANY($1::text[]) FOR SHARE SKIP LOCKED"
_TRY_LOCK = "SELECT id FROM channels WHERE id = ANY($1::bigint[]) FOR NO KEY UPDATE SKIP LOCKED"
# Without a lock, so these wait for nobody.
_HELD_USERS = "SELECT id FROM users WHERE id = ANY($1::text[])"
_HELD = "SELECT id, head FROM channels WHERE id = ANY($1::bigint[])"

_STATES = """
SELECT c.visibility, c.deleted_at IS NOT NULL, c.head, c.member_count, m.standing, u.admin,
    CASE WHEN u.id IS NULL THEN NULL WHEN u.deleted_at IS NOT NULL THEN 'deleted'
        WHEN u.banned_at IS NOT NULL THEN 'banned' ELSE '' END
FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS p (channel_id, user_id, at)
LEFT JOIN channels AS c ON c.id = p.channel_id
LEFT JOIN members AS m ON m.channel_id = p.channel_id AND m.user_id = p.user_id
LEFT JOIN users AS u ON u.id = p.user_id
ORDER BY p.at
"""

_STORED = """
SELECT p.at - 1, m.id, m.seq, m.payload, m.sent_at, m.edited_at, m.deleted_at
FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY
    AS p (channel_id, user_id, ref, at)
JOIN messages AS m ON m.channel_id = p.channel_id AND m.user_id = p.user_id AND m.ref = p.ref
"""

# A round trip less while the channels are locked. Earlier messages have a negative place.
_LOOK_UP = """
SELECT p.at, c.visibility, c.deleted_at IS NOT NULL, c.head, c.member_count::bigint, m.standing,
    u.admin, CASE WHEN u.id IS NULL THEN NULL WHEN u.deleted_at IS NOT NULL THEN 'deleted'
        WHEN u.banned_at IS NOT NULL THEN 'banned' ELSE '' END,
    NULL::bigint, NULL::bigint, NULL::bigint
FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS p (channel_id, user_id, at)
LEFT JOIN channels AS c ON c.id = p.channel_id
LEFT JOIN members AS m ON m.channel_id = p.channel_id AND m.user_id = p.user_id
LEFT JOIN users AS u ON u.id = p.user_id
UNION ALL
SELECT -p.at, m.payload, NULL, m.id, m.seq, NULL, NULL, NULL, m.sent_at, m.edited_at, m.deleted_at
FROM unnest($3::bigint[], $4::text[], $5::text[]) WITH ORDINALITY
    AS p (channel_id, user_id, ref, at)
JOIN messages AS m ON m.channel_id = p.channel_id AND m.user_id = p.user_id AND m.ref = p.ref
"""

_ADVANCE = """
UPDATE channels SET head = (j ->> 1)::bigint, member_count = (j ->> 2)::integer
FROM jsonb_array_elements($1::jsonb) AS j WHERE channels.id = (j ->> 0)::bigint
"""

# Names come from dialect.py, never from outside.
_PEOPLE = f"SELECT {', '.join(USER_COLUMNS)} FROM users WHERE id = ANY($1::text[])"  # noqa: S608

_HEADS = "SELECT id, head FROM channels WHERE id = ANY($1::bigint[]) AND deleted_at IS NULL"

_MOVED = """
SELECT k.id, c.head FROM unnest($1::bigint[], $2::bigint[]) AS k (id, head)
LEFT JOIN channels AS c ON c.id = k.id AND c.deleted_at IS NULL
WHERE c.head IS DISTINCT FROM k.head
"""

# The three parts are one statement, so they see the log of one moment.
_REPLAY = """
WITH span AS MATERIALIZED (
    SELECT head, greatest($2::bigint, least($4::bigint, head) - $3::bigint) AS low,
        least($4::bigint, head) AS high
    FROM channels WHERE id = $1::bigint AND deleted_at IS NULL)
SELECT head,
    (SELECT json_agg(json_build_array(
            seq, id, user_id, payload, sent_at, edited_at, deleted_at))::text
     FROM messages WHERE channel_id = $1 AND seq > low AND seq <= high),
    (SELECT json_agg(json_build_array(c.seq, c.kind, c.actor, c.subject, c.data, c.sent_at,
            m.id, m.seq, m.payload))::text
     FROM changes AS c LEFT JOIN messages AS m ON m.id = c.message_id
     WHERE c.channel_id = $1 AND c.seq > low AND c.seq <= high)
FROM span
"""

_decode_rows = msgspec.json.Decoder(list[list[Any]]).decode


def _cast(table: Table, column: str) -> str:
    kind = table.c[column].type
    if isinstance(kind, BigInteger):
        return "::bigint"
    if isinstance(kind, Boolean):
        return "::boolean"
    return "::integer" if isinstance(kind, Integer) else ""


@lru_cache(maxsize=64)
def _insert(table: Table, columns: tuple[str, ...]) -> str:
    values = ", ".join(f"(j ->> {at}){_cast(table, name)}" for at, name in enumerate(columns))
    # Names come from tables.py, never from outside.
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {values} "  # noqa: S608
        "FROM jsonb_array_elements($1::jsonb) AS j"
    )


_APPEND = (
    "WITH moved AS ("
    + _ADVANCE.replace("$1", "$2")
    + ")"
    + _insert(messages, MESSAGE_COLUMNS)
    + " RETURNING channel_id, seq, id"
)

# The rows are locked without waiting, and compared as the last writer left them: one that changed
# since the statement began is looked at again (READ COMMITTED). Its writer may have changed who may
# write, which is read before: each such change moves the head or the count.
_UNLESS_MOVED = """
WITH held AS MATERIALIZED (
    SELECT c.id, c.head = p.head AND c.member_count = p.member_count AS same
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS p (id, head, member_count)
    JOIN channels AS c ON c.id = p.id
    ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED),
fits AS MATERIALIZED (SELECT array_agg(id) AS ids FROM held WHERE same),
moved AS (
    UPDATE channels SET head = p.head FROM unnest($2, $5::bigint[]) AS p (id, head), fits
    WHERE p.id = ANY (fits.ids) AND channels.id = p.id)
"""
_APPEND_UNLESS_MOVED = (
    _UNLESS_MOVED
    + _insert(messages, MESSAGE_COLUMNS)
    + ", fits WHERE (j ->> 0)::bigint = ANY (fits.ids) RETURNING channel_id, seq, id"
)


def ask(connection: Connection, statement: str, *values: Any) -> list[Any]:
    """The rows of a statement, straight from the driver."""
    driver: Any = connection.connection.driver_connection
    rows: list[Any] = await_only(driver.fetch(statement, *values))
    answered: Callable[[], None] | None = connection.info.get(ANSWERED)
    if answered is not None:
        answered()
    return rows


class PostgresDialect:
    """PostgreSQL 13 or later."""

    def rows(self, connection: Connection, query: Select[Any]) -> Sequence[Row]:
        return connection.execute(query).all()

    def lock(
        self, connection: Connection, channel_ids: Iterable[int], user_ids: Iterable[str] = ()
    ) -> None:
        users, channels = list(user_ids), list(channel_ids)
        # Users first, as everywhere.
        if users:
            ask(connection, _LOCK_USERS, users)
        if channels:
            ask(connection, _LOCK, channels)

    def wait_at_most(self, connection: Connection, seconds: float) -> None:
        # 0 would be without end.
        ask(connection, _WAIT, f"{max(1, round(seconds * 1000))}ms")

    def try_lock(
        self, connection: Connection, channel_ids: Iterable[int], user_ids: Iterable[str]
    ) -> tuple[Sequence[int], Sequence[str]]:
        users, channels = list(user_ids), list(channel_ids)
        locked_users = ask(connection, _TRY_LOCK_USERS, users) if users else []
        locked = ask(connection, _TRY_LOCK, channels) if channels else []
        return [row[0] for row in locked], [row[0] for row in locked_users]

    def held(
        self, connection: Connection, channel_ids: Iterable[int], user_ids: Iterable[str]
    ) -> tuple[dict[int, int], set[str]]:
        users, channels = list(user_ids), list(channel_ids)
        heads = ask(connection, _HELD, channels) if channels else []
        known = ask(connection, _HELD_USERS, users) if users else []
        return {row[0]: row[1] for row in heads}, {row[0] for row in known}

    def states(self, connection: Connection, pairs: Iterable[Row]) -> Sequence[Row]:
        channel_ids, user_ids = _columns(pairs, 2)
        return ask(connection, _STATES, channel_ids, user_ids)

    def stored(self, connection: Connection, refs: Iterable[Row]) -> Sequence[Row]:
        return ask(connection, _STORED, *_columns(refs, 3))

    def look_up(
        self, connection: Connection, pairs: Sequence[Row], refs: Sequence[Row]
    ) -> tuple[Sequence[Row], Sequence[Row]]:
        if not refs:
            return self.states(connection, pairs), []
        states: list[Row] = [()] * len(pairs)
        stored: list[Row] = []
        for row in ask(connection, _LOOK_UP, *_columns(pairs, 2), *_columns(refs, 3)):
            at = row[0]
            if at > 0:
                states[at - 1] = row[1:8]
            else:
                stored.append((-at - 1, row[3], row[4], row[1], row[8], row[9], row[10]))
        return states, stored

    def append(
        self, connection: Connection, rows: Sequence[Row], moved: Sequence[Row]
    ) -> Sequence[int]:
        made = ask(connection, _APPEND, _encode(rows).decode(), _encode(moved).decode())
        ids = {(channel_id, seq): id_ for channel_id, seq, id_ in made}
        return [ids[row[0], row[1]] for row in rows]

    def append_unless_moved(
        self, connection: Connection, rows: Sequence[Row], moved: Sequence[Row]
    ) -> Sequence[int | None]:
        committing: Callable[[bool], None] = connection.info[COMMITTING]
        committing(True)
        made = ask(connection, _APPEND_UNLESS_MOVED, _encode(rows).decode(), *_columns(moved, 4))
        committing(False)
        ids = {(channel_id, seq): id_ for channel_id, seq, id_ in made}
        return [ids.get((row[0], row[1])) for row in rows]

    def insert(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
    ) -> None:
        ask(connection, _insert(table, tuple(columns)), _encode(rows).decode())

    def insert_new(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
    ) -> None:
        statement = _insert(table, tuple(columns)) + " ON CONFLICT DO NOTHING"
        ask(connection, statement, _encode(rows).decode())

    def advance(self, connection: Connection, rows: Sequence[Row]) -> None:
        ask(connection, _ADVANCE, _encode(rows).decode())

    def people(self, connection: Connection, ids: Iterable[str]) -> Sequence[Row]:
        return ask(connection, _PEOPLE, list(ids))

    def heads(self, connection: Connection, ids: Iterable[int]) -> Sequence[Row]:
        return ask(connection, _HEADS, list(ids))

    def moved(self, connection: Connection, known: Mapping[int, int]) -> Sequence[Row]:
        return ask(connection, _MOVED, list(known), list(known.values()))

    def replay(
        self, connection: Connection, channel_id: int, after: int, limit: int, upto: int
    ) -> tuple[int, Sequence[Row], Sequence[Row]] | None:
        found = ask(connection, _REPLAY, channel_id, after, limit, upto)
        if not found:
            return None
        head, message_rows, change_rows = found[0]
        return head, _decode_rows(message_rows or "[]"), _decode_rows(change_rows or "[]")


def _columns(rows: Iterable[Row], width: int) -> list[list[Any]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]
