"""What a message costs, and what a commit: messages one by one, then many at the same time.

Alone, a message has a commit of its own. Of many at the same time, some share one; how many, the
node's counters say. So the two costs can be told apart.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

import msgspec

from storm_gateway.calibrating.crowd import Crowd, Peer
from storm_gateway.calibrating.meter import Meter
from storm_gateway.calibrating.rest import counters
from storm_gateway.protocol.commands import Message, Unsubscribe

AUTHORS = 64
PAYLOAD = "x" * 60


class Costs(msgspec.Struct, frozen=True):
    """By process, seconds of processor time."""

    message: dict[str, float]
    commit: dict[str, float]
    wall_seconds: float
    """From a message to its ack, alone: median."""
    per_second: float
    """Acknowledged, with :data:`AUTHORS` under way."""

    def alone(self, name: str) -> float:
        """A message with a commit of its own."""
        return self.message[name] + self.commit[name]


def split(alone: float, together: float, commits: float) -> tuple[float, float]:
    """Cost of a message and of a commit, from that of a message alone and of one among others
    that has ``commits`` (a share of one) commits. Noise makes neither negative.
    """
    commit = max(0.0, alone - together) / (1 - commits) if commits < 1 else 0.0
    # At least something: what a message costs is never only its commit.
    return max(together / 10, together - commits * commit), commit


async def authors(crowd: Crowd, channel_id: int) -> list[Peer]:
    """Members of a channel; the first one alone hears what is said."""
    made = await crowd.open([(f"author-{number}", channel_id) for number in range(AUTHORS)])
    before = crowd.acks
    for number, peer in enumerate(made[1:]):
        peer.send(Unsubscribe(channel_id, ref=f"quiet-{number}"))
    await crowd.until(lambda: crowd.acks == before + AUTHORS - 1)
    return made


async def costs_of_messages(
    crowd: Crowd,
    speakers: list[Peer],
    channel_id: int,
    meter: Meter,
    alone: int,
    bursts: int,
    heard: Callable[[int], Awaitable[None]] | None = None,
) -> Costs:
    """``heard`` waits until others have heard so many messages, too."""
    waits: list[float] = []
    said = 0

    async def say(peers: list[Peer]) -> None:
        nonlocal said
        acks, messages = crowd.acks + len(peers), crowd.messages + len(peers)
        began = time.perf_counter()
        for peer in peers:
            said += 1
            peer.send(Message(channel_id, PAYLOAD, ref=f"m-{said}"))
        await crowd.until(lambda: crowd.acks >= acks)
        waits.append(time.perf_counter() - began)
        await crowd.until(lambda: crowd.messages >= messages)
        if heard is not None:
            await heard(said)

    async def one_by_one() -> None:
        for number in range(alone):
            await say([speakers[number % len(speakers)]])

    async def many() -> None:
        for _ in range(bursts):
            await say(speakers)

    # The first ones find nothing in memory.
    await say(speakers)
    await say(speakers[:1])
    waits.clear()
    single = await meter.during(one_by_one())
    wall = median(waits)
    waits.clear()
    before = await asyncio.to_thread(counters, crowd.host, crowd.port)
    crowded = await meter.during(many())
    after = await asyncio.to_thread(counters, crowd.host, crowd.port)
    count = bursts * len(speakers)
    share = after.since(before).commits / count
    found = {
        name: split(single.cpu[name] / alone, crowded.cpu[name] / count, share)
        for name in single.cpu
    }
    return Costs(
        message={name: message for name, (message, _) in found.items()},
        commit={name: commit for name, (_, commit) in found.items()},
        wall_seconds=wall,
        per_second=count / sum(waits),
    )
