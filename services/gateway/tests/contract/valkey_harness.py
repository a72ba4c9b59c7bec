"""A real Valkey under test, and what is in it."""

from typing import Any

from valkey import Valkey

from storm_gateway.config import Config
from storm_gateway.stack.valkey import ValkeyServer


def settings(server: ValkeyServer, **more: Any) -> Config:
    """A node's settings that lead to this server."""
    # Set by hand: these parts ask for no bus, and the whole would have to be a cluster.
    return Config(redis_url=server.url, **more)


def keys(server: ValkeyServer) -> dict[str, str]:
    """Every key and its type."""
    with Valkey.from_url(server.url, decode_responses=True) as client:
        return {key: client.type(key) for key in client.scan_iter()}


def empty(server: ValkeyServer) -> None:
    with Valkey.from_url(server.url) as client:
        client.flushall()
