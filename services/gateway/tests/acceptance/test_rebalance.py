"""A node that hears of emptier ones asks clients to move. How many nodes come to rest is simulated
in tests/unit/connections/test_balance.py; a real third node joins in the audit's `node-joins`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from harness import Node, Peer, all_of

from storm_gateway.bus.report import REPORTS, NodeReport
from storm_gateway.errors import UnavailableError
from storm_gateway.protocol.close_codes import CloseCode

Start = Callable[..., Awaitable[Node]]

ASKED = "storm_rebalance_asked_total"
AT_ONCE = {"rebalance_seconds": 1, "rebalance_settle_seconds": 0}
CLIENTS, NEIGHBOURS = 40, 9
SHARE = CLIENTS // (NEIGHBOURS + 1)


@contextlib.asynccontextmanager
async def empty_neighbours(node: Node) -> AsyncIterator[None]:
    """Nine nodes tell this one that they are there and have nobody, while the block lasts."""

    async def tell() -> None:
        while True:
            # As five seconds ago: it finds out by itself, before its next report.
            node.gateway.actions.nodes.report(ready=True)
            await node.gateway.ready()
            for number in range(NEIGHBOURS):
                life = f"neighbour-{number}"
                node.gateway.bus.publish(REPORTS, NodeReport(life, life, ready=True))
            await asyncio.sleep(0.2)

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def clients_of(node: Node, count: int) -> list[Peer]:
    return await all_of(*(node.join(f"user{number}") for number in range(count)))


async def test_clients_above_the_share_are_asked_to_move_and_those_who_came_since_are_not(
    start_node: Start,
) -> None:
    node = await start_node(**AT_ONCE)
    old = await clients_of(node, CLIENTS)
    async with empty_neighbours(node):
        await node.metric_becomes(ASKED, lambda asked: asked >= CLIENTS - SHARE - 1)
        new = await clients_of(node, 20)
        # Above the share again; but whoever has come since would come again.
        await node.metric_becomes(ASKED, lambda asked: asked == CLIENTS)
        assert await node.metric("storm_connection_skew") > 1
        ends = await all_of(*(peer.closed() for peer in old))
        await asyncio.sleep(1.5)  # a second of the node's clock
    assert {end.code for end in ends} == {CloseCode.SERVICE_RESTART}
    told = [peer.of("reconnect") for peer in old]
    assert all(len(each) == 1 for each in told), "once each"
    assert {each[0]["reason"] for each in told} == {"rebalance"}
    delays = {each[0]["after_ms"] for each in told}
    assert max(delays) < 1_000
    assert len(delays) > CLIENTS / 2, "not all at one moment"
    assert await node.metric(ASKED) == CLIENTS
    for peer in new:
        assert (await peer.ask("ping"))["type"] == "pong"
        assert not peer.of("reconnect")


async def test_nobody_is_asked_while_a_dependency_is_away(
    start_node: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await start_node(**AT_ONCE)

    async def away(_: float) -> None:
        raise UnavailableError("The presence does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(node.gateway.presence, "probe", away)
        await clients_of(node, CLIENTS)
        async with empty_neighbours(node):
            await node.metric_becomes("storm_connection_skew", lambda skew: skew > 1)
            await asyncio.sleep(1.5)  # a second of the node's clock
            assert await node.metric(ASKED) == 0
            patched.undo()
            await node.metric_becomes(ASKED, lambda asked: asked > 0)
