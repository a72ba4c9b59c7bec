"""PostgreSQL dies, is slow, is frozen, or has no space left."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from storm_gateway.audit.ledger import ACKED
from storm_gateway.audit.scenario import LoadPlan, Scenario, scenario
from storm_gateway.audit.scenarios.tools import (
    Proxies,
    accepted_soon,
    expect_sockets_stayed,
    frozen,
    green,
    harmed,
    killed,
    postgres_proxies,
    red,
    stays_red,
)
from storm_gateway.audit.timeline import Fault
from storm_gateway.audit.times import Spread
from storm_gateway.stack import disk
from storm_gateway.stack.disk import SmallDiskPostgres
from storm_gateway.stack.toxics import Toxics

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena
    from storm_gateway.stack.stack import Stack

_ANSWERED_SECONDS = 3.0
"""A send is answered or refused so soon (the nodes' STORM_STORE_TIMEOUT_SECONDS)."""

_OTHERS_SECONDS = 1.0
"""So soon a message is acknowledged while another channel's row is locked."""

_FREE_SECONDS = 2.0
"""So soon after the lock's end a channel takes messages again."""

_FULL_SECONDS = 5.0
"""Longer than a node believes its last refused commit: then it has to find out by itself."""


@scenario
class PostgresKilled(Scenario):
    """Connections of clients stay; what was not acknowledged is asked for again."""

    name = "postgres-killed"
    title = "PostgreSQL is killed (crash), and recovers"
    reference = "F11"
    short = True
    seconds = 10
    away_seconds = 2.0

    async def run(self, arena: "Arena") -> None:
        postgres = arena.stack.postgres
        await arena.steady(2)
        async with killed(arena, postgres, "PostgreSQL killed") as fault:
            await red(arena)
            await asyncio.sleep(self.away_seconds)
        await accepted_soon(arena)
        await green(arena)
        expect_sockets_stayed(arena, fault)
        await arena.steady(1)


@scenario
class PostgresAway(PostgresKilled):
    """For long enough that every queue and every patience is used up."""

    name = "postgres-away"
    title = "PostgreSQL is away for 45 s"
    short = False
    seconds = 70
    away_seconds = 45.0


@scenario
class PostgresSlow(Scenario):
    """Through a proxy that delays; then somebody holds the lock of a channel's row."""

    name = "postgres-slow"
    title = "PostgreSQL answers after 2 s, then a channel's row is locked"
    reference = "F13"
    short = True
    seconds = 14
    load = replace(LoadPlan(), rate=60.0)

    def __init__(self) -> None:
        self.proxies: Proxies | None = None
        self.lock: Fault | None = None

    def make_stack(self, stack: "Stack") -> "Stack":
        self.proxies = postgres_proxies(stack)
        return stack

    async def run(self, arena: "Arena") -> None:
        assert self.proxies is not None  # noqa: S101 make_stack came first
        heal = self.proxies.do(lambda proxy: proxy.heal())
        slow = self.proxies.do(lambda proxy: proxy.harm(answers=Toxics(latency_seconds=2)))
        await arena.steady(2)
        async with harmed(arena, "PostgreSQL answers after 2 s", slow, heal) as first:
            await asyncio.sleep(5)
        await accepted_soon(arena)
        await green(arena)
        await arena.steady(1)
        async with arena.fault("a channel's row is locked") as self.lock, locked(arena):
            await asyncio.sleep(5)
        await accepted_soon(arena)
        await arena.steady(_FREE_SECONDS)
        for fault in (first, self.lock):
            expect_sockets_stayed(arena, fault)

    async def after(self, arena: "Arena") -> None:
        # A node that waits for longer than its own timeout leaves its clients without an answer.
        arena.figure("sent again for want of an answer", arena.load.unanswered)
        if self.lock is not None:
            _expect_only_that_channel_waited(arena, self.lock)

    async def clean(self, folder: Path) -> None:
        if self.proxies is not None:
            self.proxies.stop()


def _expect_only_that_channel_waited(arena: "Arena", lock: Fault) -> None:
    ledger, locked = arena.load.ledger, arena.load.channels[0]
    end = lock.end or arena.clock()
    others = Spread.of(
        ledger.acked_at[number] - ledger.tried_at[number]
        for number in range(ledger.attempts)
        if ledger.channel[number] != locked
        and ledger.state[number] == ACKED
        and lock.begin <= ledger.tried_at[number] < end
    )
    arena.figure(
        "acks in other channels while one was locked",
        f"p95 {others.p95:.2f} s, at most {others.most:.2f} s ({others.count} messages)",
    )
    arena.expect(
        others.count > 0 and others.p95 <= _OTHERS_SECONDS,
        f"other channels waited {others.p95:.1f} s (p95) while one was locked; "
        f"{_OTHERS_SECONDS:g} s are allowed",
    )
    back = min(
        (
            ledger.acked_at[number] - end
            for number in range(ledger.attempts)
            if ledger.channel[number] == locked and ledger.acked_at[number] > end
        ),
        default=float("inf"),
    )
    arena.figure("the locked channel accepted again after", f"{back:.2f} s")
    arena.expect(
        back <= _FREE_SECONDS,
        f"the channel that was locked was accepted again after {back:.1f} s; "
        f"{_FREE_SECONDS:g} s are allowed",
    )


@contextlib.asynccontextmanager
async def locked(arena: "Arena") -> AsyncIterator[None]:
    """A stranger holds the row of one channel, which every write to it must lock."""
    connection = await asyncpg.connect(arena.stack.postgres.url)
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT id FROM channels WHERE id = $1 FOR UPDATE", arena.load.channels[0]
            )
            yield
    finally:
        await connection.close()


