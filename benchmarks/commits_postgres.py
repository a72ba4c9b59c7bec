"""Durable messages a second on PostgreSQL: the store's group commit beside a plain driver loop.

    [CHANNELS=10] python benchmarks/commits_postgres.py [seconds of each run]

A real server with full durability, started here; 200 writers with one message under way each, over
so many channels, in 1, 2 and 4 processes. "locking first" is the store without its two exchanges
for messages that nobody is in the way of (decision 0012). "plain" is the shortest loop that keeps
the same order: one statement a message (take the next seq, insert), one commit each, on 10
connections a process, without the look for an earlier message of the same ref that the store makes.
"""
# ruff: noqa: T201 this is the output

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from storm_gateway.config import Config
from storm_gateway.observability.metrics import Metrics
from storm_gateway.stack.postgres import PostgresServer
from storm_gateway.stack.processes import family_of
from storm_gateway.store.committer import Committer, Outcome
from storm_gateway.store.hot import Hot
from storm_gateway.store.records import AppendMessage
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.store.upgrade import bring_up_to_date

WRITERS = 200
# From the environment, so that the other processes have it too.
CHANNELS = int(os.environ.get("CHANNELS", "10"))
WARM_UP_SECONDS = 1.0
PAYLOAD = "x" * 80
PLAIN = """
WITH taken AS (UPDATE channels SET head = head + 1 WHERE id = $1 RETURNING head)
INSERT INTO messages (channel_id, seq, user_id, payload, sent_at, ref)
SELECT $1, head, $2, $3, $4, $5 FROM taken
"""


class Count:
    """What one process acknowledged within the measured time."""

    def __init__(self, ready: Any, seconds: float) -> None:
        self._ready = ready
        self._seconds = seconds
        self.begin = self.end = 0.0
        self.waits: list[float] = []

    def start(self) -> None:
        """Wait until every process is ready. Blocks: nothing else is to be done yet."""
        self._ready.wait(60)
        self.begin = time.time() + WARM_UP_SECONDS
        self.end = self.begin + self._seconds

    def note(self, started: float) -> bool:
        """One message is acknowledged; whether to go on."""
        now = time.time()
        if self.begin <= now < self.end:
            self.waits.append(now - started)
        return now < self.end


async def through_the_store(url: str, node: int, writers: int, batch: int, count: Count) -> None:
    """Each writer sends its next message when the last was acknowledged."""
    store = SqlStore(Config(database_url=url, commit_batch=batch), Metrics())
    await store.start(lambda committed: None)
    count.start()

    def send(writer: int, number: int) -> None:
        started = time.time()

        def done(result: Any) -> None:
            if isinstance(result, Exception):
                raise result
            if count.note(started):
                send(writer, number + 1)

        ref = f"{os.getpid()}-{writer}-{number}"
        message = AppendMessage(1 + writer % CHANNELS, f"user{node}-{writer}", PAYLOAD, 0, ref)
        store.messages.append(message, lambda access: None, done)

    for writer in range(writers):
        send(writer, 0)
    await asyncio.sleep(count.end - time.time() + 0.2)
    await store.stop()


async def locking_first(url: str, node: int, writers: int, batch: int, count: Count) -> None:
    """The same, and no message is tried without a lock. The process is for this alone."""

    def at_once(self: Committer, batch: Sequence[Hot]) -> tuple[Outcome | None, Sequence[Hot]]:
        return None, batch

    Committer.at_once = at_once  # type: ignore[method-assign]
    await through_the_store(url, node, writers, batch, count)


async def plainly(url: str, node: int, writers: int, _: int, count: Count) -> None:
    """The same without the store."""
    pool = await asyncpg.create_pool(url, min_size=10, max_size=10)
    count.start()

    async def write(writer: int) -> None:
        number, go_on = 0, True
        while go_on:
            number += 1
            ref = f"{os.getpid()}-{writer}-{number}"
            user_id = f"user{node}-{writer}"
            started = time.time()
            await pool.execute(PLAIN, 1 + writer % CHANNELS, user_id, PAYLOAD, 0, ref)
            go_on = count.note(started)

    await asyncio.gather(*[write(writer) for writer in range(writers)])
    await pool.close()


def process(
    work: Callable[..., Any],
    url: str,
    node: int,
    writers: int,
    batch: int,
    seconds: float,
    ready: Any,
    answers: Any,
) -> None:
    """One node of a run: what its writers waited."""
    count = Count(ready, seconds)
    uvloop.run(work(url, node, writers, batch, count))
    answers.put(count.waits)


def cpu_seconds(pids: list[int]) -> float:
    """Of processes that live, since their start."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def run(
    server: PostgresServer,
    name: str,
    work: Callable[..., Any],
    nodes: int,
    batch: int,
    seconds: float,
) -> None:
    """One line of the table."""
    database = f"run_{name.replace(' ', '_')}_{nodes}_{batch}"
    asyncio.run(prepare(server, database))
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    ready = spawn.Barrier(nodes + 1)
    arguments = (WRITERS // nodes, batch, seconds, ready, answers)
    url = server.url_of(database)
    processes = [
        spawn.Process(target=process, args=(work, url, node, *arguments)) for node in range(nodes)
    ]
    for each in processes:
        each.start()
    ready.wait(60)
    time.sleep(WARM_UP_SECONDS)
    before = cpu_seconds(family_of(server.pid))
    time.sleep(seconds - 0.1)
    used = cpu_seconds(family_of(server.pid)) - before
    found = [answers.get() for _ in processes]
    for each in processes:
        each.join()
    waits = sorted(wait for each in found for wait in each)
    rate = len(waits) / seconds
    at = [waits[int(len(waits) * share)] * 1000 for share in (0.5, 0.99)]
    print(
        f"| {name} | {nodes} | {batch} | {rate:,.0f} | {at[0]:.1f} | {at[1]:.1f} | "
        f"{used / seconds:.2f} |",
        flush=True,
    )


async def prepare(server: PostgresServer, database: str) -> None:
    """A migrated database with the channels."""
    connection = await asyncpg.connect(server.url)
    await connection.execute(f"CREATE DATABASE {database}")
    await connection.close()
    url = server.url_of(database)
    await asyncio.to_thread(bring_up_to_date, Config(database_url=url))
    connection = await asyncpg.connect(url)
    for number in range(2, CHANNELS + 1):
        await connection.execute(
            "INSERT INTO channels (id, name, topic, visibility, created_by, created_at) "
            "VALUES ($1, $2, '', 'public', '', 0)",
            number,
            f"channel {number}",
        )
    await connection.close()


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder))
        server.start()
        print("| writes | processes | batch | messages/s | p50 ms | p99 ms | cores of PostgreSQL |")
        print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
        try:
            for nodes in (1, 2, 4):
                run(server, "store", through_the_store, nodes, 512, seconds)
                run(server, "store", through_the_store, nodes, 1, seconds)
                run(server, "locking first", locking_first, nodes, 512, seconds)
                run(server, "locking first", locking_first, nodes, 1, seconds)
                run(server, "plain", plainly, nodes, 1, seconds)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
