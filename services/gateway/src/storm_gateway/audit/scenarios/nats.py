"""NATS dies, stays away, or drops a node that is too slow for it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from storm_gateway.audit.scenario import LoadPlan, Scenario, scenario
from storm_gateway.audit.scenarios.tools import (
    Proxies,
    connections_lost,
    expect_sockets_stayed,
    green,
    harmed,
    killed,
    nats_proxies,
    red,
)
from storm_gateway.stack.toxics import Toxics

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena
    from storm_gateway.stack.stack import Stack


@scenario
class NatsKilled(Scenario):
    """Sends are accepted all the while: the store is the truth, the bus carries copies."""

    name = "nats-killed"
    title = "NATS is killed twice: back after 1 s, and after it was noticed"
    reference = "F5"
    short = True
    seconds = 8
    unavailable_seconds = 2.0
    away_seconds = 0.0

    async def run(self, arena: "Arena") -> None:
        nats = arena.stack.nats
        await arena.steady(2)
        async with killed(arena, nats, "NATS killed for 1 s") as first:
            await asyncio.sleep(1)
        await green(arena)
        await arena.steady(1)
        async with killed(arena, nats, "NATS killed") as second:
            await red(arena)
            await arena.steady(1)
            await asyncio.sleep(max(0.0, self.away_seconds - (arena.clock() - second.begin)))
        await green(arena)
        await arena.steady(1)
        for fault in (first, second):
            expect_sockets_stayed(arena, fault)


@scenario
class NatsAway(NatsKilled):
    """Longer than the client library would try by itself (60 times 2 s)."""

    name = "nats-away"
    title = "NATS is away for 3 minutes"
    reference = "F6"
    short = False
    seconds = 200
    away_seconds = 180.0


@scenario
class NatsRefuses(Scenario):
    """The short form of :class:`NatsAway`: every try to reconnect fails for a while."""

    name = "nats-refuses"
    title = "NATS refuses every connection for a while"
    reference = "F6"
    short = True
    seconds = 8
    unavailable_seconds = 2.0

    def __init__(self) -> None:
        self.proxies: Proxies | None = None

    def make_stack(self, stack: "Stack") -> "Stack":
        self.proxies = nats_proxies(stack)
        return stack

    async def run(self, arena: "Arena") -> None:
        assert self.proxies is not None  # noqa: S101 make_stack came first
        down = self.proxies.do(lambda proxy: proxy.down())
        up = self.proxies.do(lambda proxy: proxy.up())
        await arena.steady(2)
        async with harmed(arena, "NATS refuses", down, up) as fault:
            await red(arena)
            await asyncio.sleep(4)
        await green(arena)
        expect_sockets_stayed(arena, fault)
        await arena.steady(1)

    async def clean(self, folder: Path) -> None:
        if self.proxies is not None:
            self.proxies.stop()


@scenario
class NatsSlowConsumer(Scenario):
    """One node takes nothing from NATS until the server cuts it off. What was dropped is
    repaired.
    """

    name = "nats-slow-consumer"
    title = "NATS drops a node as a slow consumer"
    reference = "F7"
    short = True
    seconds = 8
    load = replace(LoadPlan(), rate=150.0, payload_characters=3_900, receivers=20)

    def __init__(self) -> None:
        self.proxies: Proxies | None = None

    def make_stack(self, stack: "Stack") -> "Stack":
        stack.nats.max_pending = 1024 * 1024
        self.proxies = nats_proxies(stack)
        for proxy in self.proxies.each.values():
            # What the kernel holds back is not seen by NATS.
            proxy.buffer_bytes = 16 * 1024
        return stack

    async def run(self, arena: "Arena") -> None:
        assert self.proxies is not None  # noqa: S101 make_stack came first
        node = arena.stack.nodes[0]
        proxy = self.proxies.each[node.name]
        await arena.steady(2)
        accepted = proxy.accepted
        stalled = Toxics(stalled=True)
        async with harmed(
            arena,
            f"{node.name} takes nothing from NATS",
            lambda: proxy.harm(answers=stalled),
            proxy.heal,
        ) as fault:
            await arena.until(
                lambda: "Slow Consumer" in arena.stack.nats.log_path.read_text(),
                "NATS does not see a slow consumer",
                seconds=30,
            )
            await asyncio.sleep(1)
        await green(arena)
        await arena.until(
            lambda: proxy.accepted > accepted, "the node did not connect again", seconds=10
        )
        await arena.steady(1)
        errors = await arena.metric(node, "storm_bus_errors_total")
        repaired = await arena.metric(node, "storm_repaired_events_total")
        arena.figure("events repaired from the store", f"{repaired:.0f}")
        arena.expect(errors > 0, "the node counted no error of the bus")
        arena.expect(repaired > 0, "the node repaired nothing")
        lost = connections_lost(arena, fault.begin, arena.clock())
        arena.expect(not lost, f"{lost} clients lost their connection")

    async def clean(self, folder: Path) -> None:
        if self.proxies is not None:
            self.proxies.stop()
