"""What a node spends at rest, for small channels and many users: memory, comparing heads, hearing
of events, who was deleted.

    python benchmarks/at_rest.py [channels]

One process with real PostgreSQL and NATS servers, started here. Each row stands beside what it
replaced: a deque of what was said, a set of subscribers, a dictionary of the few who are present,
nats-py's own subscriptions, reading all heads to compare them here, and reading all users.
"""
# ruff: noqa: T201 this is the output

import asyncio
import gc
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import nats

from storm_gateway.bus.nats import NatsBus
from storm_gateway.bus.wire import reader_of
from storm_gateway.config import Config
from storm_gateway.hub.feed import Feed
from storm_gateway.observability.metrics import Metrics
from storm_gateway.presence.room import Room
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import MessageEvent
from storm_gateway.stack.nats import NatsServer
from storm_gateway.stack.postgres import PostgresServer
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.store.upgrade import bring_up_to_date

RUNS = 5
EVENTS = 20_000
FRAME = b"x" * 150
CROWD = [object() for _ in range(167)]
"""Of a room of 1,000 on one of six nodes."""
OTHERS = " ".join(f"user-{number:05}" for number in range(9))


def bytes_each(make: Callable[[int], object], count: int) -> float:
    """Memory of one, when there are so many."""
    gc.collect()
    tracemalloc.start()
    kept = [make(number) for number in range(count)]
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - sys.getsizeof(kept)
    tracemalloc.stop()
    return used / count


def feed(number: int) -> Feed:
    """With one listener."""
    made = Feed(f"channels.{number + 1000}", number + 1000)
    made.subscribers = (object(),)  # type: ignore[assignment]  # only its place counts
    return made


def talking(number: int) -> Feed:
    """In which one message was said in the last minute."""
    made = feed(number)
    made.seq = number
    made.references = 1  # somebody catches up, so it is kept
    made.accept(number + 1, FRAME + b"%d" % number, 256, 65_536)
    made.pending = ()  # written to everybody
    return made


def talking_before(number: int) -> Feed:
    """The same, kept in what leaves at one end as fast as it comes at the other."""
    made = talking(number)
    made.recent = deque(made.recent)  # type: ignore[assignment]  # as it was
    return made


def room(number: int) -> Room:
    """With one user here and nine elsewhere, written down and told."""
    made = Room()
    made.come(f"here-{number}")
    made.wrote(f"here-{number}", there=True)
    made.learned(10, OTHERS.replace("user", f"u{number}"))
    made.change(number, 200, 400, 0.0)
    return made


def room_before(number: int) -> Room:
    """The same, with the connections of each user counted."""
    made = room(number)
    made.own = dict.fromkeys(made.own, 1)
    return made


def crowd(number: int) -> Feed:
    """With many listeners, whose own memory does not count."""
    made = Feed(f"channels.{number + 1000}", number + 1000)
    for listener in CROWD:
        made.add(listener, 0)  # type: ignore[arg-type]  # only its place counts
    return made


def crowd_before(number: int) -> Feed:
    """The same, in a set."""
    made = crowd(number)
    made.subscribers = set(made.subscribers)  # type: ignore[assignment]  # as it was
    return made


async def bytes_of(subscribe: Callable[[int], Awaitable[Any]], count: int) -> float:
    """Memory of one subscription."""
    gc.collect()
    tracemalloc.start()
    kept = [await subscribe(number) for number in range(count)]
    await asyncio.sleep(0.1)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - sys.getsizeof(kept)
    tracemalloc.stop()
    return used / count


class Ear:
    """Counts what it is told, until it was told enough."""

    def __init__(self) -> None:
        self.left = 0
        self.enough = asyncio.Event()

    def hear(self, event: object) -> None:
        self.left -= 1
        if not self.left:
            self.enough.set()


async def hearing(say: Callable[[], Awaitable[None]], ear: Ear) -> float:
    """Processor time of a message, said and heard, in microseconds."""
    found = []
    for _ in range(RUNS):
        ear.left = EVENTS
        ear.enough.clear()
        began = time.process_time()
        await say()
        await ear.enough.wait()
        found.append((time.process_time() - began) / EVENTS * 1e6)
    return median(found)


