"""One node's actions for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from actions_node import Node

from storm_gateway.config import Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=tmp_path, admins="root")


@pytest.fixture
async def node(config: Config) -> AsyncIterator[Node]:
    node = Node(config)
    await node.start()
    yield node
    await node.stop()
