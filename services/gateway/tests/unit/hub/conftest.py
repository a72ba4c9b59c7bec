"""One node's hub for each test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hub_harness import Node

OpenNode = Callable[..., Awaitable[Node]]


@pytest.fixture
async def open_node(tmp_path: Path) -> AsyncIterator[OpenNode]:
    """A function that starts a node with these settings."""
    nodes: list[Node] = []

    async def open_(**settings: Any) -> Node:
        node = Node(tmp_path / str(len(nodes)), **settings)
        nodes.append(node)
        await node.start()
        return node

    yield open_
    for node in nodes:
        await node.stop()


@pytest.fixture
async def node(open_node: OpenNode) -> Node:
    return await open_node()
