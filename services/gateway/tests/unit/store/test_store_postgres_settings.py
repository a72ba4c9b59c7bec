"""What may be asked for as PostgreSQL, and what its errors mean to clients."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from storm_gateway.config import Config
from storm_gateway.observability.metrics import Metrics
from storm_gateway.store.database import kind_of, make_database
from storm_gateway.store.postgres import PostgresDatabase, dsn_of
from storm_gateway.store.postgres_errors import (
    LateError,
    LostError,
    UnknownOutcomeError,
    failure_of,
    is_conflict,
    is_harmless,
)
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.store.sqlite import SqliteDatabase


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_each_usual_way_to_write_the_url_is_taken(scheme: str) -> None:
    url = f"{scheme}://storm:p%40ss@db.example:5433/chat?sslmode=require"
    assert kind_of(url) == "postgresql"
    assert dsn_of(url) == "postgresql://storm:p%40ss@db.example:5433/chat?sslmode=require"
    database = make_database(Config(database_url=url, database_connections=7))
    assert isinstance(database, PostgresDatabase)
    assert (database.shared, database.readers) == (True, 7)
    database.close()


def test_a_primary_and_its_standbys_can_be_named() -> None:
    url = "postgresql://storm:p@one:5432,two:5433,three/chat"
    assert dsn_of(url) == url


def test_no_url_and_a_file_are_sqlite() -> None:
    for url in ("", "sqlite:///x.db"):
        assert isinstance(make_database(Config(database_url=url)), SqliteDatabase)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hush@host",
        "postgresql://user:hush@host/",
        "postgresql+psycopg://user:hush@host/db",
        "postgresql://user:hush@host:port/db",
        "postgresql://user:hu/sh@host/db",
        "postgresql://user:hu/sh",
        "postgresql://user:hush@[::1/db",
        "mysql://user:hush@host/db",
        "hush",
    ],
)
def test_what_cannot_be_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ValueError, match="STORM_DATABASE_URL") as refusal:
        SqlStore(Config(database_url=url), Metrics())
    assert "hush" not in str(refusal.value)
    assert "hu/sh" not in str(refusal.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("08006", "away"),
        ("25006", "only lets read"),
        ("25P03", "too long"),
        ("28P01", "login"),
        ("3D000", "no such database"),
        ("40001", "busy"),
        ("40P01", "busy"),
        ("42501", "rights"),
        ("53000", "resources"),
        ("53100", "disk is full"),
        ("53200", "out of memory"),
        ("53300", "no free connection"),
        ("55P03", "busy"),
        ("57014", "too long"),
        ("57P01", "shutting down"),
        ("57P03", "starting up"),
        ("58030", "disk failed"),
        ("XX001", "damaged"),
    ],
)
def test_the_server_at_fault_is_a_sentence_and_worth_a_retry(code: str, said: str) -> None:
    plain = asyncpg.PostgresError.new({"C": code, "M": "internal text", "S": "ERROR"})
    wrapped = LostError()
    wrapped.__cause__ = DBAPIError("SELECT secret", {}, plain)
    for error in (plain, wrapped):
        refusal = failure_of(error)
        assert refusal is not None
        assert said in refusal.message
        assert refusal.retry_after_ms
        assert "internal" not in refusal.message
        assert "secret" not in refusal.message


@pytest.mark.parametrize("code", ["22P02", "23505", "42601", "22021"])
def test_a_statement_at_fault_is_not_the_server(code: str) -> None:
    error = asyncpg.PostgresError.new({"C": code, "M": "x", "S": "ERROR"})
    assert failure_of(error) is None
    assert is_harmless(error)


def test_what_is_worth_running_again_at_once() -> None:
    def of(code: str) -> BaseException:
        return asyncpg.PostgresError.new({"C": code, "M": "x", "S": "ERROR"})

    assert [is_conflict(of(code)) for code in ("40001", "40P01", "23505", "55P03", "08006")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert is_conflict(asyncpg.InvalidCachedStatementError("x"))
    assert not is_conflict(ValueError())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(), "away"),
        (TimeoutError(), "away"),
        (LostError(), "away"),
        (LateError(), "too long"),
        (UnknownOutcomeError(), "not known whether"),
        (asyncpg.InterfaceError("connection is closed"), "away"),
        (asyncpg.TargetServerAttributeNotMatched("x"), "only lets read"),
    ],
)
def test_a_connection_at_fault_is_told(error: BaseException, said: str) -> None:
    refusal = failure_of(error)
    assert refusal is not None
    assert said in refusal.message
    assert not is_harmless(error)


def test_a_fault_of_ours_is_no_fault_of_the_server() -> None:
    for error in (ValueError(), ZeroDivisionError(), asyncpg.InterfaceError("wrong use")):
        assert failure_of(error) is None
