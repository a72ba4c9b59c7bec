"""Nodes for the tests over real sockets. They run on uvloop, as `storm serve` does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from harness import Node, Process

from storm_gateway.stack.nats import NatsServer
from storm_gateway.stack.postgres import PostgresServer
from storm_gateway.stack.valkey import ValkeyServer


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start_node(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Node]]]:
    """Start nodes with settings of one's own, in this process; they end with the test."""
    nodes: list[Node] = []

    async def start(**settings: Any) -> Node:
        node = Node(settings.pop("data_dir", tmp_path / f"node{len(nodes)}"), **settings)
        nodes.append(node)
        await node.start()
        return node

    yield start
    for node in nodes:
        await node.stop()


@pytest.fixture
async def node(start_node: Callable[..., Awaitable[Node]]) -> Node:
    """A node on the embedded default, without limits that get in a test's way."""
    return await start_node()


@pytest.fixture
async def start_process(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """Start nodes as processes of their own, for signals."""
    processes: list[Process] = []

    async def start(**settings: Any) -> Process:
        process = Process(settings.pop("data_dir", tmp_path / "data"), **settings)
        processes.append(process)
        await process.start()
        return process

    yield start
    for process in processes:
        await process.stop()


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Real NATS, Valkey and PostgreSQL: the settings of several nodes that lead to them."""
    folder = tmp_path_factory.mktemp("backends")
    nats = NatsServer(folder / "nats")
    valkey = ValkeyServer(folder / "valkey")
    postgres = PostgresServer(folder / "postgres")
    servers = (nats, valkey, postgres)
    for server in servers:
        server.start()
    yield {"nats_url": nats.url, "redis_url": valkey.url, "database_url": postgres.url}
    for server in servers:
        server.stop()
