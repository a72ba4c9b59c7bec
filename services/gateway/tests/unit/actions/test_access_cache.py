"""Rights are remembered for a moment, asked for together, and never out of date."""

import asyncio
from collections.abc import Sequence

import pytest
from actions_node import Node

from storm_gateway.actions.access import AccessCache
from storm_gateway.bus.base import ControlEvent
from storm_gateway.errors import InternalError, NotFoundError, UnavailableError
from storm_gateway.store.records import Access


class Asked:
    """Notes each query of the real store, and may hold it up or break it."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries: list[list[tuple[int, str]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()
        self.failure: Exception | None = None
        real = node.store.channels.access

        async def access(pairs: Sequence[tuple[int, str]]) -> list[Access | None]:
            self.queries.append(list(pairs))
            answer = await real(pairs)
            self.reached.set()
            await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            return answer

        monkeypatch.setattr(node.store.channels, "access", access)


@pytest.fixture
def asked(node: Node, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(node, monkeypatch)


async def test_what_was_loaded_is_remembered(node: Node, asked: Asked) -> None:
    await node.make("alice")
    cache = node.actions.access
    assert cache.get("alice", 1) is None
    access = await cache.load("alice", 1)
    assert (access.visibility, access.standing, access.admin) == ("public", None, False)
    assert cache.get("alice", 1) is access
    assert await cache.load("alice", 1) is access
    assert len(asked.queries) == 1


async def test_loads_of_one_turn_are_one_query(node: Node, asked: Asked) -> None:
    cache = node.actions.access
    await asyncio.gather(*(cache.load(f"u{n}", 1) for n in range(200)), cache.load("u7", 1))
    assert [len(query) for query in asked.queries] == [200]


async def test_very_many_loads_are_split(node: Node, asked: Asked) -> None:
    cache = AccessCache(node.store, batch=10)
    await asyncio.gather(*(cache.load(f"u{n}", 1) for n in range(25)))
    assert [len(query) for query in asked.queries] == [10, 10, 5]


async def test_a_load_joins_the_query_under_way(node: Node, asked: Asked) -> None:
    cache = node.actions.access
    asked.gate.clear()
    first = asyncio.create_task(cache.load("alice", 1))
    await asked.reached.wait()
    second = asyncio.create_task(cache.load("alice", 1))
    await asyncio.sleep(0)
    asked.gate.set()
    assert await first is await second
    assert len(asked.queries) == 1


async def test_what_is_foreseen_is_one_query_and_known_when_it_is_wanted(
    node: Node, asked: Asked
) -> None:
    cache = node.actions.access
    for channel_id in (1, 2, 3, 1):
        cache.foresee("alice", channel_id)
    access = await cache.load("alice", 1)
    assert asked.queries == [[(1, "alice"), (2, "alice"), (3, "alice")]]
    cache.foresee("alice", 1)
    assert await cache.load("alice", 1) is access
    assert len(asked.queries) == 1


async def test_what_is_foreseen_and_cannot_be_known_is_told_to_whoever_asks(
    node: Node, asked: Asked
) -> None:
    cache = node.actions.access
    asked.failure = UnavailableError("away")
    cache.foresee("alice", 1)
    with pytest.raises(UnavailableError):
        await cache.load("alice", 1)
    asked.failure = None
    cache.foresee("alice", 1)
    cache.foresee("alice", 99)
    assert (await cache.load("alice", 1)).visibility == "public"
    with pytest.raises(NotFoundError):
        await cache.load("alice", 99)


async def test_an_unknown_channel_is_not_found_and_not_remembered(node: Node, asked: Asked) -> None:
    cache = node.actions.access
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await cache.load("alice", 99)
    assert len(asked.queries) == 2


async def test_one_unknown_channel_does_not_spoil_the_query(node: Node) -> None:
    cache = node.actions.access
    known, unknown = await asyncio.gather(
        cache.load("alice", 1), cache.load("alice", 99), return_exceptions=True
    )
    assert isinstance(known, Access)
    assert isinstance(unknown, NotFoundError)


async def test_a_failure_reaches_all_who_wait_and_is_not_remembered(
    node: Node, asked: Asked
) -> None:
    cache = node.actions.access
    asked.failure = UnavailableError("away")
    outcomes = await asyncio.gather(
        cache.load("alice", 1), cache.load("bob", 1), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 2
    asked.failure = None
    assert await cache.load("alice", 1)


async def test_a_fault_of_the_store_does_not_leave_anybody_waiting(
    node: Node, asked: Asked
) -> None:
    asked.failure = RuntimeError("a fault")
    with pytest.raises(InternalError) as refused:
        await node.actions.access.load("alice", 1)
    assert "fault" not in refused.value.message.replace("your fault", "")


async def test_it_forgets_after_its_time(node: Node, asked: Asked) -> None:
    now = 0.0
    cache = AccessCache(node.store, ttl_seconds=30, clock=lambda: now)
    await cache.load("alice", 1)
    now = 29.9
    assert cache.get("alice", 1) is not None
    now = 30.0
    assert cache.get("alice", 1) is None
    await cache.load("alice", 1)
    assert len(asked.queries) == 2


async def test_it_is_bounded_and_forgets_what_was_not_used(node: Node) -> None:
    cache = AccessCache(node.store, size=3)
    for user_id in ("a", "b", "c"):
        await cache.load(user_id, 1)
    cache.get("a", 1)
    await cache.load("d", 1)
    assert cache.get("a", 1) is not None
    assert cache.get("b", 1) is None


@pytest.mark.parametrize(
    ("event", "forgotten"),
    [
        (ControlEvent("access_changed", user_id="alice", channel_id=1), {("alice", 1)}),
        (ControlEvent("access_lost", user_id="alice", channel_id=1), {("alice", 1)}),
        (ControlEvent("access_changed", channel_id=1), {("alice", 1), ("bob", 1)}),
        (ControlEvent("channel_deleted", channel_id=2), {("alice", 2)}),
        (ControlEvent("user_revoked", user_id="alice"), {("alice", 1), ("alice", 2)}),
        (ControlEvent("access_changed", user_id="alice"), {("alice", 1), ("alice", 2)}),
        (ControlEvent("session_revoked", session_id="s"), set()),
        (ControlEvent("user_event", user_id="alice"), set()),
    ],
)
async def test_control_events_make_it_forget(
    node: Node, event: ControlEvent, forgotten: set[tuple[str, int]]
) -> None:
    await node.make("alice")
    await node.actions.channels.create("alice", "second")
    cache = node.actions.access
    keys = {("alice", 1), ("alice", 2), ("bob", 1)}
    for key in keys:
        await cache.load(*key)
    node.actions.on_control(event)
    assert {key for key in keys if cache.get(*key) is None} == forgotten


async def test_a_change_during_the_query_is_asked_again(node: Node, asked: Asked) -> None:
    await node.make("alice", "bob")
    channel = await node.actions.channels.create("alice", "closed", "private")
    await node.actions.members.invite("alice", channel.id, "bob")
    asked.gate.clear()
    asked.reached.clear()
    load = asyncio.create_task(node.actions.access.load("bob", channel.id))
    await asked.reached.wait()
    # The query has read that bob is a member; now he is removed.
    await node.store.channels.remove(channel.id, "bob", "alice", lambda *_: None, ban=False)
    asked.gate.set()
    assert (await load).standing is None
    assert len(asked.queries) == 2


async def test_a_change_between_the_answer_and_the_waiter_is_asked_again(
    node: Node, asked: Asked
) -> None:
    cache = node.actions.access
    asked.gate.clear()
    load = asyncio.create_task(cache.load("alice", 1))
    await asked.reached.wait()
    asked.gate.set()
    for _ in range(10):
        if cache.get("alice", 1) is not None:
            break
        await asyncio.sleep(0)
    assert not load.done()
    cache.forget("alice", 1)
    await load
    assert len(asked.queries) == 2


async def test_losing_events_makes_it_forget_all(node: Node, asked: Asked) -> None:
    cache = node.actions.access
    await cache.load("alice", 1)
    asked.gate.clear()
    asked.reached.clear()
    load = asyncio.create_task(cache.load("bob", 1))
    await asked.reached.wait()
    cache.clear()
    assert cache.get("alice", 1) is None
    asked.gate.set()
    await load
    assert len(asked.queries) == 3


async def test_one_who_gives_up_does_not_spoil_it_for_the_others(node: Node, asked: Asked) -> None:
    asked.gate.clear()
    cache = node.actions.access
    impatient = asyncio.create_task(cache.load("alice", 1))
    patient = asyncio.create_task(cache.load("alice", 1))
    await asked.reached.wait()
    impatient.cancel()
    asked.gate.set()
    assert (await patient).channel_id == 1
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_administrators_of_the_configuration_are_known(node: Node) -> None:
    await node.make("root")
    assert (await node.actions.access.load("root", 1)).admin


async def test_while_two_queries_are_under_way_others_gather(node: Node, asked: Asked) -> None:
    cache = node.actions.access
    asked.gate.clear()
    waiting = []
    for number in range(7):
        waiting.append(asyncio.create_task(cache.load(f"u{number}", 1)))
        for _ in range(3):
            await asyncio.sleep(0)
    assert [len(query) for query in asked.queries] == [1, 1]
    asked.gate.set()
    await asyncio.gather(*waiting)
    assert [len(query) for query in asked.queries] == [1, 1, 5]


async def test_what_is_too_old_to_be_used_is_let_go(node: Node) -> None:
    now = 100.0
    cache = AccessCache(node.store, ttl_seconds=30, clock=lambda: now)
    await cache.load("alice", 1)
    now += 20
    cache.trim()
    await cache.load("bob", 1)
    now += 10
    cache.trim()  # not every time: it is a walk over everything
    assert list(cache._known) == [("alice", 1), ("bob", 1)]
    now += 6
    cache.trim()
    assert list(cache._known) == [("bob", 1)]
    now += 30
    cache.trim()
    assert not cache._known
