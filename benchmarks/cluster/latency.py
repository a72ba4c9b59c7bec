"""One message's way: sent on a node, received on another, at a steady rate (an open loop).

Messages go out on a fixed schedule, whether or not the earlier ones have arrived, and each counts
from the moment at which it was due: a stall is seen by all messages that it delays.
"""

import asyncio
import json
import time
from typing import Any

import uvloop
from cluster.parts import cluster, percentiles, token
from cluster.talk import Talker
from harness.progress import say

from storm_gateway.stack.node import NodeServer
from storm_gateway.stack.stack import Stack

RATE = 500
WARM_UP_SECONDS = 2.0
ARRIVE_SECONDS = 10.0


async def _one_way(
    stack: Stack, sender_at: NodeServer, receiver_at: NodeServer, seconds: float, run: str
) -> dict[str, Any]:
    sender = await Talker(sender_at, token(stack, "bench-sender")).open()
    receiver = await Talker(receiver_at, token(stack, "bench-receiver")).open()
    await sender.subscribe(1)
    sender.send(type="unsubscribe", channel_id=1, ref="u")
    await receiver.subscribe(1)
    count = int((WARM_UP_SECONDS + seconds) * RATE)
    due: list[float] = []
    arrived: dict[int, float] = {}
    acked: dict[int, float] = {}
    repeated = 0

    def received(at: float, text: bytes) -> None:
        nonlocal repeated
        if text.startswith(b'{"type":"message"'):
            number = int(json.loads(text)["payload"].split()[1])
            repeated += number in arrived
            arrived[number] = at

    def answered(at: float, text: bytes) -> None:
        if text.startswith(b'{"type":"ack"') and f'"{run}-'.encode() in text:
            acked[int(json.loads(text)["ref"].rsplit("-", 1)[1])] = at

    receiver.hear, sender.hear = received, answered
    begin = time.monotonic() + 0.2
    for number in range(count):
        moment = begin + number / RATE
        wait = moment - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        due.append(moment)
        payload = f"message {number} {'x' * 60}"
        sender.send(type="message", channel_id=1, payload=payload, ref=f"{run}-{number}")
    patience = time.monotonic() + ARRIVE_SECONDS
    while (  # noqa: ASYNC110 two dictionaries fill, event by event
        len(arrived) < count or len(acked) < count
    ) and time.monotonic() < patience:
        await asyncio.sleep(0.05)
    sender.close()
    receiver.close()
    if len(arrived) < count or len(acked) < count or repeated:
        raise RuntimeError(
            f"of {count}: {len(acked)} acknowledged, {len(arrived)} received, {repeated} twice"
        )
    measured = range(int(WARM_UP_SECONDS * RATE), count)
    return {
        "received_ms": percentiles([(arrived[n] - due[n]) * 1000 for n in measured]),
        "ack_ms": percentiles([(acked[n] - due[n]) * 1000 for n in measured]),
    }


def measure(seconds: float) -> dict[str, Any]:
    """A → B, B → A, and the same on one embedded node."""
    found: dict[str, Any] = {}

    def one(name: str, stack: Stack, sender_at: NodeServer, receiver_at: NodeServer) -> None:
        run = f"{name[:1]}{time.monotonic_ns():x}"
        figures = uvloop.run(_one_way(stack, sender_at, receiver_at, seconds, run))
        found[name] = figures
        way, ack = figures["received_ms"], figures["ack_ms"]
        say(
            f"{name}: p50 {way['p50']:.1f} ms, p99 {way['p99']:.1f} ms; "
            f"ack p50 {ack['p50']:.1f} ms, p99 {ack['p99']:.1f} ms"
        )

    with cluster(2) as stack:
        first, second = stack.nodes
        one("forth", stack, first, second)
        one("back", stack, second, first)
    with cluster(1, embedded=True) as stack:
        one("embedded", stack, stack.nodes[0], stack.nodes[0])
    return found
