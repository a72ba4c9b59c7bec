"""Every implementation of the store is opened by the same words."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from store_harness import Harness, start

Open = Callable[..., Awaitable[Harness]]


@pytest.fixture(params=["sqlite", "sqlite of the system"])
async def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Open]:
    """A function that opens a store; called again, one more on the same data."""
    if request.param == "sqlite of the system":
        # As on a machine without the wheel. With an old SQLite: one connection for everything.
        monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", None)
    opened: list[Harness] = []

    async def open_(**settings: Any) -> Harness:
        harness = await start(tmp_path / "data", **settings)
        opened.append(harness)
        return harness

    yield open_
    for harness in opened:
        await harness.store.stop()


@pytest.fixture
async def harness(open_store: Open) -> Harness:
    """A new store, started."""
    return await open_store()
