"""Networks that part: inside a cluster of NATS servers, and between a node and its backends."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storm_gateway.audit.scenario import Scenario, scenario
from storm_gateway.audit.scenarios.tools import accepted_soon, expect_back, green, harmed, red
from storm_gateway.stack import network
from storm_gateway.stack.nats import NatsServer
from storm_gateway.stack.network import HERE, Network
from storm_gateway.stack.process import Server
from storm_gateway.stack.proxy import Proxy
from storm_gateway.stack.stack import Stack

if TYPE_CHECKING:
    from storm_gateway.audit.arena import Arena

_CLIENT_PORT, _CLUSTER_PORT = 4_222, 6_222
_NODE_PORT = 8_080


class ClusterStack(Stack):
    """With three NATS servers, each in a host of its own; the rest is on this machine."""

    def __init__(self, like: Stack, net: Network) -> None:
        super().__init__(like.folder, nodes=len(like.nodes), settings=like.more_settings)
        self.cluster = [
            NatsServer(
                like.folder / host,
                password=like.nats.password,
                host=net.address(host),
                port=_CLIENT_PORT,
                cluster_port=_CLUSTER_PORT,
                routes=[
                    f"{net.address(other)}:{_CLUSTER_PORT}" for other in net.hosts if other != host
                ],
            )
            for host in net.hosts
        ]
        for server, host in zip(self.cluster, net.hosts, strict=True):
            server.name, server.inside = host, net.inside(host)
        self.nats = self.cluster[0]
        # The nodes are never on the same server; the first has another one to go to.
        one, two, three = (server.url for server in self.cluster)
        for number, node in enumerate(self.nodes):
            node.settings["STORM_NATS_URL"] = two if number % 2 else f"{one},{three}"

    @property
    def servers(self) -> list[Server]:
        return [*self.cluster, self.valkey, self.postgres]


class _InHosts(Scenario):
    """With network namespaces."""

    def __init__(self) -> None:
        self.net: Network | None = None

    def missing(self) -> str:
        return network.missing()

    def hosts(self, hosts: Sequence[str], aliases: int = 0) -> Network:
        """Make the network."""
        self.net = Network(hosts, aliases=aliases)
        self.net.start()
        return self.net

    async def clean(self, folder: Path) -> None:
        if self.net is not None:
            await asyncio.to_thread(self.net.stop)


@scenario
class NatsClusterParted(_InHosts):
    """The four shapes of RabbitMQ's Jepsen tests, and the loss of one server. Nodes see every
    server; they are on different ones, so what one publishes does not reach the other.
    """

    name = "nats-cluster-parted"
    title = "A NATS cluster of 3: four shapes of partitions, and one server killed"
    reference = "F8"
    short = False
    seconds = 90
    unavailable_seconds = 3.0
    parted_seconds = 10.0

    def make_stack(self, stack: "Stack") -> "Stack":
        return ClusterStack(stack, self.hosts(["nats-1", "nats-2", "nats-3"]))

    async def run(self, arena: "Arena") -> None:
        net, stack = self.net, arena.stack
        assert net is not None  # noqa: S101 make_stack came first
        assert isinstance(stack, ClusterStack)  # noqa: S101
        one, two, three = net.hosts
        alone, *others = arena.random.sample(net.hosts, 3)

        def cut_off() -> None:
            net.partition([two], [one, three])
            net.cut(two, HERE)

        shapes: list[tuple[str, Callable[[], None]]] = [
            ("halves", lambda: net.partition([two], [one, three])),
            ("random halves", lambda: net.partition([alone], others)),
            # Each still sees a majority, each another one: the ring, broken in one place.
            ("majorities in a ring", lambda: net.partition([one], [two])),
            # From the nodes, too.
            ("one server alone", cut_off),
        ]
        await arena.steady(2)
        for title, part in shapes:
            async with harmed(arena, f"partition: {title}", part, net.heal):
                await asyncio.sleep(self.parted_seconds)
            await green(arena)
            await arena.steady(3)
        victim = stack.cluster[0]
        async with arena.fault("one NATS server killed"):
            await arena.call(victim.kill)
            await arena.steady(4)
            await green(arena)
            await arena.call(victim.start)
        await green(arena)
        await arena.steady(2)
        repaired = [await arena.metric(node, "storm_repaired_events_total") for node in stack.nodes]
        arena.figure("events repaired from the store, by node", repaired)
        arena.expect(all(repaired), "a node was never parted from the other")


@scenario
class NatsClusterPartedLong(NatsClusterParted):
    """The same, each for 30 s."""

    name = "nats-cluster-parted-long"
    title = "The same partitions of a NATS cluster, each for 30 s"
    seconds = 170
    parted_seconds = 30.0


@scenario
class NatsClusterPartedShort(NatsClusterParted):
    """Each for a few seconds."""

    name = "nats-cluster-parted-short"
    title = "The same partitions of a NATS cluster, each for 3 s"
    seconds = 15
    parted_seconds = 3.0


class _NodeInHost(_InHosts):
    """The first node runs in a host of its own. This machine plays three servers towards it, each
    with an address of its own, so that it can lose one and keep the others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.proxies: list[Proxy] = []

    def make_stack(self, stack: "Stack") -> "Stack":
        net = self.hosts(["node"], aliases=3)
        node = stack.nodes[0]
        node.inside = net.inside("node")
        node.host, node.port = net.address("node"), _NODE_PORT
        for number, (server, setting, url) in enumerate(
            (
                (stack.nats, "STORM_NATS_URL", stack.nats.url),
                (stack.postgres, "STORM_DATABASE_URL", stack.postgres.url),
                (stack.valkey, "STORM_REDIS_URL", stack.valkey.url),
            ),
            start=1,
        ):
            server.claim()
            proxy = Proxy((server.host, server.port), host=net.alias(number))
            proxy.start()
            self.proxies.append(proxy)
            node.settings[setting] = proxy.instead_of(url)
        return stack

    async def lose(self, arena: "Arena", alias: int, title: str) -> None:
        """The node loses one backend, for longer than it needs to see that."""
        net, node = self.net, arena.stack.nodes[0]
        assert net is not None  # noqa: S101 make_stack came first
        address = net.alias(alias)
        async with harmed(arena, title, lambda: net.block("node", address), net.heal):
            await red(arena, [node])
            await arena.steady(3)
        await green(arena)
        await arena.steady(2)

    async def clean(self, folder: Path) -> None:
        for proxy in self.proxies:
            await asyncio.to_thread(proxy.stop)
        await super().clean(folder)


