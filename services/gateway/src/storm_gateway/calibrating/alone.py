"""What a node costs that is alone, on SQLite: memory, connections, deliveries, messages."""

import asyncio
from collections.abc import Callable
from statistics import median

import msgspec

from storm_gateway.calibrating import talk
from storm_gateway.calibrating.crowd import Crowd, Peer
from storm_gateway.calibrating.meter import Meter, memory
from storm_gateway.calibrating.rest import counters, make_channels
from storm_gateway.calibrating.size import Size
from storm_gateway.observability import allocator
from storm_gateway.protocol.commands import Message, Subscribe
from storm_gateway.stack.node import NodeServer

PING_SECONDS = 1
"""Of the node that is measured."""
USUAL_PING_SECONDS = 30
SETTINGS = {
    "STORM_PING_SECONDS": str(PING_SECONDS),
    "STORM_HEARTBEAT_SECONDS": str(PING_SECONDS),
    "STORM_COMMANDS_PER_SECOND": "1000000",
    "STORM_COMMANDS_BURST": "1000000",
    "STORM_DRAIN_SECONDS": "0",
    "STORM_LOG_LEVEL": "error",
    # jemalloc gives free pages back at once. Memory is measured as a difference, and what a node's
    # start has freed would hold the first thousand connections.
    "MALLOC_CONF": f"{allocator.SETTINGS},dirty_decay_ms:0,muzzy_decay_ms:0",
}
_SETTLE_SECONDS = 0.4
_PORTION = 100
_TOGETHER = 16
"""Messages in one write of their author."""


