"""PostgreSQL and its faults: real servers that are killed, frozen, away and read-only."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from store_harness import GENERAL, Harness, start
from store_postgres import Databases, execute
from store_senders import Senders, check, until

from storm_gateway.errors import InternalError, UnavailableError
from storm_gateway.stack.proxy import Proxy
from storm_gateway.stack.toxics import Toxics
from storm_gateway.store import postgres_dialect
from storm_gateway.store.migrate import downgrade, upgrade
from storm_gateway.store.postgres import PostgresDatabase, dsn_of
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.store.tables import metadata
from storm_gateway.store.tokens import revocation_queries
from storm_gateway.store.transaction import Transaction


@pytest.fixture
def store_kind() -> str:
    return "postgresql"


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """A server for faults, with full durability."""
    databases = Databases(tmp_path_factory.mktemp("faulty"))
    databases.start()
    yield databases
    databases.stop()


@pytest.fixture
async def faulty(own_server: Databases) -> AsyncIterator[tuple[Databases, str]]:
    """The server and a new database; what the test did to it is made good."""
    url = await asyncio.to_thread(own_server.make)
    yield own_server, url
    if own_server.server.paused:
        own_server.server.resume()
    if not own_server.server.running:
        await asyncio.to_thread(own_server.server.start)
    await asyncio.to_thread(own_server.drop, url)


async def test_a_server_that_crashes_loses_nothing_acked_and_is_found_again(faulty: Any) -> None:
    databases, url = faulty
    harness = await start(database_url=url)
    senders = Senders(harness, "user", 40, [GENERAL])
    for round_ in range(1, 3):
        await until(lambda goal=round_ * 300: len(senders.acked) > goal)
        await asyncio.to_thread(databases.server.kill)
        await until(lambda: senders.last_refusal > 0)
        with pytest.raises(UnavailableError):
            await harness.store.channels.get(GENERAL)
        await asyncio.to_thread(databases.server.start)
        back = time.monotonic()
        await until(lambda: senders.first_ack_after > back)  # noqa: B023 used at once
        assert senders.first_ack_after - back < 5
        assert (await harness.store.channels.get(GENERAL)).id == GENERAL
        senders.last_refusal = 0.0
    await senders.stop()
    assert senders.slowest < 4
    assert all(refusal.retry_after_ms for refusal in senders.refused)
    await check(harness, senders.acked)
    # A retry of each that was refused has stored it once: the payloads in the log are unique.
    # What was told live is in the log as it was told, in its order.
    log = {event.seq: event for event in await harness.log(GENERAL)}
    told = [event.seq for event in harness.events]
    assert told == sorted(set(told))
    assert all(log[event.seq] == event for event in harness.events)
    await harness.store.stop()


async def test_a_frozen_server_holds_up_no_one_longer_than_the_deadline(faulty: Any) -> None:
    databases, url = faulty
    harness = await start(database_url=url, store_timeout_seconds=1)
    senders = Senders(harness, "user", 20, [GENERAL])
    await until(lambda: len(senders.acked) > 100)
    databases.server.pause()
    started = time.monotonic()
    gaps, last = [], started
    while time.monotonic() < started + 4:
        # The loop that serves clients goes on all the time.
        await asyncio.sleep(0.01)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
    assert max(gaps) < 0.5
    assert senders.slowest < 2.5
    asked = time.monotonic()
    with pytest.raises(UnavailableError):
        await harness.store.probe(0.5)
    with pytest.raises(UnavailableError):
        await harness.store.channels.get(GENERAL)
    assert time.monotonic() - asked < 3
    databases.server.resume()
    back = time.monotonic()
    await until(lambda: senders.first_ack_after > back)
    assert senders.first_ack_after - back < 5
    await harness.store.probe(2)
    await senders.stop()
    await check(harness, senders.acked)
    await harness.store.stop()


async def test_a_server_that_answers_half_a_second_late_takes_every_message(faulty: Any) -> None:
    databases, url = faulty
    with Proxy((databases.server.host, databases.server.port)) as proxy:
        # Less than the six answers take that a message waits for.
        harness = await start(database_url=proxy.instead_of(url), store_timeout_seconds=2.4)
        senders = Senders(harness, "user", 20, [GENERAL])
        await until(lambda: len(senders.acked) > 100)
        await asyncio.to_thread(proxy.harm, answers=Toxics(latency_seconds=0.5))
        already = len(senders.acked)
        await until(lambda: len(senders.acked) > already + 60, 30)
        assert senders.refused == []
        await asyncio.to_thread(proxy.heal)
        await senders.stop()
        await check(harness, senders.acked)
        await harness.store.stop()


async def test_what_waits_for_a_frozen_server_is_refused_with_the_first_that_fails(
    faulty: Any,
) -> None:
    databases, url = faulty
    # One write a transaction: each of twenty would wait for a failure of its own.
    harness = await start(database_url=url, store_timeout_seconds=1.2, commit_batch=1)
    senders = Senders(harness, "user", 20, [GENERAL])
    await until(lambda: len(senders.acked) > 40)
    databases.server.pause()
    await until(lambda: len(senders.refused) > 60, 20)
    databases.server.resume()
    back = time.monotonic()
    await until(lambda: senders.first_ack_after > back)
    await senders.stop()
    assert senders.slowest < 4
    await check(harness, senders.acked)
    await harness.store.stop()


async def test_a_store_stops_while_its_server_is_frozen(faulty: Any) -> None:
    databases, url = faulty
    harness = await start(database_url=url, store_timeout_seconds=0.5)
    await harness.append(GENERAL, "alice")
    await harness.store.channels.get(GENERAL)
    databases.server.pause()
    waiting = harness.send(GENERAL, "alice")
    async with asyncio.timeout(8):
        await harness.store.stop()
    with pytest.raises(UnavailableError):
        await waiting


async def test_without_a_server_the_start_is_refused_without_secrets(faulty: Any) -> None:
    databases, url = faulty
    await asyncio.to_thread(databases.server.stop)
    with pytest.raises(UnavailableError) as refusal:
        await start(database_url=url)
    assert databases.server.password not in str(refusal.value)
    assert "away" in refusal.value.message
    await asyncio.to_thread(databases.server.start)
    with pytest.raises(UnavailableError, match="login") as refusal:
        await start(database_url=url.replace(databases.server.password, "wrong-password"))
    assert "wrong-password" not in str(refusal.value)
    with pytest.raises(UnavailableError, match="no such database"):
        await start(database_url=url + "_and_more")


async def test_idle_connections_that_the_server_ended_are_replaced_unnoticed(
    harness: Harness,
) -> None:
    for _ in range(3):
        await harness.append(GENERAL, "alice")
        await asyncio.gather(*[harness.store.channels.get(GENERAL) for _ in range(8)])
        await execute(
            harness.config.database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
    await harness.append(GENERAL, "alice")
    assert len(await harness.log(GENERAL)) == 4


async def test_a_node_that_is_killed_or_frozen_in_its_transaction_frees_its_channels(
    databases: Databases, store_settings: dict[str, Any]
) -> None:
    harness = await start(**store_settings)
    url = store_settings["database_url"]
    for number in (signal.SIGKILL, signal.SIGSTOP):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("store_holder.py")),
            url,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert child.stdout is not None
            assert await asyncio.wait_for(child.stdout.readline(), 20) == b"locked\n"
            child.send_signal(number)
            started = time.monotonic()
            await harness.append(GENERAL, "alice")
            # Idle in its transaction for half of the deadline, then the server ends it.
            assert time.monotonic() - started < 2.5
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    log = await harness.log(GENERAL)
    assert [event.user_id for event in log] == ["alice", "alice"]
    await harness.store.stop()


async def test_a_lock_that_is_held_too_long_is_unavailable_and_passes(open_store: Any) -> None:
    harness = await open_store(store_timeout_seconds=0.5)
    import asyncpg

    other = await asyncpg.connect(harness.config.database_url)
    await other.execute("BEGIN; SELECT 1 FROM channels FOR UPDATE")
    started = time.monotonic()
    results = await asyncio.gather(
        *[harness.send(GENERAL, "alice") for _ in range(5)], return_exceptions=True
    )
    assert {type(result) for result in results} == {UnavailableError}
    assert time.monotonic() - started < 2
    # Reading waits for no writer.
    assert (await harness.store.channels.get(GENERAL)).head == 0
    await other.execute("ROLLBACK")
    await harness.append(GENERAL, "alice")
    await other.close()


async def test_no_connection_left_and_a_server_that_only_lets_read_are_told(
    own_server: Databases, faulty: Any
) -> None:
    databases, url = faulty
    harness = await start(database_url=url)
    name = url.rpartition("/")[2]
    await harness.append(GENERAL, "alice")
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608
    await execute(
        databases.server.url, f"ALTER DATABASE {name} SET default_transaction_read_only = on"
    )
    await execute(databases.server.url, cut)
    with pytest.raises(UnavailableError, match="only lets read"):
        await harness.append(GENERAL, "alice")
    await execute(
        databases.server.url, f"ALTER DATABASE {name} RESET default_transaction_read_only"
    )
    await harness.append(GENERAL, "alice")
    await execute(databases.server.url, "CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 0")
    few = url.replace(f"storm:{databases.server.password}", "few:few")
    with pytest.raises(UnavailableError, match="no free connection"):
        await start(database_url=few)
    assert len(await harness.log(GENERAL)) == 2
    await harness.store.stop()
    await execute(databases.server.url, "DROP ROLE few")


async def test_a_write_whose_commit_was_cut_off_is_not_called_lost_or_stored(
    harness: Harness,
) -> None:
    """The connection ends between the last statement and the answer to COMMIT."""
    store = harness.store
    assert isinstance(store, SqlStore)

    def write(tx: Transaction) -> None:
        driver: Any = tx.connection.connection.driver_connection
        execute_ = driver.execute

        async def cut_off(statement: str) -> str:
            if statement == "COMMIT":
                await execute_(statement)
                driver.terminate()
            return str(await execute_(statement))

        session = store._database._own.session  # type: ignore[attr-defined]
        session._driver = _Cutting(driver, cut_off)
        tx.next_seq(GENERAL)

    with pytest.raises(UnavailableError, match="not known whether"):
        await store._commits.write(write)
    await harness.append(GENERAL, "alice")


class _Cutting:
    def __init__(self, driver: Any, execute_: Any) -> None:
        self._driver = driver
        self.execute = execute_

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)


# --- tables ---


def _tables(connection: Connection) -> list[tuple[Any, ...]]:
    """Every column with its type and collation, every index as it was written."""
    columns = connection.execute(
        text(
            "SELECT table_name, column_name, data_type, is_nullable, column_default, "
            "collation_name FROM information_schema.columns WHERE table_schema = 'public' "
            "AND table_name <> 'alembic_version' ORDER BY 1, 2"
        )
    )
    indexes = connection.execute(
        text(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
            "AND tablename <> 'alembic_version' ORDER BY 1"
        )
    )
    return [tuple(row) for row in [*columns, *indexes]]


def test_the_migrations_lead_to_the_very_tables_that_the_code_uses_and_back(
    databases: Databases,
) -> None:
    url = databases.make("template0")
    database = PostgresDatabase(dsn_of(url), 10, 1)
    try:
        database.write(lambda connection: metadata.create_all(connection))
        created = database.write(_tables)
        database.write(lambda connection: metadata.drop_all(connection))
        assert database.open() == (None, "0005")
        assert database.open() == ("0005", "0005")
        assert database.write(_tables) == created

        def go(connection: Connection) -> None:
            downgrade(connection)
            assert _tables(connection) == []
            upgrade(connection)
            assert _tables(connection) == created
            assert connection.execute(text("SELECT id, name FROM channels")).all() == [
                (1, "general")
            ]
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

        database.write(go)
        with pytest.raises(ValueError, match="update STORM"):
            database.open()
    finally:
        database.close()
        databases.drop(url)


async def test_names_are_ordered_by_code_point_whatever_the_server_speaks(
    harness: Harness,
) -> None:
    await harness.people("a", "B", "b", "A", "_", "ä", "Z")
    assert [user.id for user in await harness.store.users.page(10)] == sorted("aBbA_äZ")


async def test_a_login_without_synchronous_commit_waits_for_the_disk_all_the_same(
    open_store: Any,
) -> None:
    harness = await open_store()
    url = harness.config.database_url
    name = url.rpartition("/")[2]
    await execute(url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    other = await open_store()

    def look(tx: Transaction) -> str:
        return str(tx.connection.execute(text("SHOW synchronous_commit")).scalar_one())

    assert await other.store._commits.write(look) == "on"
    await execute(url, f"ALTER DATABASE {name} SET synchronous_commit = local")
    third = await open_store()
    assert await third.store._commits.write(look) == "local"


async def test_a_failed_statement_that_a_write_passes_over_is_no_commit(harness: Harness) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK then, and that is no error to the driver."""

    def write(tx: Transaction) -> None:
        tx.next_seq(GENERAL)
        with contextlib.suppress(DBAPIError):
            tx.connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(InternalError):
        await harness.store._commits.write(write)  # type: ignore[attr-defined]
    assert (await harness.store.channels.get(GENERAL)).head == 0


