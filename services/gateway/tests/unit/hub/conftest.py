"""One node's hub for each test."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hub_harness import Node

OpenNode = Callable[..., Awaitable[Node]]


@pytest.fixture(scope="session")
def new_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a new node: made once and copied, because the migrations take their time."""
    path = tmp_path_factory.mktemp("new") / "data"

    async def make() -> None:
        node = Node(path)
        await node.start()
        await node.stop()

    asyncio.run(make())
    return path


@pytest.fixture
async def open_node(tmp_path: Path, new_data: Path) -> AsyncIterator[OpenNode]:
    """A function that starts a node with these settings."""
    nodes: list[Node] = []

    async def open_(**settings: Any) -> Node:
        data = shutil.copytree(new_data, tmp_path / str(len(nodes)))
        node = Node(data, **settings)
        nodes.append(node)
        await node.start()
        return node

    yield open_
    for node in nodes:
        await node.stop()


@pytest.fixture
async def node(open_node: OpenNode) -> Node:
    return await open_node()
