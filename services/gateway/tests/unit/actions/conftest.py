"""One node's actions for each test, at a time that the test decides."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from actions_node import Clock, Node

from storm_gateway.config import Config


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def node(tmp_path: Path, clock: Clock) -> AsyncIterator[Node]:
    node = Node(Config(data_dir=tmp_path, admins="root"), clock)
    await node.start()
    yield node
    await node.stop()
