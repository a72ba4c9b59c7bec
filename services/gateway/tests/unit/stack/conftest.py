"""Real servers for the tests of the stack: they end with the test, whatever happens in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storm_gateway.stack.nats import NatsServer
from storm_gateway.stack.node import NodeServer
from storm_gateway.stack.postgres import PostgresServer
from storm_gateway.stack.process import Server
from storm_gateway.stack.valkey import ValkeyServer

KINDS: dict[str, Callable[[Path], Server]] = {
    "nats": NatsServer,
    "valkey": ValkeyServer,
    "postgres": PostgresServer,
    "node": NodeServer,
}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Make servers by kind; those of one kind share a folder."""
    made: list[Server] = []

    def one(kind: str) -> Server:
        made.append(KINDS[kind](tmp_path / kind))
        return made[-1]

    yield one
    for server in made:
        server.kill()
