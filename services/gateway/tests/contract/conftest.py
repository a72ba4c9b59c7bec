"""Every implementation of the store is opened by the same words."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from store_harness import SQLITE, Harness, start
from store_postgres import Databases

Open = Callable[..., Awaitable[Harness]]


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """A PostgreSQL server for all tests of this process that do not end it."""
    # Nothing here is about a crash of the machine: those tests have servers of their own.
    made = Databases(tmp_path_factory.mktemp("postgres"), fsync="off", full_page_writes="off")
    made.start()
    yield made
    made.stop()


@pytest.fixture(params=[*SQLITE, "postgresql"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """The database that the test runs on; ``only_sqlite`` narrows it."""
    return str(request.param)


@pytest.fixture
def store_settings(
    request: pytest.FixtureRequest,
    store_kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dict[str, Any]]:
    """The settings that lead to an empty store of that kind."""
    if store_kind == "sqlite of the system":
        monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", None)
    if store_kind != "postgresql":
        yield {"data_dir": tmp_path / "data"}
        return
    databases: Databases = request.getfixturevalue("databases")
    url = databases.make()
    yield {"data_dir": tmp_path / "data", "database_url": url}
    databases.drop(url)


@pytest.fixture
async def open_store(store_settings: dict[str, Any]) -> AsyncIterator[Open]:
    """A function that opens a store; called again, one more on the same data."""
    opened: list[Harness] = []

    async def open_(**settings: Any) -> Harness:
        harness = await start(**{**store_settings, **settings})
        opened.append(harness)
        return harness

    yield open_
    for harness in opened:
        await harness.store.stop()


@pytest.fixture
async def harness(open_store: Open) -> Harness:
    """A new store, started."""
    return await open_store()
