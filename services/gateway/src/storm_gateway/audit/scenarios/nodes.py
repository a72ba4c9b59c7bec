"""Nodes die, freeze and are restarted."""

import asyncio
from typing import TYPE_CHECKING

from storm_gateway.audit.scenario import Scenario, scenario
from storm_gateway.audit.scenarios.tools import (
    expect_back,
    expect_short_absences,
    frozen,
    green,
    killed,
)

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena


@scenario
class NodeKilled(Scenario):
    """Its clients are back on the other node, and miss nothing."""

    name = "node-killed"
    title = "One of two nodes is killed, and comes back"
    reference = "F1"
    short = True
    seconds = 10
    times = 1

    async def run(self, arena: "Arena") -> None:
        for turn in range(self.times):
            node = arena.stack.nodes[turn % len(arena.stack.nodes)]
            await arena.steady(2)
            async with killed(arena, node, f"{node.name} killed", node=node) as fault:
                await asyncio.sleep(4)
            expect_back(arena, node, fault)
            await green(arena)
            await arena.steady(1)


@scenario
class NodesKilledInTurn(NodeKilled):
    """The same, five times."""

    name = "nodes-killed-in-turn"
    title = "A node is killed five times, one and the other in turn"
    short = False
    seconds = 60
    times = 5


@scenario
class NodeFrozen(Scenario):
    """A frozen node keeps every connection and answers nothing; clients leave it by themselves.
    Thawed, it closes what it still believed to be there, and is as good as a new one.
    """

    name = "node-frozen"
    title = "One of two nodes is frozen (SIGSTOP), then thawed"
    reference = "F2"
    short = True
    seconds = 10
    frozen_seconds = 7.0

    async def run(self, arena: "Arena") -> None:
        node = arena.stack.nodes[0]
        await arena.steady(2)
        async with frozen(arena, node, f"{node.name} frozen", node=node) as fault:
            await asyncio.sleep(self.frozen_seconds)
        expect_back(arena, node, fault)
        await green(arena)

        async def let_go() -> bool:
            held = await arena.metric(node, "storm_active_websockets")
            return held == arena.load.connected_to(node.name)

        took = await arena.until(
            let_go, f"{node.name} keeps connections that have left", seconds=10
        )
        arena.figure("stale connections closed after the thaw", f"{took:.1f} s")
        await arena.steady(1)


@scenario
class NodeFrozenLong(NodeFrozen):
    """Longer than presence leases and statement timeouts."""

    name = "node-frozen-long"
    title = "One of two nodes is frozen (SIGSTOP) for 50 s"
    short = False
    seconds = 65
    frozen_seconds = 50.0


@scenario
class RollingRestart(Scenario):
    """Each node in turn is asked to end, drains and starts again."""

    name = "rolling-restart"
    title = "Every node is restarted in turn (SIGTERM, drain, start)"
    reference = "F3"
    short = True
    seconds = 10
    unavailable_seconds = 3.0

    async def run(self, arena: "Arena") -> None:
        await arena.steady(1)
        for node in arena.stack.nodes:
            async with arena.fault(f"{node.name} restarts"):
                await arena.call(node.restart)
            await green(arena)
            await arena.steady(1)
        load = arena.load
        arena.figure("told when to reconnect", load.told)
        # Most leave by themselves just before the node would end the connection.
        arena.figure("sent away with 1012", load.closes[1012])
        lost = load.closes.total()
        arena.expect(load.told >= lost, f"{lost - load.told} of {lost} were not told before")
        arena.expect(lost >= load.clients, f"only {lost} moves of {load.clients} clients")

    async def after(self, arena: "Arena") -> None:
        expect_short_absences(arena)


@scenario
class NodeKilledMidCommit(Scenario):
    """At random moments, so that some commits have happened and nobody was told."""

    name = "node-killed-mid-commit"
    title = "A node is killed at random moments under many sends"
    reference = "F4"
    short = True
    seconds = 8
    times = 3

    async def run(self, arena: "Arena") -> None:
        await arena.steady(1)
        for _ in range(self.times):
            node = arena.random.choice(arena.stack.nodes)
            async with killed(arena, node, f"{node.name} killed", node=node):
                pass
            await asyncio.sleep(arena.random.uniform(0.1, 0.6))
        await green(arena)

    async def after(self, arena: "Arena") -> None:
        arena.figure("kills", self.times)
        arena.figure("messages of unknown outcome, asked again", arena.load.retried)


@scenario
class NodeKilledHundredTimes(NodeKilledMidCommit):
    """The same, 100 times."""

    name = "node-killed-100-times"
    title = "A node is killed at 100 random moments under many sends"
    short = False
    seconds = 60
    times = 100
