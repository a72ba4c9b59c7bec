"""Nodes are updated one after another, and a node joins: nobody is away for long."""

import asyncio
import math
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from storm_gateway.audit.arena import ScenarioError
from storm_gateway.audit.scenario import LoadPlan, Scenario, scenario
from storm_gateway.audit.scenarios.tools import expect_short_absences
from storm_gateway.stack.node import NodeServer
from storm_gateway.stack.stack import Stack

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena

_DONE, _STOPPED = "rolling restart done", "rolling restart stopped"
_ASKED = "storm_rebalance_asked_total"


@scenario
class RollingUpdate(Scenario):
    """What an operator does for a new version: ``kill -HUP`` of ``storm serve --workers``. Each
    node is replaced by one that is ready before the old one drains; all share one address.
    """

    name = "rolling-update"
    title = "Every node on one address is replaced in turn (SIGHUP)"
    reference = "F3"
    short = True
    seconds = 5
    nodes = 2
    unavailable_seconds = 3.0
    limit_seconds = 120.0

    def make_stack(self, stack: Stack) -> Stack:
        count = len(stack.nodes)
        return Stack(stack.folder, nodes=count, settings=stack.more_settings, addr="127.0.0.1:0")

    def urls(self, stack: Stack) -> Sequence[str]:
        assert stack.workers is not None  # noqa: S101 make_stack says so
        return [stack.workers.url]

    async def run(self, arena: "Arena") -> None:
        workers = arena.stack.workers
        assert workers is not None  # noqa: S101 make_stack says so

        def log() -> str:
            return workers.log_path.read_text(errors="replace")

        await arena.steady(1)
        begin = arena.clock()
        async with arena.fault("every node is replaced"):
            await arena.call(workers.process.send_signal, signal.SIGHUP)  # type: ignore[union-attr]
            await arena.until(
                lambda: _DONE in log() or _STOPPED in log(),
                "the nodes are not replaced",
                seconds=self.limit_seconds,
            )
        if _STOPPED in log():
            raise ScenarioError("the rolling update stopped at a node that was not ready")
        arena.figure("nodes replaced", f"{workers.workers} in {arena.clock() - begin:.1f} s")
        await arena.until(
            lambda: arena.load.connected == arena.load.clients, "clients are away", seconds=10
        )
        await arena.steady(1)

    async def after(self, arena: "Arena") -> None:
        clients, moved = arena.load.clients, len(arena.load.returns)
        arena.expect(moved >= clients, f"only {moved} moves of {clients} clients")
        refused = sum(arena.load.tries.values())
        arena.expect(not refused, f"{refused} connections were refused: {dict(arena.load.tries)}")
        expect_short_absences(arena)


@scenario
class RollingUpdateLarge(RollingUpdate):
    """The same with 4 nodes, 5,000 clients and 200 messages a second."""

    name = "rolling-update-large"
    title = "4 nodes on one address with 5,000 clients are replaced in turn (SIGHUP)"
    short = False
    seconds = 60
    nodes = 4
    unavailable_seconds = 5.0
    limit_seconds = 400.0
    load = LoadPlan(senders=50, receivers=4_950, channels=250, subscriptions=1, rate=200)
    settings: ClassVar[Mapping[str, str]] = {
        "STORM_DRAIN_SECONDS": "20",
        "STORM_HEARTBEAT_SECONDS": "30",
    }


@scenario
class NodeJoins(Scenario):
    """Those that were there ask some of their clients to move, until it has its share. Clients
    land on any of the other nodes at random.
    """

    name = "node-joins"
    title = "A third node joins two, and gets its share of the clients"
    short = True
    seconds = 5
    nodes = 3
    load = LoadPlan(senders=20, receivers=100)
    settings: ClassVar[Mapping[str, str]] = {
        "STORM_REBALANCE_SECONDS": "10",
        # Longer than a node's report is late on a machine that has too much to do.
        "STORM_REBALANCE_SETTLE_SECONDS": "3",
    }
    limit_seconds = 60.0
    unavailable_seconds = 2.0

    def make_stack(self, stack: Stack) -> Stack:
        self.joining = stack.nodes.pop()
        return stack

    async def run(self, arena: "Arena") -> None:
        stack, load, joining = arena.stack, arena.load, self.joining
        await arena.steady(1)
        arena.expect(not await self._asked(arena, stack.nodes), "clients were moved before it came")
        joining.settings = {**stack.settings, **joining.settings}
        stack.nodes.append(joining)
        mean = load.clients / len(stack.nodes)
        # What the nodes settle for: see connections/balance.py.
        least = math.floor(mean - max(3 * math.sqrt(mean), 0.05 * mean))
        async with arena.fault(f"{joining.name} joins"):
            await arena.call(joining.start)
            load.urls.append(joining.url)
            took = await arena.until(
                lambda: load.connected_to(joining.name) >= least,
                f"{joining.name} has not got its share",
                seconds=self.limit_seconds,
            )
        arena.figure(f"until {joining.name} had {least} of {load.clients}", f"{took:.1f} s")
        await arena.steady(6)  # longer than anything that the nodes know is old
        asked = await self._asked(arena, stack.nodes)
        await arena.steady(2)
        again = await self._asked(arena, stack.nodes)
        arena.expect(again == asked, f"{again - asked:g} clients were moved although all is even")
        arena.expect(asked <= load.clients, f"{asked:g} moves of {load.clients} clients")
        arena.figure("clients asked to move", f"{asked:g} of {load.clients}")
        counts = {node.name: load.connected_to(node.name) for node in stack.nodes}
        arena.figure("clients of each node in the end", ", ".join(map(str, counts.values())))

    async def _asked(self, arena: "Arena", nodes: Sequence[NodeServer]) -> float:
        return sum(await asyncio.gather(*(arena.metric(node, _ASKED) for node in nodes)))

    async def after(self, arena: "Arena") -> None:
        expect_short_absences(arena)
