"""Limits that hold over two nodes, with real NATS, Valkey and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness import WAIT_SECONDS, Node, Peer
from valkey.asyncio import Valkey

from storm_gateway.protocol.close_codes import CloseCode

MOST = 3


@pytest.fixture
async def nodes(backends: dict[str, str], tmp_path: Path) -> AsyncIterator[list[Node]]:
    made = [
        Node(
            tmp_path / name,
            node_name=name,
            max_connections_per_user=MOST,
            auth_rate_limit_enabled=True,
            auth_requests_per_minute=1,
            auth_burst=4,
            **backends,
        )
        for name in ("a", "b")
    ]
    for node in made:
        await node.start()
    yield made
    for node in made:
        await node.stop()


async def test_a_user_has_so_many_connections_over_all_nodes_and_the_newest_goes(
    nodes: list[Node], backends: dict[str, str]
) -> None:
    a, b = nodes
    old = [await a.join("alice"), await a.join("alice"), await b.join("alice")]
    await counted(backends["redis_url"], "alice", MOST)
    new = await b.join("alice")
    end = await new.closed()
    assert end.code == CloseCode.TOO_MANY_CONNECTIONS
    (error,) = new.of("error")
    assert error["code"] == "limit_reached"
    assert str(MOST) in error["message"]
    for peer in old:
        await alive(peer)
    assert await b.metric("storm_limits_refused_connections_total") == 1
    await old[0].goodbye()
    await counted(backends["redis_url"], "alice", MOST - 1)
    again = await b.join("alice")
    await counted(backends["redis_url"], "alice", MOST)
    await alive(again)


async def counted(redis_url: str, user_id: str, count: int) -> None:
    """Wait until the nodes have agreed on so many connections of a user."""
    async with Valkey.from_url(redis_url) as client, asyncio.timeout(WAIT_SECONDS):
        while True:
            found = [
                int(await client.hget(key, user_id) or 0)
                async for key in client.scan_iter("storm:limits:connections:*")
            ]
            if sum(found) == count:
                return
            await asyncio.sleep(0.01)


async def test_a_ticket_opens_one_connection_whatever_the_node(nodes: list[Node]) -> None:
    a, b = nodes
    ticket = (await a.want("bob", "POST", "/auth/ticket"))["token"]
    first = await a.open(f"/ws?token={ticket}")
    await alive(first)
    second = await b.open(f"/ws?token={ticket}")
    end = await second.closed()
    assert end.code == CloseCode.AUTHENTICATION_FAILED
    await alive(first)


async def test_attempts_at_auth_count_for_all_nodes(nodes: list[Node]) -> None:
    codes = []
    for turn in range(6):
        answer = await nodes[turn % 2].call(
            None, "POST", "/auth/login", json={"user_id": "nobody", "password": "wrong password"}
        )
        codes.append(answer.status_code)
    assert codes == [401] * 4 + [429] * 2


async def alive(peer: Peer) -> None:
    peer.send("ping")
    await peer.until("pong")
