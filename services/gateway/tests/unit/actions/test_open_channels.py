"""Channels that anybody may receive are known by themselves, and never for too long."""

import asyncio
from collections.abc import Iterable

import pytest
from actions_node import Node
from hub_harness import until

from storm_gateway.actions.open_channels import OpenChannels
from storm_gateway.bus.base import ControlEvent
from storm_gateway.errors import UnavailableError

TTL = 30


class Store:
    """The real store, whose answers may be held up or broken, and a clock."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.now = 1_000.0
        real = node.store.channels.open

        async def ask(channel_ids: Iterable[int]) -> set[int]:
            asked = list(channel_ids)
            self.queries.append(asked)
            answer = await real(asked)
            await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            return answer

        monkeypatch.setattr(node.store.channels, "open", ask)
        self.channels = OpenChannels(node.store, ttl_seconds=TTL, size=3, clock=lambda: self.now)

    async def learn(self, *channel_ids: int) -> None:
        """Ask, and wait until the answer is there."""
        before = len(self.queries)
        for channel_id in channel_ids:
            self.channels.learn(channel_id)
        await until(lambda: len(self.queries) > before and not self.channels._asked)


@pytest.fixture
def store(node: Node, monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(node, monkeypatch)


async def test_a_public_channel_is_open_once_it_was_asked_for(store: Store) -> None:
    assert not store.channels.holds(1)
    await store.learn(1)
    assert store.channels.holds(1)


async def test_many_are_asked_for_at_once_and_each_only_once(store: Store) -> None:
    for _ in range(5):
        store.channels.learn(1)
        store.channels.learn(2)
    await store.learn(1)
    assert store.queries == [[1, 2]]


async def test_one_with_a_banned_user_is_not_open_and_is_again_without(
    node: Node, store: Store
) -> None:
    await node.make("alice", "bob")
    channel = await node.actions.channels.create("alice", "dev")
    await node.actions.members.ban("alice", channel.id, "bob")
    await store.learn(channel.id)
    assert not store.channels.holds(channel.id)
    await node.actions.members.unban("alice", channel.id, "bob")
    store.now += TTL
    await store.learn(channel.id)
    assert store.channels.holds(channel.id)


async def test_of_one_that_is_not_open_it_is_not_asked_again_and_again(
    node: Node, store: Store
) -> None:
    await node.make("alice")
    private = (await node.actions.channels.create("alice", "dev", "private")).id
    await store.learn(private)
    for _ in range(5):
        store.channels.learn(private)
    await store.learn(1)
    assert store.queries == [[private], [1]]
    store.channels.clear()
    await store.learn(private)
    assert store.queries == [[private], [1], [private]]


@pytest.mark.parametrize("kind", ["private", "deleted", "unknown"])
async def test_what_is_not_for_everybody_is_not_open(node: Node, store: Store, kind: str) -> None:
    await node.make("alice")
    visibility = "private" if kind == "private" else "public"
    channel_id = (await node.actions.channels.create("alice", "dev", visibility)).id
    if kind == "deleted":
        await node.actions.channels.delete("alice", channel_id)
    await store.learn(channel_id + (kind == "unknown"))
    assert not store.channels.holds(channel_id + (kind == "unknown"))


@pytest.mark.parametrize(
    "event",
    [
        ControlEvent("access_lost", user_id="bob", channel_id=1),
        ControlEvent("access_changed", channel_id=1),
        ControlEvent("channel_deleted", channel_id=1),
    ],
)
async def test_a_control_event_that_makes_it_doubtful_ends_it(
    store: Store, event: ControlEvent
) -> None:
    await store.learn(1)
    store.channels.on_control(event)
    assert not store.channels.holds(1)


async def test_who_joins_or_is_given_a_role_makes_nothing_doubtful(store: Store) -> None:
    await store.learn(1)
    store.channels.on_control(ControlEvent("access_changed", user_id="bob", channel_id=1))
    assert store.channels.holds(1)


async def test_an_answer_from_before_a_ban_does_not_count(store: Store) -> None:
    store.gate.clear()
    learning = asyncio.create_task(store.learn(1))
    await until(lambda: store.queries)
    store.channels.on_control(ControlEvent("access_lost", user_id="bob", channel_id=1))
    store.gate.set()
    await learning
    assert not store.channels.holds(1)


async def test_lost_events_end_all_that_is_known(store: Store) -> None:
    await store.learn(1)
    store.channels.clear()
    assert not store.channels.holds(1)


async def test_what_was_learned_before_a_moment_does_not_count_after_it(store: Store) -> None:
    await store.learn(1)
    assert store.channels.holds(1, since=1_000)
    assert not store.channels.holds(1, since=1_000.1)


async def test_it_is_asked_anew_in_advance_while_it_is_used(store: Store) -> None:
    await store.learn(1)
    store.now += TTL / 2
    assert store.channels.holds(1)
    await until(lambda: len(store.queries) == 2 and not store.channels._asked)
    store.now += TTL / 2 + 1
    assert store.channels.holds(1)


async def test_a_ban_that_nobody_told_of_is_found_when_it_is_asked_anew(
    node: Node, store: Store
) -> None:
    await node.make("alice", "bob")
    channel = await node.actions.channels.create("alice", "dev")
    await store.learn(channel.id)
    await node.actions.members.ban("alice", channel.id, "bob")
    assert store.channels.holds(channel.id), "this node was told nothing"
    await store.learn(channel.id)
    assert not store.channels.holds(channel.id)


async def test_it_is_forgotten_when_its_time_is_over(store: Store) -> None:
    await store.learn(1)
    store.now += TTL
    assert not store.channels.holds(1)


@pytest.mark.parametrize("failure", [UnavailableError("away"), RuntimeError("broken")])
async def test_without_the_store_nothing_is_open_and_it_is_asked_again(
    store: Store, failure: Exception
) -> None:
    store.failure = failure
    await store.learn(1)
    assert not store.channels.holds(1)
    store.failure = None
    await store.learn(1)
    assert store.channels.holds(1)


async def test_no_more_than_its_size_is_known(node: Node, store: Store) -> None:
    await node.make("alice")
    ids = [(await node.actions.channels.create("alice", f"c{n}")).id for n in range(5)]
    for channel_id in ids:
        await store.learn(channel_id)
    assert [store.channels.holds(channel_id) for channel_id in ids] == [False] * 2 + [True] * 3


async def test_a_user_of_an_open_channel_is_not_asked_for(
    node: Node, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = node.actions.channels
    assert not channels.may_receive_now("alice", 1, 0.0, crowd=100)
    await until(lambda: channels.may_receive_now("alice", 1, 0.0))
    monkeypatch.setattr(node.store.channels, "access", None)
    channels.foresee("bob", 1)
    assert channels.may_receive_now("bob", 1, 0.0)
