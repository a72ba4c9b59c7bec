"""Disks that are full, and databases that only let read: the store's probe says so, and only then.

Nobody else writes here, so that it is the probe itself that notices the return.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from store_harness import GENERAL, Harness, start
from store_postgres import execute

from storm_gateway.errors import UnavailableError
from storm_gateway.stack.disk import SmallDisk, SmallDiskPostgres, missing
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.store.tables import meta
from storm_gateway.store.write_health import QUIET_SECONDS, CannotWriteError

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
    database = postgres.url.rpartition("/")[2]
    await execute(postgres.url, f"ALTER DATABASE {database} RESET default_transaction_read_only")


async def said(harness: Harness) -> str:
    """What the probe says; empty: the store is well."""
    try:
        await harness.store.probe(PROBE_SECONDS)
    except UnavailableError as error:
        return error.message
    return ""


async def green(harness: Harness) -> float:
    """The seconds until the probe has nothing to say."""
    began = time.monotonic()
    async with asyncio.timeout(GREEN_SECONDS):
        while await said(harness):  # noqa: ASYNC110 asked as a balancer asks
            await asyncio.sleep(0.1)
    return time.monotonic() - began


async def refused(harness: Harness) -> None:
    """Send until a send is refused."""
    with pytest.raises(UnavailableError, match="full"):
        for _ in range(5_000):
            await harness.append(GENERAL, "alice", "x" * 4_000)


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
    # What closing the log gave back.
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
