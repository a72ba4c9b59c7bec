"""What every implementation of limits has to keep, and what several nodes on Valkey add."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from hub_harness import until
from valkey_harness import KINDS, empty, keys, server, settings

from storm_gateway.limits.base import Limits, Refusal
from storm_gateway.limits.local import LocalLimits
from storm_gateway.limits.redis import RedisLimits
from storm_gateway.observability.metrics import Metrics
from storm_gateway.stack.valkey import ValkeyServer

MOST = 3
Node = Callable[[str], Limits]


@pytest.fixture(scope="module", params=KINDS)
def valkey(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ValkeyServer]:
    with server(request.param, tmp_path_factory.mktemp("valkey")) as found:
        yield found


@pytest.fixture
async def nodes(valkey: ValkeyServer) -> AsyncIterator[Node]:
    """Makes a node's limits on the one Valkey. They are to be started."""
    empty(valkey)
    made: list[RedisLimits] = []

    def make(life: str) -> RedisLimits:
        config = settings(
            valkey,
            max_connections_per_user=MOST,
            presence_lease_seconds=2,
            presence_refresh_seconds=1,
        )
        made.append(RedisLimits(config, life, Metrics()))
        return made[-1]

    yield make
    if valkey.paused:
        valkey.resume()
    if not valkey.running:
        valkey.start()
    for limits in made:
        await limits.stop()


@pytest.fixture(params=["local", "valkey"])
async def limits(request: pytest.FixtureRequest, nodes: Node) -> Limits:
    found = LocalLimits() if request.param == "local" else nodes("a.1")
    await found.start()
    return found


class Client:
    """A connection as the gateway has it: refused, it leaves."""

    def __init__(self, limits: Limits, user_id: str = "alice", ticket_id: str = "") -> None:
        self.limits = limits
        self.user_id = user_id
        self.is_open = True
        self.refusal: Refusal | None = None
        limits.enter(user_id, ticket_id, self)

    def may_not_stay(self, refusal: Refusal) -> None:
        assert self.is_open, "told after its end"
        self.refusal = refusal
        self.end()

    def end(self) -> None:
        self.is_open = False
        self.limits.leave(self.user_id)


def counted(server: ValkeyServer) -> dict[str, dict[str, int]]:
    """What each life has written down."""
    from valkey import Valkey

    with Valkey.from_url(server.url, decode_responses=True) as client:
        found = {}
        for key in client.scan_iter("storm:limits:connections:*"):
            users = {user: int(count) for user, count in client.hgetall(key).items()}
            found[str(key).rsplit(":", 1)[1]] = users
        return found


# --- what all keep ---


async def test_a_bucket_gives_its_burst_and_then_says_how_long_to_wait(limits: Limits) -> None:
    assert [await limits.take("auth:a", 0.1, 3) for _ in range(3)] == [0, 0, 0]
    assert 9 < await limits.take("auth:a", 0.1, 3) <= 10
    assert await limits.take("auth:b", 0.1, 3) == 0, "another address"


async def test_what_was_refused_costs_nothing_and_time_gives_it_back(limits: Limits) -> None:
    assert await limits.take("auth:a", 10, 1) == 0
    for _ in range(20):
        wait = await limits.take("auth:a", 10, 1)
        assert 0 <= wait <= 0.1
        if not wait:
            return
        await asyncio.sleep(wait)
    pytest.fail("nothing came back")


async def test_who_is_within_the_limit_stays(limits: Limits) -> None:
    clients = [Client(limits, ticket_id=f"ticket {n}") for n in range(MOST)]
    await asyncio.sleep(0.2)  # time in which a wrong refusal would come
    assert [client.refusal for client in clients] == [None] * MOST
    for client in clients:
        client.end()


# --- several nodes ---


async def test_the_newest_connection_over_the_limit_of_all_nodes_must_go(
    nodes: Node, valkey: ValkeyServer
) -> None:
    a, b = nodes("a.1"), nodes("b.1")
    await a.start()
    await b.start()
    old = [Client(a), Client(a)]
    await until(lambda: counted(valkey) == {"a.1": {"alice": 2}})
    new = [Client(b) for _ in range(3)]
    other = Client(b, "bob")
    await until(lambda: [c.refusal for c in new] == [None, "too_many", "too_many"])
    await until(lambda: counted(valkey) == {"a.1": {"alice": 2}, "b.1": {"alice": 1, "bob": 1}})
    assert [c.refusal for c in [*old, other]] == [None] * 3
    old[0].end()
    await until(lambda: counted(valkey)["a.1"] == {"alice": 1})
    again = Client(b)
    await until(lambda: counted(valkey)["b.1"] == {"alice": 2, "bob": 1})
    assert again.refusal is None


