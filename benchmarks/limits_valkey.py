"""What it costs a node to ask Valkey about connections that come one by one; beside what it was.

    python benchmarks/limits_valkey.py [runs]

A real Valkey, started here, and the limits of one node. Connections come by the clock, and are
gathered before Valkey is asked about them: for 100 ms, or for 30 as before. The runs are short and
many, and take turns, two minutes in all; what the clock alone takes is taken off. What gathering
costs is time: a connection that must not stay, because its user has another one, does so until
Valkey has said that.
"""
# ruff: noqa: T201 this is the output

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import uvloop
from valkey.asyncio import Valkey

from storm_gateway.config import Config
from storm_gateway.limits import redis
from storm_gateway.limits.base import Limits, Refusal
from storm_gateway.limits.local import LocalLimits
from storm_gateway.limits.redis import RedisLimits
from storm_gateway.observability.metrics import Metrics
from storm_gateway.stack.valkey import ValkeyServer

RUNS = 15
RATES = (100, 500)
"""Connections a second; a run takes one."""
GATHER = (0.03, redis._GATHER_SECONDS)
"""Seconds, before and after."""
NODE = "the node, microseconds of CPU"
VALKEY = "Valkey, microseconds of CPU"
EXCHANGES = "exchanges with Valkey"
REFUSED = "until one is refused, milliseconds"

Cost = dict[str, float]
"""Of a connection, by these names."""


class Connection:
    """It was let in by the node, and may still be refused."""

    def __init__(self, limits: Limits, user_id: str) -> None:
        self.is_open = True
        self.stayed = 0.0
        """Seconds, once it is refused."""
        self._limits = limits
        self._user_id = user_id
        self._began = time.monotonic()

    def may_not_stay(self, refusal: Refusal) -> None:
        self.is_open = False
        self.stayed = time.monotonic() - self._began
        self._limits.leave(self._user_id)


async def come(limits: Limits, a_second: int, second: int) -> tuple[float, float]:
    """By the clock; the ``second`` of them is of a user who has one already. Processor time of it
    all, and how long that one stayed.
    """
    connections = []
    began, cpu = time.monotonic(), time.process_time()
    for number in range(a_second):
        await asyncio.sleep(began + number / a_second - time.monotonic())
        user_id = f"user-{number - (number == second):05}"
        connections.append(Connection(limits, user_id))
        limits.enter(user_id, "", connections[-1])
    # The last are asked about, too.
    await asyncio.sleep(3 * max(GATHER))
    return time.process_time() - cpu, connections[second].stayed


async def of_valkey(client: Valkey) -> tuple[int, float]:
    """Scripts that it was asked to run so far, and its processor time, seconds."""
    commands, cpu = await client.info("commandstats"), await client.info("cpu")
    calls = commands.get("cmdstat_evalsha", {"calls": 0})["calls"]
    return calls, cpu["used_cpu_user"] + cpu["used_cpu_sys"]


async def cost(url: str, gather: float, a_second: int, second: int) -> Cost:
    """Of a run that gathers for so long, the clock included."""
    redis._GATHER_SECONDS = gather
    client = Valkey.from_url(url)
    await client.flushall()
    limits = RedisLimits(Config(redis_url=url, max_connections_per_user=1), "bench", Metrics())
    await limits.start()
    await asyncio.sleep(0.2)  # it has said hello
    calls_before, theirs_before = await of_valkey(client)
    ours, stayed = await come(limits, a_second, second)
    calls, theirs = await of_valkey(client)
    await limits.stop()
    await client.aclose()
    assert stayed  # noqa: S101 else it is no benchmark
    return {
        NODE: ours / a_second * 1e6,
        VALKEY: (theirs - theirs_before) / a_second * 1e6,
        EXCHANGES: (calls - calls_before) / a_second,
        REFUSED: stayed * 1e3,
    }


async def costs(url: str, runs: int, a_second: int) -> tuple[Cost, Cost]:
    """Medians of some runs, before and after."""
    chance = random.Random(1)  # noqa: S311 repeatable, not secret
    clocks: list[Cost] = []
    befores: list[Cost] = []
    afters: list[Cost] = []
    try:
        for _ in range(runs):
            second = chance.randrange(1, a_second)
            clock, _ = await come(LocalLimits(), a_second, second)
            clocks.append({NODE: clock / a_second * 1e6})
            for gather, found in zip(GATHER, (befores, afters), strict=True):
                found.append(await cost(url, gather, a_second, second))
    finally:
        redis._GATHER_SECONDS = GATHER[-1]
    clock_alone = middle(clocks)[NODE]
    before, after = middle(befores), middle(afters)
    for each in (before, after):
        each[NODE] -= clock_alone
    return before, after


def middle(runs: list[Cost]) -> Cost:
    """The median of each figure."""
    return {name: median(run[name] for run in runs) for name in runs[0]}


def main(runs: int) -> None:
    """Prints a table for each rate."""
    with tempfile.TemporaryDirectory(prefix="storm-limits-") as folder:
        server = ValkeyServer(Path(folder))
        server.start()
        try:
            for a_second in RATES:
                before, after = uvloop.run(costs(server.url, runs, a_second))
                title = f"for each of {a_second} connections a second"
                print(f"{title:<40} {'before':>8} {'after':>8} {'ratio':>7}")
                for name, was in before.items():
                    now = after[name]
                    print(f"{name:<40} {was:>8.2f} {now:>8.2f} {was / now:>6.1f}x")
        finally:
            server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
