"""Queries keep a distance when they come in a row, and none waits at rest."""

import asyncio
from collections.abc import Coroutine

import pytest

from storm_gateway.store import turns as turns_module
from storm_gateway.store.turns import AT_ONCE, Turns


class Asked:
    """Numbers that are wanted, and the queries that took them."""

    def __init__(self, lasts: float = 0.0) -> None:
        self.wanted: list[int] = []
        self.queries: list[list[int]] = []
        self.began: list[float] = []
        self.lasts = lasts
        self.gate = asyncio.Event()
        self.gate.set()
        self.begins = asyncio.Condition()
        self.turns = Turns(self.take)

    def want(self, number: int) -> None:
        self.wanted.append(number)
        self.turns.want()

    def take(self) -> Coroutine[None, None, None] | None:
        taken, self.wanted = self.wanted, []
        return self.query(taken) if taken else None

    async def query(self, taken: list[int]) -> None:
        self.queries.append(taken)
        self.began.append(asyncio.get_running_loop().time())
        async with self.begins:
            self.begins.notify_all()
        await asyncio.sleep(self.lasts)
        await self.gate.wait()

    async def taken(self, numbers: int) -> None:
        """Until queries have taken so many."""
        async with self.begins:
            await self.begins.wait_for(lambda: sum(map(len, self.queries)) >= numbers)


async def turn() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_at_rest_a_query_begins_at_once_with_all_of_its_turn() -> None:
    asked = Asked()
    asked.want(1)
    asked.want(2)
    await turn()
    assert asked.queries == [[1, 2]]


async def test_two_are_under_way_and_the_rest_waits_for_one_to_end() -> None:
    asked = Asked()
    asked.gate.clear()
    for number in range(AT_ONCE + 3):
        asked.want(number)
        await turn()
    assert asked.queries == [[n] for n in range(AT_ONCE)]
    asked.gate.set()
    await asked.taken(AT_ONCE + 3)
    assert asked.queries[AT_ONCE:] == [list(range(AT_ONCE, AT_ONCE + 3))]


async def test_in_a_row_they_keep_a_distance_by_what_the_last_one_took() -> None:
    asked = Asked(lasts=0.02)
    asked.want(0)
    await asked.taken(1)
    for number in range(1, 60):
        asked.want(number)
        await asyncio.sleep(0.005)
    await asked.taken(60)
    # The second may begin before it is known how long the first takes.
    distances = [b - a for a, b in zip(asked.began[1:], asked.began[2:], strict=False)]
    assert distances
    assert min(distances) > 0.02 * 2
    assert [number for query in asked.queries for number in query] == list(range(60))


async def test_the_distance_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "_LONGEST_SECONDS", 0.01)
    asked = Asked(lasts=0.2)
    asked.want(1)
    await asked.taken(1)
    asked.want(2)
    await asyncio.sleep(0.25)
    asked.want(3)
    await turn()
    assert asked.queries == [[1], [2], [3]]
