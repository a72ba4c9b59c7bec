"""What a user who comes costs a node, where that was mended; each beside what it replaced.

    python benchmarks/coming.py [users]

The right to receive a channel that everybody may receive: asked of the store for each user, a
hundred at a time, or known of the channel (decision 0027). The same question
asked by the clock, as users come: questions in a row at a distance of four times what the last
one took, or of sixteen (decision 0021), with how long a user waits. The three answers to a join and
two subscriptions: a write each, or one. A token of another back end: PyJWT's own way with the
secret, or with the secret prepared once. One process, with a real store (SQLite) and real sockets.
"""
# ruff: noqa: T201 this is the output

import asyncio
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import jwt

from storm_gateway.actions.access import AccessCache
from storm_gateway.actions.tokens import Tokens
from storm_gateway.config import Config
from storm_gateway.connections.websocket import Engine, WebSocket
from storm_gateway.observability.metrics import Metrics
from storm_gateway.protocol.websocket import text_frame
from storm_gateway.store import turns
from storm_gateway.store.sql_store import SqlStore

RUNS = 5
AT_ONCE = 100
GENERAL = 1
A_SECOND = 500
"""Users who come by the clock."""
DISTANCES = (4, turns._REST)
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


async def by_the_clock(folder: Path, users: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """For each distance: microseconds of CPU for a user, and milliseconds that it waits (p95)."""
    store = SqlStore(Config(data_dir=folder), Metrics())
    await store.start(lambda committed: None)
    found = []
    try:
        for distance in DISTANCES:
            turns._REST = distance
            waits: list[float] = []

            async def come(cache: AccessCache, number: int, waits: list[float] = waits) -> None:
                began = time.perf_counter()
                await cache.load(f"user-{number}", GENERAL)
                waits.append(time.perf_counter() - began)

            async def all_come(come: Callable[..., Awaitable[None]] = come) -> None:
                cache, began = AccessCache(store), time.perf_counter()
                async with asyncio.TaskGroup() as group:
                    for number in range(users):
                        await asyncio.sleep(began + number / A_SECOND - time.perf_counter())
                        group.create_task(come(cache, number))  # type: ignore[arg-type]

            used = await microseconds(all_come, users)
            found.append((used, sorted(waits)[int(0.95 * len(waits))] * 1e3))
    finally:
        turns._REST = DISTANCES[-1]
        await store.stop()
    return found[0], found[1]


async def tokens(users: int) -> tuple[float, float]:
    """PyJWT with the secret; ours, each token seen for the first time."""
    secret = secrets.token_urlsafe(32)
    now = int(time.time())
    foreign = [
        jwt.encode({"sub": f"user-{number}", "iat": now, "exp": now + 900}, secret)
        for number in range(users)
    ]

    async def plainly() -> None:
        for token in foreign:
            jwt.decode(token, secret, algorithms=["HS256"])

    async def ours() -> None:
        verifier = Tokens(Config(), secret, None)
        for token in foreign:
            verifier.verify(token)

    return await microseconds(plainly, users), await microseconds(ours, users)


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
        clock = await by_the_clock(Path(folder), min(users, 3 * A_SECOND))
        rows = {
            "the right to receive an open channel": await rights(Path(folder), users),
            f"rights asked for, {A_SECOND} users a second": (clock[0][0], clock[1][0]),
            "three answers": await answers(users),
            "a token of another back end": await tokens(users),
        }
    print(f"{'for each user, microseconds of CPU':<40} {'before':>8} {'after':>8} {'ratio':>7}")
    for name, (before, after) in rows.items():
        print(f"{name:<40} {before:>8.2f} {after:>8.2f} {before / after:>6.1f}x")
    waits = [wait for _, wait in clock]
    print(f"users by the clock wait for them, p95: {waits[0]:.1f} ms before, {waits[1]:.1f} after")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000))
