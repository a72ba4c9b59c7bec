"""The file, its version, its tables, and what the settings may ask for."""

import stat
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, text

from storm_gateway.config import Config
from storm_gateway.errors import UnavailableError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.store import sqlite
from storm_gateway.store.log import change_event
from storm_gateway.store.migrate import current, downgrade, newest, upgrade
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.store.sqlite import SqliteDatabase, path_of, sqlite_facts
from storm_gateway.store.tables import metadata
from storm_gateway.store.times import rfc3339
from storm_gateway.store.tokens import revocation_queries
from storm_gateway.store.upgrade import bring_up_to_date


def _tables(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        text(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
        )
    )
    return {name: " ".join(sql.split()) for name, sql in rows}


def _do(statement: str) -> Callable[[Connection], None]:
    return lambda connection: connection.execute(text(statement)).close()


def test_the_migrations_lead_to_the_very_tables_that_the_code_uses(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "migrated.db", 1)
    database.open()
    plain = create_engine("sqlite://")
    metadata.create_all(plain)

    def compare(migrated: Connection) -> None:
        with plain.connect() as created:
            assert _tables(migrated) == _tables(created)
        context = MigrationContext.configure(migrated, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert current(migrated) == newest(migrated)

    database.write(compare)
    plain.dispose()
    database.close()


def test_migrations_go_down_and_up_again(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "storm.db", 1)
    database.open()

    def go(connection: Connection) -> None:
        before = _tables(connection)
        downgrade(connection)
        assert _tables(connection) == {}
        assert current(connection) is None
        upgrade(connection)
        assert _tables(connection) == before
        # Once more changes nothing.
        upgrade(connection)
        found = connection.execute(text("SELECT id, name, visibility FROM channels")).all()
        assert [tuple(row) for row in found] == [(1, "general", "public")]

    database.write(go)
    database.close()


def test_what_each_node_asks_every_few_seconds_reads_no_whole_table(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "storm.db", 1)
    database.open()

    def plans(connection: Connection) -> list[str]:
        shown = []
        for query in revocation_queries(1.7e9):
            said = query.compile(connection, compile_kwargs={"literal_binds": True})
            rows = connection.execute(text(f"EXPLAIN QUERY PLAN {said}")).all()
            shown.append("; ".join(row.detail for row in rows))
        return shown

    indices = ("revocations_at", "users_deleted", "users_banned")
    for plan, index in zip(database.read(plans), indices, strict=True):
        assert f"INDEX {index}" in plan, plan
    database.close()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "storm.db", 1)
    database.open()
    database.write(_do("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(ValueError, match="update STORM"):
        SqliteDatabase(tmp_path / "storm.db", 1).open()


def test_bringing_up_to_date_says_what_was_done(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path / "data")
    assert bring_up_to_date(config) == (None, "0005")
    assert bring_up_to_date(config) == ("0005", "0005")
    (tmp_path / "data" / "storm.db").write_bytes(b"not a database" * 500)
    with pytest.raises(UnavailableError, match="damaged"):
        bring_up_to_date(config)


def test_folder_and_file_are_private(tmp_path: Path) -> None:
    database = SqliteDatabase(path_of(Config(data_dir=tmp_path / "data")), 1)
    database.open()
    database.write(_do("UPDATE channels SET topic = 'x'"))
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    for name in ("storm.db", "storm.db-wal"):
        assert stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) == 0o600
    database.close()


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "storm.db", 1)
    database.open()

    def look(connection: Connection) -> None:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA mmap_size")).scalar() == 0

    database.write(look)
    database.close()


def test_a_file_elsewhere_can_be_named(tmp_path: Path) -> None:
    assert path_of(Config(database_url=f"sqlite:///{tmp_path}/x.db")) == tmp_path / "x.db"
    assert path_of(Config(data_dir=Path("here"))) == Path("here/storm.db")


@pytest.mark.parametrize(
    "url",
    ["mysql://user:hush@host/db", "hush", "sqlite://", "sqlite:///:memory:", "sqlite:///file:hush"],
)
def test_a_database_that_is_not_supported_is_refused_by_the_name_of_the_setting(url: str) -> None:
    with pytest.raises(ValueError, match="STORM_DATABASE_URL") as refusal:
        SqlStore(Config(database_url=url), Metrics())
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ("3.40.1", False),
        ("3.44.5", False),
        ("3.44.6", True),
        ("3.45.0", False),
        ("3.50.6", False),
        ("3.50.7", True),
        ("3.51.2", False),
        ("3.51.3", True),
        ("3.53.4", True),
        ("4.0.0", True),
    ],
)
def test_versions_that_may_lose_commits_are_known(version: str, safe: bool) -> None:
    assert sqlite._is_safe(tuple(map(int, version.split(".")))) == safe


def test_the_facts_name_module_and_version() -> None:
    facts = sqlite_facts()
    assert facts.module in ("pysqlite3", "sqlite3")
    assert facts.safe == sqlite._is_safe(tuple(map(int, facts.version.split("."))))


def test_an_unsafe_version_is_told_and_gets_one_connection(tmp_path: Path, caplog) -> None:
    module = sqlite._module()
    old = SimpleNamespace(**{**vars(module), "sqlite_version": "3.51.2"})
    database = SqliteDatabase(tmp_path / "storm.db", 1, old)
    database.open()

    def driver_of(connection: Connection) -> object:
        return connection.connection.driver_connection

    assert database.read(driver_of) is database.write(driver_of)
    with (
        closing(module.connect(tmp_path / "storm.db", timeout=0)) as other,
        pytest.raises(module.OperationalError, match="locked"),
    ):
        other.execute("SELECT * FROM users")
    database.close()
    assert database.readers == 1
    assert "3.51.2" in caplog.text


def test_a_version_without_what_the_statements_need_is_refused(tmp_path: Path) -> None:
    old = SimpleNamespace(**{**vars(sqlite._module()), "sqlite_version": "3.37.2"})
    with pytest.raises(ValueError, match="too old"):
        SqliteDatabase(tmp_path / "storm.db", 1, old).open()


def test_a_change_of_unknown_kind_is_a_fault() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        change_event(1, [1, "what", "alice", None, None, 0, None, None, None])


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_are_written_as_rfc_3339_and_mean_the_same(moment: datetime) -> None:
    milliseconds = int(moment.timestamp() * 1000)
    written = rfc3339(milliseconds)
    assert written.endswith("Z")
    assert round(datetime.fromisoformat(written).timestamp() * 1000) == milliseconds
