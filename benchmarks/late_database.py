"""What becomes of messages while PostgreSQL answers half a second late; beside what it replaced.

    python benchmarks/late_database.py [seconds]

A real PostgreSQL with full durability, started here, behind a proxy that makes its answers late, as
the load test does. Two nodes (two stores) say messages by the clock for so many seconds, to the
same ten channels or to ten of their own; first on time, then late. Nobody says again what was
refused, and one in nine is the first of its user. A commit that locks first waits for five answers,
as nearly all do here: two are enough for messages of users who are known; six it is where a user is
new, a statement is new to the connection, or another node has a channel. A connection that was cut
off cannot be made again while answers are late: that takes more of them than it has time.

Three ways, each in a process of its own: one bound for all answers together; a bound that begins
anew with each answer that comes soon; and, as now, four tries for what another node is writing to.
All of the code but these two bounds is that of now. What is measured is waiting, not work, so all
run at once: it takes less than a minute.
"""
# ruff: noqa: T201 this is the output

import asyncio
import logging
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import uvloop

from storm_gateway.config import Config
from storm_gateway.observability.metrics import Metrics
from storm_gateway.stack.postgres import PostgresServer
from storm_gateway.stack.proxy import Proxy
from storm_gateway.stack.toxics import Toxics
from storm_gateway.store import aside, postgres_session
from storm_gateway.store.records import AppendMessage
from storm_gateway.store.sql_store import SqlStore
from storm_gateway.store.upgrade import bring_up_to_date

RUNS = 3
LATE_SECONDS = 0.5
WARM_UP_SECONDS = 0.5
ON_TIME_SECONDS = 2.0
A_SECOND = 25
"""Messages of one node."""
CHANNELS = 10
USERS = 20
ONE_IN = 9
"""Of so many messages one is of a user who is new."""
PAYLOAD = "x" * 80
WAYS = {
    "one bound for all answers": (1, 0),
    "anew with each answer": (postgres_session.LONGEST, 0),
    "and four tries, as now": (postgres_session.LONGEST, aside.TRIES),
}
"""Name → how many timeouts a transaction takes at most, and how many tries a write has at least."""

Row = tuple[float, float, float]
"""Share of messages that were acknowledged; seconds that these waited: half of them, 95 %."""


class Node:
    """One store: what it says, and what becomes of that."""

    def __init__(self, url: str, name: str, channels: Sequence[int], begins: float) -> None:
        """``begins``: so many seconds later than others."""
        self._store = SqlStore(Config(database_url=url), Metrics())
        self._begins = begins
        self._name = name
        self._channels = channels
        self._said = 0
        self._left = 0
        self.waits: list[float] = []
        self.refused = 0

    async def start(self) -> None:
        await self._store.start(lambda committed: None)

    async def stop(self) -> None:
        await self._store.stop()

    async def say(self, seconds: float) -> None:
        """By the clock; then until each has its outcome, one way or the other."""
        self.waits, self.refused = [], 0
        count = round(seconds * A_SECOND)
        self._left = count
        began = time.monotonic() + self._begins
        for number in range(count):
            await asyncio.sleep(began + number / A_SECOND - time.monotonic())
            self._said += 1
            who = f"new-{self._said}" if number % ONE_IN == 0 else f"{number % USERS}"
            channel_id = self._channels[self._said % CHANNELS]
            message = AppendMessage(channel_id, f"{self._name}-{who}", PAYLOAD, 0, f"{self._said}")
            done = partial(self._done, time.monotonic())
            self._store.messages.append(message, lambda access: None, done)
        while self._left:  # noqa: ASYNC110 half a second late, a moment more is none
            await asyncio.sleep(0.01)

    def _done(self, began: float, outcome: Any) -> None:
        self._left -= 1
        if isinstance(outcome, Exception):
            self.refused += 1
        else:
            self.waits.append(time.monotonic() - began)


def row(nodes: Sequence[Node]) -> Row:
    """Of what they said last, all together."""
    waits = sorted(wait for node in nodes for wait in node.waits)
    said = len(waits) + sum(node.refused for node in nodes)
    if not waits:
        return 0.0, 0.0, 0.0
    return len(waits) / said, median(waits), waits[int(0.95 * len(waits))]