async def test_nothing_is_left_of_who_went_and_no_count_is_negative(
    nodes: Node, valkey: ValkeyServer
) -> None:
    a = nodes("a.1")
    await a.start()
    a.leave("nobody")
    clients = [Client(a, f"user{n}") for n in range(2_500)]
    await until(lambda: len(counted(valkey).get("a.1", {})) == 2_500)
    for client in clients:
        client.end()
    await until(lambda: counted(valkey) == {})
    before = sys.getsizeof(a._open)
    a.fit()
    assert sys.getsizeof(a._open) < before / 10
    again = Client(a)
    await until(lambda: counted(valkey) == {"a.1": {"alice": 1}})
    again.end()
    await until(lambda: counted(valkey) == {})
    await a.stop()
    await until(lambda: keys(valkey) == {})


async def test_connections_that_end_before_they_were_counted_count_nothing(
    nodes: Node, valkey: ValkeyServer
) -> None:
    a, b = nodes("a.1"), nodes("b.1")
    await a.start()
    await b.start()
    Client(a)
    await until(lambda: counted(valkey) == {"a.1": {"alice": 1}})
    clients = [Client(b) for _ in range(6)]
    for client in clients[:4]:
        client.end()
    await until(lambda: counted(valkey).get("b.1") == {"alice": 2})
    assert [c.refusal for c in clients] == [None] * 6


async def test_a_ticket_lets_one_connection_in_whatever_node_it_comes_to(nodes: Node) -> None:
    a, b = nodes("a.1"), nodes("b.1")
    await a.start()
    await b.start()
    clients = [Client(a, ticket_id="t"), Client(b, ticket_id="t")]
    await until(lambda: any(c.refusal for c in clients))
    assert sorted(str(c.refusal) for c in clients) == ["None", "ticket_used"]


async def test_a_bucket_is_shared_by_all_nodes(nodes: Node) -> None:
    a, b = nodes("a.1"), nodes("b.1")
    granted = [await node.take("auth:a", 0.1, 4) for node in (a, b, a, b)]
    assert granted == [0] * 4
    assert await a.take("auth:a", 0.1, 4) > 9
    assert await b.take("auth:a", 0.1, 4) > 9


# --- faults ---


async def test_a_killed_node_holds_nothing_after_its_lease(
    nodes: Node, valkey: ValkeyServer
) -> None:
    a, b = nodes("a.1"), nodes("b.1")
    await a.start()
    await b.start()
    for _ in range(MOST):
        Client(a)
    await until(lambda: counted(valkey) == {"a.1": {"alice": MOST}})
    assert isinstance(a, RedisLimits)
    assert a._task is not None
    a._task.cancel()
    refused = Client(b)
    await until(lambda: refused.refusal == "too_many")
    await until(lambda: "a.1" not in counted(valkey), seconds=4)
    client = Client(b)
    await until(lambda: counted(valkey) == {"b.1": {"alice": 1}})
    assert client.refusal is None


async def test_a_restart_of_an_empty_valkey_is_healed(nodes: Node, valkey: ValkeyServer) -> None:
    a, b = nodes("a.1"), nodes("b.1")
    await a.start()
    await b.start()
    for node in (a, a, b):
        Client(node)
    await until(lambda: counted(valkey) == {"a.1": {"alice": 2}, "b.1": {"alice": 1}})
    valkey.kill()
    Client(b, "bob")
    valkey.start()
    await until(
        lambda: counted(valkey) == {"a.1": {"alice": 2}, "b.1": {"alice": 1, "bob": 1}}, seconds=8
    )
    refused = Client(b)
    await until(lambda: refused.refusal == "too_many")


async def test_with_a_frozen_valkey_each_node_holds_the_limit_alone_and_waits_once(
    nodes: Node, valkey: ValkeyServer
) -> None:
    a = nodes("a.1")
    await a.start()
    assert await a.take("auth:a", 0.1, 3) == 0
    valkey.pause()
    clock = asyncio.get_running_loop().time
    began = clock()
    waits = [await a.take("auth:a", 0.1, 3) for _ in range(10)]
    assert clock() - began < 0.4
    assert [wait > 0 for wait in waits] == [False] * 3 + [True] * 7
    valkey.resume()
    async with asyncio.timeout(5):
        # The burst of all nodes is another one than that of the node alone.
        while await a.take("auth:a", 0.1, 3):  # noqa: ASYNC110 nothing tells when it is back
            await asyncio.sleep(0.05)
    client = Client(a)
    await until(lambda: counted(valkey) == {"a.1": {"alice": 1}}, seconds=8)
    assert client.refusal is None
