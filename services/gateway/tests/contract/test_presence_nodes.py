"""Presence of several nodes on one Valkey: exact, whatever happens to nodes and server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from hub_harness import until
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st
from valkey_harness import KINDS, empty, keys, server, settings

from storm_gateway.errors import UnavailableError
from storm_gateway.observability.metrics import Metrics
from storm_gateway.presence.base import PresenceChange, PresenceSnapshot
from storm_gateway.presence.redis import RedisPresence
from storm_gateway.stack.proxy import Proxy
from storm_gateway.stack.valkey import ValkeyServer

INTERVAL = 0.02
GRACE = 0.1
LEASE = 2
BACK_SECONDS = 2 * 1 + 6
"""Two refreshes after its return, and what a busy machine takes."""


class Node(RedisPresence):
    """One node's presence, and what it told."""

    def __init__(self, server: ValkeyServer, life: str, url: str = "", **more: object) -> None:
        values = {
            "named_members": 3,
            "presence_interval_seconds": INTERVAL,
            "presence_grace_seconds": GRACE,
            "presence_lease_seconds": LEASE,
            "presence_refresh_seconds": 1,
            **more,
        }
        config = settings(server, **values)
        if url:
            config = config.model_copy(update={"redis_url": url})
        super().__init__(config, life, Metrics())
        self.told: list[PresenceChange] = []

    async def begin(self) -> "Node":
        await self.start(self.told.append)
        return self

    async def crash(self) -> None:
        """End as a killed process does: without a word."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        await self._link.close()

    def users(self, channel_id: int = 1) -> list[str] | None:
        return self.snapshot(channel_id).users

    @property
    def joins(self) -> list[str]:
        return [user for change in self.told for user in change.joined or ()]

    @property
    def leaves(self) -> list[str]:
        return [user for change in self.told for user in change.left or ()]


Make = Callable[..., Node]


@pytest.fixture(scope="module", params=KINDS)
def valkey(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ValkeyServer]:
    with server(request.param, tmp_path_factory.mktemp("valkey")) as found:
        yield found


@asynccontextmanager
async def cluster(valkey: ValkeyServer) -> AsyncIterator[Make]:
    empty(valkey)
    made: list[Node] = []

    def make(life: str, **more: object) -> Node:
        made.append(Node(valkey, life, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    if valkey.paused:
        valkey.resume()
    if not valkey.running:
        valkey.start()
    for node in made:
        await node.stop()


@pytest.fixture
async def make(valkey: ValkeyServer) -> AsyncIterator[Make]:
    async with cluster(valkey) as found:
        yield found


async def test_nodes_see_each_others_users_and_tell_them_once(make: Make) -> None:
    a, b = await make("a.1").begin(), await make("b.1").begin()
    a.enter(1, "alice")
    await until(lambda: a.told == [PresenceChange(1, 1, ["alice"], [])])
    b.enter(1, "bob")
    await until(lambda: a.users() == b.users() == ["alice", "bob"])
    await until(lambda: a.joins == ["alice", "bob"])
    await until(lambda: sorted(b.joins) == ["alice", "bob"])
    b.leave(1, "bob")
    await until(lambda: a.leaves == ["bob"])
    assert a.users() == ["alice"]
    assert await make("c.1").look(1) == PresenceSnapshot(1, ["alice"])


async def test_tabs_on_two_nodes_are_one_user_until_the_last_is_closed(make: Make) -> None:
    a, b, c = [await make(f"{name}.1").begin() for name in "abc"]
    c.enter(1, "carl")
    for node in (a, b, b):
        node.enter(1, "alice")
    await until(lambda: c.users() == ["alice", "carl"])
    a.leave(1, "alice")
    b.leave(1, "alice")
    await asyncio.sleep(GRACE * 3)  # a wrong leave would be told by now
    assert c.users() == ["alice", "carl"]
    assert c.leaves == []
    assert b.leaves == []
    b.leave(1, "alice")
    await until(lambda: c.leaves == ["alice"])
    assert sorted(c.joins) == ["alice", "carl"]


async def test_who_comes_back_on_another_node_within_the_grace_was_never_away(make: Make) -> None:
    a, b, c = [await make(f"{name}.1", presence_grace_seconds=0.4).begin() for name in "abc"]
    c.enter(1, "carl")
    a.enter(1, "alice")
    await until(lambda: c.users() == ["alice", "carl"])
    a.leave(1, "alice")
    b.enter(1, "alice")
    await asyncio.sleep(0.8)  # the grace is over on the first node
    assert c.users() == ["alice", "carl"]
    assert c.leaves == []
    assert sorted(c.joins) == ["alice", "carl"]


async def test_a_node_that_ends_leaves_its_users_online_for_the_grace(make: Make) -> None:
    grace = 0.5
    a, b, c = [await make(f"{name}.1", presence_grace_seconds=grace).begin() for name in "abc"]
    c.enter(1, "carl")
    a.enter(1, "alice")
    a.enter(1, "bob")
    await until(lambda: len(c.users() or ()) == 3)
    await a.stop()
    b.enter(1, "alice")
    await until(lambda: c.leaves == ["bob"])
    assert sorted(c.joins) == ["alice", "bob", "carl"]


async def test_the_users_of_a_killed_node_go_offline_within_its_lease(
    make: Make, valkey: ValkeyServer
) -> None:
    a, b = await make("a.1").begin(), await make("b.1").begin()
    for number in range(2_500):
        a.enter(2, f"user{number}")
    a.enter(1, "alice")
    b.enter(1, "bob")
    b.enter(2, "bob")
    await until(lambda: b.snapshot(2).online == 2_501 and b.users() == ["alice", "bob"])
    assert b.snapshot(2).users is None
    await a.crash()
    clock = asyncio.get_running_loop().time
    began = clock()
    await until(lambda: b.leaves.count("alice") == 1)
    await until(lambda: b.snapshot(2) == PresenceSnapshot(1, ["bob"]))
    assert clock() - began < LEASE + 1
    b.leave(1, "bob")
    b.leave(2, "bob")
    await until(lambda: left_behind(valkey) == [])


async def test_a_node_that_was_thought_dead_is_seen_again(make: Make, valkey: ValkeyServer) -> None:
    a, b = await make("a.1").begin(), await make("b.1").begin()
    a.enter(1, "alice")
    b.enter(1, "bob")
    await until(lambda: b.users() == ["alice", "bob"])
    assert a._task is not None
    a._task.cancel()  # as a process that is frozen
    await until(lambda: b.users() == ["bob"])
    a._task = asyncio.create_task(a._run())
    await until(lambda: b.users() == ["alice", "bob"])


async def test_a_restart_of_an_empty_valkey_is_healed_by_the_nodes(
    make: Make, valkey: ValkeyServer
) -> None:
    a, b = await make("a.1").begin(), await make("b.1").begin()
    a.enter(1, "alice")
    b.enter(1, "bob")
    await until(lambda: a.users() == b.users() == ["alice", "bob"])
    valkey.kill()
    with pytest.raises(UnavailableError):
        await a.probe(1)
    with pytest.raises(UnavailableError):
        await a.look(1)
    a.enter(1, "anna")
    await until(lambda: a.users() == ["alice", "anna", "bob"])
    assert b.users() == ["alice", "bob"], "the last that was known"
    valkey.start()
    await until(lambda: b.users() == ["alice", "anna", "bob"], seconds=BACK_SECONDS)
    assert await a.look(1) == PresenceSnapshot(3, ["alice", "anna", "bob"])
    await a.probe(1)


async def test_an_emptied_valkey_is_filled_again_though_no_connection_broke(
    make: Make, valkey: ValkeyServer
) -> None:
    a, b = await make("a.1").begin(), await make("b.1").begin()
    a.enter(1, "alice")
    b.enter(1, "bob")
    await until(lambda: a.users() == b.users() == ["alice", "bob"])
    empty(valkey)
    c = await make("c.1").begin()
    c.enter(1, "carl")
    await until(lambda: c.users() == ["alice", "bob", "carl"], seconds=BACK_SECONDS)


async def test_a_frozen_valkey_holds_nobody_up_and_afterwards_all_is_right(
    make: Make, valkey: ValkeyServer
) -> None:
    a, b = await make("a.1").begin(), await make("b.1").begin()
    a.enter(1, "alice")
    b.enter(1, "bob")
    await until(lambda: a.users() == b.users() == ["alice", "bob"])
    valkey.pause()
    a.enter(1, "anna")
    assert a.users() == ["alice", "anna", "bob"]
    with pytest.raises(UnavailableError):
        await a.probe(0.2)
    await until(lambda: "anna" in a.joins)
    # Written while nobody answers, and gone before anybody does.
    a.leave(1, "anna")
    await until(lambda: "anna" in a.leaves)
    valkey.resume()
    a.enter(1, "amy")
    await until(lambda: b.users() == ["alice", "amy", "bob"], seconds=BACK_SECONDS)
    assert await b.look(1) == PresenceSnapshot(3, ["alice", "amy", "bob"])


async def test_a_node_cut_off_from_valkey_shows_what_it_knew_and_comes_back(
    make: Make, valkey: ValkeyServer
) -> None:
    with Proxy((valkey.host, valkey.port)) as proxy:
        a = await make("a.1", url=proxy.instead_of(valkey.url)).begin()
        b = await make("b.1").begin()
        a.enter(1, "alice")
        b.enter(1, "bob")
        await until(lambda: a.users() == b.users() == ["alice", "bob"])
        proxy.down()
        await until(lambda: b.users() == ["bob"])  # its lease is over
        assert a.users() == ["alice", "bob"]
        proxy.up()
        await until(lambda: b.users() == ["alice", "bob"], seconds=BACK_SECONDS)
        await a.stop()


def left_behind(valkey: ValkeyServer) -> list[str]:
    """Keys about users: there are none when nobody is online."""
    return [key for key in keys(valkey) if ":channel:" in key or ":life:" in key]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter"] * 5 + ["leave"] * 4 + ["crash", "flush", "wait"]),
        st.integers(0, 1),  # node
        st.integers(1, 2),  # channel
        st.sampled_from(["alice", "bob", "carl", "dora"]),
    ),
    max_size=25,
)


@how(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
async def test_whatever_happens_the_end_is_exact_and_nothing_is_left_behind(
    valkey: ValkeyServer, steps: list[tuple[str, int, int, str]]
) -> None:
    async with cluster(valkey) as make:
        watcher = await make("w.0", presence_grace_seconds=0).begin()
        for channel_id in (1, 2):
            watcher.enter(channel_id, "watcher")
        lives = [0, 0]
        nodes = [await make(f"{n}.0", presence_grace_seconds=0).begin() for n in range(2)]
        held: list[dict[tuple[int, str], int]] = [{}, {}]
        for step, n, channel_id, user_id in steps:
            key = (channel_id, user_id)
            if step == "enter":
                nodes[n].enter(channel_id, user_id)
                held[n][key] = held[n].get(key, 0) + 1
            elif step == "leave":
                nodes[n].leave(channel_id, user_id)
                held[n][key] = max(0, held[n].get(key, 0) - 1)
            elif step == "crash":
                await nodes[n].crash()
                lives[n] += 1
                held[n] = {}
                nodes[n] = await make(f"{n}.{lives[n]}", presence_grace_seconds=0).begin()
            elif step == "flush":
                empty(valkey)
            else:
                await asyncio.sleep(INTERVAL * 1.5)

        def expected(channel_id: int) -> list[str]:
            users = {u for h in held for (c, u), count in h.items() if c == channel_id and count}
            return sorted(users | {"watcher"})

        for channel_id in (1, 2):
            want = expected(channel_id)
            shown = want if len(want) <= 3 else None
            await until(
                lambda c=channel_id, w=want, s=shown: (
                    watcher.snapshot(c) == PresenceSnapshot(len(w), s)
                )
            )
        for n in range(2):
            for (channel_id, user_id), count in held[n].items():
                for _ in range(count):
                    nodes[n].leave(channel_id, user_id)
        for channel_id in (1, 2):
            watcher.leave(channel_id, "watcher")
        await until(lambda: left_behind(valkey) == [])
