"""What two nodes and their servers cost: NATS, Valkey, PostgreSQL."""

import asyncio
from collections.abc import Callable

from storm_gateway.calibrating import talk
from storm_gateway.calibrating.crowd import Crowd
from storm_gateway.calibrating.meter import Meter, memory
from storm_gateway.calibrating.rest import make_channels
from storm_gateway.calibrating.size import Size
from storm_gateway.capacity.calibration import Servers
from storm_gateway.protocol.commands import Subscribe
from storm_gateway.stack.stack import Stack

_SMALL = 10
_HEARERS = 2
"""Nodes that are given each message: the one that took it hears it as well."""


async def measure(stack: Stack, size: Size, tell: Callable[[str], None]) -> Servers:
    """Of a stack with two nodes that runs and has had no connection. Raises
    :class:`CapacityError`.
    """
    taking, hearing = stack.nodes
    meter = Meter(
        taking=taking.pid,
        hearing=hearing.pid,
        nats=stack.nats.pid,
        valkey=stack.valkey.pid,
        postgres=stack.postgres.pid,
    )
    here = Crowd(taking.host, taking.port, stack.secret)
    there = Crowd(hearing.host, hearing.port, stack.secret)
    try:
        tell("two nodes at rest, with NATS, Valkey and PostgreSQL")
        await asyncio.sleep(size.rest_seconds / 2)  # their start is over by then
        meter.rates = await meter.rest(size.rest_seconds / 2)
        base = (meter.rates["taking"] + meter.rates["hearing"]) / 2
        names = [f"small-{number}" for number in range(-(-size.newcomers // _SMALL))]
        talking, hall, *smalls = await asyncio.to_thread(
            make_channels, here.host, here.port, here.token("maker"), ["talk", "hall", *names]
        )
        tell("messages from one node to the other")
        speakers = await talk.authors(here, talking)
        await there.open([("listener", talking)])
        said = there.messages
        messages = await talk.costs_of_messages(
            here,
            speakers,
            talking,
            meter,
            size.alone,
            size.bursts,
            heard=lambda count: there.until(lambda: there.messages >= said + count),
        )
        tell("newcomers")
        newcomers = [(f"user-{n}", smalls[n // _SMALL]) for n in range(size.newcomers)]
        came = await meter.during(there.open(newcomers))
        subscribed = await meter.during(_subscribe(there, hall, size.newcomers))
        node_bytes = float(memory(taking.pid))
    finally:
        for peer in [*here.peers, *there.peers]:
            if peer.transport is not None:
                peer.transport.abort()
    count = size.newcomers
    return Servers(
        node_bytes=node_bytes,
        base_seconds=base,
        message_seconds=messages.message["taking"],
        commit_seconds=messages.commit["taking"],
        commit_wall_seconds=messages.wall_seconds,
        relay_seconds=messages.message["hearing"],
        relay_wake_seconds=messages.commit["hearing"],
        newcomer_seconds=came.cpu["hearing"] / count,
        subscribe_seconds=subscribed.cpu["hearing"] / count,
        postgres_message_seconds=messages.message["postgres"],
        postgres_commit_seconds=messages.commit["postgres"],
        postgres_newcomer_seconds=(came.cpu["postgres"] + subscribed.cpu["postgres"]) / count,
        nats_copy_seconds=messages.message["nats"] / _HEARERS,
        nats_wake_seconds=messages.commit["nats"] / _HEARERS,
        valkey_newcomer_seconds=(came.cpu["valkey"] + subscribed.cpu["valkey"]) / count,
    )


async def _subscribe(crowd: Crowd, channel_id: int, count: int) -> None:
    wanted = crowd.subscribed + count
    for peer in crowd.peers[-count:]:
        peer.send(Subscribe(channel_id))
    await crowd.until(lambda: crowd.subscribed >= wanted)
