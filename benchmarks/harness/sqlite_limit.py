"""The limit of durable messages: the same rows, committed by a loop that does nothing else.

Run by the Python of STORM, so that the SQLite is the same one:

    python sqlite_limit.py DATABASE ROWS GROUP SECONDS FOLDER

Every table of DATABASE with at least ROWS rows is one that each message wrote to. Their rows are
written into an empty database with the same tables and indexes, GROUP messages a transaction, as
STORM does it: write-ahead log, synchronous=FULL. Prints one line of JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

try:
    import pysqlite3 as sqlite3  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:
    import sqlite3

Table = tuple[str, list[tuple[Any, ...]]]


def read_tables(database: Path, rows: int) -> tuple[list[str], list[Table]]:
    """The schema of the tables that every message writes to, and their newest rows."""
    source = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    names = [
        name
        for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if not name.startswith("sqlite_")
        and source.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] >= rows  # noqa: S608
    ]
    schema = [
        sql
        for name in names
        for (sql,) in source.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL"
            " AND type IN ('table', 'index') ORDER BY type DESC",
            (name,),
        )
    ]
    tables = []
    for name in names:
        found = source.execute(f'SELECT * FROM "{name}" LIMIT {rows}').fetchall()  # noqa: S608
        marks = ",".join("?" * len(found[0]))
        tables.append((f'INSERT INTO "{name}" VALUES ({marks})', found))  # noqa: S608
    source.close()
    return schema, tables


def commit_rows(
    schema: list[str], tables: list[Table], group: int, folder: Path, seconds: float
) -> tuple[int, float]:
    """Write rows into a new database, for so long at most. Returns messages and seconds."""
    path = folder / "limit.db"
    for old in folder.glob("limit.db*"):
        old.unlink()
    target = sqlite3.connect(path, isolation_level=None)
    target.execute("PRAGMA journal_mode=WAL")
    target.execute("PRAGMA synchronous=FULL")
    for sql in schema:
        target.execute(sql)
    start = time.perf_counter()
    written, took = 0, 0.0
    for first in range(0, len(tables[0][1]), group):
        target.execute("BEGIN IMMEDIATE")
        for insert, rows in tables:
            target.executemany(insert, rows[first : first + group])
        target.execute("COMMIT")
        written += len(tables[0][1][first : first + group])
        took = time.perf_counter() - start
        if took > seconds:
            break
    target.close()
    return written, took


def main(database: str, rows: str, group: str, seconds: str, folder: str) -> None:
    """Write the rows over and over for some seconds and print the rate."""
    schema, tables = read_tables(Path(database), int(rows))
    if not tables:
        raise SystemExit("no table has that many rows")
    messages, took = 0, 0.0
    while took < float(seconds):
        left = float(seconds) - took
        more = commit_rows(schema, tables, int(group), Path(folder), left)
        messages, took = messages + more[0], took + more[1]
    print(  # noqa: T201 this is the answer
        json.dumps(
            {
                "per_second": messages / took,
                "group": int(group),
                "tables": len(tables),
                "sqlite": sqlite3.sqlite_version,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