async def test_large_tables_are_read_by_key_with_plans_made_while_they_were_small(
    harness: Harness,
) -> None:
    """A plan is kept as long as its connection; a scan of all messages must not be one."""

    def plans(connection: Connection) -> list[str]:
        shown = []
        for at, (statement, values) in enumerate(
            [
                (postgres_dialect._LOOK_UP, "'{1}', '{a}', '{1}', '{a}', '{r}'"),
                (postgres_dialect._REPLAY, "1, 0, 10, 10"),
                (postgres_dialect._LOCK, "ARRAY[1]"),
                (
                    postgres_dialect._APPEND_UNLESS_MOVED,
                    """'[[1,1,"a","hello",0,"r"]]', '{1}', '{0}', '{0}', '{1}'""",
                ),
            ]
        ):
            postgres_dialect.ask(connection, f"PREPARE looked{at} AS {statement}")
            rows = postgres_dialect.ask(connection, f"EXPLAIN EXECUTE looked{at}({values})")
            shown.append("\n".join(row[0] for row in rows))
        return shown

    for plan in await harness.store._reads.run(plans):  # type: ignore[attr-defined]
        assert "Seq Scan" not in plan, plan


async def test_no_statement_of_a_message_is_planned_anew(harness: Harness) -> None:
    for number in range(12):
        await harness.append(GENERAL, "alice", f"{number}", f"ref-{number}")
        # With a join among them, they lock first.
        message = harness.send(GENERAL, "alice", f"{number} more", f"ref-{number}-more")
        await asyncio.gather(message, harness.enter(GENERAL, f"user-{number}"))

    def plans(tx: Transaction) -> list[Any]:
        return postgres_dialect.ask(
            tx.connection,
            "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements",
        )

    made = {
        row[0]: (row[1], row[2])
        for row in await harness.store._commits.write(plans)  # type: ignore[attr-defined]
    }
    for statement in (
        postgres_dialect._LOCK,
        postgres_dialect._LOOK_UP,
        postgres_dialect._APPEND,
        postgres_dialect._APPEND_UNLESS_MOVED,
    ):
        generic, custom = made[statement]
        assert (generic >= 8, custom) == (True, 0), statement


async def test_what_each_node_asks_every_few_seconds_reads_no_whole_table(
    harness: Harness,
) -> None:
    def plans(connection: Connection) -> list[str]:
        shown = []
        for query in revocation_queries(time.time() - 300):
            said = query.compile(connection, compile_kwargs={"literal_binds": True})
            rows = postgres_dialect.ask(connection, f"EXPLAIN {said}")
            shown.append("\n".join(row[0] for row in rows))
        return shown

    indices = ("revocations_at", "users_deleted", "users_banned")
    found = await harness.store._reads.run(plans)  # type: ignore[attr-defined]
    for plan, index in zip(found, indices, strict=True):
        assert index in plan, plan
        assert "Seq Scan" not in plan, plan
