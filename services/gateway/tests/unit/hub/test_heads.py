"""The heads of feeds that open are asked together, and are never older than the question."""

import asyncio
from collections.abc import Iterable

import pytest
from hub_harness import Node

from storm_gateway.errors import UnavailableError
from storm_gateway.hub.heads import Heads


class Asked:
    """Notes each query of the real store, and may hold it up or break it."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries: list[list[int]] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None
        self.heads = Heads(node.store)
        real = node.store.channels.heads

        async def heads(ids: Iterable[int]) -> dict[int, int]:
            self.queries.append(list(ids))
            await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            return await real(ids)

        monkeypatch.setattr(node.store.channels, "heads", heads)


@pytest.fixture
def asked(node: Node, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(node, monkeypatch)


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_those_of_one_turn_are_one_query_and_one_channel_is_asked_once(asked: Asked) -> None:
    asked.gate.set()
    heads = await asyncio.gather(*(asked.heads.of(id_) for id_ in (1, 2, 3, 2)))
    assert [sorted(query) for query in asked.queries] == [[1, 2, 3]]
    assert heads[1:] == [0, 0, 0]  # channels that nobody made have no head


async def test_while_two_queries_are_under_way_others_gather(asked: Asked) -> None:
    waiting = []
    for id_ in range(1, 8):
        waiting.append(asyncio.create_task(asked.heads.of(id_)))
        await turn()
    assert asked.queries == [[1], [2]]
    asked.gate.set()
    await asyncio.gather(*waiting)
    assert asked.queries == [[1], [2], [3, 4, 5, 6, 7]]


async def test_whoever_asks_during_a_query_gets_the_answer_of_a_later_one(asked: Asked) -> None:
    first = asyncio.create_task(asked.heads.of(1))
    await turn()
    second = asyncio.create_task(asked.heads.of(1))
    await turn()
    asked.gate.set()
    await asyncio.gather(first, second)
    assert asked.queries == [[1], [1]]


async def test_a_failure_is_told_to_all_who_wait_and_the_next_question_is_asked(
    asked: Asked,
) -> None:
    asked.failure = UnavailableError("The store is away.")
    asked.gate.set()
    for outcome in await asyncio.gather(
        asked.heads.of(1), asked.heads.of(2), return_exceptions=True
    ):
        assert isinstance(outcome, UnavailableError)
    asked.failure = None
    assert await asked.heads.of(2) == 0


async def test_one_who_gives_up_does_not_end_it_for_another(asked: Asked) -> None:
    one, other = (asyncio.create_task(asked.heads.of(1)) for _ in range(2))
    await turn()
    one.cancel()
    asked.gate.set()
    assert await other == await asked.heads.of(1)
    assert one.cancelled()