@scenario
class PostgresFrozen(Scenario):
    """Nothing answers and nothing breaks: only deadlines of the nodes themselves help."""

    name = "postgres-frozen"
    title = "PostgreSQL is frozen (SIGSTOP), then thawed"
    reference = "F14"
    short = True
    seconds = 10
    frozen_seconds = 7.0

    async def run(self, arena: "Arena") -> None:
        postgres = arena.stack.postgres
        await arena.steady(2)
        async with frozen(arena, postgres, "PostgreSQL frozen") as fault:
            await red(arena)
            await asyncio.sleep(max(0.0, self.frozen_seconds - (arena.clock() - fault.begin)))
        await accepted_soon(arena)
        await green(arena)
        expect_sockets_stayed(arena, fault)
        await arena.steady(1)


@scenario
class PostgresFrozenLong(PostgresFrozen):
    """The same for half a minute."""

    name = "postgres-frozen-long"
    title = "PostgreSQL is frozen (SIGSTOP) for 30 s"
    short = False
    seconds = 45
    frozen_seconds = 30.0


@scenario
class PostgresFull(Scenario):
    """What does not fit is not acknowledged; with space again, all goes on by itself."""

    name = "postgres-full"
    title = "The disk of PostgreSQL's tables is full, and has space again"
    reference = "F15"
    short = True
    seconds = 8
    load = replace(LoadPlan(), payload_characters=2_000)

    def missing(self) -> str:
        return disk.missing()

    def make_stack(self, stack: "Stack") -> "Stack":
        stack.postgres = SmallDiskPostgres(
            stack.folder / "postgres", settings=stack.postgres.settings
        )
        return stack

    async def run(self, arena: "Arena") -> None:
        postgres = arena.stack.postgres
        assert isinstance(postgres, SmallDiskPostgres)  # noqa: S101 see make_stack
        await arena.steady(2)
        small = postgres.disk
        async with harmed(arena, "disk full", small.fill, small.empty) as fault:
            before = dict(arena.load.errors)
            await arena.until(
                lambda: (
                    arena.load.errors["unavailable"] > before.get("unavailable", 0)
                    or arena.load.errors["internal"] > before.get("internal", 0)
                ),
                "no send is refused although the disk is full",
                seconds=20,
            )
            await red(arena)
            await stays_red(arena, _FULL_SECONDS)
        await accepted_soon(arena)
        await green(arena)
        expect_sockets_stayed(arena, fault)
        arena.expect(
            arena.load.errors["internal"] == before.get("internal", 0),
            "a full disk was told as an internal error",
        )
        arena.figure("errors answered", dict(arena.load.errors))
        await arena.steady(1)

    async def clean(self, folder: Path) -> None:
        await asyncio.to_thread(SmallDiskPostgres(folder / "postgres").disk.unmount)
