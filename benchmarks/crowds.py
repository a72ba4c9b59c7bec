"""What it costs a node to tell a crowd that comes how many are there; beside what it replaced.

    python benchmarks/crowds.py [users of this node]

One of eight nodes, a hundred users a second to each. Everybody opens the hall, and one of a hundred
rooms, which have users on all nodes. Beats of a second pass as fast as they can be reckoned, with
the node's own rooms, budget and telling; what Valkey would say of the other nodes is made up here.
Each frame is written to a real socket, by the engine; reading it is not counted.

Five ways, in the order in which they came (decision 0009): each channel with each beat; each
channel as often as a budget of its own allows; one budget for all channels of the node; counts that
wait while a crowd comes, up to 15 s; and, as now, up to a minute.
"""
# ruff: noqa: T201 this is the output

import asyncio
import math
import socket
import sys
import time
from dataclasses import dataclass, field
from statistics import median
from unittest.mock import patch

from storm_gateway.config import Config
from storm_gateway.connections.websocket import Engine, WebSocket
from storm_gateway.observability.metrics import Metrics
from storm_gateway.presence import room as rooms
from storm_gateway.presence.base import PresenceChange
from storm_gateway.presence.crowds import TOLD_PER_SECOND, Crowds
from storm_gateway.presence.redis import RedisPresence
from storm_gateway.protocol.codec import encode
from storm_gateway.protocol.events import PresenceEvent
from storm_gateway.protocol.websocket import text_frame

RUNS = 3
NODES = 8
ROOMS = 100
HALL = 1
A_SECOND = 100
"""Users who come to this node; they open two channels each."""
QUIET_BEATS = 300
"""After the last user has come, so long at most until all is told."""
WRITES = 64
"""So many, then what was written is read."""


class NoBudget(Crowds):
    """Whatever is due is told."""

    def may_tell(self, now: float, due: float) -> bool:
        return True


@dataclass(frozen=True)
class Way:
    """How often counts are told."""

    name: str
    crowds: type[Crowds]
    a_second: float
    """Users whom one channel tells."""
    waits: float
    """So much of a minute counts wait while a crowd comes; 0: the node does not look for one."""


WAYS = (
    Way("each channel with each beat", NoBudget, math.inf, 0),
    Way("each channel with a budget", NoBudget, TOLD_PER_SECOND, 0),
    Way("one budget for the node", Crowds, TOLD_PER_SECOND, 0),
    Way("counts wait, 15 s", Crowds, TOLD_PER_SECOND, 0.25),
    Way("counts wait, 52 s, as now", Crowds, TOLD_PER_SECOND, 0.875),
)
"""Now a node waits for 45 to 60 s, by chance."""


@dataclass
class Course:
    """What came of one way."""

    frames: int = 0
    """While the crowd came."""
    seconds: float = 0.0
    """Processor time, while the crowd came."""
    waited: dict[int, int] = field(default_factory=dict)
    """Channel → beats that its oldest news was old when it was told, also afterwards."""


class Line:
    """One connection that stands for all of the node's: the engine, TCP, and its reader."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._theirs = socket.create_connection(listener.getsockname())
            self._ours, _ = listener.accept()
        self._ours.setblocking(False)
        self._ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reading = 0.0
        """Processor time that is not the node's."""

    async def open(self) -> None:
        engine = Engine(
            message_bytes=65_536, ephemeral_bytes=262_144, close_bytes=1_048_576, close_seconds=3
        )
        bound = type("Bound", (WebSocket,), {"__slots__": (), "engine": engine})
        loop = asyncio.get_running_loop()
        _, self._websocket = await loop.create_connection(bound, sock=self._ours)
        self._websocket.opened()

    async def close(self) -> None:
        self._websocket.abort()
        self._theirs.close()
        await asyncio.sleep(0)  # the transport closes its own

    def deliver(self, frame: bytes, count: int) -> None:
        """Write a frame so many times, as the fan-out does to as many connections."""
        deliver = self._websocket.deliver
        for start in range(0, count, WRITES):
            for _ in range(min(WRITES, count - start)):
                deliver(frame, b"", frame)
            began = time.process_time()
            self._theirs.recv(1 << 20)
            self.reading += time.process_time() - began


def others(channel_id: int, here: int) -> tuple[int, str | None]:
    """What Valkey would say of a channel to which as many came on each node."""
    counted = NODES * here
    if counted > 400:
        return counted, None
    return counted, " ".join(f"{channel_id}-{number}" for number in range(counted - here))


def course(way: Way, users: int, line: Line) -> Course:
    """All users come, then it is quiet."""
    presence = RedisPresence(Config(redis_url="redis://127.0.0.1:1/0"), "bench", Metrics())
    presence._crowds = way.crowds(way.waits)
    found = Course()
    waiting: dict[int, int] = {}  # channel → the beat since which it has news

    def told(change: PresenceChange) -> None:
        channel_id = change.channel_id
        count = len(presence._rooms[channel_id].own)
        event = PresenceEvent(channel_id, change.online, joined=change.joined, left=change.left)
        line.deliver(text_frame(encode(event)), count)
        if here:
            found.frames += count
        old = beat - waiting.pop(channel_id)
        found.waited[channel_id] = max(old, found.waited.get(channel_id, 0))

    presence._changed = told
    coming = math.ceil(users / A_SECOND)
    for beat in range(1, coming + QUIET_BEATS):
        now = 1_000.0 + beat
        here = range((beat - 1) * A_SECOND, min(beat * A_SECOND, users))
        for number in here:
            for channel_id in (HALL, HALL + 1 + number % ROOMS):
                presence.enter(channel_id, f"user-{number:05}")
                waiting.setdefault(channel_id, beat)
        for channel_id in presence._dirty if here else ():
            room = presence._rooms[channel_id]
            room.holds(room.own)
            room.learned(*others(channel_id, len(room.own)))
        if way.waits:
            presence._crowds.beat(now, 0.0, 2 * len(here))
        began, line.reading = time.process_time(), 0.0
        presence._tell(now)
        if here:
            found.seconds += time.process_time() - began - line.reading
        elif not waiting:
            break
    assert not waiting  # noqa: S101 else the budget is too small for this load
    return found


async def courses(users: int) -> dict[str, Course]:
    """Way → the run in the middle of some."""
    line = Line()
    await line.open()
    found = {}
    for way in WAYS:
        with patch.object(rooms, "TOLD_PER_SECOND", way.a_second):
            runs = [course(way, users, line) for _ in range(RUNS)]
        found[way.name] = sorted(runs, key=lambda each: each.seconds)[RUNS // 2]
    await line.close()
    return found


def main() -> None:
    """Print a table."""
    users = int(sys.argv[1]) if len(sys.argv) > 1 else 6_000
    found = asyncio.run(courses(users))
    least = found[WAYS[-1].name].seconds
    print(f"{users:,} come to one of {NODES} nodes, {A_SECOND} a second; medians of {RUNS} runs")
    print(f"{'while they come, for each of them':<34}  frames  CPU, µs  ratio  news waits, s")
    for name, each in found.items():
        frames, used = each.frames / users, each.seconds / users * 1e6
        waited = median(each.waited.values())
        ratio = each.seconds / least
        print(f"{name:<34}{frames:>8.1f}{used:>9.1f}{ratio:>6.1f}x{waited:>15.0f}")


if __name__ == "__main__":
    main()