async def pairs(
    place: tuple[str, int], url: str, way: str, first_channel: int, runs: int, seconds: float
) -> dict[tuple[bool, bool], Row]:
    """(Whether answers are late, whether both want the same channels) → medians of the runs."""
    # The three ways differ in these two, and in nothing else.
    postgres_session.LONGEST, aside.TRIES = WAYS[way]
    groups: dict[bool, list[list[Node]]] = {False: [], True: []}
    with Proxy(place) as proxy:
        late_url = proxy.instead_of(url)
        for same, made in groups.items():
            for run in range(runs):
                pair = []
                for number in range(2):
                    start = first_channel + (0 if same else number * CHANNELS)
                    channels = range(start, start + CHANNELS)
                    name = f"{first_channel}-{number}"
                    # Who comes when the other has the channels is a matter of chance.
                    pair.append(Node(late_url, name, channels, number * (run + 1) * LATE_SECONDS))
                made.append(pair)
                first_channel += CHANNELS if same else 2 * CHANNELS
        nodes = [node for made in groups.values() for pair in made for node in pair]
        for node in nodes:
            await node.start()
        await asyncio.gather(*(node.say(WARM_UP_SECONDS) for node in nodes))
        found = {}
        for late in (False, True):
            if late:
                await asyncio.to_thread(partial(proxy.harm, answers=Toxics(LATE_SECONDS)))
            spell = seconds if late else ON_TIME_SECONDS
            await asyncio.gather(*(node.say(spell) for node in nodes))
            for same, made in groups.items():
                share, half, most = zip(*(row(pair) for pair in made), strict=True)
                found[late, same] = (median(share), median(half), median(most))
        await asyncio.to_thread(proxy.heal)
        await asyncio.gather(*(node.stop() for node in nodes))
    return found


def in_a_process(*arguments: Any) -> dict[tuple[bool, bool], Row]:
    """One way, with its constants for itself."""
    # That the database fails is what is measured.
    logging.getLogger("storm").setLevel(logging.CRITICAL + 1)
    return uvloop.run(pairs(*arguments))


async def prepare(url: str, channels: int) -> None:
    """The tables, and so many channels that everybody may write to."""
    await asyncio.to_thread(bring_up_to_date, Config(database_url=url))
    connection = await asyncpg.connect(url)
    await connection.executemany(
        "INSERT INTO channels (id, name, topic, visibility, created_by, created_at) "
        "VALUES ($1, $2, '', 'public', '', 0)",
        [(number, f"channel {number}") for number in range(2, channels + 2)],
    )
    await connection.close()


def figures(folder: Path, runs: int, seconds: float) -> dict[str, dict[tuple[bool, bool], Row]]:
    """Way → what :func:`pairs` found."""
    each = 3 * CHANNELS * runs
    server = PostgresServer(folder)
    server.start()
    try:
        asyncio.run(prepare(server.url, each * len(WAYS)))
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(len(WAYS), mp_context=spawn) as processes:
            place = (server.host, server.port)
            started = {
                way: processes.submit(
                    in_a_process, place, server.url, way, 2 + number * each, runs, seconds
                )
                for number, way in enumerate(WAYS)
            }
            return {way: each.result() for way, each in started.items()}
    finally:
        server.stop()


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 15.0
    with tempfile.TemporaryDirectory(prefix="storm-late-") as folder:
        found = figures(Path(folder), RUNS, seconds)
    print(f"two nodes, {A_SECOND} messages a second each, medians of {RUNS} runs")
    print(f"{'answers':9}{'channels':11}{'':27}{'acknowledged':>13}{'p50 s':>8}{'p95 s':>8}")
    for late in (False, True):
        for same in (False, True):
            for way, rows in found.items():
                share, *waits = rows[late, same]
                name = (
                    f"{'late' if late else 'on time':9}{'the same' if same else 'own':11}{way:27}"
                )
                print(f"{name}{share:>13.1%}", *(f"{wait:>7.2f}" for wait in waits if share))


if __name__ == "__main__":
    main()