async def the_bus(folder: Path, count: int) -> dict[str, tuple[float, float]]:
    """Bytes of a subscription, and time of a message: as it is, and by nats-py alone."""
    server = NatsServer(folder / "nats")
    await asyncio.to_thread(server.start)
    try:
        bus = NatsBus(Config(nats_url=server.url), "bench", Metrics())
        await bus.start()
        plain, speaker = await nats.connect(server.url), await nats.connect(server.url)
        ours, theirs = Ear(), Ear()
        read, about = reader_of("channels.2")

        async def hear_theirs(message: Any) -> None:
            theirs.hear(read(about, message.data))

        link: Any = bus._link
        own = await bytes_of(lambda n: link.subscribe(f"a.{n}", ours.hear), count)
        other = await bytes_of(lambda n: plain.subscribe(f"b.{n}", cb=hear_theirs), count)

        await bus.subscribe("channels.1", ours.hear)
        await plain.subscribe("channels.2", cb=hear_theirs)
        await plain.flush()
        bodies = {
            channel: encode(MessageEvent(channel, "Hello", "bob", 1, 1, "2026-01-01T00:00:00.000Z"))
            for channel in (1, 2)
        }

        async def say(channel: int) -> None:
            for number in range(EVENTS):
                await speaker.publish(f"channels.{channel}", bodies[channel])
                if number % 500 == 499:
                    await speaker.flush()

        times = (
            await hearing(lambda: say(1), ours),
            await hearing(lambda: say(2), theirs),
        )
        for client in (plain, speaker):
            await client.close()
        await bus.stop()
    finally:
        await asyncio.to_thread(server.stop)
    return {"a subscription, bytes": (own, other), "a message, both ends, µs": times}


async def the_heads(folder: Path, count: int) -> tuple[float, float]:
    """Processor time of comparing a channel: where few moved, and by reading all heads."""
    server = PostgresServer(folder / "postgres")
    await asyncio.to_thread(server.start)
    try:
        config = Config(database_url=server.url)
        await asyncio.to_thread(bring_up_to_date, config)
        store = SqlStore(config, Metrics())
        await store.start(lambda committed: None)
        made = [
            await asyncio.gather(
                *(
                    store.channels.create(f"c{start + n}", "public", "", "root")
                    for n in range(min(200, count - start))
                )
            )
            for start in range(0, count, 200)
        ]
        known = await store.channels.heads([channel.id for part in made for channel in part])

        async def timed(ask: Callable[[], Awaitable[object]]) -> float:
            found = []
            for _ in range(RUNS * 3):
                began = time.process_time()
                await ask()
                found.append((time.process_time() - began) / count * 1e6)
            return median(found)

        async def all_heads() -> bool:
            found = await store.channels.heads(known)
            return any(found[channel] > head for channel, head in known.items())

        both = await timed(lambda: store.channels.moved(known)), await timed(all_heads)
        await store.stop()
    finally:
        await asyncio.to_thread(server.stop)
    return both


async def the_deleted(folder: Path, users: int) -> tuple[float, float]:
    """Milliseconds until a node knows who was deleted lately, among so many users: with the index
    and, as before, without.
    """
    server = PostgresServer(folder / "users")
    await asyncio.to_thread(server.start)
    try:
        config = Config(database_url=server.url)
        await asyncio.to_thread(bring_up_to_date, config)
        driver = await asyncpg.connect(server.url)
        await driver.execute(
            "INSERT INTO users (id, display_name, created_at) "
            "SELECT 'user-' || n, '', 0 FROM generate_series(1, $1::int) AS n",
            users,
        )
        await driver.execute("ANALYZE users")

        async def timed() -> float:
            store = SqlStore(config, Metrics())
            await store.start(lambda committed: None)
            found = []
            for _ in range(RUNS * 3):
                began = time.perf_counter()
                await store.tokens.revocations(time.time() - 300)
                found.append((time.perf_counter() - began) * 1e3)
            await store.stop()
            return median(found)

        with_it = await timed()
        await driver.execute("DROP INDEX users_deleted")
        both = with_it, await timed()
        await driver.close()
    finally:
        await asyncio.to_thread(server.stop)
    return both


async def figures(count: int, folder: Path) -> dict[str, tuple[float, float | None]]:
    """Name → as it is, and what it replaced."""
    found: dict[str, tuple[float, float | None]] = {
        "a feed with one listener, bytes": (bytes_each(feed, count), None),
        "the same after one message, bytes": (
            bytes_each(talking, count),
            bytes_each(talking_before, count),
        ),
        "a feed with 167 listeners, bytes": (
            bytes_each(crowd, count // 10),
            bytes_each(crowd_before, count // 10),
        ),
        "a room of presence with ten users, bytes": (
            bytes_each(room, count),
            bytes_each(room_before, count),
        ),
    }
    found |= await the_bus(folder, min(count, 2_000))
    found["comparing a channel with the store, µs"] = await the_heads(folder, count)
    users = 100 * count
    found[f"who was deleted of {users:,} users, ms"] = await the_deleted(folder, users)
    return found


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    with tempfile.TemporaryDirectory(prefix="storm-bench-") as folder:
        print(f"{count:,} channels, medians of {RUNS} runs; processor time of this process")
        for name, (own, other) in asyncio.run(figures(count, Path(folder))).items():
            beside = "" if other is None else f"   before {other:10,.1f}   {other / own:.1f} times"
            print(f"{name:44}{own:10,.1f}{beside}")


if __name__ == "__main__":
    main()
