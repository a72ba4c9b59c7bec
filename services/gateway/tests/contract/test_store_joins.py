"""Joins that come one after the other are committed together, where other nodes write too."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from store_harness import GENERAL, Harness

from storm_gateway.store import group_commit

PATIENCE_SECONDS = 60
"""So long that only what is tested ends it."""


@pytest.fixture
def store_kind() -> str:
    return "postgresql"


@pytest.fixture
async def harness(
    open_store: Callable[..., Awaitable[Harness]], monkeypatch: pytest.MonkeyPatch
) -> Harness:
    """Has just committed a join, which waited for nobody."""
    monkeypatch.setattr(group_commit, "JOINS_GATHER_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(group_commit, "JOINS_PAUSE_SECONDS", PATIENCE_SECONDS)
    harness = await open_store(commit_batch=8)
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        await harness.join(GENERAL, "first")
    harness.said.clear()
    return harness


def commits(harness: Harness) -> list[int]:
    return [len(said.what) for said in harness.said if said.kind == "committed"]


async def test_joins_gather_until_a_message_comes_and_it_does_not_wait(harness: Harness) -> None:
    joins = []
    for number in range(4):
        joins.append(harness.enter(GENERAL, f"u{number}"))
        await asyncio.sleep(0.02)  # each in another turn: the writer has been woken for it
    assert commits(harness) == []
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        await harness.append(GENERAL, "first")
        await asyncio.gather(*joins)
    assert commits(harness) == [5]


async def test_a_full_batch_of_joins_waits_for_no_more(harness: Harness) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        await asyncio.gather(*[harness.enter(GENERAL, f"u{number}") for number in range(8)])
    assert commits(harness) == [8]


async def test_a_store_that_stops_commits_the_joins_that_gather(harness: Harness) -> None:
    joins = [harness.enter(GENERAL, f"u{number}") for number in range(3)]
    await asyncio.sleep(0.02)
    assert commits(harness) == []
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        await harness.store.stop()
        await asyncio.gather(*joins)
    assert commits(harness) == [3]