@scenario
class NodeLosesNats(_NodeInHost):
    """It turns not-ready; its clients get what they miss from the store."""

    name = "node-loses-nats"
    title = "A node's packets to NATS get lost (one way); the other node is well"
    reference = "F18"
    short = True
    seconds = 8
    unavailable_seconds = 2.0

    async def run(self, arena: "Arena") -> None:
        await arena.steady(2)
        await self.lose(arena, 1, "node-1 does not reach NATS")


@scenario
class NodeLosesPostgres(_NodeInHost):
    """It turns not-ready; sends through it are refused, sends through the other are accepted."""

    name = "node-loses-postgres"
    title = "A node's packets to PostgreSQL get lost; the other node is well"
    reference = "F18"
    short = True
    seconds = 8

    async def run(self, arena: "Arena") -> None:
        await arena.steady(2)
        await self.lose(arena, 2, "node-1 does not reach PostgreSQL")
        await accepted_soon(arena)


@scenario
class NodeCutOff(_NodeInHost):
    """From clients and backends alike: its clients go to the other node."""

    name = "node-cut-off"
    title = "A node is cut off from everything; then only what it sends gets lost"
    reference = "F18"
    short = False
    seconds = 40

    async def run(self, arena: "Arena") -> None:
        net, node = self.net, arena.stack.nodes[0]
        assert net is not None  # noqa: S101 make_stack came first
        await arena.steady(2)

        def all_of_it() -> None:
            self._mute(net)
            net.block(HERE, "node")

        for title, begin in (
            (f"{node.name} cut off", all_of_it),
            (f"what {node.name} sends gets lost", lambda: self._mute(net)),
        ):
            async with harmed(arena, title, begin, net.heal, node=node) as fault:
                await asyncio.sleep(8)
            expect_back(arena, node, fault)
            await green(arena)
            # Everyone is on the other node now; cut, they come here again.
            arena.load.drop_all()
            await arena.until(
                lambda: arena.load.connected == arena.load.clients,
                "not everybody is back",
                seconds=20,
            )
            await arena.steady(2)

    def _mute(self, net: Network) -> None:
        for address in (net.address(HERE), *(net.alias(number) for number in (1, 2, 3))):
            net.block("node", address)
