"""What a user who comes costs a node, in two places that were mended; each beside what it replaced.

    python benchmarks/coming.py [users]

The right to receive a channel that everybody may receive: asked of the store for each user, a
hundred at a time, or known of the channel (decision 0027). The three answers to a join and two
subscriptions: a write each, or one. One process, with a real store (SQLite) and real sockets.
"""
# ruff: noqa: T201 this is the output

import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from storm_gateway.actions.access import AccessCache
from storm_gateway.config import Config
from storm_gateway.connections.websocket import Engine, WebSocket
from storm_gateway.observability.metrics import Metrics
from storm_gateway.protocol.websocket import text_frame
from storm_gateway.store.sql_store import SqlStore

RUNS = 5
AT_ONCE = 100
GENERAL = 1
ANSWER = text_frame(b'{"type":"subscribed","channel_id":1,"head":4711}' + b" " * 60)


async def microseconds(run: Callable[[], Awaitable[object]], users: int) -> float:
    """Of processor time for a user; the median of some runs."""
    found = []
    for _ in range(RUNS):
        began = time.process_time()
        await run()
        found.append((time.process_time() - began) / users * 1e6)
    return median(found)


async def rights(folder: Path, users: int) -> tuple[float, float]:
    """Asked for each user, known of the channel."""
    store = SqlStore(Config(data_dir=folder), Metrics())
    await store.start(lambda committed: None)
    try:
        names = [f"user-{number}" for number in range(users)]

        async def ask() -> None:
            cache = AccessCache(store)
            for first in range(0, users, AT_ONCE):
                part = names[first : first + AT_ONCE]
                await asyncio.gather(*(cache.load(name, GENERAL) for name in part))

        cache = AccessCache(store)
        cache.open.learn(GENERAL)
        while not cache.open.holds(GENERAL):  # noqa: ASYNC110 nothing tells when it is known
            await asyncio.sleep(0.001)

        async def know() -> None:
            for _ in names:
                assert cache.open.holds(GENERAL)  # noqa: S101 else it is no benchmark

        return await microseconds(ask, users), await microseconds(know, users)
    finally:
        await store.stop()


async def answers(users: int) -> tuple[float, float]:
    """Three writes, and one."""
    engine = Engine(
        message_bytes=65_536, ephemeral_bytes=262_144, close_bytes=1_048_576, close_seconds=3
    )
    bound = type("Bound", (WebSocket,), {"__slots__": (), "engine": engine})
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    for each in (ours, theirs):
        each.setblocking(False)
    transport, websocket = await loop.create_connection(bound, sock=ours)
    websocket.opened()

    async def send(corked: bool) -> None:
        for _ in range(users):
            if corked:
                websocket.cork()
            for _ in range(3):
                websocket.send(ANSWER)
            if corked:
                websocket.uncork()
            theirs.recv(65_536)

    found = (
        await microseconds(lambda: send(False), users),
        await microseconds(lambda: send(True), users),
    )
    transport.abort()
    theirs.close()
    return found


async def main(users: int) -> None:
    """Prints a table."""
    with tempfile.TemporaryDirectory(prefix="storm-coming-") as folder:
        rows = {
            "the right to receive an open channel": await rights(Path(folder), users),
            "three answers": await answers(users),
        }
    print(f"{'for each user, microseconds of CPU':<40} {'before':>8} {'after':>8} {'ratio':>7}")
    for name, (before, after) in rows.items():
        print(f"{name:<40} {before:>8.2f} {after:>8.2f} {before / after:>6.1f}x")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000))
