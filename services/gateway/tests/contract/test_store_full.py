"""Disks that are full, and databases that only let read: the store's probe says so, and only then.

Nobody else writes here, so that it is the probe itself that notices the return.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select
from store_harness import GENERAL, Harness, only_sqlite, start
from store_postgres import Databases, execute

from storm_gateway.errors import UnavailableError
from storm_gateway.stack.disk import SmallDisk, SmallDiskPostgres, limit_files, missing
from storm_gateway.store.group_commit import GroupCommit
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.store.tables import meta
from storm_gateway.store.transaction import Transaction
from storm_gateway.store.write_health import QUIET_SECONDS

LACK = missing()
needs_root = pytest.mark.skipif(bool(LACK), reason=LACK)
PROBE_SECONDS = 2.0
GREEN_SECONDS = 10.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk", mebibytes=16)
    disk.mount()
    yield disk
    disk.unmount()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDiskPostgres]:
    postgres = SmallDiskPostgres(tmp_path_factory.mktemp("full") / "postgres")
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.stop()
        postgres.disk.unmount()


@pytest.fixture
async def small_postgres(postgres: SmallDiskPostgres) -> AsyncIterator[SmallDiskPostgres]:
    yield postgres
    postgres.disk.empty()


async def said(harness: Harness) -> str:
    """What the probe says; empty: the store is well."""
    try:
        await harness.store.probe(PROBE_SECONDS)
    except UnavailableError as error:
        return error.message
    return ""


def commits_of(harness: Harness) -> GroupCommit:
    assert isinstance(harness.store, SqlStore)
    return harness.store._commits


async def green(harness: Harness) -> float:
    """The seconds until the probe has nothing to say."""
    began = time.monotonic()
    async with asyncio.timeout(GREEN_SECONDS):
        while await said(harness):  # noqa: ASYNC110 asked as a balancer asks
            await asyncio.sleep(0.1)
    return time.monotonic() - began


async def refused(harness: Harness) -> None:
    """Send until a send is refused."""
    message = ""
    for _ in range(5_000):
        try:
            await harness.append(GENERAL, "alice", "x" * 4_000)
        except UnavailableError as error:
            message = error.message
            break
    assert "full" in message


async def stays_red(harness: Harness) -> None:
    """For longer than the refused send is remembered, so that the probe itself has been refused."""
    end = time.monotonic() + 2 * QUIET_SECONDS + 0.5
    while time.monotonic() < end:
        assert await said(harness) == "cannot write: the disk is full"
        await asyncio.sleep(0.1)


async def full_and_empty_again(harness: Harness, disk: SmallDisk) -> None:
    await harness.append(GENERAL, "alice", "before")
    assert await said(harness) == ""
    disk.fill()
    await refused(harness)
    await stays_red(harness)
    disk.empty()
    assert await green(harness) <= GREEN_SECONDS
    await harness.append(GENERAL, "alice", "after")


@needs_root
async def test_a_node_on_sqlite_is_red_while_its_disk_is_full(disk: SmallDisk) -> None:
    harness = await start(data_dir=disk.folder)
    await full_and_empty_again(harness, disk)
    await harness.store.stop()


@needs_root
async def test_a_node_on_postgresql_is_red_while_the_disk_is_full(
    small_postgres: SmallDiskPostgres,
) -> None:
    harness = await start(database_url=small_postgres.url)
    await full_and_empty_again(harness, small_postgres.disk)
    await harness.store.stop()


@needs_root
async def test_a_node_that_starts_on_a_full_disk_is_red_before_anybody_sends(
    disk: SmallDisk,
) -> None:
    harness = await start(data_dir=disk.folder)
    disk.fill()
    await refused(harness)
    await harness.store.stop()
    # Closing gave back what the log took.
    disk.fill()
    harness = await start(data_dir=disk.folder)
    assert await said(harness) == "cannot write: the disk is full"
    disk.empty()
    await green(harness)
    await harness.store.stop()


@needs_root
async def test_a_node_that_starts_on_a_full_postgresql_is_red_before_anybody_sends(
    small_postgres: SmallDiskPostgres,
) -> None:
    await (await start(database_url=small_postgres.url)).store.stop()
    small_postgres.disk.fill()
    harness = await start(database_url=small_postgres.url)
    assert await said(harness) == "cannot write: the disk is full"
    small_postgres.disk.empty()
    await green(harness)
    await harness.store.stop()


@only_sqlite
async def test_files_that_may_not_grow_are_told_where_nobody_is_root(harness: Harness) -> None:
    await harness.append(GENERAL, "alice", "before")
    assert await said(harness) == ""
    log = harness.config.data_dir / "storm.db-wal"
    limit_files(os.getpid(), log.stat().st_size)
    try:
        with pytest.raises(UnavailableError):
            await harness.append(GENERAL, "alice", "x" * 100_000)
        assert await said(harness) == "cannot write: the disk failed"
    finally:
        limit_files(os.getpid(), None)
    await green(harness)
    assert [event.payload for event in await harness.log(GENERAL)] == ["before"]


async def test_a_server_that_only_lets_read_is_told_and_its_return_noticed(
    databases: Databases,
) -> None:
    url = await asyncio.to_thread(databases.make)
    name = url.rpartition("/")[2]
    elsewhere = databases.server.url
    harness = await start(database_url=url)
    await harness.append(GENERAL, "alice")
    assert await said(harness) == ""
    await execute(elsewhere, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
    await execute(elsewhere, cut, name)
    with pytest.raises(UnavailableError):
        await harness.append(GENERAL, "alice")
    assert await said(harness) == "cannot write: the database only lets read"
    with pytest.raises(UnavailableError, match="only lets read"):
        await start(database_url=url)
    await execute(elsewhere, f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await green(harness)
    await harness.append(GENERAL, "alice")
    await harness.store.stop()
    await asyncio.to_thread(databases.drop, url)


async def test_a_login_that_may_make_no_tables_is_no_fault(databases: Databases) -> None:
    url = await asyncio.to_thread(databases.make)
    name = url.rpartition("/")[2]
    await execute(databases.server.url, f"REVOKE TEMP ON DATABASE {name} FROM PUBLIC")
    await execute(databases.server.url, "CREATE ROLE humble LOGIN PASSWORD 'humble'")
    for kind in ("TABLES", "SEQUENCES"):
        await execute(url, f"GRANT ALL ON ALL {kind} IN SCHEMA public TO humble")
    humble = await start(
        database_url=url.replace(f"storm:{databases.server.password}", "humble:humble")
    )
    assert await said(humble) == ""
    await humble.store.stop()
    await asyncio.to_thread(databases.drop, url)
    await execute(databases.server.url, "DROP ROLE humble")


async def test_a_well_database_is_written_to_once_and_then_only_asked(harness: Harness) -> None:
    store = harness.store
    assert isinstance(store, SqlStore)
    doubts = [store._database.writes.doubtful]
    assert await said(harness) == ""
    doubts.append(store._database.writes.doubtful)
    assert doubts == [True, False]

    def written(connection: Connection) -> object:
        return connection.execute(select(meta.c.value).where(meta.c.key == "probe")).scalar()

    before = await store._reads.run(written)
    for _ in range(20):
        assert await said(harness) == ""
    assert await store._reads.run(written) == before


@only_sqlite
async def test_a_probe_that_finds_no_page_is_refused_as_well(harness: Harness) -> None:
    commits = commits_of(harness)

    def limit(pages: int) -> Callable[[Transaction], int]:
        # The limit counts from the file's own pages.
        return lambda tx: int(
            tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar_one()
        )

    await commits.write(limit(1))
    assert await said(harness) == "cannot write: the disk is full"
    await commits.write(limit(1_000_000))
    await green(harness)


async def test_a_probe_shares_its_transaction_with_nobody(harness: Harness) -> None:
    commits = commits_of(harness)
    seen: dict[str, Transaction] = {}

    def write(name: str) -> Callable[[Transaction], None]:
        return lambda tx: seen.__setitem__(name, tx)

    await asyncio.gather(
        commits.write(write("before")),
        commits.write(write("probe"), alone=True),
        harness.append(GENERAL, "alice"),
        commits.write(write("after")),
    )
    assert seen["probe"] is not seen["before"]
    assert seen["probe"] is not seen["after"]
