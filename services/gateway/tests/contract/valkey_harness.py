"""A real Valkey under test, or a real Redis, and what is in it."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from valkey import Valkey

from storm_gateway.config import Config
from storm_gateway.stack.valkey import ValkeyServer

KINDS = ("valkey", "redis")
_UNPACKED = Path(__file__).resolve().parents[4] / ".venv/redis/usr"


class RedisServer(ValkeyServer):
    """The same with Redis, as `make test` unpacks it (scripts/redis.sh) or the machine has it."""

    program = ""

    def command(self) -> Sequence[str]:
        return [self.program, *super().command()[1:]]

    def environment(self) -> Mapping[str, str]:
        places = [*map(str, _UNPACKED.glob("lib/*-linux-*")), os.environ.get("LD_LIBRARY_PATH", "")]
        return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, places))}


@contextmanager
def server(kind: str, folder: Path, *, password: str = "") -> Iterator[ValkeyServer]:
    """One of ``KINDS``. Without a Redis the test is skipped."""
    made = (RedisServer if kind == "redis" else ValkeyServer)(folder, password=password)
    if isinstance(made, RedisServer):
        path = f"{_UNPACKED / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        made.program = shutil.which("redis-server", path=path) or ""
        if not made.program:
            pytest.skip("redis-server is not here; `make test` fetches it on Debian and Ubuntu")
    made.start()
    try:
        yield made
    finally:
        made.stop()


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