class Alone(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes; seconds of processor time unless they say otherwise."""

    connections: int
    node_bytes: float
    connection_bytes: float
    subscription_bytes: float
    feed_bytes: float
    base_seconds: float
    newcomer_seconds: float
    return_seconds: float
    subscribe_seconds: float
    idle_seconds: float
    frame_seconds: float
    write_seconds: float
    event_bytes: float
    messages: talk.Costs
    spread: float


async def measure(node: NodeServer, secret: str, size: Size, tell: Callable[[str], None]) -> Alone:
    """Of a node that runs and has never had a connection. Raises :class:`CapacityError`."""
    meter = Meter(node=node.pid)
    crowd = Crowd(node.host, node.port, secret)
    try:
        return await _Measuring(node, crowd, meter, size, tell).all()
    finally:
        for peer in crowd.peers:
            if peer.transport is not None:
                peer.transport.abort()


class _Measuring:
    def __init__(
        self,
        node: NodeServer,
        crowd: Crowd,
        meter: Meter,
        size: Size,
        tell: Callable[[str], None],
    ) -> None:
        self.node, self.crowd, self.meter, self.size, self.tell = node, crowd, meter, size, tell

    async def all(self) -> Alone:
        size, crowd, meter = self.size, self.crowd, self.meter
        self.tell("a node at rest")
        await asyncio.sleep(size.rest_seconds / 2)  # its start is over by then
        base = (await meter.rest(size.rest_seconds / 2))["node"]
        meter.rates = {"node": base}
        names = ["hall", "other", "talk", *(f"small-{number}" for number in range(size.feeds))]
        hall, other, talking, *smalls = await asyncio.to_thread(
            make_channels, crowd.host, crowd.port, crowd.token("maker"), names
        )
        # Memory first: what messages needed and freed would serve connections that come after them.
        self.tell(f"{size.connections:,} connections, their memory and subscriptions")
        speakers = await talk.authors(crowd, talking)
        node_bytes = float(memory(self.node.pid))
        users = [(f"user-{number}", hall) for number in range(size.connections)]
        early = len(users) // 3
        # The first take what is free already, and make garbage of the start go: they say little.
        _, listeners = await self._open(users[:early])
        at_first = await self._memory()
        newcomer, others = await self._open(users[early:])
        opened = await self._memory()
        listeners += others
        subscribe = await self._subscribe(listeners, [other] * len(listeners))
        subscribed = await self._memory()
        await self._subscribe(listeners[: len(smalls)], smalls)
        with_feeds = await self._memory()
        self.tell("pings and heartbeats")
        busy = (await meter.rest(size.rest_seconds))["node"]
        idle = max(0.0, busy - base) / len(crowd.peers)
        meter.rates = {"node": busy}
        self.tell("messages and commits on SQLite")
        messages = await talk.costs_of_messages(
            crowd, speakers, talking, meter, size.alone, size.bursts
        )
        self.tell("deliveries, one in a write and many")
        frame, write, spread = await self._deliveries(listeners, hall, messages.alone("node"))
        self.tell("connections that come back")
        await crowd.leave()
        await asyncio.sleep(_SETTLE_SECONDS)
        meter.rates = {"node": base}
        again, _ = await self._open(users[: size.returns])
        count = len(listeners)
        subscription = (subscribed - opened) / count
        return Alone(
            connections=count,
            node_bytes=node_bytes,
            connection_bytes=max(0.0, (opened - at_first) / len(others)),
            subscription_bytes=max(0.0, subscription),
            feed_bytes=max(0.0, (with_feeds - subscribed) / len(smalls) - subscription),
            base_seconds=base,
            newcomer_seconds=newcomer,
            return_seconds=again,
            subscribe_seconds=subscribe,
            idle_seconds=idle * PING_SECONDS / USUAL_PING_SECONDS,
            frame_seconds=frame,
            write_seconds=write,
            event_bytes=float(crowd.event_bytes - len(talk.PAYLOAD)),
            messages=messages,
            spread=spread,
        )

    async def _memory(self) -> int:
        # What follows an opening has come by then: counts of presence, commits.
        await asyncio.sleep(_SETTLE_SECONDS)
        return memory(self.node.pid, own=True)

    async def _open(self, users: list[tuple[str, int]]) -> tuple[float, list[Peer]]:
        """Processor time of each."""
        peers: list[Peer] = []

        async def work() -> None:
            peers.extend(await self.crowd.open(users))

        use = await self.meter.during(work())
        return use.cpu["node"] / len(users), peers

    async def _subscribe(self, peers: list[Peer], channels: list[int]) -> float:
        """Processor time of each. In portions: thousands at once need memory that is free again
        afterwards, and would be taken for theirs.
        """

        async def work() -> None:
            for first in range(0, len(peers), _PORTION):
                part = slice(first, first + _PORTION)
                await self._subscribed(peers[part], channels[part])

        return (await self.meter.during(work())).cpu["node"] / len(peers)

    async def _subscribed(self, peers: list[Peer], channels: list[int]) -> None:
        wanted = self.crowd.subscribed + len(peers)
        for peer, channel_id in zip(peers, channels, strict=True):
            peer.send(Subscribe(channel_id))
        await self.crowd.until(lambda: self.crowd.subscribed >= wanted)

    async def _deliveries(
        self, listeners: list[Peer], channel_id: int, message_seconds: float
    ) -> tuple[float, float, float]:
        """Cost of a frame, of a write, and how far repetitions were apart."""
        await self._say(listeners, channel_id, 1)
        found = []
        for messages in (1, _TOGETHER):
            before = await asyncio.to_thread(counters, self.crowd.host, self.crowd.port)
            costs = []
            for _ in range(self.size.rounds):
                use = await self.meter.during(self._say(listeners, channel_id, messages))
                spent = max(0.0, use.cpu["node"] - message_seconds)
                costs.append(spent / messages / len(listeners))
            after = await asyncio.to_thread(counters, self.crowd.host, self.crowd.port)
            did = after.since(before)
            found.append((median(costs), did.writes / did.deliveries, costs))
        (one, one_writes, costs), (many, many_writes, _) = found
        frame, write = split_delivery(one, one_writes, many, many_writes)
        return frame, write, spread_of(costs)

    async def _say(self, listeners: list[Peer], channel_id: int, messages: int) -> None:
        wanted = self.crowd.messages + messages * len(listeners)
        said = [Message(channel_id, talk.PAYLOAD) for _ in range(messages)]
        listeners[0].send(*said)
        await self.crowd.until(lambda: self.crowd.messages >= wanted)


def split_delivery(
    one: float, one_writes: float, many: float, many_writes: float
) -> tuple[float, float]:
    """Cost of a frame and of a write, from two costs of a delivery, with so many writes for each
    (1: each is written alone). Noise makes neither negative.
    """
    if one_writes <= many_writes:
        return 0.0, one
    write = max(0.0, one - many) / (one_writes - many_writes)
    return max(0.0, many - write * many_writes), max(write, one / 10)


def spread_of(costs: list[float]) -> float:
    """The middle half of them, as a share of the median."""
    middle = median(costs)
    ordered = sorted(costs)
    quarter = len(ordered) // 4
    inner = ordered[quarter : len(ordered) - quarter]
    return (inner[-1] - inner[0]) / middle if middle else 0.0
